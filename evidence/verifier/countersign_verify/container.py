"""Reads a ZIP that leaves no room for two readings: every header byte has one allowed value."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path
from stat import S_IFMT, S_IFREG

from .findings import Rejected, Unusable

CHECK = "container"
TOTAL_LIMIT = 8 << 30  # bytes of all files together, unpacked
READ_LIMIT = 256 << 20  # bytes of a file that is read at once
RATIO_LIMIT = 200
SMALL = 1 << 20  # below this a good ratio does no harm

_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_VERSION, _MADE_BY, _DATE = 20, 3 << 8 | 20, 1 << 5 | 1
_UTF8 = 0x800
_STORED, _DEFLATED = 0, 8
_PLAIN_FILE = 0o100644


@dataclass(frozen=True, slots=True)
class Member:
    """One file: where its bytes lie, how many there are, packed and unpacked."""

    name: str
    start: int
    packed: int
    size: int
    crc: int
    method: int


class Container:
    """A pack on disk. Everything but the files' contents has been checked once it is made."""

    def __init__(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                self._bytes = mmap(file.fileno(), 0, access=ACCESS_READ)
        except (OSError, ValueError) as fault:
            raise Unusable(f"{path} cannot be read: {fault}") from fault
        self.members = _members(self._bytes)

    def read(self, name: str) -> bytes:
        if self.members[name].size > READ_LIMIT:
            raise Rejected(CHECK, name, f"more than {READ_LIMIT} bytes")
        return b"".join(self.chunks(name))

    def chunks(self, name: str) -> Iterator[bytes]:
        """The unpacked bytes; the last step checks their number and CRC."""
        member = self.members[name]
        seen = crc = 0
        for chunk in _unpacked(self._bytes, member):
            seen += len(chunk)
            if seen > member.size:
                raise Rejected(CHECK, name, "unpacks to more than it declares")
            crc = zlib.crc32(chunk, crc)
            yield chunk
        if seen != member.size:
            raise Rejected(CHECK, name, "unpacks to less than it declares")
        if crc != member.crc:
            raise Rejected(CHECK, name, "the CRC differs")


def _members(whole: mmap) -> dict[str, Member]:
    if whole[:4] != b"PK\3\4":
        raise Unusable("this is not a ZIP file that starts with its first entry")
    if len(whole) < _END.size or whole[-_END.size : -_END.size + 4] != b"PK\5\6":
        raise Rejected(CHECK, "end of the ZIP", "bytes follow the directory, or it is cut off")
    _, disk, first_disk, here, count, length, start, comment = _END.unpack(whole[-_END.size :])
    if (disk, first_disk, here, comment) != (0, 0, count, 0):
        raise Rejected(CHECK, "end of the ZIP", "several volumes, or a comment")
    if start + length + _END.size != len(whole):
        raise Rejected(CHECK, "end of the ZIP", "the directory does not lie where it should")
    members: dict[str, Member] = {}
    at, expected_local = start, 0
    for _ in range(count):
        member, at, after_data = _member(whole, at, start, expected_local)
        if member.name in members:
            raise Rejected(CHECK, member.name, "two files have this name")
        members[member.name] = member
        expected_local = after_data
    if at != start + length or expected_local != start:
        raise Rejected(CHECK, "directory", "bytes that belong to no file")
    _refuse_odd_sets(members)
    return members


def _member(whole: mmap, at: int, directory: int, local: int) -> tuple[Member, int, int]:
    """One directory entry, the position after it, the position after the file's bytes."""
    if at + _CENTRAL.size > len(whole) or whole[at : at + 4] != b"PK\1\2":
        raise Rejected(CHECK, "directory", "an entry is cut off")
    fields = _CENTRAL.unpack(whole[at : at + _CENTRAL.size])
    _, made_by, version, flags, method, time, date, crc, packed, size = fields[:10]
    name_length, extra, comment, disk, internal, external, offset = fields[10:]
    raw = whole[at + _CENTRAL.size : at + _CENTRAL.size + name_length]
    name = _safe_name(raw, flags)
    if S_IFMT(external >> 16) != S_IFREG:
        raise Rejected(CHECK, name, "not a plain file (a link, a folder or a device)")
    if method not in (_STORED, _DEFLATED):
        raise Rejected(CHECK, name, f"packed by method {method}")
    allowed = (_MADE_BY, _VERSION, 0, _DATE, 0, 0, 0, 0, _PLAIN_FILE << 16)
    if (made_by, version, time, date, extra, comment, disk, internal, external) != allowed:
        raise Rejected(CHECK, name, "its directory entry says more than a name and sizes")
    if offset != local:
        raise Rejected(CHECK, name, "its bytes do not follow those of the file before")
    if size > SMALL and packed * RATIO_LIMIT < size:
        raise Rejected(CHECK, name, f"unpacks to more than {RATIO_LIMIT} times its size")
    if method == _STORED and packed != size:
        raise Rejected(CHECK, name, "stored, yet with two sizes")
    header = _LOCAL.pack(
        b"PK\3\4", _VERSION, flags, method, 0, _DATE, crc, packed, size, name_length, 0
    )
    start = local + _LOCAL.size + name_length
    if whole[local:start] != header + raw:
        raise Rejected(CHECK, name, "its two headers disagree")
    if start + packed > directory:
        raise Rejected(CHECK, name, "its bytes run into the directory")
    after_entry = at + _CENTRAL.size + name_length
    return Member(name, start, packed, size, crc, method), after_entry, start + packed


def _safe_name(raw: bytes, flags: int) -> str:
    try:
        name = raw.decode("utf-8" if flags == _UTF8 else "ascii")
    except UnicodeDecodeError as fault:
        raise Rejected(CHECK, repr(raw), "a name that is not UTF-8") from fault
    if flags != (0 if name.isascii() else _UTF8):
        raise Rejected(CHECK, name, "encrypted, streamed, or an odd flag")
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise Rejected(CHECK, name, "a path that leaves its folder")
    if not name.isprintable() or "\\" in name or ":" in name:
        raise Rejected(CHECK, name, "a path with characters that systems read differently")
    return name


def _refuse_odd_sets(members: dict[str, Member]) -> None:
    for name in members:
        parts = name.split("/")
        for depth in range(1, len(parts)):
            if (above := "/".join(parts[:depth])) in members:
                raise Rejected(CHECK, above, "a file that is also a folder")
    if list(members) != sorted(members):
        raise Rejected(CHECK, "directory", "the files are not in order")
    if sum(member.size for member in members.values()) > TOTAL_LIMIT:
        raise Rejected(CHECK, "all files", f"unpack to more than {TOTAL_LIMIT} bytes")


def _unpacked(whole: mmap, member: Member) -> Iterator[bytes]:
    packed = memoryview(whole)[member.start : member.start + member.packed]
    step = 1 << 18
    if member.method == _STORED:
        for at in range(0, len(packed), step):
            yield bytes(packed[at : at + step])
        return
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for at in range(0, len(packed), step):
            pending: bytes | memoryview = packed[at : at + step]
            while pending:
                if chunk := inflater.decompress(pending, 4 << 20):
                    yield chunk
                pending = inflater.unconsumed_tail
        if chunk := inflater.flush():
            yield chunk
    except zlib.error as fault:
        raise Rejected(CHECK, member.name, f"cannot be unpacked: {fault}") from fault
    if not inflater.eof or inflater.unused_data:
        raise Rejected(CHECK, member.name, "the packed bytes end early or late")
