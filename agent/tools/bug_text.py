"""The title with the body of the pull request that repairs a bug."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from agent.bugs import BugReport
from agent.proof import Judged

TITLE_LIMIT = 69
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~])")


def pull_request_text(
    report: BugReport,
    proof: Mapping[str, Any],
    points: Sequence[Judged],
    explained: Mapping[str, Any],
    *,
    task_name: str,
    task_id: str,
    requested_by: str,
    scans: Sequence[str],
) -> tuple[str, str]:
    """Title (under 70 characters) and body (why, evidence, risk, tests, references).

    explained: what_was_wrong, why_this_change, considered, cannot_tell, confidence.
    """
    blocks = [
        "## Why",
        f"{escaped(requested_by)} reported: {escaped(report.title)}.",
        "\n".join(f"> {escaped(line)}" for line in report.what_is_wrong.splitlines()),
        f"**What was wrong.** {escaped(explained['what_was_wrong'])}",
        f"**Why this change.** {escaped(explained['why_this_change'])}",
        "## Evidence",
        _evidence(proof, points),
        _folded("How to see it yourself", _commands(proof)),
        "## Risk and rollback",
        _risk(proof, explained),
        _folded("What else was considered", _bullets(explained["considered"]) or "Nothing."),
        "**What the tests cannot tell.** "
        + (escaped(" ".join(explained["cannot_tell"])) or "Nothing is known."),
        "Reverting the merge takes everything back: no data and no settings are touched.",
        "## Test plan",
        _tests(proof),
        "## References",
        _bullets(
            [
                f"Task {task_name} ({task_id})",
                f"Base commit {proof['base_sha'][:12]}, patch {proof['patch']['id'][:12]}",
                f"Sandbox {proof['tier']}, environment {proof['environment_digest'][:12]}",
                *(f"Also looked for: {said}" for said in scans),
            ]
        ),
    ]
    return _title(report, task_name), "\n\n".join(block for block in blocks if block) + "\n"


def escaped(said: str) -> str:
    """Text of people or programs as it is, never as Markdown, links or comments."""
    return _SPECIAL.sub(r"\\\1", said)


def _title(report: BugReport, task_name: str) -> str:
    start, mark = "fix: ", f" [{task_name}]"
    room = TITLE_LIMIT - len(start) - len(mark)
    name = report.title
    if len(name) > room:
        name = name[: room - 1].rstrip() + "…"
    return f"{start}{name}{mark}"


def _evidence(proof: Mapping[str, Any], points: Sequence[Judged]) -> str:
    rows = [
        f"| {'yes' if point.ok else '**no**'} | {escaped(point.name)} | {escaped(point.detail)} |"
        for point in points
    ]
    return "\n".join(["| Holds | Point | Seen |", "| --- | --- | --- |", *rows])


def _commands(proof: Mapping[str, Any]) -> str:
    tests = " ".join(f"'{test}'" for test in proof["tests"])
    return (
        "```sh\n"
        f"git checkout {proof['base_sha'][:12]}   # with the test of this branch: red\n"
        f"python -m pytest {tests}\n"
        "git checkout -                # this branch: green\n"
        "python -m pytest\n"
        "```"
    )


def _risk(proof: Mapping[str, Any], explained: Mapping[str, Any]) -> str:
    lines = proof["patch"]["lines"]
    files = ", ".join(f"`{path}`" for path in proof["patch"]["files"])
    confidence = explained["confidence"]
    said = "high" if confidence >= 0.75 else "fair" if confidence >= 0.5 else "low"
    return (
        f"{lines} changed lines in {files}. Confidence {confidence:.2f} of 1 ({said}): "
        f"{escaped(explained['confidence_because'])}"
    )


def _tests(proof: Mapping[str, Any]) -> str:
    written = list(proof["written"])
    intro = (
        f"The failing test was added first: {', '.join(f'`{path}`' for path in written)}."
        if written
        else "The failing tests are in the repository already."
    )
    return f"{intro}\n\n{_bullets([f'`{test}`' for test in proof['tests']], plain=False)}"


def _bullets(lines: Sequence[str], *, plain: bool = True) -> str:
    return "\n".join(f"- {escaped(line) if plain else line}" for line in lines)


def _folded(summary: str, content: str) -> str:
    return f"<details>\n<summary>{summary}</summary>\n\n{content}\n\n</details>"
