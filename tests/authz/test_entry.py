"""entry(): a change of nothing but its entry, decided and written in one statement."""

import json
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.utils import timezone

from agent.models import Task
from authz import onrecord, relations
from authz.cedar import SENSITIVE
from authz.change import change, entry
from authz.decisions import decide, remembered, require
from authz.errors import Denied
from authz.models import Grant
from authz.permissions import Permission
from authz.roles import Role
from evidence import ledger
from evidence.models import OpenIntent, StagedEntry
from tenants import asked as asking
from tenants.actor import system_actor
from tenants.errors import Unasked
from tenants.models import Membership, Project
from tenants.scope import tenant_scope
from tests.at_browser import JUST_NOW

# By roles alone; a developer of the project has it.
FILE = Permission.TASK_CREATE


@pytest.fixture(autouse=True)
def _memory(settings):
    settings.RELATIONS = "memory"
    relations.forget()


@pytest.fixture
def bo(in_acme):
    """A developer of the project, whom this process has just answered a question about."""
    actor = in_acme.people["bo"].actor("page", signed_in=JUST_NOW)
    assert decide(actor, FILE, in_acme.project).allowed
    return actor


@pytest.fixture
def asked(monkeypatch):
    """Counts how often PostgreSQL is asked for the revision by itself."""
    read, seen = relations._read_revision, []

    def counted():
        seen.append(1)
        return read()

    monkeypatch.setattr(relations, "_read_revision", counted)
    return seen


def _newest():
    staged = StagedEntry.objects.order_by("id").last()
    return json.loads(bytes(staged.leaf)), json.loads(bytes(staged.payload))


def test_it_says_what_change_would_have_said(in_acme, bo, entries, asked):
    before = len(entries(in_acme))

    said = entry(bo, FILE, on=in_acme.project, facts={"number": 7})
    leaf, facts = _newest()
    with change(bo, FILE, on=in_acme.project) as changed:
        changed["number"] = 7
    as_change, as_changed = _newest()

    assert entries(in_acme)[before:] == [("task.create", "ok")] * 2
    assert said.intent.id.hex == leaf["id"].replace("-", "")
    for one, other in ((leaf, as_change), (facts, as_changed)):
        differs = {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)}
        assert differs <= {"id", "ts", "payload", "latency_ms", "trace"}
    assert facts["relations"] == [str(step) for step in said.decision.explanation.path]
    assert facts["revision"] == relations.revision_in_memory()
    assert len(asked) == 1  # change() did


def test_what_nobody_was_asked_about_yet_is_asked(in_acme, bo, asked):
    relations.forget()

    entry(bo, FILE, on=in_acme.project, facts={})

    assert len(asked) == 1


def test_what_changed_elsewhere_is_looked_at_before_the_entry(in_acme, bo, entries, asked):
    before = len(entries(in_acme))
    Grant.objects.create(user=in_acme.people["iris"], role=Role.DEVELOPER, project=in_acme.project)

    said = entry(bo, FILE, on=in_acme.project, facts={})

    assert entries(in_acme)[before:] == [("task.create", "ok")]
    assert said.decision.explanation.revision == relations.revision_in_memory()
    assert len(asked) == 1


def test_relations_that_were_made_anew_are_read_anew(in_acme, bo, asked):
    """Their count begins anew, so the same number of another count says nothing."""
    relations._memory[in_acme.scope.tenant_id].epoch = uuid4()

    entry(bo, FILE, on=in_acme.project, facts={})

    assert len(asked) == 1


def test_what_was_read_on_the_way_is_on_disk_first(in_acme, bo):
    with onrecord.collected() as waiting:
        require(bo, Permission.TASK_VIEW, in_acme.project)
        assert waiting.waiting

        entry(bo, FILE, on=in_acme.project, facts={})

        assert not waiting.waiting


def test_it_opens_the_tables_that_go_with_the_right(in_acme, bo):
    with asking.watched():
        with pytest.raises(Unasked):
            Task.objects.count()
        entry(bo, FILE, on=in_acme.project, facts={})

        assert Task.objects.count() == 0


def test_a_role_that_was_taken_away_is_worth_nothing(in_acme, bo, entries):
    before = len(entries(in_acme))
    Grant.objects.filter(user=in_acme.people["bo"]).delete()

    with pytest.raises(Denied):
        entry(bo, FILE, on=in_acme.project, facts={})

    assert entries(in_acme)[before:] == [("task.create.denied", "denied")]


def test_an_account_that_was_closed_is_worth_nothing(in_acme, bo, entries):
    before = len(entries(in_acme))
    Membership.objects.filter(user=in_acme.people["bo"]).update(state=Membership.State.SUSPENDED)

    with pytest.raises(Denied):
        entry(bo, FILE, on=in_acme.project, facts={})

    assert entries(in_acme)[before:] == [("task.create.denied", "denied")]


def test_a_role_that_has_run_out_is_worth_nothing(in_acme, entries):
    """Nothing is written when a role runs out, so the revision tells nobody."""
    iris = in_acme.people["iris"].actor("page", signed_in=JUST_NOW)
    Grant.objects.create(
        user=in_acme.people["iris"],
        role=Role.DEVELOPER,
        project=in_acme.project,
        expires_at=timezone.now() + timedelta(seconds=1),
    )
    assert decide(iris, FILE, in_acme.project).allowed
    assert remembered(iris, FILE, in_acme.project)
    before = len(entries(in_acme))
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(1.1)")
    assert remembered(iris, FILE, in_acme.project)  # so it is PostgreSQL that says no

    with pytest.raises(Denied):
        entry(iris, FILE, on=in_acme.project, facts={})

    assert entries(in_acme)[before:] == [("task.create.denied", "denied")]


