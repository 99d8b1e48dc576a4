"""Carries one task between the database and the loop, one step at a time."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from hashlib import sha256
from typing import Any
from uuid import UUID

import rfc8785
import structlog
from django.db import connection
from django.utils import timezone
from structlog.contextvars import bound_contextvars

from agent import loop, searching
from agent.digests import proposal_digest
from agent.errors import Busy, NothingLeftToTry
from agent.forge import ForgeRefused, Person
from agent.models import Action, Artifact, Plan, Proposal, Recommendation, Repository, Task
from agent.outputs import CHECKS, DIFF, FILE, PULL_REQUEST
from agent.places import artifact_store, catalogue, forge_address, forge_of
from agent.planner import RecommendationPlanner
from agent.recommender import CatalogueChanged, Constraints
from agent.retrieval.citing import Cited
from agent.tools import TOOLS, Bench
from authz.change import answered, change, effect
from authz.permissions import Permission
from evidence import ledger
from evidence.intents import Intent
from evidence.store import Stored, StoreFault
from tenants.actor import Actor
from tenants.models import User
from tenants.scope import current_tenant_id

log = structlog.get_logger(__name__)
S = Task.State


def advance(task_id: UUID) -> bool:
    """Take one step of a task; says whether there is another one to take.

    Safe to call twice: a step that was committed is not taken again, and one that was not is
    taken from its beginning (tools give the same result for the same input). Raises Busy while
    another worker holds the task; errors that may pass (database, forge) fly out for the job to
    retry, with everything up to the last step kept.
    """
    with _held(task_id):
        task: Task = Task.objects.select_related("project", "repository", "owner").get(pk=task_id)
        if not task.is_running:
            return False
        by = _agent_of(task)
        with bound_contextvars(task=str(task.pk), actor_type=by.type, actor_id=by.id):
            return _advance(task, by)


def give_up(task_id: UUID, bug: Exception) -> None:
    """End a task that ran into an error nobody foresaw; what it did so far is kept."""
    task = Task.objects.select_related("project", "repository", "owner").get(pk=task_id)
    with bound_contextvars(task=str(task_id)):
        if not task.is_running:
            return
        reason = f"an error on our side ({type(bug).__name__}: {bug}); it is in our log"
        _end(task, S.FAILED, reason, by=_agent_of(task))


class Toolbox:
    """The `loop.Tools` of one task: permission first, then the tool, then its outputs kept."""

    def __init__(self, task: Task, by: Actor) -> None:
        self.task = task
        self.by = by
        # Of the tool called last:
        self.row: Action | None = None
        self.kept: dict[str, Stored] = {}
        self.intent: Intent | None = None

    def perform(self, action: loop.Action, work: loop.Work) -> loop.Step:
        """Run one tool. The action's row shows that it is running before it starts."""
        tool = TOOLS[action.tool]
        row, intent = self._begin(action, number=len(work.steps) + 1)
        store = artifact_store()
        started = time.monotonic()
        with answered(intent, self.by, tool.permission, on=self.task):
            seen = tool.run(bench_for(self.task, _outputs(work)))
            kept = {
                name: store.put(current_tenant_id(), content)
                for name, content in seen.outputs.items()
            }
        outputs = {name: stored.sha256 for name, stored in kept.items()}
        row.observation, row.outputs = seen.said, outputs
        row.duration_ms = round((time.monotonic() - started) * 1000)
        row.status = Action.Status.DONE if seen.ok else Action.Status.FAILED
        self.row, self.kept, self.intent = row, kept, intent
        return loop.Step(action, seen.said, seen.ok, outputs)

    def _begin(self, action: loop.Action, number: int) -> tuple[Action, Intent]:
        tool = TOOLS[action.tool]
        with change(self.by, tool.permission, on=self.task) as facts:
            row: Action
            row, created = Action.objects.update_or_create(
                task=self.task,
                number=number,
                defaults={
                    "tool": action.tool,
                    "params": dict(action.params),
                    "status": Action.Status.RUNNING,
                    "started_at": timezone.now(),
                },
            )
            facts.phase = "intent"
            facts.update(tool=action.tool, step=number, again=not created)
        return row, facts.intent


