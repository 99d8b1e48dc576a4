"""change(): permitted, atomic and recorded, or not at all."""

from contextlib import suppress
from dataclasses import replace
from uuid import uuid4

import psycopg
import pytest
from django.db import DatabaseError, IntegrityError, ProgrammingError, connection, transaction

from authz.change import change
from authz.decisions import decide, visible, who_may
from authz.errors import Conflict, Denied
from authz.models import Grant
from authz.permissions import Permission
from authz.roles import ROLES, Role
from evidence import ledger
from tenants.actor import Actor, system_actor
from tenants.models import Project
from tenants.scope import tenant_scope
from tests.at_browser import JUST_NOW


def _actor(company, name):
    return company.people[name].actor("page", signed_in=JUST_NOW)


def test_a_permitted_change_leaves_one_entry(in_acme, entries):
    before = len(entries(in_acme))

    with change(_actor(in_acme, "tomas"), Permission.PROJECT_CREATE, on=in_acme.project) as facts:
        facts.about = Project.objects.create(slug="second", name="Second")

    assert Project.objects.filter(slug="second").exists()
    assert entries(in_acme)[before:] == [("project.create", "ok")]


def test_a_denied_change_does_not_run_and_is_recorded(in_acme, entries):
    before = len(entries(in_acme))

    with (
        pytest.raises(Denied),
        change(_actor(in_acme, "bo"), Permission.PROJECT_CREATE, on=in_acme.project),
    ):
        Project.objects.create(slug="second", name="Second")

    assert not Project.objects.filter(slug="second").exists()
    assert entries(in_acme)[before:] == [("project.create.denied", "denied")]


def test_an_error_undoes_the_change_with_its_entry(in_acme, entries):
    before = len(entries(in_acme))

    with (
        pytest.raises(ZeroDivisionError),
        change(_actor(in_acme, "tomas"), Permission.PROJECT_CREATE, on=in_acme.project),
    ):
        Project.objects.create(slug="second", name="Second")
        raise ZeroDivisionError

    assert not Project.objects.filter(slug="second").exists()
    assert entries(in_acme)[before:] == []


def test_a_change_is_committed_along_with_its_entry(in_acme, entries):
    before, seen = len(entries(in_acme)), []

    with change(_actor(in_acme, "tomas"), Permission.PROJECT_CREATE, on=in_acme.project):
        Project.objects.filter(pk=in_acme.project.pk).update(name="Other")
        transaction.on_commit(lambda: seen.append(connection.in_atomic_block))

    with psycopg.connect(connection.connection.info.dsn, password=_password()) as other:
        other.execute(
            "SELECT set_config('search_path', %s, false), set_config('app.tenant_id', %s, false)",
            [f'"{in_acme.scope.schema}", public', str(in_acme.scope.tenant_id)],
        )
        named = "SELECT name FROM tenants_project WHERE id = %s"
        assert other.execute(named, [in_acme.project.pk]).fetchone() == ("Other",)
    assert seen == [False]
    assert entries(in_acme)[before:] == [("project.create", "ok")]


def test_a_change_of_nothing_but_its_entry_is_committed_when_it_returns(in_acme, entries):
    before, said = len(entries(in_acme)), []
    connection.ensure_connection()
    connection.connection.add_notice_handler(lambda notice: said.append(notice.message_primary))

    for _ in range(2):  # to be prepared, then as it is from then on
        with change(_actor(in_acme, "tomas"), Permission.PROJECT_CREATE, on=in_acme.project):
            pass
    connection.connection.pgconn.finish()  # what was not committed is gone with the session
    connection.close()

    assert entries(in_acme)[before:] == [("project.create", "ok")] * 2
    assert said == []


def test_a_change_of_nothing_but_its_entry_that_fails_leaves_none(in_acme, entries):
    before = len(entries(in_acme))

    with (
        pytest.raises(ZeroDivisionError),
        change(_actor(in_acme, "tomas"), Permission.PROJECT_CREATE, on=in_acme.project),
    ):
        raise ZeroDivisionError

    assert entries(in_acme)[before:] == []


@pytest.mark.parametrize("writes", [True, False])
def test_a_change_that_is_to_be_undone_leaves_neither_rows_nor_an_entry(in_acme, entries, writes):
    before = len(entries(in_acme))

    with change(_actor(in_acme, "tomas"), Permission.PROJECT_CREATE, on=in_acme.project):
        if writes:
            Project.objects.create(slug="second", name="Second")
        transaction.set_rollback(True)

    assert not Project.objects.filter(slug="second").exists()
    assert entries(in_acme)[before:] == []


@pytest.mark.parametrize("writes", [True, False])
def test_other_entries_of_a_change_are_undone_with_it(in_acme, entries, writes):
    before, ada = len(entries(in_acme)), in_acme.people["ada"].actor("cli")

    with (
        pytest.raises(ZeroDivisionError),
        change(_actor(in_acme, "tomas"), Permission.PROJECT_CREATE, on=in_acme.project),
    ):
        if writes:
            Project.objects.create(slug="second", name="Second")
        ledger.record("test.first", by=ada, on=in_acme.project)
        ledger.record("test.second", by=ada, on=in_acme.project)
        raise ZeroDivisionError

    assert entries(in_acme)[before:] == []


