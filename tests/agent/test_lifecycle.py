"""What people may do with tasks and proposals, and what the agent makes of it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from agent import lifecycle, repositories, runner, tools, upkeep
from agent.errors import IllegalMove, StaleDigest
from agent.forge import ForgeRefused, Person
from agent.forge.local import LocalForge
from agent.models import Action, Artifact, Draft, Proposal, Repository, Review, Task
from agent.places import artifact_store, catalogue, forge_address, local_forge
from agent.tools import recommending
from authz.errors import BadRequest, Denied
from authz.models import Grant
from authz.permissions import Permission
from authz.roles import Role
from evidence.store import Missing
from tenants.actor import system_actor
from tenants.models import User
from tenants.scope import tenants_with_work
from tests.at_browser import JUST_NOW

WRITTEN = datetime(2026, 1, 5, tzinfo=UTC)


@pytest.fixture
def repository(in_acme):
    return repositories.register(
        "order-desk",
        project=in_acme.project,
        files={"README.md": b"# Order desk\n"},
        written=WRITTEN,
        by=system_actor("test", "cli"),
    )


@pytest.fixture
def fields():
    """The first example, reduced to one layer so that a run takes a moment."""
    return {**catalogue().examples[0], "layers": ["relational-data"]}


@pytest.fixture
def task(in_acme, repository, fields):
    ada = in_acme.people["ada"]
    return lifecycle.file_recommendation(
        fields, repository=repository, owner=ada, by=ada.actor("page", signed_in=JUST_NOW)
    )


@pytest.fixture
def proposal(task):
    _run(task)
    assert task.state == Task.State.COMPLETED, task.reason
    return task.proposal


def _run(task, steps=99):
    for _ in range(steps):
        if not runner.advance(task.pk):
            break
    task.refresh_from_db()


def _by(company, name):
    return company.people[name].actor("page", signed_in=JUST_NOW)


def _countersign(company, name, proposal, digest):
    lifecycle.countersign(
        proposal, digest, reviewer=company.people[name], by=_by(company, name), comment="read"
    )


def _requests(task):
    return local_forge().pull_requests(forge_address(task.repository))


def _push(proposal, path=b"sneaked in\n"):
    """Somebody moves the branch behind the portal's back."""
    local_forge().publish(
        forge_address(proposal.repository),
        branch=proposal.branch,
        base_sha=proposal.head_sha,
        changes={"docs/stack/extra.md": path},
        message="One more thing",
        author=Person("Mallory", "mallory@example.com"),
        co_author=None,
        when=WRITTEN,
    )


def test_a_request_becomes_a_pull_request_that_waits_for_a_person(proposal, task):
    [request] = _requests(task)

    assert (request.draft, request.state, request.number) == (False, "open", proposal.number)
    assert request.head_sha == proposal.head_sha
    assert proposal.state == Proposal.State.OPEN
    assert proposal.failing_checks == []
    assert all(check.ok for check in request.checks)


def test_an_earlier_record_of_the_layer_is_marked_as_superseded(in_acme, fields, proposal):
    forge, address = local_forge(), forge_address(proposal.repository)
    (path,) = [
        path
        for path in forge.list_files(address, proposal.head_sha)
        if path.endswith("-relational-data.md")
    ]
    record = forge.read_files(address, proposal.head_sha, [path])[path]
    earlier = "docs/adr/20250102-relational-data.md"
    desk = repositories.register(
        "older-desk",
        project=in_acme.project,
        files={earlier: record, "docs/adr/20250103-storage.md": b"# Storage\n"},
        written=WRITTEN,
        by=system_actor("test", "cli"),
    )
    ada = in_acme.people["ada"]
    again = lifecycle.file_recommendation(
        fields, repository=desk, owner=ada, by=ada.actor("page", signed_in=JUST_NOW)
    )

    _run(again)

    assert again.state == Task.State.COMPLETED, again.reason
    head = again.proposal.head_sha
    found = forge.read_files(
        forge_address(desk), head, [earlier, path, "docs/adr/20250103-storage.md"]
    )
    name = path.rsplit("/", 1)[-1]
    assert f"status: superseded\nsuperseded-by: {name}\n".encode() in found[earlier]
    assert b'supersedes: ["20250102-relational-data.md"]' in found[path]
    assert found["docs/adr/20250103-storage.md"] == b"# Storage\n"


def test_the_commit_names_the_agent_and_whoever_asked(proposal, task, tmp_path):
    import subprocess

    url = local_forge().clone_url(forge_address(task.repository))
    command = ["git", "-C", url, "log", "-1", "--format=%an%n%B", proposal.head_sha]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert said.startswith("Countersign agent\n")
    assert "Co-authored-by: Ada <" in said


