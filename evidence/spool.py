"""An append-only file for each process: what is in it before the answer goes out is never lost.

A file opens with MAGIC and holds frames: length of the body and CRC-32 of it (four bytes each,
big-endian), then the body, a JSON object. The frames of one writer for one tenant are numbered from
0 (`seq`) and chained (`prev` is the SHA-256 of the body before, in hex), so a reader sees what is
missing, doubled or changed, for each tenant by itself. docs/ledger.md says what this is for.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

MAGIC = b"CSSPOOL1"
FRAME_LIMIT = 65_535  # bytes of a body
ROTATE_AT = 4 << 20  # bytes; then the next file is begun, so that shipped ones can go
FIRST = "0" * 64  # `prev` of a chain's first record
_HEAD = 8


class SpoolFault(Exception):
    """Something could not be put on record; the message says why. Whoever asked gets a no."""


@dataclass(frozen=True, slots=True)
class Spooled:
    """One record as a file holds it. end: where the next frame begins."""

    body: bytes
    end: int

    @property
    def said(self) -> dict[str, Any]:
        """The record, read."""
        said: dict[str, Any] = json.loads(self.body)
        return said

    @property
    def digest(self) -> str:
        return sha256(self.body).hexdigest()


class Spool:
    """The file that this process appends to. Any number of threads may; forks get their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.writer = uuid4().hex
        self._writing = threading.Lock()
        self._syncing = threading.Lock()
        self._handle = -1
        self._number = 0
        self._size = 0
        self._written = 0  # records, ever
        self._durable = 0  # as many of them are on disk
        self._lost: list[tuple[int, int]] = []  # of what number to which: was never promised
        self._chains: dict[UUID, tuple[int, str]] = {}

    def append(self, records: Sequence[tuple[UUID, Mapping[str, Any]]]) -> None:
        """Put (tenant, record) pairs on disk, in order; they are durable when this returns.

        Threads that wait at the same time share one fdatasync. Raises SpoolFault when any may not
        be on disk: then the chain has a hole where they should be, which is found and recorded.
        """
        if not records:
            return
        try:
            with self._writing:
                self._write(records)
                number = self._written
            self._sync(number)
        except OSError as fault:
            raise SpoolFault(f"the spool in {self.folder} cannot be written: {fault}") from fault

    def _write(self, records: Sequence[tuple[UUID, Mapping[str, Any]]]) -> None:
        frames, chains = [], dict(self._chains)
        for tenant, record in records:
            seq, prev = chains.get(tenant, (0, FIRST))
            named = {"writer": self.writer, "tenant": str(tenant), "seq": seq, "prev": prev}
            body = json.dumps({**record, **named}, separators=(",", ":"), sort_keys=True).encode()
            if len(body) > FRAME_LIMIT:
                raise SpoolFault(f"a record of {len(body)} bytes: at most {FRAME_LIMIT} fit")
            frames.append(_frame(body))
            chains[tenant] = seq + 1, sha256(body).hexdigest()
        # Counted before they are written: should that fail, the hole must be seen.
        self._chains = chains
        self._written += len(frames)
        data = b"".join(frames)
        try:
            if self._handle < 0 or self._size >= ROTATE_AT:
                self._begin()
            if os.write(self._handle, data) != len(data):
                raise OSError("the file took a part only")
        except OSError:
            self._give_up()
            raise
        self._size += len(data)

    def _sync(self, number: int) -> None:
        with self._syncing:
            with self._writing:
                if any(low < number <= high for low, high in self._lost):
                    raise OSError("the file was given up before this was on disk")
                if self._durable >= number:
                    return
                reached, handle = self._written, os.dup(self._handle)
            try:
                os.fdatasync(handle)
            except OSError:
                # What a failed sync left on disk nobody knows, and a second one would not say.
                with self._writing:
                    self._give_up()
                raise
            finally:
                os.close(handle)
            with self._writing:
                self._durable = max(self._durable, reached)

    def _begin(self) -> None:
        if self._handle >= 0:
            os.fdatasync(self._handle)
            os.close(self._handle)
            self._handle = -1
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.folder / f"{self.writer}-{self._number:06}.spool"
        self._number += 1
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        unready = path.with_suffix(".new")
        handle = os.open(unready, flags, 0o600)
        try:
            # Held as long as this process lives: whoever can take it knows the writer is gone. So
            # nobody may see the file without it.
            fcntl.flock(handle, fcntl.LOCK_EX)
            os.write(handle, MAGIC)
            os.fdatasync(handle)
            unready.rename(path)
            _fsync_folder(self.folder)
        except OSError:
            os.close(handle)
            raise
        self._handle, self._size = handle, len(MAGIC)

    def _give_up(self) -> None:
        """Leave the file; of what it holds beyond the last sync nothing is promised."""
        self._lost.append((self._durable, self._written))
        if self._handle >= 0:
            os.close(self._handle)
        self._handle = -1

    def close(self) -> None:
        """End the file; the next append begins another one."""
        if self._handle >= 0:
            os.close(self._handle)
        self._handle = -1


_open: dict[Path, Spool] = {}


def spool_in(folder: Path) -> Spool:
    """The spool of this process in `folder`."""
    found = _open.get(folder)
    return _open.setdefault(folder, Spool(folder)) if found is None else found


def _forget_parents() -> None:
    """A child of a fork must neither write into its parent's chain nor hold its lock."""
    for spool in _open.values():
        spool.close()
    _open.clear()


os.register_at_fork(after_in_child=_forget_parents)


def read_frames(path: Path, start: int = 0) -> Iterator[Spooled]:
    """The whole frames from byte `start` on; a torn or damaged one ends it.

    What is left over then, rest_of() says.
    """
    with path.open("rb") as file:
        if start == 0:
            if file.read(len(MAGIC)) != MAGIC:
                return
            start = len(MAGIC)
        file.seek(start)
        while len(head := file.read(_HEAD)) == _HEAD:
            length, crc = int.from_bytes(head[:4]), int.from_bytes(head[4:])
            if length > FRAME_LIMIT:
                return
            body = file.read(length)
            if len(body) < length or zlib.crc32(body) != crc:
                return
            start += _HEAD + length
            yield Spooled(body, start)


def rest_of(path: Path, end: int) -> str:
    """What follows the last whole frame, which ends at byte `end`: "" when nothing does, "torn"
    when a frame was cut off while it was written, "damaged" for anything else."""
    with path.open("rb") as file:
        begin = file.read(len(MAGIC))
        file.seek(max(end, len(MAGIC)))
        rest = file.read(_HEAD + FRAME_LIMIT)
    if begin != MAGIC:
        return "damaged"
    length = int.from_bytes(rest[:4])
    if not rest:
        return ""
    cut = len(rest) < _HEAD or (length <= FRAME_LIMIT and len(rest) < _HEAD + length)
    return "torn" if cut else "damaged"


def writer_is_gone(path: Path) -> bool:
    """Whether nobody will ever append to the file again."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True


def _frame(body: bytes) -> bytes:
    return len(body).to_bytes(4) + zlib.crc32(body).to_bytes(4) + body


def _fsync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
