"""Hands evidence packs and exports out to those who may have them."""

from collections.abc import AsyncIterator, Iterator
from functools import partial
from itertools import chain
from uuid import UUID

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import Http404, StreamingHttpResponse
from django.shortcuts import get_object_or_404

from agent.places import artifact_store
from authz.decisions import may, require, visible
from authz.errors import Conflict
from authz.people import AsTenant
from authz.permissions import Permission
from evidence import ledger
from evidence.models import Pack
from portal.http import PortalRequest
from tenants import asked
from tenants.actor import Actor
from tenants.scope import current_tenant_id

# How the API describes such a file.
ZIP = {"application/zip": {"schema": {"type": "string", "contentMediaType": "application/zip"}}}


def pack_seen_by(actor: Actor, pack_id: UUID) -> Pack:
    """The pack, if the actor may have it.

    Raises Http404 when they do not even know what it is about, Denied (recorded) when they do.
    """
    tenant = AsTenant(current_tenant_id())
    with asked.without_asking(asked.Purpose.DECIDE):
        of_tenant = Pack.objects.exclude(kind=Pack.Kind.EXPORT).filter(
            pk=pack_id, project_id=current_tenant_id()
        )
        about_all: Pack | None = of_tenant.first()
    if about_all is not None:
        # It holds entries of the whole tenant, whatever projects its orders were about.
        if not may(actor, Permission.PACK_EXPORT, tenant):
            raise Http404
        require(actor, Permission.PACK_EXPORT, tenant)
        return about_all
    known = visible(actor, Permission.PROPOSAL_VIEW, Pack.objects.all())
    pack: Pack = get_object_or_404(known, pk=pack_id)
    require(actor, Permission.PACK_EXPORT, pack)
    return pack


def export_seen_by(actor: Actor, export_id: UUID) -> Pack:
    """The export, if the actor may have it. Raises Denied (recorded), or Http404."""
    require(actor, Permission.EXPORT_ORDER, AsTenant(current_tenant_id()))
    export: Pack = get_object_or_404(Pack, pk=export_id, kind=Pack.Kind.EXPORT)
    return export


def pack_download(request: PortalRequest, pack: Pack) -> StreamingHttpResponse:
    """The pack or export as a file to save; leaves an entry in the ledger.

    Raises Conflict while there is no file yet, Missing or Damaged when the store lost it.
    """
    if pack.state != Pack.State.READY:
        raise Conflict(f"this is {pack.get_state_display().lower()}; there is no file of it")
    if not pack.can_be_taken:
        raise Conflict(f"{file_gone(pack)}; order it again")
    chunks = artifact_store().get_stream(current_tenant_id(), pack.sha256, size=pack.size)
    # The whole file is checked before the first chunk comes, so nothing damaged leaves.
    first = next(chunks, b"")
    ledger.record(
        "export.download" if pack.kind == Pack.Kind.EXPORT else "pack.download",
        by=request.actor,
        on=pack,
        facts={"sha256": pack.sha256, "size": pack.size, "about": pack.object_id},
    )
    whole = chain([first], chunks)
    return StreamingHttpResponse(
        # Django would hold all of it in memory if it had to turn one kind into the other.
        _one_by_one(whole) if isinstance(request, ASGIRequest) else whole,
        content_type="application/zip",
        headers={
            "Content-Disposition": f'attachment; filename="{pack_filename(pack)}"',
            "Content-Length": str(pack.size),
        },
    )


async def _one_by_one(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    following = sync_to_async(partial(next, chunks, b""), thread_sensitive=False)
    while chunk := await following():
        yield chunk


def file_gone(pack: Pack) -> str:
    """Why a file that was built cannot be downloaded any more."""
    if pack.deleted_at is not None:
        return f"the file was deleted on {pack.deleted_at:%Y-%m-%d}"
    return f"it could be downloaded until {pack.expires_at:%Y-%m-%d}"


def pack_filename(pack: Pack) -> str:
    """What the file is called once it is saved."""
    what = "export" if pack.kind == Pack.Kind.EXPORT else "pack"
    return f"countersign-{what}-{str(pack.pk)[:8]}.zip"
