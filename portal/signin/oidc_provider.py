"""What an OpenID provider publishes of itself (metadata, keys): fetched, checked, kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import structlog
from django.core.cache import cache
from redis.exceptions import RedisError

from portal.signin.oidc_tokens import ALGORITHMS, NotAccepted
from tenants.models import IdentityProvider
from tenants.outbound import NotFetched, fetch_json, may_be_named
from tenants.scope import current_tenant_id

log = structlog.get_logger(__name__)

WELL_KNOWN = "/.well-known/openid-configuration"
KEPT = 3600  # seconds: what a provider published, until it is asked again
SPARED = 10  # seconds: a provider that failed is left alone
ASKED_AGAIN_AFTER = 30  # seconds: between two looks for a key that is not there
NEEDED = ("authorization_endpoint", "token_endpoint", "jwks_uri")
OPTIONAL = ("userinfo_endpoint", "end_session_endpoint")


@dataclass(frozen=True)
class Metadata:
    """A provider's own description, as far as it is used. Addresses that it lacks are empty."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str
    end_session_endpoint: str
    names_itself: bool  # RFC 9207: its answers carry `iss`
    secret_in_header: bool  # client_secret_basic; otherwise client_secret_post
    algorithms: frozenset[str]  # those it says it signs with


def implied_issuer(provider: IdentityProvider) -> str:
    """The issuer that the discovery address stands for, without a slash at the end.

    Admins write the address of the document or that of the issuer; both are found in handbooks.
    """
    return provider.discovery_url.removesuffix(WELL_KNOWN).rstrip("/")


def metadata_of(provider: IdentityProvider, *, fresh: bool = False) -> Metadata:
    """The provider's metadata. fresh: asked for now, whatever is kept. Raises NotAccepted."""
    document, _ = _published(provider, implied_issuer(provider) + WELL_KNOWN, fresh=fresh)
    return _checked(document, implied_issuer(provider))


def keys_of(provider: IdentityProvider, metadata: Metadata) -> tuple[Any, bool]:
    """The `keys` of the provider's JWKS, and whether they come straight from it."""
    document, is_fresh = _published(provider, metadata.jwks_uri)
    return document.get("keys"), is_fresh


def keys_again(provider: IdentityProvider, metadata: Metadata) -> Any:
    """The keys as they are now, for a token that none of the kept ones signed.

    None when the provider was asked just now: nobody makes us ask it time and again by
    inventing keys. Raises NotAccepted.
    """
    if not _may_ask_again(_place(provider, metadata.jwks_uri)):
        return None
    document, _ = _published(provider, metadata.jwks_uri, fresh=True)
    return document.get("keys")


def _published(
    provider: IdentityProvider, address: str, *, fresh: bool = False
) -> tuple[dict[str, Any], bool]:
    place = _place(provider, address)
    kept = None if fresh else _recalled(place)
    found = kept or _fetched(address)
    if "document" in found and kept is None:
        _keep(place, found, KEPT)
    elif kept is None and not fresh:
        _keep(place, found, SPARED)
    if "document" not in found:
        raise NotAccepted(f"your provider cannot be asked: {found['failed']}")
    return found["document"], kept is None


def _fetched(address: str) -> dict[str, Any]:
    try:
        answer = fetch_json(address)
    except NotFetched as failure:
        return {"failed": str(failure)}
    if answer.status != 200 or not isinstance(answer.document, dict):
        return {"failed": f"it answers with status {answer.status}, or not with what was asked for"}
    return {"document": answer.document}


def _checked(said: Mapping[str, Any], implied: str) -> Metadata:
    issuer = said.get("issuer")
    # Discovery 1.0, section 4.3, but for the slash that section 4.1 takes away.
    if not isinstance(issuer, str) or issuer not in (implied, implied + "/"):
        raise NotAccepted("your provider calls itself something else than its address says")
    for name in (*NEEDED, *(name for name in OPTIONAL if said.get(name) is not None)):
        if not isinstance(said.get(name), str) or not may_be_named(said[name]):
            raise NotAccepted(f"your provider's {name} is not an address that begins with https")
    _check_offer(said, "response_types_supported", "code", ("code",))
    # Without this list nothing is known, so the challenge is sent all the same. RFC 9700, 2.1.1.
    _check_offer(said, "code_challenge_methods_supported", "S256", ("S256",))
    ways = _words(said, "token_endpoint_auth_methods_supported", ("client_secret_basic",))
    algorithms = _words(said, "id_token_signing_alg_values_supported", tuple(ALGORITHMS))
    if not set(algorithms) & set(ALGORITHMS):
        raise NotAccepted("your provider signs in no way that is accepted here")
    return Metadata(
        issuer=issuer,
        **{name: said[name] for name in NEEDED},
        **{name: said.get(name) or "" for name in OPTIONAL},
        names_itself=said.get("authorization_response_iss_parameter_supported") is True,
        secret_in_header="client_secret_basic" in ways or "client_secret_post" not in ways,
        algorithms=frozenset(algorithms),
    )


def _check_offer(
    said: Mapping[str, Any], name: str, wanted: str, otherwise: tuple[str, ...]
) -> None:
    if wanted not in _words(said, name, otherwise):
        raise NotAccepted(f"your provider does not offer {wanted!r} in {name}")


def _words(said: Mapping[str, Any], name: str, otherwise: tuple[str, ...]) -> tuple[str, ...]:
    words = said.get(name, list(otherwise))
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise NotAccepted(f"your provider's {name} is not a list of words")
    return tuple(words)


# Kept by tenant and provider: what one tenant's provider says never counts for another's.
def _place(provider: IdentityProvider, address: str) -> str:
    return f"oidc:{current_tenant_id()}:{provider.pk}:{sha256(address.encode()).hexdigest()}"


def _recalled(place: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] | None = cache.get(place)
    except RedisError as error:
        log.warning("the cache does not answer", error=repr(error))
        return None
    return found


def _keep(place: str, value: dict[str, Any], seconds: int) -> None:
    try:
        cache.set(place, value, seconds)
    except RedisError as error:
        log.warning("the cache does not answer", error=repr(error))


def _may_ask_again(place: str) -> bool:
    try:
        return bool(cache.add(f"{place}:again", 1, ASKED_AGAIN_AFTER))
    except RedisError as error:
        log.warning("the cache does not answer", error=repr(error))
        return False
