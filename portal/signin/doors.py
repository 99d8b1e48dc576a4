"""The way in: the page that offers the tenant's provider, the start of a sign-in or of a test."""

from collections.abc import Callable
from uuid import UUID

from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from authz import invitations
from authz.decisions import require
from authz.emergency import emergency_of
from authz.errors import BadRequest
from authz.people import AsTenant
from authz.permissions import Permission
from authz.providers import missing, provider_in_use
from authz.sessions import end_session
from portal import limits
from portal.http import PortalRequest
from portal.signin import demo, oidc, saml
from portal.signin.journey import INVITED, Journey, begin, safe_next, turn_away
from portal.signin.sessions import open_session, session_of
from tenants import asked
from tenants.models import IdentityProvider
from tenants.scope import current_tenant_id

START: dict[str, Callable[[HttpRequest, IdentityProvider, Journey], HttpResponse]] = {
    IdentityProvider.Protocol.OIDC: oidc.start,
    IdentityProvider.Protocol.SAML: saml.start,
}


@login_not_required
@require_http_methods(["GET", "POST"])
@asked.without_asking(asked.Purpose.SIGN_IN)
def signin(request: HttpRequest) -> HttpResponse:
    """The tenant's identity provider; in a demo without one, the list of people."""
    provider = provider_in_use()
    if provider is None and settings.DEMO:
        return demo.signin(request)
    opened = invitations.invitation_by_digest(request.session.get(INVITED, ""))
    context = {
        "provider": provider,
        "invited": opened.user if opened else None,
        "next": safe_next(request, request.GET.get("next")),
    }
    return render(request, "signin/signin.html", context, status=200 if provider else 503)


# These two are links, not forms: browsers hold the redirects of a form to the addresses that our
# content security policy names, and a provider's is not among them.
@login_not_required
@require_GET
@asked.without_asking(asked.Purpose.SIGN_IN)
def start(request: HttpRequest) -> HttpResponse:
    """Off to the provider."""
    limits.check("signin", request)
    provider = provider_in_use()
    if provider is None:
        return turn_away(request, "no identity provider is switched on here")
    journey = begin(request, provider, purpose="signin", next=request.GET.get("next", "/"))
    return START[provider.protocol](request, provider, journey)


@require_GET
def test(request: PortalRequest, provider_id: UUID) -> HttpResponse:
    """Off to a provider that need not be on, to see what it says of the admin who tests."""
    require(request.actor, Permission.PROVIDER_CHANGE, AsTenant(current_tenant_id()))
    provider = get_object_or_404(IdentityProvider, pk=provider_id)
    if lacking := missing(provider):
        raise BadRequest(dict.fromkeys(lacking, "is empty; fill it in before the test"))
    journey = begin(request, provider, purpose="test")
    return START[provider.protocol](request, provider, journey)


@login_not_required
@require_http_methods(["GET", "POST"])
@asked.without_asking(asked.Purpose.SIGN_IN)
def invitation(request: HttpRequest, secret: str) -> HttpResponse:
    """An invitation: whose it is. Posting opens it.

    Looking does not spend it, because mail programs look at links too. Without a provider it
    signs its person in; with one, it connects the identity that they sign in with next.
    """
    limits.check("signin", request)
    found = invitations.invitation_of(secret)
    if found is None:
        return turn_away(
            request, "this invitation was used already, has expired, or was replaced by a newer one"
        )
    emergency = emergency_of(found.user)
    provider = provider_in_use() if emergency is None else None
    if request.method == "GET":
        context = {"person": found.user, "provider": provider, "expires_at": found.expires_at}
        return render(request, "signin/invitation.html", context)
    if provider is not None:
        request.session[INVITED] = found.digest
        return redirect("signin")
    if not invitations.use(found):
        return turn_away(request, "this invitation was used already")
    if emergency is not None:
        open_session(request, found.user, "emergency", until=emergency.expires_at)
    else:
        open_session(request, found.user, "invitation")
    return redirect("home")


@require_POST
@asked.without_asking(asked.Purpose.SIGN_IN)
def signout(request: PortalRequest) -> HttpResponse:
    """Ends this session, at the provider too where it offers that."""
    row = session_of(request)
    if row is None:
        raise PermissionDenied
    elsewhere = oidc.signout_address(request, row) if row.way == "oidc" else None
    end_session(row, by=request.actor, why="signed out")
    logout(request)
    if elsewhere is None:
        return redirect("signin")
    # A page, not a redirect: browsers let a form lead to our own addresses only.
    return render(request, "signin/signed_out.html", {"elsewhere": elsewhere})
