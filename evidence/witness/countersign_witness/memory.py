"""What the witness has seen, on disk before anybody hears of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

_TABLE = """
    CREATE TABLE IF NOT EXISTS seen (
        origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL, note TEXT NOT NULL
    ) STRICT
"""


@dataclass(frozen=True)
class Seen:
    """The newest head of a log that was cosigned. note: with the cosignature."""

    size: int
    root: bytes
    note: str


class Memory:
    """One SQLite file. Losing it, or putting an old copy back, makes the witness worthless: it
    would then cosign a second past."""

    def __init__(self, path: Path) -> None:
        self._lock = Lock()
        self._file = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        # Every commit is on the disk when it returns, its folder's entry too.
        self._file.execute("PRAGMA journal_mode = DELETE")
        self._file.execute("PRAGMA synchronous = EXTRA")
        self._file.execute("PRAGMA busy_timeout = 5000")
        self._file.execute(_TABLE)

    def newest(self, origin: str) -> Seen | None:
        """The newest head of a log that was cosigned."""
        with self._lock:
            return self._newest(origin)

    @contextmanager
    def deciding(self, origin: str) -> Iterator[tuple[Seen | None, list[Seen]]]:
        """The newest head, with nobody else deciding about any; what is put into the list is on
        disk when the block has ended. Keeps other processes with the same file away too."""
        with self._lock:
            self._file.execute("BEGIN IMMEDIATE")
            decided: list[Seen] = []
            try:
                yield self._newest(origin), decided
                for seen in decided:
                    self._file.execute(
                        "INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?)",
                        (origin, seen.size, seen.root, seen.note),
                    )
                self._file.execute("COMMIT")
            except BaseException:
                if self._file.in_transaction:
                    self._file.execute("ROLLBACK")
                raise

    def close(self) -> None:
        with self._lock:
            self._file.close()

    def _newest(self, origin: str) -> Seen | None:
        rows = self._file.execute("SELECT size, root, note FROM seen WHERE origin = ?", (origin,))
        row = rows.fetchone()
        return Seen(*row) if row else None
