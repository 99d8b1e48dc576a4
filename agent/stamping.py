"""Has the signed head that a pack ends at time-stamped by an authority outside."""

import time
from functools import partial
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings

from agent import queue
from authz.change import effect
from authz.permissions import Permission
from evidence.models import Checkpoint, Pack
from evidence.stamps import Query, Stamp, StampFault, checked, query
from tenants.actor import system_actor
from tenants.outbound import AT_MOST, LARGEST, NotFetched, fetch_document

PATIENCE = 15  # seconds that a pack waits; the authority itself is given AT_MOST of them
_COLUMNS = ("timestamp", "timestamp_size", "timestamped_at", "timestamped_by", "timestamp_problem")


def stamped(pack: Pack, head: Checkpoint) -> bytes | None:
    """The authority's answer about the head, to go into the pack; None when there is none.

    What came of it is kept with the pack, so that building again gives the same bytes. Who waits
    here holds keys and does not go outside itself: a worker that has none asks.
    """
    if pack.timestamp_size != head.size:
        if not settings.TIMESTAMP_URL:
            return None
        nothing = {"timestamp": None, "timestamped_at": None}
        Pack.objects.filter(pk=pack.pk).exclude(timestamp_size=head.size).update(
            timestamp_size=head.size, timestamped_by="", timestamp_problem="", **nothing
        )
        pack.refresh_from_db(fields=_COLUMNS)
    if pack.awaits_timestamp:
        queue.stamp_pack(pack.pk)
        deadline = time.monotonic() + PATIENCE
        pack.refresh_from_db(fields=_COLUMNS)
        while pack.awaits_timestamp and time.monotonic() < deadline:
            time.sleep(0.1)
            pack.refresh_from_db(fields=_COLUMNS)
        if pack.awaits_timestamp:
            late = f"no answer of the authority was here within {PATIENCE} seconds"
            _settle(pack, head.size, timestamp_problem=late)
            pack.refresh_from_db(fields=_COLUMNS)
    return None if pack.timestamp is None else bytes(pack.timestamp)


def said_of(pack: Pack) -> dict[str, Any]:
    """For the entry of the build: since when the head was there, or why nobody says so."""
    if pack.timestamp_size is None:
        return {}
    if pack.timestamped_at is None:
        return {"timestamp": {"problem": pack.timestamp_problem}}
    return {"timestamp": {"by": pack.timestamped_by, "at": pack.timestamped_at}}


def ask(pack_id: UUID) -> None:
    """Ask the authority about the head of a pack that waits for it. Safe to deliver twice.

    Whatever it answers, the pack goes on: without a sound token its row says why.
    """
    pack = Pack.objects.get(pk=pack_id)
    if not pack.awaits_timestamp:
        return
    head = Checkpoint.objects.get(size=pack.timestamp_size)
    host, asked = urlsplit(settings.TIMESTAMP_URL).hostname or "", query(head.note)
    by = system_actor("agent worker", "job")
    said = {"authority": host, "size": head.size, "digest": asked.digest.hex()}
    with effect(by, Permission.PACK_STAMP, on=pack, **said) as came:
        came.update(said)
        try:
            answer, stamp = _answered(asked)
        except (NotFetched, StampFault) as fault:
            came.outcome = "failed"
            came["problem"] = str(fault)
            came.rows = partial(_settle, pack, head.size, timestamp_problem=f"{host}: {fault}")
            return
        came.update(at=stamp.at, policy=stamp.policy, serial=f"{stamp.serial:x}")
        came.rows = partial(
            _settle,
            pack,
            head.size,
            timestamp=answer,
            timestamped_at=stamp.at,
            timestamped_by=host,
        )


def _answered(asked: Query) -> tuple[bytes, Stamp]:
    status, answer = fetch_document(
        settings.TIMESTAMP_URL,
        asked.der,
        kind="application/timestamp-query",
        accept="application/timestamp-reply",
        seconds=AT_MOST,
        largest=LARGEST,
        # Most authorities answer over http alone. What comes is signed, and about our nonce.
        plain_http=True,
    )
    if status != 200:
        raise StampFault(f"it answers with status {status}")
    return answer, checked(answer, asked, settings.TIMESTAMP_CA)


def _settle(pack: Pack, size: int, **columns: Any) -> None:
    """Keep what came of it, unless that was settled before: a file may have been built on it."""
    waiting = Pack.objects.filter(timestamp_size=size, timestamp=None, timestamp_problem="")
    waiting.filter(pk=pack.pk).update(**columns)
