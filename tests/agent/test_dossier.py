"""Records and packs of real proposals, checked by the program that auditors use."""

import json
import subprocess
import sys
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile
from unittest.mock import Mock
from uuid import uuid4
from zipfile import ZipFile

import jsonschema
import pytest
from django.conf import settings
from django.utils import timezone

from agent import dossier, lifecycle, pack_orders, range_pack, repositories, runner, upkeep
from agent.models import Artifact, Task
from agent.pack_orders import PackOrder
from agent.places import artifact_store, catalogue
from agent.record import sign_record
from agent.signed_records import files_of
from authz import log_keys
from authz.errors import BadRequest, Denied
from evidence import ledger
from evidence.models import Entry, LogKey, Pack, Payload, SignedRecord
from evidence.signing import FileKeys, KeyFault
from tenants.actor import system_actor
from tests.at_browser import JUST_NOW

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = jsonschema.Draft202012Validator(
    json.loads((ROOT / "schemas" / "evidence-pack.schema.json").read_text())
)
WRITTEN = datetime(2026, 1, 5, tzinfo=UTC)
FILES = {
    "README.md": b"# Order desk\n",
    "requirements.txt": b"django==6.1.3\n",
}


def by(company, name):
    return company.people[name].actor("page", signed_in=JUST_NOW)


@pytest.fixture
def keys():
    return FileKeys(settings.KEYS_DIR)


@pytest.fixture
def proposal(in_acme):
    repository = repositories.register(
        "order-desk",
        project=in_acme.project,
        files=FILES,
        written=WRITTEN,
        by=system_actor("test", "cli"),
    )
    fields = {**catalogue().examples[0], "layers": ["relational-data"]}
    task = lifecycle.file_recommendation(
        fields, repository=repository, owner=in_acme.people["ada"], by=by(in_acme, "ada")
    )
    while runner.advance(task.pk):
        pass
    task.refresh_from_db()
    assert task.state == Task.State.COMPLETED, task.reason
    return task.proposal


def countersigned(company, proposal):
    lifecycle.countersign(
        proposal,
        proposal.digest,
        reviewer=company.people["lin"],
        by=by(company, "lin"),
        comment="read",
    )


def verified(pack, tmp_path, *more):
    """The pack's bytes, and what the verifier says of them as JSON."""
    content = artifact_store().get(pack.tenant_id, pack.sha256)
    path, key = tmp_path / f"{pack.pk}.zip", tmp_path / "log.vkey"
    path.write_bytes(content)
    key.write_text(dossier.log_key() or "")
    done = subprocess.run(
        [sys.executable, "-m", "countersign_verify", str(path), "--key", str(key), "--json", *more],
        env={"PYTHONPATH": str(ROOT / "evidence" / "verifier")},
        capture_output=True,
        text=True,
        check=False,
    )
    return content, json.loads(done.stdout)


def built(pack, keys):
    dossier.build(pack.pk, keys)
    pack.refresh_from_db()
    assert pack.state == Pack.State.READY, pack.problem
    return pack


def predicate_types(bundle):
    return [
        json.loads(payload_of(line))["predicateType"].rpartition("/")[2]
        for line in bundle.splitlines()
    ]


def payload_of(line):
    return b64decode(json.loads(line)["payload"])


def test_a_record_holds_what_was_asked_done_checked_and_decided(in_acme, proposal, keys):
    countersigned(in_acme, proposal)

    record = sign_record(proposal.pk, keys)

    files = files_of(record)
    assert predicate_types(files["bundle.intoto.jsonl"]) == [
        "urn:countersign:agent-run:v1",
        "urn:countersign:code-review:v1",
        "v0.1",
        "bom",
        "v1",
        "urn:countersign:record-manifest:v1",
    ]
    purls = [row["purl"] for row in json.loads(files["sbom.cdx.json"])["components"]]
    assert purls == ["pkg:pypi/django@6.1.3"]
    assert json.loads(files["review.json"])["reviews"][0]["reviewer"]["name"] == "Lin"


