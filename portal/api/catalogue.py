"""The technology catalogue as the tenant sees it, with what the tenant adds."""

import datetime as dt
from typing import Any
from uuid import UUID

from django.http import Http404
from django.shortcuts import get_object_or_404
from ninja import Query, Router, Schema, Status
from pydantic import Field

from agent import catalogue_sources, own_catalogue
from agent.models import CatalogueEntry, CatalogueRefresh
from agent.places import catalogue
from agent.recommender.catalogue import Fact, Technology
from authz.decisions import require
from authz.permissions import Permission
from portal.api.problems import CHANGE, READ_MANY, READ_ONE
from portal.http import PortalRequest

router = Router(tags=["Catalogue"])
_OF_SOURCE = (
    *("is_on", "every_days", "state", "done", "total", "canary", "result", "said"),
    *("finished_at", "proposed"),
)


class CatalogueFactOut(Schema):
    """One fact. value is null when state is not "known"."""

    id: str = Field(examples=["postgresql.license"])
    label: str
    value: str | int | float | bool | None
    state: str = Field(description="known, unknown, unreachable or n/a.")
    unit: str
    source: str
    locator: str
    as_of: dt.date
    grade: str
    by_hand: bool
    due: bool = Field(description="Older than it should be read again.")


class TechnologyOut(Schema):
    """A technology of the catalogue."""

    id: str
    name: str
    aliases: list[str]
    layers: list[str]
    kind: str
    own: bool = Field(description="Added by the tenant.")
    standard: str | None = Field(description="approved, to_be_retired, banned or none.")


class TechnologyDetail(TechnologyOut):
    """A technology with everything known about it."""

    facts: list[CatalogueFactOut]


class TechnologiesOut(Schema):
    """A part of the catalogue. digest: of the whole catalogue."""

    items: list[TechnologyOut]
    count: int
    digest: str


class TechnologyIn(Schema):
    """A technology of the tenant's own."""

    id: str = Field(max_length=61, examples=["house-queue"])
    name: str = Field(max_length=300)
    layers: list[str] = Field(max_length=20)
    kind: str = Field(examples=["server"])
    licence: str = Field("", max_length=200)
    aliases: list[str] = Field([], max_length=20)
    languages: list[str] = Field([], max_length=20)
    source: str = Field(max_length=300, description="Where this can be looked up.")


class FactIn(Schema):
    """A fact of the tenant's own."""

    attribute: str = Field(max_length=80, examples=["capability.rbac"])
    value: str = Field(max_length=300, examples=["yes"])
    source: str = Field(max_length=300)
    as_of: dt.date | None = None


class StandardIn(Schema):
    """What the tenant decided. An empty verdict lifts the standard."""

    verdict: str = Field(examples=["banned"])
    reason: str = Field("", max_length=300)
    until: dt.date | None = None


class RefreshOut(Schema):
    """What a source says anew."""

    id: UUID
    connector: str
    state: str
    digest: str
    difference: dict[str, Any]
    affected: list[dict[str, Any]]
    requester_name: str
    decided_by_name: str


class RefreshAnswer(Schema):
    """The answer to a refresh. digest: of what was read."""

    accept: bool
    digest: str = Field("", max_length=64)
    why: str = Field("", max_length=300)


class SourceOut(Schema):
    """A source of facts: how it is set up, and what came of it the last time."""

    connector: str = Field(examples=["endoflife"])
    title: str
    is_on: bool
    address: str = Field(description="Empty when it is read from an operator's folder only.")
    every_days: int = Field(description="0: only when somebody asks.")
    state: str = Field(description="idle, queued or running.")
    done: int
    total: int
    as_of: dt.date | None = Field(description="The day that the facts in use are from.")
    facts: int
    known_fact: str = Field(description="What has to read as known, or nothing is believed.")
    canary_verdict: str = Field(description="holds, failed or empty.")
    canary: str
    result: str
    said: str
    finished_at: dt.datetime | None
    proposed: UUID | None = Field(description="The refresh that waits for a person.")


class SourceIn(Schema):
    """How a source is read. An empty address: where the public keeps it."""

    is_on: bool
    address: str = Field("", max_length=500)
    every_days: int = Field(0, ge=0, le=30, description="0, 1, 7 or 30.")


class Search(Schema):
    """Which technologies."""

    layer: str = ""
    name: str = Field("", description="However people write it; finds one or none.")
    limit: int = Field(50, ge=1, le=200)
    offset: int = Field(0, ge=0, le=100_000)


@router.get("/technologies", response={200: TechnologiesOut, **READ_MANY})
def list_technologies(request: PortalRequest, search: Query[Search]) -> dict[str, Any]:
    """Technologies in the catalogue's order, by layer or by a name as people write it."""
    _require_view(request)
    known = catalogue()
    rows = list(known.technologies.values())
    if search.name:
        found = known.find(search.name)
        rows = [found] if found else []
    if search.layer:
        rows = [tech for tech in rows if search.layer in tech.layers]
    part = rows[search.offset : search.offset + search.limit]
    return {"items": [_out(tech) for tech in part], "count": len(rows), "digest": known.digest}


@router.get("/technologies/{technology_id}", response={200: TechnologyDetail, **READ_ONE})
def get_technology(request: PortalRequest, technology_id: str) -> dict[str, Any]:
    """One technology with every fact, its source, grade and age."""
    _require_view(request)
    return _detail(technology_id)


@router.post("/technologies", response={201: TechnologyDetail, **CHANGE})
def add_technology(request: PortalRequest, wanted: TechnologyIn) -> Status[dict[str, Any]]:
    """Add a technology of your own, or describe one of your own anew."""
    entry = own_catalogue.add_technology(wanted.dict(), by=request.actor)
    return Status(201, _detail(entry.technology))


