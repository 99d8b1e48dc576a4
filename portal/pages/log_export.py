"""Where the log is copied to: destinations with their state, and the form that adds one."""

from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from authz import log_export
from authz.decisions import require
from authz.errors import BadRequest
from authz.log_export import Said
from authz.models import LogDestination
from authz.people import AsTenant
from authz.permissions import Permission
from evidence.models import LogHead
from portal.http import PortalRequest
from tenants.scope import current_tenant_id

Kind = LogDestination.Kind


@require_http_methods(["GET", "POST"])
def listing(request: PortalRequest) -> HttpResponse:
    """Destinations with how far each has got. Posting adds one."""
    _require(request)
    if request.method == "GET":
        return _page(request, Said(Kind.HEC, ""), {})
    said = _typed(request)
    try:
        added = log_export.add(said, from_now=request.POST.get("from") == "now", by=request.actor)
    except BadRequest as refusal:
        return _page(request, said, refusal.errors, 422)
    messages.success(request, f"{added.name} gets the log from entry {added.next_index} on")
    return redirect("log-export")


@require_http_methods(["GET", "POST"])
def destination(request: PortalRequest, destination_id: UUID) -> HttpResponse:
    """One destination's form. Posting changes it."""
    _require(request)
    known: LogDestination = get_object_or_404(log_export.destinations(), pk=destination_id)
    if request.method == "GET":
        return _form(request, known, Said(known.kind, known.name, known.address, "", known.trusted))
    said = _typed(request, known.kind)
    try:
        log_export.alter(known, said, by=request.actor)
    except BadRequest as refusal:
        return _form(request, known, said, refusal.errors, 422)
    messages.success(request, f"{said.name} is changed and tried again within seconds")
    return redirect("log-export")


@require_POST
def remove(request: PortalRequest, destination_id: UUID) -> HttpResponse:
    """Copy nothing there any more."""
    _require(request)
    known: LogDestination = get_object_or_404(log_export.destinations(), pk=destination_id)
    log_export.remove(known, by=request.actor)
    messages.success(request, f"{known.name} gets nothing any more. What is there stays there.")
    return redirect("log-export")


def _require(request: PortalRequest) -> None:
    require(request.actor, Permission.LOG_EXPORT_CHANGE, AsTenant(current_tenant_id()))


def _typed(request: PortalRequest, kind: str = "") -> Said:
    typed = request.POST
    return Said(
        kind or typed.get("kind", ""),
        typed.get("name", ""),
        typed.get("address", ""),
        typed.get("secret", ""),
        typed.get("trusted", ""),
    )


def _page(
    request: PortalRequest, said: Said, errors: dict[str, str], status: int = 200
) -> HttpResponse:
    head = LogHead.objects.first()
    size = head.size if head else 0
    rows = [(one, max(0, size - one.next_index)) for one in log_export.destinations()]
    context = {
        "destinations": rows,
        "size": size,
        "said": said,
        "errors": errors,
        "kinds": _kinds(),
    }
    return render(request, "settings/log_export.html", context, status=status)


def _form(
    request: PortalRequest,
    known: LogDestination,
    said: Said,
    errors: dict[str, str] | None = None,
    status: int = 200,
) -> HttpResponse:
    context = {"destination": known, "said": said, "errors": errors or {}}
    return render(request, "settings/log_destination.html", context, status=status)


def _kinds() -> list[tuple[str, str]]:
    kinds = [
        (Kind.HEC, "Splunk or another HTTP event collector"),
        (Kind.SYSLOG, "Syslog over TLS"),
    ]
    if settings.LOG_COPIES_DIR is not None:
        kinds.append((Kind.FILE, "A file of JSON lines on this server"))
    return [(str(kind), words) for kind, words in kinds]
