"""Signing keys of tenants, kept as one file each."""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import ClassVar, Protocol
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

ED25519 = 0x01
COSIGNATURE = 0x04  # timestamped witness signature, c2sp.org/tlog-cosignature


class KeyFault(Exception):
    """A signing key cannot be used; the message says which, and why."""


class KeyLost(KeyFault):
    """The file that should hold the key is not there."""


class KeyExists(KeyFault):
    """A key was to be created where one already lies."""


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with the name it signs under, written `<name>+<key hash>+<base64>`.

    Source: c2sp.org/signed-note, "Verifier keys".
    """

    name: str
    public_key: bytes  # 32 bytes
    algorithm: int = ED25519

    def __post_init__(self) -> None:
        if not self.name or "+" in self.name or any(letter.isspace() for letter in self.name):
            raise ValueError(f"{self.name!r} cannot name a key: empty, or with a space or a plus")
        if self.algorithm not in (ED25519, COSIGNATURE):
            raise ValueError(f"signature type {self.algorithm:#04x} is not supported")
        if len(self.public_key) != 32:
            raise ValueError("an Ed25519 public key has 32 bytes")

    @property
    def key_hash(self) -> bytes:
        """The four bytes that point a signature line to its key."""
        material = bytes([self.algorithm]) + self.public_key
        return sha256(self.name.encode() + b"\n" + material).digest()[:4]

    @property
    def key_id(self) -> str:
        """The key hash as eight hex digits: the `keyid` of an envelope."""
        return self.key_hash.hex()

    def __str__(self) -> str:
        material = b64encode(bytes([self.algorithm]) + self.public_key).decode()
        return f"{self.name}+{self.key_id}+{material}"

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """Read a verifier key; raises ValueError when it is malformed or its hash does not fit."""
        try:
            name, key_id, encoded = text.strip().split("+", 2)
            material = b64decode(encoded, validate=True)
        except (ValueError, Base64Error) as fault:
            raise ValueError(f"{text!r} is not <name>+<key hash>+<base64 key>") from fault
        key = cls(name, material[1:], material[0] if material else 0)
        if str(key) != text.strip():
            raise ValueError(f"the key hash {key_id!r} does not belong to this name and key")
        return key

    def verifies(self, signature: bytes, message: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(signature, message)
        except InvalidSignature:
            return False
        return True


class Signer(Protocol):
    """Whatever can sign for a log: a key file here, a hardware module elsewhere."""

    @property
    def name(self) -> str: ...

    @property
    def vkey(self) -> str: ...

    @property
    def longest(self) -> int | None:
        """How many bytes a message may have; None where any number will do."""

    def sign(self, message: bytes) -> bytes: ...


@dataclass(frozen=True, slots=True)
class KeySigner:
    """Signs with a key held in memory, under the log's origin."""

    longest: ClassVar[int | None] = None

    name: str
    private_key: Ed25519PrivateKey

    @property
    def vkey(self) -> str:
        public = self.private_key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return str(VerifierKey(self.name, public))

    def sign(self, message: bytes) -> bytes:
        return self.private_key.sign(message)

    def __repr__(self) -> str:
        return f"KeySigner({self.vkey!r})"


class Keys(Protocol):
    """Where the signing keys of tenants' logs are kept. An adapter for a hardware module or a key
    service has these four methods; docs/ledger.md says what each must promise."""

    def create(self, tenant_id: UUID, origin: str) -> Signer:
        """Make a tenant's first key. Raises KeyExists when there is one."""

    def create_next(self, tenant_id: UUID, origin: str) -> Signer:
        """Make one more key, beside those that are there."""

    def signer_for(self, tenant_id: UUID, vkey: str) -> Signer:
        """Whoever signs with the key on record. Raises KeyLost or KeyFault; never makes a key."""

    def adopt(self, tenant_id: UUID, origin: str) -> Signer:
        """Whoever signs with the first key, which was made and never put on record."""


@dataclass(frozen=True, slots=True)
class FileKeys:
    """A folder with the private keys of each tenant, readable by its owner only: `<tenant id>.pem`
    is the first one, `<tenant id>.<key hash>.pem` each that came after it."""

    folder: Path

    def create(self, tenant_id: UUID, origin: str) -> KeySigner:
        """Make the tenant's key. Raises KeyExists; nothing is ever overwritten."""
        signer = KeySigner(origin, Ed25519PrivateKey.generate())
        # Asked for now so that an origin no verifier could read leaves no file behind.
        _ = signer.vkey
        return self._kept(tenant_id, signer, self._path(tenant_id))

    def create_next(self, tenant_id: UUID, origin: str) -> KeySigner:
        """Make another key of the tenant, for a rotation."""
        signer = KeySigner(origin, Ed25519PrivateKey.generate())
        return self._kept(tenant_id, signer, self._path(tenant_id, signer.vkey))

    def _kept(self, tenant_id: UUID, signer: KeySigner, path: Path) -> KeySigner:
        pem = signer.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as fault:
            raise KeyExists(f"tenant {tenant_id} already has a signing key at {path}") from fault
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        _fsync_folder(self.folder)
        return signer

    def signer_for(self, tenant_id: UUID, vkey: str) -> KeySigner:
        """The signer whose verifier key is `vkey`, the one on record for the tenant's log.

        Raises KeyLost when the file is gone (a new key would orphan every older signature, so
        none is made) and KeyFault when it is open to others, damaged, or holds another key.
        """
        later = self._path(tenant_id, vkey)
        path = later if later.exists() else self._path(tenant_id)
        signer = KeySigner(VerifierKey.parse(vkey).name, self._private_key(tenant_id, path))
        if signer.vkey != vkey:
            raise KeyFault(f"{path} holds another key than {vkey}")
        return signer

    def adopt(self, tenant_id: UUID, origin: str) -> KeySigner:
        """The signer of a key that was made but never put on record, because we died in between.

        Raises as signer_for() does.
        """
        return KeySigner(origin, self._private_key(tenant_id, self._path(tenant_id)))

    def _private_key(self, tenant_id: UUID, path: Path) -> Ed25519PrivateKey:
        try:
            mode, pem = path.stat().st_mode, path.read_bytes()
        except FileNotFoundError as fault:
            raise KeyLost(
                f"the signing key of tenant {tenant_id} should be at {path} but is not there; "
                "restore it from a backup, a new key cannot continue the log"
            ) from fault
        if mode & 0o077:
            raise KeyFault(f"{path} is open to other accounts (mode {mode & 0o777:o}, want 600)")
        try:
            private_key = load_pem_private_key(pem, password=None)
        except ValueError as fault:
            raise KeyFault(f"{path} does not hold a readable private key") from fault
        if not isinstance(private_key, Ed25519PrivateKey):
            raise KeyFault(f"{path} holds a key that is not Ed25519")
        return private_key

    def _path(self, tenant_id: UUID, vkey: str | None = None) -> Path:
        of_key = f".{VerifierKey.parse(vkey).key_id}" if vkey else ""
        return self.folder / f"{tenant_id}{of_key}.pem"


def _fsync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
