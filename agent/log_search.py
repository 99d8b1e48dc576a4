"""Finds entries of the ledger by who, what, where, when, and hands them out as files, on record."""

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time, timedelta
from hashlib import sha256
from io import StringIO
from typing import Any
from uuid import UUID

from django.db.models import CharField, Q, QuerySet
from django.db.models.functions import Cast

from agent.models import Task
from authz.change import change
from authz.errors import BadRequest
from authz.people import AsTenant
from authz.permissions import Permission
from evidence.models import Entry, Payload
from tenants.actor import Actor
from tenants.models import User
from tenants.scope import current_tenant_id

MOST = 50_000  # entries in one file
COLUMNS = ("index", "recorded_at", "actor_type", "actor_name", "actor_id", "action", "outcome")
CSV_COLUMNS = (*COLUMNS, "door", "object_type", "object_id", "run")
# An entry is recorded in the last moment of its transaction, so two stand in another order than
# their times by seconds at most; hosts whose clocks differ by more than this have other troubles.
DISORDER = timedelta(hours=1)
PEOPLE = 200  # at most, whom a name is taken for
_LAST = "~"  # comes after whatever stands in actions, ids and hex


@dataclass(frozen=True)
class Wanted:
    """Which entries; an empty field asks for nothing.

    action: how it begins. actor: an id, or a part of a person's name. object: a type, an id, or
    type:id. run: how it begins, with or without "T-". project: its id. since, until: a day, or a
    moment such as 2026-11-23T14:00, UTC; until a day is up to its end.
    """

    action: str = ""
    actor: str = ""
    object: str = ""
    outcome: str = ""
    door: str = ""
    project: str = ""
    run: str = ""
    since: str = ""
    until: str = ""

    @classmethod
    def said_in(cls, given: Mapping[str, Any]) -> "Wanted":
        # PostgreSQL cannot compare with a text that holds a zero character.
        return cls(
            **{
                one.name: str(given.get(one.name) or "").replace("\0", "").strip()[:200]
                for one in fields(cls)
            }
        )

    @property
    def filters(self) -> dict[str, str]:
        """What is asked for, by name."""
        return {one.name: said for one in fields(self) if (said := getattr(self, one.name))}


def matching(wanted: Wanted) -> QuerySet[Entry]:
    """The sealed entries that are asked for. Raises BadRequest for a time that is none.

    What begins with a word is written as a range, and everybody of a name as their ids: behind row
    security only such comparisons may use an index.
    """
    rows: QuerySet[Entry] = Entry.objects.all()
    if wanted.action:
        rows = rows.filter(_begins("action", wanted.action))
    if wanted.actor:
        rows = rows.filter(_by(wanted.actor))
    if wanted.outcome:
        rows = rows.filter(outcome=wanted.outcome)
        if wanted.outcome != "ok":
            # Says again what the partial index is about, for the planner.
            rows = rows.exclude(outcome="ok")
    if wanted.door:
        rows = rows.filter(door=wanted.door)
    if wanted.run:
        # People know a run by the short name of its task, "T-1a2b3c4d".
        rows = rows.filter(_begins("run", wanted.run.lower().removeprefix("t-")))
    if wanted.object:
        kind, _, identity = wanted.object.rpartition(":")
        if kind:
            rows = rows.filter(object_type=kind, object_id=identity)
        else:
            rows = rows.filter(Q(object_type=identity) | Q(object_id=identity))
    if wanted.project:
        rows = rows.filter(_in_project(wanted.project))
    if wanted.since:
        rows = _since(rows, _moment("since", wanted.since))
    if wanted.until:
        rows = _until(rows, _moment("until", wanted.until))
    return rows


