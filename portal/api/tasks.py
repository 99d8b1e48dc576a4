"""Tasks: asking for them, following the agent, deciding about its plan, taking it back."""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from ninja import Query, Router, Schema, Status
from pydantic import ConfigDict, Field

from agent import lifecycle
from agent.bugs import FRAMEWORKS, HOWS
from agent.changes import PACKAGES, REFACTORINGS
from agent.models import Action, ChangeReport, Fix, Message, Plan, Task
from authz.decisions import visible
from authz.permissions import Permission
from portal.api.fields import Named, Text, one_of
from portal.api.paging import Page, Paging
from portal.api.problems import CHANGE, READ_MANY, READ_ONE
from portal.api.task_facts import PlanFacts, StepFacts, TaskFacts, repository_for
from portal.http import PortalRequest

router = Router(tags=["Tasks"])


class Budgets(Schema):
    """What a task may take; what is left out has a default."""

    model_config = ConfigDict(extra="forbid")

    wall_s: float | None = Field(None, description="Seconds at work.")
    steps: int | None = Field(None, description="Tool calls.")
    tokens: int | None = Field(None, description="Of language models.")
    usd: float | None = Field(None, description="US dollars, for language models.")


class TaskIn(Schema):
    """A bug that the agent is asked to repair."""

    model_config = ConfigDict(extra="forbid")

    repository: UUID
    title: Text = Field(max_length=120)
    what_is_wrong: Text = Field(max_length=4000, description="What happens, what should happen.")
    how: str = one_of(HOWS, "How the failing test is known.")
    code: Text = Field("", max_length=20_000, description="The test file, when it is pasted.")
    names: list[Text] = Field(default_factory=list, description="Failing tests, when named.")
    compliance: list[str] = Field(
        default_factory=list,
        description="Frameworks to keep to.",
        json_schema_extra={"items": {"type": "string", "enum": list(FRAMEWORKS)}},
    )
    budgets: Budgets | None = None


class UpgradeIn(Schema):
    """Packages that the agent is asked to bring to other versions, in one pull request.

    They come from wheels of the repository and of this installation, and from the registry that
    the task's report names, where the operator lets one be asked.
    """

    model_config = ConfigDict(extra="forbid")

    repository: UUID
    package: Text = Field(max_length=100, examples=["requests"])
    version: Text = Field("", max_length=60, description="Empty for the newest that is allowed.")
    also: list[Text] = Field(
        default_factory=list,
        max_length=PACKAGES - 1,
        description="More packages, by name or as name==version.",
        examples=[["urllib3==2.5.0", "idna"]],
    )
    why: Text = Field("", max_length=4000)
    budgets: Budgets | None = None


class RefactoringIn(Schema):
    """A definition to rename or to move, or lines to make a function of."""

    model_config = ConfigDict(extra="forbid")

    repository: UUID
    how: str = one_of(REFACTORINGS)
    name: Text = Field("", max_length=600, examples=["shop.pricing.total"])
    new_name: Text = Field(max_length=600, description="Dotted too, but of lines a bare name.")
    path: Text = Field("", max_length=500, description="Of lines: their file.")
    first: int = Field(0, ge=0, description="Of lines: the first, from 1.")
    last: int = Field(0, ge=0, description="Of lines: the last.")
    why: Text = Field("", max_length=4000)
    budgets: Budgets | None = None


class TaskOut(TaskFacts):
    """A task. Adding a field is safe; removing one is not."""

    kind: str = one_of(Task.Kind.values)


class TaskStep(StepFacts):
    """One tool call with all that was given to it and came back."""

    params: dict[str, Any]
    result: dict[str, Any] = Field(description="As the tool's contract describes it.")
    reserved: dict[str, Any] = Field(description="What was set aside before it began.")
    cost_tokens: int
    cost_usd: float = Field(description="US dollars.")


class TaskPlan(PlanFacts):
    """What the agent set out to do, and whether a person has to let it."""

    tools: list[str]
    compliance_targets: list[str]
    waits_because: str = Field(description="Empty: it waits for nobody.")
    approved_by: str


class TaskMessage(Schema):
    """What a person said to the task."""

    author: Named
    text: str
    created_at: datetime
    read_before: int | None = Field(description="Number of the step before which it was read.")


class TaskFix(Schema):
    """What was wrong, what was changed, the proof that it helps."""

    explanation: dict[str, Any]
    proof: dict[str, Any]
    proof_sha256: str
    confidence: float = Field(description="0 to 1.")


class TaskChange(Schema):
    """What an upgrade or a refactoring changed, what the tests say of it."""

    report: dict[str, Any]
    report_sha256: str


class TaskDetail(TaskOut):
    """A task with everything it did so far."""

    report: dict[str, Any] = Field(alias="constraints", description="What was reported.")
    budgets: dict[str, Any]
    plan: TaskPlan | None
    steps: list[TaskStep]
    messages: list[TaskMessage]
    fix: TaskFix | None
    change: TaskChange | None

    @staticmethod
    def resolve_change(task: Task) -> ChangeReport | None:
        return getattr(task, "change_report", None)

    @staticmethod
    def resolve_plan(task: Task) -> Plan | None:
        return getattr(task, "plan", None)

    @staticmethod
    def resolve_steps(task: Task) -> QuerySet[Action]:
        return task.actions.all()

    @staticmethod
    def resolve_messages(task: Task) -> QuerySet[Message]:
        return task.messages.select_related("author")

    @staticmethod
    def resolve_fix(task: Task) -> Fix | None:
        return getattr(task, "fix", None)


