"""People, projects, sessions of a tenant; the base class that walls every table."""

import uuid
from typing import Any, ClassVar, Self

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models
from django.db.models import Func

from tenants.actor import Actor, Door
from tenants.cells.models import Tenant
from tenants.scope import current, pinned_tenant_id


class BoundTenant(Func):
    """The tenant that the session is bound to, for INSERTs that do not come from the ORM."""

    template = "nullif(current_setting('app.tenant_id', true), '')::uuid"
    output_field = models.UUIDField()
    arity = 0

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        return "tenants.models.BoundTenant", [], {}


class TenantScopedManager[M: models.Model](models.Manager[M]):
    """Refuses to build a query while no tenant is pinned.

    Row security would answer such a query with nothing at all, which looks like an empty table.
    """

    def get_queryset(self) -> models.QuerySet[M]:
        current()
        return super().get_queryset()


class TenantScoped(models.Model):
    """A table whose rows each belong to one tenant, behind forced row security.

    The pair (tenant, id) is unique, so that foreign keys can name both: PostgreSQL does not
    apply row security to its own key checks, and a key on id alone would tell whether another
    tenant's row exists.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(
        Tenant,
        on_delete=models.PROTECT,
        related_name="+",
        editable=False,
        default=pinned_tenant_id,
        db_default=BoundTenant(),
    )

    # What the portal's database role may do to the table. Narrower on append-only tables.
    app_privileges: ClassVar[tuple[str, ...]] = ("SELECT", "INSERT", "UPDATE", "DELETE")

    objects: ClassVar[Any] = TenantScopedManager()

    class Meta:
        abstract = True
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["tenant", "id"], name="%(app_label)s_%(class)s_wall")
        ]


class UserManager(BaseUserManager["User"]):
    """Looks people up inside the pinned tenant only."""

    def get_queryset(self) -> models.QuerySet["User"]:
        current()
        return super().get_queryset()

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email=username)


class User(TenantScoped, AbstractBaseUser):
    """An account at one tenant: a person, or a service such as the agent.

    Someone who works for two tenants has two accounts; nothing connects them.
    """

    class Kind(models.TextChoices):
        HUMAN = "human"
        AGENT = "agent"

    email = models.EmailField()
    name = models.CharField(max_length=200)
    kind = models.CharField(max_length=5, choices=Kind, default=Kind.HUMAN)
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

    def actor(self, door: Door, *, on_behalf_of: Self | None = None) -> Actor:
        """This account as the one who acts."""
        return Actor(
            type="agent" if self.kind == self.Kind.AGENT else "human",
            id=str(self.pk),
            name=self.name,
            door=door,
            user_id=self.pk,
            on_behalf_of=str(on_behalf_of.pk) if on_behalf_of else None,
        )


class Membership(TenantScoped):
    """Whether an account may enter, since when, by which way it came.

    Removing a person ends the membership; the account stays, because the record names it.
    """

    class State(models.TextChoices):
        ACTIVE = "active"
        SUSPENDED = "suspended"
        REMOVED = "removed"

    user = models.OneToOneField(User, on_delete=models.PROTECT, related_name="membership")
    state = models.CharField(max_length=9, choices=State, default=State.ACTIVE)
    source = models.CharField(max_length=20)  # admin, demo, scim, sso
    since = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True)

    class Meta(TenantScoped.Meta):
        pass


class Project(TenantScoped):
    """A group of repositories that roles are given for."""

    slug = models.SlugField(max_length=60)
    name = models.CharField(max_length=200)
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


class Session(AbstractBaseSession):
    """A signed-in browser. Behind the wall like everything else, so a cookie opens one tenant."""

    tenant = models.ForeignKey(
        Tenant,
        on_delete=models.PROTECT,
        related_name="+",
        default=pinned_tenant_id,
        db_default=BoundTenant(),
    )
    user = models.ForeignKey(User, on_delete=models.CASCADE, null=True, related_name="sessions")

    app_privileges: ClassVar[tuple[str, ...]] = ("SELECT", "INSERT", "UPDATE", "DELETE")

    @classmethod
    def get_session_store_class(cls) -> type[Any]:
        raise LookupError("sessions are opened by portal.signin.sessions")
