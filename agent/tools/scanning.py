"""Looks for weaknesses and secrets in what the agent changed, with scanners in the sandbox.

Before and after are scanned in one run, so that what was there already is told from what is new.
"""

import json
from collections import Counter
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from agent.errors import Interrupted
from agent.outputs import LOG, SARIF, SECRETS
from agent.readable import readable
from agent.sandbox import Ended, Job, Limits, SandboxUnavailable
from agent.tools import scanners
from agent.tools.contract import (
    BadArguments,
    Bench,
    Observation,
    Tool,
    as_json,
    gives,
    listed,
    one_time_limit,
    takes,
    text,
    whole,
)
from authz.permissions import Permission

SEVERITIES = ("high", "medium", "low")
_LEVELS = {"high": "error", "medium": "warning", "low": "note"}
SHOWN = 50  # findings in a result; the SARIF file has all
_RESULT = "result.json"


def sast_scan(bench: Bench, arguments: Mapping[str, Any]) -> Observation:
    """Runs bandit. A new finding of high severity has to be put right; others are for the reader.

    Remarks in the code that tell bandit to look away are not obeyed.
    """
    report, log = _scanned(
        bench,
        arguments,
        scanners.bandit(),
        *("bandit", "--quiet", "--exit-zero", "--ignore-nosec", "--format", "json"),
        *("--output", _RESULT, "--recursive", "before", "after"),
    )
    try:
        rows = [_bandit_row(row) for row in report["results"]]
        unread = [str(error["filename"]) for error in report["errors"]]
    except (KeyError, TypeError, ValueError) as error:
        raise BadArguments("profile: the scanner's answer cannot be read") from error
    findings = _new_ones(rows)
    histogram = {word: sum(f["severity"] == word for f in findings) for word in SEVERITIES}
    new = [f for f in findings if f["new"]]
    grave = [f for f in new if f["severity"] == "high"]
    said = f"bandit: {len(findings)} findings in what changed, {len(new)} of them new"
    if grave:
        said += f": {grave[0]['path']}:{grave[0]['line']} {grave[0]['text']}"
    if unread:
        said += f"; not read: {', '.join(unread[:3])}"
    return Observation(
        said,
        {SARIF: as_json(_sarif(findings)), f"{LOG}sast.txt": log.encode()},
        ok=not grave,
        result={
            "findings": findings[:SHOWN],
            "severity_histogram": histogram,
            "new": len(new),
            "unread": unread[:SHOWN],
        },
    )


