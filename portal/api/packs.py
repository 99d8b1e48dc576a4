"""Evidence packs: how far they are, the files themselves."""

from datetime import datetime
from uuid import UUID

from django.http import StreamingHttpResponse
from django.shortcuts import get_object_or_404
from ninja import Query, Router, Schema, Status
from pydantic import AwareDatetime, Field

from agent import pack_orders
from agent.models import Repository
from agent.pack_orders import PackOrder
from authz.decisions import require, visible
from authz.people import AsTenant
from authz.permissions import Permission
from evidence.models import Pack
from portal.api.fields import one_of
from portal.api.paging import Page, Paging
from portal.api.problems import CHANGE, READ_MANY, READ_ONE
from portal.http import PortalRequest
from portal.packs import ZIP, pack_download, pack_seen_by
from tenants.scope import current_tenant_id

router = Router(tags=["Packs"])
EVIDENCE = [kind for kind in Pack.Kind.values if kind != Pack.Kind.EXPORT]


class PackOut(Schema):
    """An evidence pack that somebody asked for."""

    id: UUID
    state: str = one_of(Pack.State.values)
    kind: str = one_of(EVIDENCE)
    title: str
    object_type: str = Field(examples=["proposal"])
    object_id: str
    requested_by_name: str
    created_at: datetime
    finished_at: datetime | None
    checkpoint_size: int | None = Field(description="Entries in the log that its proofs lead to.")
    sha256: str = Field(description="Of the ZIP file; empty until it is ready.")
    size: int | None = Field(description="Bytes.")
    records_done: int = Field(description="Pull requests whose record is ready for it.")
    records_total: int = Field(description="Pull requests whose files go into it.")
    expires_at: datetime | None = Field(description="No download from then on.")
    deleted_at: datetime | None = Field(
        description="When its file was deleted; what it said stays."
    )
    can_be_taken: bool = Field(description="Whether its file can be downloaded now.")
    timestamped_at: datetime | None = Field(
        description="Since when, at the latest, its head was there, by an authority's clock."
    )
    timestamped_by: str = Field(description="That authority's host; empty when there is no token.")
    timestamp_problem: str = Field(
        description="Why the authority's token is not in it; empty otherwise."
    )
    problem: str = Field(description="Why it could not be built; empty otherwise.")


@router.get("", response={200: Page[PackOut], **READ_MANY})
def list_packs(request: PortalRequest, paging: Query[Paging]) -> dict[str, object]:
    """Evidence packs of the tenant, newest first."""
    require(request.actor, Permission.PACK_EXPORT, AsTenant(current_tenant_id()))
    return paging.of(Pack.objects.exclude(kind=Pack.Kind.EXPORT))


class PackIn(Schema):
    """A pack about a repository, a period or a framework."""

    kind: str = one_of([Pack.Kind.REPOSITORY, Pack.Kind.PERIOD, Pack.Kind.FRAMEWORK])
    repository: UUID | None = Field(None, description="For kind repository.")
    framework: str = Field("", description="For kind framework, such as ssdf-1.1.")
    period_from: AwareDatetime | None = Field(None, description="Left out: from the beginning.")
    period_to: AwareDatetime | None = Field(None, description="Left out: until now.")
    nonce: str = Field("", description="A word nobody could foresee, to draw a sample with.")
    sample_size: int = Field(0, description="How many pull requests to draw; 0 for all.")


@router.post("", response={202: PackOut, **CHANGE})
def order_pack(request: PortalRequest, order: PackIn) -> Status[Pack]:
    """Ask for a pack about more than one proposal; follow it at /packs/{id} until it is ready."""
    repository = None
    if order.repository is not None:
        known = visible(request.actor, Permission.REPOSITORY_VIEW, Repository.objects.all())
        repository = get_object_or_404(known, pk=order.repository)
    wanted = PackOrder(
        order.kind,
        repository,
        order.framework,
        order.period_from,
        order.period_to,
        order.nonce,
        order.sample_size,
    )
    return Status(202, pack_orders.order_pack(wanted, by=request.actor))


@router.get("/{pack_id}", response={200: PackOut, **READ_ONE})
def read_pack(request: PortalRequest, pack_id: UUID) -> Pack:
    """How far one pack is."""
    return pack_seen_by(request.actor, pack_id)


@router.post("/{pack_id}/again", response={202: PackOut, **CHANGE})
def order_pack_again(request: PortalRequest, pack_id: UUID) -> Status[Pack]:
    """Ask for a pack about the same once more. Answers 409 while the file of this one can be had,
    or it is on its way."""
    pack = pack_seen_by(request.actor, pack_id)
    return Status(202, pack_orders.order_again(pack, by=request.actor))


@router.get(
    "/{pack_id}/download",
    response={200: None, **READ_ONE, 409: CHANGE[409]},
    openapi_extra={"responses": {200: {"content": ZIP}}},
)
def download_pack(request: PortalRequest, pack_id: UUID) -> StreamingHttpResponse:
    """The pack as a ZIP file. The download itself is recorded. Answers 409 until it is ready, and
    when its time is over: `can_be_taken` says which."""
    return pack_download(request, pack_seen_by(request.actor, pack_id))
