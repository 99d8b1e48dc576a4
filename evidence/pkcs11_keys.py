"""Signing keys of tenants inside a PKCS#11 token: a hardware module, or SoftHSM."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import ClassVar
from uuid import UUID

import pkcs11
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass
from pkcs11.types import SignMixin

from evidence.signing import KeyExists, KeyFault, KeyLost, VerifierKey

# A PrintableString, as PKCS#11 3.0 section 2.3.10 has it; hardware and SoftHSM agree on this form.
_EDWARDS25519 = b"\x13\x0cedwards25519"
_PUBLIC_BYTES = 32


@dataclass(frozen=True, slots=True)
class TokenSigner:
    """Has the token sign with one of its keys; the private key never leaves it."""

    longest: ClassVar[int | None] = None

    name: str
    vkey: str
    keys: TokenKeys
    id: bytes  # what the token calls the pair

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of an Ed25519 signature. Raises KeyLost or KeyFault."""
        with self.keys.session() as session:
            wanted = {Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.ID: self.id}
            found = [key for key in session.get_objects(wanted) if isinstance(key, SignMixin)]
            if len(found) != 1:
                raise KeyLost(f"the token holds {len(found)} private keys for {self.vkey}")
            signature: bytes = found[0].sign(message, mechanism=Mechanism.EDDSA)
        # A module that signs with something else would spoil the log; a head is signed once.
        if not VerifierKey.parse(self.vkey).verifies(signature, message):
            raise KeyFault(f"the token's signature does not verify under {self.vkey}")
        return signature


@dataclass(frozen=True, slots=True)
class TokenKeys:
    """Ed25519 pairs in a token, each labelled `countersign <tenant id>`; none is ever deleted here.

    module: path of the PKCS#11 library. token: label of the token. Each use opens a session;
    a process that has used the library must not fork and go on using it in the child.
    """

    module: str
    token: str
    pin: str = field(repr=False)

    def create(self, tenant_id: UUID, origin: str) -> TokenSigner:
        """Make the tenant's first key. Raises KeyExists when there is one."""
        with self.session(writing=True) as session:
            if self._pairs(session, tenant_id):
                raise KeyExists(f"tenant {tenant_id} already has a signing key in the token")
            return self._made(session, tenant_id, origin)

    def create_next(self, tenant_id: UUID, origin: str) -> TokenSigner:
        """Make another key of the tenant, for a rotation."""
        with self.session(writing=True) as session:
            return self._made(session, tenant_id, origin)

    def signer_for(self, tenant_id: UUID, vkey: str) -> TokenSigner:
        """The signer whose verifier key is `vkey`. Raises KeyLost; never makes a key."""
        key = VerifierKey.parse(vkey)
        with self.session() as session:
            for public, id in self._pairs(session, tenant_id):
                if public == key.public_key:
                    return TokenSigner(key.name, vkey, self, id)
        raise KeyLost(
            f"the token holds no key {key.key_id} of tenant {tenant_id}; restore it from the "
            "module's backup, a new key cannot continue the log"
        )

    def adopt(self, tenant_id: UUID, origin: str) -> TokenSigner:
        """The signer of the first key, which was made and never put on record.

        Raises KeyLost when there is none, KeyFault when there are several to choose from.
        """
        with self.session() as session:
            pairs = self._pairs(session, tenant_id)
        if not pairs:
            raise KeyLost(f"the token holds no key of tenant {tenant_id}")
        if len(pairs) > 1:
            raise KeyFault(
                f"the token holds {len(pairs)} keys of tenant {tenant_id}, none on record"
            )
        public, id = pairs[0]
        return TokenSigner(origin, str(VerifierKey(origin, public)), self, id)

    @contextmanager
    def session(self, *, writing: bool = False) -> Iterator[pkcs11.Session]:
        """A session of the token's user. What the module complains of becomes a KeyFault."""
        try:
            library = pkcs11.lib(self.module)
            token = library.get_token(token_label=self.token)
            with token.open(rw=writing, user_pin=self.pin) as session:
                yield session
        except pkcs11.PKCS11Error as fault:
            said = f"{type(fault).__name__} {fault}".strip()
            raise KeyFault(f"the token {self.token!r} of {self.module}: {said}") from fault
        except RuntimeError as fault:  # the library itself cannot be loaded
            raise KeyFault(f"{self.module} is no PKCS#11 library: {fault}") from fault

    def _made(self, session: pkcs11.Session, tenant_id: UUID, origin: str) -> TokenSigner:
        # Asked for now so that an origin no verifier could read leaves no key behind.
        VerifierKey(origin, bytes(_PUBLIC_BYTES))
        id = secrets.token_bytes(16)
        curve = session.create_domain_parameters(
            KeyType.EC_EDWARDS, {Attribute.EC_PARAMS: _EDWARDS25519}, local=True
        )
        hidden = {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False}
        public, _ = curve.generate_keypair(
            mechanism=Mechanism.EC_EDWARDS_KEY_PAIR_GEN,
            store=True,
            id=id,
            label=_label(tenant_id),
            private_template=hidden,
        )
        return TokenSigner(origin, str(VerifierKey(origin, _point(public))), self, id)

    def _pairs(self, session: pkcs11.Session, tenant_id: UUID) -> list[tuple[bytes, bytes]]:
        """Public key and id of each of the tenant's pairs."""
        wanted = {
            Attribute.CLASS: ObjectClass.PUBLIC_KEY,
            Attribute.KEY_TYPE: KeyType.EC_EDWARDS,
            Attribute.LABEL: _label(tenant_id),
        }
        return [(_point(key), bytes(key[Attribute.ID])) for key in session.get_objects(wanted)]


def _label(tenant_id: UUID) -> str:
    return f"countersign {tenant_id}"


def _point(key: pkcs11.Object) -> bytes:
    """The public key; modules wrap it into an OCTET STRING or do not."""
    point = bytes(key[Attribute.EC_POINT])
    if len(point) == _PUBLIC_BYTES + 2 and point[:2] == bytes([4, _PUBLIC_BYTES]):
        point = point[2:]
    if len(point) != _PUBLIC_BYTES:
        raise KeyFault(f"the token gave a public key of {len(point)} bytes, not an Ed25519 one")
    return point
