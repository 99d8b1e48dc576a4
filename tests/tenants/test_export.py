"""Everything of one tenant in one file: nothing missing, nothing of anybody else, no secrets."""

import base64
import json
import stat
import subprocess
import zipfile
from hashlib import sha256

import pytest
from django.apps import apps
from django.conf import settings
from django.core.management.base import CommandError
from django.db import models
from django.utils import timezone

from agent import export, repositories
from agent.places import artifact_store
from authz import invitations
from authz.errors import Denied
from authz.permissions import Permission
from authz.tokens import create_token
from evidence.leaf import commitment
from evidence.merkle import leaf_hash, tree_root
from evidence.models import OpenIntent, StagedEntry
from evidence.notes import verify_checkpoint
from evidence.signing import VerifierKey
from tenants.actor import system_actor
from tenants.models import IdentityProvider, User
from tenants.scope import tenant_scope
from tests.at_browser import JUST_NOW
from tests.portal.standing import DIFF, pack_of, proposal_of, sealed
from tests.tenants.operators import manage

BY = system_actor("test", "cli")


@pytest.fixture
def busy(acme, sign_in):
    """acme with a repository, a proposal, a pack, a sealed log, and secrets of every kind."""
    ada = acme.people["ada"]
    with tenant_scope(acme.scope):
        repositories.register(
            "order-desk",
            project=acme.project,
            files={"README.md": b"# Order desk\n"},
            written=timezone.now(),
            by=BY,
        )
        pack_of(proposal_of(ada, acme.project), b"PK-of-acme")
        acme.invitation = invitations.invite(ada, by=BY)
        _, acme.token = create_token(
            ada, "ci", [Permission.TASK_VIEW], days=1, by=ada.actor("page", signed_in=JUST_NOW)
        )
        IdentityProvider.objects.create(
            protocol="oidc", name="Okta", client_id="cs", client_secret="v1:sealed-secret"
        )
        sealed()
    acme.cookie = sign_in(acme, "ada").cookies["sessionid"].value
    return acme


@pytest.fixture
def exported(busy, tmp_path):
    said = manage("export_tenant", busy.host, str(tmp_path / "acme.zip"), role="app")
    assert sha256((tmp_path / "acme.zip").read_bytes()).hexdigest() in said
    with zipfile.ZipFile(tmp_path / "acme.zip") as opened:
        yield opened


def _table(opened, name):
    return [json.loads(line) for line in opened.read(f"tables/{name}.jsonl").splitlines()]


def test_every_table_is_in_it_with_every_row(busy, exported):
    manifest = json.loads(exported.read("manifest.json"))
    expected = [
        model
        for label in settings.TENANT_APPS
        for model in apps.get_app_config(label).get_models(include_auto_created=True)
    ]

    assert set(manifest["tables"]) == {model._meta.db_table for model in expected}
    with tenant_scope(busy.scope):
        for model in expected:
            table = model._meta.db_table
            rows = _table(exported, table)
            assert manifest["tables"][table] == len(rows)
            if model not in {StagedEntry, OpenIntent}:  # the export itself is recorded
                assert len(rows) == model._default_manager.count(), table
            fields = {field.attname for field in model._meta.concrete_fields}
            left_out = set(export.LEFT_OUT.get(model._meta.label, {}))
            assert all(set(row) == fields - left_out for row in rows), table
    assert {row["name"] for row in _table(exported, "tenants_user")} >= {"Ada", "Bo", "Tomas"}


def test_nothing_of_another_tenant_is_in_it(busy, globex, exported):
    with tenant_scope(globex.scope):
        artifact_store().put(globex.scope.tenant_id, b"of globex")
        foreign = [str(pk) for pk in User.objects.values_list("pk", flat=True)]
    whole = b"".join(exported.read(name) for name in exported.namelist())

    for word in [globex.slug, str(globex.scope.tenant_id), "of globex", *foreign]:
        assert word.encode() not in whole
    for table in json.loads(exported.read("manifest.json"))["tables"]:
        owners = {row["tenant_id"] for row in _table(exported, table)}
        assert owners <= {str(busy.scope.tenant_id)}, table


def test_no_secret_is_in_it_and_it_says_what_is_left_out(busy, exported):
    whole = b"".join(exported.read(name) for name in exported.namelist())
    readme = exported.read("README.txt").decode()

    for secret in (busy.invitation, busy.token, busy.cookie):
        assert secret.encode() not in whole
        assert sha256(secret.encode()).hexdigest().encode() not in whole
    assert b"sealed-secret" not in whole
    assert b"PRIVATE KEY" not in whole
    for label, columns in export.LEFT_OUT.items():
        for column in columns:
            assert f"{apps.get_model(label)._meta.db_table}.{column}" in readme


