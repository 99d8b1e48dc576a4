"""Documents that people bring as evidence for controls: added, decided, withdrawn, read."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone

from agent.own_frameworks import known
from agent.places import artifact_store
from authz.change import change
from authz.errors import BadRequest, Conflict
from authz.people import AsTenant
from authz.permissions import Permission
from evidence import ledger
from evidence.controls import UPLOAD, strongest_possible
from evidence.models import ControlDocument, Entry
from tenants.actor import Actor
from tenants.scope import current_tenant_id

LARGEST = 20 << 20  # bytes of one document
LONGEST_DAYS = 3 * 366  # nobody has looked at a document that is good for longer
MOST_CONTROLS = 50
_TEXT = 200
_ODD = re.compile(r"[^A-Za-z0-9._-]+")
State = ControlDocument.State


def today() -> date:
    """The day that validity is counted in, UTC."""
    return timezone.now().astimezone(UTC).date()


def add_document(
    fields: Mapping[str, Any],
    content: bytes,
    filename: str,
    *,
    replaces: ControlDocument | None = None,
    by: Actor,
) -> ControlDocument:
    """Bring a document; it waits for a second person and counts for nothing until then.

    fields: title, owner, valid_until (a day), controls (names, framework:id), note. replaces: any
    version of the document that this is a newer one of. Raises Denied; BadRequest names each field;
    StoreFull.
    """
    said = _checked(fields, content, filename)
    with change(by, Permission.DOCUMENT_ADD, on=AsTenant(current_tenant_id())) as facts:
        version = 1
        if replaces is not None:
            of_series = ControlDocument.objects.select_for_update().filter(series=replaces.series)
            versions = list(of_series.values_list("version", "state"))
            if any(state == State.WAITING for _, state in versions):
                raise Conflict("a newer version waits for a second person already")
            version = 1 + max(number for number, _ in versions)
        kept = artifact_store().put(current_tenant_id(), content)
        row = ControlDocument(
            version=version,
            sha256=kept.sha256,
            size=kept.size,
            requester_id=by.id,
            requester_name=by.name,
            **said,
        )
        if replaces is not None:
            row.series = replaces.series
        row.save(force_insert=True)
        facts.about = row
        facts.update(step="added", **_told(row))
    return row


def accept_document(row: ControlDocument, digest: str, *, by: Actor) -> None:
    """Let a document count from now on, in place of its earlier versions.

    digest: SHA-256 (hex) of the file that was read. Raises Denied, also for whoever added it;
    Conflict when it was decided before, has expired, or is another file.
    """
    with change(by, Permission.DOCUMENT_APPROVE, on=row) as facts:
        locked = _waiting(row)
        if digest != locked.sha256:
            raise Conflict("this is not the file that you read")
        if locked.valid_until < today():
            raise Conflict(f"it was good until {locked.valid_until} and would count for nothing")
        earlier = ControlDocument.objects.filter(series=locked.series, state=State.ACCEPTED)
        replaced = [str(one.pk) for one in earlier]
        earlier.update(state=State.REPLACED)
        _decide(locked, State.ACCEPTED, "", by)
        facts.update(step="accepted", replaced=replaced, **_told(locked))


def refuse_document(row: ControlDocument, reason: str, *, by: Actor) -> None:
    """Do not let a document count. Raises Denied; BadRequest without a reason; Conflict."""
    reason = _reason(reason)
    with change(by, Permission.DOCUMENT_APPROVE, on=row) as facts:
        locked = _waiting(row)
        _decide(locked, State.REFUSED, reason, by)
        facts.update(step="refused", why=reason, **_told(locked))


def withdraw_document(row: ControlDocument, reason: str, *, by: Actor) -> None:
    """Let a document count no longer, or take it back before anybody decided.

    The file stays in the store, for packs that were built with it. Raises Denied; BadRequest
    without a reason; Conflict when it counts for nothing anyway.
    """
    reason = _reason(reason)
    with change(by, Permission.DOCUMENT_ADD, on=row) as facts:
        locked = ControlDocument.objects.select_for_update().get(pk=row.pk)
        if locked.state not in (State.WAITING, State.ACCEPTED):
            raise Conflict(f"this document is {locked.state} already")
        locked.state, locked.reason = State.WITHDRAWN, reason
        locked.save(update_fields=["state", "reason"])
        facts.update(step="withdrawn", why=reason, **_told(locked))


def content_of(row: ControlDocument, *, by: Actor) -> bytes:
    """The file, checked; that somebody took it is an entry. Raises Missing or Damaged."""
    content = artifact_store().get(current_tenant_id(), row.sha256, size=row.size)
    ledger.record(
        "document.download", by=by, on=row, facts={"sha256": row.sha256, "size": row.size}
    )
    return content


def in_force(day: date) -> list[ControlDocument]:
    """Documents that count on a day, in an order that stays."""
    rows = ControlDocument.objects.filter(state=State.ACCEPTED, valid_until__gte=day)
    return list(rows.order_by("decided_at", "pk"))


def facts_in_force() -> list[dict[str, Any]]:
    """What counts now, for a snapshot of the configuration: all that a pack says of documents."""
    rows = in_force(today())
    places = entries_about([row.pk for row in rows])
    return [
        {
            "id": str(row.pk),
            "series": str(row.series),
            "version": row.version,
            "title": row.title,
            "owner": row.owner_name,
            "controls": sorted(row.controls),
            "filename": row.filename,
            "sha256": row.sha256,
            "size": row.size,
            "valid_until": f"{row.valid_until}",
            "added_by": {"id": row.requester_id, "name": row.requester_name},
            "accepted_by": {"id": row.decided_by, "name": row.decided_by_name},
            "entries": places.get(str(row.pk), []),
        }
        for row in rows
    ]


def entries_about(ids: Iterable[UUID]) -> dict[str, list[int]]:
    """Id of a document -> indexes of the sealed entries by which it was added and accepted."""
    rows = Entry.objects.filter(
        object_type="controldocument",
        object_id__in=[str(pk) for pk in ids],
        action__in=[Permission.DOCUMENT_ADD, Permission.DOCUMENT_APPROVE],
        outcome="ok",
    ).order_by("index")
    found: dict[str, list[int]] = {}
    for pk, index in rows.values_list("object_id", "index"):
        found.setdefault(pk, []).append(index)
    return found


def open_controls() -> set[str]:
    """Names of the controls that only a document can show."""
    return {name for name, best in strongest_possible(known()).items() if best == UPLOAD}


def _checked(fields: Mapping[str, Any], content: bytes, filename: str) -> dict[str, Any]:
    errors: dict[str, str] = {}
    said: dict[str, Any] = {}
    for name, column in (("title", "title"), ("owner", "owner_name")):
        text = str(fields.get(name) or "").replace("\0", "").strip()
        if not text:
            errors[name] = "is empty"
        elif len(text) > _TEXT:
            errors[name] = f"is longer than {_TEXT} characters"
        said[column] = text
    said["note"] = str(fields.get("note") or "").replace("\0", "").strip()[:2_000]
    said["filename"] = plain_name(filename)
    if not content:
        errors["file"] = "choose a file that is not empty"
    elif len(content) > LARGEST:
        errors["file"] = f"has {len(content):,} bytes; at most {LARGEST >> 20} MiB are kept"
    day = _day(fields.get("valid_until"))
    if day is None:
        errors["valid_until"] = "is no date; write it as 2027-11-23"
    elif not today() <= day <= today() + timedelta(days=LONGEST_DAYS):
        errors["valid_until"] = "must be a day from today on, three years from now at most"
    said["valid_until"] = day
    controls = sorted({str(one) for one in fields.get("controls") or ()})
    if not controls:
        errors["controls"] = "choose at least one control"
    elif len(controls) > MOST_CONTROLS:
        errors["controls"] = f"names {len(controls)}; at most {MOST_CONTROLS} for one document"
    elif odd := sorted(set(controls) - open_controls()):
        errors["controls"] = (
            f"{odd[0]} is no control that only a document can show; the log shows the others"
        )
    said["controls"] = controls
    if errors:
        raise BadRequest(errors)
    return said


def plain_name(filename: str) -> str:
    """A file's name without anything that a path or another system would read differently."""
    name = _ODD.sub("-", filename.replace("\\", "/").rpartition("/")[2]).strip("-.")
    stem, dot, ending = name.rpartition(".")
    if not dot:
        stem, ending = ending, ""
    ending = f".{ending[:10]}" if ending else ""
    return (stem[: 100 - len(ending)].rstrip(".-") or "document") + ending


def _day(value: Any) -> date | None:
    if isinstance(value, datetime):
        return None
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(str(value or "").strip())
    except ValueError:
        return None


def _reason(text: str) -> str:
    reason = text.replace("\0", "").strip()
    if not reason:
        raise BadRequest({"reason": "is empty; say why in a sentence"})
    return reason[:500]


def _waiting(row: ControlDocument) -> ControlDocument:
    locked: ControlDocument = ControlDocument.objects.select_for_update().get(pk=row.pk)
    if locked.state != State.WAITING:
        raise Conflict(f"this document is {locked.state} already")
    return locked


def _decide(row: ControlDocument, state: str, reason: str, by: Actor) -> None:
    row.state, row.reason = state, reason
    row.decided_by, row.decided_by_name, row.decided_at = by.id, by.name, timezone.now()
    row.save(update_fields=["state", "reason", "decided_by", "decided_by_name", "decided_at"])


def _told(row: ControlDocument) -> dict[str, Any]:
    return {
        "title": row.title,
        "version": row.version,
        "series": row.series,
        "controls": row.controls,
        "owner": row.owner_name,
        "valid_until": row.valid_until,
        "filename": row.filename,
        "sha256": row.sha256,
        "size": row.size,
    }
