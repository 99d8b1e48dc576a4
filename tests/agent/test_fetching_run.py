"""Tasks that take packages from a registry: fetched in one step, on record, then no network."""

import hashlib
import json
import os
import time
from contextvars import Context
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from agent import jobs, lifecycle, repositories, runner, tidying
from agent.models import Action, Artifact, Task
from agent.places import artifact_store, forge_address, local_forge
from agent.tools import TOOLS
from evidence.models import Entry, StagedEntry
from tenants.actor import system_actor
from tests.agent.bug_cases import PATIENT, WRITTEN
from tests.agent.package_registry import FILES_HOST, HOST, serving
from tests.at_browser import JUST_NOW

HELLO = b"""import greeting
import words


def hello():
    return f"{greeting.VERSION} {words.VERSION}"
"""
TESTS = b"""from shop import hello


def test_hello():
    assert hello()[0] == "1"
"""


@pytest.fixture(scope="module")
def running():
    with serving() as server:
        yield server


@pytest.fixture
def registry(running, settings, tmp_path):
    for rows in (running.files, running.digests, running.redirects, running.asked):
        rows.clear()
    running.files_at = f"https://{HOST}"
    settings.FETCHED_DIR, settings.PACKAGES_DIR = tmp_path / "fetched", tmp_path / "none"
    settings.PACKAGE_REGISTRY = running.index
    settings.PACKAGE_REGISTRY_ADDRESSES = running.addresses
    settings.PACKAGE_REGISTRY_CERTIFICATES = running.certificates
    return running


@pytest.fixture
def shop(in_acme, registry):
    """A repository whose lock names what only the registry has."""
    digests = [registry.add("greeting", "1.0", needs=("words",)), registry.add("words", "1.0")]
    lock = f"greeting==1.0 --hash=sha256:{digests[0]}\nwords==1.0 --hash=sha256:{digests[1]}\n"
    files = {"shop.py": HELLO, "test_shop.py": TESTS, "requirements.txt": lock.encode()}
    return repositories.register(
        "shop",
        project=in_acme.project,
        files=files,
        written=WRITTEN,
        by=system_actor("test", "cli"),
    )


@pytest.fixture
def upgrade(in_acme, shop):
    def filed(package="greeting", version="", also=()):
        bo = in_acme.people["bo"]
        return lifecycle.file_upgrade(
            {"package": package, "version": version, "also": list(also), "why": "Old."},
            repository=shop,
            owner=bo,
            by=bo.actor("page", signed_in=JUST_NOW),
            budgets=PATIENT,
        )

    return filed


def _to_fetched(task):
    """The plan, then the step that fetches."""
    for _ in range(2):
        runner.advance(task.pk)
    return Action.objects.get(task=task, tool="fetch_packages")


def _run(task):
    for _ in range(40):
        if not runner.advance(task.pk):
            break
    task.refresh_from_db()


def _entries(phase):
    """What the ledger has of the steps that fetch: (outcome, facts) each, oldest first."""
    rows = [*Entry.objects.order_by("index"), *StagedEntry.objects.order_by("id")]
    found = [(json.loads(row.leaf), json.loads(row.payload or b"{}")) for row in rows]
    return [
        (leaf["outcome"], facts)
        for leaf, facts in found
        if leaf["phase"] == phase and facts.get("tool") == "fetch_packages"
    ]


