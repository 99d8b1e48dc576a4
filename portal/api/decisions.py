"""What the caller may do, asked before it is tried."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from ninja import Router, Schema
from pydantic import Field

from agent.models import Proposal, Repository, Task
from authz.decisions import Decision, decide, note, visible
from authz.errors import BadRequest
from authz.people import AsTenant
from authz.permissions import Permission
from evidence.models import Pack
from portal.api.fields import one_of
from portal.api.problems import READ_MANY
from portal.http import PortalRequest
from tenants.models import Project
from tenants.scope import current_tenant_id

router = Router(tags=["Decisions"])

# By type: where its rows are, and the right to know that one is there.
KINDS: dict[str, tuple[Any, Permission]] = {
    "project": (Project, Permission.MEMBER_VIEW),
    "repository": (Repository, Permission.REPOSITORY_VIEW),
    "task": (Task, Permission.TASK_VIEW),
    "proposal": (Proposal, Permission.PROPOSAL_VIEW),
    "pack": (Pack, Permission.PROPOSAL_VIEW),
}
TENANT = "tenant"
MOST = 100


class Question(Schema):
    """Whether the caller may do one thing to one object."""

    permission: str = one_of([str(permission) for permission in Permission])
    type: str = one_of([TENANT, *KINDS])
    id: UUID | None = Field(None, description="Of the object; none for the tenant.")


class Questions(Schema):
    """Several questions, answered one by one."""

    questions: list[Question] = Field(min_length=1, max_length=MOST)


class Answer(Schema):
    """Yes or no. An object that the caller may not know about is answered like one not there."""

    allowed: bool
    reasons: list[str]
    revision: str = Field(description="State of the relations that it was read from.")


@router.post("", response={200: list[Answer], **READ_MANY})
def decide_many(request: PortalRequest, asked: Questions) -> list[Answer]:
    """Ask what you may do, at most 100 at once. Nothing is done, and each answer is on record."""
    for number, question in enumerate(asked.questions):
        if question.permission not in list(Permission):
            raise BadRequest({f"questions.{number}.permission": f"no such: {question.permission}"})
        if question.type != TENANT and (question.type not in KINDS or question.id is None):
            expected = f"expected tenant, or one of {', '.join(KINDS)} with an id"
            raise BadRequest({f"questions.{number}.type": expected})
    return [_answer(request, question) for question in asked.questions]


def _answer(request: PortalRequest, question: Question) -> Answer:
    on = _object(request, question)
    if on is None:
        return Answer(allowed=False, reasons=["there is nothing here with this id"], revision="")
    decision: Decision = decide(request.actor, Permission(question.permission), on)
    note(request.actor, on, decision)
    revision = decision.explanation.revision if decision.explanation else ""
    return Answer(allowed=decision.allowed, reasons=decision.reasons, revision=revision)


def _object(request: PortalRequest, question: Question) -> Any:
    if question.type == TENANT:
        return AsTenant(current_tenant_id())
    model, view = KINDS[question.type]
    rows: QuerySet[Any] = model.objects.filter(pk=question.id)
    return visible(request.actor, view, rows).first()
