"""The promises about the whole, kept by a machine."""

import ast
import re
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection, transaction
from django.urls import get_resolver

from authz.permissions import Permission
from authz.roles import ROLES, SYSTEM
from tenants import inspection

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


def test_the_wall_stands_as_the_portals_own_role_sees_it():
    with transaction.atomic(), connection.cursor() as cursor:
        found = inspection.findings(cursor)

    assert connection.settings_dict["USER"] == "portal_app"
    assert [str(finding) for finding in found] == []


def test_append_only_tables_are_append_only_for_the_portals_role():
    for table in (
        "evidence_entry",
        "evidence_checkpoint",
        "evidence_cosignature",
        "evidence_logkey",
        "agent_review",
    ):
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
        # A browser's session is the door's own memory.
        and not ast.unparse(node.func.value).endswith("request.session")
        and (path.parts[-2:], ast.unparse(node.func)) != (("signin", "sessions.py"), "super().save")
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
        # A directory is a program: it is told so, instead of being led to a page.
        told = 401 if name.startswith("scim") else 302
        assert answer.status_code in {told, 405}, address
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


def test_every_decision_record_is_listed_in_the_docs():
    listed = (ROOT / "docs" / "decisions.md").read_text()
    records = [path.name for path in sorted((ROOT / "adr").glob("[0-9]*.md"))][1:]

    assert records
    assert [name for name in records if f"`adr/{name}`" not in listed] == []