@pytest.mark.parametrize("steps_before", [0, 3, 6])
def test_a_cancelled_task_keeps_what_it_had_and_says_who_did_it(
    in_acme, task, entries, steps_before
):
    _run(task, steps_before)
    done = Action.objects.filter(task=task, status=Action.Status.DONE).count()

    lifecycle.cancel(task, by=_by(in_acme, "lin"))
    _run(task)

    assert (task.state, task.reason) == (Task.State.CANCELLED, "Lin cancelled it")
    assert Action.objects.filter(task=task, status=Action.Status.DONE).count() == done
    assert Artifact.objects.filter(task=task).exists() == (done > 0)
    assert not Proposal.objects.filter(task=task).exists()
    assert [request.state for request in _requests(task)] in ([], ["closed"])
    assert ("task.cancel", "ok") in entries(in_acme)


def test_an_auditor_cannot_cancel_and_an_ended_task_cannot_be_cancelled(in_acme, proposal, task):
    with pytest.raises(Denied):
        lifecycle.cancel(task, by=_by(in_acme, "iris"))
    with pytest.raises(IllegalMove, match="ended already"):
        lifecycle.cancel(task, by=_by(in_acme, "ada"))


def test_a_task_that_runs_out_of_time_says_so_and_goes_on_where_it_stopped(in_acme, task):
    _run(task, 3)
    Task.objects.filter(pk=task.pk).update(budgets={"wall_s": 0})

    _run(task)
    assert task.state == Task.State.TIMED_OUT
    assert "time budget" in task.reason
    before = list(Action.objects.filter(task=task).values_list("pk", "started_at"))

    Task.objects.filter(pk=task.pk).update(budgets={"wall_s": 300})
    task.refresh_from_db()
    lifecycle.resume(task, by=_by(in_acme, "ada"))
    _run(task)

    assert task.state == Task.State.COMPLETED
    assert list(Action.objects.filter(task=task).values_list("pk", "started_at"))[:2] == before[:2]


def test_a_file_that_fails_its_linter_stops_the_pull_request(task, monkeypatch):
    real = recommending.render

    def broken(*args, **kwargs):
        files = real(*args, **kwargs)
        return {**files, "docs/stack/rollback.md": b"no heading\n\n\n\ntrailing   \n"}

    monkeypatch.setattr(recommending, "render", broken)

    _run(task)

    assert task.state == Task.State.FAILED
    assert "docs/stack/rollback.md" in task.reason
    assert _requests(task) == []
    assert Artifact.objects.filter(task=task, name="file:docs/stack/rollback.md").exists()


def test_a_branch_that_moves_before_it_is_verified_never_becomes_a_proposal(task):
    _run(task, 7)
    bench = runner.bench_for(task, {})
    local_forge().publish(
        bench.repository,
        branch=task.branch,
        base_sha=_requests(task)[0].head_sha,
        changes={"docs/stack/extra.md": b"sneaked in\n"},
        message="One more thing",
        author=Person("Mallory", "mallory@example.com"),
        co_author=None,
        when=WRITTEN,
    )

    _run(task)

    assert task.state == Task.State.FAILED
    assert not Proposal.objects.filter(task=task).exists()


def test_a_forge_that_loses_a_file_is_found_out(task, monkeypatch):
    real = LocalForge.publish

    def forgetful(self, repo, *, changes, **other):
        kept = {path: content for path, content in changes.items() if "rollback" not in path}
        return real(self, repo, changes=kept, **other)

    monkeypatch.setattr(LocalForge, "publish", forgetful)

    _run(task)

    assert task.state == Task.State.FAILED
    assert "the branch holds exactly the files that were rendered" in task.reason
    assert [request.state for request in _requests(task)] == ["closed"]


def test_a_task_starts_again_when_the_catalogue_is_replaced_under_it(task, monkeypatch):
    _run(task, 3)
    newer = replace(catalogue(), digest="0" * 64)
    monkeypatch.setattr(runner, "catalogue", lambda: newer)

    _run(task)

    assert task.state == Task.State.COMPLETED, task.reason
    assert task.recommendation.catalogue_digest == "0" * 64
    assert Action.objects.filter(task=task, status=Action.Status.DONE).count() == 7


def test_a_bug_ends_the_task_with_what_it_had(task, monkeypatch):
    from agent import jobs

    broken = tools.Tool(lambda bench, arguments: 1 / 0, Permission.TASK_RUN)
    monkeypatch.setitem(tools.TOOLS, "score_options", broken)
    _run(task, 3)

    with pytest.raises(ZeroDivisionError):
        jobs.advance_task.run(str(task.pk))

    task.refresh_from_db()
    assert task.state == Task.State.FAILED
    assert "ZeroDivisionError" in task.reason
    assert Action.objects.filter(task=task, status=Action.Status.DONE).count() == 2


