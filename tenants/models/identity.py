"""How people prove who they are: identity providers, identities, invitations, sessions."""

import uuid
from typing import Any, ClassVar

from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models
from django.utils import timezone

from tenants.cells.models import Tenant
from tenants.models.people import User
from tenants.models.walled import BoundTenant, TenantScoped
from tenants.scope import pinned_tenant_id


class IdentityProvider(TenantScoped):
    """A service of the customer's that says who somebody is. At most one is on at a time.

    Another can stand beside it as a draft, so that a change of provider is tested before it is
    switched on. Secrets are sealed (tenants.secrets), so a copy of the database holds none.
    """

    class Protocol(models.TextChoices):
        OIDC = "oidc"
        SAML = "saml"

    class State(models.TextChoices):
        DRAFT = "draft"
        ON = "on"

    protocol = models.CharField(max_length=4, choices=Protocol)
    name = models.CharField(max_length=100)  # on the sign-in button
    state = models.CharField(max_length=5, choices=State, default=State.DRAFT)

    # OpenID Connect
    discovery_url = models.URLField(max_length=500, blank=True)
    client_id = models.CharField(max_length=255, blank=True)
    client_secret = models.TextField(blank=True)  # sealed
    scopes = models.CharField(max_length=200, default="openid email profile")

    # SAML 2.0
    entity_id = models.CharField(max_length=500, blank=True)
    sso_url = models.URLField(max_length=500, blank=True)
    slo_url = models.URLField(max_length=500, blank=True)
    certificates = models.TextField(blank=True)  # PEM, one after another; all are accepted
    signing_key = models.TextField(blank=True)  # ours, PEM, sealed
    signing_certificate = models.TextField(blank=True)  # ours, PEM
    idp_initiated = models.BooleanField(default=False)  # accept answers to no question of ours

    # Which claim or attribute says what
    email_claim = models.CharField(max_length=200, default="email")
    name_claim = models.CharField(max_length=200, default="name")
    groups_claim = models.CharField(max_length=200, blank=True)  # empty: groups come by SCIM
    directory_claim = models.CharField(max_length=200, blank=True)  # equals SCIM's externalId

    # Who comes in at the first sign-in
    create_people = models.BooleanField(default=False)  # just in time, with roles from groups
    first_role = models.CharField(max_length=20, blank=True)  # for them; empty: none
    link_by_email = models.BooleanField(default=False)  # a verified address finds an account once

    created_at = models.DateTimeField(auto_now_add=True)
    # The last test sign-in: of which settings (their digest), by whom, what came back.
    tested_at = models.DateTimeField(null=True, blank=True)
    tested_digest = models.CharField(max_length=64, blank=True)
    tested_by = models.UUIDField(null=True, blank=True)
    tested_claims = models.JSONField(null=True, blank=True)

    class Meta(TenantScoped.Meta):
        ordering: ClassVar[list[str]] = ["created_at"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *TenantScoped.Meta.constraints,
            models.UniqueConstraint(
                fields=["tenant"], condition=models.Q(state="on"), name="tenants_one_provider_on"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Identity(TenantScoped):
    """The name by which an identity provider knows a person: issuer with subject, never e-mail."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="identities")
    issuer = models.CharField(max_length=500)  # OIDC: iss; SAML: the provider's entity id
    subject = models.CharField(max_length=255)  # OIDC: sub; SAML: NameID
    groups = models.JSONField(default=list)  # as the last sign-in claimed them, sorted
    created_at = models.DateTimeField(auto_now_add=True)
    used_at = models.DateTimeField(null=True)

    class Meta(TenantScoped.Meta):
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *TenantScoped.Meta.constraints,
            models.UniqueConstraint(
                fields=["tenant", "issuer", "subject"], name="tenants_identity_subject"
            ),
        ]


class Invitation(TenantScoped):
    """A link that lets one account in once; kept as a digest, so only its holder knows it."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="invitations")
    digest = models.CharField(max_length=64)  # SHA-256 of the secret, hex
    made_by_name = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    class Meta(TenantScoped.Meta):
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *TenantScoped.Meta.constraints,
            models.UniqueConstraint(fields=["tenant", "digest"], name="tenants_invitation_digest"),
        ]


class Replay(TenantScoped):
    """An assertion or log-out token that was used already, until it expires by itself."""

    kind = models.CharField(max_length=20)  # assertion, logout
    digest = models.CharField(max_length=64)  # SHA-256 of issuer and id, hex
    expires_at = models.DateTimeField()

    app_privileges: ClassVar[tuple[str, ...]] = ("SELECT", "INSERT", "DELETE")

    class Meta(TenantScoped.Meta):
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *TenantScoped.Meta.constraints,
            models.UniqueConstraint(
                fields=["tenant", "kind", "digest"], name="tenants_replay_once"
            ),
        ]


class Session(AbstractBaseSession):
    """A signed-in browser. Behind the wall like everything else, so a cookie opens one tenant.

    Its key is the SHA-256 of the cookie's: who reads this table cannot sign in with it. `handle`
    is what pages call it by.
    """

    tenant = models.ForeignKey(
        Tenant,
        on_delete=models.PROTECT,
        related_name="+",
        default=pinned_tenant_id,
        db_default=BoundTenant(),
    )
    user = models.ForeignKey(User, on_delete=models.CASCADE, null=True, related_name="sessions")
    handle = models.UUIDField(default=uuid.uuid4)
    way = models.CharField(max_length=20, blank=True)  # demo, oidc, saml, invitation, emergency
    identity = models.ForeignKey(Identity, on_delete=models.CASCADE, null=True, related_name="+")
    provider_session = models.CharField(max_length=255, blank=True)  # OIDC sid, SAML SessionIndex
    device = models.CharField(max_length=200, blank=True)  # User-Agent
    address = models.GenericIPAddressField(null=True)
    opened_at = models.DateTimeField(default=timezone.now)
    seen_at = models.DateTimeField(default=timezone.now)  # to the minute

    app_privileges: ClassVar[tuple[str, ...]] = ("SELECT", "INSERT", "UPDATE", "DELETE")

    class Meta:
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["tenant", "user"], name="tenants_session_user"),
            models.Index(fields=["tenant", "identity"], name="tenants_session_identity"),
        ]

    @classmethod
    def get_session_store_class(cls) -> type[Any]:
        raise LookupError("sessions are opened by portal.signin.sessions")