# Columns whose name sounds like a secret and that are none: what they are instead.
HARMLESS = {
    "agent.Action.cost_tokens": "how much a step cost",
    "agent.CatalogueRefresh.base_digest": "of the catalogue",
    "agent.CatalogueRefresh.digest": "of what a source says",
    "agent.ModelAnswer.tokens_in": "how much a question took",
    "agent.ModelAnswer.tokens_out": "how much an answer took",
    "agent.ModelCall.reserved_tokens": "how much a question could take",
    "agent.ModelCall.tokens": "how much counts",
    "agent.ModelCall.tokens_in": "how much a question took",
    "agent.ModelCall.tokens_out": "how much an answer took",
    "agent.ModelRules.person_day_tokens": "a limit",
    "agent.ModelRules.task_tokens": "a limit",
    "agent.ModelRules.tenant_month_tokens": "a limit",
    "agent.Plan.digest": "of the plan",
    "agent.Proposal.digest": "of what was read",
    "agent.Recommendation.catalogue_digest": "of the catalogue",
    "agent.Review.digest": "of what was read",
    "authz.OutsideEngine.token": "names a state of the tuples there",
    "authz.PolicyVersion.digest": "of a policy",
    "evidence.DecisionRecord.policy_digest": "of rules",
    "evidence.LogKey.vkey": "public",
    "evidence.Payload.salt": "the tenant's own; proves the facts",
    "evidence.StagedEntry.salt": "the tenant's own; proves the facts",
    "tenants.DirectoryClient.token_hint": "six characters, shown on pages",
    "tenants.DirectoryPerson.display_name_key": "lower case of a name",
    "tenants.DirectoryPerson.email_keys": "addresses in lower case",
    "tenants.DirectoryPerson.user_name_key": "lower case of a name",
    "tenants.DirectoryGroup.display_name_key": "lower case of a name",
    "tenants.IdentityProvider.tested_digest": "of settings",
}


def test_whoever_adds_a_column_that_sounds_like_a_secret_has_to_decide_about_it():
    words = ("secret", "digest", "password", "token", "key", "salt", "session", "cookie")
    undecided = [
        name
        for label in settings.TENANT_APPS
        for model in apps.get_app_config(label).get_models(include_auto_created=True)
        for field in model._meta.concrete_fields
        if any(word in field.attname for word in words)
        and not isinstance(field, models.ForeignKey)
        and field.attname not in export.LEFT_OUT.get(model._meta.label, {})
        and (name := f"{model._meta.label}.{field.attname}") not in HARMLESS
    ]

    assert undecided == []


def test_every_file_has_the_size_and_digest_of_the_manifest(exported):
    manifest = json.loads(exported.read("manifest.json"))
    listed = {entry["path"]: entry for entry in manifest["files"]}

    assert set(listed) | {"manifest.json"} == set(exported.namelist())
    for path, entry in listed.items():
        content = exported.read(path)
        assert (len(content), sha256(content).hexdigest()) == (entry["size"], entry["sha256"])


def test_artifacts_packs_and_repositories_are_in_it(busy, exported, tmp_path):
    for content in (b"# One\n", DIFF, b"PK-of-acme"):
        assert exported.read(f"artifacts/{sha256(content).hexdigest()}") == content
    exported.extract("repositories/order-desk.bundle", tmp_path)
    subprocess.run(
        ["git", "clone", "--quiet", tmp_path / "repositories/order-desk.bundle", tmp_path / "c"],
        check=True,
        capture_output=True,
    )
    assert (tmp_path / "c" / "README.md").read_text() == "# Order desk\n"


def test_the_log_in_it_proves_itself(exported):
    entries = _table(exported, "evidence_entry")
    leaves = [base64.b64decode(entry["leaf"]) for entry in entries]
    key = VerifierKey.parse(exported.read("log/key.vkey").decode())
    head = verify_checkpoint(exported.read("log/checkpoint.note"), key)

    assert [entry["index"] for entry in entries] == list(range(head.size))
    assert tree_root([leaf_hash(leaf) for leaf in leaves]) == head.root
    payloads = {row["id"]: row for row in _table(exported, "evidence_payload")}
    committed = [json.loads(leaf) for leaf in leaves if json.loads(leaf)["payload"]]
    assert len(committed) == len(payloads) > 5
    for said in committed:
        row = payloads[said["id"]]
        body, salt = base64.b64decode(row["body"]), base64.b64decode(row["salt"])
        assert commitment(salt, body) == said["payload"]["commitment"]


