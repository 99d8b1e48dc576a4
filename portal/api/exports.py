"""Everything of the tenant as one file."""

from datetime import datetime
from uuid import UUID

from django.http import StreamingHttpResponse
from ninja import Query, Router, Schema, Status
from pydantic import Field

from agent import pack_orders
from authz.decisions import require
from authz.people import AsTenant
from authz.permissions import Permission
from evidence.models import Pack
from portal.api.fields import one_of
from portal.api.paging import Page, Paging
from portal.api.problems import CHANGE, READ_MANY, READ_ONE
from portal.http import PortalRequest
from portal.packs import ZIP, export_seen_by, pack_download
from tenants.scope import current_tenant_id

router = Router(tags=["Exports"])


class ExportOut(Schema):
    """An export that somebody asked for: every row and file of the tenant, as a ZIP."""

    id: UUID
    state: str = one_of(Pack.State.values)
    requested_by_name: str
    created_at: datetime
    finished_at: datetime | None
    files_done: int = Field(alias="records_done", description="Stored files that are in it.")
    files_total: int = Field(alias="records_total", description="0 until it has begun.")
    sha256: str = Field(description="Of the ZIP file; empty until it is ready.")
    size: int | None = Field(description="Bytes.")
    expires_at: datetime | None = Field(description="No download from then on.")
    deleted_at: datetime | None = Field(description="When its file was deleted.")
    can_be_taken: bool = Field(description="Whether its file can be downloaded now.")
    problem: str = Field(description="Why it could not be written; empty otherwise.")


@router.get("", response={200: Page[ExportOut], **READ_MANY}, by_alias=False)
def list_exports(request: PortalRequest, paging: Query[Paging]) -> dict[str, object]:
    """Exports of the tenant, newest first. Takes a session that began lately; no token will do."""
    require(request.actor, Permission.EXPORT_ORDER, AsTenant(current_tenant_id()))
    return paging.of(Pack.objects.filter(kind=Pack.Kind.EXPORT))


@router.post("", response={202: ExportOut, **CHANGE}, by_alias=False)
def order_export(request: PortalRequest) -> Status[Pack]:
    """Ask for everything of the tenant; follow it at /exports/{id} until it is ready. Answers 409
    while another one is on its way."""
    return Status(202, pack_orders.order_export(by=request.actor))


@router.get("/{export_id}", response={200: ExportOut, **READ_ONE}, by_alias=False)
def read_export(request: PortalRequest, export_id: UUID) -> Pack:
    """How far one export is."""
    return export_seen_by(request.actor, export_id)


@router.get(
    "/{export_id}/download",
    response={200: None, **READ_ONE, 409: CHANGE[409]},
    openapi_extra={"responses": {200: {"content": ZIP}}},
)
def download_export(request: PortalRequest, export_id: UUID) -> StreamingHttpResponse:
    """The export as a ZIP file. The download itself is recorded. Answers 409 until it is ready, and
    when its time is over."""
    return pack_download(request, export_seen_by(request.actor, export_id))
