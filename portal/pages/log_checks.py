"""Verify now: the whole log counted again, while you watch."""

from uuid import UUID

from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from agent import log_check
from authz.decisions import may, require
from authz.people import AsTenant
from authz.permissions import Permission
from evidence.models import LogCheck
from portal.http import PortalRequest
from tenants.scope import current_tenant_id

ROWS = 25


@require_http_methods(["GET", "POST"])
def checks(request: PortalRequest) -> HttpResponse:
    """When the log was counted before, newest first. Posting has it counted now."""
    if request.method == "POST":
        asked = log_check.ask_for_check(by=request.actor)
        return redirect("log-check", asked.pk)
    _require_view(request)
    rows = LogCheck.objects.order_by("-created_at", "pk")
    context = {
        "page": Paginator(rows, ROWS).get_page(request.GET.get("page")),
        "may_verify": may(request.actor, Permission.LEDGER_VERIFY, AsTenant(current_tenant_id())),
    }
    return render(request, "ledger/checks.html", context)


@require_GET
def check(request: PortalRequest, check_id: UUID) -> HttpResponse:
    """How far one count is, and what came of it."""
    _require_view(request)
    found: LogCheck = get_object_or_404(LogCheck, pk=check_id)
    unfinished = found.state in log_check.UNFINISHED
    context = {
        "check": found,
        "unfinished": unfinished,
        "took": found.finished_at - found.created_at if found.finished_at else None,
        "may_verify": not unfinished
        and may(request.actor, Permission.LEDGER_VERIFY, AsTenant(current_tenant_id())),
    }
    template = "ledger/check.html#status" if request.htmx else "ledger/check.html"
    return render(request, template, context)


def _require_view(request: PortalRequest) -> None:
    require(request.actor, Permission.LEDGER_VIEW, AsTenant(current_tenant_id()))