def secret_scan(bench: Bench, arguments: Mapping[str, Any]) -> Observation:
    """Runs detect-secrets. A new secret has to be taken out; no secret is repeated here."""
    report, log = _scanned(
        bench,
        arguments,
        scanners.detect_secrets(),
        *("detect_secrets", "scan", "--all-files", "--no-verify"),
        *("--disable-filter", "detect_secrets.filters.allowlist.is_line_allowlisted"),
        *("before", "after"),
    )
    try:
        rows = [
            {
                "side": path.partition("/")[0],
                "path": path.partition("/")[2],
                "kind": str(row["type"]),
                "line": int(row["line_number"]),
                "key": (str(row["type"]), path.partition("/")[2], str(row["hashed_secret"])),
            }
            for path, found in report["results"].items()
            for row in found
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadArguments("profile: the scanner's answer cannot be read") from error
    before = {row["key"] for row in rows if row["side"] == "before"}
    findings = [
        {
            "path": row["path"],
            "kind": row["kind"],
            "line": row["line"],
            "new": row["key"] not in before,
        }
        for row in rows
        if row["side"] == "after"
    ]
    new = [finding for finding in findings if finding["new"]]
    said = f"detect-secrets: {len(findings)} in what changed, {len(new)} of them new"
    if new:
        said += f": {new[0]['path']}:{new[0]['line']} {new[0]['kind']}"
    return Observation(
        said,
        {SECRETS: as_json({"findings": findings}), f"{LOG}secrets.txt": log.encode()},
        ok=not new,
        result={"findings": findings[:SHOWN], "new": len(new)},
    )


def _scanned(
    bench: Bench, arguments: Mapping[str, Any], packed: bytes, *module_and_arguments: str
) -> tuple[dict[str, Any], str]:
    """The scanner's JSON, and what it printed beside it."""
    after = bench.tree("patched")
    paths = set(after) if arguments.get("profile") == "all" else set(bench.changed())
    files = {f"after/{path}": after[path] for path in paths}
    files |= {f"before/{p}": bench.base_files[p] for p in paths if p in bench.base_files}
    files |= {"before/.keep": b"", "after/.keep": b""}
    job = Job(
        command=("python", "-m", *module_and_arguments),
        files=files,
        inputs={"scanner.zip": packed},
        collect=(_RESULT,),
        limits=Limits(wall_s=float(arguments.get("timeout", 60))),
        variables={"PYTHONPATH": "/job/scanner.zip", "HOME": "/tmp"},  # noqa: S108  # the sandbox's
    )
    outcome = bench.sandbox().run(job, cancelled=bench.cancelled)
    if outcome.ended == Ended.CANCELLED:
        raise Interrupted("the scan was stopped")
    log = readable(outcome.stderr)
    if outcome.ended == Ended.FAILED_TO_START:
        raise SandboxUnavailable(log[-300:] or "the sandbox did not start")
    try:
        said = json.loads(outcome.artifacts.get(_RESULT, outcome.stdout))
    except ValueError:
        said = None
    if outcome.ended != Ended.EXITED or outcome.exit_code != 0 or not isinstance(said, dict):
        raise BadArguments(f"profile: the scanner ended as {outcome.ended}: {log[-300:]}")
    return said, log


def _bandit_row(row: Mapping[str, Any]) -> dict[str, Any]:
    side, _, path = str(row["filename"]).removeprefix("./").partition("/")
    severity = str(row["issue_severity"]).lower()
    return {
        "side": side,
        "rule": str(row["test_id"]),
        "severity": severity if severity in SEVERITIES else "low",
        "path": path,
        "line": int(row["line_number"]),
        "text": str(row["issue_text"])[:300],
        "code": str(row["code"]),
    }


def _new_ones(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Findings of the changed tree; new when the old one has fewer of the kind in that file."""
    before = Counter((r["rule"], r["path"]) for r in rows if r["side"] == "before")
    findings = []
    for row in rows:
        if row["side"] != "after":
            continue
        key = (row["rule"], row["path"])
        before[key] -= 1
        said = {name: row[name] for name in ("rule", "severity", "path", "line", "text")}
        findings.append({**said, "new": before[key] < 0})
    return sorted(findings, key=lambda f: (not f["new"], SEVERITIES.index(f["severity"])))


def _sarif(findings: list[dict[str, Any]]) -> dict[str, Any]:
    """SARIF 2.1.0 with one run."""
    rules = sorted({finding["rule"] for finding in findings})
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "bandit",
                        "version": version("bandit"),
                        "informationUri": "https://bandit.readthedocs.io/",
                        "rules": [{"id": rule} for rule in rules],
                    }
                },
                "results": [
                    {
                        "ruleId": finding["rule"],
                        "level": _LEVELS[finding["severity"]],
                        "message": {"text": finding["text"]},
                        "baselineState": "new" if finding["new"] else "unchanged",
                        "locations": [
                            {
                                "physicalLocation": {
                                    "artifactLocation": {"uri": finding["path"]},
                                    "region": {"startLine": max(1, finding["line"])},
                                }
                            }
                        ],
                    }
                    for finding in findings
                ],
            }
        ],
    }


_PROFILE = text("What is scanned: what the task changed, or everything.", enum=["changed", "all"])
_TIMEOUT = {"type": "number", "description": "Seconds.", "minimum": 1, "maximum": 300}
_WHERE = {"path": text("Path."), "line": whole("Line.")}
_NEW = {"type": "boolean", "description": "Whether it was not there before the change."}

SAST_SCAN = Tool(
    sast_scan,
    Permission.TASK_RUN,
    says="Look for weaknesses with bandit; the whole answer is kept as SARIF.",
    arguments=takes(profile=_PROFILE, timeout=_TIMEOUT),
    result=gives(
        findings=listed(
            gives(
                rule=text("Of bandit, such as B602."),
                severity=text("How bad.", enum=list(SEVERITIES)),
                **_WHERE,
                text=text("What it is."),
                new=_NEW,
            ),
            "New and grave ones first; at most 50.",
        ),
        severity_histogram=gives(**{word: whole("Findings.") for word in SEVERITIES}),
        new=whole("New findings."),
        unread=listed({"type": "string"}, "Files that bandit could not read."),
    ),
    most=one_time_limit,
)
SECRET_SCAN = Tool(
    secret_scan,
    Permission.TASK_RUN,
    says="Look for passwords, keys and tokens with detect-secrets.",
    arguments=takes(profile=_PROFILE, timeout=_TIMEOUT),
    result=gives(
        findings=listed(gives(kind=text("Such as AWS Access Key."), **_WHERE, new=_NEW), "Places."),
        new=whole("New findings."),
    ),
    most=one_time_limit,
)
