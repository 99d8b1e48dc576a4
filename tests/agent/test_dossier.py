"""Records and packs of real proposals, checked by the program that auditors use."""

import json
import subprocess
import sys
from base64 import b64decode
from datetime import UTC, datetime
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import pytest
from django.conf import settings

from agent import dossier, lifecycle, repositories, runner, upkeep
from agent.models import Artifact, Task
from agent.places import artifact_store, catalogue
from agent.record import files_of, sign_record
from evidence.models import Entry, Pack, Payload, SignedRecord
from evidence.signing import FileKeys
from tenants.actor import system_actor
from tests.at_browser import JUST_NOW

ROOT = Path(__file__).resolve().parents[2]
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
    pack = built(lifecycle.export_pack(proposal, by=by(in_acme, "iris")), keys)

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
    first = built(lifecycle.export_pack(proposal, by=by(in_acme, "iris")), keys)
    content, _ = verified(first, tmp_path)
    with ZipFile(BytesIO(content)) as archive:
        head = tmp_path / "end.note"
        head.write_bytes(archive.read("log/checkpoints/end.note"))
    countersigned(in_acme, proposal)
    second = built(lifecycle.export_pack(proposal, by=by(in_acme, "iris")), keys)

    _, said = verified(second, tmp_path, "--previous", str(head))

    assert said["exit_code"] == 0, said
    grown = [row["what"] for row in said["verified"] if row["check"] == "consistency"]
    assert grown == [f"the log grew out of the head over {first.checkpoint_size} entries"]