def _password():
    return connection.settings_dict["PASSWORD"]


def test_an_entry_that_cannot_be_stored_undoes_the_change(in_acme, entries, monkeypatch):
    before = len(entries(in_acme))
    # Row security refuses an entry of a tenant that the session is not bound to.
    other = replace(in_acme.scope, tenant_id=uuid4())
    monkeypatch.setattr(ledger, "current", lambda: other)

    with (
        pytest.raises(ProgrammingError, match="row-level security"),
        change(_actor(in_acme, "tomas"), Permission.PROJECT_CREATE, on=in_acme.project),
    ):
        Project.objects.create(slug="second", name="Second")

    monkeypatch.undo()
    assert not Project.objects.filter(slug="second").exists()
    assert entries(in_acme)[before:] == []


def test_a_change_that_fails_at_its_commit_leaves_neither_rows_nor_an_entry(in_acme, entries):
    before = len(entries(in_acme))

    with (
        pytest.raises(IntegrityError, match="authz_grant"),
        change(_actor(in_acme, "tomas"), Permission.PROJECT_CREATE, on=in_acme.project),
    ):
        Grant.objects.create(user_id=uuid4(), role="developer")

    assert not Grant.objects.filter(role="developer", user__isnull=True).exists()
    assert entries(in_acme)[before:] == []


def test_a_change_whose_transaction_has_failed_unseen_is_not_taken_for_done(in_acme, entries):
    before = len(entries(in_acme))

    with (
        pytest.raises(DatabaseError),
        change(_actor(in_acme, "tomas"), Permission.PROJECT_CREATE, on=in_acme.project),
        suppress(psycopg.Error),
    ):
        Project.objects.create(slug="second", name="Second")
        connection.connection.execute("SELECT 1 / 0")

    assert not Project.objects.filter(slug="second").exists()
    assert entries(in_acme)[before:] == []


def test_a_refusal_inside_a_change_undoes_it_and_is_recorded(in_acme, entries):
    before = len(entries(in_acme))

    with (
        pytest.raises(Conflict),
        change(_actor(in_acme, "tomas"), Permission.PROJECT_CREATE, on=in_acme.project),
    ):
        Project.objects.create(slug="second", name="Second")
        raise Conflict("somebody else was faster")

    assert not Project.objects.filter(slug="second").exists()
    assert entries(in_acme)[before:] == [("project.create.refused", "denied")]


def test_a_change_inside_another_transaction_is_a_bug(in_acme):
    with (
        pytest.raises(RuntimeError, match="durable"),
        transaction.atomic(),
        change(_actor(in_acme, "tomas"), Permission.PROJECT_CREATE, on=in_acme.project),
    ):
        pass


@pytest.mark.parametrize("permission", list(Permission))
@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("tomas", Role.TENANT_ADMIN),
        ("ada", Role.PROJECT_ADMIN),
        ("bo", Role.DEVELOPER),
        ("iris", Role.AUDITOR),
    ],
)
def test_a_role_allows_what_the_matrix_lists_and_nothing_else(in_acme, name, role, permission):
    # What merging takes besides a role.
    in_acme.project.countersigned = in_acme.project.checks_passed = True

    decision = decide(_actor(in_acme, name), permission, in_acme.project)

    assert decision.allowed == (permission in ROLES[role])


def test_a_role_in_one_project_is_worth_nothing_in_another(in_acme):
    other = Project.objects.create(slug="other", name="Other")

    assert decide(_actor(in_acme, "ada"), Permission.PROPOSAL_VIEW, in_acme.project).allowed
    assert not decide(_actor(in_acme, "ada"), Permission.PROPOSAL_VIEW, other).allowed
    seen = visible(_actor(in_acme, "ada"), Permission.TASK_VIEW, Project.objects.all())
    assert list(seen) == [in_acme.project]


def test_nobody_from_elsewhere_holds_anything_here(acme, globex):
    eve = globex.people["eve"].actor("page", signed_in=JUST_NOW)

    with tenant_scope(acme.scope):
        allowed = [p for p in Permission if decide(eve, p, acme.project).allowed]

    assert allowed == []


def test_an_agent_never_countersigns_whatever_roles_it_holds(in_acme):
    ada = in_acme.people["ada"]
    as_agent = Actor("agent", str(ada.pk), "Agent", "job", user_id=ada.pk)

    decision = decide(as_agent, Permission.PROPOSAL_COUNTERSIGN, in_acme.project)

    assert decision.reasons == ["only a person may countersign a proposal"]


def test_the_product_itself_does_only_what_is_listed(in_acme):
    robot = system_actor("test", "cli")

    assert decide(robot, Permission.PROJECT_CREATE, in_acme.project).allowed
    assert not decide(robot, Permission.PROPOSAL_COUNTERSIGN, in_acme.project).allowed


def test_who_may_names_everybody_with_a_reason(in_acme):
    answers = {
        name: said.allowed for _, name, said in who_may(Permission.ROLE_CHANGE, in_acme.project)
    }

    assert answers == {"Tomas": True, "Ada": False, "Bo": False, "Iris": False, "Lin": False}
