"""Carries the pinned tenant from whoever queues a job to the worker that runs it."""

from typing import Any
from uuid import UUID

from celery import Task, signals

from tenants.errors import NoTenant
from tenants.scope import pinned, scope_of_tenant, tenant_scope

HEADER = "countersign_tenant"


@signals.before_task_publish.connect
def stamp(headers: dict[str, Any], **_: Any) -> None:
    """Write the pinned tenant on every message as it leaves."""
    if scope := pinned():
        headers[HEADER] = str(scope.tenant_id)


class TenantJob(Task):  # type: ignore[type-arg]
    """A job that runs inside the scope of the tenant that queued it.

    A job without a tenant raises NoTenant unless it is declared with `tenantless=True`.
    """

    abstract = True
    tenantless = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.tenantless or pinned() is not None:
            return super().__call__(*args, **kwargs)
        tenant = self.request.get(HEADER)
        if tenant is None:
            raise NoTenant(f"job {self.name} was queued outside of tenant_scope()")
        with tenant_scope(scope_of_tenant(UUID(tenant))):
            return super().__call__(*args, **kwargs)
