"""Sign-in by SAML 2.0: the question, the answer, what we publish about ourselves, log-out."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import BadRequest, SuspiciousOperation
from django.http import HttpRequest, HttpResponse, QueryDict
from django.http.request import UnreadablePostError
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST
from onelogin.saml2.auth import OneLogin_Saml2_Auth
from onelogin.saml2.authn_request import OneLogin_Saml2_Authn_Request
from onelogin.saml2.constants import OneLogin_Saml2_Constants as Names
from onelogin.saml2.logout_response import OneLogin_Saml2_Logout_Response
from onelogin.saml2.metadata import OneLogin_Saml2_Metadata
from onelogin.saml2.settings import OneLogin_Saml2_Settings

from authz import replays, sessions
from authz.identities import Claimed
from authz.providers import missing, secret_of
from portal import limits
from portal.signin.journey import Journey, finish, take, turn_away
from portal.signin.saml_messages import (
    LONGEST,
    Addresses,
    Assertion,
    LogoutRequest,
    NotBelieved,
    read_answer,
    read_logout,
    toolkit,
)
from tenants import asked
from tenants.actor import system_actor
from tenants.models import IdentityProvider, Session
from tenants.secrets import SecretsUnavailable

# The body of an answer: base64 of the longest XML, each character of it escaped at the worst.
LONGEST_BODY = LONGEST * 4
AGAIN = "again"  # in the body of an answer that our own page has sent on
NOT_ASKED = "no sign-in that this answers was begun in this browser in the last 10 minutes"


def start(request: HttpRequest, provider: IdentityProvider, journey: Journey) -> HttpResponse:
    """Sends the browser to the provider with a signed question."""
    if missing(provider):
        return turn_away(request, "this provider is not set up completely yet", provider)
    try:
        kit = _signing_toolkit(provider, addresses(request, provider))
        question = OneLogin_Saml2_Authn_Request(kit)
        said = {"SAMLRequest": question.get_request(), "RelayState": journey.id}
        where = _signed_address(provider.sso_url, said, kit)
    except NotBelieved as refusal:
        return _refused(request, provider, refusal)
    journey.data["request_id"] = question.get_id()
    journey.keep(request)
    return redirect(where)


@csrf_exempt  # the provider's page sends it; what stands against forgery is the journey
@login_not_required
@require_POST
@asked.without_asking(asked.Purpose.SIGN_IN)
def acs(request: HttpRequest, provider_id: UUID) -> HttpResponse:
    """Where the provider's answer arrives (assertion consumer service)."""
    provider = _provider(provider_id)
    try:
        said = _body(request)
        if settings.SESSION_COOKIE_NAME not in request.COOKIES and AGAIN not in said:
            # Browsers keep cookies that are SameSite=Lax from a form of another site. A form of
            # our own brings them, and with them the journey that the answer must belong to.
            sent_on = {name: said.get(name, "") for name in ("SAMLResponse", "RelayState")}
            return render(request, "signin/onward.html", {"sent_on": {**sent_on, AGAIN: "1"}})
        limits.check("signin", request)
        journey = take(request, said.get("RelayState", ""))
        if journey is not None and journey.provider_id != provider.pk:
            raise NotBelieved("the sign-in was begun with another provider")
        if journey is None and not provider.idp_initiated:
            raise NotBelieved(NOT_ASKED)
        request_id = journey.data.get("request_id") if journey else None
        if journey is not None and request_id is None:
            raise NotBelieved(NOT_ASKED)
        assertion = read_answer(
            said.get("SAMLResponse", ""), provider, addresses(request, provider), request_id
        )
        if not replays.first_use(
            "assertion", provider.entity_id, assertion.id, until=assertion.expires_at
        ):
            raise NotBelieved("the assertion was used already", assertion.id)
    except NotBelieved as refusal:
        return _refused(request, provider, refusal)
    return finish(
        request,
        journey,
        provider,
        _claimed(provider, assertion),
        provider_session=assertion.session_index,
    )


@login_not_required
@require_GET
@asked.without_asking(asked.Purpose.SIGN_IN)
def metadata(request: HttpRequest, provider_id: UUID) -> HttpResponse:
    """What the provider has to know about us. Not signed: only our own key, in it, could do so."""
    provider = _provider(provider_id)
    ours = addresses(request, provider)
    built = OneLogin_Saml2_Metadata.builder(
        {
            "entityId": ours.entity_id,
            "assertionConsumerService": {"url": ours.acs, "binding": Names.BINDING_HTTP_POST},
            "singleLogoutService": {"url": ours.logout, "binding": Names.BINDING_HTTP_REDIRECT},
            "NameIDFormat": Names.NAMEID_PERSISTENT,
        },
        authnsign=True,
        wsign=True,
        # Most providers read it once and never again, so it must not run out.
        valid_until="",
        cache_duration="",
    )
    # Without a key for encryption, so that providers do not encrypt.
    built = OneLogin_Saml2_Metadata.add_x509_key_descriptors(
        built, provider.signing_certificate, add_encryption=False
    )
    return HttpResponse(built, content_type="application/samlmetadata+xml")


