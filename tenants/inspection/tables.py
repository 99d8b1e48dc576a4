"""Every table is walled, and forced to be."""

import re
from collections.abc import Iterator

from tenants import rls
from tenants.inspection.rules import BOOKKEEPING, Catalogue, cells, models, rule, text


@rule("table", "Run `manage.py bootstrap`; a table of a cell extends TenantScoped")
def _tables(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    rows = catalogue.ask(
        "SELECT t.nspname, t.relname, t.tenant, format_type(a.atttypid, a.atttypmod), a.attnotnull"
        " FROM {tables} t LEFT JOIN pg_attribute a"
        " ON a.attrelid = t.oid AND a.attnum = t.tenant ORDER BY 1, 2"
    )
    for schema, table, tenant, kind, required in rows:
        if table in BOOKKEEPING:
            continue
        if tenant is None:
            yield f"{schema}.{table}", "has no tenant_id, so it cannot be walled"
        elif (kind, required) != ("uuid", True):
            may_be_empty = "" if required else " that may be empty"
            yield f"{schema}.{table}", f"its tenant_id is a {kind}{may_be_empty}"
    expected = {model._meta.db_table for model in models()}
    for schema in cells(catalogue):
        for table in sorted(expected - {row[1] for row in rows if row[0] == schema}):
            yield f"{schema}.{table}", "is missing"


@rule("row-security", "Run `manage.py bootstrap`, which enables and forces it")
def _row_security(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    for name, enabled, forced in catalogue.ask(
        "SELECT t.name, c.relrowsecurity, c.relforcerowsecurity"
        " FROM {walled} t JOIN pg_class c ON c.oid = t.oid ORDER BY 1"
    ):
        if not enabled:
            yield name, "row security is not enabled: every tenant sees all rows"
        elif not forced:
            yield name, "row security is not forced: it does not hold for the owner"


@rule("policy", "Drop what is not ours and run `manage.py bootstrap`, which writes ours anew")
def _policies(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    wanted = bare(rls.SAME_TENANT)
    for name, policy, permissive, command, for_all, using, check in catalogue.ask(
        "SELECT t.name, p.polname, p.polpermissive, p.polcmd, p.polroles = '{0}',"
        " pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)"
        " FROM {walled} t LEFT JOIN pg_policy p ON p.polrelid = t.oid ORDER BY 1, 2"
    ):
        if policy is None:
            yield name, "has no policy"
        elif policy != rls.POLICY:
            yield name, f"has a second policy, {policy}; policies add up"
        elif not permissive or text(command) != "*" or not for_all:
            yield name, f"{policy} does not hold for every command and every role"
        elif bare(using) != wanted:
            yield name, f"{policy} shows rows where {using}"
        elif bare(check) != wanted:
            yield name, f"{policy} lets rows be written where {check or 'nothing is checked'}"


@rule("child-table", "Make it one plain table: a child is not behind its parent's policy")
def _child_tables(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    for name, parent in catalogue.ask(
        "SELECT i.inhrelid::regclass::text, i.inhparent::regclass::text FROM pg_inherits i"
        " JOIN pg_class c ON c.oid = i.inhrelid AND c.relkind IN ('r', 'p', 'f')"
        " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {user} ORDER BY 1"
    ):
        yield name, f"is a partition or child of {parent}"


def bare(expression: str | None) -> str:
    """Without what PostgreSQL adds when it prints a policy: brackets, casts to text, an alias."""
    bare = re.sub(r"\s|\(|\)|::text", "", (expression or "").lower())
    return bare.replace('as"nullif"', "")
