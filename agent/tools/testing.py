"""Runs the tests of a repository in the sandbox, and says which can be trusted.

What comes back is from a stranger's program. A run counts only when it ended by itself, reported,
and its exit code says the same as its report.
"""

import json
import os
import re
import xml.etree.ElementTree as Xml
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from agent.errors import Interrupted
from agent.outputs import JUNIT, LOG, TESTS
from agent.readable import readable
from agent.sandbox import Ended, Job, Limits, SandboxUnavailable
from agent.tools.contract import (
    Bench,
    Cost,
    Observation,
    Tool,
    as_json,
    gives,
    listed,
    number,
    takes,
    text,
    whole,
)
from authz.permissions import Permission

PURPOSES = ("baseline", "red", "green", "suite", "reverted", "other")
TIMEOUT = 60.0  # seconds of one run, when the caller names none
LONGEST = 600.0
SHOWN = 200  # failing tests in a result
REPORT = ".countersign-report.json"

_PLUGIN = Path(__file__).with_name("pytest_report.py")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_TEMPORARY = re.compile(r"/tmp/[\w./-]+")  # noqa: S108  # what a message says, not a path of ours
# pytest's exit codes: all passed, some failed, could not collect, bad call, nothing to run.
_PASSED, _FAILED, _BROKEN, _USAGE, _NOTHING = 0, 1, 2, 4, 5


@dataclass(frozen=True)
class Run:
    """One process of pytest, as far as it can be believed. problem: why it cannot."""

    ended: str
    exit_code: int | None
    outcomes: Mapping[str, str]  # test -> passed, failed, skipped
    reasons: Mapping[str, str]  # failing test -> what failed, without what varies by chance
    broken: Mapping[str, str]  # file or test that cannot be collected -> why
    log: bytes
    seconds: float
    tier: str
    environment_digest: str
    problem: str = ""
    took: Mapping[str, float] = field(default_factory=dict)  # test -> seconds

    @property
    def failing(self) -> list[str]:
        return sorted([*self.reasons, *self.broken])

    def said(self) -> dict[str, Any]:
        """As the proof keeps it."""
        return {
            "ended": self.ended,
            "exit_code": self.exit_code,
            "failing": [
                {"id": test, "reason": self.reasons.get(test, self.broken.get(test, ""))}
                for test in self.failing
            ],
            "passed": sorted(t for t, outcome in self.outcomes.items() if outcome == "passed"),
            "skipped": sorted(t for t, outcome in self.outcomes.items() if outcome == "skipped"),
            "log_sha256": sha256(self.log).hexdigest(),
            "seconds": round(self.seconds, 3),
        }


def run_tests(bench: Bench, arguments: Mapping[str, Any]) -> Observation:
    """Runs tests of the base or of the patched tree, as often as asked, each time anew."""
    purpose = arguments.get("purpose", "other")
    files = bench.tree(arguments["on"])
    target = tuple(arguments["target"])
    timeout = float(arguments.get("timeout", TIMEOUT))
    shard = arguments.get("shard")
    runs = _repeated(bench, files, target, timeout, shard, arguments.get("repeat", 1))
    flaky = differing(runs)
    before = _failing_before(bench) if purpose == "suite" else set()
    for _ in range(arguments.get("retries", 0)):
        again = [t for t in runs[0].reasons if t not in flaky | bench.flaky | before]
        if not again or runs[0].problem:
            break
        alone = run_once(bench, files, tuple(again), timeout, None)
        flaky |= {t for t in again if alone.outcomes.get(t) == "passed"}
    return _observed(bench, arguments["on"], purpose, target, runs, flaky)


def _failing_before(bench: Bench) -> set[str]:
    """Tests that failed without the change: that they fail with it tells nothing about it."""
    if not bench.has(f"{TESTS}baseline"):
        return set()
    return {row["id"] for row in bench.read_json(f"{TESTS}baseline")["runs"][0]["failing"]}