@login_not_required
@require_GET
@asked.without_asking(asked.Purpose.SIGN_IN)
def logout(request: HttpRequest, provider_id: UUID) -> HttpResponse:
    """Signs somebody out because the provider says so, and sends the browser back there."""
    provider = _provider(provider_id)
    limits.check("signin", request)
    try:
        ours = addresses(request, provider)
        asked = read_logout(request.META.get("QUERY_STRING", ""), provider, ours)
        if not replays.first_use("logout", provider.entity_id, asked.id, until=asked.expires_at):
            raise NotBelieved("the request was used already", asked.id)
    except NotBelieved as refusal:
        return _refused(request, provider, refusal)
    _end_sessions(provider, asked)
    if not provider.slo_url:
        return redirect("signin")
    try:
        kit = _signing_toolkit(provider, ours)
    except NotBelieved as refusal:
        return _refused(request, provider, refusal)
    answer = OneLogin_Saml2_Logout_Response(kit)
    answer.build(asked.id)
    said = {"SAMLResponse": answer.get_response()}
    if asked.relay_state is not None:
        said["RelayState"] = asked.relay_state
    return redirect(_signed_address(provider.slo_url, said, kit))


def addresses(request: HttpRequest, provider: IdentityProvider) -> Addresses:
    """What this provider knows us by, at the host that the request came to."""
    entity_id, acs_url, logout_url = (
        request.build_absolute_uri(reverse(name, args=[provider.pk]))
        for name in ("saml-metadata", "saml-acs", "saml-logout")
    )
    return Addresses(entity_id, acs_url, logout_url)


def _provider(provider_id: UUID) -> IdentityProvider:
    return get_object_or_404(
        IdentityProvider, pk=provider_id, protocol=IdentityProvider.Protocol.SAML
    )


def _body(request: HttpRequest) -> QueryDict:
    """The form that was sent. Raises NotBelieved when it is none, or longer than any answer."""
    length = request.headers.get("Content-Length") or "0"
    if request.content_type != "application/x-www-form-urlencoded":
        raise NotBelieved("the answer was not sent as a form", request.content_type)
    if not length.isdecimal() or int(length) > LONGEST_BODY:
        raise NotBelieved(f"the answer is too long; at most {LONGEST // 1024} KiB are read", length)
    try:
        return request.POST
    except (BadRequest, SuspiciousOperation, UnreadablePostError) as error:
        raise NotBelieved("the form that was sent cannot be read", error) from error


def _signing_toolkit(provider: IdentityProvider, ours: Addresses) -> OneLogin_Saml2_Settings:
    try:
        key = secret_of(provider, "signing_key")
    except SecretsUnavailable:
        key = ""
    if not key:
        raise NotBelieved("our own key for this provider cannot be read")
    return toolkit(provider, ours, key=key)


def _signed_address(address: str, said: dict[str, str], kit: OneLogin_Saml2_Settings) -> str:
    """`address` with `said` in its query string, signed."""
    signer = OneLogin_Saml2_Auth({}, kit)
    if "SAMLRequest" in said:
        signer.add_request_signature(said)
    else:
        signer.add_response_signature(said)
    # Last, because some providers verify the query string as far as the signature.
    said["Signature"] = said.pop("Signature")
    return f"{address}{'&' if '?' in address else '?'}{urlencode(said)}"


def _refused(
    request: HttpRequest, provider: IdentityProvider, refusal: NotBelieved
) -> HttpResponse:
    facts = {"found": refusal.found} if refusal.found else {}
    return turn_away(request, refusal.reason, provider, **facts)


def _claimed(provider: IdentityProvider, assertion: Assertion) -> Claimed:
    def values(claim: str) -> list[str]:
        return assertion.attributes.get(claim) or assertion.friendly.get(claim) or []

    def value(claim: str) -> str:
        return next(iter(values(claim)), "")

    email = value(provider.email_claim)
    if not email and assertion.subject_is_email:
        email = assertion.subject
    claims: Mapping[str, Any] = {
        name: said[0] if len(said) == 1 else said for name, said in assertion.attributes.items()
    }
    return Claimed(
        issuer=provider.entity_id,
        subject=assertion.subject,
        email=email,
        # SAML has no word for it. The tenant's own provider signs the address, and the tenant
        # decides (link_by_email, create_people) whether addresses there can be relied on.
        email_verified=bool(email),
        name=value(provider.name_claim),
        groups=tuple(values(provider.groups_claim)),
        directory_id=value(provider.directory_claim),
        claims=claims,
    )


def _end_sessions(provider: IdentityProvider, asked: LogoutRequest) -> None:
    theirs = Session.objects.filter(
        identity__issuer=provider.entity_id, identity__subject=asked.subject
    )
    if asked.session_indexes:
        theirs = theirs.filter(provider_session__in=asked.session_indexes)
    for session in theirs:
        sessions.end_session(
            session, by=system_actor("sign-in", "page"), why="signed out at the provider"
        )
