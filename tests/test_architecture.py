"""The promises about the whole, kept by a machine."""

import ast
import re
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.db import connection
from django.urls import get_resolver

from authz.permissions import Permission
from authz.roles import ROLES, SYSTEM
from tenants import rls

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("portal", "agent", "authz", "evidence", "tenants")

# Answered to anybody: everything else asks who you are.
OPEN_TO_ALL = {"alive", "ready", "signin", "signin-start", "invitation"} | {
    "oidc-callback",
    "oidc-logout",
    "saml-acs",
    "saml-metadata",
    "saml-logout",
}


def _sources(*packages: str) -> dict[Path, ast.Module]:
    return {
        path: ast.parse(path.read_text())
        for package in packages
        for path in (ROOT / package).rglob("*.py")
        if "migrations" not in path.parts
    }


def _rows(sql: str, *values: object) -> list[tuple[object, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchall()


def _bare(expression: str) -> str:
    """Without what PostgreSQL adds when it prints a policy: brackets, casts, a column alias."""
    bare = re.sub(r"\s|\(|\)|::text|::uuid", "", expression.lower())
    return bare.replace('as"nullif"', "")


def test_every_table_of_a_cell_belongs_to_a_tenant():
    expected = {
        model._meta.db_table
        for label in settings.TENANT_APPS
        for model in apps.get_app_config(label).get_models(include_auto_created=True)
    }
    walled = {
        str(row[0])
        for row in _rows(
            "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
            " WHERE c.relnamespace = 'pool'::regnamespace AND c.relkind IN ('r', 'p')"
            " AND a.attname = 'tenant_id'"
        )
    }

    assert expected == walled


def test_every_tenant_table_has_forced_row_security_and_exactly_the_one_policy():
    rows = _rows(
        "SELECT c.relname, c.relrowsecurity, c.relforcerowsecurity,"
        " array_agg(p.polname::text), min(pg_get_expr(p.polqual, c.oid)),"
        " min(pg_get_expr(p.polwithcheck, c.oid)), bool_and(p.polpermissive AND p.polcmd = '*')"
        " FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
        " LEFT JOIN pg_policy p ON p.polrelid = c.oid"
        " WHERE c.relnamespace = 'pool'::regnamespace AND c.relkind IN ('r', 'p')"
        " AND a.attname = 'tenant_id' GROUP BY c.oid"
    )

    assert rows
    wanted = _bare(rls.SAME_TENANT)
    for table, enabled, forced, policies, using, check, plain in rows:
        assert (enabled, forced, policies, plain) == (True, True, [rls.POLICY], True), table
        for expression in (using, check):
            assert _bare(str(expression)) == wanted, table


def test_foreign_keys_between_tenant_tables_name_the_tenant_on_both_sides():
    rows = _rows(
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE contype = 'f' AND connamespace = 'pool'::regnamespace"
    )

    simple = [
        (table, name)
        for table, name, definition in rows
        if "cells_tenant" not in str(definition)
        and not re.match(
            r"FOREIGN KEY \(tenant_id, \w+\) REFERENCES \S+\(tenant_id, \w+\)", str(definition)
        )
    ]
    assert rows
    assert simple == []


def test_the_portals_role_has_no_way_around_the_wall():
    role = _rows(
        "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb FROM pg_roles"
        " WHERE rolname = current_user"
    )
    memberships = _rows(
        "SELECT 1 FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member"
        " WHERE r.rolname = current_user"
    )
    owned = _rows(
        "SELECT relname FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner"
        " WHERE r.rolname = current_user"
    )

    assert connection.settings_dict["USER"] == "portal_app"
    assert role == [(False, False, False, False)]
    assert (memberships, owned) == ([], [])


def test_security_definer_functions_fix_their_search_path_and_are_not_for_everybody():
    rows = _rows(
        "SELECT p.proname, p.proconfig, has_function_privilege('public', p.oid, 'execute')"
        " FROM pg_proc p WHERE p.prosecdef"
        " AND p.pronamespace IN ('public'::regnamespace, 'pool'::regnamespace)"
    )

    assert {row[0] for row in rows} == {"tenant_of_host", "tenant_of_id", "tenants_with_work"}
    for name, configuration, open_to_all in rows:
        assert configuration == ["search_path=public, pg_temp"], name
        assert not open_to_all, name


def test_append_only_tables_are_append_only_for_the_portals_role():
    for table in ("evidence_entry", "evidence_checkpoint", "evidence_logkey", "agent_review"):
        may = _rows(
            "SELECT has_table_privilege('portal_app', %s, 'UPDATE'),"
            " has_table_privilege('portal_app', %s, 'DELETE')",
            f"pool.{table}",
            f"pool.{table}",
        )
        assert may == [(False, False)], table


def test_every_permission_is_given_to_somebody_and_asked_for_somewhere():
    given = SYSTEM.union(*ROLES.values())
    asked = {
        node.attr
        for path, tree in _sources(*PACKAGES).items()
        if path.name not in {"roles.py", "permissions.py"}
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "Permission"
    }

    assert [p for p in Permission if p not in given] == []
    assert [p for p in Permission if p.name not in asked] == []


def test_doors_write_nothing_themselves():
    writers = {"save", "create", "bulk_create", "update_or_create", "get_or_create", "bulk_update"}
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path, tree in _sources("portal").items()
        if path.parts[-2:-1] != ("commands",)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in writers
    ]

    assert found == []


def test_jobs_that_are_queued_by_name_exist():
    from portal.celery import app

    app.loader.import_default_modules()
    queued = re.findall(r'_send\("(\w+)"', (ROOT / "agent" / "queue.py").read_text())
    scheduled = [entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()]

    assert queued
    for name in [f"agent.jobs.{job}" for job in queued] + scheduled:
        assert name in app.tasks


def test_every_page_asks_who_you_are(acme, sign_in):
    nobody = sign_in(acme)
    for pattern in get_resolver().url_patterns:
        name = getattr(pattern, "name", None)
        if name is None or name in OPEN_TO_ALL:
            continue
        converters = pattern.pattern.converters
        values = {
            key: "1" if type(c).__name__ == "IntConverter" else _UUID
            for key, c in converters.items()
        }
        address = "/" + re.sub(
            r"<(?:\w+:)?(\w+)>", lambda m, v=values: v[m.group(1)], str(pattern.pattern)
        )
        answer = nobody.get(address)
        assert answer.status_code in {302, 405}, address
        if answer.status_code == 302:
            assert answer["Location"].startswith("/signin/"), address


_UUID = "00000000-0000-4000-8000-000000000000"


@pytest.mark.parametrize("package", PACKAGES)
def test_modules_open_with_one_sentence(package):
    for path, tree in _sources(package).items():
        if path.name == "__init__.py" and not path.read_text().strip():
            continue
        said = ast.get_docstring(tree)
        assert said, path
        assert said.split("\n\n")[0].rstrip().endswith((".", "?")), path
