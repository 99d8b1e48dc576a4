"""What is made once and kept to be used again: held while it is used, deleted when nobody needs it.

Each thing is a folder or a file of its own. Who uses one holds a shared lock on it and marks the
time; who deletes one has to have it alone, and moves it away under that lock. So whoever comes
later finds nothing and makes it anew, and nobody finds half of it.
"""

import fcntl
import os
import secrets
import shutil
import stat
import time
import weakref
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

RECENT_S = 6 * 3_600  # what was used since then stays, whatever it takes
HALF_MADE_S = 24 * 3_600  # nobody takes as long to make or to delete something


class Held:
    """A thing that nobody deletes as long as this object lives, in this process or a fork of it."""

    def __init__(self, place: Path, descriptor: int) -> None:
        self.place = place
        self.descriptor = descriptor
        weakref.finalize(self, os.close, descriptor)

    @classmethod
    def at(cls, place: Path) -> Self | None:
        """Hold what lies at `place`, and mark it as used now; None when there is nothing."""
        while True:
            try:
                held = cls(place, os.open(place, os.O_RDONLY | os.O_NOFOLLOW))
            except FileNotFoundError:
                return None
            # Waits while it is being moved away at the most.
            fcntl.flock(held.descriptor, fcntl.LOCK_SH)
            if _is_still_at(place, held.descriptor):
                with suppress(PermissionError):  # another account's, which marks its own uses
                    os.utime(held.descriptor)
                return held


@dataclass(frozen=True)
class Swept:
    """What came of one clean-up. Sizes in bytes."""

    deleted: int = 0
    freed: int = 0
    kept: int = 0
    size: int = 0  # of what is kept


@dataclass(frozen=True, order=True)
class _Thing:
    used_at: float  # seconds since the epoch
    place: Path
    size: int


def sweep(
    folders: Sequence[Path], *, unused_s: float, most_bytes: int, needed: Collection[str]
) -> Swept:
    """Delete what nobody has used for unused_s, then, oldest use first, what is over most_bytes.

    Things that are held, were used within RECENT_S or have a name in `needed` stay in any case.
    """
    now = time.time()
    things = sorted(thing for folder in folders for thing in _things(folder, now))
    swept = Swept(kept=len(things), size=sum(thing.size for thing in things))
    for thing in things:
        age = now - thing.used_at
        over = swept.size > most_bytes and age > RECENT_S
        if thing.place.name in needed or not (over or age > max(unused_s, RECENT_S)):
            continue
        if _delete(thing):
            swept = replace(
                swept,
                deleted=swept.deleted + 1,
                freed=swept.freed + thing.size,
                kept=swept.kept - 1,
                size=swept.size - thing.size,
            )
    return swept


def _things(folder: Path, now: float) -> Iterator[_Thing]:
    """What is in a folder; what was left half made or half deleted there goes at once."""
    try:
        places = sorted(folder.iterdir())
    except FileNotFoundError:
        return
    for place in places:
        try:
            facts = place.lstat()
            if place.name.startswith("."):
                if now - facts.st_mtime > HALF_MADE_S:
                    _remove(place)
            elif not stat.S_ISLNK(facts.st_mode):
                yield _Thing(facts.st_mtime, place, _size(place))
        except FileNotFoundError:
            continue  # somebody else was quicker


def _size(place: Path) -> int:
    """Bytes on the disk, of a folder with all below it."""
    size = place.lstat().st_blocks * 512
    if place.is_dir():
        for folder, _, files in os.walk(place):
            for file in files:
                with suppress(FileNotFoundError):
                    size += os.lstat(os.path.join(folder, file)).st_blocks * 512
    return size


def _delete(thing: _Thing) -> bool:
    """Delete it unless somebody holds it or has used it since; says whether."""
    try:
        descriptor = os.open(thing.place, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        used_since = os.fstat(descriptor).st_mtime != thing.used_at
        if used_since or not _is_still_at(thing.place, descriptor):
            return False
        gone = thing.place.with_name(f".going-{secrets.token_hex(6)}")
        thing.place.rename(gone)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    _remove(gone)
    return True


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink()


def _is_still_at(place: Path, descriptor: int) -> bool:
    """Whether what is open here is what others find there."""
    try:
        return os.path.samestat(place.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
