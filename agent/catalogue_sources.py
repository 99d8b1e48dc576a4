"""Which sources of the catalogue are read anew, from where, how often; and reading them."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from agent import own_catalogue, places, queue
from agent.models import CatalogueSource
from agent.recommender.refresh import (
    CONNECTORS,
    CanaryFailed,
    Connector,
    Origin,
    Reading,
    Unreachable,
    read,
)
from authz.change import change, effect
from authz.errors import BadRequest, Conflict, Denied
from authz.people import AsTenant
from authz.permissions import Permission
from tenants.actor import Actor, system_actor
from tenants.outbound import NotFetched, fetch_document, may_be_named
from tenants.scope import current_tenant_id

log = structlog.get_logger(__name__)
EVERY_DAYS = {0: "only when asked", 1: "every day", 7: "every week", 30: "every 30 days"}
STALE = dt.timedelta(minutes=10)  # without a sign of life: whoever read is gone
AT_MOST_S = 1200.0  # for all questions to one source
TELL_S = 1.0  # how often progress is written down
S = CatalogueSource
UNFINISHED = (S.State.QUEUED, S.State.RUNNING)


@dataclass(frozen=True, slots=True)
class Source:
    """One source as it stands. as_of: the day its facts in use are from, None when there are none.

    usual: where the public keeps it; "" when it is read from a folder of the operator only. row:
    what was set up and what came of it; not stored as long as nobody has set up or asked anything.
    """

    connector: Connector
    row: CatalogueSource
    as_of: dt.date | None
    facts: int

    @property
    def name(self) -> str:
        """Its id, such as endoflife."""
        return self.connector.name

    @property
    def address(self) -> str:
        """Where it is read from; "" when nobody has said it and there is no usual place."""
        return self.row.address or self.connector.address

    @property
    def is_unfinished(self) -> bool:
        """Whether somebody reads it, or is about to."""
        return self.row.state in UNFINISHED

    @property
    def canary_verdict(self) -> str:
        """holds or failed, the last time the source answered; "" when it never did."""
        if self.row.result == S.Result.CANARY_FAILED:
            return "failed"
        return "holds" if self.row.canary else ""

    @property
    def is_usable(self) -> bool:
        """Whether it can be asked for now."""
        return self.row.is_on and bool(self.address) and not self.is_unfinished


def sources() -> list[Source]:
    """Every source of the pinned tenant's catalogue, in the connectors' order."""
    rows = {row.connector: row for row in CatalogueSource.objects.all()}
    known = {one.connector: one for one in places.catalogue().snapshots}
    return [
        Source(
            connector,
            rows.get(name) or _untouched(connector),
            known[name].as_of if name in known else None,
            known[name].facts if name in known else 0,
        )
        for name, connector in CONNECTORS.items()
    ]


def source(name: str) -> Source | None:
    """One source by its id; None when there is no such connector."""
    return next((one for one in sources() if one.name == name), None)


def alter(name: str, fields: Mapping[str, Any], *, by: Actor) -> None:
    """Set a source up. fields: is_on, address ("": the usual place), every_days; the rest stays.

    Raises Denied; BadRequest names each field.
    """
    connector = CONNECTORS[name]
    with change(by, Permission.CATALOGUE_CHANGE, on=AsTenant(current_tenant_id())) as facts:
        row = _locked(connector)
        if "is_on" in fields:
            row.is_on = bool(fields["is_on"])
        if "address" in fields:
            row.address = str(fields["address"]).replace("\0", "").strip()
        errors = {}
        if "every_days" in fields:
            said = str(fields["every_days"]).strip()
            if said in map(str, EVERY_DAYS):
                row.every_days = int(said)
            else:
                errors["every_days"] = f"expected one of {', '.join(map(str, EVERY_DAYS))}"
        if why := _why_not(row.address):
            errors["address"] = why
        elif row.is_on and not (row.address or connector.address):
            errors["address"] = "say where it is to be read from; it has no usual place"
        if errors:
            raise BadRequest(errors)
        row.save()
        facts.about = row
        facts.update(
            step="source set up",
            connector=name,
            is_on=row.is_on,
            address=row.address,
            every_days=row.every_days,
        )


def ask_for_refresh(name: str, *, by: Actor) -> CatalogueSource:
    """Have a source read anew by a job; follow the row. While it is read, that one is given back.

    Raises Denied; Conflict when it is off or nobody has said where it is.
    """
    connector = CONNECTORS[name]
    with change(by, Permission.CATALOGUE_REFRESH, on=AsTenant(current_tenant_id())) as facts:
        row = _locked(connector)
        facts.about = row
        facts.update(step="asked", connector=name)
        now = timezone.now()
        if row.state in UNFINISHED and row.touched_at and now - row.touched_at < STALE:
            facts["under_way"] = True
            return row
        if not row.is_on:
            raise Conflict(f"{connector.title} is off; switch it on first")
        if not (row.address or connector.address):
            raise Conflict(f"say first where {connector.title} is to be read from")
        row.state, row.done, row.total = S.State.QUEUED, 0, 0
        row.asked_at = row.touched_at = now
        row.asked_by_id = by.user_id
        row.save()
        transaction.on_commit(partial(queue.refresh_source, row.pk))
    return row


def due() -> list[str]:
    """Sources of the pinned tenant whose turn it is by their schedule."""
    now = timezone.now()
    rows = CatalogueSource.objects.filter(is_on=True, every_days__gt=0)
    return [
        row.connector
        for row in rows.order_by("connector")
        if row.connector in CONNECTORS
        and (row.asked_at is None or now - row.asked_at >= dt.timedelta(days=row.every_days))
    ]


def run(source_id: UUID) -> None:
    """Read a source and put what it says anew to the people who decide. Safe to deliver twice.

    The intent is on record before the source is asked, the canary's word or the failure after it.
    """
    waiting = CatalogueSource.objects.filter(pk=source_id, state=S.State.QUEUED)
    if not waiting.update(state=S.State.RUNNING, touched_at=timezone.now()):
        return
    row = CatalogueSource.objects.select_related("asked_by").get(pk=source_id)
    by = row.asked_by.actor("job") if row.asked_by else system_actor("schedule", "job")
    connector = CONNECTORS[row.connector]
    try:
        found = _read(connector, row, by)
        row.canary = found.canary[:300]
        refresh = own_catalogue.propose_refresh(connector.name, found, by=by)
    except CanaryFailed as silence:
        _finish(row, S.Result.CANARY_FAILED, f"{silence}; nothing of it is believed")
    except Unreachable as silence:
        _finish(row, S.Result.UNREACHABLE, str(silence))
    except Conflict as refusal:
        _finish(row, S.Result.NOTHING_NEW, str(refusal))
    except Denied:
        _finish(row, S.Result.FAILED, "whoever asked for it may not do so any more")
    except Exception as bug:
        _finish(row, S.Result.FAILED, f"it could not be read: {type(bug).__name__}")
        raise
    else:
        row.proposed = refresh.pk
        said = refresh.difference
        counts = (f"{said[f'{key}_altogether']} {key}" for key in ("changed", "added", "removed"))
        left = f"; {len(found.unanswered)} not believed" if found.unanswered else ""
        _finish(row, S.Result.PROPOSED, ", ".join(counts) + left)


def _read(connector: Connector, row: CatalogueSource, by: Actor) -> Reading:
    place = row.address or connector.address
    known = places.catalogue()
    progress = _Progress(row, connector, len(connector.listed(known)))
    on = AsTenant(current_tenant_id())
    with effect(
        by, Permission.CATALOGUE_REFRESH, on=on, connector=connector.name, address=place
    ) as facts:
        origin = Origin(_place(place), partial(_fetched, progress))
        found = read(connector, origin, known, timezone.now().date())
        facts.update(step="read", canary=found.canary, technologies=len(found.facts))
        facts["not_believed"] = len(found.unanswered)
    return found


class _Progress:
    """How many questions were asked, which the page follows and the ledger need not know."""

    def __init__(self, row: CatalogueSource, connector: Connector, listed: int) -> None:
        self.row, self.started, self.told = row, monotonic(), 0.0
        row.total = listed + 1 if connector.asks_each else 1  # the canary is a question too

    def count(self) -> None:
        """One more was asked; written down now and then."""
        self.row.done = min(self.row.done + 1, self.row.total)
        if monotonic() - self.told > TELL_S:
            self.told = monotonic()
            CatalogueSource.objects.filter(pk=self.row.pk).update(
                done=self.row.done, total=self.row.total, touched_at=timezone.now()
            )


def _fetched(progress: _Progress, address: str, send: dict[str, Any] | None) -> bytes:
    """What stands at an address, asked as all that tenants type in. As Origin.fetch has to."""
    if monotonic() - progress.started > AT_MOST_S:
        raise Unreachable(f"more than {AT_MOST_S / 60:.0f} minutes have passed")
    body = None if send is None else json.dumps(send).encode()
    try:
        status, content = fetch_document(address, body)
    except NotFetched as problem:
        raise Unreachable(str(problem)) from problem
    progress.count()
    if status == 404:
        raise FileNotFoundError(address)
    if status != 200:
        raise Unreachable(f"{address}: status {status}")
    return content


def _finish(row: CatalogueSource, result: str, said: str) -> None:
    """What came of it, for the page; the ledger has it from the effect or the proposal."""
    log.info("source read", connector=row.connector, result=result)
    CatalogueSource.objects.filter(pk=row.pk).update(
        state=S.State.IDLE,
        result=result,
        said=said[:500],
        canary=row.canary,
        proposed=row.proposed if result == S.Result.PROPOSED else None,
        done=row.done,
        total=row.total,
        finished_at=timezone.now(),
    )


def _untouched(connector: Connector) -> CatalogueSource:
    """A source that nobody has set up. Those about security go nowhere unless they are told to."""
    return CatalogueSource(
        connector=connector.name, is_on=connector.by_default and bool(connector.address)
    )


def _locked(connector: Connector) -> CatalogueSource:
    CatalogueSource.objects.get_or_create(
        connector=connector.name, defaults={"is_on": _untouched(connector).is_on}
    )
    row: CatalogueSource = CatalogueSource.objects.select_for_update(of=("self",)).get(
        connector=connector.name
    )
    return row


def _is_web(address: str) -> bool:
    return address.startswith(("https://", "http://"))


def _why_not(address: str) -> str:
    """Why a source may not be read from there; "" when it may."""
    if not address:
        return ""
    if _is_web(address):
        if len(address) <= 500 and may_be_named(address):
            return ""
        return "expected an address that begins with https, such as https://endoflife.date/api"
    if settings.CATALOGUE_SOURCES_DIR is None:
        return "expected an address that begins with https; your operator keeps no files for this"
    try:
        _place(address)
    except Unreachable:
        return "expected an https address, or a file or folder that your operator keeps for this"
    return ""


def _place(address: str) -> str:
    """What a connector opens: an address, or a path inside of the operator's folder and nowhere
    else. Raises Unreachable.
    """
    if _is_web(address):
        return address
    folder: Path | None = settings.CATALOGUE_SOURCES_DIR
    if folder is not None:
        path = (folder / address).resolve()
        if path.exists() and path.is_relative_to(folder.resolve()):
            return str(path)
    raise Unreachable("your operator keeps no such file or folder")
