"""Everything of the tenant as one file: ordering it, watching it being written, taking it away."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from agent import pack_orders
from authz.decisions import require
from authz.errors import Conflict
from authz.people import AsTenant
from authz.permissions import Permission
from evidence.models import Pack
from portal.http import PortalRequest
from portal.packs import export_seen_by, pack_download
from tenants.scope import current_tenant_id

SHOWN = 20


@require_http_methods(["GET", "POST"])
def exports(request: PortalRequest) -> HttpResponse:
    """The newest exports with their state. Posting orders another one."""
    require(request.actor, Permission.EXPORT_ORDER, AsTenant(current_tenant_id()))
    problem = ""
    if request.method == "POST":
        try:
            pack_orders.order_export(by=request.actor)
        except Conflict as conflict:
            problem = str(conflict)
        else:
            return redirect("exports")
    rows = list(Pack.objects.filter(kind=Pack.Kind.EXPORT).order_by("-created_at")[:SHOWN])
    context: dict[str, Any] = {
        "exports": rows,
        "unfinished": any(row.unfinished for row in rows),
        "days": settings.PACK_DAYS,
        "problem": problem,
    }
    polled = request.htmx and request.htmx.target == "status"
    template = "settings/exports.html#status" if polled else "settings/exports.html"
    return render(request, template, context, status=409 if problem else 200)


@require_GET
def download(request: PortalRequest, export_id: UUID) -> StreamingHttpResponse:
    """The file. Taking it leaves an entry in the ledger."""
    return pack_download(request, export_seen_by(request.actor, export_id))