def test_a_record_is_signed_once_and_again_when_something_was_decided(in_acme, proposal, keys):
    first = sign_record(proposal.pk, keys)
    again = sign_record(proposal.pk, keys)
    countersigned(in_acme, proposal)
    later = sign_record(proposal.pk, keys)

    assert first.pk == again.pk != later.pk
    assert SignedRecord.objects.count() == 2


def test_a_decision_without_a_record_is_found_by_the_sweep(in_acme, proposal, keys, monkeypatch):
    countersigned(in_acme, proposal)
    monkeypatch.setattr(upkeep, "STALLED_AFTER", upkeep.STALLED_AFTER * 0)

    assert upkeep.unsigned_records() == [proposal.pk]
    sign_record(proposal.pk, keys)
    assert upkeep.unsigned_records() == []


def test_test_results_and_scans_that_the_work_left_are_in_the_record(in_acme, proposal, keys):
    left = {
        "unit.junit.xml": b'<testsuite><testcase classname="t" name="a"/></testsuite>',
        "broken.junit.xml": b"<html/>",
        "code.sarif": b'{"version": "2.1.0", "runs": []}',
        "odd.sarif": b"{}",
    }
    for name, content in left.items():
        stored = artifact_store().put(proposal.tenant_id, content)
        Artifact.objects.create(
            task=proposal.task,
            kind=Artifact.Kind.TEST_LOG,
            name=name,
            sha256=stored.sha256,
            size=stored.size,
        )

    files = files_of(sign_record(proposal.pk, keys))

    assert {path for path in files if path.startswith(("tests/", "scans/"))} == {
        "tests/unit.junit.xml",
        "scans/code.sarif",
    }
    assert predicate_types(files["bundle.intoto.jsonl"]).count("v0.1") == 2


def test_the_record_stands_in_the_pack_and_in_the_log(in_acme, proposal, keys, tmp_path):
    countersigned(in_acme, proposal)
    pack = built(pack_orders.export_pack(proposal, by=by(in_acme, "iris")), keys)

    content, said = verified(pack, tmp_path)

    assert (said["verdict"], said["exit_code"]) == ("LOCAL", 0), said
    entry = Entry.objects.get(action="record.sign")
    manifest = Payload.objects.get(pk=entry.pk).facts["manifest_sha256"]
    with ZipFile(BytesIO(content)) as archive:
        bundle = archive.read(f"prs/order-desk-{proposal.number}/bundle.intoto.jsonl")
    assert sha256(payload_of(bundle.splitlines()[-1])).hexdigest() == manifest


def test_a_later_pack_proves_that_the_log_grew_out_of_an_earlier_ones(
    in_acme, proposal, keys, tmp_path
):
    first = built(pack_orders.export_pack(proposal, by=by(in_acme, "iris")), keys)
    content, _ = verified(first, tmp_path)
    with ZipFile(BytesIO(content)) as archive:
        head = tmp_path / "end.note"
        head.write_bytes(archive.read("log/checkpoints/end.note"))
    countersigned(in_acme, proposal)
    second = built(pack_orders.export_pack(proposal, by=by(in_acme, "iris")), keys)

    _, said = verified(second, tmp_path, "--previous", str(head))

    assert said["exit_code"] == 0, said
    grown = [row["what"] for row in said["verified"] if row["check"] == "consistency"]
    assert grown == [f"the log grew out of the head over {first.checkpoint_size} entries"]


