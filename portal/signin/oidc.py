"""Sign-in by OpenID Connect: off to the provider, its answer, and both ways of logging out."""

import re
import secrets
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import structlog
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST
from mozilla_django_oidc.utils import absolutify, generate_code_challenge

from authz import identities
from authz.providers import connection_digest
from authz.replays import first_use
from authz.sessions import end_session
from portal import limits
from portal.signin import oidc_tokens
from portal.signin.journey import Journey, finish, take, turn_away
from portal.signin.oidc_party import CALLBACK, RelyingParty
from portal.signin.oidc_provider import Metadata, implied_issuer, metadata_of
from portal.signin.oidc_tokens import NotAccepted
from tenants import asked
from tenants import secrets as sealed
from tenants.actor import system_actor
from tenants.models import IdentityProvider, Session

log = structlog.get_logger(__name__)

AT_PROVIDER = "oidc"  # where a session keeps what ending it at the provider takes
LONGEST_HINT = 4096  # characters of an id token that still goes into an address

# What a provider answers instead of a code: RFC 6749, 4.1.2.1, and OpenID Connect Core, 3.1.2.6.
ERRORS = {
    "access_denied": "your provider did not let you in, or you stopped there",
    "login_required": "your provider wants you to sign in there first",
    "interaction_required": "your provider wants to ask you something first",
    "consent_required": "your provider wants your consent first",
    "account_selection_required": "your provider wants you to choose an account first",
    "invalid_request": "your provider does not understand this portal's question",
    "unauthorized_client": "your provider does not let this portal sign people in",
    "invalid_scope": "your provider does not know the scopes that are set here",
    "unsupported_response_type": "your provider does not sign people in the way this portal does",
    "server_error": "something broke at your provider; try again later",
    "temporarily_unavailable": "your provider is not available; try again later",
}


def start(request: HttpRequest, provider: IdentityProvider, journey: Journey) -> HttpResponse:
    """Sends the browser to the provider."""
    try:
        # A test is about the settings as they are now, also on the provider's side.
        metadata = metadata_of(provider, fresh=journey.purpose == "test")
    except NotAccepted as refusal:
        return turn_away(request, str(refusal), provider)
    verifier = secrets.token_urlsafe(48)
    journey.data = {
        "nonce": secrets.token_urlsafe(24),
        "verifier": verifier,
        "connection": connection_digest(provider),
    }
    journey.keep(request)
    asked = {
        "response_type": "code",
        "client_id": provider.client_id,
        "redirect_uri": absolutify(request, reverse(CALLBACK)),
        "scope": " ".join(dict.fromkeys(["openid", *provider.scopes.split()])),
        "state": journey.id,
        "nonce": journey.data["nonce"],
        "code_challenge": generate_code_challenge(verifier, "S256"),
        "code_challenge_method": "S256",
    }
    return HttpResponseRedirect(_with_query(metadata.authorization_endpoint, asked))


@login_not_required
@never_cache
@require_GET
@asked.without_asking(asked.Purpose.SIGN_IN)
def callback(request: HttpRequest) -> HttpResponse:
    """The provider's answer: a code, or why there is none."""
    journey = take(request, request.GET.get("state", ""))
    if journey is None:
        # Counted, because it is anybody's for the asking and leaves an entry.
        limits.check("signin", request)
        return turn_away(
            request, "this browser did not begin this sign-in, or began it too long ago"
        )
    provider = IdentityProvider.objects.filter(
        pk=journey.provider_id, protocol=IdentityProvider.Protocol.OIDC
    ).first()
    if provider is None:
        return turn_away(request, "this identity provider is not connected here any more")
    try:
        metadata = metadata_of(provider)
        party = RelyingParty(provider, metadata)
        _check_answer(request, journey, provider, metadata)
        claimed = party.authenticate(
            request,
            nonce=journey.data["nonce"],
            code_verifier=journey.data["verifier"],
        )
    except NotAccepted as refusal:
        return turn_away(request, str(refusal), provider, **_told(request))
    answer = finish(request, journey, provider, claimed, provider_session=party.session)
    if journey.purpose == "signin" and answer.status_code == 302:
        request.session[AT_PROVIDER] = {
            "address": metadata.end_session_endpoint,
            "client_id": provider.client_id,
            "hint": _hint(party.id_token),
        }
    return answer


