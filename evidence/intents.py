"""What is being done to the outside world right now, and what nobody ever heard of again."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db import connection

from evidence.models import OpenIntent

# A worker that lives may wait for a code host or a sandbox for long; a dead one answers never.
PATIENCE_SECONDS = 30
LONGEST_SECONDS = 6 * 3600


# Taken out as they are found, so that two who look at once do not name one of them twice.
_TAKE_LOST = """
    DELETE FROM evidence_openintent i
    WHERE i.opened_at < now() - make_interval(secs => %(patience)s)
        AND (i.opened_at < now() - make_interval(secs => %(longest)s)
            OR NOT EXISTS (SELECT 1 FROM pg_stat_activity a
                WHERE a.pid = i.backend_pid AND a.backend_start = i.backend_started))
    RETURNING i.id, i.trace, i.action, i.object_type, i.object_id, i.run, i.opened_at,
        EXISTS (SELECT 1 FROM pg_stat_activity a
            WHERE a.pid = i.backend_pid AND a.backend_start = i.backend_started)
"""


@dataclass(frozen=True, slots=True)
class Intent:
    """An entry that says what is about to be done. `trace` is what its result carries too."""

    id: UUID
    trace: str


@dataclass(frozen=True, slots=True)
class LostIntent:
    """An intent without a result, so that the ledger can say so."""

    intent: Intent
    action: str
    object_type: str
    object_id: str
    run: str
    opened_at: datetime
    why: str


class About(NamedTuple):
    """What an intent is about. run: may be empty."""

    action: str
    object_type: str
    object_id: str
    run: str
    trace: str


def opening(*values: str, among: str = "") -> str:
    """The statement that remembers an intent, with the session that began it.

    values: SQL for id, tenant and About, in their order. among: a table of at most one row; where
    it has none, nothing is remembered.
    """
    return f"""
        INSERT INTO evidence_openintent (id, tenant_id, action, object_type, object_id, run, trace,
            opened_at, backend_pid, backend_started)
        SELECT {", ".join(values)}, now(), a.pid, a.backend_start
        FROM {f"{among}, " if among else ""}pg_stat_activity a WHERE a.pid = pg_backend_pid()
    """  # noqa: S608


def trace_of(trace: str | None, entry_id: UUID) -> str:
    """The name that an intent shares with its result: what was running, then one span of it."""
    return f"{trace or entry_id.hex}-{entry_id.hex[16:]}"


_OPENING = opening(*["%s"] * 7)


def begin(entry_id: UUID, tenant_id: UUID, about: About) -> None:
    """Remember an intent in the transaction that records it."""
    with connection.cursor() as cursor:
        cursor.execute(_OPENING, [entry_id, tenant_id, *about])


def end(intent: Intent) -> None:
    """Forget an intent in the transaction that records what came of it."""
    OpenIntent.objects.filter(pk=intent.id).delete()


def open_about(action: str, object_type: str, object_id: str) -> Intent | None:
    """The newest intent without a result about a thing."""
    rows = OpenIntent.objects.filter(action=action, object_type=object_type, object_id=object_id)
    found = rows.order_by("-opened_at").first()
    return Intent(found.pk, found.trace) if found else None


def take_lost(patience: float, longest: float) -> list[LostIntent]:
    """Intents of the pinned tenant whose result will not come any more; forgotten on commit.

    patience: seconds that a session may be gone before it counts. longest: seconds after which
    even a living one has forgotten it.
    """
    with connection.cursor() as cursor:
        cursor.execute(_TAKE_LOST, {"patience": patience, "longest": longest})
        return [
            LostIntent(
                Intent(entry_id, trace), action, kind, object_id, run, opened_at, _why(alive)
            )
            for entry_id, trace, action, kind, object_id, run, opened_at, alive in cursor.fetchall()
        ]


def _why(alive: bool) -> str:
    if alive:
        return "it went on without ever saying what came of it"
    return "whoever did it is gone and never said what came of it"