class PlanAnswer(Schema):
    """Yes to a plan, by the digest of what was read."""

    digest: Text


class PlanRefusal(PlanAnswer):
    """No to a plan, with the reason."""

    comment: Text = Field(min_length=1, max_length=4000)


class Said(Schema):
    """A message to a running task."""

    text: Text = Field(min_length=1, max_length=4000)


class Resumption(Schema):
    """New limits, where the old ones were not enough. Larger ones take `budget.raise`."""

    budgets: Budgets | None = None


def _filed(
    request: PortalRequest, wanted: TaskIn | UpgradeIn | RefactoringIn, file: Callable[..., Task]
) -> Status[Task]:
    task = file(
        wanted.dict(exclude={"repository", "budgets"}),
        repository=repository_for(request, wanted.repository),
        owner=request.user,
        by=request.actor,
        budgets=_limits(wanted.budgets),
    )
    return Status(201, _found(request, task.pk))


@router.get("", response={200: Page[TaskOut], **READ_MANY}, by_alias=False)
def list_tasks(request: PortalRequest, paging: Query[Paging]) -> dict[str, object]:
    """Repairs, upgrades and refactorings that the caller may see, newest first."""
    return paging.of(_seen_by(request).exclude(kind=Task.Kind.RECOMMENDATION))


@router.post("", response={201: TaskDetail, **CHANGE}, by_alias=False)
def file_task(request: PortalRequest, wanted: TaskIn) -> Status[Task]:
    """Ask for a repair. The agent starts as soon as a worker is free."""
    return _filed(request, wanted, lifecycle.file_bugfix)


@router.post("/upgrades", response={201: TaskDetail, **CHANGE}, by_alias=False)
def file_upgrade(request: PortalRequest, wanted: UpgradeIn) -> Status[Task]:
    """Ask for another version of a package. What stands in the way is told by the task."""
    return _filed(request, wanted, lifecycle.file_upgrade)


@router.post("/refactorings", response={201: TaskDetail, **CHANGE}, by_alias=False)
def file_refactoring(request: PortalRequest, wanted: RefactoringIn) -> Status[Task]:
    """Ask for a rename, a move or an extraction. What stands in the way is told by the task."""
    return _filed(request, wanted, lifecycle.file_refactoring)


@router.get("/{task_id}", response={200: TaskDetail, **READ_ONE}, by_alias=False)
def read_task(request: PortalRequest, task_id: UUID) -> Task:
    """One task: plan, steps, messages, what came of it."""
    return _found(request, task_id)


@router.post("/{task_id}/approval", response={202: TaskDetail, **CHANGE}, by_alias=False)
def approve_plan(request: PortalRequest, task_id: UUID, answer: PlanAnswer) -> Status[Task]:
    """Let the agent carry its plan out. 409 when it is another plan, or does not wait."""
    lifecycle.approve_plan(_found(request, task_id), answer.digest, by=request.actor)
    return Status(202, _found(request, task_id))


@router.post("/{task_id}/refusal", response={202: TaskDetail, **CHANGE}, by_alias=False)
def refuse_plan(request: PortalRequest, task_id: UUID, answer: PlanRefusal) -> Status[Task]:
    """Do not let the plan run; the task ends."""
    lifecycle.refuse_plan(
        _found(request, task_id), answer.digest, by=request.actor, comment=answer.comment
    )
    return Status(202, _found(request, task_id))


@router.post("/{task_id}/messages", response={201: TaskMessage, **CHANGE}, by_alias=False)
def say_to_task(request: PortalRequest, task_id: UUID, said: Said) -> Status[Message]:
    """Tell a task something; tests and files named in it steer where the agent looks next."""
    message = lifecycle.say(
        _found(request, task_id), said.text, author=request.user, by=request.actor
    )
    return Status(201, message)


@router.post("/{task_id}/cancellation", response={202: TaskDetail, **CHANGE}, by_alias=False)
def cancel_task(request: PortalRequest, task_id: UUID) -> Status[Task]:
    """Stop a task, also in the middle of a step. 409 when it has ended already."""
    lifecycle.cancel(_found(request, task_id), by=request.actor)
    return Status(202, _found(request, task_id))


@router.post("/{task_id}/resumption", response={202: TaskDetail, **CHANGE}, by_alias=False)
def resume_task(request: PortalRequest, task_id: UUID, wanted: Resumption) -> Status[Task]:
    """Let a task that failed or ran out of budget go on after its last finished step."""
    lifecycle.resume(
        _found(request, task_id),
        by=request.actor,
        budgets=_limits(wanted.budgets),
    )
    return Status(202, _found(request, task_id))


@router.post("/{task_id}/undoing", response={202: TaskDetail, **CHANGE}, by_alias=False)
def undo_task(request: PortalRequest, task_id: UUID) -> Status[Task]:
    """Take a finished task back: its pull request is closed, its branch deleted."""
    lifecycle.undo(_found(request, task_id), by=request.actor)
    return Status(202, _found(request, task_id))


def _limits(budgets: Budgets | None) -> dict[str, Any]:
    return budgets.dict(exclude_none=True) if budgets else {}


def _seen_by(request: PortalRequest) -> QuerySet[Task]:
    tasks = Task.objects.select_related(
        "repository", "owner", "proposal", "plan", "fix", "change_report"
    )
    return visible(request.actor, Permission.TASK_VIEW, tasks)


def _found(request: PortalRequest, task_id: UUID) -> Task:
    return get_object_or_404(_seen_by(request), pk=task_id)
