"""How repairs run in a project: which plans wait for a person, which tests count for nothing."""

from datetime import datetime
from uuid import UUID

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from ninja import Query, Router, Schema, Status
from pydantic import ConfigDict, Field

from agent import lifecycle
from agent.models import FlakyTest, PlanRule
from authz.decisions import visible
from authz.permissions import Permission
from portal.api.fields import Named, one_of
from portal.api.paging import Page, Paging
from portal.api.problems import CHANGE, READ_MANY, READ_ONE
from portal.directory import projects_seen_by
from portal.http import PortalRequest

router = Router(tags=["Tasks"])
flaky = Router(tags=["Tasks"])


class PlanRuleIn(Schema):
    """Which plans wait for a second person before anything is done."""

    model_config = ConfigDict(extra="forbid")

    ask: str = one_of(PlanRule.Ask.values, "Whether plans wait: all, risky ones, none.")
    risk_from: float = Field(0.5, description="The risk from which risky plans wait, 0 to 1.")


class PlanRuleOut(Schema):
    """The rule that holds in a project."""

    ask: str = one_of(PlanRule.Ask.values)
    risk_from: float
    said: str = Field(description="The same in words.")


class FlakyTestOut(Schema):
    """A test that passed and failed on the same code; it counts for nothing."""

    id: UUID
    test: str
    repository: Named
    seen_by: UUID = Field(alias="seen_by_id", description="The repair that saw it.")
    first_seen: datetime


@router.get("/{project_id}", response={200: PlanRuleOut, **READ_ONE})
def read_plan_rule(request: PortalRequest, project_id: UUID) -> PlanRule:
    """Which plans of a project wait."""
    return PlanRule.of(get_object_or_404(projects_seen_by(request.actor), pk=project_id))


@router.put("/{project_id}", response={200: PlanRuleOut, **CHANGE})
def change_plan_rule(request: PortalRequest, project_id: UUID, wanted: PlanRuleIn) -> PlanRule:
    """Say which plans of a project wait. Plans that were made before stay as they are."""
    project = get_object_or_404(projects_seen_by(request.actor), pk=project_id)
    return lifecycle.change_plan_rule(project, wanted.ask, wanted.risk_from, by=request.actor)


@flaky.get("", response={200: Page[FlakyTestOut], **READ_MANY}, by_alias=False)
def list_flaky_tests(request: PortalRequest, paging: Query[Paging]) -> dict[str, object]:
    """Tests that were set aside, in the repositories that the caller may see."""
    return paging.of(_set_aside(request))


@flaky.post("/{flaky_id}/release", response={204: None, **CHANGE})
def release_flaky_test(request: PortalRequest, flaky_id: UUID) -> Status[None]:
    """Let a test count again; it is set aside anew when it is seen to differ."""
    lifecycle.release_flaky_test(
        get_object_or_404(_set_aside(request), pk=flaky_id), by=request.actor
    )
    return Status(204, None)


def _set_aside(request: PortalRequest) -> QuerySet[FlakyTest]:
    rows = FlakyTest.objects.select_related("repository").order_by("repository__name", "test")
    return visible(request.actor, Permission.REPOSITORY_VIEW, rows, "repository", "repository__")
