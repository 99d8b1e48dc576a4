"""A backup brings everything back: rows behind their wall, files, logs that verify, sign-in."""

import json
import os
import re
import secrets
import stat
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

import psycopg
import pytest

from deploy import backup, embedded
from deploy.embedded import places

ROOT = Path(__file__).parents[2]


HOSTS = ("initech.localhost", "apart.localhost")


def _run(home, script, role="app"):
    """Run a script inside an installation, and return what it says."""
    ran = subprocess.run(
        [sys.executable, "-c", f"import django; django.setup()\n{script}"],
        cwd=ROOT,
        env={
            **os.environ,
            **embedded.environment(home, evidence=True),
            "DATABASE_ROLE": role,
            "LOG_LEVEL": "ERROR",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr + ran.stdout
    return ran.stdout


# Two tenants are opened, one in a cell of its own.
OPEN = f"""
from django.core.management import call_command
call_command("bootstrap")
for slug, cell in (("initech", "pool"), ("apart", "silo_{secrets.token_hex(3)}")):
    call_command("open_tenant", slug, "Initech", cell=cell, admin_email="ann@initech.example",
                 admin_name="Ann")
"""

# What happens before the backup: a repository, an artifact, a secret, a sealed log.
WORK = f"""
from django.conf import settings
from django.core.management import call_command
from agent.places import artifact_store
from evidence import ledger
from evidence.signing import FileKeys
from tenants import secrets
from tenants.actor import system_actor
from tenants.models import IdentityProvider, Project
from tenants.scope import scope_of_host, tenant_scope
for host in {HOSTS}:
    call_command("add_repository", host, "main", "tps-reports")
    with tenant_scope(scope_of_host(host)) as scope:
        project = Project.objects.get()
        sealed = secrets.seal("customer's secret", "provider client_secret")
        IdentityProvider.objects.create(protocol="oidc", name="Okta", client_secret=sealed)
        kept = artifact_store().put(scope.tenant_id, b"an artifact")
        by = system_actor("test", "cli")
        for number in range(20):
            ledger.record("test.note", by=by, on=project, facts={{"n": number}})
        print("root", ledger.seal(FileKeys(settings.KEYS_DIR)).root.hex())
"""

# What somebody finds who signs in after the restore, and what the evidence worker can still do.
LOOK = f"""
from hashlib import sha256
from django.conf import settings
from django.core.management import call_command
from django.test import Client
from agent.models import Repository
from agent.places import artifact_store, forge_address, local_forge
from authz.providers import secret_of
from evidence import ledger
from evidence.recount import recount
from evidence.signing import FileKeys
from tenants.models import IdentityProvider, User
from tenants.scope import scope_of_host, tenant_scope
call_command("check_rls")
for host in {HOSTS}:
    with tenant_scope(scope_of_host(host)) as scope:
        before = recount()
        ann = User.objects.get(name="Ann")
        digest = sha256(b"an artifact").hexdigest()
        assert artifact_store().get(scope.tenant_id, digest) == b"an artifact"
        repository = Repository.objects.get()
        assert local_forge().list_files(forge_address(repository), "main") == ["README.md"]
        provider = IdentityProvider.objects.get()
        assert secret_of(provider, "client_secret") == "customer's secret"
    browser = Client(headers={{"host": host}})
    assert browser.post("/signin/", {{"person": str(ann.pk)}}).status_code == 302
    assert "Initech" in browser.get("/").content.decode()
    with tenant_scope(scope_of_host(host)):
        ledger.seal(FileKeys(settings.KEYS_DIR))
        after = recount()
        assert (before.checkpoints, after.checkpoints) == (1, 2)
        assert after.size > before.size > 20
    print("root", before.root.hex())
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An installation with a tenant in the pool and one in a silo, backed up, then destroyed."""
    folder = tmp_path_factory.mktemp("backup")
    home = folder / "var"
    embedded.start(home)
    try:
        _run(home, OPEN, role="owner")
        roots = re.findall(r"root \w{64}", _run(home, WORK))
        backup.create(folder / "all.tar", folder / "keys.tar", home)
        rules = _wall_of(home)
    finally:
        embedded.destroy(home)
    assert not home.exists()
    return folder, roots, rules


def _wall_of(home):
    """Every table of a cell with its row security, policy and what the portal's role may do."""
    with psycopg.connect(embedded.superuser_url(home, "countersign")) as connection:
        return connection.execute(
            "SELECT n.nspname, c.relname, c.relrowsecurity, c.relforcerowsecurity, c.relowner"
            " ::regrole::text, c.relacl::text, array_agg(pg_get_expr(p.polqual, c.oid))"
            " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " LEFT JOIN pg_policy p ON p.polrelid = c.oid"
            " WHERE c.relkind = 'r' AND (n.nspname IN ('public', 'pool') OR n.nspname ^@ 'silo')"
            " GROUP BY c.oid, 1, 2, 3, 4, 5, 6 ORDER BY 1, 2"
        ).fetchall()


@pytest.fixture(scope="module")
def restored(made, tmp_path_factory):
    folder, _, _ = made
    home = tmp_path_factory.mktemp("restored") / "var"
    said = backup.restore(folder / "all.tar", folder / "keys.tar", home)
    yield home, said
    embedded.destroy(home)


def test_every_log_verifies_with_the_root_it_had(made, restored):
    _, roots, _ = made
    _, said = restored

    assert len(roots) == len(HOSTS)
    assert sorted(re.findall(r"root \w{64}", said)) == sorted(roots)


def test_the_wall_stands_as_before(made, restored):
    _, _, before = made
    home, _ = restored

    after = _wall_of(home)

    assert after == before
    walled = [row for row in after if row[0] != "public" and row[1] != "django_migrations"]
    assert len(walled) > 40
    assert all(row[2] and row[3] and row[4] == "portal_owner" for row in walled)


def test_people_sign_in_and_find_rows_files_and_secrets_and_the_logs_go_on(made, restored):
    _, roots, _ = made
    home, _ = restored

    said = _run(home, LOOK)

    assert "nothing found" in said  # by the inspection of the wall
    assert re.findall(r"root \w{64}", said) == roots


def test_passwords_are_new_and_the_keys_are_for_their_owner_only(made, restored):
    folder, _, _ = made
    home, _ = restored

    passwords = json.loads((places.existing_servers_folder(home) / "servers.json").read_text())
    whole = (folder / "all.tar").read_bytes()
    assert not [p for p in passwords["passwords"].values() if p.encode() in whole]
    for path in (home / "keys").glob("*.pem"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.read_bytes() not in whole
        assert path.read_bytes() in (folder / "keys.tar").read_bytes()
    assert len(list((home / "keys").glob("*.pem"))) == 2
    assert b"PRIVATE KEY" not in whole
    for name in ("all.tar", "keys.tar"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600


def test_a_folder_that_holds_something_is_not_restored_into(made, tmp_path):
    folder, _, _ = made
    (tmp_path / "mine").write_text("mine")

    with pytest.raises(backup.CannotBackUp, match="is not empty"):
        backup.restore(folder / "all.tar", None, tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def _damaged(source, target, how):
    with tarfile.open(source) as old, tarfile.open(target, "w") as new:
        for member in old:
            content = old.extractfile(member).read() if member.isfile() else None
            for changed, body in how(member, content):
                if body is not None:
                    changed.size = len(body)
                new.addfile(changed, BytesIO(body) if body is not None else None)


def _one_byte_less(member, content):
    return [
        (member, content[:-1] if member.name.startswith("data/artifacts") and content else content)
    ]


def _left_out(member, content):
    return [] if member.name == "database.dump" else [(member, content)]


def _one_more(member, content):
    extra = tarfile.TarInfo("../outside" if member.name == "manifest.json" else "x")
    return [(member, content), *([(extra, b"!")] if member.name == "manifest.json" else [])]


def _no_end(member, content):
    return [] if member.name == "manifest.json" else [(member, content)]


@pytest.mark.parametrize("how", [_one_byte_less, _left_out, _one_more, _no_end])
def test_a_backup_that_was_changed_is_refused_before_anything_is_made(made, tmp_path, how):
    folder, _, _ = made
    _damaged(folder / "all.tar", tmp_path / "damaged.tar", how)

    with pytest.raises(backup.CannotBackUp):
        backup.restore(tmp_path / "damaged.tar", None, tmp_path / "var")

    assert not (tmp_path / "var").exists()


def test_keys_are_no_backup_and_a_backup_is_no_keys(made, tmp_path):
    folder, _, _ = made

    with pytest.raises(backup.CannotBackUp, match="is no backup of data"):
        backup.restore(folder / "keys.tar", None, tmp_path / "var")
    with pytest.raises(backup.CannotBackUp, match="is no backup of keys"):
        backup.restore(folder / "all.tar", folder / "all.tar", tmp_path / "var")

    assert not (tmp_path / "var").exists()


def test_a_restore_that_fails_leaves_nothing_behind(made, tmp_path, monkeypatch):
    folder, _, _ = made
    monkeypatch.setattr(
        backup, "_manage", lambda *_: (_ for _ in ()).throw(backup.CannotBackUp("no"))
    )
    home = tmp_path / "var"

    with pytest.raises(backup.CannotBackUp, match="no"):
        backup.restore(folder / "all.tar", None, home)

    assert not home.exists()
    assert embedded.status(home) == {"postgres": None, "valkey": None}


def test_a_backup_overwrites_nothing_and_needs_an_installation(tmp_path):
    (tmp_path / "old.tar").write_text("old")

    with pytest.raises(backup.CannotBackUp, match="there already"):
        backup.create(tmp_path / "old.tar", None, tmp_path)
    with pytest.raises(backup.CannotBackUp, match="holds no installation"):
        backup.create(tmp_path / "new.tar", None, tmp_path / "nowhere")

    assert [path.name for path in tmp_path.iterdir()] == ["old.tar"]
