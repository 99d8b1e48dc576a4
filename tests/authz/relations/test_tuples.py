"""Tuples follow from rows, whoever writes them and by whatever way; nobody writes them by hand."""

import os
import threading
from datetime import timedelta

import psycopg
import pytest
from django.db import DatabaseError, connection, connections, transaction
from django.utils import timezone

from authz import tuples
from authz.models import Grant, Revision, Share, Team, TeamMember, Tuple, TupleLog
from authz.roles import Role
from tenants.models import Membership, Project
from tenants.scope import scope_of_tenant, tenant_scope
from tests.portal.standing import pack_of, proposal_of
from tests.tenants.operators import as_role, manage


def _tuples(**where):
    rows = Tuple.objects.filter(**where).order_by("object_type", "relation", "subject_type")
    return [(row.object_type, row.relation, row.subject_type, row.subject_relation) for row in rows]


def _revision():
    return Revision.objects.get().number


def _sql(statement, *values):
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def test_every_kind_of_row_makes_its_tuples(in_acme):
    proposal = proposal_of(in_acme.people["ada"], in_acme.project)
    pack_of(proposal)
    team = Team.objects.create(slug="devs", name="Devs")
    TeamMember.objects.create(team=team, user=in_acme.people["bo"])
    TeamMember.objects.create(team=Team.objects.create(slug="all", name="All"), nested=team)
    Share.objects.create(object_type="task", object_id=proposal.task_id, team=team)
    Share.objects.create(
        object_type="project", object_id=in_acme.project.pk, user=in_acme.people["iris"]
    )

    made = set(_tuples())

    assert {
        ("project", "tenant", "tenant", ""),
        ("tenant", "tenant_admin", "user", "active"),
        ("project", "developer", "user", "active"),
        ("project", "viewer", "user", "active"),
        ("task", "viewer", "team", "member"),
        ("team", "member", "user", "active"),
        ("team", "member", "team", "member"),
        ("repository", "project", "project", ""),
        ("task", "project", "project", ""),
        ("task", "requester", "user", ""),
        ("proposal", "project", "project", ""),
        ("proposal", "task", "task", ""),
        ("pack", "project", "project", ""),
        ("user", "active", "user", ""),
    } <= made
    assert tuples.drift() == []


def test_rows_written_in_plain_sql_make_tuples_as_well(in_acme):
    project, bo = in_acme.project, in_acme.people["bo"]

    _sql(
        "INSERT INTO authz_grant (id, user_id, role, project_id, source, created_at)"
        " VALUES (gen_random_uuid(), %s, 'agent', %s, 'raw', now())",
        bo.pk,
        project.pk,
    )
    assert Tuple.objects.filter(relation="agent", subject_id=bo.pk, object_id=project.pk).exists()

    _sql("UPDATE authz_grant SET role = 'project_admin', project_id = NULL WHERE source = 'raw'")
    assert not Tuple.objects.filter(relation="agent", subject_id=bo.pk).exists()
    assert Tuple.objects.get(relation="project_admin", subject_id=bo.pk).object_type == "tenant"

    _sql("DELETE FROM authz_grant WHERE source = 'raw'")
    assert not Tuple.objects.filter(relation="project_admin", subject_id=bo.pk).exists()
    assert tuples.drift() == []


def test_when_a_role_ends_the_tuple_says(in_acme):
    until = timezone.now() + timedelta(hours=1)
    grant = Grant.objects.create(user=in_acme.people["bo"], role=Role.AUDITOR, expires_at=until)
    assert Tuple.objects.get(source_id=grant.pk).expires_at == until

    Grant.objects.filter(pk=grant.pk).update(expires_at=until + timedelta(hours=1))

    assert Tuple.objects.get(source_id=grant.pk).expires_at == until + timedelta(hours=1)


def test_a_role_given_twice_stays_until_both_are_gone(in_acme):
    bo = in_acme.people["bo"]
    by_hand = Grant.objects.create(user=bo, role=Role.AUDITOR, source="admin")
    by_group = Grant.objects.create(user=bo, role=Role.AUDITOR, source="directory")
    held = {"relation": "auditor", "subject_id": bo.pk}
    assert Tuple.objects.filter(**held).count() == 2

    by_hand.delete()
    assert [row.source_id for row in Tuple.objects.filter(**held)] == [by_group.pk]
    by_group.delete()
    assert not Tuple.objects.filter(**held).exists()


def test_only_an_active_membership_makes_somebody_active(in_acme):
    bo = in_acme.people["bo"]
    active = {"object_type": "user", "object_id": bo.pk, "relation": "active"}
    assert Tuple.objects.filter(**active).exists()

    Membership.objects.filter(user=bo).update(state=Membership.State.SUSPENDED)
    assert not Tuple.objects.filter(**active).exists()
    Membership.objects.filter(user=bo).update(state=Membership.State.ACTIVE)
    assert Tuple.objects.filter(**active).exists()
    Membership.objects.filter(user=bo).update(state=Membership.State.REMOVED)
    assert not Tuple.objects.filter(**active).exists()