def test_what_is_fetched_is_on_record_before_and_after_and_later_steps_need_no_network(
    registry, upgrade
):
    newest = {name: registry.add(name, "1.1") for name in ("greeting", "words")}
    task = upgrade(also=["words==1.1"])

    step = _to_fetched(task)

    assert step.status == Action.Status.DONE, step.observation
    assert "4 wheels" in step.observation
    fetched = {row["file"]: row["sha256"] for row in step.result["fetched"]}
    assert fetched == {
        file: hashlib.sha256(content).hexdigest() for file, content in registry.files.items()
    }
    [(_, intended)], [(outcome, facts)] = _entries("intent"), _entries("result")
    assert intended["registry"] == registry.index
    assert [one["package"] for one in intended["packages"]] == ["greeting", "words"]
    assert outcome == "ok"
    assert {row["file"]: row["sha256"] for row in facts["fetched"]} == fetched
    kept = Artifact.objects.get(task=task, name="packages.json")
    assert json.loads(artifact_store().get(task.tenant_id, kept.sha256)) == step.result

    asked = len(registry.asked)
    task.refresh_from_db()
    bench = runner.bench_for(task, step.outputs)
    ran = TOOLS["run_tests"].run(bench, {"target": [], "on": "base", "purpose": "baseline"})
    assert (ran.result["failing"], ran.result["broken"]) == ([], [])
    bumped = TOOLS["bump_dependency"].run(
        bench, {"packages": [{"package": "greeting"}, {"package": "words", "version": "1.1"}]}
    )
    assert [row["after"] for row in bumped.result["packages"]] == ["1.1", "1.1"]
    lock = json.loads(bumped.outputs["patched-files.json"])["requirements.txt"]
    assert all(f"--hash=sha256:{digest}" in lock for digest in newest.values())
    report = json.loads(bumped.outputs["change.json"])
    assert report["title"] == "Upgrade greeting from 1.0 to 1.1, and words to 1.1"
    assert any(f"came from {registry.index}, SHA-256" in said for said in report["what"])
    assert len(registry.asked) == asked


def test_a_host_that_is_not_named_is_refused_on_record_and_the_task_can_go_on_later(
    registry, upgrade, in_acme, settings
):
    registry.files_at = f"https://{FILES_HOST}"
    task = upgrade(version="1.1")
    registry.add("greeting", "1.1")

    step = _to_fetched(task)
    _run(task)

    assert step.status == Action.Status.FAILED
    assert (task.state, task.can_resume) == (Task.State.FAILED, True)
    assert "files.test:443, which is not allowed" in task.reason
    [(outcome, facts)] = _entries("result")
    assert outcome == "denied"
    assert "files.test:443" in facts["observation"]
    assert not settings.FETCHED_DIR.exists()

    settings.PACKAGE_REGISTRY_HOSTS = [FILES_HOST]
    bo = in_acme.people["bo"]
    lifecycle.resume(task, by=bo.actor("page", signed_in=JUST_NOW))
    runner.advance(task.pk)

    step = Action.objects.get(task=task, tool="fetch_packages", status=Action.Status.DONE)
    assert "3 wheels" in step.observation
    task.refresh_from_db()
    assert task.state == Task.State.IN_PROGRESS


def test_a_registry_that_is_down_ends_the_task_with_that_and_it_goes_on_when_it_is_back(
    registry, upgrade, in_acme, settings
):
    settings.PACKAGE_REGISTRY_ADDRESSES = {HOST: ("127.0.0.1", 1)}
    registry.add("greeting", "1.1")
    task = upgrade()

    _run(task)

    assert (task.state, task.can_resume) == (Task.State.FAILED, True)
    assert "packages.test:443 cannot be reached" in task.reason
    settings.PACKAGE_REGISTRY_ADDRESSES = registry.addresses
    bo = in_acme.people["bo"]
    lifecycle.resume(task, by=bo.actor("page", signed_in=JUST_NOW))
    runner.advance(task.pk)
    assert Action.objects.filter(
        task=task, tool="fetch_packages", status=Action.Status.DONE
    ).exists()


@pytest.mark.parametrize("now", ["", "https://other.test/simple/"])
def test_a_task_keeps_to_the_registry_that_it_was_filed_with(registry, upgrade, settings, now):
    task = upgrade()
    settings.PACKAGE_REGISTRY = now

    step = _to_fetched(task)

    assert step.status == Action.Status.FAILED
    assert f"to take packages from {registry.index}" in step.observation
    assert registry.asked == []