def test_it_is_on_record_before_and_after(busy, exported):
    with tenant_scope(busy.scope):
        last = list(StagedEntry.objects.order_by("-id")[:2])
    after, before = (json.loads(bytes(row.leaf)) for row in last)
    facts = json.loads(bytes(last[0].payload))

    assert [before["action"], after["action"]] == ["tenant.export"] * 2
    assert [before["phase"], after["phase"]] == ["intent", "result"]
    with open(exported.filename, "rb") as file:
        assert facts["sha256"] == sha256(file.read()).hexdigest()
    assert facts["rows"]["tenants_user"] == 6


def test_only_its_owner_can_read_the_file(exported):
    import os

    assert stat.S_IMODE(os.stat(exported.filename).st_mode) == 0o600


@pytest.mark.parametrize("name", ["ada", "bo", "iris", "tomas"])
def test_only_an_operator_writes_it_beside_the_page(acme, tmp_path, name):
    with tenant_scope(acme.scope), pytest.raises(Denied):
        export.export_tenant(
            tmp_path / "a.zip", by=acme.people[name].actor("page", signed_in=JUST_NOW)
        )

    assert list(tmp_path.iterdir()) == []
    with tenant_scope(acme.scope):
        last = json.loads(bytes(StagedEntry.objects.order_by("-id").first().leaf))
    assert (last["action"], last["outcome"]) == ("tenant.export.denied", "denied")


def test_the_owners_role_is_refused_because_the_wall_shall_vouch_for_it(acme, tmp_path):
    with pytest.raises(CommandError, match="DATABASE_ROLE=app"):
        manage("export_tenant", acme.host, str(tmp_path / "a.zip"), role="owner")


def test_what_is_damaged_or_missing_is_named_and_the_rest_is_there(busy, tmp_path):
    digest = sha256(b"PK-of-acme").hexdigest()
    store = artifact_store()
    store._path(busy.scope.tenant_id, digest).write_bytes(b"altered")
    store._path(busy.scope.tenant_id, sha256(DIFF).hexdigest()).unlink()

    said = manage("export_tenant", busy.host, str(tmp_path / "acme.zip"), role="app")

    with zipfile.ZipFile(tmp_path / "acme.zip") as opened:
        missing = json.loads(opened.read("manifest.json"))["missing"]
        names = opened.namelist()
    assert len(missing) == 2
    assert "missing: " in said
    assert f"artifacts/{digest}" not in names
    assert f"artifacts/{sha256(b'# One\n').hexdigest()}" in names
    assert "repositories/order-desk.bundle" in names


@pytest.mark.parametrize("target", ["there.zip", "no/such/folder.zip"])
def test_a_file_that_cannot_be_made_leaves_nothing_but_the_record(acme, tmp_path, target):
    (tmp_path / "there.zip").write_bytes(b"somebody's")

    with pytest.raises(CommandError):
        manage("export_tenant", acme.host, str(tmp_path / target), role="app")

    assert [path.name for path in tmp_path.iterdir()] == ["there.zip"]
    assert (tmp_path / "there.zip").read_bytes() == b"somebody's"
    with tenant_scope(acme.scope):
        last = json.loads(bytes(StagedEntry.objects.order_by("-id").first().leaf))
    assert (last["action"], last["outcome"]) == ("tenant.export", "failed")


def test_what_is_written_meanwhile_is_in_it_whole_or_not_at_all(busy, tmp_path, monkeypatch):
    """A project made after the first table was read is in no table: one moment for all."""
    from authz import people

    real, made = export._add_table, []

    def slow(archive, model):
        if not made and model is not User:
            import threading

            from django.db import connection

            def another():
                with tenant_scope(busy.scope):
                    people.create_project(
                        "overdue", "Overdue", tenant=people.AsTenant(busy.scope.tenant_id), by=BY
                    )
                connection.close()

            thread = threading.Thread(target=another)
            thread.start()
            thread.join()
            made.append(1)
        return real(archive, model)

    # The first table is User's; everything is as it was then.
    monkeypatch.setattr(export, "_add_table", slow)
    with tenant_scope(busy.scope):
        export.export_tenant(tmp_path / "a.zip", by=BY)

    with zipfile.ZipFile(tmp_path / "a.zip") as opened:
        assert made
        assert "overdue" not in {row["slug"] for row in _table(opened, "tenants_project")}
        assert b"overdue" not in b"".join(
            base64.b64decode(row["payload"] or "") for row in _table(opened, "evidence_stagedentry")
        )
