"""The request as pages and endpoints see it."""

from django.http import HttpRequest
from django_htmx.middleware import HtmxDetails

from tenants.actor import Actor
from tenants.models import User
from tenants.scope import Scope


class PortalRequest(HttpRequest):
    """A request whose tenant is pinned; signed in wherever `actor` is used."""

    user: User
    actor: Actor
    tenant: Scope
    htmx: HtmxDetails
    id: str  # in the logs and on error pages