def export_entries(wanted: Wanted, kind: str, *, by: Actor) -> bytes:
    """What is asked for as a file, newest first, at most MOST entries; on record with its digest.

    kind: "csv", or "jsonl" with each leaf byte for byte as it was recorded, and its facts. Raises
    Denied, BadRequest.
    """
    rows = matching(wanted).order_by("-index")[:MOST]
    with change(by, Permission.LEDGER_EXPORT, on=AsTenant(current_tenant_id())) as facts:
        count, content = _csv(rows) if kind == "csv" else _json_lines(rows)
        facts.update(
            filters=wanted.filters,
            format=kind,
            entries=count,
            size=len(content),
            sha256=sha256(content).hexdigest(),
        )
    return content


def _begins(column: str, word: str) -> Q:
    return Q(**{f"{column}__gte": word, f"{column}__lt": word + _LAST})


def _by(who: str) -> Q:
    people = User.objects.filter(Q(name__icontains=who) | Q(email__iexact=who))
    ids = [str(pk) for pk in people.values_list("pk", flat=True)[:PEOPLE]]
    return Q(actor_id__in=[who, *ids]) | _begins("actor_id", f"system:{who.lower()}")


def _in_project(project: str) -> Q:
    try:
        project_id = UUID(project)
    except ValueError:
        return Q(pk__in=[])
    runs = Task.objects.filter(project_id=project_id).annotate(run=Cast("pk", CharField()))
    return Q(run__in=runs.values("run")) | Q(object_type="project", object_id=str(project_id))


def _since(rows: QuerySet[Entry], moment: datetime) -> QuerySet[Entry]:
    """From the moment on. Places are bounded too, or a page of the newest would be looked for among
    all that came later; entries stand in the order of their times but for what DISORDER allows."""
    before = Entry.objects.filter(recorded_at__lt=moment - DISORDER).order_by("-recorded_at")
    place = before.values_list("index", flat=True).first()
    rows = rows.filter(recorded_at__gte=moment)
    return rows if place is None else rows.filter(index__gt=place)


def _until(rows: QuerySet[Entry], moment: datetime) -> QuerySet[Entry]:
    """Up to the moment, without it; see _since()."""
    after = Entry.objects.filter(recorded_at__gte=moment + DISORDER).order_by("recorded_at")
    place = after.values_list("index", flat=True).first()
    rows = rows.filter(recorded_at__lt=moment)
    return rows if place is None else rows.filter(index__lt=place)


def _moment(name: str, said: str) -> datetime:
    try:
        if len(said) == len("2026-11-23"):
            day = date.fromisoformat(said) + timedelta(days=name == "until")
            return datetime.combine(day, time(), UTC)
        found = datetime.fromisoformat(said)
    except (ValueError, OverflowError) as fault:
        raise BadRequest(
            {name: "is no time; write a day as 2026-11-23, or 2026-11-23T14:00 (UTC)"}
        ) from fault
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _csv(rows: QuerySet[Entry]) -> tuple[int, bytes]:
    out, count = StringIO(), 0
    writer = csv.writer(out)
    writer.writerow(CSV_COLUMNS)
    for row in rows.values_list(*CSV_COLUMNS):
        writer.writerow([cell(value) for value in row])
        count += 1
    return count, out.getvalue().encode()


def cell(value: object) -> str:
    """A value as a spreadsheet may have it."""
    text = value.isoformat() if hasattr(value, "isoformat") else str(value)
    # A spreadsheet would run a cell that begins like a formula.
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _json_lines(rows: QuerySet[Entry]) -> tuple[int, bytes]:
    lines = list(_lines(list(rows)))
    return len(lines), b"".join(lines)


def _lines(rows: list[Entry]) -> Iterator[bytes]:
    for start in range(0, len(rows), 2_000):
        part = rows[start : start + 2_000]
        payloads = Payload.objects.in_bulk([row.pk for row in part])
        for row in part:
            payload = payloads.get(row.pk)
            facts = bytes(payload.body) if payload else b"null"
            head = json.dumps({"index": row.index, "leaf_hash": bytes(row.leaf_hash).hex()})
            yield b'%b,"leaf":%b,"facts":%b}\n' % (head[:-1].encode(), bytes(row.leaf), facts)
