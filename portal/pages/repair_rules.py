"""How repairs run in one project: which plans wait for a person, which tests count for nothing."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from agent import lifecycle
from agent.models import FlakyTest, PlanRule
from authz.decisions import may, visible
from authz.errors import BadRequest
from authz.permissions import Permission
from portal.directory import project_seen_by
from portal.http import PortalRequest
from portal.pages import lists
from tenants.models import Project

ASKS = (
    (PlanRule.Ask.RISKY, "Plans from a risk on wait for a second person"),
    (PlanRule.Ask.ALWAYS, "Every plan waits for a second person"),
    (PlanRule.Ask.NEVER, "No plan waits; the pull request is countersigned all the same"),
)
COLUMNS = {"test": "test", "repository": "repository__name", "when": "first_seen"}


@require_http_methods(["GET", "POST"])
def of_project(request: PortalRequest, project_id: UUID) -> HttpResponse:
    """The rule and the tests that were set aside. Posting changes the rule."""
    project = _found(request, project_id)
    if request.method == "GET":
        return _page(request, project, {}, {})
    typed = {name: request.POST.get(name, "").strip() for name in ("ask", "risk_from")}
    try:
        lifecycle.change_plan_rule(
            project, typed["ask"], _risk(typed["risk_from"], project), by=request.actor
        )
    except BadRequest as refusal:
        return _page(request, project, typed, refusal.errors, 422)
    messages.success(request, "Changed. Plans that are made from now on keep to it.")
    return redirect("repair-rules", project_id)


@require_POST
def release(request: PortalRequest, project_id: UUID, flaky_id: UUID) -> HttpResponse:
    """Let one test count again."""
    project = _found(request, project_id)
    flaky: FlakyTest = get_object_or_404(_set_aside(request, project), pk=flaky_id)
    lifecycle.release_flaky_test(flaky, by=request.actor)
    messages.success(request, f"{flaky.test} counts again from the next run on.")
    return redirect("repair-rules", project_id)


def _found(request: PortalRequest, project_id: UUID) -> Project:
    project = project_seen_by(request.actor, project_id)
    if project is None:
        raise Http404
    return project


def _risk(typed: str, project: Project) -> float:
    """The number typed; what holds now when the field was left empty."""
    if not typed:
        return PlanRule.of(project).risk_from
    try:
        return float(typed)
    except ValueError:
        raise BadRequest({"risk_from": f"“{typed}” is not a number from 0 to 1"}) from None


def _set_aside(request: PortalRequest, project: Project) -> Any:
    rows = FlakyTest.objects.filter(repository__project=project)
    seen = visible(request.actor, Permission.REPOSITORY_VIEW, rows, "repository", "repository__")
    return seen.select_related("repository", "seen_by")


def _page(
    request: PortalRequest,
    project: Project,
    typed: dict[str, str],
    errors: dict[str, str],
    status: int = 200,
) -> HttpResponse:
    rule = PlanRule.of(project)
    context = {
        "project": project,
        "rule": rule,
        "asks": ASKS,
        "typed": {"ask": rule.ask, "risk_from": f"{rule.risk_from:g}", **typed},
        "errors": errors,
        "may_change": may(request.actor, Permission.PLAN_RULE_CHANGE, project),
        "may_release": may(request.actor, Permission.FLAKY_TEST_RELEASE, project),
        **lists.page_of(request, _set_aside(request, project), COLUMNS, first="test"),
    }
    return render(request, "tasks/rules.html", context, status=status)
