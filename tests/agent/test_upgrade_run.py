"""A package is brought to another version; the tests before and after say what that means."""

import pytest

from agent import lifecycle, progress, repositories, runner, supplies
from agent.models import Artifact, ChangeReport, Task
from agent.packages import Shelf
from agent.places import artifact_store, forge_address, local_forge
from authz.errors import BadRequest, Denied
from deploy import demo_packages
from tenants.actor import system_actor
from tests.agent.bug_cases import WRITTEN, files_of
from tests.at_browser import JUST_NOW


@pytest.fixture
def till(in_acme, tmp_path, settings):
    settings.PACKAGES_DIR = tmp_path / "packages"
    demo_packages.write(settings.PACKAGES_DIR)
    return repositories.register(
        "till",
        project=in_acme.project,
        files=files_of("till"),
        written=WRITTEN,
        by=system_actor("test", "cli"),
    )


@pytest.fixture
def file(in_acme, till):
    def filed(version="", who="bo", package="coinage"):
        person = in_acme.people[who]
        return lifecycle.file_upgrade(
            {"package": package, "version": version, "why": "It is out of date."},
            repository=till,
            owner=person,
            by=person.actor("page", signed_in=JUST_NOW),
        )

    return filed


def _run(task):
    for _ in range(40):
        if not runner.advance(task.pk):
            break
    task.refresh_from_db()


def _bump(task, version="", *also):
    task.base_sha = local_forge().head(forge_address(task.repository), "main")
    tool = runner.TOOLS["bump_dependency"]
    packages = [{"package": "coinage", "version": version}, *also]
    seen = tool.run(runner.bench_for(task, {}), {"packages": packages})
    tool.check_result(seen.result)
    return seen


def test_the_newest_that_is_allowed_changes_the_pin_and_keeps_the_range(file):
    result = _bump(file()).result

    assert result["packages"] == [{"package": "coinage", "before": "1.4.0", "after": "1.5.0"}]
    assert result["files"] == ["requirements.txt"]
    assert result["codemods"] == []
    assert result["impact"] == ["src/till/bills.py", "src/till/receipts.py", "tests/test_bills.py"]


def test_codemods_change_the_names_that_changed_between_the_two_versions(file):
    seen = _bump(file(), "2.0.0")

    assert [row["rule"] for row in seen.result["codemods"]] == [
        "coinage.parse_money to coinage.text.read_money",
        "argument parts of coinage.split to shares",
    ]
    bills = runner.json.loads(seen.outputs["patched-files.json"])["src/till/bills.py"]
    assert "from coinage.text import read_money\n" in bills
    assert "split(with_service(total(lines)), shares=guests)" in bills


def test_what_an_upgrade_changes_is_seen_before_its_pull_request(file):
    task = file()
    for _ in range(20):
        runner.advance(task.pk)
        if task.actions.filter(tool="bump_dependency", status="done").exists():
            break

    seen = progress.so_far(task)

    assert "--- a/requirements.txt\n+++ b/requirements.txt\n" in seen.diff
    assert "+coinage==1.5.0" in seen.diff
    assert seen.confidence is None


@pytest.mark.parametrize(
    ("version", "why"),
    [("9.9", "there is no coinage 9.9 to go to; at hand are 3.0.0"), ("1.4.0", "no coinage 1.4.0")],
)
def test_a_version_that_there_is_not_is_refused_with_those_there_are(file, version, why):
    with pytest.raises(runner.BadArguments, match=why):
        _bump(file(), version)


def test_fields_that_make_no_sense_are_told_one_by_one(file, in_acme):
    with pytest.raises(BadRequest) as refused:
        file("new", package="../x")

    assert set(refused.value.errors) == {"package", "version"}
    with pytest.raises(Denied):
        file(who="iris")


@pytest.mark.slow
def test_an_upgrade_with_codemods_becomes_a_pull_request_that_says_what_it_means(file):
    task = file("2.0.0")

    _run(task)

    assert task.state == Task.State.COMPLETED, task.reason
    [request] = local_forge().pull_requests(forge_address(task.repository))
    assert (request.draft, request.state) == (False, "open")
    assert task.proposal.failing_checks == []
    assert request.title.startswith("build: upgrade coinage from 1.4.0 to 2.0.0")
    for words in (
        "It is out of date",
        "\\`parse\\_money\\` is \\`coinage.text.read\\_money\\` now",
        "`src/till/bills.py`, lines",
        "It is a major step",
        "Reverting the merge declares coinage 1.4.0 again",
    ):
        assert words in request.body
    report = ChangeReport.objects.get(task=task)
    kept = Artifact.objects.get(task=task, name="change.json")
    assert kept.sha256 == report.report_sha256
    assert report.report["tier"] == "gvisor"
    # What ran before was another environment than what ran after.
    assert len(set(report.report["environments"].values())) == 2
    after = local_forge().read_files(
        forge_address(task.repository),
        task.proposal.head_sha,
        ["pyproject.toml", "requirements.txt"],
    )
    assert b'"coinage>=2.0.0"' in after["pyproject.toml"]
    assert b"coinage==2.0.0\n" in after["requirements.txt"]
    bom = Artifact.objects.get(task=task, name="sbom.cdx.json")
    assert b"coinage@2.0.0" in artifact_store().get(task.tenant_id, bom.sha256)


@pytest.mark.slow
def test_a_version_that_breaks_the_tests_stays_a_draft_and_says_why(file):
    task = file("3.0.0")

    _run(task)

    assert task.state == Task.State.COMPLETED, task.reason
    [request] = local_forge().pull_requests(forge_address(task.repository))
    assert (request.draft, request.state) == (True, "open")
    assert "**This stays a draft:**" in request.body
    [failing] = task.proposal.failing_checks
    assert "test\\_nobody\\_pays" in request.body
    assert "test_nobody_pays_a_cent_too_much" in failing["detail"]


@pytest.mark.slow
def test_a_package_is_installed_as_declared_and_a_broken_wheel_ends_the_task(file, till, settings):
    shelf = Shelf.of(files_of("till"), settings.PACKAGES_DIR)
    found = supplies.environment_of(files_of("till"), shelf)
    again = supplies.environment_of(files_of("till"), shelf)

    assert found == again
    assert list(found.path.glob("lib/python*/site-packages/coinage/__init__.py"))
    assert list(found.path.glob("lib/python*/site-packages/pytest/__init__.py"))
    for wheel in settings.PACKAGES_DIR.glob("coinage-1.4*.whl"):
        wheel.write_bytes(b"PK nonsense")
    task = file("2.0.0")
    _run(task)
    assert task.state == Task.State.FAILED
    assert "the packages cannot be installed" in task.reason
