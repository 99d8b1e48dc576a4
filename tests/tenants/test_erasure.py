"""Erasing a tenant or a person: what is gone, what stays, and that every proof still holds."""

import json
import os
import secrets

import psycopg
import pytest
from django.conf import settings
from django.core.management.base import CommandError
from django.db import OperationalError
from django.utils import timezone

from agent import repositories
from agent.models import Draft, Task
from agent.places import artifact_store, local_forge
from authz import invitations, people
from authz.errors import Denied
from authz.models import Grant
from authz.permissions import Permission
from authz.roles import Role
from authz.tokens import create_token, token_of
from evidence import ledger
from evidence.completeness import Account
from evidence.merkle import root_from_inclusion
from evidence.models import Checkpoint, Entry, LogKey, Payload, StagedEntry
from evidence.notes import verify_checkpoint
from evidence.recount import recount
from evidence.signing import VerifierKey
from tenants.actor import system_actor
from tenants.cells import moving
from tenants.models import (
    DirectoryClient,
    DirectoryPerson,
    DirectoryRequest,
    Identity,
    Invitation,
    Membership,
    Session,
    User,
)
from tenants.scope import tenant_scope
from tests.at_browser import JUST_NOW
from tests.portal.standing import pack_of, proposal_of, sealed
from tests.tenants.operators import as_role, manage

BY = system_actor("test", "cli")
KEPT = {"evidence_entry", "evidence_checkpoint", "evidence_loghead", "evidence_logkey"}


@pytest.fixture
def busy(acme):
    """acme with work, files, a repository, a sealed log, and entries that wait."""
    with tenant_scope(acme.scope):
        repositories.register(
            "order-desk",
            project=acme.project,
            files={"README.md": b"# Order desk\n"},
            written=timezone.now(),
            by=BY,
        )
        pack_of(proposal_of(acme.people["ada"], acme.project))
        sealed()
        ledger.record("test.note", by=BY, on=acme.project, facts={"says": "ada@acme.example"})
    return acme


def _erase(company):
    return manage("erase_tenant", company.slug, "--yes-erase", company.slug)


def _rows(company):
    with tenant_scope(company.scope), as_role("owner"):
        counts = moving.count_rows("pool")
    return {table: count.rows for table, count in counts.items() if count.rows}


def _proofs():
    """Every entry with its inclusion proof under the newest head."""
    head = Checkpoint.objects.order_by("-size").first()
    return head, {entry.index: ledger.proof(entry, head) for entry in Entry.objects.all()}


def _all_verify(head, proofs):
    key = VerifierKey.parse(LogKey.objects.get().vkey)
    signed = verify_checkpoint(head.note, key)
    return all(
        root_from_inclusion(entry.index, signed.size, bytes(entry.leaf_hash), proofs[entry.index])
        == signed.root
        for entry in Entry.objects.filter(index__lt=signed.size)
    )


# A tenant


def test_everything_goes_but_the_log_and_its_proofs_hold(busy):
    with tenant_scope(busy.scope):
        head, proofs = _proofs()
        log = recount()
        leaves = list(Entry.objects.values_list("index", "leaf"))

    said = _erase(busy)

    assert "1 repositories" in said
    assert set(_rows(busy)) == KEPT | {"evidence_stagedentry"}
    with tenant_scope(busy.scope):
        assert recount() == log
        assert list(Entry.objects.values_list("index", "leaf")) == leaves
        assert _all_verify(head, proofs)
        assert Payload.objects.count() == 0
        # Of what waited to be sealed, the leaf waits still; the facts are gone.
        actions = [json.loads(bytes(row.leaf))["action"] for row in StagedEntry.objects.all()]
        assert "test.note" in actions
        assert not any(
            b"ada@acme.example" in bytes(row.payload or b"") for row in StagedEntry.objects.all()
        )
        sealed()
        assert recount().size == log.size + len(actions)
        assert _all_verify(head, proofs)


def test_files_and_repositories_are_gone_from_the_disk(busy):
    tenant_id = busy.scope.tenant_id
    before = [*artifact_store().digests(tenant_id)], local_forge().repositories(tenant_id)
    assert all(before)

    _erase(busy)

    assert not (settings.DATA_DIR / "artifacts" / str(tenant_id)).exists()
    assert not (settings.DATA_DIR / "forge" / str(tenant_id)).exists()


def test_no_personal_data_is_left_in_the_database_but_the_names_in_the_leaves(busy):
    with tenant_scope(busy.scope):
        ledger.record(
            "test.note",
            by=busy.people["ada"].actor("page", signed_in=JUST_NOW),
            on=busy.project,
            facts={"a": 1},
        )
    _erase(busy)

    with psycopg.connect(os.environ["DATABASE_OWNER_URL"]) as owner:
        owner.execute("SELECT set_config('app.tenant_id', %s, false)", [str(busy.scope.tenant_id)])
        tables = [
            row[0]
            for row in owner.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'pool'"
                " AND tablename <> 'django_migrations'"
            )
        ]
        texts = {
            table: str(owner.execute(f"SELECT * FROM pool.{table}").fetchall()) for table in tables
        }
    for table, text in texts.items():
        assert "ada@" not in text, table
    # Said plainly in docs/operating.md: who did what is what the log is.
    assert [table for table, text in texts.items() if "Ada" in text] == ["evidence_stagedentry"]


