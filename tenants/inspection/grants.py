"""Who may do what: grants, owners, roles, settings."""

import re
from collections.abc import Iterator

from tenants import rls
from tenants.inspection.rules import Catalogue, rule

OWNER = "portal_owner"
OURS = (OWNER, rls.APP, rls.AUDITOR)

# Settings that, given to a role or database once and for all, undo what binds a session.
BINDING = re.compile(
    r"app\.|row_security=|search_path=|role=|session_|local_preload_|transform_null_equals="
)


@rule("grant", "Run `manage.py bootstrap`, or REVOKE it where it is no role of ours")
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


@rule("column-grant", "REVOKE it; privileges are given for whole tables by `manage.py bootstrap`")
def _column_grants(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    for name, column, grantee, privilege in catalogue.ask(
        "SELECT c.oid::regclass::text, a.attname,"
        " CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END, x.privilege_type"
        " FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
        " JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(a.attacl) x"
        " WHERE {user} ORDER BY 1, 2, 3, 4"
    ):
        yield f"{name}.{column}", f"{grantee} has {privilege} on this column"


@rule("default-grant", "ALTER DEFAULT PRIVILEGES ... REVOKE: what is forgotten must be denied")
def _default_grants(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    for owner, schema, privileges in catalogue.ask(
        "SELECT d.defaclrole::regrole::text, coalesce(n.nspname, 'every schema'), d.defaclacl::text"
        " FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace ORDER BY 1, 2"
    ):
        yield f"{owner} in {schema}", f"what it makes is granted as {privileges}"


@rule("schema-grant", "REVOKE it: the portal's roles use schemas and connect, and nothing more")
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


@rule("system-grant", "REVOKE it: PostgreSQL's own tables, functions and settings are not ours")
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


@rule("owner", f"ALTER ... OWNER TO {OWNER}: an owner can take the wall down")
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


@rule("role", "ALTER ROLE: run deploy/postgres/roles.sql, which says what each role is")
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


@rule("membership", "REVOKE it: a member has, or can take, all that the other role may do")
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


@rule("setting", "ALTER ROLE/DATABASE ... RESET it: the portal binds each session by itself")
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
