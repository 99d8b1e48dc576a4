"""The directory page: which directories may say who is here, what they asked lately."""

from uuid import UUID

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from authz import directory
from authz.admins import has_admin
from authz.decisions import require
from authz.errors import BadRequest
from authz.people import AsTenant
from authz.permissions import Permission
from portal.http import PortalRequest
from portal.pages.shown_once import Secret, show_secrets
from tenants.models import DirectoryClient, DirectoryGroup, DirectoryPerson, DirectoryRequest
from tenants.scope import current_tenant_id

SHOWN = 25  # requests of each client


@require_http_methods(["GET", "POST"])
def listing(request: PortalRequest) -> HttpResponse:
    """Directories with their last requests. Posting adds one; its secrets are shown once."""
    _require(request)
    if request.method == "GET":
        return _page(request, "", {})
    name = request.POST.get("name", "")
    try:
        client, token, secret = directory.add_client(name, by=request.actor)
    except BadRequest as refusal:
        return _page(request, name, refusal.errors, 422)
    return _secrets(request, f"{client.name} may come in", client, token, secret)


@require_POST
def renew(request: PortalRequest, client_id: UUID) -> HttpResponse:
    """New secrets for a directory, shown once; the old ones stop working at once."""
    client, token, secret = directory.renew_client(_client(request, client_id), by=request.actor)
    return _secrets(request, f"New secrets for {client.name}", client, token, secret)


@require_POST
def revoke(request: PortalRequest, client_id: UUID) -> HttpResponse:
    """Let a directory in no more."""
    client = _client(request, client_id)
    directory.revoke_client(client, by=request.actor)
    messages.success(
        request, f"{client.name} is let in no more. Its people and groups stay as they are."
    )
    return redirect("directory")


def _require(request: PortalRequest) -> None:
    require(request.actor, Permission.DIRECTORY_CHANGE, AsTenant(current_tenant_id()))


def _client(request: PortalRequest, client_id: UUID) -> DirectoryClient:
    _require(request)
    return get_object_or_404(directory.clients(), pk=client_id)


def _addresses(request: PortalRequest) -> tuple[str, str]:
    """Base URL for SCIM, token URL for OAuth."""
    base = request.build_absolute_uri("/scim/v2")
    return base, request.build_absolute_uri("/scim/oauth/token")


def _secrets(
    request: PortalRequest, headline: str, client: DirectoryClient, token: str, secret: str
) -> HttpResponse:
    base, token_url = _addresses(request)
    return show_secrets(
        request,
        headline,
        [
            Secret("Base URL", base, "Also called tenant URL, SCIM endpoint."),
            Secret("Token", token, "For directories that send a token (bearer): Okta, Keycloak."),
            Secret(
                "Client ID", str(client.pk), "From here on for OAuth client credentials: Entra."
            ),
            Secret("Client secret", secret),
            Secret("Token URL", token_url),
        ],
        back=(reverse("directory"), "Directory"),
        advice=f"Both ways are good until {client.expires_at:%-d %B %Y}; use the one that your"
        " directory asks for.",
    )


def _page(
    request: PortalRequest, name: str, errors: dict[str, str], status: int = 200
) -> HttpResponse:
    base, token_url = _addresses(request)
    only_problems = request.GET.get("only") == "problems"
    rows = [
        (client, directory.why_not(client), _last(client, only_problems))
        for client in directory.clients()
    ]
    context = {
        "base": base,
        "token_url": token_url,
        "clients": rows,
        "only_problems": only_problems,
        "people": DirectoryPerson.objects.count(),
        "groups": DirectoryGroup.objects.count(),
        "has_admin": has_admin(),
        "name": name,
        "errors": errors,
    }
    return render(request, "settings/directory.html", context, status=status)


def _last(client: DirectoryClient, only_problems: bool) -> QuerySet[DirectoryRequest]:
    return directory.last_requests(client, only_problems)[:SHOWN]