def _repeated(
    bench: Bench,
    files: Mapping[str, bytes],
    target: Sequence[str],
    timeout: float,
    shard: Mapping[str, int] | None,
    times: int,
) -> list[Run]:
    """Runs in sandboxes of their own, as many at a time as there are cores.

    What the first prints is told as it comes, what the others print when all have ended.
    """
    # Asked for here: in the threads nothing is looked up in the database.
    engine, environment = bench.sandbox(), bench.environment(files)
    ready = replace(bench, sandbox=lambda: engine, environment=lambda _: environment)
    printed: list[list[bytes]] = [[] for _ in range(times - 1)]
    aside = max(1, min(times, len(os.sched_getaffinity(0))) - 1)
    with ThreadPoolExecutor(aside, "tests") as threads:
        others = [
            threads.submit(
                run_once, replace(ready, say=lines.append), files, target, timeout, shard
            )
            for lines in printed
        ]
        # The first in this thread, whose tenant what it prints belongs to.
        runs = [run_once(ready, files, target, timeout, shard), *(one.result() for one in others)]
    for lines in printed:
        bench.say(b"\n" + b"".join(lines))
    return runs


def run_once(
    bench: Bench,
    files: Mapping[str, bytes],
    target: Sequence[str],
    timeout: float,
    shard: Mapping[str, int] | None,
) -> Run:
    """One process of pytest in a sandbox of its own. Raises Interrupted, SandboxUnavailable."""
    job = Job(
        command=command(target),
        files=files,
        inputs={"countersign_report.py": _PLUGIN.read_bytes()},
        collect=(REPORT,),
        environment=bench.environment(files),
        limits=Limits(wall_s=timeout),
        variables={
            "PYTHONPATH": "/job",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONHASHSEED": "0",
            "COUNTERSIGN_REPORT": f"/workspace/{REPORT}",
            "COUNTERSIGN_SHARD": f"{shard['index']}/{shard['of']}" if shard else "1/1",
        },
    )
    outcome = bench.sandbox().run(job, on_output=bench.say, cancelled=bench.cancelled)
    if outcome.ended == Ended.CANCELLED:
        raise Interrupted("the tests were stopped")
    log = readable(outcome.stdout + outcome.stderr).encode()
    if outcome.ended == Ended.FAILED_TO_START:
        raise SandboxUnavailable(log.decode()[-300:] or "the sandbox did not start")
    report, problem = _report_of(outcome.artifacts.get(REPORT), outcome.exit_code)
    if outcome.ended != Ended.EXITED:
        problem = f"the tests did not end by themselves: {ENDINGS[outcome.ended]} ({timeout:g} s)"
    return Run(
        ended=str(outcome.ended),
        exit_code=outcome.exit_code,
        outcomes={row["id"]: row["outcome"] for row in report["tests"]},
        reasons={
            row["id"]: reason_of(row.get("message", ""))
            for row in report["tests"]
            if row["outcome"] == "failed"
        },
        broken={row["id"]: reason_of(row["message"]) for row in report["broken"]},
        log=log,
        seconds=outcome.wall_ms / 1000,
        tier=outcome.tier,
        environment_digest=outcome.environment_digest,
        problem=problem,
        took={row["id"]: float(row.get("seconds", 0)) for row in report["tests"]},
    )


def command(target: Sequence[str]) -> tuple[str, ...]:
    """How pytest is called: without the repository's own options, which could hide a failure."""
    plain = ("-p", "no:cacheprovider", "-o", "addopts=", "--tb=short", "-q")
    return ("python", "-m", "pytest", "-p", "countersign_report", *plain, *target)


