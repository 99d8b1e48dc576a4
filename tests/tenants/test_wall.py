"""The wall: PostgreSQL itself keeps tenants apart, whatever the code above forgets."""

import os
import threading
from uuid import uuid4

import psycopg
import pytest
from django.db import IntegrityError, connection, transaction
from django.db.utils import ProgrammingError

from authz.models import Grant
from tenants.errors import NoTenant
from tenants.models import Membership, Project, User
from tenants.scope import tenant_scope


def test_a_tenant_sees_its_own_people_only(acme, globex):
    with tenant_scope(acme.scope):
        emails = set(User.objects.values_list("email", flat=True))

    assert acme.people["ada"].email in emails
    assert not any(person.email in emails for person in globex.people.values())


def test_raw_sql_without_a_filter_sees_one_tenant(acme, globex):
    with tenant_scope(acme.scope), connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT tenant_id FROM tenants_user")
        seen = [row[0] for row in cursor.fetchall()]

    assert seen == [acme.scope.tenant_id]


def test_a_query_without_a_tenant_is_an_error_not_an_empty_list(acme):
    with pytest.raises(NoTenant):
        User.objects.count()


def test_raw_sql_without_a_tenant_sees_nothing(acme):
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pool.tenants_user")
        count = cursor.fetchone()[0]

    assert count == 0


def test_a_row_for_another_tenant_cannot_be_written(acme, globex):
    with (
        tenant_scope(acme.scope),
        pytest.raises(ProgrammingError, match="row-level security"),
        transaction.atomic(),
    ):
        Project.objects.create(tenant_id=globex.scope.tenant_id, slug="theirs", name="Theirs")


def test_a_row_cannot_be_moved_to_another_tenant(acme, globex):
    with (
        tenant_scope(acme.scope),
        pytest.raises(ProgrammingError, match="row-level security"),
        transaction.atomic(),
    ):
        Project.objects.filter(pk=acme.project.pk).update(tenant_id=globex.scope.tenant_id)


def test_another_tenants_row_cannot_be_changed_or_deleted(acme, globex):
    with tenant_scope(acme.scope):
        changed = Project.objects.filter(pk=globex.project.pk).update(name="taken over")
        deleted, _ = Membership.objects.filter(user=globex.people["eve"]).delete()

    with tenant_scope(globex.scope):
        assert Project.objects.get(pk=globex.project.pk).name == "Platform"
        assert Membership.objects.filter(user=globex.people["eve"]).exists()
    assert (changed, deleted) == (0, 0)


@pytest.mark.parametrize("whose", ["theirs", "nobody's"])
def test_a_foreign_key_to_another_tenant_fails_like_one_to_nothing(acme, globex, whose):
    user_id = globex.people["eve"].pk if whose == "theirs" else uuid4()

    with (
        tenant_scope(acme.scope),
        pytest.raises(IntegrityError, match="foreign key constraint"),
        transaction.atomic(),
    ):
        Grant.objects.create(user_id=user_id, role="developer")


def test_the_portals_role_cannot_list_tenants_or_hosts(acme):
    for table in ("cells_tenant", "cells_domain", "cells_cell"):
        with pytest.raises(ProgrammingError, match="permission denied"):
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT * FROM public.{table}")


@pytest.mark.parametrize(
    "statement",
    [
        "TRUNCATE pool.tenants_user CASCADE",
        "CREATE TABLE pool.mine (id int)",
        "CREATE TABLE public.mine (id int)",
        "ALTER TABLE pool.tenants_user DISABLE ROW LEVEL SECURITY",
        "DROP POLICY tenant_wall ON pool.tenants_user",
        "UPDATE pool.evidence_entry SET action = 'x'",
        "DELETE FROM pool.evidence_entry",
        "UPDATE pool.agent_review SET comment = 'x'",
        "SET ROLE portal_owner",
        "SET row_security = off; SELECT * FROM pool.tenants_user",
    ],
)
def test_the_portals_role_cannot(acme, statement):
    with tenant_scope(acme.scope), pytest.raises(ProgrammingError), connection.cursor() as cursor:
        cursor.execute(statement)


def test_the_auditors_role_reads_behind_the_same_wall_and_writes_nothing(acme, globex):
    with psycopg.connect(os.environ["DATABASE_AUDITOR_URL"], autocommit=True) as auditor:
        auditor.execute(
            "SELECT set_config('app.tenant_id', %s, false)", [str(acme.scope.tenant_id)]
        )
        seen = {row[0] for row in auditor.execute("SELECT tenant_id FROM pool.tenants_user")}
        with pytest.raises(psycopg.Error):
            auditor.execute("DELETE FROM pool.tenants_session")

    assert seen == {acme.scope.tenant_id}


def test_even_the_owner_is_behind_the_wall(acme):
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"]) as owner:
        seen = owner.execute("SELECT count(*) FROM pool.tenants_user").fetchone()

    assert seen == (0,)


def test_the_binding_survives_a_rollback(acme, globex):
    with tenant_scope(globex.scope):
        User.objects.count()
    with tenant_scope(acme.scope):
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            User.objects.count()  # binds acme inside the transaction that is rolled back
            raise ZeroDivisionError
        seen = set(User.objects.values_list("tenant_id", flat=True))

    assert seen == {acme.scope.tenant_id}


def test_the_schema_survives_a_rollback_to_a_savepoint():
    try:
        with transaction.atomic():
            connection.ensure_connection()
            with pytest.raises(ZeroDivisionError), transaction.atomic():
                connection.set_schema("pool")
                with connection.cursor() as cursor:
                    cursor.execute("SELECT 1")  # tells PostgreSQL, after the savepoint
                raise ZeroDivisionError
            with connection.cursor() as cursor:
                cursor.execute("SHOW search_path")
                path = cursor.fetchone()[0]
    finally:
        connection.set_schema_to_public()

    assert path == '"pool", public'


def test_threads_keep_to_their_own_tenant(acme, globex):
    seen: dict[str, set[object]] = {"acme": set(), "globex": set()}

    def look(name, company):
        for _ in range(30):
            with tenant_scope(company.scope):
                seen[name] |= set(User.objects.values_list("tenant_id", flat=True))
        connection.close()

    threads = [
        threading.Thread(target=look, args=pair) for pair in (("acme", acme), ("globex", globex))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert seen == {"acme": {acme.scope.tenant_id}, "globex": {globex.scope.tenant_id}}


def test_scopes_do_not_nest(acme, globex):
    with tenant_scope(acme.scope), pytest.raises(NoTenant), tenant_scope(globex.scope):
        pass
