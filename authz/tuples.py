"""Which rows make which tuples, and the triggers that keep the table of tuples so.

Nobody writes a tuple by hand: PostgreSQL does it in the same statement as the row, so none can be
forgotten, whoever writes and by whatever way. At the end of each transaction the tenant's
revision goes up by one if tuples have changed, with one line of the log for each.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from django.db import connection
from psycopg import sql

from authz.model import MODEL

# Rows are carried as they are, tuples among them: for whoever may build tables here, so never for
# the portal's role. tenants.cells.moving sets it, too.
REST = "app.authz_triggers"
# What the running transaction has changed so far: transaction, tenant, revision, place.
SAID = "app.authz_revision"

COLUMNS = (
    "object_type",
    "object_id",
    "relation",
    "subject_type",
    "subject_id",
    "subject_relation",
)


@dataclass(frozen=True)
class Source:
    """Rows of a table make one tuple each; of `{row}`, in SQL, where it is no plain text.

    relation, subject: of MODEL, but "=column" takes the relation from the row. when: which rows.
    reads: every column that has a say.
    """

    table: str
    object: tuple[str, str]  # type, column
    relation: str
    subject: tuple[str, str, str]  # type, column, relation
    reads: tuple[str, ...]
    when: str = "true"
    until: str = "NULL::timestamptz"


def _is(column: str, *values: str) -> str:
    return f"{{row}}.{column} IN ({', '.join(repr(value) for value in values)})"


def _roles(type: str, column: str) -> Source:
    roles = [name for name in MODEL[type].relations if name not in ("tenant", "viewer")]
    project = "NOT NULL" if type == "project" else "NULL"
    return Source(
        "authz_grant",
        (type, column),
        "=role",
        ("user", "user_id", "active"),
        ("role", "project_id", "user_id", "expires_at"),
        f"{{row}}.project_id IS {project} AND {_is('role', *roles)}",
        "{row}.expires_at",
    )


def _shares(subject_type: str, column: str, relation: str) -> list[Source]:
    return [
        Source(
            "authz_share",
            (type, "object_id"),
            "viewer",
            (subject_type, column, relation),
            ("object_type", "object_id", column, "expires_at"),
            f"{_is('object_type', type)} AND {{row}}.{column} IS NOT NULL",
            "{row}.expires_at",
        )
        for type in ("project", "task")
    ]


def _leads(table: str, type: str, relation: str, to: str, column: str, own: str = "id") -> Source:
    return Source(table, (type, own), relation, (to, column, ""), (own, column))


SOURCES: tuple[Source, ...] = (
    Source(
        "tenants_membership",
        ("user", "user_id"),
        "active",
        ("user", "user_id", ""),
        ("user_id", "state"),
        _is("state", "active"),
    ),
    _leads("tenants_project", "project", "tenant", "tenant", "tenant_id"),
    _roles("tenant", "tenant_id"),
    _roles("project", "project_id"),
    Source(
        "authz_teammember",
        ("team", "team_id"),
        "member",
        ("user", "user_id", "active"),
        ("team_id", "user_id"),
        "{row}.user_id IS NOT NULL",
    ),
    Source(
        "authz_teammember",
        ("team", "team_id"),
        "member",
        ("team", "nested_id", "member"),
        ("team_id", "nested_id"),
        "{row}.nested_id IS NOT NULL",
    ),
    *_shares("user", "user_id", "active"),
    *_shares("team", "team_id", "member"),
    _leads("agent_repository", "repository", "project", "project", "project_id"),
    _leads("agent_task", "task", "project", "project", "project_id"),
    _leads("agent_task", "task", "requester", "user", "owner_id"),
    _leads("agent_proposal", "proposal", "project", "project", "project_id"),
    _leads("agent_proposal", "proposal", "task", "task", "task_id"),
    _leads("evidence_pack", "pack", "project", "project", "project_id"),
)


def column_of(type: str, relation: str) -> str | None:
    """The column of a type's own table that says what it is `relation` to, if there is one."""
    for source in SOURCES:
        plain = not source.subject[2] and source.when == "true"
        if source.object == (type, "id") and source.relation == relation and plain:
            return source.subject[1]
    return None


