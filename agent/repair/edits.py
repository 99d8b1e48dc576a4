"""Changes of source text as splices of bytes, so that comments and layout stay."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Edit:
    """`text` takes the place of the bytes from `start` to `end` of one file."""

    path: str
    start: int
    end: int
    text: str


def apply(sources: Mapping[str, bytes], edits: Iterable[Edit]) -> dict[str, bytes]:
    """The sources with the edits made; edits of one file must not overlap."""
    changed = dict(sources)
    for edit in sorted(edits, reverse=True):
        old = changed[edit.path]
        changed[edit.path] = old[: edit.start] + edit.text.encode() + old[edit.end :]
    return changed


def unified(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> str:
    """The unified diff of all files that differ, as git writes it, without index lines."""
    parts: list[str] = []
    for path in sorted(before.keys() | after.keys()):
        old, new = before.get(path, b""), after.get(path, b"")
        if old == new:
            continue
        parts.append(f"diff --git a/{path} b/{path}\n")
        lines = difflib.unified_diff(
            old.decode("utf-8", "replace").splitlines(keepends=True),
            new.decode("utf-8", "replace").splitlines(keepends=True),
            f"a/{path}",
            f"b/{path}",
        )
        for line in lines:
            whole = line.endswith("\n")
            parts.append(line if whole else f"{line}\n\\ No newline at end of file\n")
    return "".join(parts)


def changed_lines(diff: str) -> int:
    """Lines added plus lines removed."""
    return sum(
        line.startswith(("+", "-")) and not line.startswith(("+++ ", "--- "))
        for line in diff.splitlines()
    )
