"""Tasks that are killed, stopped, talked to, limited, taken back; tests that cannot be trusted."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest
from django.utils import timezone

from agent import lifecycle, repositories, runner, sandbox, upkeep
from agent.bugfix import _groups
from agent.errors import Busy, IllegalMove
from agent.live import LiveLog
from agent.loop import Action as Call
from agent.loop import Plan as Planned
from agent.loop import PlannedStep, Work
from agent.models import Action, Artifact, Fix, FlakyTest, Message, Plan, PlanRule, Proposal, Task
from agent.places import artifact_store, catalogue, forge_address, local_forge
from agent.sandbox import Ended, supervision
from agent.tools import TOOLS, Cost
from agent.tools.testing import run_tests
from agent.watch import Watch
from authz.errors import BadRequest, Denied
from evidence.models import Entry, StagedEntry
from tenants.actor import system_actor
from tenants.scope import tenants_with_work
from tests.agent.bug_cases import PATIENT, WRITTEN
from tests.at_browser import JUST_NOW

# Deadlines are for hung tests; every sandbox takes seconds, on a busy machine many.
pytestmark = pytest.mark.timeout(900)
ROOT = Path(__file__).resolve().parents[2]
ENDLESS = """
import time


def test_that_passes():
    pass


def test_that_never_ends():
    time.sleep(600)
"""


def _by(company, name):
    return company.people[name].actor("page", signed_in=JUST_NOW)


def _run(task, steps=99):
    while steps:
        try:
            more = runner.advance(task.pk)
        except Busy:  # the database has not noticed yet that a worker died; the job tries again too
            time.sleep(0.05)
            continue
        steps = steps - 1 if more else 0
    task.refresh_from_db()


def _said(action):
    """What the ledger holds about one action: the leaves, oldest first."""
    leaves = [bytes(entry.leaf) for entry in Entry.objects.order_by("index")]
    leaves += [bytes(staged.leaf) for staged in StagedEntry.objects.order_by("id")]
    return [said for said in map(json.loads, leaves) if said["action"] == action]


class Scripted:
    """Plans one step and calls what it is told to, to see what the loop makes of it."""

    calls: list = []  # the next ones; the last is repeated
    heard: list = []  # messages, as each choice saw them

    def plan(self, work):
        return Planned((PlannedStep("code_search", "look"),), (), 0.1, ())

    def choose(self, work):
        self.heard.append(work.messages)
        return self.calls[min(len(work.steps), len(self.calls) - 1)]


@pytest.fixture
def script(monkeypatch):
    """Has repairs planned by a script instead of the flow."""

    def scripted(*calls):
        planner = type("Script", (Scripted,), {"calls": list(calls), "heard": []})
        monkeypatch.setitem(runner.PLANNERS, Task.Kind.BUGFIX, planner)
        return planner

    return scripted


def looking(word):
    return Call("code_search", {"query": word, "scope": "**"})


# Killed workers --------------------------------------------------------------------------------


def _killed(company, task, when):
    """Have a worker die in the next step. False: there was nothing to die of at that point."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.agent.dying_worker", company.host, str(task.pk), when],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
    )
    if "is held by another worker" in done.stderr:  # the one before, for a moment still
        return _killed(company, task, when)
    assert done.returncode in {0, -signal.SIGKILL}, done.stderr
    return done.returncode != 0


