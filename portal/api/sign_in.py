"""Connecting single sign-on: providers as drafts, switching one on or off."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.shortcuts import get_object_or_404
from ninja import Router, Schema, Status
from pydantic import Field

from authz import providers
from authz.decisions import require
from authz.errors import Conflict
from authz.metadata import read_metadata
from authz.people import AsTenant
from authz.permissions import Permission
from portal.api.fields import Text, one_of
from portal.api.problems import CHANGE, READ, READ_ONE
from portal.http import PortalRequest
from portal.provider_addresses import addresses_of
from tenants.models import IdentityProvider
from tenants.scope import current_tenant_id
from tenants.secrets import SecretsUnavailable

router = Router(tags=["Sign-in"])


class ProviderOut(Schema):
    """An identity provider. Its client secret is never shown."""

    id: UUID
    protocol: str = one_of(IdentityProvider.Protocol.values)
    name: str
    state: str = one_of(IdentityProvider.State.values)
    discovery_url: str
    client_id: str
    scopes: str
    entity_id: str
    sso_url: str
    slo_url: str
    certificates: str
    idp_initiated: bool
    email_claim: str
    name_claim: str
    groups_claim: str
    directory_claim: str
    create_people: bool
    first_role: str
    link_by_email: bool
    created_at: datetime
    tested_at: datetime | None
    tested: bool = Field(description="Whether the connection as it stands now passed a test.")
    missing: list[str] = Field(description="Settings that a sign-in needs and that are empty.")
    ours: dict[str, str] = Field(description="What to give the provider.")


class ProviderIn(Schema):
    """Settings to change; what is left out stays as it is."""

    name: Text | None = None
    discovery_url: Text | None = None
    client_id: Text | None = None
    client_secret: Text | None = Field(None, description="Empty: keep the stored one.")
    scopes: Text | None = None
    metadata: Text | None = Field(
        None, description="SAML metadata (XML); fills in entity_id, sso_url, slo_url, certificates."
    )
    entity_id: Text | None = None
    sso_url: Text | None = None
    slo_url: Text | None = None
    certificates: Text | None = Field(None, description="PEM, one after another.")
    idp_initiated: bool | None = None
    email_claim: Text | None = None
    name_claim: Text | None = None
    groups_claim: Text | None = None
    directory_claim: Text | None = None
    create_people: bool | None = None
    first_role: Text | None = None
    link_by_email: bool | None = None


class DraftIn(ProviderIn):
    """A provider to draft."""

    protocol: str = one_of(IdentityProvider.Protocol.values)
    name: Text


@router.get("/providers", response={200: list[ProviderOut], **READ})
def list_providers(request: PortalRequest) -> list[dict[str, Any]]:
    """Every provider, drafts too; at most one is on."""
    _require(request)
    return [_shown(request, provider) for provider in IdentityProvider.objects.all()]


@router.post("/providers", response={201: ProviderOut, **CHANGE})
def draft_provider(request: PortalRequest, draft: DraftIn) -> Status[dict[str, Any]]:
    """Add a provider that nobody can sign in with yet."""
    values = _values(draft)
    try:
        provider = providers.draft_provider(values.pop("protocol"), values, by=request.actor)
    except SecretsUnavailable as unavailable:
        raise Conflict(str(unavailable)) from unavailable
    return Status(201, _shown(request, provider))


@router.get("/providers/{provider_id}", response={200: ProviderOut, **READ_ONE})
def read_provider(request: PortalRequest, provider_id: UUID) -> dict[str, Any]:
    """One provider with its settings."""
    return _shown(request, _found(request, provider_id))


@router.patch("/providers/{provider_id}", response={200: ProviderOut, **CHANGE})
def change_provider(
    request: PortalRequest, provider_id: UUID, wanted: ProviderIn
) -> dict[str, Any]:
    """Change settings. Answers 409 for the connection of a provider that is on."""
    provider = _found(request, provider_id)
    try:
        providers.change_provider(provider, _values(wanted), by=request.actor)
    except SecretsUnavailable as unavailable:
        raise Conflict(str(unavailable)) from unavailable
    return _shown(request, provider)


@router.delete("/providers/{provider_id}", response={204: None, **CHANGE})
def remove_provider(request: PortalRequest, provider_id: UUID) -> Status[None]:
    """Forget a draft, with its secret. Answers 409 while it is on."""
    providers.remove_provider(_found(request, provider_id), by=request.actor)
    return Status(204, None)


@router.put("/providers/{provider_id}/activation", response={200: ProviderOut, **CHANGE})
def switch_provider_on(request: PortalRequest, provider_id: UUID) -> dict[str, Any]:
    """Let everybody sign in with it, with no other from now on.

    Answers 409 unless the caller did a test sign-in in a browser since the last change.
    """
    providers.switch_on(_found(request, provider_id), by=request.actor)
    return _shown(request, _found(request, provider_id))


@router.delete("/providers/{provider_id}/activation", response={200: ProviderOut, **CHANGE})
def switch_provider_off(request: PortalRequest, provider_id: UUID) -> dict[str, Any]:
    """Let nobody sign in with it any more; open sessions stay."""
    providers.switch_off(_found(request, provider_id), by=request.actor)
    return _shown(request, _found(request, provider_id))


def _require(request: PortalRequest) -> None:
    require(request.actor, Permission.PROVIDER_CHANGE, AsTenant(current_tenant_id()))


def _found(request: PortalRequest, provider_id: UUID) -> IdentityProvider:
    _require(request)
    return get_object_or_404(IdentityProvider, pk=provider_id)


def _values(wanted: ProviderIn) -> dict[str, Any]:
    values = wanted.dict(exclude_none=True)
    if metadata := values.pop("metadata", ""):
        values |= read_metadata(metadata)
    return values


def _shown(request: PortalRequest, provider: IdentityProvider) -> dict[str, Any]:
    kept = set(ProviderOut.model_fields) - {"tested", "missing", "ours"}
    return {
        **{name: getattr(provider, name) for name in kept},
        "tested": providers.tested(provider),
        "missing": providers.missing(provider),
        "ours": {ours.name: ours.text for ours in addresses_of(request, provider)},
    }
