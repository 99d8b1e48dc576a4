"""The relying party: mozilla-django-oidc with its trust taken out and checks put in (ADR 0012)."""

import base64
import re
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_plus

from django.core.exceptions import ImproperlyConfigured
from mozilla_django_oidc.auth import OIDCAuthenticationBackend

from authz.identities import Claimed
from authz.providers import secret_of
from portal.signin import oidc_tokens
from portal.signin.oidc_provider import Metadata, keys_again, keys_of
from portal.signin.oidc_tokens import NotAccepted
from tenants.models import IdentityProvider
from tenants.outbound import NotFetched, fetch_json
from tenants.secrets import SecretsUnavailable

CALLBACK = "oidc-callback"  # the name of its address
ID_TOKEN = ("jwt",)
LOGOUT_TOKEN = ("logout+jwt", "jwt")
MOST_GROUPS = 1000
LONGEST_GROUP = 255
LONGEST_EMAIL = 254

_ACCESS_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}")
_ERROR = re.compile(r"[a-z0-9_]{1,60}")

# What a token endpoint refuses with: RFC 6749, section 5.2.
TOKEN_ERRORS = {
    "invalid_client": "your provider does not accept the client id and secret that are set here",
    "invalid_grant": "your provider does not accept its own answer any more; sign in once more",
    "unauthorized_client": "your provider does not let this portal sign people in that way",
}


