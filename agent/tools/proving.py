"""Writes the failing test that somebody pasted, later the proof with its explanation."""

import difflib
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from agent import proof
from agent.outputs import (
    CHECKS,
    EXPLANATION,
    LICENCES,
    PATCH,
    PATCHED,
    PROOF,
    REPAIR,
    SARIF,
    SECRETS,
    TESTS,
    TEXT,
    WRITTEN_TESTS,
)
from agent.tools.bug_text import pull_request_text
from agent.tools.contract import (
    BadArguments,
    Bench,
    Observation,
    Tool,
    as_json,
    gives,
    listed,
    number,
    takes,
    text,
)
from agent.tools.testing import tree_digest
from authz.permissions import Permission


def write_test(bench: Bench, arguments: Mapping[str, Any]) -> Observation:
    """Puts the test of the report where the repository keeps its tests."""
    if not bench.report.code:
        raise BadArguments("the call: the report holds no test to write")
    path = test_path(bench)
    code = bench.report.code
    return Observation(
        f"{path}: {code.count(chr(10))} lines, as pasted",
        {WRITTEN_TESTS: as_json({path: code})},
        result={"path": path, "sha256": sha256(code.encode()).hexdigest()},
    )


def test_path(bench: Bench) -> str:
    """A new file beside the repository's other tests."""
    name = f"test_{bench.task_name.lower().replace('-', '_')}.py"
    folders = ("tests", "test")
    found = (f for f in folders if any(p.startswith(f"{f}/") for p in bench.base_files))
    return f"{next(found, 'tests')}/{name}"


def write_proof(bench: Bench, arguments: Mapping[str, Any]) -> Observation:
    """Puts the runs together, judges them once more from what was kept, writes the description."""
    made = _proof(bench, arguments["tests"])
    points = proof.judged(made)
    explained = _explained(bench)
    title, body = pull_request_text(
        bench.report,
        made,
        points,
        explained,
        task_name=bench.task_name,
        task_id=str(bench.task_id),
        requested_by=bench.requester.name,
        scans=_scans(bench),
    )
    content = as_json(made)
    failing = [point for point in points if not point.ok]
    said = (
        f"{failing[0].name}: {failing[0].detail}"
        if failing
        else f"all {len(points)} points hold: red {proof.RED_RUNS} times, green, suite, reverted"
    )
    return Observation(
        said,
        {
            PROOF: content,
            EXPLANATION: as_json(explained),
            TEXT: as_json({"title": title, "body": body}),
            CHECKS: as_json([_check(point) for point in points]),
        },
        ok=not failing,
        result={
            "proof_uri": f"sha256:{sha256(content).hexdigest()}",
            "points": [{"name": p.name, "ok": p.ok, "detail": p.detail} for p in points],
            "confidence": explained["confidence"],
        },
    )


def _proof(bench: Bench, tests: list[str]) -> dict[str, Any]:
    reports = {name: bench.read_json(f"{TESTS}{name}") for name in proof.RUNS}
    patched = bench.read_json(PATCHED)
    base = bench.base_files
    written = bench.read_json(WRITTEN_TESTS) if bench.has(WRITTEN_TESTS) else {}
    lines = 0
    files = {}
    for path, after in patched.items():
        before = base[path].decode()
        lines += sum(
            line[:1] in "+-" and line[:3] not in {"+++", "---"}
            for line in difflib.unified_diff(before.split("\n"), after.split("\n"), lineterm="")
        )
        files[path] = {"before": _sha256(base[path]), "after": _sha256(after.encode())}
    return {
        "format": proof.FORMAT,
        "task": str(bench.task_id),
        "repository": bench.repository.name,
        "base_sha": bench.base_sha,
        "tests": sorted(tests),
        "written": {path: _sha256(code.encode()) for path, code in written.items()},
        "patch": {
            "id": sha256(as_json(sorted(patched.items()))).hexdigest(),
            "lines": lines,
            "files": files,
        },
        "trees": {
            "base": tree_digest(bench.tree("base")),
            "patched": tree_digest(bench.tree("patched")),
        },
        "command": reports["suite"]["command"],
        "tier": reports["suite"]["tier"],
        "environment_digest": reports["suite"]["environment_digest"],
        **reports,
    }


def _explained(bench: Bench) -> dict[str, Any]:
    """What the search said of the repair that stands; the patch's own words when it said nothing.

    How sure to be is only known of what the engine ranked.
    """
    standing = bench.read_json(PATCH)["parts"]
    if bench.has(REPAIR):
        for patch in bench.read_json(REPAIR)["patches"]:
            if [p["unified_diff"] for p in patch["parts"]] == [p["unified_diff"] for p in standing]:
                found: dict[str, Any] = patch["explanation"]
                return found
    return {
        "what_was_wrong": "Nobody wrote it down; the failing test shows it.",
        "why_this_change": " ".join(part["rationale"] for part in standing),
        "considered": [],
        "cannot_tell": ["No other change was compared with this one."],
        "confidence": 0.0,
        "confidence_because": "nothing is known about it",
        "rank": 1,
    }


def _scans(bench: Bench) -> list[str]:
    names = {
        SARIF: "weaknesses (bandit, SARIF)",
        SECRETS: "secrets (detect-secrets)",
        LICENCES: "licences of declared dependencies",
    }
    return [said for name, said in names.items() if bench.has(name)]


def _check(point: proof.Judged) -> dict[str, Any]:
    return {"name": point.name, "path": PROOF, "ok": point.ok, "detail": point.detail}


def _sha256(content: bytes) -> str:
    return sha256(content).hexdigest()


WRITE_TEST = Tool(
    write_test,
    Permission.TASK_RUN,
    says="Add the test that was pasted with the report.",
    arguments=takes(),
    result=gives(path=text("Where it stands."), sha256=text("Of its text.")),
)
WRITE_PROOF = Tool(
    write_proof,
    Permission.TASK_RUN,
    says="Judge all runs once more from what was kept; write the pull request's description.",
    arguments=takes(
        ("tests",), tests=listed({"type": "string"}, "The tests that were red.", minItems=1)
    ),
    result=gives(
        proof_uri=text("The proof.", pattern="^sha256:[0-9a-f]{64}$"),
        points=listed(
            gives(
                name=text("Point."),
                ok={"type": "boolean", "description": "Whether it holds."},
                detail=text("What was seen."),
            ),
            "The verdict.",
        ),
        confidence=number("0 to 1.", minimum=0, maximum=1),
    ),
)
