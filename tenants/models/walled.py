"""The base class that walls a table: its rows belong to one tenant each."""

import uuid
from typing import Any, ClassVar

from django.db import models
from django.db.models import Func

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
