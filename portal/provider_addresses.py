"""Our own addresses, as a customer pastes them into their identity provider or directory."""

from dataclasses import dataclass

from django.http import HttpRequest
from django.urls import reverse

from tenants.models import IdentityProvider


@dataclass(frozen=True)
class Ours:
    """One of our values. name: as the API calls it; label: what providers call it."""

    name: str
    label: str
    text: str
    hint: str = ""


def addresses_for_oidc(request: HttpRequest) -> list[Ours]:
    """What an OpenID Connect provider needs; the same for every draft."""
    return [
        Ours(
            "redirect_uri",
            "Redirect URI",
            _address(request, "oidc-callback"),
            "Also called sign-in redirect URI, callback URL, reply URL.",
        ),
        Ours(
            "back_channel_logout_uri",
            "Back-channel log-out URI",
            _address(request, "oidc-logout"),
            "Whoever signs out at your provider is then signed out here too. Leave it out if your"
            " provider has no such field.",
        ),
        Ours(
            "post_logout_redirect_uri",
            "Post-log-out redirect URI",
            _address(request, "signin"),
            "Where people come back to after they signed out.",
        ),
    ]


def addresses_for_saml(request: HttpRequest, provider: IdentityProvider) -> list[Ours]:
    """What a SAML provider needs; each draft has addresses of its own."""
    metadata = _address(request, "saml-metadata", provider)
    return [
        Ours(
            "acs_url",
            "ACS URL",
            _address(request, "saml-acs", provider),
            "Also called assertion consumer service, single sign-on URL, reply URL.",
        ),
        Ours(
            "sp_entity_id",
            "Our entity ID",
            metadata,
            "Also called audience URI, identifier. It is the address of our metadata too, for"
            " providers that read it.",
        ),
        Ours(
            "slo_url",
            "Log-out URL",
            _address(request, "saml-logout", provider),
            "Also called single log-out URL.",
        ),
    ]


def addresses_of(request: HttpRequest, provider: IdentityProvider) -> list[Ours]:
    """What the provider needs of us, whatever it speaks."""
    if provider.protocol == IdentityProvider.Protocol.OIDC:
        return addresses_for_oidc(request)
    return addresses_for_saml(request, provider)


def _address(request: HttpRequest, name: str, provider: IdentityProvider | None = None) -> str:
    return request.build_absolute_uri(reverse(name, args=[provider.pk] if provider else []))