def fill(schema: str) -> None:
    """Make the tuples of every row that is there already, tenant by tenant; as the owner.

    The owner is behind the wall as well: without the tenant's id it would find no row at all.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT t.id FROM public.cells_tenant t JOIN public.cells_cell c ON c.id = t.cell_id"
            " WHERE c.schema_name = %s",
            [schema],
        )
        tenants = [row[0] for row in cursor.fetchall()]
        cursor.execute("SELECT set_config(%s, 'off', true)", [REST])
        for tenant in tenants:
            cursor.execute("SELECT set_config('app.tenant_id', %s, true)", [str(tenant)])
            cursor.execute(
                sql.SQL("DELETE FROM {} WHERE tenant_id = %s").format(_table(schema, "tuple")),
                [tenant],
            )
            for statement in filling(schema):
                cursor.execute(statement, [tenant])
            cursor.execute(
                sql.SQL(
                    "INSERT INTO {table} (id, tenant_id, number) VALUES (gen_random_uuid(), %s, 1)"
                    " ON CONFLICT (tenant_id) DO UPDATE SET id = gen_random_uuid()"
                ).format(table=_table(schema, "revision")),
                [tenant],
            )
        cursor.execute(
            "SELECT set_config('app.tenant_id', '', true), set_config(%s, '', true)", [REST]
        )


def drift() -> list[str]:
    """Tuples of the pinned tenant that no row makes, or that are missing; there should be none."""
    selects = sql.SQL(" UNION ALL ").join(
        sql.SQL("SELECT {values} FROM {table} r WHERE {when}").format(
            values=_values(source, "r"),
            table=sql.Identifier(source.table),
            when=_said(source.when, "r"),
        )
        for source in SOURCES
    )
    columns = sql.SQL(", ").join(map(sql.Identifier, (*COLUMNS, "source_id", "expires_at")))
    with connection.cursor() as cursor:
        cursor.execute(
            sql.SQL(
                "WITH made ({columns}) AS ({selects}), kept AS (SELECT {columns} FROM authz_tuple)"
                " (SELECT 'is missing', * FROM (TABLE made EXCEPT ALL TABLE kept) a)"
                " UNION ALL (SELECT 'has no row', * FROM (TABLE kept EXCEPT ALL TABLE made) b)"
            ).format(columns=columns, selects=selects)
        )
        return [
            f"{row[1]}:{row[2]}#{row[3]}@{row[4]}:{row[5]}#{row[6]} {row[0]}"
            for row in cursor.fetchall()
        ]


# SQL ---------------------------------------------------------------------------------------------


def statements(schema: str) -> Iterator[sql.Composed]:
    """What makes functions and triggers of a cell."""
    names = {
        "rests": sql.Identifier(schema, "authz_rests"),
        "by_hand": sql.Identifier(schema, "authz_by_hand"),
        "log_tuple": sql.Identifier(schema, "authz_log_tuple"),
        "tuple": _table(schema, "tuple"),
        "log": _table(schema, "tuplelog"),
        "revision": _table(schema, "revision"),
        "schema_name": sql.Literal(schema),
        "REST": sql.Literal(REST),
        "SAID": sql.Literal(SAID),
        "columns": sql.SQL(", ").join(map(sql.Identifier, COLUMNS)),
        "changed": sql.SQL(", ").join(sql.SQL(f"changed.{column}") for column in COLUMNS),
    }
    for template in (_RESTS, _BY_HAND, _LOG_TUPLE, *_ON_TUPLES):
        yield sql.SQL(template).format(**names)
    for table in ("tuple", "tuplelog", "revision"):
        yield sql.SQL(_BY_HAND_TRIGGER).format(table=_table(schema, table), **names)
    for table in dict.fromkeys(source.table for source in SOURCES):
        yield from _on_rows(schema, table)


def filling(schema: str) -> Iterator[sql.Composed]:
    """INSERTs of the tuples of all rows of one tenant, which is their parameter."""
    for source in SOURCES:
        yield sql.SQL(
            "INSERT INTO {tuples} (id, tenant_id, {columns}, source_id, expires_at)"
            " SELECT gen_random_uuid(), r.tenant_id, {values} FROM {table} r"
            " WHERE r.tenant_id = %s AND {when}"
        ).format(
            tuples=_table(schema, "tuple"),
            columns=sql.SQL(", ").join(map(sql.Identifier, COLUMNS)),
            values=_values(source, "r"),
            table=sql.Identifier(schema, source.table),
            when=_said(source.when, "r"),
        )


# current_user is who asks: none of these functions has rights of its own.
_RESTS = """
CREATE OR REPLACE FUNCTION {rests}() RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT coalesce(current_setting({REST}, true), '') = 'off'
        AND has_schema_privilege({schema_name}, 'CREATE')
$$
"""

_BY_HAND = """
CREATE OR REPLACE FUNCTION {by_hand}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is kept by triggers: change the rows that tuples come from', TG_TABLE_NAME
        USING ERRCODE = 'object_not_in_prerequisite_state';
END
$$
"""

# Outside of any trigger the depth is 0, so this stops those who write here themselves.
_BY_HAND_TRIGGER = """
CREATE OR REPLACE TRIGGER authz_by_hand BEFORE INSERT OR UPDATE OR DELETE ON {table}
FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0 AND NOT {rests}())
EXECUTE FUNCTION {by_hand}()
"""

# At the end of the transaction, so that nobody waits long for the row with the tenant's revision.
# Whoever sees revision n sees all that led to it: n is given only once n - 1 is committed.
_LOG_TUPLE = """
CREATE OR REPLACE FUNCTION {log_tuple}() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed {tuple}%ROWTYPE;
    whose text;
    said text[] := string_to_array(coalesce(current_setting({SAID}, true), ''), ' ');
    now_at bigint;
    next_place integer := 0;
