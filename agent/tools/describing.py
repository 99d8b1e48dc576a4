"""Judges what an upgrade or a refactoring did by its test runs; writes the pull request's text."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from agent import changes
from agent.outputs import CHANGE, CHECKS, TESTS, TEXT
from agent.proof import Judged
from agent.tools.bug_text import TITLE_LIMIT, escaped
from agent.tools.contract import Bench, Observation, Tool, as_json, gives, listed, takes, text
from authz.permissions import Permission

PREFIX = {"upgrade": "build: ", "refactoring": "refactor: "}
IMPACT = 40  # files that are listed
LINES = 12  # of one file


def write_change(bench: Bench, arguments: Mapping[str, Any]) -> Observation:
    """Puts report and runs together. A suite that fails is told, and keeps the draft a draft."""
    report = bench.read_json(CHANGE)
    baseline, suite = (bench.read_json(f"{TESTS}{name}") for name in ("baseline", "suite"))
    points = changes.judged(baseline, suite, report)
    report |= {
        "checks": [{"name": p.name, "ok": p.ok, "detail": p.detail} for p in points],
        "tier": suite["tier"],
        "environments": {
            "before": baseline["environment_digest"],
            "after": suite["environment_digest"],
        },
    }
    failing = [point for point in points if not point.ok]
    title, body = _text(bench, report, points, failing)
    content = as_json(report)
    said = failing[0].detail if failing else f"all {len(points)} points hold"
    return Observation(
        said,
        {
            CHANGE: content,
            TEXT: as_json({"title": title, "body": body}),
            CHECKS: as_json(
                [{"name": p.name, "path": CHANGE, "ok": p.ok, "detail": p.detail} for p in points]
            ),
        },
        result={
            "report_uri": f"sha256:{sha256(content).hexdigest()}",
            "points": [{"name": p.name, "ok": p.ok, "detail": p.detail} for p in points],
        },
    )


def _text(
    bench: Bench, report: Mapping[str, Any], points: Sequence[Judged], failing: Sequence[Judged]
) -> tuple[str, str]:
    start, mark = PREFIX[bench.kind], f" [{bench.task_name}]"
    room = TITLE_LIMIT - len(start) - len(mark)
    name = report["title"][:1].lower() + report["title"][1:]
    title = start + (name if len(name) <= room else name[: room - 1].rstrip() + "…") + mark
    rows = [
        f"| {'yes' if p.ok else '**no**'} | {escaped(p.name)} | {escaped(p.detail)} |"
        for p in points
    ]
    draft = (
        "**This stays a draft:** the tests do not pass with it. " + escaped(failing[0].detail)
        if failing
        else ""
    )
    notes = "\n\n".join(
        f"**{escaped(note['title'])}**\n\n{_quoted(note['text'])}" for note in report["notes"]
    )
    blocks = [
        draft,
        "## Why",
        f"{escaped(bench.requester.name)} asked for it."
        + (f"\n\n{_quoted(report['why'])}" if report["why"] else ""),
        _bullets(report["what"]),
        "## Evidence",
        "\n".join(["| Holds | Point | Seen |", "| --- | --- | --- |", *rows]),
        "## Impact",
        _impact(report["impact"]),
        _folded("For a person to look at", _bullets(report["left"])) if report["left"] else "",
        _folded("What the package says of these versions", notes) if notes else "",
        "## Migration" if report["stages"] else "",
        _bullets(report["stages"]),
        "## Risk and rollback",
        f"Risk {report['risk']:.2f} of 1.",
        _bullets(report["risks"]),
        escaped(report["rollback"]),
        "## Test plan",
        "All tests ran in the sandbox, without a network, before and after the change.",
        "## References",
        _bullets(
            [
                f"Task {bench.task_name} ({bench.task_id})",
                f"Base commit {bench.base_sha[:12]}",
                f"Sandbox {report['tier']}, environment {report['environments']['after'][:12]}",
            ]
        ),
    ]
    return title, "\n\n".join(block for block in blocks if block) + "\n"


def _impact(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return "No file of the repository uses it."
    said = []
    for row in rows[:IMPACT]:
        lines = ", ".join(map(str, row["lines"][:LINES]))
        more = " and more" if len(row["lines"]) > LINES else ""
        said.append(f"- `{row['path']}`, lines {lines}{more}")
    if len(rows) > IMPACT:
        said.append(f"- and {len(rows) - IMPACT} more files")
    return "\n".join(said)


def _quoted(said: str) -> str:
    return "\n".join(f"> {escaped(line)}" for line in said.splitlines())


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {escaped(line)}" for line in lines)


def _folded(summary: str, content: str) -> str:
    return f"<details>\n<summary>{summary}</summary>\n\n{content}\n\n</details>"


WRITE_CHANGE = Tool(
    write_change,
    Permission.TASK_RUN,
    says="Judge the runs before and after; write the pull request's description.",
    arguments=takes(),
    result=gives(
        report_uri=text("The report.", pattern="^sha256:[0-9a-f]{64}$"),
        points=listed(
            gives(
                name=text("Point."),
                ok={"type": "boolean", "description": "Whether it holds."},
                detail=text("What was seen."),
            ),
            "The verdict.",
        ),
    ),
)
