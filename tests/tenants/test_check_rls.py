"""The inspection of the wall: it finds nothing in a sound schema and every way of breaking one."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from django.apps import apps
from django.db import ProgrammingError, connection, connections, migrations, models
from django.db.migrations.state import ProjectState

from deploy import embedded
from tenants import inspection
from tenants.backend.base import DatabaseWrapper
from tenants.models import Membership
from tests.servers import HOME

ROOT = Path(__file__).parents[2]
SAME = "tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid)"
KEY = "a_key"

# What is done to a sound schema, and what the inspection says: the rule, the thing. The name says
# it in words; the rest is SQL, run as superuser and undone.
MUTATIONS: dict[str, tuple[str, str, str]] = {
    # Tables
    "row security is disabled": (
        "row-security",
        "pool.agent_task",
        "ALTER TABLE pool.agent_task DISABLE ROW LEVEL SECURITY",
    ),
    "row security is not forced": (
        "row-security",
        "pool.agent_task",
        "ALTER TABLE pool.agent_task NO FORCE ROW LEVEL SECURITY",
    ),
    "a table of a cell has no tenant": (
        "table",
        "pool.notes",
        "SET ROLE portal_owner; CREATE TABLE pool.notes (id uuid PRIMARY KEY)",
    ),
    "a table may have rows without a tenant": (
        "table",
        "pool.agent_draft",
        "ALTER TABLE pool.agent_draft ALTER tenant_id DROP NOT NULL",
    ),
    "a table is missing": ("table", "pool.agent_draft", "DROP TABLE pool.agent_draft"),
    "a child table": (
        "child-table",
        "pool.old_reviews",
        "SET ROLE portal_owner; CREATE TABLE pool.old_reviews () INHERITS (pool.agent_review)",
    ),
    "a partition outside the cell": (
        "child-table",
        "public.part",
        "SET ROLE portal_owner; CREATE TABLE pool.whole (tenant_id uuid NOT NULL)"
        " PARTITION BY HASH (tenant_id); CREATE TABLE public.part PARTITION OF pool.whole"
        " FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
    ),
    # Policies
    "the policy is gone": (
        "policy",
        "pool.tenants_user",
        "DROP POLICY tenant_wall ON pool.tenants_user",
    ),
    "the policy shows more": (
        "policy",
        "pool.tenants_user",
        f"ALTER POLICY tenant_wall ON pool.tenants_user USING ({SAME} OR true)",
    ),
    "the policy has a door for admins": (
        "policy",
        "pool.tenants_user",
        "ALTER POLICY tenant_wall ON pool.tenants_user USING (CASE WHEN"
        f" current_setting('app.is_admin', true) = 'on' THEN true ELSE {SAME} END)",
    ),
    "the policy lets everything be written": (
        "policy",
        "pool.tenants_user",
        "ALTER POLICY tenant_wall ON pool.tenants_user WITH CHECK (true)",
    ),
    "the policy reads another setting": (
        "policy",
        "pool.tenants_user",
        "ALTER POLICY tenant_wall ON pool.tenants_user USING"
        " (tenant_id = (SELECT nullif(current_setting('app.tenant', true), '')::uuid))",
    ),
    "the policy trusts a function of somebody's": (
        "policy",
        "pool.tenants_user",
        "SET ROLE portal_owner; CREATE FUNCTION public.bound() RETURNS uuid STABLE LANGUAGE sql"
        " AS $$SELECT current_setting('app.tenant_id', true)::uuid$$;"
        "ALTER POLICY tenant_wall ON pool.tenants_user USING (tenant_id = public.bound())",
    ),
    "the policy is for reading only": (
        "policy",
        "pool.tenants_user",
        "DROP POLICY tenant_wall ON pool.tenants_user;"
        f"CREATE POLICY tenant_wall ON pool.tenants_user FOR SELECT USING ({SAME})",
    ),
    "the policy is for one role only": (
        "policy",
        "pool.tenants_user",
        "ALTER POLICY tenant_wall ON pool.tenants_user TO portal_app",
    ),
    "the policy only restricts": (
        "policy",
        "pool.tenants_user",
        "DROP POLICY tenant_wall ON pool.tenants_user; CREATE POLICY tenant_wall"
        f" ON pool.tenants_user AS RESTRICTIVE USING ({SAME}) WITH CHECK ({SAME})",
    ),
    "a second policy": (
        "policy",
        "pool.tenants_user",
        "CREATE POLICY support ON pool.tenants_user FOR SELECT TO portal_auditor USING (true)",
    ),
    # Keys
    "a simple foreign key": (
        "foreign-key",
        f"pool.authz_grant.{KEY}",
        f"ALTER TABLE pool.authz_grant ADD CONSTRAINT {KEY} FOREIGN KEY (user_id)"
        " REFERENCES pool.tenants_user (id) ON DELETE CASCADE",
    ),
    "a foreign key that pairs the tenant with something else": (
        "foreign-key",
        f"pool.authz_grant.{KEY}",
        "CREATE UNIQUE INDEX turned ON pool.tenants_user (id, tenant_id);"
        f"ALTER TABLE pool.authz_grant ADD CONSTRAINT {KEY} FOREIGN KEY (tenant_id, user_id)"
        " REFERENCES pool.tenants_user (id, tenant_id)",
    ),
    "a foreign key from outside of the cells": (
        "foreign-key",
        f"public.seats.{KEY}",
        f"SET ROLE portal_owner; CREATE TABLE public.seats (user_id uuid CONSTRAINT {KEY}"
        " REFERENCES pool.tenants_user (id))",
    ),
    "a foreign key to a table without tenants": (
        "foreign-key",
        f"pool.agent_draft.{KEY}",
        "GRANT ALL ON public.auth_group TO portal_owner; ALTER TABLE pool.agent_draft"
        f" ADD COLUMN group_id int CONSTRAINT {KEY} REFERENCES public.auth_group (id)",
    ),
    "a foreign key is gone": (
        "foreign-key",
        "pool.authz_grant.user_id",
        "DO $$ BEGIN EXECUTE (SELECT 'ALTER TABLE pool.authz_grant DROP CONSTRAINT ' || conname"
        " FROM pg_constraint WHERE conrelid = 'pool.authz_grant'::regclass AND contype = 'f'"
        " AND confrelid = 'pool.tenants_user'::regclass); END $$",
    ),
    "a foreign key that was not checked": (
        "foreign-key",
        f"pool.agent_draft.{KEY}",
        f"ALTER TABLE pool.agent_draft ADD CONSTRAINT {KEY} FOREIGN KEY (tenant_id, user_id)"
        " REFERENCES pool.tenants_user (tenant_id, id) NOT VALID",
    ),
    "a unique column over all tenants": (
        "unique",
        "pool.tenants_user.one_email",
        "CREATE UNIQUE INDEX one_email ON pool.tenants_user (email)",
    ),
    "a unique index that only carries the tenant": (
        "unique",
        "pool.tenants_user.one_email",
        "CREATE UNIQUE INDEX one_email ON pool.tenants_user (email) INCLUDE (tenant_id)",
    ),
    "a unique expression over all tenants": (
        "unique",
        "pool.tenants_user.one_email",
        "CREATE UNIQUE INDEX one_email ON pool.tenants_user (lower(email))",
    ),
    "a primary key that can be guessed": (
        "unique",
        "pool.tenants_replay.tenants_replay_pkey",
        "ALTER TABLE pool.tenants_replay DROP CONSTRAINT tenants_replay_pkey,"
        " ADD CONSTRAINT tenants_replay_pkey PRIMARY KEY (digest)",
    ),
    "an exclusion over all tenants": (
        "unique",
        "pool.authz_emergency.one_at_a_time",
        "ALTER TABLE pool.authz_emergency ADD CONSTRAINT one_at_a_time"
        " EXCLUDE USING gist (tstzrange(requested_at, expires_at) WITH &&)",
    ),
    "an exclusion that compares other tenants": (
        "unique",
        "pool.authz_emergency.none_elsewhere",
        "ALTER TABLE pool.authz_emergency ADD CONSTRAINT none_elsewhere"
        " EXCLUDE USING btree (operator WITH =)",
    ),
    "a counter": (
        "sequence",
        "pool.numbers",
        "SET ROLE portal_owner; CREATE SEQUENCE pool.numbers",
    ),
    "an identity column": (
        "sequence",
        "pool.agent_draft_place_seq",
        "ALTER TABLE pool.agent_draft ADD COLUMN place bigint GENERATED ALWAYS AS IDENTITY",
    ),
    "a column numbered by a counter of another schema": (
        "sequence",
        "pool.agent_proposal.number",
        "ALTER TABLE pool.agent_proposal ALTER number"
        " SET DEFAULT nextval('public.cells_cell_id_seq')",
    ),
    # What shows tables in another way
    "a view with its owner's rights": (
        "view",
        "pool.everybody",
        "SET ROLE portal_owner; CREATE VIEW pool.everybody AS SELECT * FROM pool.tenants_user",
    ),
    "a view in the public schema": (
        "view",
        "public.everybody",
        "SET ROLE portal_owner; CREATE VIEW public.everybody WITH (security_invoker = false)"
        " AS SELECT * FROM pool.tenants_user",
    ),
    "a materialised view": (
        "materialised-view",
        "pool.everybody",
        "SET ROLE portal_owner;"
        "CREATE MATERIALIZED VIEW pool.everybody AS SELECT * FROM pool.tenants_user",
    ),
    "a foreign server": (
        "foreign-data",
        "elsewhere",
        "CREATE FOREIGN DATA WRAPPER away; CREATE SERVER elsewhere FOREIGN DATA WRAPPER away",
    ),
    "a publication": (
        "publication",
        "everything",
        "SET client_min_messages = error; CREATE PUBLICATION everything FOR ALL TABLES",
    ),
    "a large object": ("large-object", "large object 4711", "SELECT lo_create(4711)"),
    # Code in the database
    "a function that runs as its owner": (
        "definer-function",
        "public.everybody()",
        "SET ROLE portal_owner; CREATE FUNCTION public.everybody() RETURNS bigint"
        " SECURITY DEFINER SET search_path = public, pg_temp LANGUAGE sql"
        " AS 'SELECT count(*) FROM pool.tenants_user'",
    ),
    "a look-up with more arguments": (
        "definer-function",
        "public.tenant_of_host(wanted text, exact boolean)",
        "SET ROLE portal_owner; CREATE FUNCTION public.tenant_of_host(wanted text, exact boolean)"
        " RETURNS text SECURITY DEFINER SET search_path = public, pg_temp LANGUAGE sql"
        " AS 'SELECT wanted'",
    ),
    "a look-up whose search path is the caller's": (
        "definer-function",
        "public.tenant_of_host(wanted text)",
        "ALTER FUNCTION public.tenant_of_host(text) RESET search_path",
    ),
    "a look-up for everybody": (
        "definer-function",
        "public.tenants_with_work(kind text)",
        "GRANT EXECUTE ON FUNCTION public.tenants_with_work(text) TO PUBLIC",
    ),
    "a look-up for the auditor": (
        "definer-function",
        "public.tenants_with_work(kind text)",
        "GRANT EXECUTE ON FUNCTION public.tenants_with_work(text) TO portal_auditor",
    ),
    "a look-up that is none any more": (
        "definer-function",
        "public.tenant_of_id(wanted uuid)",
        "ALTER FUNCTION public.tenant_of_id(uuid) SECURITY INVOKER",
    ),
    "an immutable function over a setting": (
        "function",
        "public.bound",
        "SET ROLE portal_owner; CREATE FUNCTION public.bound() RETURNS text IMMUTABLE LANGUAGE sql"
        " AS $$SELECT current_setting('app.tenant_id', true)$$",
    ),
    "an immutable function over one that reads a setting": (
        "function",
        "public.shortened",
        "SET ROLE portal_owner; CREATE FUNCTION public.bound() RETURNS text STABLE LANGUAGE sql"
        " AS $$SELECT current_setting('app.tenant_id', true)$$;"
        "CREATE FUNCTION public.shortened() RETURNS text IMMUTABLE LANGUAGE sql"
        " RETURN left(public.bound(), 8)",
    ),
    "a function that may look before the policy": (
        "function",
        "public.peek",
        "CREATE FUNCTION public.peek(text) RETURNS boolean LEAKPROOF LANGUAGE plpgsql"
        " AS 'BEGIN RAISE NOTICE ''%'', $1; RETURN true; END';"
        "ALTER FUNCTION public.peek(text) OWNER TO portal_owner",
    ),
    "a trigger of somebody's": (
        "trigger",
        "pool.agent_review.copy_it",
        "CREATE TRIGGER copy_it AFTER INSERT ON pool.agent_review"
        " EXECUTE FUNCTION public.tenant_is_here()",
    ),
    "the trigger of the cell is gone": (
        "trigger",
        "pool.agent_review",
        "DROP TRIGGER tenant_residence ON pool.agent_review",
    ),
    "the trigger of the cell is off": (
        "trigger",
        "pool.agent_review",
        "ALTER TABLE pool.agent_review DISABLE TRIGGER tenant_residence",
    ),
    "keys are not checked": (
        "trigger",
        "pool.agent_review",
        "ALTER TABLE pool.agent_review DISABLE TRIGGER ALL",
    ),
    "an event trigger": (
        "trigger",
        "watching",
        "SET ROLE portal_owner; CREATE FUNCTION public.watch() RETURNS event_trigger"
        " LANGUAGE plpgsql AS 'BEGIN END'; RESET ROLE;"
        "CREATE EVENT TRIGGER watching ON ddl_command_end EXECUTE FUNCTION public.watch()",
    ),
    "a rewrite rule": (
        "rewrite-rule",
        "pool.agent_review.aside",
        "CREATE RULE aside AS ON DELETE TO pool.agent_review DO INSTEAD NOTHING",
    ),
    "an extension that reaches out": (
        "extension",
        "dblink",
        "SET allow_system_table_mods = on;"
        "UPDATE pg_extension SET extname = 'dblink' WHERE extname = 'vector'",
    ),
    # Who may do what
    "everybody may read": (
        "grant",
        "pool.tenants_user",
        "GRANT SELECT ON pool.tenants_user TO PUBLIC",
    ),
    "the portal may update its log": (
        "grant",
        "pool.evidence_entry",
        "GRANT UPDATE ON pool.evidence_entry TO portal_app",
    ),
    "the portal may empty a table": (
        "grant",
        "pool.agent_task",
        "GRANT TRUNCATE ON pool.agent_task TO portal_app",
    ),
    "the portal may point keys at a table": (
        "grant",
        "pool.agent_task",
        "GRANT REFERENCES ON pool.agent_task TO portal_app",
    ),
    "the portal may make triggers": (
        "grant",
        "pool.agent_task",
        "GRANT TRIGGER ON pool.agent_task TO portal_app",
    ),
    "the portal may pass on what it may": (
        "grant",
        "pool.agent_task",
        "GRANT SELECT ON pool.agent_task TO portal_app WITH GRANT OPTION",
    ),
    "the auditor may write": (
        "grant",
        "pool.agent_task",
        "GRANT DELETE ON pool.agent_task TO portal_auditor",
    ),
    "another role may read": (
        "grant",
        "pool.agent_task",
        "CREATE ROLE reporting; GRANT SELECT ON pool.agent_task TO reporting",
    ),
    "the list of tenants is open": (
        "grant",
        "public.cells_tenant",
        "GRANT SELECT ON public.cells_tenant TO portal_app",
    ),
    "a counter may be read": (
        "grant",
        "pool.django_migrations_id_seq",
        "GRANT SELECT ON SEQUENCE pool.django_migrations_id_seq TO portal_app",
    ),
    "the portal lacks what it needs": (
        "grant",
        "pool.agent_task",
        "REVOKE UPDATE ON pool.agent_task FROM portal_app",
    ),
    "one column may be updated": (
        "column-grant",
        "pool.evidence_entry.outcome",
        "GRANT UPDATE (outcome) ON pool.evidence_entry TO portal_app",
    ),
    "tables to come are granted": (
        "default-grant",
        "portal_owner in pool",
        "ALTER DEFAULT PRIVILEGES FOR ROLE portal_owner IN SCHEMA pool"
        " GRANT SELECT ON TABLES TO portal_app",
    ),
    "the portal may make tables": (
        "schema-grant",
        "public",
        "GRANT CREATE ON SCHEMA public TO portal_app",
    ),
    "everybody may use a cell": ("schema-grant", "pool", "GRANT USAGE ON SCHEMA pool TO PUBLIC"),
    "the portal may make schemas": (
        "schema-grant",
        "countersign",
        "GRANT CREATE ON DATABASE countersign TO portal_app",
    ),
    "everybody may make temporary tables": (
        "schema-grant",
        "countersign",
        "GRANT TEMPORARY ON DATABASE countersign TO PUBLIC",
    ),
    "the portal reads the server's files": (
        "system-grant",
        "pg_read_file",
        "GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_file(text) TO portal_app",
    ),
    "the portal reads password digests": (
        "system-grant",
        "pg_authid",
        "GRANT SELECT ON pg_catalog.pg_authid TO portal_app",
    ),
    "the portal may switch off keys": (
        "system-grant",
        "session_replication_role",
        "GRANT SET ON PARAMETER session_replication_role TO portal_app",
    ),
    "the portal owns a table": (
        "owner",
        "pool.agent_task",
        "ALTER TABLE pool.agent_task OWNER TO portal_app",
    ),
    "somebody else owns a cell": ("owner", "pool", "ALTER SCHEMA pool OWNER TO postgres"),
    "somebody else owns a look-up": (
        "owner",
        "public.tenant_of_id(uuid)",
        "ALTER FUNCTION public.tenant_of_id(uuid) OWNER TO postgres",
    ),
    "somebody else owns the database": (
        "owner",
        "countersign",
        "ALTER DATABASE countersign OWNER TO postgres",
    ),
    "the portal bypasses row security": ("role", "portal_app", "ALTER ROLE portal_app BYPASSRLS"),
    "the auditor is a superuser": ("role", "portal_auditor", "ALTER ROLE portal_auditor SUPERUSER"),
    "the owner makes roles": ("role", "portal_owner", "ALTER ROLE portal_owner CREATEROLE"),
    "the portal makes databases": ("role", "portal_app", "ALTER ROLE portal_app CREATEDB"),
    "the auditor copies the server": (
        "role",
        "portal_auditor",
        "ALTER ROLE portal_auditor REPLICATION",
    ),
    "the portal is a member of the owner": (
        "membership",
        "portal_app",
        "GRANT portal_owner TO portal_app",
    ),
    "the auditor reads everything": (
        "membership",
        "portal_auditor",
        "GRANT pg_read_all_data TO portal_auditor",
    ),
    "somebody may become the owner": (
        "membership",
        "helper",
        "CREATE ROLE helper; GRANT portal_owner TO helper",
    ),
    "sessions start with a tenant": (
        "setting",
        "portal_app",
        "ALTER ROLE portal_app SET app.tenant_id = '00000000-0000-4000-8000-000000000000'",
    ),
    "row security is switched off for sessions": (
        "setting",
        "every role",
        "ALTER DATABASE countersign SET row_security = off",
    ),
    "sessions search elsewhere first": (
        "setting",
        "portal_app",
        "ALTER ROLE portal_app IN DATABASE countersign SET search_path = pg_temp, pool",
    ),
}


# Mutations that cannot but break other rules as well.
BARE = {"row-security", "policy", "grant", "trigger"}  # what `bootstrap` has not been at yet
ALSO = {
    "a table is missing": {"foreign-key"},
    "a child table": BARE,
    "a partition outside the cell": BARE | {"foreign-key"},
    "the portal owns a table": {"grant"},
}


@pytest.fixture
def superuser():
    """A transaction of a superuser's that is undone at the end, DDL and roles included."""
    with psycopg.connect(embedded.superuser_url(HOME, "countersign")) as session:
        cursor = session.cursor()
        # Whatever other tests left in the tables would break a constraint before it can be seen.
        cursor.execute(
            "SELECT string_agg(format('pool.%I', relname), ', ') FROM pg_class"
            " WHERE relnamespace = 'pool'::regnamespace AND relkind = 'r'"
            " AND relname <> 'django_migrations'"
        )
        cursor.execute(f"TRUNCATE {cursor.fetchone()[0]}")
        yield cursor
        session.rollback()


