"""Pull requests kept as refs of the repository they belong to."""

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from agent.forge import Check, ForgeRefused, ForgeUnavailable, git

# No git process of ours lives this long, so an older lock belongs to one that was killed.
STALE_LOCK_AGE = git.TIME_LIMIT + 10  # seconds


@dataclass(frozen=True, slots=True)
class Record:
    """What is stored about a pull request; head_sha is the head when it was last written."""

    number: int
    key: str
    title: str
    body: str
    head_branch: str
    base_branch: str
    head_sha: str
    base_sha: str
    draft: bool
    closed: bool = False
    closing_reason: str = ""
    checks: tuple[Check, ...] = ()

    def to_bytes(self) -> bytes:
        # ASCII keeps the record on one line whatever the texts hold.
        return json.dumps({"format": 1, **asdict(self)}, sort_keys=True).encode("ascii")

    @classmethod
    def from_bytes(cls, stored: bytes) -> "Record":
        facts = json.loads(stored)
        if facts.pop("format") != 1:
            raise ForgeRefused("a pull request record of an unknown format")
        checks = tuple(Check(**check) for check in facts.pop("checks"))
        return cls(**facts, checks=checks)


class Stored(NamedTuple):
    record: Record
    blob: str  # sha of the stored record, expected again when it is replaced


def opened_before(git_dir: Path, key_ref: str) -> Stored | None:
    """The record that a pull request's key leads to, as it was when it was opened."""
    found = _listed(git_dir, key_ref)
    return found[0] if found else None


def complete(git_dir: Path, opened: Stored) -> None:
    """Write the record of a pull request whose opening was cut short after its key."""
    name = f"refs/pull/{opened.record.number}/record"
    if not _listed(git_dir, name):
        try_moving_refs(git_dir, [(name, opened.blob, None)])


def last_number(git_dir: Path) -> int:
    listing = git.run(git_dir, "for-each-ref", "--format=%(refname)", "refs/pull/").output
    return max((int(line.split("/")[2]) for line in listing.decode().splitlines()), default=0)


def stored(git_dir: Path, number: int) -> Stored:
    found = all_stored(git_dir, str(int(number)))
    if not found:
        raise ForgeRefused(f"no such pull request: {number}")
    return found[0]


def all_stored(git_dir: Path, number: str = "*") -> list[Stored]:
    found = _listed(git_dir, f"refs/pull/{number}/record")
    return sorted(found, key=lambda stored: stored.record.number)


def try_moving_refs(git_dir: Path, moves: Sequence[tuple[str, str, str | None]]) -> bool:
    """Point refs to new objects, all or none; (name, new sha, sha it has now or None).

    False when a ref is no longer what the caller thought. Raises ForgeUnavailable when the disk
    is full or another process holds a ref for too long.
    """
    _drop_stale_locks(git_dir, [name for name, _, _ in moves])
    lines = [
        f"create {name} {new}\n" if old is None else f"update {name} {new} {old}\n"
        for name, new, old in moves
    ]
    answer = git.run(
        git_dir,
        "update-ref",
        "--stdin",
        stdin="".join(lines).encode(),
        expected=(0, 128),
    )
    if answer.status == 0:
        return True
    moved = ("reference already exists", "but expected", "unable to resolve reference")
    if any(words in answer.complaint for words in moved):
        return False
    raise ForgeUnavailable(f"git update-ref: {answer.complaint.splitlines()[0]}")


def _listed(git_dir: Path, pattern: str) -> list[Stored]:
    listing = git.run(git_dir, "for-each-ref", "--format=%(objectname) %(raw)", pattern).output
    found = []
    for line in listing.splitlines():
        blob, record = line.split(b" ", 1)
        found.append(Stored(Record.from_bytes(record), blob.decode()))
    return found


def _drop_stale_locks(git_dir: Path, names: Sequence[str]) -> None:
    for name in (*names, "packed-refs"):
        lock = git_dir / f"{name}.lock"
        with suppress(FileNotFoundError, NotADirectoryError):
            if time.time() - lock.lstat().st_mtime > STALE_LOCK_AGE:
                lock.unlink()