BEGIN
    IF TG_OP = 'DELETE' THEN changed := OLD; ELSE changed := NEW; END IF;
    whose := pg_current_xact_id()::text || '/' || changed.tenant_id::text;
    IF said[1] = whose THEN
        now_at := said[2]::bigint;
        next_place := said[3]::integer + 1;
    ELSE
        INSERT INTO {revision} AS r (id, tenant_id, number)
        VALUES (gen_random_uuid(), changed.tenant_id, 1)
        ON CONFLICT (tenant_id) DO UPDATE SET number = r.number + 1
        RETURNING r.number INTO now_at;
    END IF;
    PERFORM set_config({SAID}, whose || ' ' || now_at || ' ' || next_place, true);
    INSERT INTO {log} (id, tenant_id, revision, place, added, {columns}, source_id, expires_at, at)
    VALUES (gen_random_uuid(), changed.tenant_id, now_at, next_place, TG_OP = 'INSERT',
        {changed}, changed.source_id, changed.expires_at, now());
    RETURN NULL;
END
$$
"""

_ON_TUPLES = (
    "DROP TRIGGER IF EXISTS authz_log ON {tuple}",
    """
CREATE CONSTRAINT TRIGGER authz_log AFTER INSERT OR DELETE ON {tuple}
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NOT {rests}()) EXECUTE FUNCTION {log_tuple}()
""",
    "REVOKE ALL ON FUNCTION {rests}(), {by_hand}(), {log_tuple}() FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION {rests}() TO portal_app, portal_auditor",
)

_FROM_ROWS = """
CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        DELETE FROM {tuple} t USING (VALUES {old}) AS gone ({columns})
        WHERE t.tenant_id = OLD.tenant_id AND t.source_id = OLD.id AND {same};
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO {tuple} (id, tenant_id, {columns}, source_id, expires_at)
        SELECT gen_random_uuid(), NEW.tenant_id, {columns}, NEW.id, until
        FROM (VALUES {new}) AS made ({columns}, until, is_so) WHERE is_so;
    END IF;
    RETURN NULL;
END
$$
"""

_ROW_TRIGGERS = (
    "CREATE OR REPLACE TRIGGER authz_row AFTER INSERT OR DELETE ON {table}"
    " FOR EACH ROW WHEN (NOT {rests}()) EXECUTE FUNCTION {function}()",
    "CREATE OR REPLACE TRIGGER authz_row_changed AFTER UPDATE ON {table}"
    " FOR EACH ROW WHEN (({before}) IS DISTINCT FROM ({after}) AND NOT {rests}())"
    " EXECUTE FUNCTION {function}()",
    "REVOKE ALL ON FUNCTION {function}() FROM PUBLIC",
)


def _on_rows(schema: str, table: str) -> Iterator[sql.Composed]:
    sources = [source for source in SOURCES if source.table == table]
    # The row's id is in the tuple, too.
    reads = sorted({column for source in sources for column in (*source.reads, "id")})
    listed = sql.SQL(", ").join
    names = {
        "function": sql.Identifier(schema, f"authz_from_{table}"),
        "rests": sql.Identifier(schema, "authz_rests"),
        "table": sql.Identifier(schema, table),
        "tuple": _table(schema, "tuple"),
        "columns": listed(map(sql.Identifier, COLUMNS)),
        "same": sql.SQL(" AND ").join(sql.SQL(f"t.{one} = gone.{one}") for one in COLUMNS),
        "old": listed(sql.SQL("({})").format(_key(source, "OLD")) for source in sources),
        "new": listed(
            sql.SQL("({}, {}, {})").format(
                _key(source, "NEW"), _said(source.until, "NEW"), _said(source.when, "NEW")
            )
            for source in sources
        ),
        "before": listed(sql.SQL(f"OLD.{column}") for column in reads),
        "after": listed(sql.SQL(f"NEW.{column}") for column in reads),
    }
    for template in (_FROM_ROWS, *_ROW_TRIGGERS):
        yield sql.SQL(template).format(**names)


def _table(schema: str, name: str) -> sql.Identifier:
    return sql.Identifier(schema, f"authz_{name}")


def _said(template: str, row: str) -> sql.SQL:
    return sql.SQL(template.format(row=row))


def _key(source: Source, row: str) -> sql.Composed:
    """A tuple's key columns as the source's row gives them."""
    (object_type, object_column), (subject_type, subject_column, subject_relation) = (
        source.object,
        source.subject,
    )
    relation = (
        sql.SQL(f"{row}.{source.relation[1:]}::text")
        if source.relation.startswith("=")
        else sql.SQL("{}::text").format(sql.Literal(source.relation))
    )
    return sql.SQL("{}::text, {}, {}, {}::text, {}, {}::text").format(
        sql.Literal(object_type),
        sql.SQL(f"{row}.{object_column}"),
        relation,
        sql.Literal(subject_type),
        sql.SQL(f"{row}.{subject_column}"),
        sql.Literal(subject_relation),
    )


def _values(source: Source, row: str) -> sql.Composed:
    return sql.SQL("{}, {}, {}").format(
        _key(source, row), sql.SQL(f"{row}.id"), _said(source.until, row)
    )
