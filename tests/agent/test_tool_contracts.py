"""The published contracts of the tools, and what a run of tests leaves for other programs."""

import json
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from jsonschema import Draft202012Validator

from agent.bugfix import SECONDS_TO_REPAIR, BugfixPlanner
from agent.errors import NothingLeftToTry
from agent.loop import Action, Phase, Step, Work
from agent.tools import TOOLS
from agent.tools.testing import Run, junit
from evidence.records import junit_claim
from portal.management.commands import write_tool_schemas

NAMED = {
    "title": "x",
    "what_is_wrong": "x",
    "how": "named",
    "names": ["tests/test_a.py::test_1"],
    "code": "",
    "compliance": [],
}
RED = [{"id": "tests/test_a.py::test_1", "reason": "assert 1 == 0"}]


def test_each_tool_is_published_as_it_is():
    files = sorted(write_tool_schemas.FOLDER.glob("*.json"))

    assert [file.stem for file in files] == sorted(TOOLS)
    for file in files:
        contract = json.loads(file.read_text())
        for schema in (contract["inputSchema"], contract["outputSchema"]):
            Draft202012Validator.check_schema(schema)
            assert schema["type"] == "object"
        assert contract["description"]
    call_command("write_tool_schemas", check=True)


@pytest.mark.parametrize("how", ["another", "missing", "left over"])
def test_contracts_that_are_out_of_date_are_noticed_and_put_right(monkeypatch, tmp_path, how):
    monkeypatch.setattr(write_tool_schemas, "FOLDER", tmp_path)
    call_command("write_tool_schemas", stdout=StringIO())
    if how == "another":
        (tmp_path / "run_tests.json").write_text("{}\n")
    elif how == "missing":
        (tmp_path / "run_tests.json").unlink()
    else:
        (tmp_path / "launch_rockets.json").write_text("{}\n")

    with pytest.raises(CommandError, match=r"out of date \((run_tests|launch_rockets)\.json\)"):
        call_command("write_tool_schemas", check=True)
    call_command("write_tool_schemas")
    call_command("write_tool_schemas", check=True)


def test_a_run_of_tests_reads_as_junit():
    run = Run(
        ended="exited",
        exit_code=1,
        outcomes={
            "tests/test_a.py::TestX::test_1[a-b]": "failed",
            "tests/test_a.py::test_2": "passed",
            "tests/test_a.py::test_3": "skipped",
        },
        reasons={"tests/test_a.py::TestX::test_1[a-b]": 'assert "<a>" == "&"'},
        broken={"tests/test_b.py": "SyntaxError: what"},
        log=b"",
        seconds=1.5,
        tier="gvisor",
        environment_digest="c" * 64,
        took={"tests/test_a.py::test_2": 0.25},
    )

    content = junit("suite", run)
    said = junit_claim("suite.junit.xml", content).predicate

    assert said["passedTests"] == ["tests.test_a.test_2"]
    assert said["failedTests"] == [
        "tests.test_a.TestX.test_1[a-b]",
        "tests.test_b.tests/test_b.py",
    ]
    assert said["warnedTests"] == ["tests.test_a.test_3"]
    assert b'tests="4" failures="1" errors="1" skipped="1" time="1.500"' in content
    assert b'time="0.250"' in content


def _searched(*searches):
    """A repair of one named test that came as far as these searches; (seconds, how they ended)."""
    base = {"failing": RED, "broken": [], "flaky": [], "identical": True}
    steps = [
        Step(Action("code_search"), "found"),
        Step(Action("run_tests", {"purpose": "baseline", "target": []}), "1 failed", result=base),
        Step(
            Action("run_tests", {"purpose": "red", "target": [RED[0]["id"]]}),
            "1 failed",
            result=base,
        ),
    ]
    for seconds, ended in searches:
        call = Action("propose_repair", {"red": [RED[0]["id"]], "seconds": seconds})
        steps.append(Step(call, "none helps", result={"patches": [], "ended": ended}))
    return Work("x", NAMED, Phase.ACT, None, tuple(steps))


def test_a_search_that_was_cut_off_is_made_once_more_with_more_time():
    short, long = SECONDS_TO_REPAIR
    planner = BugfixPlanner()

    first = planner.choose(_searched())
    second = planner.choose(_searched((short, "out_of_time")))

    assert (first.params["seconds"], second.params["seconds"]) == (short, long)
    with pytest.raises(NothingLeftToTry, match="no repair was found"):
        planner.choose(_searched((short, "out_of_time"), (long, "out_of_time")))
    with pytest.raises(NothingLeftToTry, match="no repair was found"):
        planner.choose(_searched((short, "not_found")))