def test_a_redaction_says_what_was_erased_and_of_what_kind(busy):
    _erase(busy)

    with tenant_scope(busy.scope):
        staged = list(StagedEntry.objects.order_by("id"))
    said = [json.loads(bytes(row.leaf)) for row in staged]
    assert [(entry["action"], entry["phase"]) for entry in said][-4:] == [
        ("tenant.suspend", "result"),
        ("tenant.erase", "redaction"),
        ("tenant.erase", "intent"),
        ("tenant.erase", "result"),
    ]
    account = Account()
    for place, entry in enumerate(said):
        account.read(place, entry, in_population=False)
    assert account.open_intents == []
    rows, _, files = (json.loads(bytes(row.payload)) for row in staged[-3:])
    assert rows["rows"]["tenants_user"] == 6
    assert rows["rows"]["evidence_payload"] > 5
    assert (files["artifacts"], files["repositories"]) == (3, 1)


def test_the_doors_stay_closed_for_good_and_the_address_is_not_given_away(busy, sign_in):
    _erase(busy)

    assert sign_in(busy).get("/").status_code == 503
    with pytest.raises(CommandError, match="is erased"):
        manage("resume_tenant", busy.slug)
    with pytest.raises(CommandError, match="is erased"):
        manage("move_tenant", busy.slug, "--to", f"silo_{secrets.token_hex(4)}")
    with pytest.raises(CommandError, match="already exists"):
        manage(
            *("open_tenant", f"x-{secrets.token_hex(3)}", "X", "--host", busy.host),
            *("--admin-email", "a@b.example", "--admin-name", "A"),
        )


def test_a_request_that_was_let_in_before_writes_nothing_afterwards(busy):
    _erase(busy)

    with tenant_scope(busy.scope):
        tenant = people.AsTenant(busy.scope.tenant_id)
        with pytest.raises(OperationalError, match="is erased"):
            people.create_project("late", "Late", tenant=tenant, by=BY)
        with pytest.raises(OperationalError, match="is erased"):
            ledger.record("test.note", by=BY, on=tenant, facts={"email": "ada@acme.example"})
    assert set(_rows(busy)) == KEPT | {"evidence_stagedentry"}


def test_other_tenants_keep_everything(busy, globex):
    before = _rows(globex)
    with tenant_scope(globex.scope):
        kept = artifact_store().put(globex.scope.tenant_id, b"theirs")

    _erase(busy)

    assert _rows(globex) == before
    assert artifact_store().get(globex.scope.tenant_id, kept.sha256) == b"theirs"


def test_it_takes_the_name_twice(busy):
    before = _rows(busy)

    for words in ([], ["--yes-erase", "globex"]):
        with pytest.raises(CommandError, match="nothing was erased"):
            manage("erase_tenant", busy.slug, *words)

    assert _rows(busy) == before


def test_it_can_be_run_again_after_it_broke_half_way(busy, monkeypatch):
    def full(*_):
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as broken, pytest.raises(OSError, match="Read-only"):
        broken.setattr("evidence.store.shutil.rmtree", full)
        _erase(busy)
    assert list(artifact_store().digests(busy.scope.tenant_id))

    said = _erase(busy)

    assert "3 artifacts, 1 repositories" in said
    assert not list(artifact_store().digests(busy.scope.tenant_id))


def test_an_admin_of_the_tenant_cannot_erase_it(busy):
    from authz import tenancy

    before = _rows(busy)
    with as_role("owner"):
        tenant = tenancy.tenant_called(busy.slug)
        with pytest.raises(Denied):
            tenancy.erase_rows(tenant, by=busy.people["tomas"].actor("page", signed_in=JUST_NOW))

    after = _rows(busy)
    assert {**after, "evidence_stagedentry": 0} == {**before, "evidence_stagedentry": 0}


# A person