def _found(cursor):
    return {(finding.rule, finding.thing) for finding in inspection.findings(cursor)}


def test_a_sound_schema_has_nothing_to_be_found(superuser):
    assert inspection.findings(superuser) == []


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_hole_in_the_wall_is_found(superuser, name):
    rule, thing, mutation = MUTATIONS[name]

    superuser.execute(mutation)
    superuser.execute("RESET ROLE")

    found = _found(superuser)
    assert (rule, thing) in found
    assert {other for other, _ in found} <= {rule} | ALSO.get(name, set())


def test_there_is_a_mutation_for_every_rule():
    assert {rule.name for rule in inspection.RULES} == {rule for rule, _, _ in MUTATIONS.values()}


def test_a_finding_says_what_was_found_and_what_to_do(superuser):
    superuser.execute("GRANT UPDATE ON pool.evidence_entry TO portal_app")

    (finding,) = inspection.findings(superuser)

    assert str(finding) == (
        "[grant] pool.evidence_entry: portal_app has UPDATE on it."
        " Run `manage.py bootstrap`, or REVOKE it where it is no role of ours"
    )


def _manage(*words, role):
    return subprocess.run(
        [sys.executable, "manage.py", *words],
        cwd=ROOT,
        env={**os.environ, "DATABASE_ROLE": role},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_and_the_deployment_fail_on_a_hole():
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
        owner.execute("CREATE VIEW pool.everybody AS SELECT * FROM pool.tenants_user")
        try:
            checked = _manage("check_rls", role="app")
            deployed = _manage("bootstrap", role="owner")
        finally:
            owner.execute("DROP VIEW pool.everybody")
    sound = _manage("check_rls", role="app")

    assert (checked.returncode, deployed.returncode, sound.returncode) == (1, 1, 0)
    for said in (checked.stderr, deployed.stderr):
        assert "the wall has 1 fault" in said
        assert "pool.everybody: reads with its owner's rights" in said
    assert "nothing found" in sound.stdout


# The schema editor -----------------------------------------------------------------------------

KEY_TO_TENANT = "FOREIGN KEY (tenant_id) REFERENCES cells_tenant(id) DEFERRABLE INITIALLY DEFERRED"
KEY_TO_USER = (
    "FOREIGN KEY (tenant_id, user_id) REFERENCES tenants_user(tenant_id, id)"
    " DEFERRABLE INITIALLY DEFERRED"
)
ID = ("id", models.UUIDField(primary_key=True))
TENANT = ("tenant", models.ForeignKey("cells.Tenant", models.PROTECT))
ALONE = models.OneToOneField("tenants.User", models.PROTECT)
MANY = models.ForeignKey("tenants.User", models.PROTECT)


@pytest.fixture
def migrated():
    """Runs the operations of one migration in the cell `pool`; it is all undone at the end."""
    url = psycopg.conninfo.conninfo_to_dict(os.environ["DATABASE_OWNER_URL"])
    settings = {**connection.settings_dict, "USER": url["user"], "PASSWORD": url["password"]}
    portal = connections["default"]
    owner = connections["default"] = DatabaseWrapper(settings)
    owner.set_autocommit(False)
    owner.set_schema("pool")

    def run(*operations, before=None):
        state = before or ProjectState.from_apps(apps)
        state.models.pop(("tenants", "invitation"), None)
        with owner.schema_editor(atomic=False) as editor:
            for operation in operations:
                after = state.clone()
                operation.state_forwards("tenants", after)
                operation.database_forwards("tenants", editor, state, after)
                state = after
        return state

    run.owner = owner
    yield run
    owner.rollback()
    owner.close()
    connections["default"] = portal


def _constraints(migrated, table):
    with migrated.owner.cursor() as cursor:
        cursor.execute(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE conrelid = %s::regclass AND contype IN ('f', 'u') ORDER BY 1",
            [f"pool.{table}"],
        )
        return [row[0] for row in cursor.fetchall()]


def test_a_one_to_one_column_is_unique_inside_a_tenant_only(migrated):
    made = migrated(
        migrations.CreateModel("Badge", [ID, TENANT, ("user", ALONE)]),
        migrations.AddField("Badge", "number", models.IntegerField(unique=True)),
    )
    first = _constraints(migrated, "tenants_badge")
    many = migrated(migrations.AlterField("Badge", "user", MANY), before=made)
    second = _constraints(migrated, "tenants_badge")
    migrated(migrations.AlterField("Badge", "user", ALONE), before=many)

    unique = ["UNIQUE (tenant_id, number)", "UNIQUE (tenant_id, user_id)"]
    assert first == [KEY_TO_TENANT, KEY_TO_USER, *unique]
    assert second == [KEY_TO_TENANT, KEY_TO_USER, unique[0]]
    assert _constraints(migrated, "tenants_badge") == first


def test_a_new_table_that_gets_its_tenant_last_has_walled_keys_all_the_same(migrated):
    with migrated.owner.cursor() as cursor:
        cursor.execute("DROP TABLE tenants_invitation")

    # The order in which the autodetector writes them: it makes the table, then adds by name.
    migrated(
        migrations.CreateModel("Invitation", [ID]),
        migrations.AddField("Invitation", "owner", ALONE),
        migrations.AddField("Invitation", "user", MANY),
        migrations.AddField("Invitation", *TENANT),
    )

    assert _constraints(migrated, "tenants_invitation") == [
        KEY_TO_TENANT,
        KEY_TO_USER.replace("user_id", "owner_id"),
        KEY_TO_USER,
        "UNIQUE (tenant_id, owner_id)",
    ]


def test_a_tenant_that_comes_in_a_later_migration_is_refused(migrated):
    with migrated.owner.cursor() as cursor:
        cursor.execute("DROP TABLE tenants_invitation")

    with pytest.raises(ProgrammingError, match='column "tenant_id"'):
        migrated(migrations.CreateModel("Invitation", [ID, ("user", MANY)]))


def test_columns_that_were_unique_over_all_tenants_are_made_unique_in_each(migrated):
    before = _constraints(migrated, "tenants_membership")
    with migrated.owner.cursor() as cursor:
        cursor.execute(
            "DO $$ BEGIN EXECUTE (SELECT 'ALTER TABLE tenants_membership DROP CONSTRAINT '"
            " || conname FROM pg_constraint WHERE conname ~ 'user_id.*_uniq$'"
            " AND conrelid = 'pool.tenants_membership'::regclass); END $$"
        )
        cursor.execute("ALTER TABLE tenants_membership ADD UNIQUE (user_id)")

    for _ in range(2):
        with migrated.owner.schema_editor(atomic=False) as editor:
            editor.wall_unique_columns(Membership)
        assert _constraints(migrated, "tenants_membership") == before
