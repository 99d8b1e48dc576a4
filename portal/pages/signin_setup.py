"""Connecting single sign-on: drafts, what to paste where, the test sign-in, switching on."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from authz import groups, providers
from authz.decisions import require
from authz.errors import BadRequest, Conflict
from authz.identities import Claimed, NotAdmitted, Reception
from authz.metadata import read_metadata
from authz.models import Grant
from authz.people import AsTenant
from authz.permissions import Permission
from authz.roles import TENANT_ROLES, Role
from portal.http import PortalRequest
from portal.pages.products import OIDC, PRODUCTS, SAML, Guide, product_of
from portal.provider_addresses import addresses_of
from tenants.models import Identity, IdentityProvider, Project, User
from tenants.scope import current_tenant_id
from tenants.secrets import SecretsUnavailable

PROTOCOLS = {OIDC: "OpenID Connect", SAML: "SAML 2.0"}
NO_SECRETS = "cannot be stored safely yet: whoever runs this portal has to set SECRETS_KEYS first"


@dataclass(frozen=True)
class Field:
    """One setting of a provider as the form asks for it. kind: text, secret, area, tick, role."""

    name: str
    label: str
    hint: str = ""
    placeholder: str = ""
    kind: str = "text"


NAME = Field("name", "Name", "Stands on the sign-in button: “Continue with …”", "Okta")
CONNECTION = {
    OIDC: (
        Field(
            "discovery_url",
            "Discovery URL",
            "Ends in /.well-known/openid-configuration; all other addresses are read from it.",
            "https://id.example.com/.well-known/openid-configuration",
        ),
        Field("client_id", "Client ID", "", "countersign"),
        Field("client_secret", "Client secret", "", "", "secret"),
        Field("scopes", "Scopes", "What is asked for; openid must be among them.", "openid email"),
    ),
    SAML: (
        Field(
            "metadata",
            "Metadata XML",
            "Paste the whole file; it fills in the four fields below. Or fill those in yourself.",
            "<EntityDescriptor …",
            "area",
        ),
        Field("entity_id", "Entity ID of the provider", "", "https://id.example.com/saml"),
        Field("sso_url", "Sign-in URL", "", "https://id.example.com/saml/sso"),
        Field("slo_url", "Log-out URL", "May stay empty.", "https://id.example.com/saml/slo"),
        Field(
            "certificates",
            "Signing certificates",
            "One after another, while the provider changes from one to the next.",
            "-----BEGIN CERTIFICATE-----",
            "area",
        ),
        Field(
            "idp_initiated",
            "Also accept sign-ins that begin at the provider",
            "Such as a tile on its dashboard. Weaker: nobody here asked for the answer.",
            "",
            "tick",
        ),
    ),
}
CLAIMS = (
    Field("email_claim", "E-mail", "", "email"),
    Field("name_claim", "Name", "", "name"),
    Field(
        "groups_claim",
        "Groups",
        "Empty: groups come over SCIM, or roles are given by hand.",
        "groups",
    ),
    Field(
        "directory_claim",
        "Directory id",
        "The claim that equals externalId in SCIM; it finds people whom the directory sent.",
        "sub",
    ),
)
NEWCOMERS = (
    Field(
        "link_by_email",
        "Find an account by its e-mail address, once",
        "Only if the provider says that it verified the address. Safe when it belongs to your"
        " company alone.",
        "",
        "tick",
    ),
    Field(
        "create_people",
        "Make an account for whoever the provider vouches for",
        "Off: only people who were invited or sent by the directory come in.",
        "",
        "tick",
    ),
    Field("first_role", "Role of such a new account", "Besides what its groups give.", "", "role"),
)


@require_http_methods(["GET", "POST"])
def listing(request: PortalRequest) -> HttpResponse:
    """Every provider, on or draft. Posting begins a draft for the chosen product and protocol."""
    _require(request)
    if request.method == "GET":
        return _list_page(request, {})
    protocol = request.POST.get("protocol", "")
    product = PRODUCTS.get(request.POST.get("at", ""), PRODUCTS["other"])
    values = product.guides.get(protocol, Guide(())).values
    try:
        provider = providers.draft_provider(
            protocol, {"name": product.title, **values}, by=request.actor
        )
    except BadRequest as refusal:
        return _list_page(request, refusal.errors, 422)
    except SecretsUnavailable:
        return _list_page(request, {"protocol": NO_SECRETS}, 503)
    return redirect("signin-setup", provider.pk)


@require_http_methods(["GET", "POST"])
def setup(request: PortalRequest, provider_id: UUID) -> HttpResponse:
    """One provider: what to paste where, its settings, the last test. Posting saves settings."""
    provider = _found(request, provider_id)
    if request.method == "GET":
        return _setup_page(request, provider)
    try:
        providers.change_provider(provider, _values(provider, request.POST), by=request.actor)
    except BadRequest as refusal:
        return _refused(request, provider_id, refusal.errors, 422)
    except SecretsUnavailable:
        return _refused(request, provider_id, {"client_secret": NO_SECRETS}, 503)
    messages.success(request, "The settings are saved.")
    return redirect(f"{reverse('signin-setup', args=[provider_id])}#test")


@require_POST
def switch(request: PortalRequest, provider_id: UUID) -> HttpResponse:
    """Let everybody sign in with it, or (off) nobody any more."""
    provider = _found(request, provider_id)
    try:
        if "off" in request.POST:
            providers.switch_off(provider, by=request.actor)
            messages.success(request, f"Nobody signs in with {provider.name} any more.")
        else:
            providers.switch_on(provider, by=request.actor)
            messages.success(request, f"From now on everybody signs in with {provider.name}.")
    except Conflict as refusal:
        messages.error(request, f"Nothing was changed: {refusal}.")
    return redirect("signin-setup", provider_id)


@require_POST
def remove(request: PortalRequest, provider_id: UUID) -> HttpResponse:
    """Forget a draft, with its secret."""
    provider = _found(request, provider_id)
    try:
        providers.remove_provider(provider, by=request.actor)
    except Conflict as refusal:
        messages.error(request, f"Nothing was changed: {refusal}.")
        return redirect("signin-setup", provider_id)
    messages.success(request, f"The draft {provider.name} is removed.")
    return redirect("signin-providers")


def _require(request: PortalRequest) -> None:
    require(request.actor, Permission.PROVIDER_CHANGE, AsTenant(current_tenant_id()))


def _found(request: PortalRequest, provider_id: UUID) -> IdentityProvider:
    _require(request)
    return get_object_or_404(IdentityProvider, pk=provider_id)


def _values(provider: IdentityProvider, typed: QueryDict) -> dict[str, Any]:
    """The settings as typed, pasted metadata read. Raises BadRequest."""
    fields = [NAME, *CLAIMS, *NEWCOMERS]
    if provider.state == IdentityProvider.State.DRAFT:
        fields += CONNECTION[provider.protocol]
    else:
        fields += _replaceable(provider)
    values: dict[str, Any] = {
        field.name: field.name in typed if field.kind == "tick" else typed.get(field.name, "")
        for field in fields
    }
    if metadata := values.pop("metadata", "").strip():
        values |= read_metadata(metadata)
    return values


def _replaceable(provider: IdentityProvider) -> list[Field]:
    """What of the connection may change while the provider is on: certificates, one by one."""
    return [field for field in CONNECTION[provider.protocol] if field.name == "certificates"]


def _list_page(request: PortalRequest, errors: dict[str, str], status: int = 200) -> HttpResponse:
    context = {
        "providers": [
            (provider, PROTOCOLS[provider.protocol], providers.tested(provider))
            for provider in IdentityProvider.objects.order_by("-state", "created_at")
        ],
        "in_use": providers.provider_in_use(),
        "products": [(at, product.title) for at, product in PRODUCTS.items()],
        "protocols": PROTOCOLS.items(),
        "at": request.POST.get("at", "entra"),
        "protocol": request.POST.get("protocol", OIDC),
        "errors": errors,
    }
    return render(request, "settings/signin.html", context, status=status)


def _refused(
    request: PortalRequest, provider_id: UUID, errors: dict[str, str], status: int
) -> HttpResponse:
    # Read again: the refused values stand in the row that was tried, not in the database.
    provider = get_object_or_404(IdentityProvider, pk=provider_id)
    return _setup_page(request, provider, request.POST, errors, status)


def _setup_page(
    request: PortalRequest,
    provider: IdentityProvider,
    typed: QueryDict | None = None,
    errors: dict[str, str] | None = None,
    status: int = 200,
) -> HttpResponse:
    is_on = provider.state == IdentityProvider.State.ON
    chosen = PRODUCTS.get(request.GET.get("at", ""), product_of(provider))
    guide = chosen.guides[provider.protocol]

    def rows(fields: Iterable[Field]) -> list[dict[str, Any]]:
        return [_row(field, provider, guide, typed, errors or {}) for field in fields]

    missing = providers.missing(provider)
    labels = {field.name: field.label for field in CONNECTION[provider.protocol]}
    mine = provider.tested_by == request.user.pk
    tested = providers.tested(provider)
    context = {
        "provider": provider,
        "protocol": PROTOCOLS[provider.protocol],
        "is_on": is_on,
        "in_use": providers.provider_in_use(),
        "product": chosen,
        "guide": guide,
        "products": [
            (at, one.title) for at, one in PRODUCTS.items() if one.guides[provider.protocol].steps
        ],
        "ours": addresses_of(request, provider),
        "name_row": rows([NAME])[0],
        "connection": rows(_replaceable(provider) if is_on else CONNECTION[provider.protocol]),
        "claims": rows(CLAIMS),
        "newcomers": rows(NEWCOMERS),
        "first_roles": TENANT_ROLES,
        "errors": errors or {},
        "missing": [labels[name] for name in missing],
        "tested": tested,
        "tested_by": _tester(provider),
        "may_switch_on": tested and mine and not is_on,
        "mine": mine,
        "outcome": _outcome(provider),
    }
    return render(request, "settings/provider.html", context, status=status)


def _tester(provider: IdentityProvider) -> User | None:
    if provider.tested_by is None:
        return None
    return User.objects.filter(pk=provider.tested_by).first()


def _row(
    field: Field,
    provider: IdentityProvider,
    guide: Guide,
    typed: QueryDict | None,
    errors: dict[str, str],
) -> dict[str, Any]:
    """A field with what stands in it; a secret that is stored already only says that it is."""
    value: Any
    kept: Any = getattr(provider, field.name, "")
    if field.kind == "secret":
        value, kept = "", bool(kept)
    elif field.kind == "tick":
        value = kept if typed is None else field.name in typed
    else:
        value = kept if typed is None else typed.get(field.name, "")
    return {
        "field": field,
        "value": value,
        "kept": kept,
        "hint": guide.where.get(field.name, field.hint),
        "error": errors.get(field.name, ""),
    }


def _outcome(provider: IdentityProvider) -> dict[str, Any] | None:
    """What the last test sign-in brought back, and what it would mean; None before the first."""
    found = providers.reception_of_test(provider)
    if found is None:
        return None
    claimed, answer = found
    user = answer.user if isinstance(answer, Reception) else None
    return {
        "claimed": claimed,
        "claims": _claims(provider, claimed),
        "refusal": str(answer) if isinstance(answer, NotAdmitted) else "",
        "reception": answer if isinstance(answer, Reception) else None,
        "groups": _groups(claimed) if provider.groups_claim else [],
        "by_hand": Grant.objects.filter(user=user)
        .exclude(source__in=groups.TELLERS)
        .select_related("project")
        if user
        else [],
        "first_role": Role(provider.first_role).title
        if provider.first_role and isinstance(answer, Reception) and user is None
        else "",
        "is_new_identity": not Identity.objects.filter(
            issuer=claimed.issuer, subject=claimed.subject
        ).exists(),
    }


def _claims(provider: IdentityProvider, claimed: Claimed) -> list[tuple[str, str, str]]:
    """Name and value of every claim, with what it is used as."""
    used = {
        provider.email_claim: "e-mail",
        provider.name_claim: "name",
        provider.groups_claim: "groups",
        provider.directory_claim: "directory id",
    }
    rows = []
    for name, value in claimed.claims.items():
        if isinstance(value, list):
            shown = ", ".join(map(str, value))
        else:
            shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        rows.append((name, shown, used.get(name, "")))
    return sorted(rows, key=lambda row: (not row[2], row[0]))


def _groups(claimed: Claimed) -> list[tuple[str, list[str]]]:
    """Each group with the roles that it gives; none for a group that means nothing yet."""
    names = dict(Project.objects.values_list("pk", "name"))
    return [
        (
            group,
            sorted(
                f"{role.title} in {names[place]}" if place else f"{role.title} of the whole tenant"
                for role, place in groups.meaning([group])
            ),
        )
        for group in sorted(set(claimed.groups))
    ]