def test_a_task_whose_agent_is_gone_ends_and_takes_no_more_turns(task):
    from agent import jobs

    Grant.objects.filter(role=Role.AGENT, project=task.project).delete()
    with pytest.raises(User.DoesNotExist):
        jobs.advance_task.run(str(task.pk))

    task.refresh_from_db()
    assert (task.state, "no agent account" in task.reason) == (Task.State.FAILED, True)
    Task.objects.filter(pk=task.pk).update(touched_at=datetime(2026, 1, 1, tzinfo=UTC))
    assert task.pk not in upkeep.stalled_tasks()


def test_two_workers_never_hold_one_task(task):
    import threading

    from django.db import connection

    from agent.errors import Busy
    from tenants.scope import current, tenant_scope

    scope, seen = current(), []

    def other():
        with tenant_scope(scope):
            try:
                runner.advance(task.pk)
            except Busy as busy:
                seen.append(busy)
        connection.close()

    with runner._held(task.pk):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()

    assert len(seen) == 1


def test_a_second_person_countersigns_what_was_read(in_acme, proposal, entries):
    _countersign(in_acme, "lin", proposal, proposal.digest)

    review = Review.objects.get()
    assert (review.digest, review.verdict) == (proposal.digest, "countersigned")
    assert proposal.state == Proposal.State.COUNTERSIGNED
    assert entries(in_acme)[-1] == ("proposal.countersign", "ok")


@pytest.mark.parametrize(
    ("name", "error", "left"),
    [
        ("ada", Denied, "proposal.countersign.denied"),
        ("bo", Denied, "proposal.countersign.denied"),
        ("iris", Denied, "proposal.countersign.denied"),
    ],
)
def test_who_may_not_countersign_is_refused_on_record(
    in_acme, proposal, entries, name, error, left
):
    with pytest.raises(error):
        _countersign(in_acme, name, proposal, proposal.digest)

    proposal.refresh_from_db()
    assert proposal.state == Proposal.State.OPEN
    assert entries(in_acme)[-1] == (left, "denied")


def test_a_proposal_that_changed_since_it_was_read_cannot_be_countersigned(
    in_acme, proposal, entries
):
    read = proposal.digest
    _push(proposal)
    assert upkeep.refresh(proposal.pk)
    proposal.refresh_from_db()

    with pytest.raises(StaleDigest, match="changed since you read it"):
        _countersign(in_acme, "lin", proposal, read)
    with pytest.raises(StaleDigest, match="checks fail"):
        _countersign(in_acme, "lin", proposal, proposal.digest)

    assert proposal.digest != read
    assert proposal.state == Proposal.State.OPEN
    assert entries(in_acme)[-1] == ("proposal.countersign.refused", "denied")


def test_risk_and_size_are_scored_when_it_opens_and_again_when_the_branch_moves(proposal):
    score, lines = proposal.risk_score, proposal.diff_lines
    assert score == sum(reason["points"] for reason in proposal.risk_reasons) > 0
    assert proposal.risk_reasons[0]["said"] == "the plan has a risk of 0.1 of 1"
    _push(proposal)

    upkeep.refresh(proposal.pk)

    proposal.refresh_from_db()
    assert proposal.diff_lines != lines
    assert proposal.risk_reasons[0]["said"] == "the plan has a risk of 0.1 of 1"


def test_a_pull_request_that_is_as_it_was_changes_nothing(proposal):
    assert not upkeep.refresh(proposal.pk)


def test_a_proposal_is_decided_once(in_acme, proposal):
    _countersign(in_acme, "lin", proposal, proposal.digest)
    proposal.refresh_from_db()

    with pytest.raises(IllegalMove, match="already"):
        _countersign(in_acme, "tomas", proposal, proposal.digest)


def test_rejecting_needs_a_reason_and_closes_the_pull_request(in_acme, proposal, task):
    lin = in_acme.people["lin"]
    with pytest.raises(BadRequest, match="say why"):
        lifecycle.reject(
            proposal, proposal.digest, reviewer=lin, by=_by(in_acme, "lin"), comment=" "
        )

    lifecycle.reject(
        proposal, proposal.digest, reviewer=lin, by=_by(in_acme, "lin"), comment="too costly"
    )
    upkeep.publish_review(proposal.pk)

    [request] = _requests(task)
    assert request.state == "closed"
    assert request.checks[-1].name == "countersign: Lin"
    assert not request.checks[-1].ok


def test_a_decision_that_did_not_reach_the_code_host_is_sent_later(
    in_acme, proposal, task, monkeypatch
):
    _countersign(in_acme, "lin", proposal, proposal.digest)
    assert upkeep.unsent_reviews() == []  # too fresh: its own job is about to run
    monkeypatch.setattr(upkeep, "STALLED_AFTER", timedelta(0))
    assert upkeep.unsent_reviews() == [proposal.pk]
    assert in_acme.scope.tenant_id in tenants_with_work("stalled")

    upkeep.publish_review(proposal.pk)

    assert upkeep.unsent_reviews() == []
    assert in_acme.scope.tenant_id not in tenants_with_work("stalled")

    [request] = _requests(task)
    assert request.checks[-1].name == "countersign: Lin"


