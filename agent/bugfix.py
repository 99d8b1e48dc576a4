"""Plans a repair without a language model: red, act, green, in the same order every time."""

from collections.abc import Iterable
from typing import Any

from agent import fetch_step
from agent.bugs import BugReport, named_in
from agent.errors import NothingLeftToTry
from agent.loop import Action, Plan, PlannedStep, Step, Work
from agent.proof import RED_RUNS, wrong_reason
from agent.repair import Ended

WHYS = {
    "code_search": "find the files that have to do with what was reported",
    "write_test": "add the failing test first, as it was pasted",
    "run_tests": "see the tests fail three times, then pass, and that nothing else broke",
    "propose_repair": "search for small changes that make the failing tests pass",
    "code_patch": "apply the first-ranked change; tests stay as they are",
    "sast_scan": "look for weaknesses that the change brings in",
    "secret_scan": "look for secrets that the change brings in",
    "license_check": "see whether the change brings in licences that may not be used",
    "sbom_generate": "write down what the repository depends on",
    "write_proof": "judge every run once more, write the explanation",
    "open_pr": "publish the branch with its pull request on the forge",
}
# How risky it is to let the plan run, before anything is known of the change: the less the report
# says about the bug, the more the engine has to guess.
RISK = {"pasted": 0.3, "named": 0.35, "find": 0.45}
COUNTERSIGN = "countersign the proposal: one person other than the requester"
# Seconds of a search; where it was cut off, it is made once more with the second.
SECONDS_TO_REPAIR = (60, 240)
CANDIDATES = 3  # repairs that are tried on the whole suite, best first
GROUPS = 3  # sets of red tests that are tried when nobody said which
MOST_RED = 20


class BugfixPlanner:
    """The `loop.Model` for bugfix tasks."""

    def plan(self, work: Work) -> Plan:
        """All steps in their order; a person must countersign what comes out."""
        report = BugReport.from_json(work.constraints)
        tools = [name for name in WHYS if name != "write_test" or report.code]
        return Plan(
            steps=(
                *fetch_step.planned(work),
                *(PlannedStep(tool, WHYS[tool]) for tool in tools),
            ),
            approvals=(COUNTERSIGN,),
            risk_score=RISK[report.how],
            compliance_targets=report.compliance,
        )

    def choose(self, work: Work) -> Action | None:
        """The next step of the flow, by what the steps so far found."""
        report = BugReport.from_json(work.constraints)
        if work.steps and not work.steps[-1].ok:
            return _after_trouble(work)
        if fetch := fetch_step.due(work):
            return fetch
        if not work.done("code_search"):
            return Action("code_search", {"query": _query(report, work), "scope": "**"})
        if report.code and not work.done("write_test"):
            return Action("write_test")
        baseline = _run(work.steps, "baseline")
        if baseline is None:
            return _tests([], "base", "baseline", retries=2 if report.how == "find" else 0)
        red = _red_tests(report, work, baseline)
        searched = _searches(work)
        if len(searched) == len(_failed_searches(work)):
            return _red_or_search(work, red)
        return _prove(work, red, searched[-1])


def _after_trouble(work: Work) -> Action:
    last = work.steps[-1]
    if last.action.tool == "run_tests" and _purpose(last) in {"green", "suite"}:
        # The run itself broke (too slow, say): that repair is no good, the next one may be.
        return _next_candidate(work, _searches(work)[-1])
    if last.action.tool == "code_patch":
        return _next_candidate(work, _searches(work)[-1])
    raise NothingLeftToTry(f"{last.action.tool}: {last.observation}")


def _query(report: BugReport, work: Work) -> str:
    return " ".join([report.title, report.what_is_wrong, report.code, *work.messages])[:6_000]


def _red_tests(report: BugReport, work: Work, baseline: Step) -> list[str]:
    """The tests to turn green, as the baseline run saw them fail."""
    failing = [row["id"] for row in baseline.result["failing"]]
    broken = set(baseline.result["broken"])
    if report.how == "find":
        groups = _groups([test for test in failing if test not in broken], work)
        tried = len(_given_up(work))
        if not groups:
            raise NothingLeftToTry(
                "every test passes; paste one that shows what is wrong and file the task again"
            )
        return groups[min(tried, len(groups) - 1)]
    wanted = report.names or (_written_path(work),)
    red = [test for test in failing if any(_is_in(test, name) for name in wanted)]
    if not red:
        raise NothingLeftToTry(
            f"{', '.join(wanted)} passes or is not there; a repair starts from a test that fails"
        )
    if unable := [test for test in red if test in broken]:
        reason = next(r["reason"] for r in baseline.result["failing"] if r["id"] == unable[0])
        raise NothingLeftToTry(f"{unable[0]} cannot run, so it shows nothing: {reason}")
    return red


def _groups(failing: list[str], work: Work) -> list[list[str]]:
    """Which failing tests to repair together when nobody said: all, one file's, one alone.

    Tests and files that people named in messages come first.
    """
    named = [name for message in work.messages for name in named_in(message)]
    first = sorted(failing, key=lambda t: (not any(_is_in(t, name) for name in named), t))
    if not first:
        return []
    path = first[0].partition("::")[0]
    groups = [first[:MOST_RED], [t for t in first if t.startswith(f"{path}::")], first[:1]]
    return [group for n, group in enumerate(groups) if group not in groups[:n]][:GROUPS]


