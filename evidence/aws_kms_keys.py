"""Signing keys of tenants in AWS KMS, the key service of Amazon's cloud."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any, ClassVar
from urllib.parse import urlsplit
from uuid import UUID

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from evidence.signing import KeyExists, KeyFault, KeyLost, VerifierKey

SPEC = "ECC_NIST_EDWARDS25519"
# Plain Ed25519 of RFC 8032. ED25519_PH_SHA_512 would hash first, which no verifier of ours does.
ALGORITHM = "ED25519_SHA_512"
LONGEST = 4096  # bytes of a message that is sent as it is
TAG = "countersign-tenant"

# Seconds for one answer. Never asked twice: whoever wanted a signature asks again by himself.
PATIENCE = Config(connect_timeout=1, read_timeout=1, retries={"total_max_attempts": 1})

_KINDS = {"NotFoundException": KeyLost, "AlreadyExistsException": KeyExists}
_HINTS = {
    "AccessDeniedException": "the evidence worker's role lacks a right that docs/ledger.md lists",
    "DisabledException": "the key is disabled; enable it",
    "KMSInvalidStateException": "is the key's deletion pending? cancel it, then enable the key",
    "UnsupportedOperationException": f"this region may not offer {SPEC}",
}


@dataclass(frozen=True, slots=True)
class AwsKmsSigner:
    """Has AWS KMS sign with one of its keys; the private key never leaves it."""

    longest: ClassVar[int | None] = LONGEST

    name: str
    vkey: str
    keys: AwsKmsKeys
    arn: str  # what AWS calls the key; an alias could lead elsewhere meanwhile

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of an Ed25519 signature over 1 to 4,096 bytes. Raises KeyLost or KeyFault.

        What is longer is refused before anything is asked: the service would take a digest of
        it as Ed25519ph, which no verifier of ours knows. Envelopes do not get here with more.
        """
        if not 1 <= len(message) <= LONGEST:
            raise KeyFault(
                f"AWS KMS signs messages of 1 to {LONGEST:,} bytes and this one has "
                f"{len(message):,}; nothing was signed"
            )
        answer = self.keys.asked(
            "sign",
            KeyId=self.arn,
            Message=message,
            MessageType="RAW",
            SigningAlgorithm=ALGORITHM,
        )
        signature: bytes = answer.get("Signature", b"")
        # A service that signs with something else would spoil the log; a head is signed once.
        if not VerifierKey.parse(self.vkey).verifies(signature, message):
            raise KeyFault(f"the signature of AWS KMS does not verify under {self.vkey}")
        return signature


