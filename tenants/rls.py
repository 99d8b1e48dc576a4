"""Builds the database's wall around every table that carries a tenant_id."""

from django.apps import apps
from django.db import connection
from psycopg import sql

APP, AUDITOR = "portal_app", "portal_auditor"
POLICY = "tenant_wall"
RESIDENCE = "tenant_residence"  # refuses rows of a tenant that lives in another cell
EVERYTHING = ("SELECT", "INSERT", "UPDATE", "DELETE")

# The sub-select makes PostgreSQL read the setting once a query instead of once a row.
SAME_TENANT = "tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid)"


def sync(schema: str) -> list[str]:
    """Make the wall of one cell what it should be, and return the walled tables.

    Run as the owner after every migration, inside a transaction. Everything is taken away from
    the portal's roles first; only tables with a tenant_id column then get row security (enabled
    and forced), the one policy and grants. A table that was forgotten therefore answers
    "permission denied".
    """
    privileges = app_privileges()
    with connection.cursor() as cursor:
        everyone = sql.SQL("{}, {}, PUBLIC").format(sql.Identifier(APP), sql.Identifier(AUDITOR))
        cell = sql.Identifier(schema)
        for statement in (
            "REVOKE ALL ON ALL TABLES IN SCHEMA {cell} FROM {everyone}",
            "REVOKE ALL ON ALL SEQUENCES IN SCHEMA {cell} FROM {everyone}",
            "REVOKE ALL ON SCHEMA {cell} FROM {everyone}",
            "GRANT USAGE ON SCHEMA {cell} TO {app}, {auditor}",
        ):
            cursor.execute(
                sql.SQL(statement).format(
                    cell=cell,
                    everyone=everyone,
                    app=sql.Identifier(APP),
                    auditor=sql.Identifier(AUDITOR),
                )
            )
        cursor.execute(
            "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
            " WHERE c.relnamespace = %s::regnamespace AND c.relkind IN ('r', 'p')"
            " AND a.attname = 'tenant_id' AND NOT a.attisdropped ORDER BY 1",
            [f'"{schema}"'],
        )
        tables = [row[0] for row in cursor.fetchall()]
        for table in tables:
            _wall(cursor, schema, table, privileges.get(table, EVERYTHING))
    return tables


def app_privileges() -> dict[str, tuple[str, ...]]:
    """What the portal's role may do, by the name of the table; EVERYTHING where none is named."""
    return {
        model._meta.db_table: getattr(model, "app_privileges", EVERYTHING)
        for model in apps.get_models(include_auto_created=True)
    }


def _wall(cursor, schema: str, table: str, privileges: tuple[str, ...]) -> None:  # type: ignore[no-untyped-def]
    names = {
        "table": sql.Identifier(schema, table),
        "policy": sql.Identifier(POLICY),
        "residence": sql.Identifier(RESIDENCE),
        "app": sql.Identifier(APP),
        "auditor": sql.Identifier(AUDITOR),
        "same_tenant": sql.SQL(SAME_TENANT),
        "privileges": sql.SQL(", ").join(map(sql.SQL, privileges)),
    }
    for statement in (
        "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
        "DROP POLICY IF EXISTS {policy} ON {table}",
        "CREATE POLICY {policy} ON {table} USING ({same_tenant}) WITH CHECK ({same_tenant})",
        "CREATE OR REPLACE TRIGGER {residence} BEFORE INSERT ON {table}"
        " FOR EACH STATEMENT EXECUTE FUNCTION public.tenant_is_here()",
        "GRANT {privileges} ON {table} TO {app}",
        "GRANT SELECT ON {table} TO {auditor}",
    ):
        cursor.execute(sql.SQL(statement).format(**names))