def junit(name: str, run: Run) -> bytes:
    """A run as a JUnit file, as other tools read it."""
    rows = sorted({**run.outcomes, **dict.fromkeys(run.broken, "broken")}.items())
    counts = {
        "tests": len(rows),
        "failures": sum(outcome == "failed" for _, outcome in rows),
        "errors": len(run.broken),
        "skipped": sum(outcome == "skipped" for _, outcome in rows),
    }
    suite = Xml.Element(
        "testsuite",
        {"name": name, **{key: str(n) for key, n in counts.items()}, "time": f"{run.seconds:.3f}"},
    )
    for test, outcome in rows:
        path, _, inside = test.partition("::")
        *within, last = inside.split("::") if inside else [path]
        place = ".".join([path.removesuffix(".py").replace("/", "."), *within])
        said = {"classname": place, "name": last, "time": f"{run.took.get(test, 0):.3f}"}
        case = Xml.SubElement(suite, "testcase", said)
        if outcome == "failed":
            Xml.SubElement(case, "failure", {"message": run.reasons[test]})
        elif outcome == "broken":
            Xml.SubElement(case, "error", {"message": run.broken[test]})
        elif outcome == "skipped":
            Xml.SubElement(case, "skipped")
    written: bytes = Xml.tostring(suite, encoding="utf-8", xml_declaration=True)
    return written


def reason_of(message: str) -> str:
    """Why a test failed, in a line, without what differs from run to run."""
    lines = readable(message.encode(errors="replace")).strip().splitlines()
    return _TEMPORARY.sub("/tmp/…", _HEX.sub("0x…", lines[0] if lines else ""))[:300]  # noqa: S108


def differing(runs: Sequence[Run]) -> set[str]:
    """Tests that did not end the same way every time."""
    sure = [run for run in runs if not run.problem]
    tests = {test for run in sure for test in run.outcomes}
    return {test for test in tests if len({run.outcomes.get(test) for run in sure}) > 1}


ENDINGS = {
    Ended.TIMED_OUT: "they took too long",
    Ended.OUT_OF_MEMORY: "they took too much memory",
    Ended.OUTPUT_LIMIT: "they printed too much",
}


def _report_of(content: bytes | None, exit_code: int | None) -> tuple[dict[str, Any], str]:
    nothing: dict[str, Any] = {"tests": [], "broken": []}
    if content is None:
        return nothing, "pytest wrote no report"
    try:
        report = json.loads(content)
        rows = [(str(row["id"]), str(row["outcome"])) for row in report["tests"]]
        broken = [(str(row["id"]), str(row["message"])) for row in report["broken"]]
    except (ValueError, TypeError, KeyError):
        return nothing, "the report cannot be read"
    if not all(name.isprintable() for name, _ in (*rows, *broken)):
        return nothing, "a test has a name with hidden characters"
    failed = sum(outcome == "failed" for _, outcome in rows)
    agrees = {
        _PASSED: not failed and not broken,
        _FAILED: bool(failed),
        _BROKEN: bool(broken),
        _USAGE: bool(broken),
        _NOTHING: not rows and not broken,
    }.get(exit_code if exit_code is not None else -1, False)
    if not agrees or report.get("exit") != exit_code:
        said = f"{failed} failed, {len(broken)} broken"
        return nothing, f"the report ({said}) and the exit code {exit_code} disagree"
    return report, ""


def _observed(
    bench: Bench,
    on: str,
    purpose: str,
    target: Sequence[str],
    runs: Sequence[Run],
    flaky: set[str],
) -> Observation:
    first = runs[0]
    counted = bench.flaky | flaky
    failing = [test for test in first.failing if test not in counted]
    reasons = {**first.reasons, **first.broken}
    problem = next((run.problem for run in runs if run.problem), "")
    if not problem and not first.outcomes and not first.broken:
        problem = "pytest found no test to run"
    report = {
        "purpose": purpose,
        "on": on,
        "command": list(command(target)),
        "tier": first.tier,
        "environment_digest": first.environment_digest,
        "tree_sha256": tree_digest(bench.tree(on)),
        "runs": [run.said() for run in runs],
        "flaky": sorted(flaky),
        "quarantined": sorted(bench.flaky & set(first.outcomes)),
        "problem": problem,
    }
    content = as_json(report)
    counts = [list(first.outcomes.values()).count(word) for word in ("passed", "skipped")]
    result = {
        "summary": {
            "passed": counts[0],
            "failed": len(failing),
            "skipped": counts[1],
            "runs": len(runs),
            "seconds": round(sum(run.seconds for run in runs), 3),
        },
        "failing": [{"id": test, "reason": reasons[test]} for test in failing[:SHOWN]],
        "broken": sorted(first.broken)[:SHOWN],
        "flaky": sorted(flaky),
        "identical": len({(tuple(r.failing), tuple(sorted(r.reasons.items()))) for r in runs}) == 1,
        "artifacts_uri": f"sha256:{sha256(content).hexdigest()}",
        "tier": first.tier,
    }
    return Observation(
        problem or _said(result, len(runs)),
        {
            f"{TESTS}{purpose}": content,
            **{f"{LOG}{purpose}-{n}.txt": run.log for n, run in enumerate(runs, 1)},
            # What is signed as a result of the commit must have run on what the commit holds.
            **({purpose + JUNIT: junit(purpose, first)} if on == "patched" else {}),
        },
        ok=not problem,
        result=result,
        flaky=tuple(sorted(flaky)),
    )


