"""Verifier keys, with the two kinds of signature they check."""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from .findings import Unusable

LOG, WITNESS = 0x01, 0x04
_VKEY = re.compile(r"[^\s+]+\+[0-9a-f]{8}\+[A-Za-z0-9+/]+=*")
_PINNED = re.compile(_VKEY.pattern + r"(?: (?:0|[1-9][0-9]{0,15}))?")


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key that signs under a name (c2sp.org/signed-note)."""

    name: str
    kind: int
    public_key: bytes

    @property
    def key_hash(self) -> bytes:
        material = self.name.encode() + b"\n" + bytes([self.kind]) + self.public_key
        return sha256(material).digest()[:4]

    @property
    def key_id(self) -> str:
        return self.key_hash.hex()

    def __str__(self) -> str:
        material = b64encode(bytes([self.kind]) + self.public_key).decode()
        return f"{self.name}+{self.key_id}+{material}"

    def verifies(self, signature: bytes, message: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


def parse_key(text: str) -> VerifierKey:
    """Read `<name>+<key hash>+<base64>`; raises ValueError, also when the hash does not fit."""
    name, _, encoded = text.split("+", 2) if text.count("+") >= 2 else ("", "", "")
    try:
        material = b64decode(encoded, validate=True)
    except Base64Error as fault:
        raise ValueError("the key is not base64") from fault
    if len(material) != 33 or material[0] not in (LOG, WITNESS):
        raise ValueError("not an Ed25519 verifier key of type 01 or 04")
    key = VerifierKey(name, material[0], material[1:])
    if str(key) != text or not _VKEY.fullmatch(text):
        raise ValueError("the key hash does not belong to this name and key")
    return key


def keys_given(arguments: Iterable[str], kind: int) -> list[VerifierKey]:
    """The keys named on the command line: each a key, or a file with one key a line."""
    return [key for argument in arguments for key, _ in _keys_of(argument, kind)]


def pins_given(arguments: Iterable[str]) -> tuple[list[VerifierKey], dict[VerifierKey, int]]:
    """Keys of logs named on the command line, and from which entry on those sign that say so.

    A key may be followed by a space and that index. A file may also be what the API answers for
    `/log/keys`. Raises Unusable when a key is given two of them.
    """
    keys: list[VerifierKey] = []
    since: dict[VerifierKey, int] = {}
    for argument in arguments:
        for key, index in _keys_of(argument, LOG):
            keys.append(key)
            if index is not None and since.setdefault(key, index) != index:
                raise Unusable(f"key {key.key_id} is said to sign from {since[key]} and {index}")
    return keys, since


def _keys_of(argument: str, kind: int) -> list[tuple[VerifierKey, int | None]]:
    text = argument
    if not _PINNED.fullmatch(argument):
        try:
            text = Path(argument).read_text(encoding="utf-8")
        except (OSError, UnicodeError, ValueError) as fault:
            raise Unusable(f"{argument} is neither a verifier key nor a readable file") from fault
    try:
        rows = _listed(text) if text.lstrip().startswith("[") else _written(text)
        keys = [(parse_key(vkey), since) for vkey, since in rows]
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise Unusable(f"{argument}: {fault}") from fault
    if not keys or any(key.kind != kind for key, _ in keys):
        raise Unusable(f"{argument} holds no key of type {kind:02x}")
    return keys


def _written(text: str) -> list[tuple[str, int | None]]:
    """One key a line, perhaps with the index that it signs from."""
    rows: list[tuple[str, int | None]] = []
    for line in filter(None, map(str.strip, text.split("\n"))):
        if not _PINNED.fullmatch(line):
            raise ValueError("a line is not a verifier key, with or without an index")
        vkey, _, index = line.partition(" ")
        rows.append((vkey, int(index) if index else None))
    return rows


def _listed(text: str) -> list[tuple[str, int | None]]:
    """The answer of `/log/keys`."""
    rows = [(row["vkey"], row["valid_from"]) for row in json.loads(text)]
    if not all(type(since) is int and since >= 0 for _, since in rows):
        raise ValueError("a valid_from that is not an index")
    return rows
