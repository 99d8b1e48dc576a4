"""Records and packs of merged proposals, from the order of the merge to the auditor's verdict."""

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile
from zipfile import ZipFile

import jsonschema
import pytest
from django.conf import settings

from agent import dossier, lifecycle, merging, pack_orders, queue, range_pack, repositories, upkeep
from agent.forge import ForgeRefused, Person
from agent.forge.local import LocalForge
from agent.models import Proposal, Recommendation
from agent.pack_orders import PackOrder
from agent.places import artifact_store, forge_address, local_forge
from agent.record import sign_record
from agent.signed_records import MERGE, MERGE_COMMIT, files_of
from evidence import ledger
from evidence.merges import read_commit
from evidence.models import Entry, Pack, Payload, SignedRecord
from evidence.records import RecordFault
from evidence.signing import FileKeys
from tenants.actor import system_actor
from tests.agent.real_proposals import proposed
from tests.at_browser import JUST_NOW

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "schemas" / "evidence-pack.schema.json").read_text())
WRITTEN = datetime(2026, 1, 5, tzinfo=UTC)


def by(company, name, **also):
    return replace(company.people[name].actor("page", signed_in=JUST_NOW), **also)


@pytest.fixture
def keys():
    return FileKeys(settings.KEYS_DIR)


@pytest.fixture
def proposal(in_acme):
    """What came of a request of bo's, on the real forge, countersigned by lin."""
    repository = repositories.register(
        "desk",
        project=in_acme.project,
        files={"README.md": b"# Desk\n"},
        written=WRITTEN,
        by=system_actor("test", "cli"),
    )
    made = proposed(in_acme, repository)
    Recommendation.objects.filter(task=made.task).delete()  # a stand-in that no pack could print
    ledger.record("proposal.open", by=system_actor("test", "job"), on=made)
    lifecycle.countersign(
        made, made.digest, reviewer=in_acme.people["lin"], by=by(in_acme, "lin"), comment="read"
    )
    made.refresh_from_db()
    return made


def merge(company, proposal):
    lifecycle.order_merge(proposal, proposal.digest, by=by(company, "lin"))
    assert merging.carry_out(proposal.pk)
    proposal.refresh_from_db()