def test_a_step_that_a_killed_worker_had_begun_is_taken_again_in_its_place(in_acme, file_bug):
    task = file_bug()

    assert _killed(in_acme, task, "done")  # with the plan made and not kept
    assert not Plan.objects.filter(task=task).exists()
    _run(task, 2)
    assert _killed(in_acme, task, "begun")
    [interrupted] = Action.objects.filter(task=task, status=Action.Status.RUNNING)
    assert _killed(in_acme, task, "done")
    _run(task, 1)

    assert Plan.objects.filter(task=task).count() == 1
    steps = list(Action.objects.filter(task=task).values_list("number", "tool", "status"))
    assert steps == [(1, "code_search", "done"), (2, "write_test", "done")]
    assert interrupted.number == 2
    results = [said for said in _said("task.run") if said["phase"] == "result"]
    assert len([said for said in results if said["object"]["id"] == str(task.pk)]) >= 3


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_a_worker_killed_at_every_step_twice_leads_to_the_same_result_once(in_acme, file_bug):
    quiet, task = file_bug(), file_bug()
    _run(quiet)
    killed = 0

    for _ in count():
        task.refresh_from_db()
        if not task.is_running:
            break
        last = Action.objects.filter(task=task, status=Action.Status.DONE).last()
        whens = ["done"] if task.phase == "plan" else ["begun", "done"]
        if last is not None and last.tool == "open_pr":
            whens.append("proposed")
        for when in whens:
            assert _killed(in_acme, task, when)
            killed += 1
        _run(task, 1)

    assert (quiet.state, task.state) == (Task.State.COMPLETED,) * 2, task.reason
    tools = [
        list(Action.objects.filter(task=one).values_list("number", "tool", "status"))
        for one in (quiet, task)
    ]
    assert tools[0] == tools[1]
    assert killed == 2 * len(tools[1]) + 2  # once more at the plan and at the proposal
    patches = [Fix.objects.get(task=one).proof["patch"] for one in (quiet, task)]
    assert patches[0] == patches[1]
    assert Proposal.objects.filter(task=task).count() == 1
    address = forge_address(task.repository)
    requests = [r for r in local_forge().pull_requests(address) if r.head_branch == task.branch]
    assert [(request.draft, request.state) for request in requests] == [(False, "open")]
    commits = ["git", "-C", local_forge().clone_url(address), "rev-list", "--count"]
    counted = subprocess.run(
        [*commits, f"{task.base_sha}..{requests[0].head_sha}"], capture_output=True, check=True
    )
    assert counted.stdout == b"1\n"


# Stopped ---------------------------------------------------------------------------------------


def test_cancelling_ends_the_sandbox_of_the_running_step_and_then_the_task(
    in_acme, file_bug, monkeypatch
):
    task = file_bug(report={"code": ENDLESS})
    _run(task, 3)
    sandbox.engine()  # the first one of a process tries the walls in sandboxes of its own
    events = []

    def say(self, output):
        if not events:
            lifecycle.cancel(Task.objects.get(pk=task.pk), by=_by(in_acme, "bo"))
            events.append("asked")

    monkeypatch.setattr(LiveLog, "say", say)
    monkeypatch.setattr(supervision, "_tell", lambda _, outcome: events.append(outcome.ended))
    _run(task, 1)

    # The limit of the run is a minute: it was not what ended it.
    assert events == ["asked", Ended.CANCELLED]
    assert (task.state, task.reason) == (Task.State.CANCELLED, "Bo cancelled it")
    stopped = Action.objects.get(task=task, number=3)
    assert (stopped.tool, stopped.status) == ("run_tests", Action.Status.STOPPED)
    assert [said["outcome"] for said in _said("task.run")][-1] == "ok"


@pytest.mark.parametrize(
    ("budgets", "most", "reason"),
    [
        ({"steps": 2}, Cost(), "the budget of 2 steps is spent: 2 are gone"),
        ({"tokens": 500}, Cost(tokens=600), "the budget of 500 tokens is spent: 0 are gone"),
        ({"usd": 0.5}, Cost(usd=0.75), "the budget of 0.5 US dollars is spent: 0 are gone"),
    ],
    ids=["steps", "tokens", "dollars"],
)
def test_what_does_not_fit_the_budget_is_not_begun_and_more_lets_it_go_on(
    in_acme, file_bug, script, monkeypatch, budgets, most, reason
):
    script(looking("one"), looking("two"), looking("three"), Call("nothing_such"))
    monkeypatch.setitem(TOOLS, "code_search", replace(TOOLS["code_search"], most=lambda _: most))
    task = file_bug(budgets={**PATIENT, **budgets})

    _run(task)

    assert task.state == Task.State.TIMED_OUT
    assert task.reason.startswith(reason)
    begun = Action.objects.filter(task=task).count()
    lifecycle.resume(task, by=_by(in_acme, "ada"), budgets={"steps": 50, "tokens": 9_000, "usd": 9})
    _run(task, 1)
    numbers = list(Action.objects.filter(task=task).values_list("number", flat=True))
    assert numbers == list(range(1, begun + 2))