def test_a_row_that_changes_in_ways_that_do_not_matter_changes_no_tuple(in_acme):
    before = _revision()

    Membership.objects.update(seen_at=timezone.now())
    Project.objects.update(name="Another name")
    Grant.objects.update(source="other")

    assert _revision() == before


def test_one_transaction_is_one_revision_with_a_line_for_each_tuple(in_acme):
    before = _revision()
    bo = in_acme.people["bo"]

    with transaction.atomic():
        grant = Grant.objects.create(user=bo, role=Role.AUDITOR)
        Grant.objects.create(user=bo, role=Role.DEVELOPER)
        grant.delete()
        assert _revision() == before  # until it commits

    lines = TupleLog.objects.filter(revision__gt=before).order_by("revision", "place")
    assert [(line.revision, line.place, line.relation, line.added) for line in lines] == [
        (before + 1, 0, "auditor", True),
        (before + 1, 1, "developer", True),
        (before + 1, 2, "auditor", False),
    ]
    assert _revision() == before + 1


def test_what_is_undone_leaves_nothing(in_acme):
    before, lines, count = _revision(), TupleLog.objects.count(), Tuple.objects.count()

    with pytest.raises(ZeroDivisionError), transaction.atomic():
        Grant.objects.create(user=in_acme.people["bo"], role=Role.AUDITOR)
        raise ZeroDivisionError
    with transaction.atomic():
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            Grant.objects.create(user=in_acme.people["bo"], role=Role.AUDITOR)
            raise ZeroDivisionError

    assert (_revision(), TupleLog.objects.count(), Tuple.objects.count()) == (before, lines, count)


def test_a_savepoint_that_is_undone_after_the_revision_was_given_takes_it_along(in_acme):
    before = _revision()

    with transaction.atomic():
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            Grant.objects.create(user=in_acme.people["bo"], role=Role.AUDITOR)
            _sql("SET CONSTRAINTS ALL IMMEDIATE")
            assert _revision() == before + 1
            raise ZeroDivisionError
        Grant.objects.create(user=in_acme.people["bo"], role=Role.AGENT)

    assert _revision() == before + 1
    assert [line.relation for line in TupleLog.objects.filter(revision=before + 1)] == ["agent"]


def test_revisions_of_tenants_do_not_meet(acme, globex):
    with tenant_scope(globex.scope):
        before = _revision()
    with tenant_scope(acme.scope):
        Grant.objects.create(user=acme.people["bo"], role=Role.AUDITOR)
    with tenant_scope(globex.scope):
        assert _revision() == before
        assert not Tuple.objects.filter(subject_id=acme.people["bo"].pk).exists()


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO authz_tuple (id, object_type, object_id, relation, subject_type, subject_id,"
        " subject_relation, source_id) SELECT gen_random_uuid(), object_type, object_id,"
        " 'tenant_admin', subject_type, subject_id, subject_relation, gen_random_uuid()"
        " FROM authz_tuple WHERE relation = 'developer'",
        "DELETE FROM authz_tuple",
        "INSERT INTO authz_tuplelog SELECT * FROM authz_tuplelog",
        "UPDATE authz_revision SET number = 1",
        "INSERT INTO authz_revision (id, number) VALUES (gen_random_uuid(), 1)",
    ],
)
@pytest.mark.parametrize(("switch", "role"), [("", "app"), ("off", "app"), ("", "owner")])
def test_nobody_writes_tuples_by_hand(in_acme, statement, switch, role):
    """But the owner with the switch, who carries rows from one cell to another."""
    with as_role(role), pytest.raises(DatabaseError, match="is kept by triggers"):
        with transaction.atomic():
            _sql("SELECT set_config('app.authz_triggers', %s, true)", switch)
            _sql(statement)


@pytest.mark.parametrize("table", ["authz_tuplelog", "authz_tuple"])
@pytest.mark.parametrize("word", ["UPDATE {} SET relation = 'x'", "TRUNCATE {}"])
def test_the_portals_role_has_no_right_to_change_what_was_written(in_acme, table, word):
    with pytest.raises(DatabaseError, match="permission denied"):
        _sql(word.format(table))


def test_the_switch_does_nothing_for_the_portals_role(in_acme):
    with transaction.atomic():
        _sql("SELECT set_config('app.authz_triggers', 'off', true)")
        Grant.objects.create(user=in_acme.people["bo"], role=Role.AUDITOR)

    assert tuples.drift() == []
    assert Tuple.objects.filter(relation="auditor", subject_id=in_acme.people["bo"].pk).exists()


