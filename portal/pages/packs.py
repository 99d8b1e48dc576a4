"""Evidence packs: ordering one, watching it being built, taking it away."""

from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

from django.db.models import QuerySet
from django.http import Http404, HttpResponse, QueryDict, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from agent import pack_orders
from agent.models import Proposal, Repository
from agent.own_frameworks import known
from agent.pack_orders import PackOrder
from authz.decisions import may, require, visible
from authz.errors import BadRequest
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
    pack = pack_orders.export_pack(proposal, by=request.actor)
    return redirect("pack", pack.pk)


@require_GET
def listing(request: PortalRequest) -> HttpResponse:
    """Every pack that was ordered, newest first."""
    require(request.actor, Permission.PACK_EXPORT, AsTenant(current_tenant_id()))
    context = lists.page_of(
        request, Pack.objects.exclude(kind=Pack.Kind.EXPORT), COLUMNS, first="-when"
    )
    return render(request, "packs/list.html", context)


@require_http_methods(["GET", "POST"])
def order(request: PortalRequest) -> HttpResponse:
    """Order a pack about a repository, a period or a framework."""
    require(request.actor, Permission.PACK_EXPORT, AsTenant(current_tenant_id()))
    repositories = visible(request.actor, Permission.REPOSITORY_VIEW, Repository.objects.all())
    errors: dict[str, str] = {}
    typed = request.POST if request.method == "POST" else QueryDict()
    if request.method == "POST":
        try:
            return redirect("pack", _ordered(request, repositories).pk)
        except BadRequest as refusal:
            errors = refusal.errors
    context = {
        "typed": typed,
        "kind": typed.get("kind", Pack.Kind.PERIOD),
        "errors": errors,
        "repositories": repositories.order_by("name"),
        "frameworks": known().frameworks.values(),
    }
    return render(request, "packs/order.html", context, status=422 if errors else 200)


def _ordered(request: PortalRequest, repositories: QuerySet[Repository]) -> Pack:
    typed, errors = request.POST, {}
    days: dict[str, datetime | None] = {}
    for name in ("from", "to"):
        try:
            day = date.fromisoformat(typed[name]) if typed.get(name) else None
        except ValueError:
            errors[name] = "is no date; write it as 2026-11-23"
            continue
        # A period ends with its last day.
        late = timedelta(days=1) if name == "to" else timedelta()
        days[name] = datetime.combine(day, time(), tzinfo=UTC) + late if day else None
    wanted = typed.get("sample", "").strip() or "0"
    if not wanted.isdecimal() or len(wanted) > 6:
        errors["sample"] = "is no whole number; give how many pull requests to draw"
    if errors:
        raise BadRequest(errors)
    kind = typed.get("kind", "")
    repository = None
    if kind == Pack.Kind.REPOSITORY and typed.get("repository"):
        repository = get_object_or_404(repositories, pk=_uuid(typed["repository"]))
    wished = PackOrder(
        kind,
        repository,
        typed.get("framework", "") if kind == Pack.Kind.FRAMEWORK else "",
        days["from"],
        days["to"],
        typed.get("nonce", "").strip(),
        int(wanted),
    )
    return pack_orders.order_pack(wished, by=request.actor)


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as fault:
        raise Http404 from fault


@require_POST
def again(request: PortalRequest, pack_id: UUID) -> HttpResponse:
    """Order a pack about the same once more, because the file of this one is gone."""
    pack = pack_seen_by(request.actor, pack_id)
    return redirect("pack", pack_orders.order_again(pack, by=request.actor).pk)


@require_GET
def detail(request: PortalRequest, pack_id: UUID) -> HttpResponse:
    """How far a pack is; when it is ready: the file, how to verify it."""
    pack = pack_seen_by(request.actor, pack_id)
    key = LogKey.objects.order_by("-valid_from").first()
    context = {
        "pack": pack,
        "unfinished": pack.unfinished,
        "filename": pack_filename(pack),
        "key": key,
        "may_see_people": may(request.actor, Permission.MEMBER_VIEW, pack),
    }
    polled = request.htmx and request.htmx.target == "status"
    template = "packs/detail.html"
    return render(request, f"{template}#status" if polled else template, context)


@require_GET
def download(request: PortalRequest, pack_id: UUID) -> StreamingHttpResponse:
    """The file. Taking it leaves an entry in the ledger."""
    return pack_download(request, pack_seen_by(request.actor, pack_id))