@pytest.fixture
def leaver(acme):
    """Bo, known to the directory and an identity provider, who has worked here and left."""
    with tenant_scope(acme.scope):
        bo = acme.people["bo"]
        bo.name = "Bo Ek"
        bo.save(update_fields=["name"])
        Identity.objects.create(user=bo, issuer="https://idp.example", subject="subject-of-bo")
        client = DirectoryClient.objects.create(name="Okta")
        person = DirectoryPerson.objects.create(
            user=bo,
            user_name="Bo.Ek",
            user_name_key="bo.ek",
            external_id="ext-4711",
            email_keys=[bo.email],
            display_name_key="bo ek",
            resource={"name": {"familyName": "Ek"}},
        )
        asked = {"client": client, "method": "GET", "status": 400}
        DirectoryRequest.objects.create(path=f"/Users/{person.pk}", **asked)
        DirectoryRequest.objects.create(
            path="/Users", problem=f"{bo.email} is taken by somebody else", **asked
        )
        DirectoryRequest.objects.create(path="/Groups", **asked)
        Draft.objects.create(user=bo, fields={"what": "my idea"})
        Session.objects.create(
            session_key="a" * 40, session_data="", user=bo, expire_date="2030-01-01T00:00Z"
        )
        invitations.invite(bo, by=BY)
        _, acme.token = create_token(
            bo, "mine", [Permission.TASK_VIEW], days=1, by=bo.actor("page", signed_in=JUST_NOW)
        )
        proposal_of(bo, acme.project)
        Task.objects.update(cancel_asked_by="Bo Ek")
        # One entry about Bo by somebody else, one that names Bo in passing, one of Bo's own.
        people.change_roles(
            bo,
            [Role.AUDITOR],
            project=None,
            by=acme.people["tomas"].actor("page", signed_in=JUST_NOW),
        )
        ledger.record("test.names", by=BY, on=acme.project, facts={"told": ["Bo Ek", "Lin"]})
        ledger.record("test.mail", by=BY, on=acme.project, facts={"to": f"<{bo.email.upper()}>"})
        ledger.record("test.other", by=BY, on=acme.project, facts={"name": "Bob Ekman"})
        ledger.record(
            "proposal.countersign", by=BY, on=acme.project, facts={"comment": f"ask {bo.email}"}
        )
        sealed()
        ledger.record("test.waits", by=BY, on=acme.project, facts={"name": "Bo Ek"})
        people.remove(bo, by=acme.people["tomas"].actor("page", signed_in=JUST_NOW))
    return acme


def _facts():
    """Action -> whether its facts are there, sealed or staged; the last of each."""
    payloads = set(Payload.objects.values_list("pk", flat=True))
    found = {entry.action: entry.pk in payloads for entry in Entry.objects.all()}
    for row in StagedEntry.objects.order_by("id"):
        found[json.loads(bytes(row.leaf))["action"]] = row.payload is not None
    return found


def test_nothing_of_the_person_is_left_but_what_is_said_to_stay(leaver):
    bo = leaver.people["bo"]
    with tenant_scope(leaver.scope):
        head, proofs = _proofs()
        log = recount()

    said = manage("erase_person", leaver.host, bo.email, role="app")

    assert "Account" in said
    assert "What stays" in said
    with tenant_scope(leaver.scope):
        now = User.objects.get(pk=bo.pk)
        assert (now.name, now.email) == ("Erased person", f"erased-{bo.pk.hex}@erased.invalid")
        for model in (Identity, DirectoryPerson, Draft, Session, Invitation, Grant):
            assert not model.objects.filter(user=bo).exists(), model
        assert [row.path for row in DirectoryRequest.objects.all()] == ["/Groups"]
        assert token_of(leaver.token) is None
        assert set(Task.objects.values_list("cancel_asked_by", flat=True)) == {"Erased person"}
        assert Task.objects.get().owner_id == bo.pk  # the work stays, under a number
        assert Membership.objects.get(user=bo).state == Membership.State.REMOVED
        facts = _facts()
        assert {
            action: facts[action]
            for action in (
                *("role.change", "test.names", "test.mail", "test.waits", "member.remove"),
                *("test.other", "proposal.countersign", "person.erase", "tenant.erase"),
            )
            if action in facts
        } == {
            "role.change": False,
            "test.names": False,
            "test.mail": False,
            "test.waits": False,
            "member.remove": False,
            "test.other": True,
            "proposal.countersign": True,
            "tenant.erase": True,
        }
        assert recount() == log
        assert _all_verify(head, proofs)
        sealed()
        recount()
        assert _all_verify(head, proofs)


def test_the_entry_about_it_names_a_number_only(leaver):
    bo = leaver.people["bo"]

    manage("erase_person", leaver.host, bo.email, role="app")

    with tenant_scope(leaver.scope):
        row = StagedEntry.objects.order_by("-id").first()
    leaf, facts = json.loads(bytes(row.leaf)), json.loads(bytes(row.payload))
    assert (leaf["action"], leaf["phase"]) == ("tenant.erase", "redaction")
    assert leaf["object"] == {"type": "user", "id": str(bo.pk)}
    assert facts["erased"]["facts"] >= 5
    assert "Bo" not in bytes(row.payload).decode()


def test_a_member_is_removed_first(acme):
    ada = acme.people["ada"]

    with pytest.raises(CommandError, match="remove them first"):
        manage("erase_person", acme.host, ada.email, role="app")

    with tenant_scope(acme.scope):
        assert User.objects.get(pk=ada.pk).name == "Ada"


def test_nobody_can_erase_somebody_of_another_tenant(leaver, globex):
    with pytest.raises(CommandError, match="nobody here has the address"):
        manage("erase_person", globex.host, leaver.people["bo"].email, role="app")


def test_the_address_is_free_for_a_successor(leaver):
    bo = leaver.people["bo"]
    manage("erase_person", leaver.host, bo.email, role="app")

    with tenant_scope(leaver.scope):
        other = people.admit(
            bo.email,
            "Another Bo",
            [Role.DEVELOPER],
            tenant=people.AsTenant(leaver.scope.tenant_id),
            project=leaver.project,
            by=BY,
        )

    assert other.pk != bo.pk
