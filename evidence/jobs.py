"""Celery's entry points of the evidence worker, the only one that holds signing keys."""

from celery import shared_task
from django.conf import settings

from evidence import ledger
from evidence.signing import FileKeys
from tenants.jobs import TenantlessJob
from tenants.scope import scope_of_tenant, tenant_scope, tenants_with_work


@shared_task(base=TenantlessJob)
def seal_waiting() -> None:
    """Seal the ledger of every tenant that has entries without a place. Runs every 5 seconds."""
    if settings.KEYS_DIR is None:
        raise RuntimeError("this worker has no KEYS_DIR; only the evidence worker may sign")
    keys = FileKeys(settings.KEYS_DIR)
    for tenant_id in tenants_with_work("unsealed"):
        with tenant_scope(scope_of_tenant(tenant_id)):
            ledger.seal(keys)
