"""Opening a tenant from the command line."""

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

from agent.models import Repository
from agent.places import forge_address, local_forge
from evidence.models import StagedEntry
from tenants.models import User
from tenants.scope import scope_of_host, tenant_scope

ROOT = Path(__file__).parents[2]


def _manage(*words, role="owner"):
    return subprocess.run(
        [sys.executable, "manage.py", *words],
        cwd=ROOT,
        env={**os.environ, "DATABASE_ROLE": role},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_tenant_is_opened_with_its_admin_a_project_and_a_record_of_it():
    slug = f"initech-{secrets.token_hex(3)}"
    person = ("--admin-email", "ann@initech.example", "--admin-name", "Ann")

    opened = _manage("open_tenant", slug, "Initech", *person)
    again = _manage("open_tenant", slug, "Initech", *person)
    added = _manage("add_repository", f"{slug}.localhost", "main", "tps-reports", role="app")
    unknown = _manage("add_repository", f"{slug}.localhost", "nowhere", "x", role="app")

    assert opened.returncode == 0, opened.stderr
    assert added.returncode == 0, added.stderr
    assert (again.returncode, unknown.returncode) == (1, 1)
    assert "already exists" in again.stderr
    assert "there is: main" in unknown.stderr
    scope = scope_of_host(f"{slug}.localhost")
    with tenant_scope(scope):
        admin = User.objects.get(email="ann@initech.example")
        assert [grant.role for grant in admin.grants.all()] == ["tenant_admin"]
        repository = Repository.objects.get(name="tps-reports")
        staged = [json.loads(bytes(row.leaf)) for row in StagedEntry.objects.order_by("id")]
        assert local_forge().list_files(forge_address(repository), "main") == ["README.md"]
    assert [entry["action"] for entry in staged] == [
        "tenant.open",
        "project.create",
        "member.admit",
        "member.invite",
        "repository.register",  # what is about to be made on the code host
        "repository.register",
    ]
    assert {entry["actor"]["type"] for entry in staged} == {"system"}


def test_the_portals_own_role_cannot_open_a_tenant():
    refused = _manage(
        *("open_tenant", "umbrella", "Umbrella"),
        *("--admin-email", "a@umbrella.example", "--admin-name", "A"),
        role="app",
    )

    assert refused.returncode == 1
    assert "DATABASE_ROLE=owner" in refused.stderr
