"""Celery's entry points of the evidence worker, the only one that holds signing keys."""

import time

from celery import shared_task
from django.conf import settings

from evidence import ledger, shipping, witnessing
from evidence.keys_here import keys_here
from evidence.models import Checkpoint
from evidence.witnessing import WitnessUnavailable
from tenants.actor import system_actor
from tenants.jobs import TenantlessJob, for_each_tenant
from tenants.scope import tenants_with_evidence_work


@shared_task(base=TenantlessJob)
def seal_waiting() -> None:
    """Seal the ledger of every tenant that has entries without a place. Runs every 5 seconds."""
    keys = keys_here()

    def seal() -> None:
        ledger.seal(keys)
        if settings.WITNESSES:
            cosign.delay()

    for_each_tenant("unsealed", seal)


@shared_task(autoretry_for=(WitnessUnavailable,), retry_backoff=2, max_retries=6)
def cosign() -> None:
    """Have the newest head of a log cosigned. Not run where the keys are: it goes outside."""
    witnessing.cosign_newest()


@shared_task(base=TenantlessJob)
def ship_decisions() -> None:
    """Bring what processes of this host have spooled into the database. Runs every 5 seconds."""
    shipping.ship(settings.SPOOL_DIR)


@shared_task(base=TenantlessJob)
def name_gaps() -> None:
    """Say of what was begun and never answered that nobody knows what came of it."""
    by = system_actor("evidence worker", "job")
    for_each_tenant("intents", lambda: ledger.record_gaps(by), find=tenants_with_evidence_work)


def cosigned_note(head: Checkpoint, seconds: float = 15) -> str:
    """The head with the cosignatures it needs to be WITNESSED, or with those that came in time.

    Who waits here holds keys and does not go outside itself: a worker that has none asks.
    """
    if witnessing.state_of(head) == witnessing.LOCAL and settings.WITNESS_QUORUM:
        cosign.delay()
        deadline = time.monotonic() + seconds
        while witnessing.state_of(head) == witnessing.LOCAL and time.monotonic() < deadline:
            time.sleep(0.1)
    return witnessing.note_of(head)
