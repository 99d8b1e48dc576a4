"""Requests and checkpoints, as bytes that came from somebody we do not trust."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from dataclasses import dataclass

_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")
_MARK = "\N{EM DASH} "
MOST_HASHES, MOST_SIGNATURES = 63, 100


class Malformed(ValueError):
    """A request is not of the form the protocol demands."""


@dataclass(frozen=True)
class Line:
    """A signature line: who, which key, the bytes."""

    name: str
    key_hash: bytes
    signature: bytes
    written: str


@dataclass(frozen=True)
class Checkpoint:
    """A head of a log with its signatures. text: what is signed, with its newline."""

    text: str
    origin: str
    size: int
    root: bytes
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Request:
    """add-checkpoint: the head, with the proof that it continues one of `old_size` entries."""

    old_size: int
    proof: tuple[bytes, ...]
    checkpoint: Checkpoint


def parse_request(body: bytes) -> Request:
    """Read the body of add-checkpoint (c2sp.org/tlog-witness)."""
    head, empty, note = _text(body).partition("\n\n")
    first, *hashes = head.split("\n")
    if not empty or not first.startswith("old "):
        raise Malformed("a request is 'old <size>', hashes, an empty line, a checkpoint")
    if len(hashes) > MOST_HASHES:
        raise Malformed(f"a proof has at most {MOST_HASHES} hashes")
    return Request(
        _number(first.removeprefix("old ")),
        tuple(_hash(line) for line in hashes),
        parse_checkpoint(note),
    )


def parse_checkpoint(note: str) -> Checkpoint:
    """Read a signed checkpoint (c2sp.org/tlog-checkpoint). Verifies nothing."""
    text, empty, block = note.rpartition("\n\n")
    if not empty or not block.endswith("\n"):
        raise Malformed("a checkpoint ends in signature lines after an empty line")
    lines = block[:-1].split("\n")
    if len(lines) > MOST_SIGNATURES:
        raise Malformed(f"at most {MOST_SIGNATURES} signatures are read")
    origin, *rest = text.split("\n")
    if not origin or len(rest) < 2 or not all(rest):
        raise Malformed("a checkpoint names its origin, size and root")
    return Checkpoint(
        text + "\n", origin, _number(rest[0]), _hash(rest[1]), tuple(map(_line, lines))
    )


def _text(body: bytes) -> str:
    try:
        text = body.decode()
    except UnicodeDecodeError as fault:
        raise Malformed("a request is UTF-8") from fault
    if any(letter < " " and letter != "\n" for letter in text):
        raise Malformed("a request holds no control characters")
    return text


def _line(line: str) -> Line:
    name, space, encoded = line.removeprefix(_MARK).partition(" ")
    if not line.startswith(_MARK) or not space or not name or "+" in name:
        raise Malformed("there is a line that is no signature")
    blob = _base64(encoded)
    if len(blob) < 5:
        raise Malformed("there is a signature that is too short")
    return Line(name, blob[:4], blob[4:], line + "\n")


def _number(written: str) -> int:
    if not _NUMBER.fullmatch(written):
        raise Malformed(f"{written[:30]!r} is not a size")
    return int(written)


def _hash(written: str) -> bytes:
    found = _base64(written)
    if len(found) != 32:
        raise Malformed("a hash has 32 bytes")
    return found


def _base64(encoded: str) -> bytes:
    try:
        blob = b64decode(encoded, validate=True)
    except ValueError as fault:
        raise Malformed("there is something that is not base64") from fault
    if b64encode(blob).decode() != encoded:
        raise Malformed("there is base64 that is spelled oddly")
    return blob
