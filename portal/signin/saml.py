"""Sign-in by saml."""

from django.http import HttpRequest, HttpResponse

from portal.signin.journey import Journey, turn_away
from tenants.models import IdentityProvider, Session


def start(request: HttpRequest, provider: IdentityProvider, journey: Journey) -> HttpResponse:
    """Sends the browser to the provider."""
    return turn_away(request, "this protocol is being built", provider)


def signout_address(request: HttpRequest, session: Session) -> str | None:
    """Where to end the session at the provider too."""
    return None
