"""Reads what a sandbox says on its third descriptor, believing none of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.sandbox.collecting import END, FILE, FRAME, REFUSED, REJECTED
from agent.sandbox.job import PATH_BYTES, Limits

_LINE = 64  # bytes; both lines are shorter


@dataclass
class Report:
    """What has been understood so far. Feed it bytes; it never holds more than the limits allow."""

    limits: Limits
    ready: bool = False
    exit_code: int | None = None
    complete: bool = False
    broken: str = ""  # the first thing that was not as agreed; nothing after it is read
    rejected: list[str] = field(default_factory=list)
    _files: dict[str, bytes] = field(default_factory=dict)
    _held: bytearray = field(default_factory=bytearray)
    _bytes: int = 0

    @property
    def artifacts(self) -> Mapping[str, bytes]:
        """Content by path; only what arrived whole."""
        return dict(self._files)

    def feed(self, data: bytes) -> None:
        """Take the next bytes, however they were cut."""
        if self.broken or self.complete:
            return
        self._held += data
        while not self.broken and not self.complete and self._step():
            pass

    def _step(self) -> bool:
        """Take one line or frame off the front; False when there is no whole one yet."""
        if not self.ready:
            return self._line(b"ready")
        if self.exit_code is None:
            return self._line(b"exit")
        return self._frame()

    def _line(self, word: bytes) -> bool:
        end = self._held.find(b"\n")
        if end < 0:
            if len(self._held) > _LINE:
                self._break("a line without an end")
            return False
        said = bytes(self._held[:end]).split(b" ")
        del self._held[: end + 1]
        if said == [b"ready"] == [word]:
            self.ready = True
        elif len(said) == 2 and said[0] == word == b"exit" and _is_code(said[1]):
            self.exit_code = int(said[1])
        else:
            self._break("an unknown line")
        return not self.broken

    def _frame(self) -> bool:
        if len(self._held) < FRAME.size:
            return False
        kind, path_bytes, size = FRAME.unpack_from(self._held)
        if kind not in {FILE, REFUSED, END} or path_bytes > PATH_BYTES:
            self._break("an unknown frame")
            return False
        most = self.limits.artifact_bytes - self._bytes if kind == FILE else PATH_BYTES
        if size > most:
            self._break("more bytes than allowed")
            return False
        start = FRAME.size + path_bytes
        if len(self._held) < start + size:
            return False
        path = bytes(self._held[FRAME.size : start])
        content = bytes(self._held[start : start + size])
        del self._held[: start + size]
        if kind == END:
            self.complete = True
        elif kind == FILE:
            self._keep(path, content)
        elif len(self.rejected) < REJECTED:
            self._refuse(path, content.decode(errors="replace"))
        return not self.broken

    def _keep(self, raw: bytes, content: bytes) -> None:
        # Counted even when it is refused, so that refusals cannot be used to go on for ever.
        self._bytes += len(content)
        try:
            path = raw.decode()
        except UnicodeDecodeError:
            self._refuse(raw, "its name is not UTF-8")
            return
        if any(part in {"", ".", ".."} for part in path.split("/")) or "\0" in path:
            self._break("a path that leads elsewhere")
        elif path in self._files:
            self._break("the same path twice")
        elif len(self._files) >= self.limits.artifacts:
            self._break("more files than allowed")
        else:
            self._files[path] = content

    def _refuse(self, path: bytes, reason: str) -> None:
        if len(self.rejected) < REJECTED:
            self.rejected.append(f"{path.decode(errors='replace')}: {reason}")

    def _break(self, what: str) -> None:
        self.broken = what
        self._held.clear()


def _is_code(text: bytes) -> bool:
    return text.isdigit() and len(text) <= 3 and int(text) <= 255
