"""Seals the secrets that customers entrust to us, so that a copy of the database holds none."""

import base64
import binascii
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

from tenants.scope import current_tenant_id

VERSION = "v1"
NONCE = 12  # bytes, as AES-GCM wants them (NIST SP 800-38D, 5.2.1.1)


class SecretsUnavailable(RuntimeError):
    """No key is set here, or none of them opens this secret."""


def seal(secret: str, purpose: str) -> str:
    """`secret` encrypted with the newest key, bound to the pinned tenant and to `purpose`.

    Raises SecretsUnavailable when SECRETS_KEYS is not set for this process.
    """
    if not settings.SECRETS_KEYS:
        raise SecretsUnavailable("SECRETS_KEYS is not set, so no secret can be stored")
    nonce = secrets.token_bytes(NONCE)
    sealed = AESGCM(settings.SECRETS_KEYS[0]).encrypt(nonce, secret.encode(), _bound(purpose))
    return f"{VERSION}:{base64.b64encode(nonce + sealed).decode()}"


def unseal(sealed: str, purpose: str) -> str:
    """What seal() was given. Any key still listed opens it, so that keys can be rotated.

    Raises SecretsUnavailable when none does: another tenant's, another purpose's, altered, or
    sealed with a key that is gone.
    """
    version, _, encoded = sealed.partition(":")
    if version == VERSION:
        try:
            raw = base64.b64decode(encoded, validate=True)
        except binascii.Error as error:
            raise SecretsUnavailable(f"the stored {purpose} is damaged") from error
        for key in settings.SECRETS_KEYS:
            try:
                return AESGCM(key).decrypt(raw[:NONCE], raw[NONCE:], _bound(purpose)).decode()
            except (InvalidTag, ValueError):
                continue
    raise SecretsUnavailable(f"no key in SECRETS_KEYS opens this {purpose}")


def _bound(purpose: str) -> bytes:
    return f"{current_tenant_id()}/{purpose}".encode()