def signout_address(request: HttpRequest, session: Session) -> str | None:
    """Where to end the session at the provider too; None when the provider has no such place.

    Asked before the session ends. No provider is asked for it: what it takes was kept at sign-in.
    """
    kept = request.session.get(AT_PROVIDER, {})
    if session.way != IdentityProvider.Protocol.OIDC or not kept.get("address"):
        return None
    asked = {
        "client_id": kept["client_id"],
        "post_logout_redirect_uri": absolutify(request, reverse("signin")),
    }
    if kept["hint"]:
        try:
            asked["id_token_hint"] = sealed.unseal(kept["hint"], "id token hint")
        except sealed.SecretsUnavailable:
            log.warning("a sealed id token does not open; the provider will ask instead")
    return _with_query(kept["address"], asked)


@csrf_exempt
@login_not_required
@never_cache
@require_POST
@asked.without_asking(asked.Purpose.SIGN_IN)
def logout(request: HttpRequest) -> HttpResponse:
    """A provider ends sessions that it began: OpenID Connect Back-Channel Logout 1.0."""
    provider = None
    try:
        token = _only(request.POST.getlist("logout_token"), "logout_token")
        said = oidc_tokens.unverified(token)
        provider = _sender(said)
        said = RelyingParty(provider, metadata_of(provider)).verify_logout_token(token)
        _check_unused(said)
    except NotAccepted as refusal:
        # Only what is refused counts: when a company closes, thousands may log out at once.
        limits.check("token", request)
        identities.refused(provider, str(refusal), action="session.end.denied")
        error = {"error": "invalid_request", "error_description": str(refusal)}
        return JsonResponse(error, status=400)
    by = system_actor("identity provider", "page")
    for session in _sessions_of(said):
        end_session(session, by=by, why="the identity provider ended it")
    return HttpResponse()


def _check_answer(
    request: HttpRequest, journey: Journey, provider: IdentityProvider, metadata: Metadata
) -> None:
    """That the answer is the provider's, to the question that was asked, and that it is yes."""
    if any(len(values) > 1 for _, values in request.GET.lists()):
        raise NotAccepted("the answer says something twice")
    if journey.data.get("connection") != connection_digest(provider):
        raise NotAccepted("the settings of the provider were changed meanwhile; sign in once more")
    sender = request.GET.get("iss")
    if metadata.names_itself and sender is None:
        raise NotAccepted("the answer does not say which provider it comes from")
    if sender is not None and sender != metadata.issuer:
        raise NotAccepted("the answer comes from another provider")
    error = request.GET.get("error")
    if error is not None:
        raise NotAccepted(ERRORS.get(error, "your provider answered with an error"))
    if not request.GET.get("code"):
        raise NotAccepted("your provider answered with neither a code nor an error")


_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")


def _told(request: HttpRequest) -> dict[str, str]:
    """For the record: what a provider says of an error. Anybody's words, so cleaned and cut."""
    return {
        name: _UNPRINTABLE.sub("?", request.GET[name])[:200]
        for name in ("error", "error_description")
        if name in request.GET
    }


def _hint(id_token: str) -> str:
    """The id token, sealed, for the provider to know whom it logs out; empty if it cannot be.

    A copy of the table of sessions then tells nobody what it says.
    """
    if len(id_token) > LONGEST_HINT:
        return ""
    try:
        return sealed.seal(id_token, "id token hint")
    except sealed.SecretsUnavailable:
        return ""


def _sender(said: dict[str, Any]) -> IdentityProvider:
    """The tenant's provider that a token claims to come from; nobody is asked anything yet."""
    provider: IdentityProvider
    for provider in IdentityProvider.objects.filter(protocol=IdentityProvider.Protocol.OIDC):
        audience = said.get("aud")
        if said.get("iss") in (
            implied_issuer(provider),
            implied_issuer(provider) + "/",
        ) and audience in (provider.client_id, [provider.client_id]):
            return provider
    raise NotAccepted("no identity provider that is connected here sends such a token")


def _check_unused(said: dict[str, Any]) -> None:
    until = datetime.fromtimestamp(said["exp"] + oidc_tokens.LEEWAY, UTC)
    if not first_use("logout", said["iss"], said["jti"], until=until):
        raise NotAccepted("the token was used already")


def _sessions_of(said: dict[str, Any]) -> list[Session]:
    """Sessions that the log-out means. One whose provider never named it counts as meant."""
    found = Session.objects.filter(identity__issuer=said["iss"])
    if "sub" in said:
        found = found.filter(identity__subject=said["sub"])
        if "sid" in said:
            found = found.filter(provider_session__in=[said["sid"], ""])
    else:
        found = found.filter(provider_session=said["sid"])
    return list(found)


def _only(values: list[str], name: str) -> str:
    if len(values) != 1:
        raise NotAccepted(f"{name} is missing, or there twice")
    return values[0]


def _with_query(address: str, asked: dict[str, str]) -> str:
    return f"{address}{'&' if '?' in address else '?'}{urlencode(asked)}"