@pytest.mark.parametrize("kind", [Pack.Kind.PROPOSAL, Pack.Kind.PERIOD])
def test_packs_stay_good_when_the_logs_key_changes(kind, in_acme, proposal, keys, tmp_path):
    countersigned(in_acme, proposal)
    sign_record(proposal.pk, keys)
    early = ledger.seal(keys)
    rotated = log_keys.rotate(keys, "once a year", by=system_actor("an operator", "cli"))
    another(in_acme, proposal)
    iris = by(in_acme, "iris")
    ordered = (
        pack_orders.export_pack(proposal, by=iris)
        if kind == Pack.Kind.PROPOSAL
        else pack_orders.order_pack(PackOrder(kind), by=iris)
    )
    pack = built(ordered, keys)
    head, listed = tmp_path / "early.note", tmp_path / "keys.json"
    head.write_text(early.note)
    listed.write_text(
        json.dumps(
            [{"vkey": key.vkey, "valid_from": key.valid_from} for key in LogKey.objects.all()]
        )
    )

    content, said = verified(pack, tmp_path, "--key", str(listed), "--previous", str(head))

    assert said["failure"] is None, said
    assert [row["valid_from"] for row in document(content, "keys/history.json")["keys"]] == [
        0,
        rotated.valid_from,
    ]
    SCHEMA.validate(
        {"keys/history.json": document(content, "keys/history.json")}
        | {name: document(content, name) for name in SCHEMA.schema["required"]}
    )


def test_a_pack_that_was_begun_under_another_key_ends_at_a_head_of_the_new_one(
    in_acme, proposal, keys, tmp_path, monkeypatch
):
    pack = pack_orders.export_pack(proposal, by=by(in_acme, "iris"))
    with monkeypatch.context() as cut, pytest.raises(OSError, match="went away"):
        cut.setattr(dossier, "write_pack", Mock(side_effect=OSError("the machine went away")))
        dossier.build(pack.pk, keys)
    pack.refresh_from_db()
    begun = pack.checkpoint_size
    rotated = log_keys.rotate(keys, "lost", by=system_actor("an operator", "cli"))

    _, said = verified(built(pack, keys), tmp_path)

    assert said["exit_code"] == 0, said
    assert begun < rotated.valid_from < pack.checkpoint_size


def test_a_record_that_was_signed_while_the_key_changed_is_not_recorded(
    in_acme, proposal, keys, monkeypatch
):
    before = ledger.signer(keys)
    log_keys.rotate(keys, "meanwhile", by=system_actor("an operator", "cli"))
    monkeypatch.setattr(ledger, "signer", lambda _keys: before)

    with pytest.raises(KeyFault, match="changed meanwhile"):
        sign_record(proposal.pk, keys)

    assert not SignedRecord.objects.exists()
    monkeypatch.undo()
    ledger.seal(keys)
    assert not Entry.objects.filter(action="record.sign").exists()
    assert sign_record(proposal.pk, keys).files


def document(content, name):
    with ZipFile(BytesIO(content)) as archive:
        return json.loads(archive.read(name))


def population(content):
    with ZipFile(BytesIO(content)) as archive:
        return [json.loads(line) for line in archive.read("population/prs.jsonl").splitlines()]


def another(company, proposal):
    """A second proposal, in a repository of its own."""
    repository = repositories.register(
        "till",
        project=company.project,
        files={"README.md": b"# Till\n"},
        written=WRITTEN,
        by=system_actor("test", "cli"),
    )
    task = lifecycle.file_recommendation(
        {**catalogue().examples[0], "layers": ["relational-data"]},
        repository=repository,
        owner=company.people["ada"],
        by=by(company, "ada"),
    )
    while runner.advance(task.pk):
        pass
    task.refresh_from_db()
    return task.proposal


def test_a_pack_about_everything_holds_every_entry_and_every_pull_request(
    in_acme, proposal, keys, tmp_path
):
    countersigned(in_acme, proposal)
    order = PackOrder(Pack.Kind.PERIOD)
    pack = built(pack_orders.order_pack(order, by=by(in_acme, "iris")), keys)

    content, said = verified(pack, tmp_path)

    assert (said["verdict"], said["complete"], said["exit_code"]) == ("LOCAL", True, 0), said
    assert [row["proposal"] for row in population(content)] == [str(proposal.pk)]
    changes = document(content, "access/changes.json")["changes"]
    assert any(row["action"] == "member.admit" for row in changes)
    rows = {
        (row["framework"], row["id"]): row
        for row in document(content, "controls/coverage.json")["controls"]
    }
    assert rows["NIST SSDF 1.1", "PW.2.1"]["strength"] == "proved per PR"
    assert rows["NIST SSDF 1.1", "PO.2.1"]["strength"] == "configuration snapshot"
    assert rows["NIST SSDF 1.1", "PW.8.2"]["strength"] == "none"
    assert rows["NIST SSDF 1.1", "PO.2.2"]["note"] == "would need: organisational upload"
    assert len(rows) == 42 + 253 + 259 + 9