def test_a_task_whose_seconds_are_spent_takes_no_further_step(in_acme, file_bug, script):
    script(looking("one"))
    task = file_bug(budgets={"wall_s": 60})
    _run(task, 2)
    Task.objects.filter(pk=task.pk).update(started_at=timezone.now() - timedelta(seconds=61))

    _run(task)

    assert task.state == Task.State.TIMED_OUT
    assert "the time budget of 60 s is spent" in task.reason
    assert Action.objects.filter(task=task).count() == 1


def test_a_running_step_ends_with_the_seconds_of_the_task(file_bug, monkeypatch):
    task = file_bug(report={"code": ENDLESS}, budgets={"wall_s": 600})
    _run(task, 3)
    events, watching = [], []

    def watch(of):
        watching.append(Watch(of))
        return watching[-1]

    def say(self, output):
        if not events:
            events.append("printed")
            long_ago = timezone.now() - timedelta(seconds=601)
            Task.objects.filter(pk=task.pk).update(started_at=long_ago)
            watching[-1]._deadline = long_ago + timedelta(seconds=600)

    monkeypatch.setattr(runner, "Watch", watch)
    monkeypatch.setattr(LiveLog, "say", say)
    monkeypatch.setattr(supervision, "_tell", lambda _, outcome: events.append(outcome.ended))
    _run(task, 1)  # the step is stopped
    _run(task)

    assert events == ["printed", Ended.CANCELLED]
    assert task.state == Task.State.TIMED_OUT
    assert "the time budget of 600 s is spent" in task.reason


# Stuck, refused --------------------------------------------------------------------------------


def test_a_model_that_repeats_itself_is_stopped(file_bug, script):
    script(looking("overlaps"))
    task = file_bug()

    _run(task)

    assert task.state == Task.State.FAILED
    assert task.reason == "code_search gave the same answer 3 times in a row"


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (Call("launch_rockets", {"where": "moon"}), "there is no tool 'launch_rockets'"),
        (Call("run_tests", {"on": "production"}), "'target' is a required property"),
        (Call("code_patch", {"file_path": "../x", "unified_diff": "x", "rationale": "x"}), ""),
    ],
    ids=["no such tool", "against its contract", "outside the repository"],
)
def test_refused_calls_are_observations_on_record_and_three_in_a_row_end_it(
    file_bug, script, call, why
):
    script(call)
    task = file_bug()

    _run(task)

    assert task.state == Task.State.FAILED
    assert "3 calls in a row were refused" in task.reason
    rows = list(Action.objects.filter(task=task))
    assert [row.status for row in rows] == [Action.Status.REFUSED] * 3
    assert all(why in row.observation for row in rows)
    assert all(row.params == dict(call.params) for row in rows)
    denied = [said for said in _said("task.run") if said["outcome"] == "denied"]
    assert len(denied) == 3


# Talked to -------------------------------------------------------------------------------------


def test_a_message_is_read_before_the_next_step(in_acme, file_bug, script):
    planner = script(looking("one"), looking("two"), looking("three"))
    task = file_bug()
    _run(task, 2)

    lifecycle.say(task, " look at rates.py ", author=in_acme.people["ada"], by=_by(in_acme, "ada"))
    _run(task, 1)

    assert planner.heard == [(), ("look at rates.py",)]
    assert Message.objects.get(task=task).read_before == 2
    with pytest.raises(Denied):
        lifecycle.say(task, "no", author=in_acme.people["iris"], by=_by(in_acme, "iris"))
    lifecycle.cancel(task, by=_by(in_acme, "bo"))
    _run(task)
    with pytest.raises(IllegalMove, match="nobody would read it"):
        lifecycle.say(task, "late", author=in_acme.people["bo"], by=_by(in_acme, "bo"))