def _said(result: Mapping[str, Any], runs: int) -> str:
    counts = result["summary"]
    said = f"{counts['passed']} passed, {counts['failed']} failed"
    if result["failing"]:
        first = result["failing"][0]
        said += f": {first['id']} ({first['reason']})"
    if runs > 1:
        said += f"; {runs} runs, {'identical' if result['identical'] else 'not identical'}"
    if result["flaky"]:
        said += f"; flaky, set aside: {', '.join(result['flaky'][:3])}"
    return said


def tree_digest(files: Mapping[str, bytes]) -> str:
    """SHA-256 over all paths with the digest of each file: which tree a run saw."""
    lines = (f"{sha256(files[path]).hexdigest()}  {path}\n" for path in sorted(files))
    return sha256("".join(lines).encode()).hexdigest()


def _most(arguments: Mapping[str, Any]) -> Cost:
    runs = arguments.get("repeat", 1) + arguments.get("retries", 0)
    return Cost(wall_s=runs * (float(arguments.get("timeout", TIMEOUT)) + 5))


_NAME = {"type": "string", "pattern": "^[^-\\x00][^\\x00]*$", "maxLength": 600}

RUN_TESTS = Tool(
    run_tests,
    Permission.TASK_RUN,
    says="Run tests in the sandbox, without a network, and say which fail and why.",
    arguments=takes(
        ("target", "on"),
        target=listed(_NAME, "Tests, files or folders; empty for all.", maxItems=200),
        on=text("Which tree.", enum=["base", "patched"]),
        purpose=text("What the result is for; it is kept under this name.", enum=list(PURPOSES)),
        shard={
            "type": "object",
            "description": "Only one part of the tests, by their names.",
            "properties": {
                "index": {"type": "integer", "minimum": 1},
                "of": {"type": "integer", "minimum": 1, "maximum": 64},
            },
            "required": ["index", "of"],
            "additionalProperties": False,
        },
        timeout=number("Seconds for one run.", minimum=1, maximum=LONGEST),
        repeat=whole("Runs, each in a sandbox of its own.", minimum=1, maximum=5),
        retries=whole(
            "How often failing tests run again alone; one that passes then is flaky. Tests that"
            " failed before the change, too, are not run again.",
            minimum=0,
            maximum=3,
        ),
    ),
    result=gives(
        summary=gives(
            passed=whole("Tests."),
            failed=whole("Tests, without flaky ones."),
            skipped=whole("Tests."),
            runs=whole("Processes."),
            seconds=number("Time in the sandbox."),
        ),
        failing=listed(
            gives(id=text("As pytest names it."), reason=text("First line of the failure.")),
            "At most 200.",
        ),
        broken=listed({"type": "string"}, "What cannot be collected."),
        flaky=listed({"type": "string"}, "Passed and failed on the same code; set aside."),
        identical={"type": "boolean", "description": "Whether all runs failed the same way."},
        artifacts_uri=text("The whole report.", pattern="^sha256:[0-9a-f]{64}$"),
        tier=text("Which kind of sandbox."),
    ),
    most=_most,
)