def _red_or_search(work: Work, red: list[str]) -> Action:
    found, given_up = _failed_searches(work), _given_up(work)
    if given_up and (len(given_up) >= GROUPS or list(given_up[-1].action.params["red"]) == red):
        raise NothingLeftToTry(f"no repair was found: {given_up[-1].observation}")
    seen = _run(work.steps, "red")
    if seen is None or list(seen.action.params["target"]) != red:
        return _tests(red, "base", "red", repeat=RED_RUNS)
    _require_red(seen, red)
    seconds = SECONDS_TO_REPAIR[len(found) > len(given_up)]
    return Action("propose_repair", {"red": red, "seconds": seconds})


def _require_red(seen: Step, red: list[str]) -> None:
    failing = {row["id"]: row["reason"] for row in seen.result["failing"]}
    if seen.result["flaky"] or not seen.result["identical"] or set(failing) != set(red):
        raise NothingLeftToTry(
            f"the test does not fail the same way {RED_RUNS} times in a row:"
            f" {seen.observation}; a test that fails by chance cannot prove a repair"
        )
    for test, reason in failing.items():
        if wrong_reason(reason):
            raise NothingLeftToTry(f"{test} cannot run, so it shows nothing: {reason}")


def _prove(work: Work, red: list[str], search: Step) -> Action | None:
    """From the repairs found to the pull request."""
    since = _since_patch(work)
    if not since:
        return _next_candidate(work, search)
    if part := _next_part(since, search):
        return part
    green, suite = _run(since, "green"), _run(since, "suite")
    if green is None:
        return _tests(red, "patched", "green", repeat=RED_RUNS)
    if green.result["failing"] or green.result["flaky"]:
        return _next_candidate(work, search)
    if suite is None:
        return _tests([], "patched", "suite", retries=2)
    baseline = _run(work.steps, "baseline")
    before = {row["id"] for row in baseline.result["failing"]} if baseline else set()
    if {row["id"] for row in suite.result["failing"]} - before:
        return _next_candidate(work, search)
    if _run(since, "reverted") is None:
        return _tests(red, "base", "reverted")
    done = {step.action.tool for step in since}
    for tool in ("sast_scan", "secret_scan", "license_check", "sbom_generate"):
        if tool not in done:
            return Action(tool)
    if "write_proof" not in done:
        return Action("write_proof", {"tests": red})
    return Action("open_pr") if "open_pr" not in done else None


def _next_candidate(work: Work, search: Step) -> Action:
    """The first part of the best repair that was not tried yet."""
    patches = search.result["patches"][:CANDIDATES]
    place = work.steps.index(search)
    tried = sum(
        step.action.tool == "code_patch" and not step.action.params.get("keep")
        for step in work.steps[place:]
    )
    if tried >= len(patches):
        raise NothingLeftToTry(
            f"{tried} repairs made the failing test pass, and each broke something else"
        )
    return _part(patches[tried], 0)


def _next_part(since: list[Step], search: Step) -> Action | None:
    """The next file of a repair that changes several; None when all stand."""
    first = since[0].action.params["unified_diff"]
    patch = next(p for p in search.result["patches"] if p["parts"][0]["unified_diff"] == first)
    standing = sum(step.action.tool == "code_patch" for step in since)
    return _part(patch, standing) if standing < len(patch["parts"]) else None


def _part(patch: dict[str, Any], number: int) -> Action:
    more = {"keep": True} if number else {}
    return Action("code_patch", {**patch["parts"][number], "rationale": patch["rationale"], **more})


def _searches(work: Work) -> list[Step]:
    return [s for s in work.steps if s.action.tool == "propose_repair" and s.ok]


def _failed_searches(work: Work) -> list[Step]:
    return [step for step in _searches(work) if not step.result["patches"]]


def _given_up(work: Work) -> list[Step]:
    """Searches that found nothing and are not made again: all was tried, or the longest time."""
    return [
        step
        for step in _failed_searches(work)
        if step.result.get("ended") != Ended.OUT_OF_TIME
        or step.action.params["seconds"] >= SECONDS_TO_REPAIR[-1]
    ]


def _since_patch(work: Work) -> list[Step]:
    """Steps from the last patch on; none when the last search has not led to one yet."""
    for place in range(len(work.steps) - 1, -1, -1):
        match work.steps[place].action.tool:
            case "code_patch" if not work.steps[place].action.params.get("keep"):
                return list(work.steps[place:])
            case "propose_repair":
                return []
    return []


def _run(steps: Iterable[Step], purpose: str) -> Step | None:
    """The newest good run of tests with that purpose."""
    return next(
        (
            step
            for step in reversed(list(steps))
            if step.ok and step.action.tool == "run_tests" and _purpose(step) == purpose
        ),
        None,
    )


def _purpose(step: Step) -> str:
    return str(step.action.params.get("purpose", ""))


def _tests(target: list[str], on: str, purpose: str, **more: Any) -> Action:
    return Action("run_tests", {"target": target, "on": on, "purpose": purpose, **more})


def _written_path(work: Work) -> str:
    return next(str(s.result["path"]) for s in work.steps if s.action.tool == "write_test")


def _is_in(test: str, name: str) -> bool:
    """Whether a test is the one named, or one of the file, class or function named."""
    return test == name or test.startswith((f"{name}::", f"{name}["))
