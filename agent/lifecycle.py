"""What people may do with tasks, proposals, packs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from django.db import transaction

from agent import queue
from agent.errors import IllegalMove, StaleDigest
from agent.models import Action, Draft, Proposal, Repository, Review, Task
from agent.places import catalogue
from agent.recommender import BadConstraints, Constraints
from authz.change import change
from authz.errors import BadRequest
from authz.people import AsTenant
from authz.permissions import Permission
from evidence.controls import frameworks
from evidence.models import Pack
from tenants.actor import Actor
from tenants.models import User
from tenants.scope import current_tenant_id

NONCE_LIMIT = 200  # characters
WALL_SECONDS = 300  # time budget of a recommendation when the request names none


def file_recommendation(
    fields: Mapping[str, Any], *, repository: Repository, owner: User, by: Actor
) -> Task:
    """Ask for a stack recommendation; the agent starts as soon as a worker is free.

    fields: see Constraints.parse(). Raises Denied, or BadRequest with a message per field.
    """
    try:
        constraints = Constraints.parse(fields, catalogue=catalogue())
    except BadConstraints as error:
        raise BadRequest(error.errors) from error
    with change(by, Permission.RECOMMENDATION_CREATE, on=repository) as facts:
        task = Task(
            kind=Task.Kind.RECOMMENDATION,
            project_id=repository.project_id,
            repository=repository,
            goal=constraints.title,
            constraints=constraints.to_json(),
            budgets={"wall_s": WALL_SECONDS},
            owner=owner,
        )
        task.branch = f"countersign/{task.short.lower()}"
        task.save(force_insert=True)
        Draft.objects.filter(user=owner).delete()
        facts.about = task
        facts.update(repository=repository.name, constraints=task.constraints)
        # What changed in its documents since the last time; nothing to do takes no time.
        transaction.on_commit(partial(queue.index_repository, repository.pk))
        _queue(task)
    return task


def save_draft(
    fields: Mapping[str, Any], *, owner: User, repository: Repository, by: Actor
) -> None:
    """Keep what was typed so far, so that leaving the page loses nothing."""
    with change(by, Permission.RECOMMENDATION_CREATE, on=repository) as facts:
        draft, _ = Draft.objects.update_or_create(user=owner, defaults={"fields": dict(fields)})
        facts.about = draft


def cancel(task: Task, *, by: Actor) -> None:
    """Stop a task before its next step. What it has done is kept; its pull request is closed.

    Raises Denied or IllegalMove.
    """
    with change(by, Permission.TASK_CANCEL, on=task) as facts:
        running = Task.objects.filter(pk=task.pk, state__in=Task.RUNNING)
        if not running.update(cancel_asked_by=by.name):
            raise IllegalMove(f"{task.short} has ended already; there is nothing to cancel")
        facts["state"] = task.state
        _queue(task)


def resume(task: Task, *, by: Actor) -> None:
    """Let a task that failed or ran out of time go on after its last finished step.

    Raises Denied or IllegalMove.
    """
    with change(by, Permission.RECOMMENDATION_CREATE, on=task) as facts:
        task.move_to(Task.State.QUEUED, reason="", finished_at=None)
        Action.objects.filter(task=task, status=Action.Status.FAILED).update(
            status=Action.Status.STOPPED
        )
        facts["state"] = task.state
        _queue(task)


def countersign(
    proposal: Proposal, digest: str, *, reviewer: User, by: Actor, comment: str = ""
) -> None:
    """Let a proposal through. digest: of what the reviewer read.

    Raises Denied (the requester never may), StaleDigest when the proposal has changed since,
    IllegalMove when it was decided already or a check fails.
    """
    with change(by, Permission.PROPOSAL_COUNTERSIGN, on=proposal) as facts:
        _review(proposal, digest, Review.Verdict.COUNTERSIGNED, reviewer, comment)
        facts.update(
            digest=digest,
            head_sha=proposal.head_sha,
            diff_sha256=proposal.diff_sha256,
            comment=comment,
        )


def reject(proposal: Proposal, digest: str, *, reviewer: User, by: Actor, comment: str) -> None:
    """Turn a proposal down, with the reason; its pull request is closed.

    Raises Denied, StaleDigest, IllegalMove, or BadRequest when no reason is given.
    """
    if not comment.strip():
        raise BadRequest({"comment": "is empty; say why, so that the next attempt can be better"})
    with change(by, Permission.PROPOSAL_REJECT, on=proposal) as facts:
        _review(proposal, digest, Review.Verdict.REJECTED, reviewer, comment)
        facts.update(
            digest=digest,
            head_sha=proposal.head_sha,
            diff_sha256=proposal.diff_sha256,
            comment=comment,
        )


def export_pack(proposal: Proposal, *, by: Actor) -> Pack:
    """Ask for the evidence pack of a proposal; the evidence worker builds it."""
    with change(by, Permission.PACK_EXPORT, on=proposal) as facts:
        pack: Pack = Pack.objects.create(
            project_id=proposal.project_id,
            object_type="proposal",
            object_id=str(proposal.pk),
            title=proposal.title,
            requested_by=by.id,
            requested_by_name=by.name,
            run=str(proposal.run_id),
        )
        facts["pack"] = pack.pk
        transaction.on_commit(partial(queue.build_pack, pack.pk))
    return pack


@dataclass(frozen=True)
class PackOrder:
    """A pack about more than one proposal.

    kind: repository, period or framework. period_from, period_to: None is open. nonce: a word of
    the auditor's that nobody could foresee; with it, sample_size pull requests are drawn by lot.
    """

    kind: str
    repository: Repository | None = None
    framework: str = ""
    period_from: datetime | None = None
    period_to: datetime | None = None
    nonce: str = ""
    sample_size: int = 0


def order_pack(order: PackOrder, *, by: Actor) -> Pack:
    """Ask for a pack about a repository, a period or a framework; the evidence worker builds it.

    Raises Denied, or BadRequest with a message per field.
    """
    if problems := _problems(order):
        raise BadRequest(problems)
    tenant_id = current_tenant_id()
    about, title = AsTenant(tenant_id), "Everything recorded"
    object_type, object_id = "tenant", str(tenant_id)
    if order.repository is not None:
        object_type, object_id = "repository", str(order.repository.pk)
        title = f"Repository {order.repository.name}"
    elif order.framework:
        title = f"Evidence for {frameworks()[order.framework].title}"
    if order.period_from or order.period_to:
        days = [f"{day:%Y-%m-%d}" if day else "" for day in (order.period_from, order.period_to)]
        title += f", {days[0] or 'the beginning'} to {days[1] or 'now'}"
    with change(by, Permission.PACK_EXPORT, on=about) as facts:
        pack: Pack = Pack.objects.create(
            kind=order.kind,
            project_id=tenant_id,
            object_type=object_type,
            object_id=object_id,
            title=title,
            requested_by=by.id,
            requested_by_name=by.name,
            period_from=order.period_from,
            period_to=order.period_to,
            framework=order.framework,
            nonce=order.nonce,
            sample_size=order.sample_size,
        )
        facts.about = pack
        facts.update(
            kind=order.kind,
            object=object_id,
            period_from=order.period_from,
            period_to=order.period_to,
            framework=order.framework,
            nonce=order.nonce,
            sample_size=order.sample_size,
        )
        transaction.on_commit(partial(queue.build_pack, pack.pk))
    return pack


def _problems(order: PackOrder) -> dict[str, str]:
    problems = {}
    if order.kind not in {Pack.Kind.REPOSITORY, Pack.Kind.PERIOD, Pack.Kind.FRAMEWORK}:
        problems["kind"] = "is unknown; choose repository, period or framework"
    if (order.kind == Pack.Kind.REPOSITORY) != (order.repository is not None):
        problems["repository"] = "is needed for a pack about a repository, and only there"
    if (order.kind == Pack.Kind.FRAMEWORK) != bool(order.framework):
        problems["framework"] = "is needed for a pack about a framework, and only there"
    elif order.framework and order.framework not in frameworks():
        problems["framework"] = f"is unknown; choose one of {', '.join(frameworks())}"
    if order.period_from and order.period_to and order.period_from >= order.period_to:
        problems["to"] = "is not after the beginning; give a later day"
    if bool(order.nonce) != bool(order.sample_size):
        problems["nonce"] = "and the number to draw belong together; give both or neither"
    if len(order.nonce) > NONCE_LIMIT:
        problems["nonce"] = f"has {len(order.nonce)} characters; at most {NONCE_LIMIT} are kept"
    if order.sample_size < 0:
        problems["sample"] = "is negative; give how many pull requests to draw"
    return problems


def _queue(task: Task) -> None:
    # Only once committed: a worker must never look for a task that is not there yet.
    transaction.on_commit(partial(queue.advance_task, task.pk))


def _review(
    proposal: Proposal, digest: str, verdict: Review.Verdict, reviewer: User, comment: str
) -> None:
    # Read again under a lock: what is compared, signed and recorded is one and the same state.
    proposal.refresh_from_db(from_queryset=Proposal.objects.select_for_update())
    if digest != proposal.digest:
        raise StaleDigest(
            f"the proposal has changed since you read it: you read {digest[:12] or 'nothing'},"
            f" it is {proposal.digest[:12]} now; read it again, then countersign"
        )
    if verdict == Review.Verdict.COUNTERSIGNED and proposal.failing_checks:
        raise StaleDigest(f"{len(proposal.failing_checks)} checks fail on this commit")
    proposal.move_to(
        Proposal.State.COUNTERSIGNED
        if verdict == Review.Verdict.COUNTERSIGNED
        else Proposal.State.REJECTED
    )
    Review.objects.create(
        proposal=proposal, reviewer=reviewer, verdict=verdict, digest=digest, comment=comment
    )
    transaction.on_commit(partial(queue.publish_review, proposal.pk))
    transaction.on_commit(partial(queue.sign_record, proposal.pk))
