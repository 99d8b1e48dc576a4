"""Carries one task between the database and the loop, one step at a time."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from hashlib import sha256
from typing import Any
from uuid import UUID

import rfc8785
import structlog
from django.conf import settings
from django.db import connection
from django.db.models import Max, Sum
from django.utils import timezone
from structlog.contextvars import bound_contextvars

from agent import budget, code_index, gateway, loop, sandbox, searching
from agent.bugfix import BugfixPlanner
from agent.code_index import Hit
from agent.digests import proposal_digest
from agent.errors import BudgetSpent, Busy, Interrupted, NothingLeftToTry
from agent.forge import ForgeRefused, Person
from agent.live import LiveLog
from agent.models import (
    Action,
    Artifact,
    ChangeReport,
    CodeIndex,
    Fix,
    FlakyTest,
    Message,
    ModelCall,
    Plan,
    PlanRule,
    Proposal,
    Recommendation,
    Repository,
    Task,
)
from agent.outputs import (
    CHANGE,
    CHECKS,
    DIFF,
    EXPLANATION,
    FILE,
    JUNIT,
    LOG,
    PROOF,
    PULL_REQUEST,
    SARIF,
)
from agent.places import artifact_store, catalogue, forge_address, forge_of
from agent.planner import RecommendationPlanner
from agent.progress import spent_by
from agent.recommender import CatalogueChanged
from agent.refactor import RefactorPlanner
from agent.retrieval.citing import Cited
from agent.risk import measure
from agent.supplies import environment_of, registry_here
from agent.tools import TOOLS, BadArguments, Bench, Cost, Observation, Tool
from agent.upgrade import UpgradePlanner
from agent.watch import Watch
from authz.change import answered, change, effect
from authz.errors import Denied
from authz.permissions import Permission
from evidence import ledger
from evidence.intents import Intent
from evidence.store import Stored, StoreFault
from tenants.actor import Actor, system_actor
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
    """End a task that ran into an error nobody foresaw; what it did so far is kept.

    Where the project's agent itself is gone the portal ends it, or it would come back for ever and
    take the turns of other people's tasks.
    """
    task = Task.objects.select_related("project", "repository", "owner").get(pk=task_id)
    with bound_contextvars(task=str(task_id)):
        if not task.is_running:
            return
        try:
            by = _agent_of(task)
            reason = f"an error on our side ({type(bug).__name__}: {bug}); it is in our log"
        except User.DoesNotExist:
            by = system_actor("agent worker", "job")
            reason = f"the project {task.project.name} has no agent account any more"
        _end(task, S.FAILED, reason, by=by)


class Toolbox:
    """The `loop.Tools` of one task: contract, budget, permission, then the tool; outputs kept."""

    def __init__(self, task: Task, by: Actor) -> None:
        self.task = task
        self.by = by
        # Of the tool called last:
        self.row: Action | None = None
        self.kept: dict[str, Stored] = {}
        self.intent: Intent | None = None
        self.flaky: tuple[str, ...] = ()
        self.denied = False

    def perform(self, action: loop.Action, work: loop.Work) -> loop.Step:
        """Run one tool. The action's row shows that it is running before it starts.

        A call that does not keep to its contract comes back as an observation. Raises BudgetSpent
        before anything is begun, Interrupted when it was stopped half-way.
        """
        number = _next_number(self.task)
        tool = TOOLS.get(action.tool)
        try:
            if tool is None:
                raise BadArguments(f"there is no tool {action.tool!r}; there are {_tool_names()}")
            tool.check_arguments(action.params)
        except BadArguments as error:
            return self._refused(action, number, error)
        row, intent = self._begin(action, tool, number)
        live = LiveLog(self.task.pk)
        watch = Watch(self.task)
        asked = self._model(watch)
        bench = bench_for(self.task, _outputs(work), cancelled=watch, say=live.say, ask=asked)
        store = artifact_store()
        started = time.monotonic()
        try:
            with answered(intent, self.by, tool.permission, on=self.task):
                seen = tool.run(bench, action.params)
                if tool.result and seen.ok:
                    tool.check_result(seen.result)
                kept = {
                    name: store.put(current_tenant_id(), content)
                    for name, content in seen.outputs.items()
                }
        except BadArguments as error:
            return self._refused(action, number, error)
        row.duration_ms = round((time.monotonic() - started) * 1000)
        self.intent = intent
        return self._keep(action, row, seen, kept)

    def _keep(
        self, action: loop.Action, row: Action, seen: Observation, kept: dict[str, Stored]
    ) -> loop.Step:
        outputs = {name: stored.sha256 for name, stored in kept.items()}
        row.observation, row.outputs, row.result = seen.said, outputs, dict(seen.result)
        taken = self.task.model_calls.filter(created_at__gte=row.started_at)
        sums = taken.aggregate(tokens=Sum("tokens"), usd=Sum("usd"))
        row.cost_tokens, row.cost_usd = sums["tokens"] or 0, sums["usd"] or 0
        row.status = Action.Status.DONE if seen.ok else Action.Status.FAILED
        self.row, self.kept, self.flaky, self.denied = row, kept, seen.flaky, seen.denied
        return loop.Step(action, seen.said, seen.ok, outputs, seen.result)

    def _begin(self, action: loop.Action, tool: Tool, number: int) -> tuple[Action, Intent]:
        most = tool.most(action.params)
        aside = budget.reserved(self.task.budgets, spent_by(self.task), _as_spent(most))
        with change(self.by, tool.permission, on=self.task) as facts:
            row: Action
            row, created = Action.objects.update_or_create(
                task=self.task,
                number=number,
                defaults={
                    "tool": action.tool,
                    "params": dict(action.params),
                    "status": Action.Status.RUNNING,
                    "reserved": aside,
                    "started_at": timezone.now(),
                },
            )
            Message.objects.filter(task=self.task, read_before=None).update(read_before=number)
            facts.phase = "intent"
            facts.update(tool=action.tool, step=number, again=not created, reserved=aside)
            facts.update(tool.recorded(action.params))
        return row, facts.intent

    def _model(self, watch: Watch) -> Callable[[gateway.Question], gateway.Answer] | None:
        """Puts a question to a language model on behalf of who asked for the task."""
        task = self.task
        if not gateway.is_offered(ModelCall.Purpose.REPAIR):
            return None
        asker = gateway.Asker(
            self.by, task, task.owner_id, task.project_id, task.pk, cancelled=watch
        )
        return partial(gateway.ask, asker=asker)

    def _refused(self, action: loop.Action, number: int, why: BadArguments) -> loop.Step:
        """Nothing was run; the row and the ledger say what was asked for and why not."""
        row = Action.objects.filter(task=self.task, number=number).first() or Action(
            task=self.task, number=number
        )
        row.tool, row.params = action.tool[:50], dict(action.params)
        row.observation, row.status = str(why), Action.Status.REFUSED
        # An intent, if there was one, has its answer in the ledger already.
        self.row, self.kept, self.flaky, self.intent = row, {}, (), None
        self.denied = True
        return loop.Step(action, str(why), ok=False, refused=True)


def bench_for(task: Task, earlier: dict[str, str], **also: Any) -> Bench:
    """What the tools of this task may touch. also: `cancelled` and `say` of a running step."""
    agent = _agent_account(task)
    bench = Bench(
        tenant_id=current_tenant_id(),
        task_id=task.pk,
        task_name=task.short,
        kind=task.kind,
        asked_at=task.created_at,
        asked=task.constraints,
        branch=task.branch,
        base_branch=task.repository.default_branch,
        base_sha=task.base_sha,
        repository=forge_address(task.repository),
        forge=forge_of(task.repository),
        store=artifact_store(),
        catalogue=catalogue(),
        agent=Person(agent.name, agent.email),
        requester=Person(task.owner.name, task.owner.email),
        sandbox=sandbox.engine,
        packages=settings.PACKAGES_DIR,
        registry=registry_here(),
        fetched=settings.FETCHED_DIR,
        earlier=earlier,
        search=partial(_cited, task.project_id),
        code=partial(_code, task),
        records=searching.records(_readable(task.project_id)),
        flaky=frozenset(
            FlakyTest.objects.filter(repository=task.repository).values_list("test", flat=True)
        ),
        **also,
    )
    return replace(bench, environment=lambda files: environment_of(files, bench.shelf(files)))


def _readable(project_id: UUID) -> list[UUID]:
    """Repositories whose documents may stand in a pull request of the project."""
    return list(Repository.objects.filter(project=project_id).values_list("pk", flat=True))


def _code(task: Task, question: str, most: int) -> list[Hit] | None:
    """What the index finds, if it is about the commit that the task began on."""
    rows = CodeIndex.objects.filter(repository=task.repository_id, commit=task.base_sha)
    if not rows.filter(state=CodeIndex.State.READY).exists():
        return None
    return code_index.search(question, [task.repository_id], most=most)


def _cited(project_id: UUID, question: str, names: str, most: int) -> list[Cited]:
    found = searching.search(question, _readable(project_id), words=names, most=most)
    return [searching.cited(row.passage) for row in found]


def _advance(task: Task, by: Actor) -> bool:
    if task.cancel_asked_by:
        _withdraw(task, by=by)
        _end(task, S.CANCELLED, f"{task.cancel_asked_by} cancelled it", by=by)
        return False
    if task.state == S.IN_PROGRESS and task.deadline and timezone.now() > task.deadline:
        spent = f"the time budget of {task.budgets['wall_s']:g} s is spent"
        _end(task, S.TIMED_OUT, f"{spent}; resuming continues after the last step", by=by)
        return False
    try:
        if task.state == S.QUEUED:
            _start(task, by=by)
        _step(task, by)
    except CatalogueChanged:
        _start_again(task, by)
    except Interrupted:
        # Why is for the beginning of this function to find: it looks at the task as it is now.
        _stop_step(task, by)
        task.refresh_from_db(fields=["cancel_asked_by", "state", "started_at", "budgets"])
        return _advance(task, by)
    except BudgetSpent as error:
        _end(task, S.TIMED_OUT, f"{error}; resuming with more continues here", by=by)
    except (NothingLeftToTry, loop.Stuck, ForgeRefused, StoreFault, Denied) as error:
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


def _tool_names() -> str:
    return ", ".join(sorted(TOOLS))


def _as_spent(most: Cost) -> budget.Spent:
    return budget.Spent(most.wall_s, 1, most.tokens, most.usd)


def _taken(task: Task) -> Any:
    """Steps that count, in their order."""
    status = Action.Status
    return task.actions.filter(status__in=[status.DONE, status.FAILED, status.REFUSED])


def _next_number(task: Task) -> int:
    """One more than the last step that counts: what was stopped is taken again in its place."""
    return (_taken(task).aggregate(last=Max("number"))["last"] or 0) + 1


def _work(task: Task) -> loop.Work:
    steps = tuple(
        loop.Step(
            loop.Action(row.tool, row.params),
            row.observation,
            row.status == Action.Status.DONE,
            row.outputs,
            row.result,
            row.status == Action.Status.REFUSED,
        )
        for row in _taken(task)
    )
    plan = Plan.objects.filter(task=task).first()
    known = plan and loop.Plan(
        steps=tuple(loop.PlannedStep(**step) for step in plan.steps),
        approvals=tuple(plan.approvals),
        risk_score=plan.risk_score,
        compliance_targets=tuple(plan.compliance_targets),
    )
    messages = tuple(task.messages.values_list("text", flat=True))
    phase = loop.Phase(task.phase)
    return loop.Work(task.goal, task.constraints, phase, known, steps, messages)


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


def _stop_step(task: Task, by: Actor) -> None:
    with change(by, Permission.TASK_RUN, on=task) as facts:
        Action.objects.filter(task=task, status=Action.Status.RUNNING).update(
            status=Action.Status.STOPPED, observation="stopped before it was done"
        )
        facts["stopped"] = "the running step"
        facts.outcome = "failed"


# Who plans which kind of task. A language model, once there is one, goes in here.
PLANNERS: dict[str, type[loop.Model]] = {
    Task.Kind.RECOMMENDATION: RecommendationPlanner,
    Task.Kind.BUGFIX: BugfixPlanner,
    Task.Kind.UPGRADE: UpgradePlanner,
    Task.Kind.REFACTORING: RefactorPlanner,
}


def _step(task: Task, by: Actor) -> None:
    model, tools = PLANNERS[task.kind](), Toolbox(task, by)
    work = loop.take_step(_work(task), model=model, tools=tools)
    if work.phase == loop.Phase.VERIFY and tools.row is None:
        # Going over to verification leaves nothing to store by itself.
        work = loop.take_step(work, model=model, tools=tools)
    with change(by, Permission.TASK_RUN, on=task) as facts:
        Task.objects.filter(pk=task.pk).update(phase=work.phase, touched_at=timezone.now())
        facts["phase"] = work.phase
        if tools.row is None:
            plan = _keep_plan(task, work)
            facts["plan"] = plan.digest
            if plan.waits_because:
                task.move_to(S.WAITING_FOR_USER)
                facts.update(state=task.state, waits_because=plan.waits_because)
        else:
            facts.answers = tools.intent
            facts.update(_keep_step(task, tools))
            if tools.denied:
                facts.outcome = "denied"
        if work.phase == loop.Phase.DONE:
            proposal = _propose(task, _outputs(work), by=by)
            task.move_to(S.COMPLETED, finished_at=timezone.now(), reason="")
            facts.update(state=task.state, proposal=proposal.pk, proposal_digest=proposal.digest)
    log.info("step taken", tool=tools.row.tool if tools.row else "plan")


APPROVE_PLAN = "let the plan run: one person other than the requester"


def _keep_plan(task: Task, work: loop.Work) -> Plan:
    if work.plan is None:
        raise ValueError("the planning phase ended without a plan")
    rule, known = PlanRule.of(task.project), work.plan
    # Documents alone run nothing and change no program: their plans wait for nobody.
    waits = task.kind != Task.Kind.RECOMMENDATION and rule.asks_for(known.risk_score)
    if waits:
        known = replace(known, approvals=(APPROVE_PLAN, *known.approvals))
    said = asdict(known) | {"budgets": task.budgets}
    plan: Plan = Plan.objects.create(
        task=task,
        steps=said["steps"],
        tools=[step.tool for step in known.steps],
        approvals=said["approvals"],
        risk_score=known.risk_score,
        compliance_targets=said["compliance_targets"],
        waits_because=rule.said if waits else "",
        digest=sha256(rfc8785.dumps(json.loads(json.dumps(said)))).hexdigest(),
    )
    return plan


def _keep_step(task: Task, tools: Toolbox) -> dict[str, Any]:
    row = tools.row
    if row is None:
        raise ValueError("there is no step to keep")
    row.save()
    for name, stored in tools.kept.items():
        Artifact.objects.update_or_create(
            task=task,
            name=name,
            defaults={"kind": _kind_of(name), "sha256": stored.sha256, "size": stored.size},
        )
    for test in tools.flaky:
        FlakyTest.objects.get_or_create(
            repository=task.repository, test=test[:500], defaults={"seen_by": task}
        )
    said = {
        "tool": row.tool,
        "step": row.number,
        "status": row.status,
        "observation": row.observation,
        "duration_ms": row.duration_ms,
        "outputs": row.outputs,
    }
    said |= TOOLS[row.tool].recorded(row.result) if row.tool in TOOLS else {}
    if row.status == Action.Status.REFUSED:
        said["arguments"] = json.dumps(row.params)[:2_000]
    if tools.flaky:
        said["flaky"] = list(tools.flaky)
    return said


def _kind_of(name: str) -> Artifact.Kind:
    if name.endswith(".cdx.json"):
        return Artifact.Kind.SBOM
    if name.startswith(FILE):
        return Artifact.Kind.FILE
    if name.startswith(LOG) or name.endswith(JUNIT):
        return Artifact.Kind.TEST_LOG
    known = {
        DIFF: Artifact.Kind.DIFF,
        PULL_REQUEST: Artifact.Kind.PR,
        CHECKS: Artifact.Kind.TEST_LOG,
        PROOF: Artifact.Kind.REPORT,
        CHANGE: Artifact.Kind.REPORT,
        SARIF: Artifact.Kind.REPORT,
    }
    return known.get(name, Artifact.Kind.STEP)


def _propose(task: Task, outputs: dict[str, str], *, by: Actor) -> Proposal:
    bench = bench_for(task, outputs)
    opened, diff = bench.read_json(PULL_REQUEST), bench.read(DIFF)
    if task.kind == Task.Kind.BUGFIX:
        explained = bench.read_json(EXPLANATION)
        Fix.objects.create(
            task=task,
            explanation=explained,
            proof=bench.read_json(PROOF),
            proof_sha256=outputs[PROOF],
            confidence=explained["confidence"],
        )
    elif task.kind in Task.CHANGES:
        ChangeReport.objects.create(
            task=task, report=bench.read_json(CHANGE), report_sha256=outputs[CHANGE]
        )
    else:
        Recommendation.objects.create(
            task=task,
            catalogue_digest=bench.catalogue.digest,
            result=bench.read_json("scored.json"),
        )
    proposal = Proposal(
        task=task,
        project=task.project,
        repository=task.repository,
        checks=json.loads(bench.read(CHECKS)),
        diff_sha256=outputs[DIFF],
        **opened,
    )
    measure(proposal, diff, Plan.objects.filter(task=task).first())
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
            "risk": proposal.risk_score,
            "risk_reasons": proposal.risk_reasons,
        },
    )
    return proposal


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
        head_sha = bench.read_json(PULL_REQUEST)["head_sha"]
        bench.forge.delete_branch(bench.repository, task.branch, head_sha=head_sha)
        facts["closed"] = number
