"""Code in the database: functions, triggers, rules, extensions."""

import re
from collections.abc import Iterator
from typing import Any

from tenants import rls
from tenants.inspection.rules import Catalogue, rule, text

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


@rule(
    "definer-function",
    "Drop it, or list it in tenants.inspection.code.LOOKUPS with"
    " `SET search_path = public, pg_temp`, REVOKE ALL FROM PUBLIC and a grant for whom it is for",
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


@rule("function", "Make it STABLE (or VOLATILE), NOT LEAKPROOF, and read settings in the policy")
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
        if short in reading and text(volatility) == "i":
            yield name, "reads a setting and says IMMUTABLE, so one tenant's answer may be kept"
        if leakproof:
            yield name, "says LEAKPROOF, so it may see rows before the policy does"


@rule("trigger", "Drop what is not ours and run `manage.py bootstrap`, which makes ours")
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
        if text(enabled) != "O":
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


@rule("rewrite-rule", "DROP RULE: it turns one statement into another")
def _rewrite_rules(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    for name, rewrite in catalogue.ask(
        "SELECT c.oid::regclass::text, r.rulename FROM pg_rewrite r"
        " JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE r.rulename <> '_RETURN' AND {user} ORDER BY 1, 2"
    ):
        yield f"{name}.{rewrite}", "is a rewrite rule; the product has none"


@rule("extension", "Drop it, or put it into tenants.inspection.code.EXTENSIONS after a look")
def _extensions(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    for (name,) in catalogue.ask("SELECT extname FROM pg_extension ORDER BY 1"):
        if name not in EXTENSIONS:
            yield name, "is an extension that the product does not need"


def _keeps_tuples(table: str, definition: str) -> bool:
    """Whether it is one of authz.tuples: named so, with a function named so of the same cell."""
    cell = re.escape(table.partition(".")[0])
    ours = rf"CREATE (CONSTRAINT )?TRIGGER authz_\w+ .* EXECUTE FUNCTION {cell}\.authz_\w+\(\)"
    return re.fullmatch(ours, definition) is not None


def _body(definition: str) -> str:
    """A function's definition without its first line, which names the function itself."""
    return definition.partition("\n")[2]


def _listed(names: Any) -> str:
    return ", ".join(sorted(names)) or "nobody"