@dataclass(frozen=True, slots=True)
class AwsKmsKeys:
    """Ed25519 keys in one region, tagged with their tenant; none is ever deleted here.

    A tenant's first key has the alias `alias/countersign/<tenant id>`, each that came after it
    the same with a slash and the beginning of its public key's SHA-256. region: such as
    `eu-central-1`. endpoint: an address to ask instead of the region's own, or nothing.
    Credentials are found by botocore, where AWS documents that they may lie.
    """

    region: str
    endpoint: str = ""

    def create(self, tenant_id: UUID, origin: str) -> AwsKmsSigner:
        """Make the tenant's first key. Raises KeyExists when there is one."""
        alias = _alias(tenant_id)
        # Asked for now so that an origin no verifier could read leaves no key behind.
        VerifierKey(origin, bytes(32))
        if self._found(alias):
            raise KeyExists(f"tenant {tenant_id} already has a signing key in {self._service}")
        key_id = self._made(tenant_id)
        # Named before it is looked at, so that adopt() finds it should we die in between.
        with _left_over(key_id):
            self.asked("create_alias", AliasName=alias, TargetKeyId=key_id)
        return self._signer(origin, *self._public_key(key_id))

    def create_next(self, tenant_id: UUID, origin: str) -> AwsKmsSigner:
        """Make another key of the tenant, for a rotation."""
        VerifierKey(origin, bytes(32))
        key_id = self._made(tenant_id)
        with _left_over(key_id):
            public, arn = self._public_key(key_id)
            alias = _alias(tenant_id, public)
            self.asked("create_alias", AliasName=alias, TargetKeyId=key_id)
        return self._signer(origin, public, arn)

    def signer_for(self, tenant_id: UUID, vkey: str) -> AwsKmsSigner:
        """The signer whose verifier key is `vkey`. Raises KeyLost; never makes a key."""
        key = VerifierKey.parse(vkey)
        # Most tenants have but one key.
        for alias in (_alias(tenant_id), _alias(tenant_id, key.public_key)):
            found = self._found(alias)
            if found and found[0] == key.public_key:
                return self._signer(key.name, *found)
        raise KeyLost(
            f"{self._service} has no key {key.key_id} of tenant {tenant_id} under its aliases; "
            "have the alias lead to it again, a new key cannot continue the log"
        )

    def adopt(self, tenant_id: UUID, origin: str) -> AwsKmsSigner:
        """The signer of the first key, which was made and never put on record. Raises KeyLost."""
        return self._signer(origin, *self._public_key(_alias(tenant_id)))

    def asked(self, operation: str, **given: Any) -> dict[str, Any]:
        """One answer of the service. Raises KeyLost, KeyExists or KeyFault."""
        try:
            client = _client(self.region, self.endpoint, os.getpid())
            answer: dict[str, Any] = getattr(client, operation)(**given)
        # What AWS and its library say in words may hold session tokens and account numbers:
        # their codes are passed on, their words and tracebacks are not.
        except ClientError as fault:
            code = fault.response.get("Error", {}).get("Code", "no code")
            request = fault.response.get("ResponseMetadata", {}).get("RequestId", "unknown")
            hint = f"; {_HINTS[code]}" if code in _HINTS else ""
            raise _KINDS.get(code, KeyFault)(
                f"{self._service} refused {operation}: {code} (request {request}){hint}"
            ) from None
        except (BotoCoreError, ResponseParserError, ValueError) as fault:
            raise KeyFault(
                f"{self._service} gave no answer to {operation}: {type(fault).__name__}"
            ) from None
        return answer

    def _made(self, tenant_id: UUID) -> str:
        answer = self.asked(
            "create_key",
            KeySpec=SPEC,
            KeyUsage="SIGN_VERIFY",
            Description=f"countersign {tenant_id}",
            Tags=[{"TagKey": TAG, "TagValue": str(tenant_id)}],
        )
        key_id: str = answer.get("KeyMetadata", {}).get("KeyId", "")
        if not key_id:
            raise KeyFault(f"{self._service} made a key and did not say which")
        return key_id

    def _found(self, alias: str) -> tuple[bytes, str] | None:
        try:
            return self._public_key(alias)
        except KeyLost:
            return None

    def _public_key(self, key_id: str) -> tuple[bytes, str]:
        """Public key (32 bytes) and ARN of a key, by its id or alias."""
        answer = self.asked("get_public_key", KeyId=key_id)
        try:
            public, arn = load_der_public_key(answer["PublicKey"]), str(answer["KeyId"])
        except (KeyError, ValueError, UnsupportedAlgorithm) as fault:
            raise KeyFault(f"{self._service} gave no public key for {key_id}") from fault
        if not isinstance(public, Ed25519PublicKey):
            raise KeyFault(f"{key_id} in {self._service} is not an Ed25519 key")
        return public.public_bytes_raw(), arn

    def _signer(self, origin: str, public: bytes, arn: str) -> AwsKmsSigner:
        return AwsKmsSigner(origin, str(VerifierKey(origin, public)), self, arn)

    @property
    def _service(self) -> str:
        return f"AWS KMS in {self.region}"


def _alias(tenant_id: UUID, public_key: bytes = b"") -> str:
    of_key = f"/{sha256(public_key).hexdigest()[:32]}" if public_key else ""
    return f"alias/countersign/{tenant_id}{of_key}"


@contextmanager
def _left_over(key_id: str) -> Iterator[None]:
    """Say which key is of no use when naming it fails."""
    try:
        yield
    except KeyFault as fault:
        said = f"{fault}; the key {key_id} was made and has no alias, schedule its deletion"
        raise type(fault)(said) from None


@lru_cache(maxsize=4)
def _client(region: str, endpoint: str, process: int) -> Any:
    """One client for each process, since workers fork; it keeps credentials until they expire."""
    # At DEBUG these lines hold every header, session tokens among them.
    logging.getLogger("botocore").setLevel(logging.INFO)
    session = botocore.session.Session()
    client = session.create_client(
        "kms", region_name=region, endpoint_url=endpoint or None, config=PATIENCE
    )
    # Also when it came from AWS's own settings. Who could answer here could hand us his own key.
    address = urlsplit(client.meta.endpoint_url)
    if address.scheme != "https" and address.hostname != "127.0.0.1":
        client.close()
        raise KeyFault(f"AWS KMS is asked over https only, not at {address.scheme}://")
    return client