def test_a_test_named_in_a_message_is_repaired_first():
    failing = ["tests/test_a.py::test_1", "tests/test_b.py::test_2"]

    told = Work("x", {}, messages=("it is tests/test_b.py::test_2 that matters",))

    assert _groups(failing, told)[-1] == ["tests/test_b.py::test_2"]
    assert _groups(failing, Work("x", {}))[-1] == ["tests/test_a.py::test_1"]


# Plans that wait -------------------------------------------------------------------------------


def test_the_rule_of_a_project_says_which_plans_wait(in_acme, file_bug, script):
    script(looking("one"))
    assert (
        PlanRule.of(in_acme.project).said == "plans from a risk of 0.5 on wait for a second person"
    )
    with pytest.raises(Denied):
        lifecycle.change_plan_rule(in_acme.project, "always", 0.5, by=_by(in_acme, "bo"))
    with pytest.raises(BadRequest, match="risk_from"):
        lifecycle.change_plan_rule(in_acme.project, "risky", 2, by=_by(in_acme, "ada"))

    lifecycle.change_plan_rule(in_acme.project, "risky", 0.1, by=_by(in_acme, "ada"))
    waiting = file_bug()
    _run(waiting)
    lifecycle.change_plan_rule(in_acme.project, "never", 0.1, by=_by(in_acme, "ada"))
    running = file_bug()
    _run(running, 1)

    assert (waiting.state, running.state) == (Task.State.WAITING_FOR_USER, Task.State.IN_PROGRESS)
    assert [said["outcome"] for said in _said("plan_rule.change")] == ["ok", "ok"]


# Taken back ------------------------------------------------------------------------------------


@pytest.fixture
def finished(in_acme):
    """A finished task with a pull request on the code host: any kind is taken back alike."""
    repository = repositories.register(
        "order-desk",
        project=in_acme.project,
        files={"README.md": b"# Order desk\n"},
        written=WRITTEN,
        by=system_actor("test", "cli"),
    )
    task = lifecycle.file_recommendation(
        {**catalogue().examples[0], "layers": ["relational-data"]},
        repository=repository,
        owner=in_acme.people["bo"],
        by=_by(in_acme, "bo"),
    )
    _run(task)
    assert task.state == Task.State.COMPLETED, task.reason
    return task


def _branches(task):
    url = local_forge().clone_url(forge_address(task.repository))
    said = subprocess.run(["git", "-C", url, "branch"], capture_output=True, text=True, check=True)
    return said.stdout.split()


def test_taking_a_task_back_closes_its_pull_request_and_deletes_its_branch(
    in_acme, finished, entries
):
    with pytest.raises(Denied):
        lifecycle.undo(finished, by=_by(in_acme, "iris"))
    assert finished.branch in _branches(finished)

    lifecycle.undo(finished, by=_by(in_acme, "bo"))
    proposal = finished.proposal
    for _ in range(2):  # the job may be delivered twice
        upkeep.withdraw(proposal.pk)

    [request] = local_forge().pull_requests(forge_address(finished.repository))
    assert request.state == "closed"
    assert finished.branch not in _branches(finished)
    proposal.refresh_from_db()
    assert (proposal.state, proposal.withdrawn_by) == (Proposal.State.WITHDRAWN, "Bo")
    assert artifact_store().get(finished.tenant_id, proposal.diff_sha256)
    assert Artifact.objects.filter(task=finished).exists()
    said = entries(in_acme)
    assert said.count(("task.undo", "ok")) == 1
    assert ("task.undo.denied", "denied") in said
    with pytest.raises(IllegalMove):
        lifecycle.undo(finished, by=_by(in_acme, "bo"))