class RelyingParty(OIDCAuthenticationBackend):  # type: ignore[misc]  # the library has no types
    """One tenant's provider, asked about one person.

    Not among Django's backends: authenticate() ends with what was claimed, and accounts are found
    by authz.identities. Every method that fetches or verifies is replaced. Methods raise
    NotAccepted.
    """

    def __init__(self, provider: IdentityProvider, metadata: Metadata) -> None:
        self.provider = provider
        self.metadata = metadata
        self.id_token = ""
        self.session = ""  # what the provider calls its own
        self._header: dict[str, Any] = {}  # of the id token
        self._settings = {
            "OIDC_OP_TOKEN_ENDPOINT": metadata.token_endpoint,
            "OIDC_OP_USER_ENDPOINT": metadata.userinfo_endpoint,
            "OIDC_OP_JWKS_ENDPOINT": metadata.jwks_uri,
            "OIDC_RP_CLIENT_ID": provider.client_id,
            "OIDC_RP_CLIENT_SECRET": _secret(provider),
            "OIDC_RP_SIGN_ALGO": "RS256",  # satisfies the library; each token names its own
            "OIDC_AUTHENTICATION_CALLBACK_URL": CALLBACK,
        }
        super().__init__()

    def get_settings(self, attr: str, *args: Any) -> Any:
        """From the provider's row; Django's settings say nothing of any tenant's provider."""
        if attr in self._settings:
            return self._settings[attr]
        if args:
            return args[0]
        raise ImproperlyConfigured(f"{attr} has no place in an identity provider's row")

    def get_token(self, payload: Mapping[str, str]) -> dict[str, Any]:
        """Swap the code for tokens, naming ourselves as the provider's metadata wants it."""
        form, headers = dict(payload), {}
        secret = form.pop("client_secret")
        if secret and self.metadata.secret_in_header:
            # RFC 6749, section 2.3.1: both are form-encoded first, so that a colon stays one.
            pair = f"{quote_plus(form.pop('client_id'))}:{quote_plus(secret)}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        elif secret:
            form["client_secret"] = secret
        status, said = _asked(self.metadata.token_endpoint, form=form, headers=headers)
        if status != 200:
            raise NotAccepted(_refusal_of(status, said))
        if str(said.get("token_type")).lower() != "bearer":
            raise NotAccepted("your provider sent a kind of access token that is not known here")
        token = said.get("access_token")
        if not isinstance(token, str) or not _ACCESS_TOKEN.fullmatch(token):
            raise NotAccepted("your provider sent no access token")
        return said

    def verify_token(self, token: Any, **kwargs: Any) -> dict[str, Any]:
        """What the id token says, once everything about it is right. kwargs: nonce."""
        self._header, claims = self._signed(token, ID_TOKEN)
        oidc_tokens.check_id_token(
            claims,
            issuer=self.metadata.issuer,
            client_id=self.provider.client_id,
            nonce=kwargs["nonce"],
            now=time.time(),
        )
        return claims

    def verify_logout_token(self, token: Any) -> dict[str, Any]:
        """What the log-out token says; whether it was used before is for the caller to know."""
        _, claims = self._signed(token, LOGOUT_TOKEN)
        oidc_tokens.check_logout_token(
            claims,
            issuer=self.metadata.issuer,
            client_id=self.provider.client_id,
            now=time.time(),
        )
        return claims

    def store_tokens(self, access_token: str, id_token: str) -> None:
        """Not in the session, where the library would put them in the clear."""
        self.id_token = id_token

    def get_userinfo(
        self, access_token: str, id_token: str, payload: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The claims that the provider gives for the access token; empty if it offers none."""
        if not self.metadata.userinfo_endpoint:
            return {}
        bearer = {"Authorization": f"Bearer {access_token}"}
        status, said = _asked(self.metadata.userinfo_endpoint, headers=bearer)
        if status != 200:
            raise NotAccepted(f"your provider does not say who you are (status {status})")
        # OpenID Connect Core, section 5.3.2: otherwise a swapped access token names another.
        if said.get("sub") != payload["sub"]:
            raise NotAccepted("your provider speaks of two people at once")
        return said

    def get_or_create_user(
        self, access_token: str, id_token: str, payload: Mapping[str, Any]
    ) -> Claimed:
        """What was claimed. The library would look for an account by its address here."""
        oidc_tokens.check_access_token(payload, self._header, access_token)
        told = self.get_userinfo(access_token, id_token, payload)
        self.session = payload.get("sid", "")
        # What is signed counts more than what came with the access token.
        claims = {**told, **payload}
        email, is_verified = _address(self.provider.email_claim, payload, told)
        return Claimed(
            issuer=self.metadata.issuer,
            subject=payload["sub"],
            email=email,
            email_verified=is_verified,
            name=_text(claims, self.provider.name_claim),
            groups=_groups(claims, self.provider.groups_claim),
            directory_id=_text(claims, self.provider.directory_claim),
            claims=claims,
        )

    def _signed(self, token: Any, kinds: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Header and claims of a token that one of the provider's keys signed.

        When none of the kept keys did, the provider is asked once whether it has new ones.
        """
        header = oidc_tokens.header_of(token, kinds=kinds, announced=self.metadata.algorithms)
        keys, are_fresh = keys_of(self.provider, self.metadata)
        claims = oidc_tokens.claims_of(token, header, keys)
        if claims is None and not are_fresh:
            keys = keys_again(self.provider, self.metadata)
            claims = None if keys is None else oidc_tokens.claims_of(token, header, keys)
        if claims is None:
            raise NotAccepted("none of your provider's keys signed the token")
        return header, claims


def said(claims: Mapping[str, Any], path: str) -> Any:
    """The claim named `path`, or found by following its dots; None when there is none.

    Names with dots come first, because some providers name claims by web addresses.
    """
    if not path:
        return None
    if path in claims:
        return claims[path]
    first, _, rest = path.partition(".")
    inner = claims.get(first)
    return said(inner, rest) if isinstance(inner, dict) else None


def _secret(provider: IdentityProvider) -> str:
    try:
        return secret_of(provider, "client_secret")
    except SecretsUnavailable as error:
        raise NotAccepted(
            "this portal cannot open the client secret it keeps; an admin has to type it in again"
        ) from error


def _asked(
    address: str, *, headers: Mapping[str, str], form: Mapping[str, str] | None = None
) -> tuple[int, dict[str, Any]]:
    try:
        answer = fetch_json(address, form=form, headers=headers)
    except NotFetched as failure:
        raise NotAccepted(f"your provider cannot be asked: {failure}") from failure
    if not isinstance(answer.document, dict):
        raise NotAccepted("your provider answers with something else than what was asked for")
    return answer.status, answer.document


def _refusal_of(status: int, document: Mapping[str, Any]) -> str:
    error = document.get("error")
    if not isinstance(error, str) or not _ERROR.fullmatch(error):
        return f"your provider does not hand out a token (status {status})"
    return TOKEN_ERRORS.get(error, f"your provider does not hand out a token ({error})")


def _address(claim: str, signed: Mapping[str, Any], told: Mapping[str, Any]) -> tuple[str, bool]:
    """The e-mail address, and whether the provider says that it verified this very one.

    Both from one document, because "verified" must not be said of one address and used for
    another.
    """
    source = signed if said(signed, claim) is not None else told
    address = _text(source, claim)
    if len(address) > LONGEST_EMAIL:
        raise NotAccepted("your provider says an e-mail address that is none")
    is_verified = source.get("email_verified") in (True, "true")
    return address, bool(address) and is_verified and source.get("email") == address


def _text(claims: Mapping[str, Any], path: str) -> str:
    value = said(claims, path)
    return value.strip() if isinstance(value, str) else ""


def _groups(claims: Mapping[str, Any], path: str) -> tuple[str, ...]:
    """Names of groups: none when the claim is missing, for then the person is in none.

    Anything else than a list of names, or one name, is refused: guessing would change roles.
    """
    value = said(claims, path)
    left_out = claims.get("_claim_names")
    if value is None and isinstance(left_out, dict) and path and path in left_out:
        raise NotAccepted("your provider left your groups out, because you are in too many")
    groups = [value] if isinstance(value, str) else value or []
    if not isinstance(groups, list) or not all(isinstance(group, str) for group in groups):
        raise NotAccepted("your provider says your groups in a form that is not understood here")
    if len(groups) > MOST_GROUPS or any(len(group) > LONGEST_GROUP for group in groups):
        raise NotAccepted("your provider says more groups than can be kept")
    return tuple(group for group in groups if group)
