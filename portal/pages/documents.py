"""Documents that people bring as evidence for controls: the list, adding one, deciding about it."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from agent import control_documents
from agent.control_documents import LARGEST, open_controls, today
from agent.own_frameworks import known
from authz.decisions import may, require
from authz.errors import BadRequest
from authz.people import AsTenant
from authz.permissions import Permission
from evidence.controls import Framework
from evidence.models import ControlDocument
from portal.http import PortalRequest
from tenants.scope import current_tenant_id

ROWS = 25
State = ControlDocument.State


@require_GET
def listing(request: PortalRequest) -> HttpResponse:
    """Every document, newest first; the address may say of which state."""
    _require_view(request)
    wanted = request.GET.get("state", "")
    rows = ControlDocument.objects.order_by("-created_at", "pk")
    if wanted == "expired":
        rows = rows.filter(state=State.ACCEPTED, valid_until__lt=today())
    elif wanted == "counts":
        rows = rows.filter(state=State.ACCEPTED, valid_until__gte=today())
    elif wanted in State.values:
        rows = rows.filter(state=wanted)
    page = Paginator(rows, ROWS).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "rows": [(row, shown_state(row)) for row in page],
        "wanted": wanted,
        "waiting": ControlDocument.objects.filter(state=State.WAITING).count(),
        "may_add": may(request.actor, Permission.DOCUMENT_ADD, _tenant()),
    }
    return render(request, "controls/documents.html", context)


@require_http_methods(["GET", "POST"])
def new(request: PortalRequest) -> HttpResponse:
    """A form for a document, or (`replaces`) for a newer version of one."""
    require(request.actor, Permission.DOCUMENT_ADD, _tenant())
    errors: dict[str, str] = {}
    replaces = _replaced(request)
    if request.method == "POST":
        try:
            row = _added(request, replaces)
        except BadRequest as refusal:
            errors = refusal.errors
        else:
            messages.success(request, "The document is kept and waits for a second person.")
            return redirect("document", row.pk)
    context = _form(request, replaces) | {"errors": errors, "largest": LARGEST}
    return render(request, "controls/document_new.html", context, status=422 if errors else 200)


@require_http_methods(["GET", "POST"])
def detail(request: PortalRequest, document_id: UUID) -> HttpResponse:
    """One document with its versions. Posting accepts, refuses or withdraws it."""
    _require_view(request)
    row: ControlDocument = get_object_or_404(ControlDocument, pk=document_id)
    errors: dict[str, str] = {}
    if request.method == "POST":
        try:
            return _answered(request, row)
        except BadRequest as refusal:
            errors = refusal.errors
    versions = ControlDocument.objects.filter(series=row.series).order_by("-version")
    places = control_documents.entries_about([one.pk for one in versions])
    names = {
        control.name: (framework, control)
        for framework in known().frameworks.values()
        for control in framework.controls
    }
    waiting = row.state == State.WAITING
    context = {
        "document": row,
        "state": shown_state(row),
        "versions": [(one, shown_state(one)) for one in versions],
        "entries": places.get(str(row.pk), []),
        "controls": [(name, *names.get(name, (None, None))) for name in row.controls],
        "errors": errors,
        "may_decide": waiting and may(request.actor, Permission.DOCUMENT_APPROVE, row),
        "is_own": waiting and row.requester_id == request.actor.id,
        "may_add": may(request.actor, Permission.DOCUMENT_ADD, _tenant()),
        "may_withdraw": row.state in (State.WAITING, State.ACCEPTED)
        and may(request.actor, Permission.DOCUMENT_ADD, row),
    }
    return render(request, "controls/document.html", context, status=422 if errors else 200)


@require_GET
def download(request: PortalRequest, document_id: UUID) -> HttpResponse:
    """The file itself, to save; recorded."""
    _require_view(request)
    row: ControlDocument = get_object_or_404(ControlDocument, pk=document_id)
    content = control_documents.content_of(row, by=request.actor)
    return HttpResponse(
        content,
        # Whatever somebody uploaded: no browser shall show or run it here.
        content_type="application/octet-stream",
        headers={"Content-Disposition": f'attachment; filename="{row.filename}"'},
    )


def shown_state(row: ControlDocument) -> str:
    """Its state as people see it: one that was accepted also says whether it still counts."""
    if row.state == State.ACCEPTED and row.valid_until < today():
        return "expired"
    return str(row.state)


def _added(request: PortalRequest, replaces: ControlDocument | None) -> ControlDocument:
    file = request.FILES.get("file")
    if file is not None and (file.size or 0) > LARGEST:
        # Not even read: it would be held in memory.
        raise BadRequest({"file": f"has {file.size:,} bytes; at most {LARGEST >> 20} MiB are kept"})
    return control_documents.add_document(
        {**request.POST.dict(), "controls": request.POST.getlist("controls")},
        file.read() if file else b"",
        (file.name or "") if file else "",
        replaces=replaces,
        by=request.actor,
    )


def _answered(request: PortalRequest, row: ControlDocument) -> HttpResponse:
    reason = request.POST.get("reason", "")
    match request.POST.get("answer", ""):
        case "accept":
            digest = request.POST.get("sha256", "")
            control_documents.accept_document(row, digest, by=request.actor)
            messages.success(request, "Accepted: it counts from now on.")
        case "refuse":
            control_documents.refuse_document(row, reason, by=request.actor)
            messages.success(request, "Refused: it counts for nothing.")
        case "withdraw":
            control_documents.withdraw_document(row, reason, by=request.actor)
            messages.success(request, "Withdrawn: it counts no longer.")
        case _:
            raise BadRequest({"answer": "expected accept, refuse or withdraw"})
    return redirect("document", row.pk)


def _replaced(request: PortalRequest) -> ControlDocument | None:
    text = request.POST.get("replaces", "") or request.GET.get("replaces", "")
    try:
        return get_object_or_404(ControlDocument, pk=UUID(text)) if text else None
    except ValueError:
        return None


def _form(request: PortalRequest, replaces: ControlDocument | None) -> dict[str, Any]:
    """What the form shows: as typed, as the earlier version has it, or empty."""
    chosen = request.POST.getlist("controls") or request.GET.getlist("control")
    typed = {name: request.POST.get(name, "") for name in ("title", "owner", "valid_until", "note")}
    if replaces is not None and request.method == "GET":
        chosen = replaces.controls
        typed |= {"title": replaces.title, "owner": replaces.owner_name, "note": replaces.note}
    framework = _framework(request, chosen)
    return {
        "typed": typed,
        "chosen": chosen,
        "replaces": replaces,
        "framework": framework,
        "frameworks": known().frameworks.values(),
        "groups": _open_groups(framework),
        "today": f"{today()}",
    }


def _framework(request: PortalRequest, chosen: list[str]) -> Framework:
    frameworks = known().frameworks
    wanted = request.POST.get("framework") or request.GET.get("framework") or ""
    if not wanted and chosen:
        wanted = chosen[0].partition(":")[0]
    return frameworks.get(wanted) or next(iter(frameworks.values()))


def _open_groups(framework: Framework) -> list[tuple[str, list[Any]]]:
    only = open_controls()
    groups: dict[str, list[Any]] = {}
    for control in framework.controls:
        if control.name in only:
            groups.setdefault(control.group, []).append(control)
    return list(groups.items())


def _tenant() -> AsTenant:
    return AsTenant(current_tenant_id())


def _require_view(request: PortalRequest) -> None:
    require(request.actor, Permission.LEDGER_VIEW, _tenant())
