"""What people may do with tasks and proposals."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from agent import budget, queue
from agent.bugs import BadReport, BugReport
from agent.changes import RefactorRequest, UpgradeRequest
from agent.errors import IllegalMove, StaleDigest
from agent.models import (
    Action,
    Draft,
    FlakyTest,
    Message,
    Plan,
    PlanRule,
    Proposal,
    Repository,
    Review,
    Task,
)
from agent.places import catalogue
from agent.recommender import BadConstraints, Constraints
from authz.change import change
from authz.decisions import may
from authz.errors import BadRequest, Conflict
from authz.permissions import Permission
from tenants.actor import Actor
from tenants.models import Project, User

WALL_SECONDS = 300  # time budget of a recommendation when the request names none
MESSAGE_LIMIT = 4_000  # characters
# What it takes to file a task of a kind, and so to let it go on.
FILES: dict[str, Permission] = {
    Task.Kind.RECOMMENDATION: Permission.RECOMMENDATION_CREATE,
    Task.Kind.BUGFIX: Permission.TASK_CREATE,
    Task.Kind.UPGRADE: Permission.TASK_CREATE,
    Task.Kind.REFACTORING: Permission.TASK_CREATE,
}


class _Asked(Protocol):
    """What a form was read as."""

    @property
    def title(self) -> str: ...

    def to_json(self) -> dict[str, Any]: ...


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


def file_bugfix(
    fields: Mapping[str, Any],
    *,
    repository: Repository,
    owner: User,
    by: Actor,
    budgets: Mapping[str, Any] | None = None,
) -> Task:
    """Ask for a repair; the agent starts as soon as a worker is free.

    fields: see BugReport.parse(). budgets: see agent.budget; defaults for what is left out.
    Raises Denied, or BadRequest with a message per field.
    """
    return _file(Task.Kind.BUGFIX, BugReport.parse, fields, repository, owner, by, budgets)


def file_upgrade(
    fields: Mapping[str, Any],
    *,
    repository: Repository,
    owner: User,
    by: Actor,
    budgets: Mapping[str, Any] | None = None,
) -> Task:
    """Ask for another version of a package. fields: see UpgradeRequest.parse(); else as a bug."""
    return _file(Task.Kind.UPGRADE, UpgradeRequest.parse, fields, repository, owner, by, budgets)


def file_refactoring(
    fields: Mapping[str, Any],
    *,
    repository: Repository,
    owner: User,
    by: Actor,
    budgets: Mapping[str, Any] | None = None,
) -> Task:
    """Ask for a refactoring. fields: see RefactorRequest.parse(); else as a bug."""
    kind = Task.Kind.REFACTORING
    return _file(kind, RefactorRequest.parse, fields, repository, owner, by, budgets)


def _file(
    kind: str,
    parse: Callable[[Mapping[str, Any]], _Asked],
    fields: Mapping[str, Any],
    repository: Repository,
    owner: User,
    by: Actor,
    budgets: Mapping[str, Any] | None,
) -> Task:
    limits, wrong = budget.parse(budgets or {})
    try:
        report = parse(fields)
    except BadReport as error:
        raise BadRequest({**error.errors, **wrong}) from error
    if wrong:
        raise BadRequest(wrong)
    with change(by, Permission.TASK_CREATE, on=repository) as facts:
        task = Task(
            kind=kind,
            project_id=repository.project_id,
            repository=repository,
            goal=report.title,
            constraints={**report.to_json(), **_registry()},
            budgets=limits,
            owner=owner,
        )
        task.branch = f"countersign/{task.short.lower()}"
        task.save(force_insert=True)
        facts.about = task
        facts.update(repository=repository.name, report=task.constraints, budgets=limits)
        _queue(task)
    return task


def _registry() -> dict[str, str]:
    """Where packages may come from, as whoever asks is told; the task keeps to it."""
    return {"registry": settings.PACKAGE_REGISTRY} if settings.PACKAGE_REGISTRY else {}


def approve_plan(task: Task, digest: str, *, by: Actor) -> None:
    """Let the agent carry out the plan that was read. digest: of that plan.

    Raises Denied (the requester never may), StaleDigest when it is another plan, IllegalMove when
    the task does not wait. The time it waited does not count.
    """
    with change(by, Permission.PLAN_APPROVE, on=task) as facts:
        plan = _waiting_plan(task, digest)
        waited = timezone.now() - task.touched_at
        task.move_to(
            Task.State.IN_PROGRESS, started_at=task.started_at and task.started_at + waited
        )
        Plan.objects.filter(pk=plan.pk).update(approved_by=by.name, approved_at=timezone.now())
        facts.update(answer="approved", plan_digest=digest, state=task.state)
        _queue(task)


def refuse_plan(task: Task, digest: str, *, by: Actor, comment: str) -> None:
    """Do not let the plan run; the task ends, with the reason.

    Raises Denied, StaleDigest, IllegalMove, or BadRequest when no reason is given.
    """
    if not comment.strip():
        raise BadRequest({"comment": "is empty; say why, so that the next attempt can be better"})
    with change(by, Permission.PLAN_APPROVE, on=task) as facts:
        _waiting_plan(task, digest)
        reason = f"{by.name} did not let the plan run: {comment.strip()}"
        task.move_to(Task.State.CANCELLED, reason=reason, finished_at=timezone.now())
        facts.update(answer="refused", plan_digest=digest, comment=comment, state=task.state)


def _waiting_plan(task: Task, digest: str) -> Plan:
    task.refresh_from_db(from_queryset=Task.objects.select_for_update())
    if task.state != Task.State.WAITING_FOR_USER:
        raise IllegalMove(f"{task.short} does not wait for anybody to read its plan")
    plan: Plan = Plan.objects.get(task=task)
    if digest != plan.digest:
        raise StaleDigest(
            f"you read plan {digest[:12] or 'none'}, it is {plan.digest[:12]} now; read it again"
        )
    return plan


def say(task: Task, text: str, *, author: User, by: Actor) -> Message:
    """Tell a task something; the agent reads it before its next step.

    Raises Denied, IllegalMove when the task has ended, or BadRequest.
    """
    if not text.strip() or len(text) > MESSAGE_LIMIT:
        raise BadRequest({"text": f"must have 1 to {MESSAGE_LIMIT} characters"})
    with change(by, Permission.TASK_MESSAGE, on=task) as facts:
        if not Task.objects.filter(pk=task.pk, state__in=Task.OPEN).exists():
            raise IllegalMove(f"{task.short} has ended; nobody would read it")
        message: Message = Message.objects.create(task=task, author=author, text=text.strip())
        facts["text"] = message.text
    return message


def undo(task: Task, *, by: Actor) -> None:
    """Take a finished task back: its pull request is closed, its branch deleted, all is on record.

    Raises Denied, or IllegalMove when there is no proposal that can be withdrawn.
    """
    with change(by, Permission.TASK_UNDO, on=task) as facts:
        proposal = Proposal.objects.select_for_update().filter(task=task).first()
        if proposal is None:
            raise IllegalMove(f"{task.short} has no pull request to take back")
        if proposal.is_being_merged:
            raise IllegalMove(f"the pull request of {task.short} is being merged right now")
        proposal.move_to(Proposal.State.WITHDRAWN)
        Proposal.objects.filter(pk=proposal.pk).update(withdrawn_by=by.name)
        facts.update(proposal=proposal.pk, number=proposal.number, head_sha=proposal.head_sha)
        transaction.on_commit(partial(queue.withdraw_proposal, proposal.pk))


def change_plan_rule(project: Project, ask: str, risk_from: float, *, by: Actor) -> PlanRule:
    """Say which plans of a project wait for a second person. Raises Denied or BadRequest."""
    wrong = {}
    if ask not in PlanRule.Ask.values:
        wrong["ask"] = f"must be one of {', '.join(PlanRule.Ask.values)}"
    if not 0 <= risk_from <= 1:
        wrong["risk_from"] = "must be 0 to 1"
    if wrong:
        raise BadRequest(wrong)
    with change(by, Permission.PLAN_RULE_CHANGE, on=project) as facts:
        rule: PlanRule
        rule, _ = PlanRule.objects.update_or_create(
            project=project, defaults={"ask": ask, "risk_from": risk_from}
        )
        facts.update(ask=ask, risk_from=risk_from)
    return rule


def release_flaky_test(flaky: FlakyTest, *, by: Actor) -> None:
    """Let a test that was set aside count again; it is set aside anew when it is seen to differ.

    Raises Denied.
    """
    with change(by, Permission.FLAKY_TEST_RELEASE, on=flaky.repository) as facts:
        facts.update(test=flaky.test, seen_by=flaky.seen_by_id, first_seen=flaky.first_seen)
        FlakyTest.objects.filter(pk=flaky.pk).delete()


def cancel(task: Task, *, by: Actor) -> None:
    """Stop a task, also in the middle of a step. What it has done is kept, its pull request closed.

    Raises Denied or IllegalMove.
    """
    with change(by, Permission.TASK_CANCEL, on=task) as facts:
        task.refresh_from_db(fields=["state"])
        if task.state == Task.State.WAITING_FOR_USER:
            reason = f"{by.name} cancelled it"
            task.move_to(Task.State.CANCELLED, reason=reason, finished_at=timezone.now())
            facts["state"] = task.state
            return
        running = Task.objects.filter(pk=task.pk, state__in=Task.RUNNING)
        if not running.update(cancel_asked_by=by.name):
            raise IllegalMove(f"{task.short} has ended already; there is nothing to cancel")
        facts["state"] = task.state
        _queue(task)


def resume(task: Task, *, by: Actor, budgets: Mapping[str, Any] | None = None) -> None:
    """Let a task that failed or ran out of budget go on after its last finished step.

    budgets: new limits for a repair, where the old ones are not enough. More of anything takes the
    right to raise budgets besides that to file such a task. Raises Denied, IllegalMove, BadRequest,
    or Conflict when somebody else changed its budget meanwhile.
    """
    before = dict(task.budgets)
    limits, wrong = budget.parse({**before, **(budgets or {})})
    if budgets and wrong:
        raise BadRequest(wrong)
    task.budget_raise = budget.raised(before, limits) if budgets else None
    # Whoever may not even file it is refused that, below.
    raises = task.budget_raise is not None and may(by, FILES[task.kind], task)
    with change(by, Permission.BUDGET_RAISE if raises else FILES[task.kind], on=task) as facts:
        held = Task.objects.select_for_update().values_list("budgets", flat=True).get(pk=task.pk)
        if budgets and held != before:
            raise Conflict("somebody else changed its budget meanwhile; look at it again")
        task.move_to(Task.State.QUEUED, reason="", finished_at=None)
        if budgets:
            Task.objects.filter(pk=task.pk).update(budgets=limits)
            facts.update(budgets=limits, budgets_before=before)
        # A search that found nothing is made again: there may be a message, or more time.
        Action.objects.filter(
            task=task, tool="propose_repair", result__patches=[], status=Action.Status.DONE
        ).update(status=Action.Status.STOPPED)
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


def order_merge(proposal: Proposal, digest: str, *, by: Actor) -> None:
    """Order that a countersigned proposal be merged; a worker carries it out.

    digest: of what was read. Both now and then `by` must be allowed to. Raises Denied (the
    requester never may, nor an agent), StaleDigest when it has changed since, IllegalMove when it
    is not countersigned, or being merged already.
    """
    with change(by, Permission.PROPOSAL_MERGE, on=proposal) as facts:
        proposal.refresh_from_db(from_queryset=Proposal.objects.select_for_update())
        if digest != proposal.digest:
            raise StaleDigest("the proposal has changed since you read it; read it again")
        if proposal.state != Proposal.State.COUNTERSIGNED:
            raise IllegalMove(f"this proposal is {proposal.get_state_display().lower()}")
        if proposal.is_being_merged:
            raise IllegalMove("this proposal is being merged already")
        signed_in = by.signed_in
        Proposal.objects.filter(pk=proposal.pk).update(
            merge_ordered_by=by.user_id,
            merge_ordered_at=timezone.now(),
            merge_signed_in={
                "at": signed_in.at.isoformat(),
                "way": signed_in.way,
                "methods": list(signed_in.methods),
            }
            if signed_in
            else {},
            merge_refused="",
        )
        facts.update(
            step="ordered",
            digest=digest,
            number=proposal.number,
            head_sha=proposal.head_sha,
            branch=proposal.base_branch,
        )
        transaction.on_commit(partial(queue.merge_proposal, proposal.pk))


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
