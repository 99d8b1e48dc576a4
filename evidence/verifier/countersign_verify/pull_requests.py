"""Checks what a pack says of pull requests, against the diff, the files, the signed statements."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha1, sha256
from typing import Any

from . import envelope, strict_json
from .container import Container
from .findings import Rejected
from .keys import VerifierKey
from .merges import check_merge_commit
from .red_green import check_red_green

CHECK = "pull request"
BUNDLE = "bundle.intoto.jsonl"
MANIFEST = "urn:countersign:record-manifest:v1"

_FOLDER = re.compile(r"prs/[^/]+-[0-9]+/")
_HUNK = re.compile(rb"@@ -[0-9]+(?:,([0-9]+))? \+[0-9]+(?:,([0-9]+))? @@")
_BLOB = re.compile(rb"index [0-9a-f]+\.\.([0-9a-f]+)(?: [0-7]+)?")
_QUOTED = re.compile(rb"\\([0-7]{3}|.)")
_ESCAPES = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b'"': b'"', b"\\": b"\\"}


@dataclass(frozen=True, slots=True)
class PullRequest:
    """One pull request, as far as it was checked."""

    figures: Mapping[str, Any]  # the row that a report prints
    diff_sha256: str
    files_bound: int  # files whose bytes the diff names by git's own digest
    statements: int
    manifest_sha256: str  # of the statement that lists all the others
    key: VerifierKey  # that signed every one of them
    proved: bool  # whether a red/green proof came with it, which holds
    described: Mapping[str, Any]  # pull-request.json
    merge: Mapping[str, Any] | None  # merge.json, where its record tells of a merge


@dataclass(frozen=True, slots=True)
class _Line:
    """One signed statement: the envelope as it stands, the statement inside."""

    content: bytes
    said: dict[str, Any]
    key: VerifierKey


@dataclass(slots=True)
class _Section:
    """What a diff says of one file."""

    path: str
    blob: str = ""  # git's digest of the new contents, perhaps shortened
    deleted: bool = False


def check_pull_requests(pack: Container, keys: Iterable[VerifierKey]) -> list[PullRequest]:
    folders = sorted({found[0] for name in pack.members if (found := _FOLDER.match(name))})
    return [_check(pack, folder, list(keys)) for folder in folders]


def _check(pack: Container, folder: str, keys: list[VerifierKey]) -> PullRequest:
    for name in ("pull-request.json", "diff.patch", "bundle.intoto.jsonl"):
        if folder + name not in pack.members:
            raise Rejected(CHECK, folder + name, "is missing")
    subject = folder + "pull-request.json"
    described = strict_json.read_object(subject, pack.read(subject))
    diff = pack.read(folder + "diff.patch")
    try:
        head, base = described["head"], described["base"]["commit"]
        declared = {file["path"]: file for file in described["files"]}
        diff_sha256, diff_size = described["diff"]["sha256"], described["diff"]["size"]
        figures = {
            "folder": folder.rstrip("/"),
            "repo": described["repo"],
            "number": described["number"],
            "title": described["title"],
            "base": base,
            "head": head["commit"],
            "diff_sha256": diff_sha256,
            "files": len(described["files"]),
        }
        if len(declared) != len(described["files"]):
            raise Rejected(CHECK, subject, "a file is listed twice")
        if (sha256(diff).hexdigest(), len(diff)) != (diff_sha256, diff_size):
            raise Rejected(CHECK, folder + "diff.patch", "is not the diff of this pull request")
        _check_files(pack, folder, declared)
        bound = _check_diff(pack, folder, declared, diff)
        bundle = pack.read(folder + "bundle.intoto.jsonl")
        wanted = {"gitCommit": head["commit"], "gitTree": head["tree"]}
        lines = _check_bundle(folder, bundle, keys, wanted, diff_sha256)
        manifest_sha256 = _check_manifest(pack, folder, lines)
        key = lines[-1].key
        if any(line.key != key for line in lines):
            raise Rejected(CHECK, folder + BUNDLE, "its statements are signed by several keys")
        said = [line.said for line in lines]
        proved = check_red_green(pack, folder, declared, said)
        merge = check_merge_commit(pack, folder, described, said)
    except (KeyError, TypeError, AttributeError) as fault:
        raise Rejected(CHECK, subject, f"malformed at {fault}") from fault
    insertions, deletions = _changed_lines(diff)
    counted = {"insertions": insertions, "deletions": deletions, "statements": len(lines)}
    return PullRequest(
        figures=figures | counted,
        diff_sha256=diff_sha256,
        files_bound=bound,
        statements=len(lines),
        manifest_sha256=manifest_sha256,
        key=key,
        proved=proved,
        described=described,
        merge=merge,
    )


def _check_files(pack: Container, folder: str, declared: Mapping[str, Any]) -> None:
    prefix = folder + "files/"
    present = {name.removeprefix(prefix) for name in pack.members if name.startswith(prefix)}
    expected = {path for path, file in declared.items() if file["status"] != "deleted"}
    for path in sorted(present ^ expected):
        which = "is in the pack but not" if path in present else "is missing, though listed"
        raise Rejected(CHECK, prefix + path, f"{which} in the pull request")
    for path in expected:
        content = pack.read(prefix + path)
        file = declared[path]
        if (sha256(content).hexdigest(), len(content)) != (file["sha256"], file["size"]):
            raise Rejected(CHECK, prefix + path, "is not the file that the pull request lists")


def _check_diff(pack: Container, folder: str, declared: Mapping[str, Any], diff: bytes) -> int:
    """The diff touches the listed files and no others; where it names a blob, it is that file."""
    sections = _sections(folder + "diff.patch", diff)
    if {section.path for section in sections} != declared.keys():
        odd = sorted({section.path for section in sections} ^ declared.keys())[0]
        raise Rejected(CHECK, folder + "diff.patch", f"disagrees with the file list on {odd}")
    bound = 0
    for section in sections:
        if section.deleted != (declared[section.path]["status"] == "deleted"):
            raise Rejected(CHECK, folder + "diff.patch", f"disagrees on {section.path}")
        if not section.blob or section.deleted:
            continue
        content = pack.read(f"{folder}files/{section.path}")
        framed = b"blob %d\0%b" % (len(content), content)
        # Git's digest is SHA-1 in most repositories; SHA-256 above is what the proof rests on.
        digests = sha1(framed, usedforsecurity=False).hexdigest(), sha256(framed).hexdigest()
        if not any(digest.startswith(section.blob) for digest in digests):
            raise Rejected(CHECK, f"{folder}files/{section.path}", "is not what the diff leads to")
        bound += 1
    return bound


def _check_bundle(
    folder: str,
    bundle: bytes,
    keys: list[VerifierKey],
    head: Mapping[str, str],
    diff_sha256: str,
) -> list[_Line]:
    lines = bundle.split(b"\n")
    if lines.pop() != b"" or not lines:
        raise Rejected(CHECK, folder + "bundle.intoto.jsonl", "holds no statement, or half a one")
    seen = []
    for number, line in enumerate(lines, start=1):
        subject = f"{folder}bundle.intoto.jsonl line {number}"
        said, key = envelope.statement(subject, line, keys)
        about = list(envelope.digests(subject, said).values())
        if dict(head) not in about:
            raise Rejected(CHECK, subject, "is about another commit than the pull request's head")
        if {"sha256": diff_sha256} not in about:
            raise Rejected(CHECK, subject, "is about another diff than the pull request's")
        seen.append(_Line(line, said, key))
    return seen


def _check_manifest(pack: Container, folder: str, lines: list[_Line]) -> str:
    """The last statement lists the others and every file of the folder; its own digest."""
    subject = f"{folder}{BUNDLE}"
    *others, last = lines
    if last.said.get("predicateType") != MANIFEST:
        raise Rejected(CHECK, subject, "does not end with the list of what was signed")
    expected = {
        "statements": [
            {
                "predicateType": line.said.get("predicateType"),
                "sha256": sha256(line.content).hexdigest(),
            }
            for line in others
        ],
        "artifacts": [
            {
                "path": name.removeprefix(folder),
                "sha256": sha256(pack.read(name)).hexdigest(),
            }
            for name in sorted(pack.members)
            if name.startswith(folder) and name != subject
        ],
    }
    if last.said.get("predicate") != expected:
        raise Rejected(CHECK, subject, "its list is not what lies here")
    payload = b64decode(strict_json.read_object(subject, last.content)["payload"])
    return sha256(payload).hexdigest()


def _sections(subject: str, diff: bytes) -> list[_Section]:
    sections: list[_Section] = []
    old_left = new_left = 0
    for line in diff.split(b"\n"):
        if old_left > 0 or new_left > 0:
            old_left -= not line.startswith((b"+", b"\\"))
            new_left -= not line.startswith((b"-", b"\\"))
        elif line.startswith(b"diff --git "):
            sections.append(_Section(_path_of(subject, line)))
        elif hunk := _HUNK.match(line):
            old_left, new_left = (int(count or 1) for count in hunk.groups())
        elif sections and line.startswith((b"+++ ", b"rename to ")):
            if line != b"+++ /dev/null":
                sections[-1].path = _plain(line.partition(b" ")[2].removeprefix(b"to "), b"b/")
        elif sections and line.startswith(b"deleted file mode"):
            sections[-1].deleted = True
        elif sections and (found := _BLOB.fullmatch(line)):
            sections[-1].blob = found[1].decode()
    return sections


def _path_of(subject: str, line: bytes) -> str:
    """The path of `diff --git a/PATH b/PATH`; a rename is told apart by the lines that follow."""
    names = line.removeprefix(b"diff --git ")
    if names.startswith(b'"'):
        return _plain(b'"' + names.rpartition(b' "')[2], b"b/")
    half = names[: (len(names) - 1) // 2].removeprefix(b"a/")
    try:
        return half.decode()
    except UnicodeDecodeError as fault:
        raise Rejected(CHECK, subject, "names a path that is not UTF-8") from fault


def _plain(name: bytes, prefix: bytes) -> str:
    """A path as git writes it, without its quotes, escapes and prefix."""
    name = name.rstrip(b"\t")
    if name.startswith(b'"') and name.endswith(b'"'):
        name = _QUOTED.sub(_unescaped, name[1:-1])
    return name.removeprefix(prefix).decode(errors="replace")


def _unescaped(found: re.Match[bytes]) -> bytes:
    code = found[1]
    return bytes([int(code, 8)]) if code.isdigit() else _ESCAPES.get(code, code)


def _changed_lines(diff: bytes) -> tuple[int, int]:
    insertions = deletions = old_left = new_left = 0
    for line in diff.split(b"\n"):
        if old_left <= 0 and new_left <= 0:
            if hunk := _HUNK.match(line):
                old_left, new_left = (int(count or 1) for count in hunk.groups())
        elif line[:1] == b"+":
            insertions += 1
            new_left -= 1
        elif line[:1] == b"-":
            deletions += 1
            old_left -= 1
        elif line[:1] != b"\\":
            old_left -= 1
            new_left -= 1
    return insertions, deletions