def test_the_sweep_finds_what_was_taken_back_and_still_stands_and_nothing_after(in_acme, finished):
    tenant = in_acme.scope.tenant_id
    assert tenant not in tenants_with_work("stalled")
    lifecycle.undo(finished, by=_by(in_acme, "bo"))
    # As if its decision had been sent long ago: that alone must not hide it.
    Proposal.objects.filter(task=finished).update(review_sent=True)

    assert tenant in tenants_with_work("stalled")
    assert upkeep.unfinished_undoing() == [finished.proposal.pk]
    upkeep.withdraw(finished.proposal.pk)

    assert tenant not in tenants_with_work("stalled")
    Proposal.objects.filter(task=finished).update(review_sent=False)
    assert tenant not in tenants_with_work("stalled")


# Tests that cannot be trusted ------------------------------------------------------------------

ORDERED = {
    "desk.py": b"seen = []\n",
    "tests/test_desk.py": (
        b"import desk\n\n\ndef test_first():\n    desk.seen.append(1)\n\n\n"
        b"def test_that_minds_the_order():\n    assert desk.seen == []\n\n\n"
        b"def test_third():\n    pass\n"
    ),
}
MINDFUL = "tests/test_desk.py::test_that_minds_the_order"


@pytest.fixture
def ordered(in_acme):
    return repositories.register(
        "ordered",
        project=in_acme.project,
        files=ORDERED,
        written=WRITTEN,
        by=system_actor("test", "cli"),
    )


@pytest.fixture
def find(in_acme, ordered):
    """Has the agent look for whatever fails in the repository."""

    def filed():
        task = lifecycle.file_bugfix(
            {"title": "It is red", "what_is_wrong": "Sometimes.", "how": "find"},
            repository=ordered,
            owner=in_acme.people["bo"],
            by=_by(in_acme, "bo"),
            budgets=PATIENT,
        )
        _run(task)
        return task

    return filed


def _report(task):
    kept = Artifact.objects.get(task=task, name="tests:baseline")
    return json.loads(artifact_store().get(task.tenant_id, kept.sha256))


def test_a_test_that_passes_alone_is_set_aside_and_counts_again_when_released(
    in_acme, find, ordered
):
    first = find()

    assert first.state == Task.State.FAILED
    assert "every test passes" in first.reason
    assert _report(first)["flaky"] == [MINDFUL]
    aside = FlakyTest.objects.get()
    assert (aside.test, aside.seen_by, aside.repository) == (MINDFUL, first, ordered)

    second = find()
    assert (_report(second)["flaky"], _report(second)["quarantined"]) == ([], [MINDFUL])
    assert FlakyTest.objects.count() == 1

    with pytest.raises(Denied):
        lifecycle.release_flaky_test(aside, by=_by(in_acme, "iris"))
    lifecycle.release_flaky_test(aside, by=_by(in_acme, "bo"))

    assert runner.bench_for(second, {}).flaky == frozenset()
    outcomes = [(said["outcome"], said["object"]["id"]) for said in _said("flaky_test.release")]
    assert outcomes == [("ok", str(ordered.pk))]


def test_what_failed_before_a_change_is_not_run_again_after_it(find):
    task = find()
    baseline = Artifact.objects.get(task=task, name="tests:baseline").sha256
    call = {"target": [], "on": "base", "purpose": "suite", "retries": 1}
    flaky = []

    for earlier in ({"tests:baseline": baseline}, {}):
        bench = replace(runner.bench_for(task, earlier), flaky=frozenset())
        flaky.append(run_tests(bench, call).result["flaky"])

    assert flaky == [[], [MINDFUL]]


def test_shards_share_all_tests_between_them(find, ordered, file_bug):
    task = file_bug()
    task.repository = ordered
    task.base_sha = local_forge().head(forge_address(ordered), "main")
    bench = runner.bench_for(task, {})
    parts = []
    for index in (1, 2):
        call = {"target": [], "on": "base", "shard": {"index": index, "of": 2}}
        seen = run_tests(bench, call)
        report = json.loads(seen.outputs["tests:other"])
        [run] = report["runs"]
        parts.append({*run["passed"], *(row["id"] for row in run["failing"])})

    assert parts[0] & parts[1] == set()
    assert len(parts[0] | parts[1]) == 3
    assert all(parts)
