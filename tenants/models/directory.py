"""What the customer's directory says over SCIM: its people, its groups, its requests."""

from typing import ClassVar

from django.db import models

from tenants.models.people import User
from tenants.models.walled import TenantScoped


class DirectoryClient(TenantScoped):
    """A directory that may write here: by a token that does not change, or by OAuth
    client credentials (then `token_digest` is empty). Only digests are kept."""

    name = models.CharField(max_length=100)
    token_digest = models.CharField(max_length=64, blank=True)  # SHA-256, hex
    token_hint = models.CharField(max_length=12, blank=True)  # its first characters
    secret_digest = models.CharField(max_length=64, blank=True)  # of the OAuth client's secret
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    used_at = models.DateTimeField(null=True)

    class Meta(TenantScoped.Meta):
        ordering: ClassVar[list[str]] = ["created_at"]

    def __str__(self) -> str:
        return self.name


class DirectoryPerson(TenantScoped):
    """A person as the directory describes them. `resource` is the SCIM resource; the other
    columns repeat the parts of it that requests search by, as they are compared: `_key` and
    `_keys` are in lower case, because SCIM does not tell cases apart there."""

    user = models.OneToOneField(User, on_delete=models.PROTECT, related_name="directory_person")
    user_name = models.CharField(max_length=255)
    user_name_key = models.CharField(max_length=255)
    external_id = models.CharField(max_length=255, blank=True)
    display_name_key = models.CharField(max_length=255, blank=True)
    email_keys = models.JSONField(default=list)  # every address, the main one first
    resource = models.JSONField()
    version = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta(TenantScoped.Meta):
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *TenantScoped.Meta.constraints,
            models.UniqueConstraint(
                fields=["tenant", "user_name_key"], name="tenants_directoryperson_name"
            ),
            # Sign-in finds people by it, so it must never name two.
            models.UniqueConstraint(
                fields=["tenant", "external_id"],
                condition=~models.Q(external_id=""),
                name="tenants_dirperson_external",
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["tenant", "display_name_key"], name="tenants_dirperson_display"),
            models.Index(fields=["tenant", "created_at", "id"], name="tenants_dirperson_order"),
        ]


class DirectoryGroup(TenantScoped):
    """A group as the directory describes it; its members are rows of their own."""

    display_name = models.CharField(max_length=255)
    display_name_key = models.CharField(max_length=255)  # lower case
    external_id = models.CharField(max_length=255, blank=True)
    resource = models.JSONField()
    version = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)
    people = models.ManyToManyField(
        DirectoryPerson, through="DirectoryMember", related_name="groups"
    )

    class Meta(TenantScoped.Meta):
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["tenant", "display_name_key"], name="tenants_dirgroup_name"),
            models.Index(fields=["tenant", "external_id"], name="tenants_dirgroup_external"),
        ]

    def __str__(self) -> str:
        return self.display_name


class DirectoryMember(TenantScoped):
    """A person in a group."""

    group = models.ForeignKey(DirectoryGroup, on_delete=models.CASCADE, related_name="members")
    person = models.ForeignKey(
        DirectoryPerson, on_delete=models.CASCADE, related_name="memberships"
    )

    class Meta(TenantScoped.Meta):
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *TenantScoped.Meta.constraints,
            models.UniqueConstraint(
                fields=["tenant", "group", "person"], name="tenants_directorymember_once"
            ),
        ]


class DirectoryRequest(TenantScoped):
    """One request of a directory, kept for a while so that an admin can see what went wrong."""

    client = models.ForeignKey(DirectoryClient, on_delete=models.CASCADE, related_name="requests")
    at = models.DateTimeField(auto_now_add=True)
    method = models.CharField(max_length=6)
    path = models.CharField(max_length=300)
    status = models.PositiveSmallIntegerField()
    problem = models.TextField(blank=True)  # in plain words; empty when it went well

    class Meta(TenantScoped.Meta):
        ordering: ClassVar[list[str]] = ["-at"]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["tenant", "client", "-at"], name="tenants_dirrequest_at"),
        ]