def test_rows_that_were_there_before_get_their_tuples(acme, globex):
    def everything(company):
        with tenant_scope(company.scope):
            return sorted(Tuple.objects.values_list(*tuples.COLUMNS, "source_id", "expires_at"))

    with tenant_scope(acme.scope):
        Grant.objects.create(
            user=acme.people["bo"], role=Role.AUDITOR, expires_at=timezone.now() + timedelta(1)
        )
        proposal_of(acme.people["ada"], acme.project)
        epoch = Revision.objects.get().pk
    before = everything(acme), everything(globex)
    with as_role("owner"):
        for company in (acme, globex):
            with tenant_scope(company.scope), transaction.atomic():
                _sql("SELECT set_config('app.authz_triggers', 'off', true)")
                _sql("DELETE FROM pool.authz_tuple")
        with transaction.atomic():
            tuples.fill("pool")

    assert (everything(acme), everything(globex)) == before
    with tenant_scope(acme.scope):
        assert tuples.drift() == []
        assert Revision.objects.get().pk != epoch  # whoever remembers tuples reads them anew


def test_bootstrap_makes_triggers_anew_only_when_they_are_others(acme):
    assert "nothing found" in manage("bootstrap")
    with as_role("owner"), connection.cursor() as cursor:
        cursor.execute("SELECT obj_description('pool.authz_tuple'::regclass)")
        (digest,) = cursor.fetchone()
        cursor.execute("COMMENT ON TABLE pool.authz_tuple IS 'older'")
        cursor.execute("DROP TRIGGER authz_row ON pool.agent_task")
    manage("bootstrap")
    with as_role("owner"), connection.cursor() as cursor:
        cursor.execute("SELECT obj_description('pool.authz_tuple'::regclass)")
        assert cursor.fetchone() == (digest,)
        cursor.execute(
            "SELECT count(*) FROM pg_trigger WHERE tgname = 'authz_row'"
            " AND tgrelid = 'pool.agent_task'::regclass"
        )
        assert cursor.fetchone() == (1,)


def test_a_missing_or_foreign_tuple_is_found(in_acme):
    with as_role("owner"), transaction.atomic():
        _sql("SELECT set_config('app.authz_triggers', 'off', true)")
        _sql("UPDATE pool.authz_tuple SET relation = 'auditor' WHERE relation = 'tenant_admin'")
        found = tuples.drift()
        transaction.set_rollback(True)

    assert [one.split()[-2:] for one in found] == [["is", "missing"], ["no", "row"]]


def test_two_who_write_at_once_get_two_revisions(acme):
    """The second waits for the first, at the end of its transaction only."""
    with tenant_scope(acme.scope):
        before = _revision()
    first_wrote, second_done = threading.Event(), threading.Event()

    def second():
        try:
            with tenant_scope(acme.scope):
                first_wrote.wait(20)
                Grant.objects.create(user=acme.people["bo"], role=Role.AUDITOR)
                second_done.set()
        finally:
            connections.close_all()

    thread = threading.Thread(target=second)
    thread.start()
    with tenant_scope(acme.scope):
        with transaction.atomic():
            Grant.objects.create(user=acme.people["lin"], role=Role.AUDITOR)
            first_wrote.set()
            assert second_done.wait(20)  # nobody waits for a transaction that is still at work
        thread.join()
        after = TupleLog.objects.filter(revision__gt=before).order_by("revision")
        assert [(line.revision, line.subject_id) for line in after] == [
            (before + 1, acme.people["bo"].pk),
            (before + 2, acme.people["lin"].pk),
        ]


def test_a_tenant_that_moves_takes_its_tuples_along(acme):
    with tenant_scope(acme.scope):
        proposal_of(acme.people["ada"], acme.project)
        before = sorted(Tuple.objects.values_list("id", *tuples.COLUMNS))
        lines, revision = TupleLog.objects.count(), Revision.objects.values_list("pk", "number")[0]
    cell = f"silo_{acme.slug.replace('-', '_')}"[:40]
    manage("bootstrap", "--cell", cell)
    try:
        manage("move_tenant", acme.slug, "--to", cell, "--grace", "0")
        with tenant_scope(scope_of_tenant(acme.scope.tenant_id)):
            assert sorted(Tuple.objects.values_list("id", *tuples.COLUMNS)) == before
            assert TupleLog.objects.count() == lines
            assert Revision.objects.values_list("pk", "number")[0] == revision
            assert tuples.drift() == []
            Grant.objects.create(user=acme.people["bo"], role=Role.AUDITOR)
            assert tuples.drift() == []
            assert Revision.objects.get().number == revision[1] + 1
    finally:
        manage("move_tenant", acme.slug, "--to", "pool", "--grace", "0")
        with psycopg.connect(os.environ["DATABASE_OWNER_URL"]) as owner:
            owner.execute(f"DROP SCHEMA {cell} CASCADE")
            owner.execute("DELETE FROM public.cells_cell WHERE schema_name = %s", [cell])
