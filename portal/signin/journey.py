"""A sign-in under way: what was asked of a provider, until its one answer comes back."""

import secrets
import time
from dataclasses import asdict, dataclass, field
from typing import Any, Literal
from uuid import UUID

import structlog
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme

from authz import identities, invitations, providers
from authz.identities import Claimed, NotAdmitted
from portal.signin.sessions import open_session
from tenants.actor import Actor
from tenants.models import IdentityProvider

log = structlog.get_logger(__name__)

JOURNEYS = "journeys"  # where a session keeps them
INVITED = "invitation"  # the digest of an invitation that was opened in this browser
VALID_FOR = 600  # seconds
AT_ONCE = 5  # tabs that may be signing in at the same time; older ones are forgotten


@dataclass
class Journey:
    """One question to a provider. data: what the protocol needs to check the answer."""

    id: str
    provider_id: UUID
    purpose: Literal["signin", "test"]
    next: str
    started_at: float
    data: dict[str, Any] = field(default_factory=dict)

    def keep(self, request: HttpRequest) -> None:
        """Keep it in the browser's session, instead of what was kept of it before."""
        kept = dict(request.session.get(JOURNEYS, {}))
        kept[self.id] = {**asdict(self), "provider_id": str(self.provider_id)}
        newest = sorted(kept.values(), key=lambda one: one["started_at"])[-AT_ONCE:]
        request.session[JOURNEYS] = {one["id"]: one for one in newest}


def begin(
    request: HttpRequest,
    provider: IdentityProvider,
    *,
    purpose: Literal["signin", "test"],
    next: str = "/",
) -> Journey:
    """Start a journey. Its id is unguessable: good as OIDC's state or as SAML's RelayState."""
    journey = Journey(
        id=secrets.token_urlsafe(24),
        provider_id=provider.pk,
        purpose=purpose,
        next=safe_next(request, next),
        started_at=time.time(),
    )
    journey.keep(request)
    return journey


def take(request: HttpRequest, journey_id: str) -> Journey | None:
    """The journey, which is over with this; None when this browser began no such journey lately.

    Saved at once, so that an answer sent twice finds nothing the second time.
    """
    kept = dict(request.session.get(JOURNEYS, {}))
    found = kept.pop(journey_id, None)
    if found is None:
        return None
    request.session[JOURNEYS] = kept
    request.session.save()
    if found["started_at"] < time.time() - VALID_FOR:
        return None
    return Journey(**{**found, "provider_id": UUID(found["provider_id"])})


def finish(
    request: HttpRequest,
    journey: Journey | None,
    provider: IdentityProvider,
    claimed: Claimed,
    *,
    provider_session: str = "",
) -> HttpResponse:
    """Let in whoever the verified answer is about, or show what a test sign-in brought back.

    journey: None for an answer to no question of ours, where the provider may send such.
    """
    if journey is not None and journey.purpose == "test":
        return _finish_test(request, provider, claimed)
    if provider.state != IdentityProvider.State.ON:
        return turn_away(request, "this identity provider is not switched on", provider)
    invitation = invitations.invitation_by_digest(request.session.get(INVITED, ""))
    try:
        identity = identities.arrive(
            provider, claimed, invited=invitation.user if invitation else None
        )
    except NotAdmitted as refusal:
        return _refused(request, str(refusal))
    if invitation is not None:
        invitations.use(invitation)
    open_session(
        request,
        identity.user,
        provider.protocol,
        identity=identity,
        provider_session=provider_session,
        methods=claimed.methods,
    )
    return redirect(journey.next if journey else "/")


def turn_away(
    request: HttpRequest, reason: str, provider: IdentityProvider | None = None, **facts: Any
) -> HttpResponse:
    """Refuse a sign-in, on record and in plain words. facts: for the record alone."""
    identities.refused(provider, reason, **facts)
    return _refused(request, reason)


def safe_next(request: HttpRequest, wanted: str | None) -> str:
    """`wanted` if it is an address of this very host, otherwise the home page."""
    if wanted and url_has_allowed_host_and_scheme(wanted, allowed_hosts={request.get_host()}):
        return wanted
    return "/"


def _finish_test(
    request: HttpRequest, provider: IdentityProvider, claimed: Claimed
) -> HttpResponse:
    by: Actor | None = getattr(request, "actor", None)
    if by is None:
        return turn_away(request, "the test was begun by somebody who is not signed in", provider)
    providers.remember_test(provider, claimed, by=by)
    return redirect("signin-setup", provider.pk)


def _refused(request: HttpRequest, reason: str) -> HttpResponse:
    log.info("sign-in refused", reason=reason)
    context = {"reason": reason, "request_id": getattr(request, "id", "")}
    return render(request, "signin/refused.html", context, status=403)
