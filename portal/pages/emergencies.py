"""Emergency access: operators of the platform who ask to come in, who was let in and when."""

from collections.abc import Callable
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from authz import emergency
from authz.decisions import may, require
from authz.errors import BadRequest
from authz.models import Emergency
from authz.people import AsTenant
from authz.permissions import Permission
from portal.http import PortalRequest
from portal.pages import lists
from tenants.actor import Actor
from tenants.scope import current_tenant_id

COLUMNS = {"operator": "operator", "state": "state", "when": "requested_at"}


def _end(one: Emergency, *, by: Actor) -> None:
    emergency.end(one, by=by, why="ended on the page")


# What the buttons say -> what they do, what is said afterwards.
ANSWERS: dict[str, tuple[Callable[..., None], str]] = {
    "approve": (
        emergency.approve,
        "{} may come in until the time is over; everybody here sees it.",
    ),
    "refuse": (emergency.refuse_access, "{} may not come in."),
    "end": (_end, "{} is out."),
}


@require_GET
def listing(request: PortalRequest) -> HttpResponse:
    """Every emergency, newest first; what waits for a decision has its buttons."""
    tenant = AsTenant(current_tenant_id())
    if not may(request.actor, Permission.EMERGENCY_END, tenant):
        require(request.actor, Permission.EMERGENCY_APPROVE, tenant)
    context = lists.page_of(request, Emergency.objects.all(), COLUMNS, first="-when")
    context["may_decide"] = may(request.actor, Permission.EMERGENCY_APPROVE, tenant)
    return render(request, "settings/emergencies.html", context)


@require_POST
def decide(request: PortalRequest, emergency_id: UUID) -> HttpResponse:
    """Approve, refuse, or end one: `answer` says which."""
    tenant = AsTenant(current_tenant_id())
    if not may(request.actor, Permission.EMERGENCY_END, tenant):
        require(request.actor, Permission.EMERGENCY_APPROVE, tenant)
    one: Emergency = get_object_or_404(Emergency, pk=emergency_id)
    answer = request.POST.get("answer", "")
    if answer not in ANSWERS:
        raise BadRequest({"answer": f"expected one of {', '.join(ANSWERS)}"})
    act, said = ANSWERS[answer]
    act(one, by=request.actor)
    messages.success(request, said.format(one.operator))
    return redirect("emergencies")
