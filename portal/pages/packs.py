"""Evidence packs: ordering one, watching it being built, taking it away."""

from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from agent import lifecycle
from agent.models import Proposal
from authz.decisions import may, require, visible
from authz.people import AsTenant
from authz.permissions import Permission
from evidence.models import LogKey, Pack
from portal.http import PortalRequest
from portal.packs import pack_download, pack_filename, pack_seen_by
from portal.pages import lists
from tenants.scope import current_tenant_id

COLUMNS = {
    "title": "title",
    "state": "state",
    "who": "requested_by_name",
    "when": "created_at",
    "size": "size",
}


@require_POST
def create(request: PortalRequest, proposal_id: UUID) -> HttpResponse:
    """Order the evidence pack of a proposal."""
    proposals = Proposal.objects.select_related("task")
    proposal = get_object_or_404(
        visible(request.actor, Permission.PROPOSAL_VIEW, proposals), pk=proposal_id
    )
    pack = lifecycle.export_pack(proposal, by=request.actor)
    return redirect("pack", pack.pk)


@require_GET
def listing(request: PortalRequest) -> HttpResponse:
    """Every pack that was ordered, newest first."""
    require(request.actor, Permission.PACK_EXPORT, AsTenant(current_tenant_id()))
    context = lists.page_of(request, Pack.objects.all(), COLUMNS, first="-when")
    return render(request, "packs/list.html", context)


@require_GET
def detail(request: PortalRequest, pack_id: UUID) -> HttpResponse:
    """How far a pack is; when it is ready: the file, how to verify it."""
    pack = pack_seen_by(request.actor, pack_id)
    key = LogKey.objects.order_by("-valid_from").first()
    context = {
        "pack": pack,
        "unfinished": pack.state in {Pack.State.QUEUED, Pack.State.BUILDING},
        "filename": pack_filename(pack),
        "key": key,
        "may_see_people": may(request.actor, Permission.MEMBER_VIEW, pack),
    }
    polled = request.htmx and request.htmx.target == "status"
    template = "packs/detail.html"
    return render(request, f"{template}#status" if polled else template, context)


@require_GET
def download(request: PortalRequest, pack_id: UUID) -> HttpResponse:
    """The file. Taking it leaves an entry in the ledger."""
    return pack_download(request.actor, pack_seen_by(request.actor, pack_id))