def bench_for(task: Task, earlier: dict[str, str]) -> Bench:
    """What the tools of this task may touch."""
    agent = _agent_account(task)
    return Bench(
        tenant_id=current_tenant_id(),
        task_id=task.pk,
        task_name=task.short,
        asked_at=task.created_at,
        constraints=Constraints.from_json(task.constraints),
        branch=task.branch,
        base_branch=task.repository.default_branch,
        base_sha=task.base_sha,
        repository=forge_address(task.repository),
        forge=forge_of(task.repository),
        store=artifact_store(),
        catalogue=catalogue(),
        agent=Person(agent.name, agent.email),
        requester=Person(task.owner.name, task.owner.email),
        earlier=earlier,
        search=partial(_cited, task.project_id),
        records=searching.records(_readable(task.project_id)),
    )


def _readable(project_id: UUID) -> list[UUID]:
    """Repositories whose documents may stand in a pull request of the project."""
    return list(Repository.objects.filter(project=project_id).values_list("pk", flat=True))


def _cited(project_id: UUID, question: str, names: str, most: int) -> list[Cited]:
    found = searching.search(question, _readable(project_id), words=names, most=most)
    return [searching.cited(row.passage) for row in found]


def _advance(task: Task, by: Actor) -> bool:
    if task.cancel_asked_by:
        _withdraw(task, by=by)
        _end(task, S.CANCELLED, f"{task.cancel_asked_by} cancelled it", by=by)
        return False
    if task.state == S.IN_PROGRESS and task.deadline and timezone.now() > task.deadline:
        spent = f"the time budget of {task.budgets['wall_s']} s is spent"
        _end(task, S.TIMED_OUT, f"{spent}; resuming continues after the last step", by=by)
        return False
    try:
        if task.state == S.QUEUED:
            _start(task, by=by)
        _step(task, by)
    except CatalogueChanged:
        _start_again(task, by)
    except (NothingLeftToTry, ForgeRefused, StoreFault) as error:
        _end(task, S.FAILED, str(error), by=by)
    return task.is_running


@contextmanager
def _held(task_id: UUID) -> Iterator[None]:
    # A session lock: PostgreSQL frees it when the worker's connection goes, however it dies.
    number = int.from_bytes(task_id.bytes[:8], signed=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [number])
        if not cursor.fetchone()[0]:
            raise Busy(f"task {task_id} is held by another worker")
    try:
        yield
    finally:
        if connection.is_usable():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [number])


def _agent_account(task: Task) -> User:
    return User.objects.get(kind=User.Kind.AGENT, grants__project=task.project)


def _agent_of(task: Task) -> Actor:
    return _agent_account(task).actor("job", on_behalf_of=task.owner)


def _work(task: Task) -> loop.Work:
    steps = tuple(
        loop.Step(
            loop.Action(row.tool, row.params),
            row.observation,
            row.status == Action.Status.DONE,
            row.outputs,
        )
        for row in task.actions.filter(status__in=[Action.Status.DONE, Action.Status.FAILED])
    )
    plan = Plan.objects.filter(task=task).first()
    known = plan and loop.Plan(
        steps=tuple(loop.PlannedStep(**step) for step in plan.steps),
        approvals=tuple(plan.approvals),
        risk_score=plan.risk_score,
        compliance_targets=tuple(plan.compliance_targets),
    )
    return loop.Work(task.goal, task.constraints, loop.Phase(task.phase), known, steps)


def _outputs(work: loop.Work) -> dict[str, str]:
    return {name: digest for step in work.steps for name, digest in step.outputs.items()}


def _start(task: Task, *, by: Actor) -> None:
    base_sha = task.base_sha or forge_of(task.repository).head(
        forge_address(task.repository), task.repository.default_branch
    )
    with change(by, Permission.TASK_RUN, on=task) as facts:
        task.move_to(S.IN_PROGRESS, started_at=timezone.now(), base_sha=base_sha, reason="")
        facts.update(state=task.state, base_sha=base_sha)


def _start_again(task: Task, by: Actor) -> None:
    """The catalogue was replaced under a running task: its earlier steps count no more."""
    with change(by, Permission.TASK_RUN, on=task) as facts:
        Action.objects.filter(task=task).update(status=Action.Status.STOPPED)
        Task.objects.filter(pk=task.pk).update(phase=loop.Phase.ACT, touched_at=timezone.now())
        facts["again"] = "another catalogue of technologies is in force"


def _end(task: Task, state: str, reason: str, *, by: Actor) -> None:
    with change(by, Permission.TASK_RUN, on=task) as facts:
        task.move_to(state, reason=reason, finished_at=timezone.now())
        Action.objects.filter(task=task, status=Action.Status.RUNNING).update(
            status=Action.Status.STOPPED, observation=reason
        )
        facts.outcome = "ok" if state == S.CANCELLED else "failed"
        facts.update(state=state, reason=reason)
    log.info("task ended", state=state, reason=reason)


