"""A bug goes in; an executed proof and a pull request come out."""

import json
import subprocess
import sys
import types
from base64 import b64decode
from dataclasses import fields
from pathlib import Path

import pytest
from django.conf import settings

from agent import dossier, lifecycle, pack_orders, runner, sandbox
from agent.models import Artifact, Fix, Task
from agent.places import artifact_store, forge_address, local_forge
from agent.proof import RUNS
from agent.record import sign_record
from agent.sandbox.gvisor import GVisor
from agent.signed_records import files_of
from evidence.signing import FileKeys
from tests.agent.bug_cases import cases
from tests.at_browser import JUST_NOW

ROOT = Path(__file__).resolve().parents[2]


def _run(task, steps=99):
    for _ in range(steps):
        if not runner.advance(task.pk):
            break
    task.refresh_from_db()


# Twenty sandboxes: a minute on an idle machine, many on a busy one.
@pytest.mark.timeout(1_800)
def test_a_reported_bug_becomes_a_proved_pull_request(
    in_acme, file_bug, entries, monkeypatch, tmp_path
):
    task = file_bug()

    _run(task)

    assert task.state == Task.State.COMPLETED, task.reason
    proposal = task.proposal
    [request] = local_forge().pull_requests(forge_address(task.repository))
    assert "all runs: the same sandbox" in request.body
    assert (request.draft, request.state) == (False, "open")
    assert proposal.failing_checks == []
    fix = Fix.objects.get(task=task)
    kept = Artifact.objects.get(task=task, name="red-green.json")
    assert kept.sha256 == fix.proof_sha256
    assert json.loads(artifact_store().get(task.tenant_id, kept.sha256)) == fix.proof
    assert fix.proof["tier"] == "gvisor"
    assert ("task.run", "ok") in entries(in_acme)
    changed = local_forge().read_files(
        forge_address(task.repository), proposal.head_sha, ["src/toolshed/intervals.py"]
    )
    repaired = types.ModuleType("toolshed.intervals")
    exec(changed["src/toolshed/intervals.py"], repaired.__dict__)
    # Hidden checks import the repaired file as if it were installed.
    monkeypatch.setitem(sys.modules, "toolshed", types.ModuleType("toolshed"))
    monkeypatch.setitem(sys.modules, "toolshed.intervals", repaired)
    exec(cases()["overlaps"]["hidden"], {})
    _assert_the_proof_is_signed_packed_and_judged_again(in_acme, proposal, tmp_path)


def _assert_the_proof_is_signed_packed_and_judged_again(company, proposal, tmp_path):
    keys = FileKeys(settings.KEYS_DIR)
    lin = company.people["lin"]
    by = lin.actor("page", signed_in=JUST_NOW)
    lifecycle.countersign(proposal, proposal.digest, reviewer=lin, by=by)
    files = files_of(sign_record(proposal.pk, keys))
    assert {"red-green.json", "scans/sast.sarif", "tests/suite.junit.xml"} <= files.keys()
    assert not {"tests/red.junit.xml", "tests/baseline.junit.xml"} & files.keys()
    assert b"urn:countersign:red-green:v1" in b"".join(
        b64decode(json.loads(line)["payload"]) for line in files["bundle.intoto.jsonl"].splitlines()
    )
    auditor = company.people["iris"].actor("page", signed_in=JUST_NOW)
    pack = pack_orders.export_pack(proposal, by=auditor)
    dossier.build(pack.pk, keys)
    pack.refresh_from_db()
    path, key = tmp_path / "pack.zip", tmp_path / "log.vkey"
    path.write_bytes(artifact_store().get(pack.tenant_id, pack.sha256))
    key.write_text(dossier.log_key() or "")
    done = subprocess.run(
        [sys.executable, "-m", "countersign_verify", str(path), "--key", str(key)],
        env={"PYTHONPATH": str(ROOT / "evidence" / "verifier")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 repairs: red without the change" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_a_repair_that_starts_from_snapshots_comes_to_the_same(file_bug, monkeypatch, tmp_path):
    restored, came = [], []

    class Noting(GVisor):
        """The sandbox, noting which runs began from a snapshot."""

        def run(self, job, **also):
            outcome = super().run(job, **also)
            restored.append(outcome.restored)
            return outcome

    of_here = {field.name: getattr(sandbox.engine(), field.name) for field in fields(GVisor)}
    for snapshots in (None, tmp_path / "snapshots"):
        noting = Noting(**{**of_here, "snapshots": snapshots})
        monkeypatch.setattr(sandbox, "engine", lambda noting=noting: noting)
        task = file_bug("delays")  # its tests are there: no name of the task in them
        _run(task)
        assert task.state == Task.State.COMPLETED, task.reason
        assert restored.count(True) >= (10 if snapshots else 0), restored
        assert snapshots or not any(restored)
        came.append(_what_it_came_to(task))

    assert came[0] == came[1]


def _what_it_came_to(task):
    """Changed files, what each run of the proof saw, tools and how they ended, failing checks."""
    proof = Fix.objects.get(task=task).proof
    seen = {
        name: [
            (proof[name]["tree_sha256"], run["ended"], run["exit_code"], run["passed"],
             run["failing"])
            for run in proof[name]["runs"]
        ]
        for name in RUNS
    }  # fmt: skip
    tools = list(task.actions.order_by("number").values_list("tool", "status"))
    return proof["trees"], seen, tools, task.proposal.failing_checks
