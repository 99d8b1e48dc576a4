"""Celery's entry points of the evidence worker, the only one that holds signing keys."""

from celery import shared_task
from django.conf import settings

from evidence import ledger
from evidence.signing import FileKeys
from tenants.jobs import TenantlessJob, for_each_tenant


@shared_task(base=TenantlessJob)
def seal_waiting() -> None:
    """Seal the ledger of every tenant that has entries without a place. Runs every 5 seconds."""
    if settings.KEYS_DIR is None:
        raise RuntimeError("this worker has no KEYS_DIR; only the evidence worker may sign")
    keys = FileKeys(settings.KEYS_DIR)
    for_each_tenant("unsealed", lambda: ledger.seal(keys))
