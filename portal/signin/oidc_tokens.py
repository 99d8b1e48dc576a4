"""Verifies the signed tokens of an OpenID provider: signature, key, then every claim."""

import base64
import binascii
import hashlib
import hmac
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import jwt

from tenants.errors import Refused
from tenants.foreign_json import NotSound, parsed

LEEWAY = 60  # seconds by which two clocks may differ
OLDEST = 660  # seconds: the longest sign-in, and the leeway
LONGEST = 16 * 1024  # characters of one token
LONGEST_NAME = 255  # of a subject, session or token id: what our columns hold
MOST_TRIED = 10  # keys for one token

LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"


class NotAccepted(Refused):
    """What the provider sent proves nothing. Says why, for the person and for the record."""


class Kind(NamedTuple):
    """Which keys go with an algorithm, and which hash it is built on."""

    kty: str
    crv: str | None
    hash: str


# Nothing else is accepted: not "none", and nothing whose key is a secret that both sides know, so
# that no public key can be passed off as one. RFC 8725, section 3.1.
ALGORITHMS: dict[str, Kind] = {
    "RS256": Kind("RSA", None, "sha256"),
    "RS384": Kind("RSA", None, "sha384"),
    "RS512": Kind("RSA", None, "sha512"),
    "PS256": Kind("RSA", None, "sha256"),
    "PS384": Kind("RSA", None, "sha384"),
    "PS512": Kind("RSA", None, "sha512"),
    "ES256": Kind("EC", "P-256", "sha256"),
    "ES384": Kind("EC", "P-384", "sha384"),
    "ES512": Kind("EC", "P-521", "sha512"),
    "EdDSA": Kind("OKP", "Ed25519", "sha512"),
}
MEMBERS = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
RSA_BITS = range(2048, 8193)

_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_SUBJECT = re.compile(r"[\x20-\x7e]{1,255}")  # OpenID Connect Core, section 2: ASCII


def header_of(token: Any, *, kinds: Iterable[str], announced: Iterable[str]) -> dict[str, Any]:
    """The header of a token that is worth looking at further.

    kinds: what its `typ` may be, in small letters; a token without one passes. announced: the
    algorithms that the provider says it signs with, empty when it says nothing.
    """
    if not isinstance(token, str) or len(token) > LONGEST:
        raise NotAccepted("your provider sent no token, or one far too long")
    if token.count(".") == 4:
        raise NotAccepted("your provider encrypts its tokens, which is not supported here")
    if not _COMPACT.fullmatch(token):
        raise NotAccepted("your provider sent something that is not a signed token")
    header = _object(token.split(".")[0])
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise NotAccepted("the token is not signed in a way that is accepted here")
    if announced and algorithm not in announced:
        raise NotAccepted("the token is signed in a way that the provider does not announce")
    if "crit" in header:
        raise NotAccepted("the token demands something of its reader that is not known here")
    kind = header.get("typ")
    if kind is not None and (not isinstance(kind, str) or kind.lower() not in kinds):
        raise NotAccepted("the provider sent a token that is meant for something else")
    if not isinstance(header.get("kid", ""), str):
        raise NotAccepted("the token does not name its key properly")
    return header


def claims_of(token: str, header: Mapping[str, Any], keys: Any) -> dict[str, Any] | None:
    """What the token says, or None when none of these keys signed it.

    keys: the list of a JWKS document, as the provider sent it.
    """
    for key in _candidates(header, keys):
        try:
            signed = jwt.PyJWS().decode_complete(token, key, algorithms=[header["alg"]])
        except (jwt.PyJWTError, ValueError):
            continue
        return _read(signed["payload"])
    return None


def check_id_token(
    claims: Mapping[str, Any], *, issuer: str, client_id: str, nonce: str, now: float
) -> None:
    """OpenID Connect Core, section 3.1.3.7, to the letter and a little beyond."""
    _check_sender(claims, issuer, client_id, now)
    if not _is_subject(claims.get("sub")):
        raise NotAccepted("the token does not say whom it is about")
    if claims["iat"] < now - OLDEST:
        raise NotAccepted("the token is older than this sign-in")
    said = claims.get("nonce")
    if not isinstance(said, str) or not hmac.compare_digest(said.encode(), nonce.encode()):
        raise NotAccepted("the token answers another sign-in than this one")
    if not isinstance(claims.get("sid", ""), str) or len(claims.get("sid", "")) > LONGEST_NAME:
        raise NotAccepted("the token does not name its session properly")


def check_access_token(claims: Mapping[str, Any], header: Mapping[str, Any], token: str) -> None:
    """That the access token belongs to the id token. Core, section 3.1.3.8; not always said."""
    said = claims.get("at_hash")
    if said is None:
        return
    digest = hashlib.new(ALGORITHMS[header["alg"]].hash, token.encode()).digest()
    due = base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=")
    if not isinstance(said, str) or not hmac.compare_digest(said.encode(), due):
        raise NotAccepted("the access token does not belong to the token about you")


