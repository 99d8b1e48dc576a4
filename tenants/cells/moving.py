"""Takes one tenant's rows out of a cell: into another one, or away for good.

Everything here runs as the owner, inside one transaction and one tenant's scope. Row security
binds the owner too, so even a statement without a condition would reach no other tenant's rows.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from django.db import connection
from psycopg import sql

from tenants.scope import current_tenant_id

LOCK_SECONDS = 15  # how long to wait for whoever is writing for the tenant


class CannotMove(Exception):
    """The rows stay where they are; the message says why."""


@dataclass(frozen=True)
class Count:
    """How many rows of a table are the tenant's, with a sum over what is in them."""

    rows: int
    checksum: str


def hold_tenant() -> None:
    """Wait until nobody inserts for the pinned tenant; let nobody until this transaction ends.

    Whoever waits meanwhile is refused afterwards if the tenant has left the cell that they think
    of: see cells/migrations/0005_residence.py.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{LOCK_SECONDS}s"])
        cursor.execute("SELECT pg_advisory_xact_lock(1, hashtext(%s))", [str(current_tenant_id())])


def count_rows(schema: str) -> dict[str, Count]:
    """What a cell holds of the pinned tenant, table by table."""
    counts = {}
    for table, columns in _tables(schema).items():
        rows, checksum = _one_row(
            "SELECT count(*), coalesce(sum(hashtextextended(ROW({columns})::text, 0)::numeric), 0)"
            " FROM {table} WHERE tenant_id = %s",
            table=sql.Identifier(schema, table),
            columns=_listed(columns),
        )
        counts[table] = Count(rows, str(checksum))
    return counts


def move_rows(source: str, target: str) -> dict[str, Count]:
    """Move every row of the pinned tenant, and return what was moved, table by table.

    The tenant must be on the list as living in `target` already, in this same transaction. Each
    statement puts in exactly what it takes out, so a row that changed until the last moment
    arrives as it was then. Foreign keys are checked when the transaction ends. Raises CannotMove
    when the cells differ, the target is not empty, or what arrived is not what left.
    """
    _rest_triggers()
    tables = _tables(source)
    if tables != _tables(target):
        raise CannotMove(f"{source} and {target} do not have the same tables; run bootstrap first")
    if left := _occupied(count_rows(target)):
        raise CannotMove(f"{target} already holds rows of this tenant: {', '.join(left)}")
    before = count_rows(source)
    for table, columns in tables.items():
        with connection.cursor() as cursor:
            cursor.execute(
                sql.SQL(
                    "WITH gone AS (DELETE FROM {source} WHERE tenant_id = %s RETURNING {columns})"
                    " INSERT INTO {target} ({columns}) SELECT {columns} FROM gone"
                ).format(
                    source=sql.Identifier(source, table),
                    target=sql.Identifier(target, table),
                    columns=_listed(columns),
                ),
                [current_tenant_id()],
            )
    after = count_rows(target)
    if different := [table for table in tables if before[table] != after[table]]:
        raise CannotMove(f"not all rows arrived as they were: {', '.join(different)}")
    if left := _occupied(count_rows(source)):
        raise CannotMove(f"{source} still holds rows of this tenant: {', '.join(left)}")
    return after


def delete_rows(schema: str, *, keep: Collection[str]) -> dict[str, int]:
    """Delete every row of the pinned tenant but those of the tables in `keep`; how many, by table.

    A table that nobody thought of is emptied, not kept.
    """
    _rest_triggers()
    deleted = {}
    for table in _tables(schema):
        if table not in keep:
            with connection.cursor() as cursor:
                cursor.execute(
                    sql.SQL("DELETE FROM {table} WHERE tenant_id = %s").format(
                        table=sql.Identifier(schema, table)
                    ),
                    [current_tenant_id()],
                )
                deleted[table] = cursor.rowcount
    return deleted


def forget_deleted_rows(schema: str) -> None:
    """Have PostgreSQL clear the space of deleted rows now. Outside of any transaction."""
    with connection.cursor() as cursor:
        for table in _tables(schema):
            cursor.execute(sql.SQL("VACUUM {}").format(sql.Identifier(schema, table)))


def _rest_triggers() -> None:
    """Until the transaction ends, rows take no others with them: all are carried one by one."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('app.authz_triggers', 'off', true)")


def _occupied(counts: Mapping[str, Count]) -> list[str]:
    return [table for table, count in counts.items() if count.rows]


def _tables(schema: str) -> dict[str, list[str]]:
    """Every walled table of the cell with its columns, in the order of their names.

    Generated columns are left out: PostgreSQL makes them of the others wherever they are.
    """
    tables: dict[str, list[str]] = {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
            " WHERE c.relnamespace = %s::regnamespace AND c.relkind = 'r'"
            " AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY 1, 2",
            [f'"{schema}"'],
        )
        for table, column in cursor.fetchall():
            tables.setdefault(table, []).append(column)
    return {table: columns for table, columns in tables.items() if "tenant_id" in columns}


def _one_row(statement: str, **parts: sql.Composable) -> tuple[int, object]:
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL(statement).format(**parts), [current_tenant_id()])
        found: tuple[int, object] = cursor.fetchone()
    return found


def _listed(columns: list[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, columns))
