"""How the pinned tenant's log grew: its heads over time, who cosigned, changes of key, gaps."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Count, Max

from evidence.models import Checkpoint, Cosignature, Entry, LogKey
from evidence.witnessing import Witness

POINTS = 160  # in a picture, at most
GAPS = 200  # the newest

_HEADS = """
    WITH span AS (
        SELECT extract(epoch FROM min(signed_at)) AS first,
            extract(epoch FROM max(signed_at)) + 1 AS last FROM evidence_checkpoint
    ), cosigned AS (
        SELECT size FROM evidence_cosignature WHERE witness = ANY(%(asked)s)
        GROUP BY size HAVING count(*) >= %(quorum)s
    )
    SELECT max(c.signed_at), max(c.size), count(*), count(w.size)
    FROM span, evidence_checkpoint c LEFT JOIN cosigned w ON w.size = c.size
    GROUP BY width_bucket(extract(epoch FROM c.signed_at), span.first, span.last, %(points)s)
    ORDER BY 1
"""


@dataclass(frozen=True)
class Point:
    """Some heads that followed each other: the last one's time and size, how many they are, how
    many of them have the quorum of cosignatures."""

    at: datetime
    size: int
    heads: int
    cosigned: int


@dataclass(frozen=True)
class Seen:
    """What one witness last cosigned; None for never."""

    name: str
    key_id: str
    address: str
    size: int | None
    at: datetime | None
    heads: int


def points(asked: Sequence[Witness], quorum: int) -> list[Point]:
    """The log's growth in at most POINTS steps, oldest first; one for each head where they are few.

    quorum: how many of the witnesses make a head WITNESSED; 0 for none.
    """
    said: dict[str, Any] = {
        "asked": [witness.key.name for witness in asked],
        # Nobody can have so many where there is no quorum.
        "quorum": quorum or len(asked) + 1,
        "points": POINTS,
    }
    with connection.cursor() as cursor:
        cursor.execute(_HEADS, said)
        return [Point(*row) for row in cursor.fetchall()]


def last_seen(asked: Sequence[Witness]) -> list[Seen]:
    """The last cosignature of each witness, in the order in which they are named."""
    rows = Cosignature.objects.values("witness").order_by("witness")
    newest = {
        row["witness"]: row
        for row in rows.annotate(size=Max("size"), at=Max("received_at"), heads=Count("pk"))
    }
    found = []
    for witness in asked:
        row = newest.get(witness.key.name, {"size": None, "at": None, "heads": 0})
        found.append(
            Seen(
                witness.key.name,
                witness.key.key_id,
                witness.address,
                row["size"],
                row["at"],
                row["heads"],
            )
        )
    return found


def key_changes() -> list[LogKey]:
    """Keys that took over from another one, oldest first."""
    return list(LogKey.objects.filter(valid_from__gt=0).order_by("valid_from"))


def gaps() -> list[Entry]:
    """Entries that say that something is missing, newest first, at most GAPS."""
    failed = Entry.objects.filter(outcome="failed").exclude(outcome="ok").order_by("-index")
    return [entry for entry in failed[: 5 * GAPS] if entry.said["phase"] == "gap"][:GAPS]


def newest_head() -> Checkpoint | None:
    """The newest signed head, if there is one."""
    newest: Checkpoint | None = Checkpoint.objects.order_by("-size").first()
    return newest
