"""Carries the pinned tenant from whoever queues a job to the worker that runs it."""

import logging
from collections.abc import Callable
from typing import Any
from uuid import UUID

from celery import Task, signals

from tenants import trace
from tenants.errors import NoTenant
from tenants.scope import pinned, scope_of_tenant, tenant_scope, tenants_with_work

log = logging.getLogger(__name__)

HEADER = "countersign_tenant"
TRACE = "countersign_traceparent"


@signals.before_task_publish.connect
def stamp(headers: dict[str, Any], **_: Any) -> None:
    """Write the pinned tenant, and the trace that goes on, on every message as it leaves."""
    if scope := pinned():
        headers[HEADER] = str(scope.tenant_id)
    if parent := trace.traceparent():
        headers[TRACE] = parent


class TenantJob(Task):  # type: ignore[type-arg]
    """A job that runs inside the scope of the tenant that queued it; NoTenant when nobody did."""

    abstract = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        tenant = self.request.get(HEADER)
        if tenant is None:
            raise NoTenant(f"job {self.name} was queued outside of tenant_scope()")
        scope = scope_of_tenant(UUID(tenant))
        if scope.suspended:
            # Nothing is lost: what this job was for is still unfinished when the doors open again,
            # and the schedule looks for unfinished work.
            log.warning("job %s waits: %s is suspended", self.name, scope.slug)
            return None
        with trace.tracing(self.request.get(TRACE)), tenant_scope(scope):
            return super().__call__(*args, **kwargs)


def for_each_tenant(
    kind: str,
    work: Callable[[], object],
    find: Callable[[str], list[UUID]] = tenants_with_work,
) -> None:
    """Run `work` inside the scope of every tenant with work of that kind, as `find` knows them.

    One tenant's trouble, such as a lost key, keeps none of the others waiting; what went wrong is
    raised at the end, as an ExceptionGroup with a note for each tenant.
    """
    troubles: list[Exception] = []
    for tenant_id in find(kind):
        try:
            with trace.tracing(), tenant_scope(scope_of_tenant(tenant_id)):
                work()
        except Exception as trouble:  # noqa: BLE001  # raised again below
            trouble.add_note(f"tenant {tenant_id}")
            troubles.append(trouble)
    if troubles:
        raise ExceptionGroup(f"{kind}: {len(troubles)} tenants could not be served", troubles)


class TenantlessJob(Task):  # type: ignore[type-arg]
    """A job that works for no tenant in particular; it opens scopes itself where it needs one."""

    abstract = True
