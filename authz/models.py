"""Which role an account holds, what gave it to them: admins, groups, tokens, emergencies."""

from typing import ClassVar

from django.db import models

from authz.roles import Role
from tenants.models import Project, TenantScoped, User


class Grant(TenantScoped):
    """One role of one account, for one project or (project empty) for the whole tenant."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="grants")
    role = models.CharField(max_length=20, choices=[(role.value, role.title) for role in Role])
    project = models.ForeignKey(Project, on_delete=models.CASCADE, null=True, related_name="grants")
    # admin, operator, demo, system, emergency; directory and sso: from groups (authz.groups)
    source = models.CharField(max_length=20, default="admin")
    expires_at = models.DateTimeField(null=True)  # counts for nothing from then on
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(TenantScoped.Meta):
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *TenantScoped.Meta.constraints,
            models.UniqueConstraint(
                fields=["tenant", "user", "role", "project", "source"],
                name="authz_grant_once",
                nulls_distinct=False,
            ),
        ]


class GroupRole(TenantScoped):
    """A role that members of a group of the customer's directory hold.

    group: its name, as SCIM (displayName) or the groups claim of a sign-in says it.
    """

    group = models.CharField(max_length=255)
    role = models.CharField(max_length=20, choices=[(role.value, role.title) for role in Role])
    project = models.ForeignKey(Project, on_delete=models.CASCADE, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(TenantScoped.Meta):
        ordering: ClassVar[list[str]] = ["group", "role"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *TenantScoped.Meta.constraints,
            models.UniqueConstraint(
                fields=["tenant", "group", "role", "project"],
                name="authz_grouprole_once",
                nulls_distinct=False,
            ),
        ]


class ApiToken(TenantScoped):
    """A secret with which a program acts as an account, within the scopes it was made with.

    Only its digest is kept; the secret has 256 random bits, so a fast hash is enough.
    """

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=100)
    digest = models.CharField(max_length=64)  # SHA-256, hex
    hint = models.CharField(max_length=12)  # its first characters
    scopes = models.JSONField()  # permissions, sorted
    made_by = models.CharField(max_length=100)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)  # to the minute
    revoked_at = models.DateTimeField(null=True)

    class Meta(TenantScoped.Meta):
        ordering: ClassVar[list[str]] = ["-created_at"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *TenantScoped.Meta.constraints,
            models.UniqueConstraint(fields=["tenant", "digest"], name="authz_apitoken_digest"),
        ]

    def __str__(self) -> str:
        return self.name


class Emergency(TenantScoped):
    """Break-glass: an operator of the platform asks to come in for a while, and why."""

    class State(models.TextChoices):
        REQUESTED = "requested"
        APPROVED = "approved"
        REFUSED = "refused"
        ENDED = "ended"

    operator = models.CharField(max_length=200)  # who asks, as the operator's machine says
    operator_email = models.EmailField()
    reason = models.TextField()
    minutes = models.PositiveSmallIntegerField()
    state = models.CharField(max_length=9, choices=State, default=State.REQUESTED)
    requester_id = models.CharField(max_length=254)  # who cannot approve it
    requested_at = models.DateTimeField(auto_now_add=True)
    decided_by = models.CharField(max_length=200, blank=True)
    decided_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    user = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")

    class Meta(TenantScoped.Meta):
        ordering: ClassVar[list[str]] = ["-requested_at"]