@router.post("/technologies/{technology_id}/facts", response={201: TechnologyDetail, **CHANGE})
def add_fact(request: PortalRequest, technology_id: str, wanted: FactIn) -> Status[dict[str, Any]]:
    """Say a fact about a technology; it has grade J and counts where nothing better is known."""
    own_catalogue.add_fact(technology_id, wanted.dict(), by=request.actor)
    return Status(201, _detail(technology_id))


@router.delete("/technologies/{technology_id}", response={204: None, **CHANGE})
def remove_technology(request: PortalRequest, technology_id: str) -> Status[None]:
    """Take a technology of your own out of the catalogue, with its facts and its standard.

    What was asked and proposed with it stays as it is.
    """
    _require_view(request)
    _detail(technology_id)
    own_catalogue.remove_technology(technology_id, by=request.actor)
    return Status(204, None)


@router.delete("/technologies/{technology_id}/facts/{attribute}", response={204: None, **CHANGE})
def remove_fact(request: PortalRequest, technology_id: str, attribute: str) -> Status[None]:
    """Take one fact of your own back."""
    _require_view(request)
    _detail(technology_id)
    own_catalogue.remove_fact(technology_id, attribute, by=request.actor)
    return Status(204, None)


@router.put("/technologies/{technology_id}/standard", response={200: TechnologyDetail, **CHANGE})
def set_standard(request: PortalRequest, technology_id: str, wanted: StandardIn) -> dict[str, Any]:
    """Approve, retire or ban a technology for the whole tenant."""
    own_catalogue.set_standard(technology_id, wanted.dict(), by=request.actor)
    return _detail(technology_id)


@router.get("/additions", response={200: list[dict[str, Any]], **READ_MANY})
def list_additions(request: PortalRequest) -> list[dict[str, Any]]:
    """Everything that the tenant added: technologies, facts, standards."""
    _require_view(request)
    return list(
        CatalogueEntry.objects.values("kind", "technology", "attribute", "content", "author_name")
    )


@router.get("/sources", response={200: list[SourceOut], **READ_MANY})
def list_sources(request: PortalRequest) -> list[dict[str, Any]]:
    """Where facts are read from anew."""
    _require_view(request)
    return [_source_out(one) for one in catalogue_sources.sources()]


@router.put("/sources/{connector}", response={200: SourceOut, **CHANGE})
def set_source(request: PortalRequest, connector: str, wanted: SourceIn) -> dict[str, Any]:
    """Set a source up: whether it may be asked, where, and how often without being told."""
    _require_view(request)
    _source(connector)
    catalogue_sources.alter(connector, wanted.dict(), by=request.actor)
    return _source_out(_source(connector))


@router.post("/sources/{connector}/refresh", response={202: SourceOut, **CHANGE})
def refresh_source(request: PortalRequest, connector: str) -> Status[dict[str, Any]]:
    """Have a source read anew. What it would change waits for a person among the refreshes."""
    _require_view(request)
    _source(connector)
    catalogue_sources.ask_for_refresh(connector, by=request.actor)
    return Status(202, _source_out(_source(connector)))


@router.get("/refreshes", response={200: list[RefreshOut], **READ_MANY})
def list_refreshes(request: PortalRequest) -> Any:
    """The newest 50 refreshes."""
    _require_view(request)
    return CatalogueRefresh.objects.defer("document")[:50]


@router.post("/refreshes/{refresh_id}/answer", response={200: RefreshOut, **CHANGE})
def answer_refresh(request: PortalRequest, refresh_id: UUID, answer: RefreshAnswer) -> Any:
    """Let a refresh into the catalogue, or not. Not by whoever asked for it."""
    _require_view(request)
    found: CatalogueRefresh = get_object_or_404(CatalogueRefresh, pk=refresh_id)
    if answer.accept:
        own_catalogue.accept_refresh(found, answer.digest, by=request.actor)
    else:
        own_catalogue.reject_refresh(found, answer.why, by=request.actor)
    found.refresh_from_db()
    return found


def _source(connector: str) -> catalogue_sources.Source:
    found = catalogue_sources.source(connector)
    if found is None:
        raise Http404
    return found


def _source_out(one: catalogue_sources.Source) -> dict[str, Any]:
    row = one.row
    return {
        "connector": one.name,
        "title": one.connector.title,
        "address": one.address,
        "as_of": one.as_of,
        "facts": one.facts,
        "known_fact": one.connector.canary,
        "canary_verdict": one.canary_verdict,
    } | {name: getattr(row, name) for name in _OF_SOURCE}


def _require_view(request: PortalRequest) -> None:
    seen = own_catalogue.CatalogueAsSeen(request.actor)
    require(request.actor, Permission.CATALOGUE_VIEW, seen)


def _detail(technology_id: str) -> dict[str, Any]:
    found = catalogue().technologies.get(technology_id)
    if found is None:
        raise Http404
    return _out(found) | {"facts": [_fact(fact) for fact in found.facts.values()]}


def _out(found: Technology) -> dict[str, Any]:
    standard = catalogue().standards.get(found.id)
    return {
        "id": found.id,
        "name": found.name,
        "aliases": list(found.aliases),
        "layers": list(found.layers),
        "kind": found.kind,
        "own": found.own,
        "standard": standard.verdict if standard else None,
    }


def _fact(fact: Fact) -> dict[str, Any]:
    return {
        "id": fact.id,
        "label": fact.label,
        "value": fact.value,
        "state": fact.state,
        "unit": fact.unit,
        "source": fact.source,
        "locator": fact.locator,
        "as_of": fact.as_of,
        "grade": fact.grade,
        "by_hand": fact.by_hand,
        "due": fact.is_due(dt.datetime.now(dt.UTC).date()),
    }
