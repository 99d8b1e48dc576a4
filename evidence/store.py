"""Content-addressed bytes on disk, apart for each tenant."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

_CHUNK = 1 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class StoreFault(Exception):
    """Bytes could not be kept or given back; the message says which, and why."""


class Missing(StoreFault):
    """Nothing is stored under that digest for that tenant."""


class Damaged(StoreFault):
    """What lies on disk is no longer what was stored."""


class StoreFull(StoreFault):
    """There is no room left; nothing was kept of what was being written."""


@dataclass(frozen=True, slots=True)
class Stored:
    """The address of stored bytes: their digest (hex) and how many they are."""

    sha256: str
    size: int


class Store:
    """A folder of files named by the SHA-256 of what they hold: `<tenant>/ab/cd/abcd...`."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def put(self, tenant_id: UUID, content: bytes) -> Stored:
        """Keep `content`; on disk, and stays there after a power cut, when this returns."""
        return self.put_stream(tenant_id, [content])

    def put_stream(self, tenant_id: UUID, chunks: Iterable[bytes]) -> Stored:
        """Keep the chunks in order as one file, however large. Raises StoreFull."""
        digest, size = sha256(), 0
        with _room_or_full():
            tenant_folder = self._made(self.folder / str(tenant_id))
            with _temporary_file(tenant_folder) as (file, path):
                for chunk in chunks:
                    file.write(chunk)
                    digest.update(chunk)
                    size += len(chunk)
                file.flush()
                os.fsync(file.fileno())
                target = self._path(tenant_id, digest.hexdigest())
                self._made(target.parent)
                path.replace(target)
                _fsync_folder(target.parent)
        return Stored(digest.hexdigest(), size)

    def get(self, tenant_id: UUID, digest: str, *, size: int | None = None) -> bytes:
        """The bytes stored under `digest`, checked. Raises Missing or Damaged."""
        return b"".join(self.get_stream(tenant_id, digest, size=size))

    def get_stream(
        self, tenant_id: UUID, digest: str, *, size: int | None = None
    ) -> Iterator[bytes]:
        """The bytes in chunks of at most 1 MiB; all are checked before the first is given."""
        with self._opened(tenant_id, digest) as file:
            actual_size = os.fstat(file.fileno()).st_size
            if size is not None and actual_size != size:
                raise Damaged(f"{digest} of tenant {tenant_id}: {actual_size} bytes, not {size}")
            if _digest_of(file) != digest:
                raise Damaged(f"{digest} of tenant {tenant_id}: the bytes have another digest")
            file.seek(0)
            while chunk := file.read(_CHUNK):
                yield chunk

    def holds(self, tenant_id: UUID, digest: str) -> bool:
        """Whether something lies under `digest`; does not read it."""
        return self._path(tenant_id, digest).is_file()

    def digests(self, tenant_id: UUID) -> Iterator[str]:
        """What is stored for a tenant, in order; as long as nobody erases it meanwhile."""
        for outer in _folders(self.folder / str(tenant_id)):
            for inner in _folders(outer):
                yield from sorted(p.name for p in inner.iterdir() if _DIGEST.fullmatch(p.name))

    def delete(self, tenant_id: UUID, digest: str) -> bool:
        """Delete one file, for good once this returns; says whether it was there."""
        path = self._path(tenant_id, digest)
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        _fsync_folder(path.parent)
        return True

    def erase(self, tenant_id: UUID) -> int:
        """Delete everything that is stored for a tenant; returns how many files that were."""
        count = sum(1 for _ in self.digests(tenant_id))
        folder = self.folder / str(tenant_id)
        if folder.is_dir():
            shutil.rmtree(folder)
            _fsync_folder(self.folder)
        return count

    def _opened(self, tenant_id: UUID, digest: str) -> BinaryIO:
        try:
            return self._path(tenant_id, digest).open("rb")
        except FileNotFoundError as fault:
            raise Missing(f"{digest} of tenant {tenant_id} is not in the store") from fault

    def _path(self, tenant_id: UUID, digest: str) -> Path:
        # Digests arrive from requests too: nothing but hex may become part of a path.
        if not _DIGEST.fullmatch(digest):
            raise Missing(f"{digest!r} is not a SHA-256 in lower-case hex")
        return self.folder / str(tenant_id) / digest[:2] / digest[2:4] / digest

    def _made(self, folder: Path) -> Path:
        """Make the folder durable: a new name counts only once its parent is on disk."""
        missing = []
        while not folder.is_dir():
            missing.append(folder)
            folder = folder.parent
        for new_folder in reversed(missing):
            new_folder.mkdir(mode=0o700, exist_ok=True)
            _fsync_folder(new_folder.parent)
            folder = new_folder
        return folder


@contextmanager
def _temporary_file(folder: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """A file that is gone afterwards unless it was renamed."""
    handle, name = tempfile.mkstemp(prefix=".new-", dir=folder)
    path = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file, path
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def _room_or_full() -> Iterator[None]:
    try:
        yield
    except OSError as fault:
        if fault.errno not in _NO_ROOM:
            raise
        raise StoreFull("the store has no room left; nothing was kept") from fault


def _folders(parent: Path) -> list[Path]:
    return sorted(path for path in parent.iterdir() if path.is_dir()) if parent.is_dir() else []


def _digest_of(file: BinaryIO) -> str:
    digest = sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def _fsync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
