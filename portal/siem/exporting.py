"""Carries new entries to each destination, in order, and remembers how far it has got.

The place in the log is written down after the other side has a batch. Whoever dies in between sends
that batch once more: nothing is lost, and what comes twice has the same `metadata.uid`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from django.db import connection
from django.utils import timezone

from authz.log_export import destinations, note_problem, note_sent
from authz.models import LogDestination
from evidence import ocsf
from evidence.ledger import origin_of
from evidence.models import Checkpoint, Entry
from portal import VERSION
from portal.siem.transports import NotSent, send
from tenants.scope import current

log = structlog.get_logger(__name__)

LOT = 200  # events in a batch
ROUND = 50  # batches for one destination before another has its turn
EVERY = timedelta(days=1)  # a checkpoint is told
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=2), timedelta(minutes=5)
LOCK = 0x6C6F6763  # the first number of the lock that keeps two exporters apart


@dataclass
class Sent:
    """What one round did, over all destinations of a tenant."""

    events: int = 0
    problems: int = 0


def export_tenant() -> Sent:
    """Send what is new to every destination of the pinned tenant whose pause is over."""
    sent = Sent()
    for destination in destinations():
        if _pausing(destination):
            continue
        with _alone(destination) as mine:
            if mine:
                _export(destination, sent)
    return sent


def _export(destination: LogDestination, sent: Sent) -> None:
    destination.refresh_from_db()
    try:
        for _ in range(ROUND):
            count = _send_lot(destination)
            sent.events += count
            if count < LOT:
                break
        sent.events += _tell_checkpoint(destination)
    except NotSent as fault:
        sent.problems += 1
        log.warning("a copy of the log waits", destination=str(destination.pk), reason=str(fault))
        note_problem(destination, str(fault))


def _send_lot(destination: LogDestination) -> int:
    first = destination.next_index
    rows = Entry.objects.filter(index__gte=first).order_by("index")[:LOT]
    lot = list(rows.values_list("index", "leaf"))
    if not lot:
        return 0
    if [index for index, _ in lot] != list(range(first, first + len(lot))):
        raise NotSent(f"the log has no entry {first}; nothing is sent past a hole")
    origin = origin_of(current())
    send(
        destination,
        [
            ocsf.event(bytes(leaf), origin=origin, index=index, product_version=VERSION)
            for index, leaf in lot
        ],
    )
    note_sent(destination, up_to=first + len(lot))
    return len(lot)


def _tell_checkpoint(destination: LogDestination) -> int:
    """Once a day: the newest signed head of which all entries have been sent."""
    now = timezone.now()
    if destination.checkpoint_at is not None and destination.checkpoint_at > now - EVERY:
        return 0
    newest = (
        Checkpoint.objects.filter(
            size__lte=destination.next_index, size__gt=destination.checkpoint_size
        )
        .order_by("-size")
        .first()
    )
    if newest is None:
        return 0
    told: dict[str, Any] = ocsf.checkpoint_event(
        origin=origin_of(current()),
        size=newest.size,
        root=bytes(newest.root),
        note=newest.note,
        signed_at=newest.signed_at,
        product_version=VERSION,
    )
    send(destination, [told])
    note_sent(destination, checkpoint=newest.size)
    return 1


def _pausing(destination: LogDestination) -> bool:
    """After each failure in a row twice as long, up to five minutes."""
    if not destination.failures or destination.tried_at is None:
        return False
    pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(destination.failures - 1, 10))
    return bool(destination.tried_at + pause > timezone.now())


@contextmanager
def _alone(destination: LogDestination) -> Iterator[bool]:
    """Whether no other exporter has this destination in hand; if not, it is left to that one."""
    key = [LOCK, int.from_bytes(destination.pk.bytes[:4], signed=True)]
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", key)
        mine = bool(cursor.fetchone()[0])
    try:
        yield mine
    finally:
        if mine:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s, %s)", key)