def test_the_same_pack_built_again_has_the_same_bytes(in_acme, proposal, keys):
    pack = built(pack_orders.order_pack(PackOrder(Pack.Kind.PERIOD), by=by(in_acme, "iris")), keys)
    before = pack.sha256
    ledger.record("task.note", by=system_actor("test", "job"), on=proposal)
    with TemporaryFile() as out:
        pack.refresh_from_db()
        range_pack.write_range(pack, keys, out)
        out.seek(0)
        again = sha256(out.read()).hexdigest()

    assert again == before


def test_a_pack_about_one_repository_lists_the_others_without_their_files(
    in_acme, proposal, keys, tmp_path
):
    other = another(in_acme, proposal)
    order = PackOrder(Pack.Kind.REPOSITORY, repository=proposal.repository)
    pack = built(pack_orders.order_pack(order, by=by(in_acme, "iris")), keys)

    content, said = verified(pack, tmp_path)

    assert said["exit_code"] == 0, said
    assert {row["proposal"]: row["excluded"] for row in population(content)} == {
        str(proposal.pk): "",
        str(other.pk): "another repository",
    }
    with ZipFile(BytesIO(content)) as archive:
        assert not any(name.startswith("prs/till") for name in archive.namelist())
        lines = [json.loads(line) for line in archive.read("log/entries.jsonl").splitlines()]
    shown = [line["leaf"]["run"] for line in lines if line["payload"]]
    assert str(other.run_id) not in {
        line["leaf"]["run"]
        for line in lines
        if line["payload"] and line["leaf"]["action"] != "record.sign"
    }
    assert str(proposal.run_id) in shown


def test_an_auditors_nonce_draws_the_sample(in_acme, proposal, keys, tmp_path):
    another(in_acme, proposal)
    ledger.seal(keys)
    order = PackOrder(Pack.Kind.PERIOD, nonce="17 23 42", sample_size=1)
    pack = built(pack_orders.order_pack(order, by=by(in_acme, "iris")), keys)

    content, said = verified(pack, tmp_path)

    assert (said["exit_code"], said["complete"]) == (0, True), said
    rows = population(content)
    assert sorted(row["excluded"] for row in rows) == ["", "not drawn"]
    assert document(content, "sample.json")["drawn"] == [
        row["proposal"] for row in rows if row["folder"]
    ]


def test_a_later_period_continues_an_earlier_head(in_acme, proposal, keys, tmp_path):
    first = ledger.seal(keys)
    countersigned(in_acme, proposal)
    order = PackOrder(Pack.Kind.FRAMEWORK, framework="ssdf-1.1", period_from=first.signed_at)
    pack = built(pack_orders.order_pack(order, by=by(in_acme, "iris")), keys)
    head = tmp_path / "first.note"
    head.write_text(first.note)

    content, said = verified(pack, tmp_path, "--previous", str(head))

    assert said["exit_code"] == 0, said
    assert document(content, "scope.json")["start"] == first.size
    assert {
        row["framework"] for row in document(content, "controls/coverage.json")["controls"]
    } == {"NIST SSDF 1.1"}


def test_a_build_that_was_cut_off_goes_on_after_the_last_record(
    in_acme, proposal, keys, monkeypatch
):
    another(in_acme, proposal)
    pack = pack_orders.order_pack(PackOrder(Pack.Kind.PERIOD), by=by(in_acme, "iris"))
    signed = []

    def dies_at_the_second(proposal_id, keys):
        if len(signed) == 1:
            raise OSError("the machine went away")
        signed.append(proposal_id)
        return sign_record(proposal_id, keys)

    monkeypatch.setattr(range_pack, "sign_record", dies_at_the_second)
    with pytest.raises(OSError, match="went away"):
        dossier.build(pack.pk, keys)
    pack.refresh_from_db()
    assert (pack.records_done, pack.records_total) == (1, 2)
    monkeypatch.undo()

    built(pack, keys)

    assert SignedRecord.objects.count() == 2


