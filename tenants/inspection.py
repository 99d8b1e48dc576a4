"""Reads PostgreSQL's catalogue and says where the wall between tenants is not what it should be."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from django.apps import apps
from django.conf import settings

from tenants import rls

OWNER = "portal_owner"
OURS = (OWNER, rls.APP, rls.AUDITOR)
TENANTS = "public.cells_tenant"

# What stands in a cell without belonging to a tenant. Nobody but the owner may touch it.
BOOKKEEPING = {"django_migrations"}

# Unique over all tenants, and no oracle: what is unique there is the keyed digest of a random value
# that only this server makes, so nobody can offer one and learn that it is taken.
UNGUESSABLE = {("tenants_session", ("session_key",))}

# Functions that run as the owner, and who may call them. Each answers one narrow question; the
# last is a trigger's, which nobody calls.
LOOKUPS = {
    "public.tenant_of_host(wanted text)": {rls.APP, rls.AUDITOR},
    "public.tenant_of_id(wanted uuid)": {rls.APP, rls.AUDITOR},
    "public.tenants_with_work(kind text)": {rls.APP},
    "public.tenants_with_evidence_work(kind text)": {rls.APP},
    "public.tenants_with_log_destinations()": {rls.APP},
    "public.tenants_with_review_due()": {rls.APP},
    "public.tenants_with_repositories()": {rls.APP},
    "public.tenant_is_here()": set(),
}
FIXED_PATH = ["search_path=public, pg_temp"]

# Others reach around the wall (dblink, foreign data, untrusted languages) or show what is theirs
# for the whole server; one that is needed gets its place here after a look.
EXTENSIONS = {"plpgsql", "vector"}

# Settings that, given to a role or database once and for all, undo what binds a session.
BINDING = re.compile(
    r"app\.|row_security=|search_path=|role=|session_|local_preload_|transform_null_equals="
)


class Cursor(Protocol):
    """What is needed of a database cursor, Django's or psycopg's."""

    def execute(self, query: Any, params: Any = None, /) -> Any: ...
    def fetchall(self) -> list[Any]: ...


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be."""

    rule: str
    thing: str  # schema.table, schema.table.constraint, role, ...
    found: str
    remedy: str

    def __str__(self) -> str:
        return f"[{self.rule}] {self.thing}: {self.found}. {self.remedy}"


@dataclass(frozen=True)
class Rule:
    """A promise about the catalogue: the name, what to do when it is broken, who looks."""

    name: str
    remedy: str
    look: Callable[["Catalogue"], Iterator[tuple[str, str]]]  # yields thing, found


class Catalogue:
    """The catalogue of one database, asked in SQL."""

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor

    def ask(self, sql: str, *values: Any) -> list[Any]:
        """Rows of a query, in which each word of WORDS stands for what it says there."""
        for word, meaning in WORDS.items():
            sql = sql.replace(word, meaning)
        self.cursor.execute(sql, values)
        return self.cursor.fetchall()


# Read again after each replacement, so those that contain others come first.
WORDS = {
    # Tables of all cells that have a tenant_id; `tenant` is the number of that column.
    "{walled}": "(SELECT * FROM {tables} t WHERE t.tenant IS NOT NULL)",
    "{tables}": "(SELECT c.oid, n.nspname, c.relname,"
    " format('%%s.%%s', n.nspname, c.relname) AS name,"
    " (SELECT a.attnum FROM pg_attribute a WHERE a.attrelid = c.oid"
    " AND a.attname = 'tenant_id' AND NOT a.attisdropped) AS tenant"
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE {user} AND n.nspname <> 'public' AND c.relkind IN ('r', 'p'))",
    # Whether the namespace n is not one of PostgreSQL's own.
    "{user}": "(n.nspname !~ '^pg_' AND n.nspname <> 'information_schema')",
    # Whether the object o, of the catalogue o.classid, came with an extension.
    "{member}": "EXISTS (SELECT FROM pg_depend d WHERE d.classid = o.classid AND d.objid = o.oid"
    " AND d.deptype = 'e')",
}

RULES: list[Rule] = []


