"""People, agents and services of a tenant; its projects."""

import uuid
from typing import ClassVar, Self

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models

from tenants.actor import Actor, ActorType, Door, SignedIn
from tenants.models.walled import TenantScoped
from tenants.scope import current


class UserManager(BaseUserManager["User"]):
    """Looks people up inside the pinned tenant only."""

    def get_queryset(self) -> models.QuerySet["User"]:
        current()
        return super().get_queryset()

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email=username)


class User(TenantScoped, AbstractBaseUser):
    """An account at one tenant: a person, an agent, or a program of the customer's.

    Someone who works for two tenants has two accounts; nothing connects them.
    """

    class Kind(models.TextChoices):
        HUMAN = "human"
        AGENT = "agent"
        SERVICE = "service"

    email = models.EmailField()
    name = models.CharField(max_length=200)
    kind = models.CharField(max_length=7, choices=Kind, default=Kind.HUMAN)
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = ["name"]

    class Meta(TenantScoped.Meta):
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *TenantScoped.Meta.constraints,
            models.UniqueConstraint(fields=["tenant", "email"], name="tenants_user_email"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_active(self) -> bool:  # type: ignore[override]  # a question about the membership here
        """Whether this account is a member today."""
        active: bool = Membership.objects.filter(user=self, state=Membership.State.ACTIVE).exists()
        return active

    @property
    def user_id(self) -> uuid.UUID:
        """Its own id, so that a decision about an account reads like one about what is its own."""
        return self.pk

    def actor(
        self,
        door: Door,
        *,
        on_behalf_of: Self | None = None,
        only: frozenset[str] | None = None,
        signed_in: SignedIn | None = None,
    ) -> Actor:
        """This account as the one who acts. only: what a token limits it to."""
        return Actor(
            type=ACTS_AS[self.kind],
            id=str(self.pk),
            name=self.name,
            door=door,
            user_id=self.pk,
            on_behalf_of=str(on_behalf_of.pk) if on_behalf_of else None,
            only=only,
            signed_in=signed_in,
        )


# What the ledger calls each kind of account.
ACTS_AS: dict[str, ActorType] = {
    User.Kind.HUMAN: "human",
    User.Kind.AGENT: "agent",
    User.Kind.SERVICE: "robot",
}


class Membership(TenantScoped):
    """Whether an account may enter, since when, by which way it came.

    Suspended: switched off for now, by the customer's directory or an admin; the roles are kept
    and count for nothing. Removed: gone; the account stays, because the record names it.
    """

    class State(models.TextChoices):
        ACTIVE = "active"
        SUSPENDED = "suspended"
        REMOVED = "removed"

    user = models.OneToOneField(User, on_delete=models.PROTECT, related_name="membership")
    state = models.CharField(max_length=9, choices=State, default=State.ACTIVE)
    source = models.CharField(max_length=20)  # admin, demo, operator, scim, sso, emergency
    since = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True)
    seen_at = models.DateTimeField(null=True)  # last request, to the minute

    class Meta(TenantScoped.Meta):
        pass


class Project(TenantScoped):
    """A group of repositories that roles are given for."""

    class Classification(models.TextChoices):
        """How sensitive the work in it is, from the least to the most."""

        PUBLIC = "public"
        INTERNAL = "internal"
        CONFIDENTIAL = "confidential"
        RESTRICTED = "restricted"

    slug = models.SlugField(max_length=60)
    name = models.CharField(max_length=200)
    classification = models.CharField(
        max_length=12, choices=Classification, default=Classification.INTERNAL
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(TenantScoped.Meta):
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *TenantScoped.Meta.constraints,
            models.UniqueConstraint(fields=["tenant", "slug"], name="tenants_project_slug"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def project_id(self) -> uuid.UUID:
        """Its own id, so that a decision about a project reads like one about things in it."""
        return self.pk

    @classmethod
    def most_sensitive(cls) -> str | None:
        """The highest class that a project of the tenant has; None without projects."""
        order = cls.Classification.values
        here = set(cls.objects.values_list("classification", flat=True))
        return max(here, key=order.index, default=None)
