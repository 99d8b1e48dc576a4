"""Recommendation tasks: asking for one, following it, stopping it."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from ninja import Query, Router, Schema, Status
from pydantic import ConfigDict, Field

from agent import lifecycle
from agent.models import Action, Plan, Task
from agent.places import catalogue, shared_catalogue
from agent.recommender import BadConstraints, Constraints
from agent.recommender.constraints import (
    COMPLIANCE_TARGETS,
    HOSTING,
    LICENCE_POLICIES,
    RUN_BY,
)
from authz.decisions import visible
from authz.errors import BadRequest
from authz.permissions import Permission
from portal.api.fields import one_of
from portal.api.paging import Page, Paging
from portal.api.problems import CHANGE, READ_MANY, READ_ONE, Problem
from portal.api.task_facts import PlanFacts, StepFacts, TaskFacts, repository_for
from portal.http import PortalRequest

router = Router(tags=["Recommendations"])


def _names(description: str, words: Iterable[str] = ()) -> Any:
    items: dict[str, Any] = {"items": {"type": "string", "enum": list(words)}} if words else {}
    return Field(default_factory=list, description=description, json_schema_extra=items)


def _number(description: str) -> Any:
    return Field(None, gt=0, description=description)


class Wanted(Schema):
    """Constraints of a recommendation, the same as in the form."""

    model_config = ConfigDict(extra="forbid")

    title: str = Field(max_length=120, examples=["Customer portal"])
    building: str = Field("", description="What is being built, in sentences.")
    skills: list[str] = _names("Languages and tools that the team knows.")
    already_run: list[str] = _names("Technologies that the organisation runs already.")
    leaving: list[str] = _names("Those of them that are to be replaced.")
    run_by: str = one_of(RUN_BY, "Who will keep it running.", RUN_BY[0])
    requests_per_second: float | None = _number("Peak load, requests a second.")
    data_gb: float | None = _number("Data kept, GB.")
    latency_budget_ms: float | None = _number("95th percentile, milliseconds.")
    hosting: str = one_of(HOSTING, "Where it may run.", HOSTING[0])
    regions: list[str] = _names("Regions that data may be in.")
    licence_policy: str = one_of(
        LICENCE_POLICIES, "Licences that may be used.", LICENCE_POLICIES[0]
    )
    monthly_budget_usd: float | None = _number("US dollars a month.")
    compliance: list[str] = _names("Frameworks to meet.", COMPLIANCE_TARGETS)
    must_haves: list[str] = _names("Capabilities or technologies that may not be missing.")
    must_nots: list[str] = _names("Technologies that may not be used.")
    priorities: list[str] = _names("Criteria, most important first.")
    layers: list[str] = _names("Layers to decide; empty for all.")
    horizon_months: int = Field(36, ge=1, le=120, description="How far ahead to look.")


class RecommendationIn(Wanted):
    """A request for a stack recommendation."""

    repository: UUID = Field(description="Repository that the result is proposed to.")


class RecommendationOut(TaskFacts):
    """A recommendation task. Adding a field is safe; removing one is not."""


class RecommendationDetail(RecommendationOut):
    """A recommendation task with everything it did so far."""

    constraints: dict[str, Any]
    budgets: dict[str, Any] = Field(description="wall_s: seconds from start to result.")
    plan: PlanFacts | None
    actions: list[StepFacts]

    @staticmethod
    def resolve_plan(task: Task) -> Plan | None:
        return getattr(task, "plan", None)

    @staticmethod
    def resolve_actions(task: Task) -> QuerySet[Action]:
        return task.actions.all()


@router.get("", response={200: Page[RecommendationOut], **READ_MANY}, by_alias=False)
def list_recommendations(request: PortalRequest, paging: Query[Paging]) -> dict[str, object]:
    """Recommendation tasks that the caller may see, newest first."""
    return paging.of(_seen_by(request))


@router.post("", response={201: RecommendationDetail, **CHANGE}, by_alias=False)
def file_recommendation(request: PortalRequest, wanted: RecommendationIn) -> Status[Task]:
    """Ask for a stack recommendation. The agent starts as soon as a worker is free."""
    repository = repository_for(request, wanted.repository)
    fields = wanted.dict(exclude={"repository"})
    try:
        Constraints.parse(fields, catalogue=catalogue())
    except BadConstraints as bad:
        raise BadRequest(bad.errors) from bad
    task = lifecycle.file_recommendation(
        fields,
        repository=repository,
        owner=request.user,
        by=request.actor,
    )
    return Status(201, task)


@router.get("/examples", response={200: list[Wanted], 401: Problem})
def list_examples(request: PortalRequest) -> list[Mapping[str, Any]]:
    """Requests to start from; add a repository, then post one."""
    return [dict(example) for example in shared_catalogue().examples]


@router.get(
    "/{recommendation_id}", response={200: RecommendationDetail, **READ_ONE}, by_alias=False
)
def read_recommendation(request: PortalRequest, recommendation_id: UUID) -> Task:
    """One task: how far it is, what it did, which proposal it led to."""
    return _found(request, recommendation_id)


@router.post(
    "/{recommendation_id}/cancellation",
    response={202: RecommendationDetail, **CHANGE},
    by_alias=False,
)
def cancel_recommendation(request: PortalRequest, recommendation_id: UUID) -> Status[Task]:
    """Stop a task before its next step. What it has done is kept.

    Answers 409 when it has ended already.
    """
    task = _found(request, recommendation_id)
    lifecycle.cancel(task, by=request.actor)
    return Status(202, task)


@router.post(
    "/{recommendation_id}/resumption",
    response={202: RecommendationDetail, **CHANGE},
    by_alias=False,
)
def resume_recommendation(request: PortalRequest, recommendation_id: UUID) -> Status[Task]:
    """Let a task that failed or ran out of time go on after its last finished step.

    Answers 409 when it is in any other state.
    """
    task = _found(request, recommendation_id)
    lifecycle.resume(task, by=request.actor)
    return Status(202, task)


def _seen_by(request: PortalRequest) -> QuerySet[Task]:
    tasks = Task.objects.filter(kind=Task.Kind.RECOMMENDATION)
    tasks = tasks.select_related("repository", "owner", "proposal", "plan")
    return visible(request.actor, Permission.TASK_VIEW, tasks)


def _found(request: PortalRequest, recommendation_id: UUID) -> Task:
    return get_object_or_404(_seen_by(request), pk=recommendation_id)
