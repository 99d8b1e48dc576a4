"""Changes one file by a unified diff, within bounds: no tests, no guarded files, few lines."""

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from agent.bugs import is_test_path
from agent.forge import ForgeRefused, diff, policy
from agent.outputs import PATCH, PATCHED
from agent.repair import edits
from agent.tools.contract import (
    BadArguments,
    Bench,
    Observation,
    Tool,
    as_json,
    gives,
    takes,
    text,
    whole,
)
from authz.permissions import Permission

_LINE = re.compile(r"[^\n]*\n|[^\n]+")  # git knows no other line end

LINES = 300  # added and removed, over all files of a task
SMALL, MIDDLING = 6, 40  # lines up to which a change is of low, of medium risk


def code_patch(bench: Bench, arguments: Mapping[str, Any]) -> Observation:
    """Applies a unified diff to one file. Without `keep`, earlier patches no longer stand."""
    path = arguments["file_path"]
    _require_open(path)
    files = bench.tree("base")
    standing: dict[str, str] = {}
    if arguments.get("keep") and bench.has(PATCHED):
        standing = bench.read_json(PATCHED)
    if path in standing:
        before = standing[path]
    elif path in files:
        before = _text(path, files[path])
    else:
        raise BadArguments(f"file_path: there is no file {path}")
    hunks = _hunks(path, arguments["unified_diff"])
    after = applied(before, hunks)
    if after == before:
        raise BadArguments("unified_diff: it changes nothing")
    standing[path] = after
    lines = sum(_changed_lines(_text(p, files[p]), now) for p, now in standing.items())
    if lines > LINES:
        raise BadArguments(f"unified_diff: {lines} changed lines; at most {LINES} are allowed")
    risk = "low" if lines <= SMALL else "medium" if lines <= MIDDLING else "high"
    patch_id = sha256(as_json(sorted(standing.items()))).hexdigest()
    said = f"{path}: {lines} line{'s' if lines != 1 else ''} changed, {risk} risk"
    return Observation(
        said,
        {PATCHED: as_json(standing), PATCH: as_json(_kept(bench, arguments))},
        result={
            "patch_id": patch_id,
            "lines_changed": lines,
            "risk_level": risk,
            "files": sorted(standing),
        },
    )


def standing_patches(before: Mapping[str, bytes], after: Mapping[str, str]) -> bytes:
    """Files that were changed as a whole, kept as patches are: for whoever watches meanwhile."""
    parts = [
        {
            "file_path": path,
            "unified_diff": edits.unified(
                {path: before.get(path, b"")}, {path: after[path].encode()}
            ),
        }
        for path in sorted(after)
    ]
    return as_json({"parts": parts})


def _kept(bench: Bench, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The patches that stand, as they were given."""
    earlier = bench.read_json(PATCH)["parts"] if arguments.get("keep") and bench.has(PATCH) else []
    part = {name: arguments[name] for name in ("file_path", "unified_diff", "rationale")}
    return {"parts": [*earlier, part]}


def applied(before: str, hunks: list[diff.Hunk]) -> str:
    """`before` with the hunks put in. Raises BadArguments where it does not read as they say."""
    lines = _LINE.findall(before)
    found: list[str] = []
    position = 0
    for hunk in hunks:
        # A hunk that only adds names the line before it.
        start = hunk.old_start - 1 if hunk.old_count else hunk.old_start
        if start < position or start > len(lines):
            raise BadArguments(f"unified_diff: there is no line {hunk.old_start} to begin at")
        found += lines[position:start]
        position = start
        for line in hunk.lines:
            if line.kind == "+":
                found.append(line.text + ("" if line.ends_file else "\n"))
                continue
            here = lines[position] if position < len(lines) else None
            if here is None or here.rstrip("\n") != line.text:
                raise BadArguments(
                    f"unified_diff: line {position + 1} reads {(here or '').rstrip()!r},"
                    f" the diff says {line.text!r}"
                )
            if line.kind == " ":
                found.append(here)
            position += 1
    return "".join([*found, *lines[position:]])


def _require_open(path: str) -> None:
    try:
        policy.check_path(path)
        policy.check_agent_path(path)
    except ForgeRefused as refusal:
        raise BadArguments(f"file_path: {refusal}") from refusal
    if is_test_path(path):
        raise BadArguments(f"file_path: {path} is a test; a repair may not change what proves it")


def _hunks(path: str, unified_diff: str) -> list[diff.Hunk]:
    said = unified_diff if unified_diff.endswith("\n") else unified_diff + "\n"
    if not said.startswith("diff --git "):
        said = f"diff --git a/{path} b/{path}\n{said}"
    try:
        files = diff.files(said.encode())
    except diff.MalformedDiff as error:
        raise BadArguments(f"unified_diff: {error}") from error
    if len(files) != 1 or files[0].path != path or files[0].status != "modified":
        raise BadArguments(f"unified_diff: it has to change the lines of {path} and nothing else")
    if not files[0].hunks:
        raise BadArguments("unified_diff: it has no hunk")
    return list(files[0].hunks)


def _text(path: str, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise BadArguments(f"file_path: {path} is not UTF-8 text") from error


def _changed_lines(before: str, after: str) -> int:
    old, new = _LINE.findall(before), _LINE.findall(after)
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    end = 0
    while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
        end += 1
    return (len(old) - start - end) + (len(new) - start - end)


_PATH = re.compile(r"^[^\x00-\x1f\\]{1,1024}$")

CODE_PATCH = Tool(
    code_patch,
    Permission.TASK_RUN,
    says="Change one file by a unified diff. Tests and guarded files may not be changed.",
    arguments=takes(
        ("file_path", "unified_diff", "rationale"),
        file_path=text("Path below the repository.", pattern=_PATH.pattern),
        unified_diff=text("Hunks as `diff -u` or git write them.", minLength=1, maxLength=200_000),
        rationale=text("Why this change, for the reviewer.", minLength=1, maxLength=4_000),
        keep={
            "type": "boolean",
            "description": "Whether earlier patches of other files stand too.",
        },
    ),
    result=gives(
        patch_id=text("SHA-256 over the patched files.", pattern="^[0-9a-f]{64}$"),
        lines_changed=whole("Lines added and removed, over all patched files.", minimum=1),
        risk_level=text("By the number of lines.", enum=["low", "medium", "high"]),
        files={"type": "array", "items": {"type": "string"}, "description": "Patched files."},
    ),
)
