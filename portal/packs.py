"""Hands evidence packs out to those who may have them."""

from uuid import UUID

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404

from agent.places import artifact_store
from authz.decisions import may, require, visible
from authz.errors import Conflict
from authz.people import AsTenant
from authz.permissions import Permission
from evidence import ledger
from evidence.models import Pack
from tenants import asked
from tenants.actor import Actor
from tenants.scope import current_tenant_id


def pack_seen_by(actor: Actor, pack_id: UUID) -> Pack:
    """The pack, if the actor may have it.

    Raises Http404 when they do not even know what it is about, Denied (recorded) when they do.
    """
    tenant = AsTenant(current_tenant_id())
    with asked.without_asking(asked.Purpose.DECIDE):
        about_all: Pack | None = Pack.objects.filter(
            pk=pack_id, project_id=current_tenant_id()
        ).first()
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


def pack_download(actor: Actor, pack: Pack) -> HttpResponse:
    """The pack as a file to save; leaves an entry in the ledger.

    Raises Conflict while there is no file yet, Missing or Damaged when the store lost it.
    """
    if pack.state != Pack.State.READY:
        raise Conflict(f"this pack is {pack.get_state_display().lower()}; there is no file of it")
    if not pack.can_be_taken:
        raise Conflict(f"{file_gone(pack)}; order it again")
    content = artifact_store().get(current_tenant_id(), pack.sha256, size=pack.size)
    ledger.record(
        "pack.download",
        by=actor,
        on=pack,
        facts={"sha256": pack.sha256, "size": pack.size, "about": pack.object_id},
    )
    return HttpResponse(
        content,
        content_type="application/zip",
        headers={"Content-Disposition": f'attachment; filename="{pack_filename(pack)}"'},
    )


def file_gone(pack: Pack) -> str:
    """Why a pack that was built cannot be downloaded any more."""
    if pack.deleted_at is not None:
        return f"the file of this pack was deleted on {pack.deleted_at:%Y-%m-%d}"
    return f"this pack could be downloaded until {pack.expires_at:%Y-%m-%d}"


def pack_filename(pack: Pack) -> str:
    """What the file is called once it is saved."""
    return f"countersign-pack-{str(pack.pk)[:8]}.zip"
