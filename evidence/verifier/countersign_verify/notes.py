"""Reads signed heads of a log, with the proofs made under them (C2SP)."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable
from dataclasses import dataclass

from .findings import Rejected
from .keys import WITNESS, VerifierKey

_MARK = "\N{EM DASH} "
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,15}")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A head of the log, with whose signatures stand under it."""

    text: str
    origin: str
    size: int
    root: bytes
    lines: tuple[tuple[str, bytes, bytes], ...]  # name, key hash, signature


@dataclass(frozen=True, slots=True)
class Proof:
    """Where an entry stands, with the hashes up to the root."""

    index: int
    hashes: tuple[bytes, ...]
    note: bytes


def read_checkpoint(check: str, subject: str, note: bytes) -> Checkpoint:
    whole = _text(check, subject, note)
    text, blank_line, block = whole.rpartition("\n\n")
    head = text.split("\n")
    if not blank_line or not block.endswith("\n") or len(head) != 3:
        raise Rejected(check, subject, "not a signed note of three lines")
    origin, size, encoded = head
    if not origin or not _DECIMAL.fullmatch(size):
        raise Rejected(check, subject, "no origin, or no plain number as size")
    lines = tuple(_line(check, subject, line) for line in block[:-1].split("\n"))
    root = _base64(check, subject, encoded)
    if len(root) != 32:
        raise Rejected(check, subject, "the root has not 32 bytes")
    return Checkpoint(text + "\n", origin, int(size), root, lines)


def signers(
    check: str, subject: str, checkpoint: Checkpoint, keys: Iterable[VerifierKey]
) -> list[VerifierKey]:
    """Which of `keys` signed. A line under a known key that does not verify is a rejection."""
    found = []
    for key in keys:
        for name, key_hash, signature in checkpoint.lines:
            if (name, key_hash) != (key.name, key.key_hash):
                continue
            if not _verifies(key, signature, checkpoint.text):
                raise Rejected(check, subject, f"the signature of {key.name} does not fit")
            found.append(key)
    return found


def signed_by(checkpoint: Checkpoint, key: VerifierKey) -> bytes:
    """The head as a note with the first signature of `key` alone; ValueError when there is none."""
    for name, key_hash, signature in checkpoint.lines:
        if (name, key_hash) == (key.name, key.key_hash):
            encoded = b64encode(key_hash + signature).decode()
            return f"{checkpoint.text}\n{_MARK}{name} {encoded}\n".encode()
    raise ValueError(f"{key.name} has not signed this head")


def read_proof(check: str, subject: str, content: bytes) -> Proof:
    head, blank_line, note = _text(check, subject, content).partition("\n\n")
    lines = head.split("\n")
    # The format allows a line of unauthenticated extra data; packs never write one.
    if not blank_line or lines[0] != "c2sp.org/tlog-proof@v1" or len(lines) < 2:
        raise Rejected(check, subject, "not a tlog-proof@v1")
    index = lines[1].removeprefix("index ")
    if not lines[1].startswith("index ") or not _DECIMAL.fullmatch(index):
        raise Rejected(check, subject, "names no index")
    hashes = tuple(_base64(check, subject, line) for line in lines[2:])
    if any(len(sibling) != 32 for sibling in hashes):
        raise Rejected(check, subject, "a hash has not 32 bytes")
    return Proof(int(index), hashes, note.encode())


def read_hashes(check: str, subject: str, content: bytes) -> tuple[bytes, ...]:
    """The hashes in a file with one a line."""
    lines = _text(check, subject, content).split("\n")
    if lines.pop() != "":
        raise Rejected(check, subject, "its last line is cut off")
    return tuple(_hash(check, subject, line) for line in lines)


def read_consistency(check: str, subject: str, content: bytes) -> dict[int, tuple[bytes, ...]]:
    """The proofs in a file with a line for each: an earlier size, then the hashes."""
    proofs: dict[int, tuple[bytes, ...]] = {}
    lines = _text(check, subject, content).split("\n")
    if lines.pop() != "":
        raise Rejected(check, subject, "its last line is cut off")
    for line in lines:
        size, *hashes = line.split(" ")
        if not _DECIMAL.fullmatch(size) or int(size) <= max(proofs, default=0):
            raise Rejected(check, subject, "its sizes are not plain numbers in order")
        proofs[int(size)] = tuple(_hash(check, subject, encoded) for encoded in hashes)
    return proofs


def hashes(check: str, subject: str, encoded: Iterable[str]) -> list[bytes]:
    return [_hash(check, subject, one) for one in encoded]


def _hash(check: str, subject: str, encoded: str) -> bytes:
    found = _base64(check, subject, encoded)
    if len(found) != 32:
        raise Rejected(check, subject, "a hash has not 32 bytes")
    return found


def _verifies(key: VerifierKey, signature: bytes, text: str) -> bool:
    if key.kind == WITNESS:
        moment, signature = int.from_bytes(signature[:8], "big"), signature[8:]
        return key.verifies(signature, f"cosignature/v1\ntime {moment}\n{text}".encode())
    return key.verifies(signature, text.encode())


def _text(check: str, subject: str, content: bytes) -> str:
    try:
        text = content.decode()
    except UnicodeError as fault:
        raise Rejected(check, subject, "not UTF-8") from fault
    if any(letter < " " and letter != "\n" for letter in text):
        raise Rejected(check, subject, "holds control characters")
    return text


def _line(check: str, subject: str, line: str) -> tuple[str, bytes, bytes]:
    name, _, encoded = line.removeprefix(_MARK).partition(" ")
    blob = _base64(check, subject, encoded)
    if not line.startswith(_MARK) or not name or len(blob) < 5:
        raise Rejected(check, subject, "a signature line is malformed")
    return name, blob[:4], blob[4:]


def _base64(check: str, subject: str, encoded: str) -> bytes:
    try:
        blob = b64decode(encoded, validate=True)
    except (ValueError, Base64Error) as fault:
        raise Rejected(check, subject, "not base64") from fault
    if b64encode(blob).decode() != encoded:
        raise Rejected(check, subject, "base64 in an unusual spelling")
    return blob