def check_logout_token(
    claims: Mapping[str, Any], *, issuer: str, client_id: str, now: float
) -> None:
    """OpenID Connect Back-Channel Logout 1.0, section 2.6, besides that each is used once."""
    _check_sender(claims, issuer, client_id, now)
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(LOGOUT_EVENT), dict):
        raise NotAccepted("the token does not speak of a log-out")
    if "nonce" in claims:
        raise NotAccepted("the token is one for signing in")
    if not _is_name(claims.get("jti")):
        raise NotAccepted("the token has no number of its own")
    if "sub" not in claims and "sid" not in claims:
        raise NotAccepted("the token does not say who logs out")
    if "sub" in claims and not _is_subject(claims["sub"]):
        raise NotAccepted("the token does not name a person properly")
    if "sid" in claims and not _is_name(claims["sid"]):
        raise NotAccepted("the token does not name its session properly")


def unverified(token: Any) -> dict[str, Any]:
    """What a token says before anything of it is verified: only to choose whose keys to try."""
    if not isinstance(token, str) or len(token) > LONGEST or not _COMPACT.fullmatch(token):
        raise NotAccepted("this is not a signed token")
    return _object(token.split(".")[1])


def _check_sender(claims: Mapping[str, Any], issuer: str, client_id: str, now: float) -> None:
    if claims.get("iss") != issuer:
        raise NotAccepted("the token comes from another provider")
    audience = claims.get("aud")
    if audience not in (client_id, [client_id]):
        raise NotAccepted("the token is meant for another program, or for others besides this one")
    if claims.get("azp", client_id) != client_id:
        raise NotAccepted("the token was given to another program")
    for name in ("exp", "iat"):
        if not _is_time(claims.get(name)):
            raise NotAccepted(f"the token does not say when it was made and ends ({name})")
    if claims["exp"] <= now - LEEWAY:
        raise NotAccepted("the token has expired; the two clocks may differ")
    if claims["iat"] > now + LEEWAY:
        raise NotAccepted("the token comes from the future; the two clocks differ")
    if "nbf" in claims and not (_is_time(claims["nbf"]) and claims["nbf"] <= now + LEEWAY):
        raise NotAccepted("the token is not valid yet; the two clocks may differ")


def _candidates(header: Mapping[str, Any], keys: Any) -> list[jwt.PyJWK]:
    """Usable keys of the JWKS that the header may mean, in their order."""
    if not isinstance(keys, list):
        raise NotAccepted("the list of the provider's keys is not one")
    kind = ALGORITHMS[header["alg"]]
    found = []
    for key in keys:
        if (
            isinstance(key, dict)
            and key.get("kty") == kind.kty
            and key.get("crv") == kind.crv
            and ("kid" not in header or key.get("kid") == header["kid"])
            and key.get("use", "sig") == "sig"
            and key.get("alg", header["alg"]) == header["alg"]
            and _may_verify(key.get("key_ops"))
            # A key whose private half was published proves nothing of who signed.
            and "d" not in key
        ):
            found.append(_key(key, header["alg"]))
    return [key for key in found if key is not None][:MOST_TRIED]


def _may_verify(operations: Any) -> bool:
    return operations is None or (isinstance(operations, list) and "verify" in operations)


def _key(said: Mapping[str, Any], algorithm: str) -> jwt.PyJWK | None:
    members = {name: said.get(name) for name in ("kty", *MEMBERS[said["kty"]])}
    if not all(isinstance(value, str) for value in members.values()):
        return None
    if said["kty"] == "RSA" and not _is_safe_rsa(said["n"], said["e"]):
        return None
    try:
        return jwt.PyJWK(members, algorithm=algorithm)
    except (jwt.PyJWTError, ValueError):
        return None


def _is_safe_rsa(modulus: str, exponent: str) -> bool:
    try:
        n, e = (int.from_bytes(_bytes(part)) for part in (modulus, exponent))
    except NotAccepted:
        return False
    return n.bit_length() in RSA_BITS and 3 <= e < 2**32 and bool(e & 1)


def _object(encoded: str) -> dict[str, Any]:
    return _read(_bytes(encoded))


def _bytes(encoded: str) -> bytes:
    try:
        return base64.b64decode(
            encoded.encode() + b"=" * (-len(encoded) % 4), altchars=b"-_", validate=True
        )
    except (binascii.Error, ValueError) as error:
        raise NotAccepted("a part of the token cannot be read") from error


def _read(raw: bytes) -> dict[str, Any]:
    try:
        said = parsed(raw)
    except NotSound as error:
        raise NotAccepted(f"what the token says {error}") from error
    if not isinstance(said, dict):
        raise NotAccepted("what the token says is not about anything")
    return said


def _is_time(value: Any) -> bool:
    """Seconds since 1970. bool is an int to Python; nothing after the year 2200 is a time."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and 0 <= value < 7_258_118_400
    )


def _is_subject(value: Any) -> bool:
    return isinstance(value, str) and _SUBJECT.fullmatch(value) is not None


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LONGEST_NAME