def _step(task: Task, by: Actor) -> None:
    planner, tools = RecommendationPlanner(), Toolbox(task, by)
    work = loop.take_step(_work(task), model=planner, tools=tools)
    if work.phase == loop.Phase.VERIFY and tools.row is None:
        # Going over to verification leaves nothing to store by itself.
        work = loop.take_step(work, model=planner, tools=tools)
    with change(by, Permission.TASK_RUN, on=task) as facts:
        Task.objects.filter(pk=task.pk).update(phase=work.phase, touched_at=timezone.now())
        facts["phase"] = work.phase
        if tools.row is None:
            facts["plan"] = _keep_plan(task, work)
        else:
            facts.answers = tools.intent
            facts.update(_keep_step(task, tools.row, tools.kept))
        if work.phase == loop.Phase.DONE:
            proposal = _propose(task, _outputs(work), by=by)
            task.move_to(S.COMPLETED, finished_at=timezone.now(), reason="")
            facts.update(state=task.state, proposal=proposal.pk, proposal_digest=proposal.digest)
    log.info("step taken", tool=tools.row.tool if tools.row else "plan")


def _keep_plan(task: Task, work: loop.Work) -> str:
    if work.plan is None:
        raise ValueError("the planning phase ended without a plan")
    said = asdict(work.plan)
    digest = sha256(rfc8785.dumps(json.loads(json.dumps(said)))).hexdigest()
    Plan.objects.create(
        task=task,
        steps=said["steps"],
        tools=[step.tool for step in work.plan.steps],
        approvals=said["approvals"],
        risk_score=work.plan.risk_score,
        compliance_targets=said["compliance_targets"],
        digest=digest,
    )
    return digest


def _keep_step(task: Task, row: Action, kept: dict[str, Stored]) -> dict[str, Any]:
    row.save()
    for name, stored in kept.items():
        Artifact.objects.update_or_create(
            task=task,
            name=name,
            defaults={"kind": _kind_of(name), "sha256": stored.sha256, "size": stored.size},
        )
    return {
        "tool": row.tool,
        "step": row.number,
        "status": row.status,
        "observation": row.observation,
        "duration_ms": row.duration_ms,
        "outputs": row.outputs,
    }


def _kind_of(name: str) -> Artifact.Kind:
    if name.endswith(".cdx.json"):
        return Artifact.Kind.SBOM
    if name.startswith(FILE):
        return Artifact.Kind.FILE
    known = {
        DIFF: Artifact.Kind.DIFF,
        PULL_REQUEST: Artifact.Kind.PR,
        CHECKS: Artifact.Kind.TEST_LOG,
    }
    return known.get(name, Artifact.Kind.STEP)


def _propose(task: Task, outputs: dict[str, str], *, by: Actor) -> Proposal:
    bench = bench_for(task, outputs)
    opened, diff = bench.read_json(PULL_REQUEST), bench.read(DIFF)
    Recommendation.objects.create(
        task=task, catalogue_digest=bench.catalogue.digest, result=bench.read_json("scored.json")
    )
    proposal = Proposal(
        task=task,
        project=task.project,
        repository=task.repository,
        checks=json.loads(bench.read(CHECKS)),
        diff_sha256=outputs[DIFF],
        lines_added=_lines(diff, b"+"),
        lines_removed=_lines(diff, b"-"),
        **opened,
    )
    proposal.digest = proposal_digest(proposal)
    proposal.save(force_insert=True)
    # By this entry a pack knows that it leaves no pull request out.
    ledger.record(
        "proposal.open",
        by=by,
        on=proposal,
        phase="result",
        facts={
            "repository": task.repository.name,
            "number": proposal.number,
            "head_sha": proposal.head_sha,
            "diff_sha256": proposal.diff_sha256,
            "digest": proposal.digest,
        },
    )
    return proposal


def _lines(diff: bytes, sign: bytes) -> int:
    return sum(
        line.startswith(sign) and not line.startswith(sign * 3) for line in diff.splitlines()
    )


def _withdraw(task: Task, *, by: Actor) -> None:
    outputs = _outputs(_work(task))
    if PULL_REQUEST not in outputs:
        return
    bench = bench_for(task, outputs)
    number, reason = (
        bench.read_json(PULL_REQUEST)["number"],
        f"{task.cancel_asked_by} cancelled the task",
    )
    with effect(by, Permission.PULL_REQUEST_OPEN, on=task, close=number, reason=reason) as facts:
        bench.forge.close_pull_request(bench.repository, number, reason=reason)
        facts["closed"] = number
