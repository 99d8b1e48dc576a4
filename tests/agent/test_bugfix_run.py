"""A bug goes in; an executed proof and a pull request come out."""

import json
import sys
import types

import pytest

from agent import lifecycle, repositories, runner
from agent.models import Artifact, Fix, Task
from agent.places import artifact_store, forge_address, local_forge
from tenants.actor import system_actor
from tests.agent.bug_cases import WRITTEN, cases, files_of, report_of
from tests.at_browser import JUST_NOW


@pytest.fixture
def toolshed(in_acme):
    return repositories.register(
        "toolshed",
        project=in_acme.project,
        files=files_of("toolshed"),
        written=WRITTEN,
        by=system_actor("test", "cli"),
    )


@pytest.fixture
def file(in_acme, toolshed):
    def filed(case="overlaps", who="bo", **more):
        person = in_acme.people[who]
        report = {**report_of(cases()[case]), **more.pop("report", {})}
        return lifecycle.file_bugfix(
            report,
            repository=toolshed,
            owner=person,
            by=person.actor("page", signed_in=JUST_NOW),
            **more,
        )

    return filed


def _run(task, steps=99):
    for _ in range(steps):
        if not runner.advance(task.pk):
            break
    task.refresh_from_db()


def _by(company, name):
    return company.people[name].actor("page", signed_in=JUST_NOW)


def test_a_reported_bug_becomes_a_proved_pull_request(in_acme, file, entries):
    task = file()

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
    inside: dict = {}
    exec(cases()["overlaps"]["hidden"], _module(changed["src/toolshed/intervals.py"], inside))


def _module(source, inside):
    """Names for hidden checks, which import the repaired file as if it were installed."""
    module = types.ModuleType("toolshed.intervals")
    sys.modules["toolshed"] = types.ModuleType("toolshed")
    sys.modules["toolshed.intervals"] = module
    exec(compile(source, "intervals.py", "exec"), module.__dict__)
    return inside
