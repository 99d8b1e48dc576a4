"""Pure reading of git's unified diffs for people who compare two versions."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal, NamedTuple

Kind = Literal[" ", "-", "+"]

_HUNK = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@ ?(.*)", re.DOTALL)
_ESCAPE = re.compile(rb"\\([abtnvfr\"\\]|[0-7]{3})")
_ESCAPED = {
    b"a": b"\a",
    b"b": b"\b",
    b"t": b"\t",
    b"n": b"\n",
    b"v": b"\v",
    b"f": b"\f",
    b"r": b"\r",
    b'"': b'"',
    b"\\": b"\\",
}


class MalformedDiff(ValueError):
    """These bytes are not a unified diff as git writes it."""


class Line(NamedTuple):
    """One line; old and new count from 1 and are None on the side where the line is not."""

    kind: Kind
    text: str  # without its line end; bytes that are not UTF-8 are replaced
    old: int | None
    new: int | None
    ends_file: bool = False  # the file's last line, without a line end


class Row(NamedTuple):
    """What stands side by side; None leaves that side blank."""

    left: Line | None
    right: Line | None


@dataclass(frozen=True, slots=True)
class Hunk:
    """Neighbouring changes with the lines around them; heading is git's guess of the function."""

    old_start: int
    old_count: int
    new_start: int
    new_count: int
    heading: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class FileDiff:
    """All changes of one file; path and old_path differ only after a rename or a copy.

    added and removed count lines: both are 0 for a binary file.
    Modes are git's ("100644"), empty when the diff does not tell.
    """

    path: str
    old_path: str
    status: Literal["added", "deleted", "modified", "renamed", "copied"]
    added: int
    removed: int
    binary: bool
    old_mode: str
    new_mode: str
    hunks: tuple[Hunk, ...]


def files(diff: bytes) -> list[FileDiff]:
    """Files of a diff in its own order; an empty diff has none. Raises MalformedDiff."""
    lines = diff.split(b"\n")
    if lines and not lines[-1]:
        lines.pop()
    found, position = [], 0
    while position < len(lines):
        if not lines[position].startswith(b"diff --git "):
            raise MalformedDiff(f"line {position + 1}: expected the start of a file")
        file, position = _file(lines, position)
        found.append(file)
    return found


def rows(hunk: Hunk) -> list[Row]:
    """A hunk side by side: each removed line faces the added line that took its place."""
    found: list[Row] = []
    removed: list[Line] = []
    added: list[Line] = []
    for line in hunk.lines:
        if line.kind == "+":
            added.append(line)
            continue
        if added or (removed and line.kind == " "):
            found.extend(map(Row, *zip(*zip_longest(removed, added), strict=True)))
            removed, added = [], []
        if line.kind == "-":
            removed.append(line)
        else:
            found.append(Row(line, line))
    if removed or added:
        found.extend(map(Row, *zip(*zip_longest(removed, added), strict=True)))
    return found


def _file(lines: Sequence[bytes], position: int) -> tuple[FileDiff, int]:
    old_path, new_path = _paths_of_heading(lines[position][len(b"diff --git ") :])
    status: Literal["added", "deleted", "modified", "renamed", "copied"] = "modified"
    old_mode = new_mode = ""
    binary = False
    hunks: list[Hunk] = []
    position += 1
    while position < len(lines):
        line = lines[position]
        if line.startswith(b"diff --git "):
            break
        word, _, rest = line.partition(b" ")
        if word == b"@@":
            hunk, position = _hunk(lines, position)
            hunks.append(hunk)
            continue
        if line.startswith(b"GIT binary patch"):
            binary = True
            position = _end_of_binary(lines, position)
            continue
        if word == b"Binary":
            binary = True
        elif line.startswith(b"new file mode "):
            status, new_mode = "added", line[14:].decode()
        elif line.startswith(b"deleted file mode "):
            status, old_mode = "deleted", line[18:].decode()
        elif line.startswith(b"old mode "):
            old_mode = line[9:].decode()
        elif line.startswith(b"new mode "):
            new_mode = line[9:].decode()
        elif line.startswith((b"rename from ", b"copy from ")):
            status = "renamed" if word == b"rename" else "copied"
            old_path = _path(rest.removeprefix(b"from "))
        elif line.startswith((b"rename to ", b"copy to ")):
            new_path = _path(rest.removeprefix(b"to "))
        elif word == b"index" and b" " in rest:
            old_mode = new_mode = rest.rpartition(b" ")[2].decode()
        elif word == b"---" and rest != b"/dev/null":
            old_path = _path(rest.removesuffix(b"\t"), prefix=b"a/")
        elif word == b"+++" and rest != b"/dev/null":
            new_path = _path(rest.removesuffix(b"\t"), prefix=b"b/")
        elif word not in {b"index", b"similarity", b"dissimilarity", b"---", b"+++"}:
            raise MalformedDiff(f"line {position + 1}: not a line of a file's heading")
        position += 1
    file = FileDiff(
        path=old_path if status == "deleted" else new_path,
        old_path=new_path if status == "added" else old_path,
        status=status,
        added=sum(line.kind == "+" for hunk in hunks for line in hunk.lines),
        removed=sum(line.kind == "-" for hunk in hunks for line in hunk.lines),
        binary=binary,
        old_mode=old_mode,
        new_mode=new_mode,
        hunks=tuple(hunks),
    )
    return file, position