def verified(pack, keys, tmp_path):
    """The files of a pack once built, with what the verifier says of it."""
    dossier.build(pack.pk, keys)
    pack.refresh_from_db()
    assert pack.state == Pack.State.READY, pack.problem
    content = artifact_store().get(pack.tenant_id, pack.sha256)
    path, key = tmp_path / "pack.zip", tmp_path / "log.vkey"
    path.write_bytes(content)
    key.write_text(dossier.log_key() or "")
    done = subprocess.run(
        [sys.executable, "-m", "countersign_verify", str(path), "--key", str(key), "--json"],
        env={"PYTHONPATH": str(ROOT / "evidence" / "verifier")},
        capture_output=True,
        text=True,
        check=False,
    )
    with ZipFile(BytesIO(content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    return files, json.loads(done.stdout)


def test_a_merge_is_signed_into_the_record_by_the_worker_with_the_keys(
    in_acme, proposal, keys, monkeypatch
):
    before = sign_record(proposal.pk, keys)
    asked = []
    monkeypatch.setattr(queue, "sign_record", asked.append)

    merge(in_acme, proposal)

    assert asked == [proposal.pk]
    after = sign_record(proposal.pk, keys)
    assert after.pk != before.pk
    assert set(after.files) - set(before.files) == {MERGE, MERGE_COMMIT}
    files = files_of(after)
    commit, said = read_commit(files[MERGE_COMMIT]), json.loads(files[MERGE])
    assert (commit.id, commit.parents) == (
        proposal.merge_sha,
        (proposal.base_sha, proposal.head_sha),
    )
    entry = Entry.objects.get(index=said["entry"])
    assert (entry.action, entry.said["phase"]) == ("proposal.merge", "result")
    facts = Payload.objects.get(pk=entry.pk).facts
    assert facts["merge_sha"] == said["commit"]["id"] == proposal.merge_sha
    assert said["allowed_by"] == {**entry.said["policy"], "policies": facts["policies"]}
    assert said["merged_by"] == {"id": str(in_acme.people["lin"].pk), "name": "Lin"}
    signed = Entry.objects.get(index=said["countersigned"][0])
    assert signed.action == "proposal.countersign"
    # Once is enough.
    assert sign_record(proposal.pk, keys).pk == after.pk


@pytest.mark.parametrize("kind", [Pack.Kind.PROPOSAL, Pack.Kind.PERIOD])
def test_a_pack_proves_which_commit_came_of_a_proposal(kind, in_acme, proposal, keys, tmp_path):
    merge(in_acme, proposal)
    iris = by(in_acme, "iris")
    ordered = (
        pack_orders.export_pack(proposal, by=iris)
        if kind == Pack.Kind.PROPOSAL
        else pack_orders.order_pack(PackOrder(kind), by=iris)
    )

    files, said = verified(ordered, keys, tmp_path)

    assert (said["verdict"], said["exit_code"]) == ("LOCAL", 0), said
    _, what = [row["what"] for row in said["verified"] if row["check"] == "merge"]
    assert f"came to main as commit {proposal.merge_sha}, merged by Lin" in what
    name = f"prs/desk-{proposal.number}/{MERGE}"
    jsonschema.Draft202012Validator(SCHEMA).validate(
        {name: json.loads(files[name])}
        | {name: json.loads(files[name]) for name in SCHEMA["required"]}
    )


def test_the_same_pack_of_a_merge_has_the_same_bytes(in_acme, proposal, keys, tmp_path):
    merge(in_acme, proposal)
    pack = pack_orders.order_pack(PackOrder(Pack.Kind.PERIOD), by=by(in_acme, "iris"))
    verified(pack, keys, tmp_path)
    once = pack.sha256
    ledger.record("task.note", by=system_actor("test", "job"), on=proposal)

    with TemporaryFile() as out:
        range_pack.write_range(pack, keys, out)
        out.seek(0)
        again = artifact_store().put(pack.tenant_id, out.read()).sha256

    assert again == once


def test_what_is_not_merged_has_the_record_it_always_had(in_acme, proposal, keys):
    assert sign_record(proposal.pk, keys).files.keys().isdisjoint({MERGE, MERGE_COMMIT})


def test_what_was_merged_past_the_portal_has_no_merge_in_its_record(in_acme, proposal, keys):
    before = sign_record(proposal.pk, keys)
    local_forge().merge(
        forge_address(proposal.repository),
        proposal.number,
        head_sha=proposal.head_sha,
        message="by hand",
        merger=Person("Lin", "lin@example.com"),
        when=WRITTEN,
    )
    assert merging.notice(proposal.pk)

    assert sign_record(proposal.pk, keys).pk == before.pk


def by_hand(proposal, *parents, tree="main^{tree}"):
    """A commit of somebody who holds the repository."""
    address = forge_address(proposal.repository)
    words = [word for parent in parents for word in ("-p", parent)]
    made = subprocess.run(
        ["git", f"--git-dir={local_forge().clone_url(address)}", "-c", "user.name=x", "-c",
         "user.email=x@x.example", "commit-tree", tree, *words, "-m", "by hand"],
        capture_output=True, check=True, text=True,
    )  # fmt: skip
    return made.stdout.strip()


def test_a_commit_that_is_no_plain_merge_of_the_head_is_left_out(in_acme, proposal, keys):
    merge(in_acme, proposal)
    odd = by_hand(
        proposal, proposal.base_sha, proposal.head_sha, tree=f"{proposal.base_sha}^{{tree}}"
    )
    Proposal.objects.filter(pk=proposal.pk).update(merge_sha=odd)

    assert MERGE not in sign_record(proposal.pk, keys).files


def test_a_commit_that_no_entry_names_is_not_signed_as_the_merge(in_acme, proposal, keys):
    merge(in_acme, proposal)
    other = by_hand(proposal, proposal.base_sha, proposal.head_sha)
    Proposal.objects.filter(pk=proposal.pk).update(merge_sha=other)

    with pytest.raises(RecordFault, match=f"does not name {other} as the merge"):
        sign_record(proposal.pk, keys)


def test_a_merge_that_is_in_no_record_yet_is_found_by_the_sweep(
    in_acme, proposal, keys, monkeypatch
):
    sign_record(proposal.pk, keys)
    merge(in_acme, proposal)
    assert upkeep.unsigned_records() == []  # too fresh: its own job is at it
    monkeypatch.setattr(upkeep, "STALLED_AFTER", upkeep.STALLED_AFTER * 0)

    assert upkeep.unsigned_records() == [proposal.pk]
    sign_record(proposal.pk, keys)
    assert upkeep.unsigned_records() == []


def test_what_the_record_says_of_a_merge_outlives_branch_and_facts(
    in_acme, proposal, keys, monkeypatch
):
    merge(in_acme, proposal)
    said = files_of(sign_record(proposal.pk, keys))

    def gone(*args):
        raise ForgeRefused("no such commit")

    monkeypatch.setattr(LocalForge, "commit", gone)
    Payload.objects.filter(pk__in=Entry.objects.filter(action="proposal.merge")).delete()
    ledger.record("task.note", by=system_actor("test", "job"), on=proposal)
    Proposal.objects.filter(pk=proposal.pk).update(title="Said otherwise")

    again = files_of(sign_record(proposal.pk, keys))

    assert SignedRecord.objects.count() == 2
    assert {name: again[name] for name in (MERGE, MERGE_COMMIT)} == {
        name: said[name] for name in (MERGE, MERGE_COMMIT)
    }


def test_a_merge_whose_facts_are_gone_before_it_is_signed_says_what_the_entry_says(
    in_acme, proposal, keys, tmp_path
):
    merge(in_acme, proposal)
    ledger.seal(keys)
    Payload.objects.filter(pk__in=Entry.objects.filter(action="proposal.merge")).delete()

    _, said = verified(pack_orders.export_pack(proposal, by=by(in_acme, "iris")), keys, tmp_path)

    assert said["exit_code"] == 0, said
    assert any("its facts are withheld or erased" in line for line in said["not_verified"])