def findings(cursor: Cursor) -> list[Finding]:
    """What is wrong with the wall of this database; nothing when it stands as it should.

    Reads only, as any role. Call it inside a transaction: the search path is set for the rest of
    that, so that PostgreSQL prints the schema of whatever is not its own.
    """
    cursor.execute("SET LOCAL search_path = pg_catalog")
    catalogue = Catalogue(cursor)
    return [
        Finding(rule.name, thing, found, rule.remedy)
        for rule in RULES
        for thing, found in rule.look(catalogue)
    ]


def _rule(name: str, remedy: str) -> Callable[[Any], Any]:
    def remembered(look: Any) -> Any:
        RULES.append(Rule(name, remedy, look))
        return look

    return remembered


# Tables ----------------------------------------------------------------------------------------


@_rule("table", "Run `manage.py bootstrap`; a table of a cell extends TenantScoped")
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
    expected = {model._meta.db_table for model in _models()}
    for schema in _cells(catalogue):
        for table in sorted(expected - {row[1] for row in rows if row[0] == schema}):
            yield f"{schema}.{table}", "is missing"


@_rule("row-security", "Run `manage.py bootstrap`, which enables and forces it")
def _row_security(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    for name, enabled, forced in catalogue.ask(
        "SELECT t.name, c.relrowsecurity, c.relforcerowsecurity"
        " FROM {walled} t JOIN pg_class c ON c.oid = t.oid ORDER BY 1"
    ):
        if not enabled:
            yield name, "row security is not enabled: every tenant sees all rows"
        elif not forced:
            yield name, "row security is not forced: it does not hold for the owner"


@_rule("policy", "Drop what is not ours and run `manage.py bootstrap`, which writes ours anew")
def _policies(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    wanted = _bare(rls.SAME_TENANT)
    for name, policy, permissive, command, for_all, using, check in catalogue.ask(
        "SELECT t.name, p.polname, p.polpermissive, p.polcmd, p.polroles = '{0}',"
        " pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)"
        " FROM {walled} t LEFT JOIN pg_policy p ON p.polrelid = t.oid ORDER BY 1, 2"
    ):
        if policy is None:
            yield name, "has no policy"
        elif policy != rls.POLICY:
            yield name, f"has a second policy, {policy}; policies add up"
        elif not permissive or _text(command) != "*" or not for_all:
            yield name, f"{policy} does not hold for every command and every role"
        elif _bare(using) != wanted:
            yield name, f"{policy} shows rows where {using}"
        elif _bare(check) != wanted:
            yield name, f"{policy} lets rows be written where {check or 'nothing is checked'}"


@_rule("child-table", "Make it one plain table: a child is not behind its parent's policy")
def _child_tables(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    for name, parent in catalogue.ask(
        "SELECT i.inhrelid::regclass::text, i.inhparent::regclass::text FROM pg_inherits i"
        " JOIN pg_class c ON c.oid = i.inhrelid AND c.relkind IN ('r', 'p', 'f')"
        " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {user} ORDER BY 1"
    ):
        yield name, f"is a partition or child of {parent}"


# Keys ------------------------------------------------------------------------------------------


@_rule(
    "foreign-key",
    "Name (tenant_id, id) on both ends: PostgreSQL checks keys without row security, so others"
    " tell, and cascade to, rows of other tenants",
)
def _foreign_keys(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    stands: set[tuple[str, str, str]] = set()
    for schema, table, name, paired, to_tenants, valid, definition, columns in catalogue.ask(
        "SELECT n.nspname, c.relname, k.conname,"
        # Both ends walled, in one cell, and tenant_id stands in the same place on each.
        " n.oid = target.relnamespace AND t.tenant IS NOT NULL AND f.tenant IS NOT NULL"
        " AND array_position(k.conkey, t.tenant) = array_position(k.confkey, f.tenant)"
        " AND cardinality(k.conkey) > 1,"
        " k.conkey = ARRAY[t.tenant] AND k.confrelid::regclass::text = %s,"
        " k.convalidated, pg_get_constraintdef(k.oid),"
        " ARRAY(SELECT a.attname::text FROM pg_attribute a"
        " WHERE a.attrelid = c.oid AND a.attnum = ANY (k.conkey))"
        " FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid"
        " JOIN pg_namespace n ON n.oid = c.relnamespace"
        " JOIN pg_class target ON target.oid = k.confrelid"
        " LEFT JOIN {walled} t ON t.oid = k.conrelid LEFT JOIN {walled} f ON f.oid = k.confrelid"
        " WHERE k.contype = 'f' AND {user}"
        # Keys between tables of the public schema are nobody's secret.
        " AND (n.nspname <> 'public' OR f.oid IS NOT NULL) ORDER BY 1, 2, 3",
        TENANTS,
    ):
        if not valid:
            yield f"{schema}.{table}.{name}", "was never checked for the rows that were there"
        elif paired or to_tenants:
            stands |= {(schema, table, column) for column in columns}
        else:
            yield f"{schema}.{table}.{name}", definition
    for schema in _cells(catalogue):
        for table, column in sorted(_expected_keys()):
            if (schema, table, column) not in stands:
                yield f"{schema}.{table}.{column}", "no key holds it to its tenant"


@_rule("unique", "Put tenant_id first: a value that is taken elsewhere would be refused here")
def _unique(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    for name, table, index, primary, columns, kinds, definition in catalogue.ask(
        "SELECT t.name, t.relname, ic.relname, i.indisprimary,"
        " ARRAY(SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY k (n, place)"
        " JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.n"
        # Columns that are only included are not part of what is unique.
        " WHERE k.place <= i.indnkeyatts ORDER BY k.place),"
        " ARRAY(SELECT a.atttypid::regtype::text FROM pg_attribute a"
        " WHERE a.attrelid = i.indexrelid AND a.attnum <= i.indnkeyatts),"
        " pg_get_indexdef(i.indexrelid)"
        " FROM {walled} t JOIN pg_index i ON i.indrelid = t.oid"
        " JOIN pg_class ic ON ic.oid = i.indexrelid"
        " LEFT JOIN pg_constraint x ON x.conindid = i.indexrelid AND x.contype = 'x'"
        " WHERE (i.indisunique OR i.indisexclusion)"
        # An exclusion constraint has to compare tenants with =, or it compares rows of two.
        " AND NOT (t.tenant = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])"
        " AND (x.oid IS NULL OR (SELECT o.oprname FROM pg_operator o"
        " WHERE o.oid = x.conexclop[array_position(x.conkey, t.tenant)]) = '='))"
        " ORDER BY 1, 3"
    ):
        random_id = primary and kinds == ["uuid"]
        if not random_id and (table, tuple(columns)) not in UNGUESSABLE:
            yield f"{name}.{index}", f"holds over all tenants: {definition}"


@_rule("sequence", "Use a random uuid: a counter shared by tenants tells each how busy others are")
def _sequences(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    for name, table in catalogue.ask(
        "SELECT o.oid::regclass::text, (SELECT t.relname FROM pg_depend d"
        " JOIN pg_class t ON t.oid = d.refobjid WHERE d.objid = o.oid"
        " AND d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass"
        " AND d.deptype IN ('a', 'i') LIMIT 1)"
        " FROM pg_class o JOIN pg_namespace n ON n.oid = o.relnamespace"
        " WHERE o.relkind = 'S' AND {user} AND n.nspname <> 'public' ORDER BY 1"
    ):
        if table not in BOOKKEEPING:
            yield name, f"counts for {table or 'no column'}, over all tenants of the cell"
    for name, column, default in catalogue.ask(
        "SELECT t.name, a.attname, pg_get_expr(d.adbin, d.adrelid)"
        " FROM {walled} t JOIN pg_attrdef d ON d.adrelid = t.oid"
        " JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum"
        " WHERE pg_get_expr(d.adbin, d.adrelid) ~ 'nextval' ORDER BY 1, 2"
    ):
        yield f"{name}.{column}", f"is numbered by {default}"


# What shows tables in another way --------------------------------------------------------------


@_rule("view", "CREATE VIEW ... WITH (security_invoker = true): others read as their owner")
def _views(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    for name, options in catalogue.ask(
        "SELECT o.oid::regclass::text, o.reloptions FROM"
        " (SELECT *, tableoid AS classid FROM pg_class) o"
        " JOIN pg_namespace n ON n.oid = o.relnamespace"
        " WHERE o.relkind = 'v' AND {user} AND NOT {member} ORDER BY 1"
    ):
        if not {f"security_invoker={yes}" for yes in ("true", "on", "1", "yes")} & set(
            options or ()
        ):
            yield name, "reads with its owner's rights"


@_rule("materialised-view", "Drop it: row security does not hold for materialised views")
def _materialised_views(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    for (name,) in catalogue.ask(
        "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind = 'm' AND {user} ORDER BY 1"
    ):
        yield name, "keeps a copy of rows outside the wall"


@_rule("foreign-data", "Drop it: what lies on another server is behind no wall of ours")
def _foreign_data(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    for name, what in catalogue.ask(
        "SELECT c.oid::regclass::text, 'a foreign table' FROM pg_class c"
        " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'f' AND {user}"
        " UNION ALL SELECT srvname, 'a foreign server' FROM pg_foreign_server ORDER BY 1"
    ):
        yield name, f"is {what}"


@_rule("publication", "Drop it: a subscriber gets the rows of every tenant")
def _publications(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    for (name,) in catalogue.ask("SELECT pubname FROM pg_publication ORDER BY 1"):
        yield name, "publishes changes without row security"


@_rule("large-object", "Unlink it and keep the bytes in the store: large objects have no tenant")
def _large_objects(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    for oid, owner in catalogue.ask(
        "SELECT oid::text, lomowner::regrole::text FROM pg_largeobject_metadata ORDER BY 1 LIMIT 20"
    ):
        yield f"large object {oid}", f"was made by {owner}"


# Code in the database --------------------------------------------------------------------------


@_rule(
    "definer-function",
    "Drop it, or list it in tenants.inspection.LOOKUPS with `SET search_path = public, pg_temp`,"
    " REVOKE ALL FROM PUBLIC and a grant for whom it is for",
)
def _definer_functions(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    found = set()
    for name, path, owner, callers in catalogue.ask(
        "SELECT format('%%s.%%s(%%s)', n.nspname, o.proname,"
        " pg_get_function_identity_arguments(o.oid)),"
        " o.proconfig, o.proowner::regrole::text,"
        " ARRAY(SELECT CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END"
        " FROM aclexplode(coalesce(o.proacl, acldefault('f', o.proowner))) x"
        " WHERE x.grantee <> o.proowner ORDER BY 1)"
        " FROM pg_proc o JOIN pg_namespace n ON n.oid = o.pronamespace"
        " WHERE o.prosecdef AND {user} ORDER BY 1"
    ):
        found.add(name)
        if name not in LOOKUPS:
            yield name, f"runs with the rights of {owner} and is none of the look-ups"
        elif path != FIXED_PATH:
            yield name, f"its search path is {path or 'the one of whoever calls it'}"
        elif set(callers) != LOOKUPS[name]:
            wanted = _listed(LOOKUPS[name])
            yield name, f"may be called by {_listed(callers)}; it is for {wanted}"
    for name in sorted(set(LOOKUPS) - found):
        yield name, "is not there, or does not run as its owner"


@_rule("function", "Make it STABLE (or VOLATILE), NOT LEAKPROOF, and read settings in the policy")
def _functions(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    rows = catalogue.ask(
        "SELECT format('%%s.%%s', n.nspname, o.proname), o.proname, o.provolatile, o.proleakproof,"
        " pg_get_functiondef(o.oid)"
        " FROM (SELECT *, tableoid AS classid FROM pg_proc) o"
        " JOIN pg_namespace n ON n.oid = o.pronamespace"
        " WHERE {user} AND o.prokind IN ('f', 'p') AND NOT {member} ORDER BY 1"
    )
    # Whatever calls a function that reads settings reads them too.
    reading = {"current_setting", "set_config"}
    while True:
        words = re.compile(r"\b(" + "|".join(map(re.escape, sorted(reading))) + r")\b", re.I)
        more = {row[1] for row in rows if words.search(_body(row[4]))} - reading
        if not more:
            break
        reading |= more
    for name, short, volatility, leakproof, _ in rows:
        if short in reading and _text(volatility) == "i":
            yield name, "reads a setting and says IMMUTABLE, so one tenant's answer may be kept"
        if leakproof:
            yield name, "says LEAKPROOF, so it may see rows before the policy does"


@_rule("trigger", "Drop what is not ours and run `manage.py bootstrap`, which makes ours")
def _triggers(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    guarded = set()
    for name, trigger, internal, enabled, definition in catalogue.ask(
        "SELECT format('%%s.%%s', n.nspname, c.relname), g.tgname, g.tgisinternal, g.tgenabled,"
        " pg_get_triggerdef(g.oid) FROM pg_trigger g"
        " JOIN pg_class c ON c.oid = g.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE {user} ORDER BY 1, 2"
    ):
        guard = (
            f"CREATE TRIGGER {rls.RESIDENCE} BEFORE INSERT ON {name}"
            " FOR EACH STATEMENT EXECUTE FUNCTION public.tenant_is_here()"
        )
        if _text(enabled) != "O":
            yield f"{name}.{trigger}", "is switched off" + " (it checks a key)" * bool(internal)
        elif definition == guard:
            guarded.add(name)
        elif not internal and not _keeps_tuples(name, definition):
            yield f"{name}.{trigger}", f"is none of ours: {definition}"
    for (name,) in catalogue.ask("SELECT t.name FROM {walled} t ORDER BY 1"):
        if name not in guarded:
            yield name, f"lacks the trigger {rls.RESIDENCE}, which refuses rows of other cells"
    for (name,) in catalogue.ask(
        "SELECT o.evtname FROM (SELECT *, tableoid AS classid FROM pg_event_trigger) o"
        " WHERE NOT {member} ORDER BY 1"
    ):
        yield name, "is an event trigger; the product has none"


@_rule("rewrite-rule", "DROP RULE: it turns one statement into another")
def _rewrite_rules(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    for name, rewrite in catalogue.ask(
        "SELECT c.oid::regclass::text, r.rulename FROM pg_rewrite r"
        " JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE r.rulename <> '_RETURN' AND {user} ORDER BY 1, 2"
    ):
        yield f"{name}.{rewrite}", "is a rewrite rule; the product has none"


@_rule("extension", "Drop it, or put it into tenants.inspection.EXTENSIONS after a look")
def _extensions(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    for (name,) in catalogue.ask("SELECT extname FROM pg_extension ORDER BY 1"):
        if name not in EXTENSIONS:
            yield name, "is an extension that the product does not need"


# Who may do what -------------------------------------------------------------------------------


@_rule("grant", "Run `manage.py bootstrap`, or REVOKE it where it is no role of ours")
def _grants(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    privileges = rls.app_privileges()
    given: dict[str, set[tuple[str, str]]] = {}
    walled = {row[0]: row[1] for row in catalogue.ask("SELECT t.name, t.relname FROM {walled} t")}
    for name, grantee, privilege, passed_on in catalogue.ask(
        "SELECT format('%%s.%%s', n.nspname, o.relname),"
        " CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END,"
        " x.privilege_type, x.is_grantable"
        " FROM (SELECT *, tableoid AS classid FROM pg_class) o"
        " JOIN pg_namespace n ON n.oid = o.relnamespace,"
        " aclexplode(o.relacl) x WHERE {user} AND x.grantee <> o.relowner AND NOT {member}"
    ):
        given.setdefault(name, set()).add((grantee, privilege))
        if passed_on:
            yield name, f"{grantee} may pass {privilege} on to others"
    for name in sorted(set(given) | set(walled)):
        wanted: set[tuple[str, str]] = set()
        if name in walled:
            allowed = privileges.get(walled[name], rls.EVERYTHING)
            wanted = {(rls.APP, word) for word in allowed} | {(rls.AUDITOR, "SELECT")}
        for grantee, privilege in sorted(given.get(name, set()) - wanted):
            yield name, f"{grantee} has {privilege} on it"
        for grantee, privilege in sorted(wanted - given.get(name, set())):
            yield name, f"{grantee} lacks {privilege} on it"


@_rule("column-grant", "REVOKE it; privileges are given for whole tables by `manage.py bootstrap`")
def _column_grants(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    for name, column, grantee, privilege in catalogue.ask(
        "SELECT c.oid::regclass::text, a.attname,"
        " CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END, x.privilege_type"
        " FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
        " JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(a.attacl) x"
        " WHERE {user} ORDER BY 1, 2, 3, 4"
    ):
        yield f"{name}.{column}", f"{grantee} has {privilege} on this column"


@_rule("default-grant", "ALTER DEFAULT PRIVILEGES ... REVOKE: what is forgotten must be denied")
def _default_grants(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    for owner, schema, privileges in catalogue.ask(
        "SELECT d.defaclrole::regrole::text, coalesce(n.nspname, 'every schema'), d.defaclacl::text"
        " FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace ORDER BY 1, 2"
    ):
        yield f"{owner} in {schema}", f"what it makes is granted as {privileges}"


@_rule("schema-grant", "REVOKE it: the portal's roles use schemas and connect, and nothing more")
def _schema_grants(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    usual = {(role, "USAGE") for role in (rls.APP, rls.AUDITOR)}
    usual |= {(role, "CONNECT") for role in (rls.APP, rls.AUDITOR)}
    for name, grantee, privilege, passed_on in catalogue.ask(
        "SELECT n.nspname, CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END,"
        " x.privilege_type, x.is_grantable FROM pg_namespace n,"
        " aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) x"
        " WHERE {user} AND x.grantee <> n.nspowner"
        " UNION ALL SELECT d.datname,"
        " CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END,"
        " x.privilege_type, x.is_grantable FROM pg_database d,"
        " aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) x"
        " WHERE d.datname = current_database() AND x.grantee <> d.datdba ORDER BY 1, 2, 3"
    ):
        if (grantee, privilege) not in usual or passed_on:
            yield name, f"{grantee} has {privilege} on it"


@_rule("system-grant", "REVOKE it: PostgreSQL's own tables, functions and settings are not ours")
def _system_grants(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    for name, grantee, privilege in catalogue.ask(
        "SELECT o.name, o.grantee::regrole::text, o.privilege FROM ("
        "SELECT c.relname::text, x.grantee, x.privilege_type, n.nspname FROM pg_class c"
        " JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl) x"
        " UNION ALL SELECT p.proname, x.grantee, x.privilege_type, n.nspname FROM pg_proc p"
        " JOIN pg_namespace n ON n.oid = p.pronamespace, aclexplode(p.proacl) x"
        " UNION ALL SELECT g.parname, x.grantee, x.privilege_type, 'pg_catalog'"
        " FROM pg_parameter_acl g, aclexplode(g.paracl) x"
        " UNION ALL SELECT l.lanname, x.grantee, x.privilege_type, 'pg_catalog'"
        " FROM pg_language l, aclexplode(l.lanacl) x"
        ") o (name, grantee, privilege, nspname)"
        " WHERE nspname IN ('pg_catalog', 'information_schema')"
        " AND (SELECT rolname FROM pg_roles r WHERE r.oid = o.grantee) = ANY (%s) ORDER BY 1, 2, 3",
        list(OURS),
    ):
        yield name, f"{grantee} has {privilege} on it"


@_rule("owner", f"ALTER ... OWNER TO {OWNER}: an owner can take the wall down")
def _owners(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    for kind, name, owner in catalogue.ask(
        "SELECT 'table or view', o.oid::regclass::text, o.relowner::regrole::text"
        " FROM (SELECT *, tableoid AS classid FROM pg_class) o"
        " JOIN pg_namespace n ON n.oid = o.relnamespace"
        " WHERE {user} AND o.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND NOT {member}"
        " UNION ALL SELECT 'function', o.oid::regprocedure::text, o.proowner::regrole::text"
        " FROM (SELECT *, tableoid AS classid FROM pg_proc) o"
        " JOIN pg_namespace n ON n.oid = o.pronamespace WHERE {user} AND NOT {member}"
        " UNION ALL SELECT 'schema', n.nspname, n.nspowner::regrole::text"
        " FROM pg_namespace n WHERE {user}"
        " UNION ALL SELECT 'database', d.datname, d.datdba::regrole::text FROM pg_database d"
        " WHERE d.datname = current_database() ORDER BY 1, 2"
    ):
        if owner != OWNER:
            yield name, f"this {kind} belongs to {owner}"


@_rule("role", "ALTER ROLE: run deploy/postgres/roles.sql, which says what each role is")
def _roles(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    rows = catalogue.ask(
        "SELECT rolname, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication"
        " FROM pg_roles WHERE rolname = ANY (%s) ORDER BY 1",
        list(OURS),
    )
    attributes = ("SUPERUSER", "BYPASSRLS", "CREATEROLE", "CREATEDB", "REPLICATION")
    for role, *has in rows:
        for attribute in [word for word, given in zip(attributes, has, strict=True) if given]:
            yield role, f"is {attribute}"
    for role in sorted(set(OURS) - {row[0] for row in rows}):
        yield role, "does not exist"


@_rule("membership", "REVOKE it: a member has, or can take, all that the other role may do")
def _memberships(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    for member, role in catalogue.ask(
        "SELECT m.rolname, g.rolname FROM pg_auth_members a"
        " JOIN pg_roles m ON m.oid = a.member JOIN pg_roles g ON g.oid = a.roleid"
        # Who administers roles anyhow becomes a member of each role that it makes.
        " WHERE m.rolname = ANY (%s)"
        " OR (g.rolname = ANY (%s) AND NOT m.rolsuper AND NOT m.rolcreaterole) ORDER BY 1, 2",
        list(OURS),
        list(OURS),
    ):
        yield member, f"is a member of {role}"


@_rule("setting", "ALTER ROLE/DATABASE ... RESET it: the portal binds each session by itself")
def _settings(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    for whose, setting in catalogue.ask(
        "SELECT coalesce(r.rolname, 'every role'), c.setting FROM pg_db_role_setting s"
        " LEFT JOIN pg_roles r ON r.oid = s.setrole"
        " LEFT JOIN pg_database d ON d.oid = s.setdatabase,"
        " unnest(s.setconfig) c (setting)"
        " WHERE (r.oid IS NULL OR r.rolname = ANY (%s))"
        " AND (d.oid IS NULL OR d.datname = current_database()) ORDER BY 1, 2",
        list(OURS),
    ):
        if BINDING.match(setting):
            yield whose, f"starts every session with {setting}"


# What the models say ---------------------------------------------------------------------------


def _models() -> list[Any]:
    return [
        model
        for label in settings.TENANT_APPS
        for model in apps.get_app_config(label).get_models(include_auto_created=True)
        if model._meta.managed and not model._meta.proxy
    ]


def _expected_keys() -> set[tuple[str, str]]:
    return {
        (model._meta.db_table, field.column)
        for model in _models()
        for field in model._meta.local_concrete_fields
        if field.remote_field
    }


def _cells(catalogue: Catalogue) -> list[str]:
    return [
        row[0]
        for row in catalogue.ask(
            "SELECT n.nspname FROM pg_namespace n WHERE {user} AND n.nspname <> 'public' ORDER BY 1"
        )
    ]


def _bare(expression: str | None) -> str:
    """Without what PostgreSQL adds when it prints a policy: brackets, casts to text, an alias."""
    bare = re.sub(r"\s|\(|\)|::text", "", (expression or "").lower())
    return bare.replace('as"nullif"', "")


def _keeps_tuples(table: str, definition: str) -> bool:
    """Whether it is one of authz.tuples: named so, with a function named so of the same cell."""
    cell = re.escape(table.partition(".")[0])
    ours = rf"CREATE (CONSTRAINT )?TRIGGER authz_\w+ .* EXECUTE FUNCTION {cell}\.authz_\w+\(\)"
    return re.fullmatch(ours, definition) is not None


def _body(definition: str) -> str:
    """A function's definition without its first line, which names the function itself."""
    return definition.partition("\n")[2]


def _text(letter: str | bytes) -> str:
    """PostgreSQL's "char" type, which drivers give as text or as a byte."""
    return letter.decode() if isinstance(letter, bytes) else letter


def _listed(names: Any) -> str:
    return ", ".join(sorted(names)) or "nobody"