def test_without_a_registry_no_task_fetches_anything(registry, upgrade, settings):
    settings.PACKAGE_REGISTRY = ""
    task = upgrade()

    runner.advance(task.pk)

    assert "registry" not in task.constraints
    assert "fetch_packages" not in task.plan.tools


def test_a_version_that_is_there_as_source_alone_is_refused_with_the_reason(registry, upgrade):
    registry.files["greeting-2.0.tar.gz"] = b"source"
    task = upgrade(version="2.0")

    step = _to_fetched(task)

    assert step.status == Action.Status.FAILED
    assert "there is no greeting 2.0 to go to; at hand are 1.0" in step.observation
    assert "source alone (greeting-2.0.tar.gz), which is not built here" in step.observation


def test_a_swapped_wheel_does_not_come_in(registry, upgrade, settings):
    task = upgrade()
    registry.add("greeting", "1.0", content="VERSION = 'swapped'\n")

    step = _to_fetched(task)

    assert "another SHA-256 than the repository names" in step.observation
    assert [outcome for outcome, _ in _entries("result")] == ["denied"]


@pytest.mark.timeout(600)
def test_a_repair_runs_with_what_the_lock_names(registry, shop, in_acme):
    bo = in_acme.people["bo"]
    task = lifecycle.file_bugfix(
        {"title": "Wrong", "what_is_wrong": "It is wrong.", "how": "find"},
        repository=shop,
        owner=bo,
        by=bo.actor("page", signed_in=JUST_NOW),
        budgets=PATIENT,
    )

    step = _to_fetched(task)
    runner.advance(task.pk)
    runner.advance(task.pk)

    assert task.plan.tools[0] == "fetch_packages"
    assert "2 wheels" in step.observation
    baseline = Action.objects.get(task=task, tool="run_tests")
    assert baseline.result["broken"] == []
    assert baseline.result["failing"] == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_upgrade_of_two_packages_from_the_registry_becomes_one_pull_request(registry, upgrade):
    registry.add("greeting", "1.1")
    registry.add("words", "1.2")
    task = upgrade(also=["words"])

    _run(task)

    assert task.state == Task.State.COMPLETED, task.reason
    [request] = local_forge().pull_requests(forge_address(task.repository))
    assert (request.draft, request.state) == (False, "open")
    assert request.title.startswith("build: upgrade greeting from 1.0 to 1.1, and words to 1")
    assert "packages.test" in request.body


def test_what_a_task_has_fetched_stays_until_it_is_over_and_unused(
    registry, upgrade, settings, monkeypatch
):
    registry.add("greeting", "1.1")
    task = upgrade()
    # Tasks of other tests may need the same files.
    monkeypatch.setattr(jobs, "tenants_with_repositories", lambda: [task.tenant_id])
    step = _to_fetched(task)
    assert step.status == Action.Status.DONE, step.observation
    files = sorted(settings.FETCHED_DIR.iterdir())
    long_ago = time.time() - 99 * 86_400

    def swept():
        for file in files:
            os.utime(file, (long_ago, long_ago))
        Context().run(jobs.delete_unused)  # it opens the tenants' scopes itself
        return sorted(settings.FETCHED_DIR.iterdir())

    assert len(files) == 3
    assert swept() == files
    settings.REUSE_MB = 0
    assert swept() == files
    assert tidying.over_budget() > 0  # environments that this process uses
    assert "above REUSE_MB" in Context().run(_warnings)["space"]
    Task.objects.filter(pk=task.pk).update(state=Task.State.FAILED)
    assert swept() == files
    Task.objects.filter(pk=task.pk).update(touched_at=timezone.now() - timedelta(days=31))
    settings.REUSE_MB = 20_480
    assert swept() == []
    assert tidying.over_budget() == 0


def _warnings():
    return Client(headers={"host": "127.0.0.1"}).get("/readyz").json()["warnings"]