def test_a_denial_is_recorded_as_change_records_it(in_acme, entries):
    iris = in_acme.people["iris"].actor("page", signed_in=JUST_NOW)
    before = len(entries(in_acme))

    for _ in range(2):
        with pytest.raises(Denied):
            entry(iris, FILE, on=in_acme.project, facts={})

    assert entries(in_acme)[before:] == [("task.create.denied", "denied")] * 2


def test_an_intent_is_open_until_it_is_answered(in_acme, bo):
    said = entry(bo, FILE, on=in_acme.project, facts={"to": "do"}, phase="intent")

    leaf, facts = _newest()
    [opened] = OpenIntent.objects.all()
    assert (leaf["phase"], facts["to"]) == ("intent", "do")
    assert (
        (opened.pk, opened.trace)
        == (said.intent.id, leaf["trace"])
        == (
            said.intent.id,
            said.intent.trace,
        )
    )
    assert (opened.action, opened.object_type) == ("task.create", "project")
    assert opened.object_id == str(in_acme.project.pk)
    assert opened.backend_pid == connection.connection.info.backend_pid
    with change(bo, FILE, on=in_acme.project) as facts:
        facts.answers = said.intent
    assert not OpenIntent.objects.exists()


def test_an_intent_that_is_refused_is_not_open(in_acme, bo):
    Grant.objects.filter(user=in_acme.people["bo"]).delete()

    with pytest.raises(Denied):
        entry(bo, FILE, on=in_acme.project, facts={}, phase="intent")

    assert not OpenIntent.objects.exists()


def test_the_product_itself_asks_nobody(in_acme, entries, asked):
    before, by = len(entries(in_acme)), system_actor("test", "cli")

    entry(by, Permission.PROJECT_CREATE, on=in_acme.project, facts={}, outcome="failed")
    entry(by, Permission.PROJECT_CREATE, on=in_acme.project, facts={}, phase="intent")

    assert entries(in_acme)[before:] == [("project.create", "failed"), ("project.create", "ok")]
    assert OpenIntent.objects.count() == 1
    assert asked == []


def test_what_the_product_itself_may_not_do_it_does_not(in_acme, entries):
    before, by = len(entries(in_acme)), system_actor("test", "cli")

    with pytest.raises(Denied):
        entry(by, Permission.PROPOSAL_REJECT, on=in_acme.project, facts={})

    assert entries(in_acme)[before:] == [("proposal.reject.denied", "denied")]


def test_an_entry_about_something_else_than_was_asked_about(in_acme, bo):
    other = ledger.Named("parcel", "7")

    entry(bo, FILE, on=in_acme.project, facts={}, about=other)

    assert _newest()[0]["object"] == {"type": "parcel", "id": "7"}


def test_inside_another_transaction_it_is_a_bug(in_acme, bo):
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
        entry(bo, FILE, on=in_acme.project, facts={})
    with pytest.raises(RuntimeError, match="transaction"), transaction.atomic():
        ledger.record_if(
            None,
            "test.alone",
            by=bo,
            on=in_acme.project,
            facts={},
            phase="result",
            outcome="ok",
            policy={"digest": "0" * 64, "decision": "allow"},
        )


def test_what_is_remembered_of_one_tenant_is_nothing_to_another(acme, globex):
    bo = acme.people["bo"].actor("page", signed_in=JUST_NOW)
    with tenant_scope(acme.scope):
        decide(bo, FILE, acme.project)
    with tenant_scope(globex.scope):
        assert decide(bo, FILE, globex.project).allowed is False
        assert remembered(bo, FILE, globex.project) is None
        with pytest.raises(Denied):
            entry(bo, FILE, on=globex.project, facts={})


def test_nothing_is_remembered_that_is_not_decided(in_acme):
    in_acme.project.countersigned = in_acme.project.checks_passed = True
    elsewhere = Project.objects.create(slug="other", name="Other")
    remembers = set()
    for name in ("tomas", "ada", "bo", "iris"):
        by = in_acme.people[name].actor("page", signed_in=JUST_NOW)
        for permission in Permission:
            for project in (in_acme.project, elsewhere):
                decision = decide(by, permission, project)
                if (found := remembered(by, permission, project)) is not None:
                    assert found[0]._replace(latency_ms=0) == decision._replace(latency_ms=0)
                    remembers.add(permission)
                else:
                    assert permission in SENSITIVE or not decision.allowed
    assert {FILE, Permission.PROJECT_CREATE, Permission.LEDGER_EXPORT} <= remembers


def test_a_server_that_may_decide_is_asked(in_acme, bo, settings):
    assert remembered(bo, FILE, in_acme.project)
    settings.RELATIONS_SERVERS = {
        **settings.RELATIONS_SERVERS,
        "spicedb": ("http://127.0.0.1:1", "secret"),
    }

    assert remembered(bo, FILE, in_acme.project) is None


def test_where_postgresql_decides_memory_is_not_asked(in_acme, bo, settings):
    settings.RELATIONS = "sql"

    assert remembered(bo, FILE, in_acme.project) is None
