"""The red/green proof of a repair, and the verdict that anybody can work out from it again.

{"format", "task", "repository", "base_sha", "tests", "written": {path: sha256},
 "patch": {"id", "lines", "files": {path: {"before", "after"}}},
 "trees": {"base", "patched"}, "command", "tier", "environment_digest",
 "baseline" | "red" | "green" | "suite" | "reverted": a report of agent.tools.testing}
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.bugs import is_test_path

FORMAT = "countersign-red-green/1"
RED_RUNS = 3
LINES = 300
RUNS = ("baseline", "red", "green", "suite", "reverted")

# A test that fails for one of these does not run at all, so it shows nothing about the code.
_WRONG_REASON = re.compile(
    r"^(\w+\.)*(SyntaxError|IndentationError|ModuleNotFoundError|ImportError)\b"
    r"|fixture '.*' not found|^failed on setup"
)


@dataclass(frozen=True)
class Judged:
    """One point of the verdict. detail: what was seen, in a sentence."""

    name: str
    ok: bool
    detail: str


def judged(proof: Mapping[str, Any]) -> list[Judged]:
    """Every point that a repair has to meet, from what the proof says and nothing else."""
    red, green = proof["red"]["runs"], proof["green"]["runs"]
    tests = set(proof["tests"])
    flaky = {t for name in RUNS for key in ("flaky", "quarantined") for t in proof[name][key]}
    return [
        _red(red, tests),
        _reason(red, tests),
        _green(green, tests),
        _nothing_lost(proof, flaky),
        _reverted(proof["reverted"]["runs"], red[0], tests),
        _same_place(proof),
        _bounded(proof),
    ]


def holds(proof: Mapping[str, Any]) -> bool:
    """Whether every point is met."""
    return all(point.ok for point in judged(proof))


def wrong_reason(reason: str) -> bool:
    """Whether a test failed because it could not run, which proves nothing."""
    return bool(_WRONG_REASON.search(reason))


def _failing(run: Mapping[str, Any]) -> dict[str, str]:
    return {row["id"]: row["reason"] for row in run["failing"]}


def _red(runs: list[dict[str, Any]], tests: set[str]) -> Judged:
    name = "red: the tests fail without the repair, the same way each time"
    seen = [{t: reason for t, reason in _failing(run).items() if t in tests} for run in runs]
    if len(runs) < RED_RUNS:
        return Judged(name, False, f"{len(runs)} runs; {RED_RUNS} are needed")
    if not tests or any(set(found) != tests for found in seen):
        return Judged(name, False, "not every one of them failed in every run")
    if any(found != seen[0] for found in seen):
        return Judged(name, False, "they failed for different reasons")
    return Judged(name, True, f"{len(tests)} failed in {len(runs)} identical runs")


def _reason(runs: list[dict[str, Any]], tests: set[str]) -> Judged:
    name = "red: they fail because of the code, not because they cannot run"
    wrong = [
        f"{test}: {reason}"
        for run in runs
        for test, reason in _failing(run).items()
        if test in tests and wrong_reason(reason)
    ]
    reasons = sorted({reason for run in runs for t, reason in _failing(run).items() if t in tests})
    return Judged(name, not wrong, wrong[0] if wrong else "; ".join(reasons)[:300])


def _green(runs: list[dict[str, Any]], tests: set[str]) -> Judged:
    name = "green: the same tests pass with the repair"
    missing = sorted({t for run in runs for t in tests if t not in run["passed"]})
    ended = all(run["ended"] == "exited" and run["exit_code"] == 0 for run in runs)
    if missing or not runs or not ended:
        return Judged(name, False, f"not passed: {', '.join(missing[:3]) or 'the run itself'}")
    return Judged(name, True, f"{len(tests)} passed in {len(runs)} runs")


def _nothing_lost(proof: Mapping[str, Any], flaky: set[str]) -> Judged:
    name = "suite: nothing that passed before fails now"
    before, after = proof["baseline"]["runs"][0], proof["suite"]["runs"][0]
    lost = sorted(set(before["passed"]) - set(after["passed"]) - flaky)
    new = sorted(set(_failing(after)) - set(_failing(before)) - flaky)
    worse = sorted({*lost, *new})
    if worse or after["ended"] != "exited":
        return Judged(name, False, f"fail now: {', '.join(worse[:3]) or 'the run itself'}")
    left = set(_failing(after)) - flaky
    said = f"{len(after['passed'])} pass, {len(left)} failed before and still do"
    return Judged(name, True, said + (f"; set aside as flaky: {len(flaky)}" if flaky else ""))


def _reverted(runs: list[dict[str, Any]], first_red: Mapping[str, Any], tests: set[str]) -> Judged:
    name = "reverted: without the repair the tests fail again"
    was, now = _failing(first_red), _failing(runs[0])
    same = all(test in now and now[test] == was.get(test) for test in tests)
    return Judged(name, same, f"{len(tests)} failed again" if same else "they did not fail again")


def _same_place(proof: Mapping[str, Any]) -> Judged:
    name = "all runs: the same sandbox and command, on the trees that they are said to be on"
    places = {(proof[run]["tier"], proof[run]["environment_digest"]) for run in RUNS}
    trees = {run: proof[run]["tree_sha256"] for run in RUNS}
    wrong = [
        run
        for run in RUNS
        if trees[run] != proof["trees"]["patched" if run in {"green", "suite"} else "base"]
    ]
    problems = [proof[run]["problem"] for run in RUNS if proof[run]["problem"]]
    if wrong or problems or len(places) != 1:
        return Judged(name, False, (problems or [f"{', '.join(wrong) or 'places'} differ"])[0])
    return Judged(name, True, f"sandbox {proof['tier']}")


def _bounded(proof: Mapping[str, Any]) -> Judged:
    name = "bounds: no test was touched, few lines were changed"
    touched = [path for path in proof["patch"]["files"] if is_test_path(path)]
    lines = proof["patch"]["lines"]
    ok = not touched and 0 < lines <= LINES
    return Judged(name, ok, f"touched {touched[0]}" if touched else f"{lines} lines changed")
