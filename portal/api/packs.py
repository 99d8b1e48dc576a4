"""Evidence packs: how far they are, the files themselves."""

from datetime import datetime
from uuid import UUID

from django.http import HttpResponse
from ninja import Query, Router, Schema
from pydantic import Field

from authz.decisions import require
from authz.people import AsTenant
from authz.permissions import Permission
from evidence.models import Pack
from portal.api.fields import one_of
from portal.api.paging import Page, Paging
from portal.api.problems import CHANGE, READ_MANY, READ_ONE
from portal.http import PortalRequest
from portal.packs import pack_download, pack_seen_by
from tenants.scope import current_tenant_id

router = Router(tags=["Packs"])

ZIP = {"application/zip": {"schema": {"type": "string", "contentMediaType": "application/zip"}}}


class PackOut(Schema):
    """An evidence pack that somebody asked for."""

    id: UUID
    state: str = one_of(Pack.State.values)
    title: str
    object_type: str = Field(examples=["proposal"])
    object_id: str
    requested_by_name: str
    created_at: datetime
    finished_at: datetime | None
    checkpoint_size: int | None = Field(description="Entries in the log that its proofs lead to.")
    sha256: str = Field(description="Of the ZIP file; empty until it is ready.")
    size: int | None = Field(description="Bytes.")
    problem: str = Field(description="Why it could not be built; empty otherwise.")


@router.get("", response={200: Page[PackOut], **READ_MANY})
def list_packs(request: PortalRequest, paging: Query[Paging]) -> dict[str, object]:
    """Evidence packs of the tenant, newest first."""
    require(request.actor, Permission.PACK_EXPORT, AsTenant(current_tenant_id()))
    return paging.of(Pack.objects.all())


@router.get("/{pack_id}", response={200: PackOut, **READ_ONE})
def read_pack(request: PortalRequest, pack_id: UUID) -> Pack:
    """How far one pack is."""
    return pack_seen_by(request.actor, pack_id)


@router.get(
    "/{pack_id}/download",
    response={200: None, **READ_ONE, 409: CHANGE[409]},
    openapi_extra={"responses": {200: {"content": ZIP}}},
)
def download_pack(request: PortalRequest, pack_id: UUID) -> HttpResponse:
    """The pack as a ZIP file. The download itself is recorded. Answers 409 until it is ready."""
    return pack_download(request.actor, pack_seen_by(request.actor, pack_id))