def _hunk(lines: Sequence[bytes], position: int) -> tuple[Hunk, int]:
    match = _HUNK.fullmatch(lines[position])
    if match is None:
        raise MalformedDiff(f"line {position + 1}: not the start of a hunk")
    old, new = int(match[1]), int(match[3])
    old_count = 1 if match[2] is None else int(match[2])
    new_count = 1 if match[4] is None else int(match[4])
    old_end, new_end = old + old_count, new + new_count
    found: list[Line] = []
    position += 1
    # The counts decide where a hunk ends: its content may look like a heading.
    while position < len(lines):
        line = lines[position]
        first, text = line[:1], line[1:].decode(errors="replace")
        if first == b"\\" and found:
            found[-1] = found[-1]._replace(ends_file=True)
        elif old == old_end and new == new_end:
            break
        elif first == b"+" and new < new_end:
            found.append(Line("+", text, None, new))
            new += 1
        elif first == b"-" and old < old_end:
            found.append(Line("-", text, old, None))
            old += 1
        elif first == b" " and old < old_end and new < new_end:
            found.append(Line(" ", text, old, new))
            old += 1
            new += 1
        else:
            raise MalformedDiff(f"line {position + 1}: not a line of this hunk")
        position += 1
    if old != old_end or new != new_end:
        raise MalformedDiff("the diff ends inside a hunk")
    heading = match[5].decode(errors="replace")
    starts = (int(match[1]), old_count, int(match[3]), new_count)
    return Hunk(*starts, heading, tuple(found)), position


def _end_of_binary(lines: Sequence[bytes], position: int) -> int:
    while position < len(lines) and not lines[position].startswith(b"diff --git "):
        position += 1
    return position


def _paths_of_heading(names: bytes) -> tuple[str, str]:
    """Paths of `a/... b/...`, which is all that tells them when only a mode changed."""
    if names.startswith(b'"'):
        end = re.match(rb'"(?:[^"\\]|\\.)*"', names)
        if end is None:
            raise MalformedDiff("a quoted path without an end")
        return _path(end[0], prefix=b"a/"), _path(names[end.end() + 1 :], prefix=b"b/")
    if names.endswith(b'"'):
        old, _, new = names.partition(b' "')
        return _path(old, prefix=b"a/"), _path(b'"' + new, prefix=b"b/")
    # Without a rename both are the same, so the middle is known although names may hold spaces.
    half = (len(names) - 1) // 2
    if names[2:half] == names[half + 3 :]:
        path = _path(names[:half], prefix=b"a/")
        return path, path
    old, _, new = names.partition(b" b/")
    return _path(old, prefix=b"a/"), _path(new)


def _path(name: bytes, prefix: bytes = b"") -> str:
    if name.startswith(b'"'):
        name = _ESCAPE.sub(_unescaped, name[1:-1])
    return name.removeprefix(prefix).decode(errors="replace")


def _unescaped(match: re.Match[bytes]) -> bytes:
    letter = match[1]
    return _ESCAPED[letter] if letter in _ESCAPED else bytes([int(letter, 8) & 0xFF])
