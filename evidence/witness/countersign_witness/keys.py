"""Keys: whose signatures are believed, and the one that cosigns."""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

ED25519, COSIGNATURE = 0x01, 0x04


class KeyFault(ValueError):
    """A key cannot be read; the message says which, and why."""


@dataclass(frozen=True)
class PublicKey:
    """A verifier key, `<name>+<key hash>+<base64 of type and key>` (c2sp.org/signed-note)."""

    name: str
    key: bytes  # 32 bytes
    kind: int = ED25519

    @property
    def key_hash(self) -> bytes:
        material = self.name.encode() + b"\n" + bytes([self.kind]) + self.key
        return sha256(material).digest()[:4]

    def verifies(self, signature: bytes, message: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(self.key).verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def __str__(self) -> str:
        material = b64encode(bytes([self.kind]) + self.key).decode()
        return f"{self.name}+{self.key_hash.hex()}+{material}"

    @classmethod
    def parse(cls, written: str) -> PublicKey:
        """Read a verifier key; raises KeyFault for any but Ed25519."""
        try:
            name, hashed, encoded = written.strip().split("+", 2)
            material = b64decode(encoded, validate=True)
        except ValueError as fault:
            raise KeyFault(f"{written!r} is not <name>+<key hash>+<base64>") from fault
        if len(material) != 33 or material[0] not in (ED25519, COSIGNATURE):
            raise KeyFault(f"the key of {name} is not an Ed25519 key")
        key = cls(name, material[1:], material[0])
        if not name or any(letter.isspace() for letter in name) or key.key_hash.hex() != hashed:
            raise KeyFault(f"the hash {hashed} does not belong to the name and key of {name!r}")
        return key


@dataclass(frozen=True)
class WitnessKey:
    """The key that cosigns, under the witness's name."""

    name: str
    private_key: Ed25519PrivateKey

    @property
    def public(self) -> PublicKey:
        raw = self.private_key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return PublicKey(self.name, raw, COSIGNATURE)

    def cosign(self, text: str, at: int) -> str:
        """A signature line over a checkpoint's text (cosignature/v1). at: seconds since 1970."""
        signature = self.private_key.sign(cosigned(text, at))
        blob = self.public.key_hash + at.to_bytes(8, "big") + signature
        return f"\N{EM DASH} {self.name} {b64encode(blob).decode()}\n"


def cosigned(text: str, at: int) -> bytes:
    """What a cosignature/v1 signs (c2sp.org/tlog-cosignature)."""
    return f"cosignature/v1\ntime {at}\n{text}".encode()


def make_key(path: Path, name: str) -> WitnessKey:
    """A new key in a file that only its owner can read. Raises FileExistsError."""
    key = WitnessKey(name, Ed25519PrivateKey.generate())
    PublicKey.parse(str(key.public))  # the name may not be one
    pem = key.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    return key


def read_key(path: Path, name: str) -> WitnessKey:
    """The key in a file. Raises KeyFault for one that others may read."""
    if path.stat().st_mode & 0o077:
        raise KeyFault(f"{path} is open to other accounts; chmod 600 it")
    private_key = load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(private_key, Ed25519PrivateKey):
        raise KeyFault(f"{path} does not hold an Ed25519 key")
    return WitnessKey(name, private_key)