def test_a_code_host_that_refuses_a_decision_is_not_asked_again(in_acme, proposal, entries):
    _push(proposal)
    _countersign(in_acme, "lin", proposal, proposal.digest)

    upkeep.publish_review(proposal.pk)

    proposal.refresh_from_db()
    assert proposal.review_sent
    assert [action for action, _ in entries(in_acme)[-2:]] == ["pull_request.open"] * 2


def test_a_decision_made_while_the_forge_is_asked_is_not_undone(in_acme, proposal, monkeypatch):
    _push(proposal)
    real = LocalForge.diff

    def somebody_decides_first(self, *where):
        if Proposal.objects.get(pk=proposal.pk).state == Proposal.State.OPEN:
            _countersign(in_acme, "lin", proposal, proposal.digest)
        return real(self, *where)

    monkeypatch.setattr(LocalForge, "diff", somebody_decides_first)

    assert not upkeep.refresh(proposal.pk)

    standing = Proposal.objects.get(pk=proposal.pk)
    assert standing.state == Proposal.State.COUNTERSIGNED
    assert standing.digest == Review.objects.get().digest


def test_what_is_signed_and_recorded_is_the_state_that_stands_now(in_acme, proposal):
    read_long_ago = Proposal.objects.get(pk=proposal.pk)
    _push(proposal)
    upkeep.refresh(proposal.pk)
    now = Proposal.objects.get(pk=proposal.pk)

    # The page object is old, the digest is today's: today's failing checks count.
    with pytest.raises(StaleDigest, match="checks fail"):
        _countersign(in_acme, "lin", read_long_ago, now.digest)

    assert not Review.objects.exists()


def test_who_may_not_register_a_repository_leaves_nothing_on_the_forge(in_acme, entries):
    with pytest.raises(Denied):
        repositories.register(
            "sneaky",
            project=in_acme.project,
            files={"README.md": b"# Sneaky\n"},
            written=WRITTEN,
            by=_by(in_acme, "bo"),
        )

    unborn = Repository(project=in_acme.project, name="sneaky")
    with pytest.raises(ForgeRefused):
        local_forge().head(forge_address(unborn), "main")
    assert entries(in_acme)[-1] == ("repository.register.denied", "denied")


def test_closing_a_cancelled_pull_request_is_on_record_before_it_happens(in_acme, task, entries):
    _run(task, 7)
    lifecycle.cancel(task, by=_by(in_acme, "ada"))

    _run(task)

    assert [request.state for request in _requests(task)] == ["closed"]
    assert [action for action, _ in entries(in_acme)[-2:]] == ["pull_request.open", "task.run"]


def test_work_that_came_to_nothing_is_recorded_as_failed(task, in_acme, entries, monkeypatch):
    broken = tools.Tool(
        lambda bench, arguments: tools.Observation("no", ok=False), Permission.TASK_RUN
    )
    monkeypatch.setitem(tools.TOOLS, "score_options", broken)

    _run(task)

    assert entries(in_acme)[-1] == ("task.run", "failed")


def test_bad_constraints_name_the_field_and_file_nothing(in_acme, repository, fields):
    ada = in_acme.people["ada"]

    with pytest.raises(BadRequest) as refused:
        lifecycle.file_recommendation(
            {**fields, "title": "", "must_haves": ["no such thing"]},
            repository=repository,
            owner=ada,
            by=ada.actor("page", signed_in=JUST_NOW),
        )

    assert set(refused.value.errors) == {"title", "must_haves"}
    assert not Task.objects.exists()


def test_a_draft_is_kept_until_the_request_is_filed(in_acme, repository, fields):
    ada = in_acme.people["ada"]
    lifecycle.save_draft(
        {"title": "half"},
        owner=ada,
        repository=repository,
        by=ada.actor("page", signed_in=JUST_NOW),
    )
    assert Draft.objects.get(user=ada).fields == {"title": "half"}

    lifecycle.file_recommendation(
        fields, repository=repository, owner=ada, by=ada.actor("page", signed_in=JUST_NOW)
    )

    assert not Draft.objects.filter(user=ada).exists()


def test_artifacts_of_one_tenant_cannot_be_read_for_another(task):
    _run(task)
    artifact = Artifact.objects.filter(task=task).first()

    assert artifact_store().get(task.tenant_id, artifact.sha256)
    with pytest.raises(Missing):
        artifact_store().get(uuid4(), artifact.sha256)
