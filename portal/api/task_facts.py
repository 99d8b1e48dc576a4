"""What every task shows, whatever was asked for."""

from datetime import datetime
from uuid import UUID

from django.shortcuts import get_object_or_404
from ninja import Schema
from pydantic import Field

from agent.loop import Phase
from agent.models import Action, Repository, Task
from authz.decisions import visible
from authz.permissions import Permission
from portal.api.fields import Named, one_of
from portal.http import PortalRequest


class TaskFacts(Schema):
    """Where a task stands."""

    id: UUID
    short: str = Field(description="How people refer to it.", examples=["T-1a2b3c4d"])
    title: str = Field(alias="goal")
    state: str = one_of(Task.State.values)
    phase: str = one_of(Phase)
    reason: str = Field(description="Why it ended as it did; empty while it runs.")
    repository: Named
    requester: Named = Field(alias="owner")
    branch: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    proposal_id: UUID | None = Field(description="The pull request that it led to.")

    @staticmethod
    def resolve_proposal_id(task: Task) -> UUID | None:
        proposal = getattr(task, "proposal", None)
        return proposal.pk if proposal else None


class StepFacts(Schema):
    """One tool call with what came back."""

    number: int
    tool: str
    status: str = one_of(Action.Status.values)
    observation: str
    outputs: dict[str, str] = Field(description="Name to SHA-256 of what it left behind.")
    duration_ms: int
    started_at: datetime


class PlannedStep(Schema):
    """A tool call that the plan foresees."""

    tool: str
    why: str


class PlanFacts(Schema):
    """What the agent set out to do."""

    steps: list[PlannedStep]
    approvals: list[str] = Field(description="What people must do before the result counts.")
    risk_score: float = Field(description="0 (none) to 1.")
    digest: str = Field(description="What an approval has to name.")


def repository_for(request: PortalRequest, repository_id: UUID) -> Repository:
    """The repository that a task is asked for in. 404 where the caller may not see it."""
    rows = visible(request.actor, Permission.REPOSITORY_VIEW, Repository.objects.all())
    found: Repository = get_object_or_404(rows, pk=repository_id)
    return found