def test_only_whoever_may_export_orders_packs_about_everything(in_acme):
    with pytest.raises(Denied):
        pack_orders.order_pack(PackOrder(Pack.Kind.PERIOD), by=by(in_acme, "bo"))
    assert not Pack.objects.exists()


@pytest.mark.parametrize(
    ("order", "field"),
    [
        (PackOrder("galaxy"), "kind"),
        (PackOrder("repository"), "repository"),
        (PackOrder("framework", framework="iso-1"), "framework"),
        (PackOrder("framework"), "framework"),
        (PackOrder("period", nonce="x"), "nonce"),
        (PackOrder("period", sample_size=3), "nonce"),
        (PackOrder("period", period_from=WRITTEN, period_to=WRITTEN), "to"),
    ],
)
def test_an_order_that_makes_no_sense_names_the_field(in_acme, order, field):
    with pytest.raises(BadRequest) as refusal:
        pack_orders.order_pack(order, by=by(in_acme, "iris"))

    assert field in refusal.value.errors


def test_the_file_of_a_pack_goes_when_its_time_is_over_and_the_ledger_says_so(
    in_acme, proposal, keys, tmp_path
):
    kept = built(pack_orders.export_pack(proposal, by=by(in_acme, "iris")), keys)
    pack = built(pack_orders.export_pack(proposal, by=by(in_acme, "iris")), keys)
    Pack.objects.filter(pk=pack.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    robot = system_actor("retention", "job")

    assert upkeep.delete_expired_packs(by=robot) == 1

    store = artifact_store()
    assert not store.holds(pack.tenant_id, pack.sha256)
    assert store.holds(kept.tenant_id, kept.sha256)
    ledger.seal(keys)
    said = Entry.objects.filter(action="retention.apply", object_id=str(pack.pk)).order_by("index")
    assert [entry.said["phase"] for entry in said] == ["intent", "result"]
    assert len({entry.said["trace"] for entry in said}) == 1
    assert upkeep.delete_expired_packs(by=robot) == 0
    later = built(pack_orders.order_pack(PackOrder(Pack.Kind.PERIOD), by=by(in_acme, "iris")), keys)
    assert verified(later, tmp_path)[1]["exit_code"] == 0


def test_a_file_that_a_kept_pack_shares_stays(in_acme, proposal, keys):
    pack = built(pack_orders.export_pack(proposal, by=by(in_acme, "iris")), keys)
    twin = Pack.objects.get(pk=pack.pk)
    twin.pk = uuid4()
    twin.save(force_insert=True)
    Pack.objects.filter(pk=pack.pk).update(expires_at=timezone.now() - timedelta(seconds=1))

    upkeep.delete_expired_packs(by=system_actor("retention", "job"))

    assert artifact_store().holds(pack.tenant_id, pack.sha256)
    pack.refresh_from_db()
    assert pack.deleted_at is not None


def test_a_file_that_cannot_be_deleted_is_tried_again(in_acme, proposal, keys, monkeypatch):
    pack = built(pack_orders.export_pack(proposal, by=by(in_acme, "iris")), keys)
    Pack.objects.filter(pk=pack.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    robot = system_actor("retention", "job")
    with monkeypatch.context() as broken, pytest.raises(OSError, match="read-only"):
        broken.setattr(type(artifact_store()), "delete", Mock(side_effect=OSError("read-only")))
        upkeep.delete_expired_packs(by=robot)

    assert upkeep.delete_expired_packs(by=robot) == 1

    ledger.seal(keys)
    said = Entry.objects.filter(action="retention.apply", object_id=str(pack.pk)).order_by("index")
    assert [(entry.said["phase"], entry.outcome) for entry in said] == [
        ("intent", "ok"),
        ("result", "failed"),
        ("intent", "ok"),
        ("result", "ok"),
    ]
