"""What a tenant adds to the shared catalogue, and what it lets in from a source read anew."""

import datetime as dt
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from django.utils import timezone

from agent import places, recommender
from agent.models import CatalogueEntry, CatalogueRefresh, Recommendation
from agent.recommender import BadCatalogue, BadConstraints, Catalogue, Constraints, reading
from agent.recommender.additions import Own, with_dates
from agent.recommender.catalogue import KINDS, VERDICTS
from agent.recommender.refresh import Reading, compare
from authz.change import change
from authz.decisions import held_by, require
from authz.errors import BadRequest, Conflict
from authz.people import AsTenant
from authz.permissions import Permission
from tenants.actor import Actor
from tenants.scope import current_tenant_id

LOOKED_BACK = 10  # past recommendations that a refresh is tried on
SHOWN = 500  # changes kept with a refresh; the rest is counted
_TEXT = 300
_ID = re.compile(r"[a-z0-9][a-z0-9-]{1,60}")
State = CatalogueRefresh.State


class CatalogueAsSeen:
    """The catalogue as the object of a decision to read it.

    It belongs to the whole tenant, and whoever works in one project reads all of it, so the
    decision is made for a project of theirs when they hold no role for the tenant.
    """

    class _meta:
        model_name = "catalogue"

    def __init__(self, by: Actor) -> None:
        self.pk = current_tenant_id()
        projects = [project for _, project in held_by(by)]
        self.project_id = None if None in projects else next(iter(projects), None)


def add_technology(fields: Mapping[str, Any], *, by: Actor) -> CatalogueEntry:
    """Add a technology of the tenant's own, or describe one of its own anew.

    fields: id, name, layers (ids), kind, licence (SPDX or LicenseRef-...), aliases, languages,
    source (where that can be looked up). Raises Denied; BadRequest names each field.
    """
    require(by, Permission.CATALOGUE_CHANGE, AsTenant(current_tenant_id()))
    entry = _entry(fields)
    row = CatalogueEntry(kind=CatalogueEntry.Kind.TECHNOLOGY, technology=entry["id"], content=entry)
    own = places.own_of_tenant()
    others = [one for one in own.technologies if one["id"] != entry["id"]]
    _fits(replace(own, technologies=[*others, with_dates(entry)]), "id")
    return _keep(row, by)


def add_fact(technology: str, fields: Mapping[str, Any], *, by: Actor) -> CatalogueEntry:
    """Say a fact about a technology. It has grade J; it counts where nothing better is known.

    fields: attribute, value, source (where it can be looked up), as_of. Raises Denied, BadRequest.
    """
    require(by, Permission.CATALOGUE_CHANGE, AsTenant(current_tenant_id()))
    attribute = _said(fields, "attribute")
    value = _typed(_said(fields, "value"))
    content = {
        "value": value,
        "source": "own",
        "locator": _said(fields, "source"),
        "as_of": _day(fields, "as_of"),
    }
    own = places.own_of_tenant()
    facts = {key: dict(rows) for key, rows in own.facts.items()}
    facts.setdefault(technology, {})[attribute] = with_dates(content)
    _fits(replace(own, facts=facts), "attribute")
    row = CatalogueEntry(
        kind=CatalogueEntry.Kind.FACT, technology=technology, attribute=attribute, content=content
    )
    return _keep(row, by)


def set_standard(technology: str, fields: Mapping[str, Any], *, by: Actor) -> CatalogueEntry | None:
    """Approve, retire or ban a technology for the whole tenant; an empty verdict lifts it.

    fields: verdict, reason, until (a day, may be empty). Raises Denied, BadRequest.
    """
    require(by, Permission.CATALOGUE_CHANGE, AsTenant(current_tenant_id()))
    verdict = str(fields.get("verdict", ""))
    if verdict and verdict not in VERDICTS:
        raise BadRequest({"verdict": f"expected {', '.join(VERDICTS)}, or nothing to lift it"})
    if technology not in places.catalogue().technologies:
        raise BadRequest({"technology": "is not in the catalogue"})
    if not verdict:
        _lift(technology, by)
        return None
    content = {"verdict": verdict, "reason": _said(fields, "reason")}
    if fields.get("until"):
        content["until"] = _day(fields, "until")
    row = CatalogueEntry(kind=CatalogueEntry.Kind.STANDARD, technology=technology, content=content)
    return _keep(row, by)


def remove_technology(technology: str, *, by: Actor) -> None:
    """Take a technology of the tenant's own out of its catalogue, with its facts and standard.

    Requests, drafts and proposals that name it keep what they say; asked anew, they treat it as a
    name that the catalogue does not know. Raises Denied; Conflict when it is not the tenant's own.
    """
    own = places.own_of_tenant()
    left = replace(
        own,
        technologies=[one for one in own.technologies if one["id"] != technology],
        facts={key: rows for key, rows in own.facts.items() if key != technology},
        standards={key: row for key, row in own.standards.items() if key != technology},
    )
    _take_out({"technology": technology}, CatalogueEntry.Kind.TECHNOLOGY, left, by)


def remove_fact(technology: str, attribute: str, *, by: Actor) -> None:
    """Take one fact of the tenant's own back. Raises Denied; Conflict when there is none."""
    own = places.own_of_tenant()
    facts = {key: dict(rows) for key, rows in own.facts.items()}
    facts.get(technology, {}).pop(attribute, None)
    about = {"technology": technology, "attribute": attribute, "kind": CatalogueEntry.Kind.FACT}
    _take_out(about, CatalogueEntry.Kind.FACT, replace(own, facts=facts), by)


def propose_refresh(connector: str, found: Reading, *, by: Actor) -> CatalogueRefresh:
    """Put what a source says anew to the people who decide about it.

    What the source did not tell again keeps its value and day. An earlier one of the same source
    that nobody decided about is replaced. Raises Denied; Conflict when nothing would change.
    """
    before = places.catalogue()
    known = places.own_of_tenant().snapshots.get(connector)
    known = known or places.catalogue_files().documents.get(f"facts/{connector}.yaml")
    document = json.loads(json.dumps(found.document(before=known), default=dt.date.isoformat))
    after = _with_snapshot(connector, document)
    difference = compare(before, after)
    if difference.is_empty:
        raise Conflict("the source says nothing that the catalogue does not have already")
    told = difference.to_json()
    for key in ("changed", "added", "removed"):
        told[f"{key}_altogether"] = len(told[key])
        told[key] = list(told[key][:SHOWN])
    refresh = CatalogueRefresh(
        connector=connector,
        document=document,
        difference=told,
        affected=_affected(before, after),
        base_digest=before.digest,
        digest=_digest(document, told),
        requester_id=by.id,
        requester_name=by.name,
    )
    with change(by, Permission.CATALOGUE_REFRESH, on=AsTenant(current_tenant_id())) as facts:
        waiting = CatalogueRefresh.objects.filter(connector=connector, state=State.OPEN)
        facts["replaced"] = waiting.update(state=State.REPLACED, decided_at=timezone.now())
        refresh.save(force_insert=True)
        facts.about = refresh
        facts.update(step="proposed", canary=found.canary, **_named(refresh))
    return refresh


def accept_refresh(refresh: CatalogueRefresh, digest: str, *, by: Actor) -> None:
    """Let a refresh into the tenant's catalogue. digest: of what was read.

    Raises Denied, also for whoever asked for it; Conflict when it was decided before, when this is
    not what was read, or when the catalogue has changed since.
    """
    with change(by, Permission.CATALOGUE_APPROVE, on=refresh) as facts:
        locked = _open(refresh)
        if digest != locked.digest or digest != _digest(locked.document, locked.difference):
            raise Conflict("this is not the refresh that you read")
        if locked.base_digest != places.catalogue().digest:
            raise Conflict("the catalogue has changed since; read the source again")
        _decide(locked, State.ACCEPTED, by)
        facts.update(step="accepted", **_named(locked))
    places.forget_own_catalogue()


def reject_refresh(refresh: CatalogueRefresh, why: str, *, by: Actor) -> None:
    """Leave the catalogue as it is. Raises Denied; BadRequest without a reason; Conflict."""
    reason = _said({"why": why}, "why")
    with change(by, Permission.CATALOGUE_APPROVE, on=refresh) as facts:
        locked = _open(refresh)
        _decide(locked, State.REJECTED, by)
        facts.update(step="rejected", why=reason, **_named(locked))


def _open(refresh: CatalogueRefresh) -> CatalogueRefresh:
    locked: CatalogueRefresh = CatalogueRefresh.objects.select_for_update(of=("self",)).get(
        pk=refresh.pk
    )
    if locked.state != State.OPEN:
        raise Conflict(f"this refresh is {locked.state} already")
    return locked


def _decide(refresh: CatalogueRefresh, state: str, by: Actor) -> None:
    refresh.state, refresh.decided_by_name, refresh.decided_at = state, by.name, timezone.now()
    refresh.save(update_fields=["state", "decided_by_name", "decided_at"])


def _named(refresh: CatalogueRefresh) -> dict[str, Any]:
    counts = {
        key: refresh.difference[f"{key}_altogether"] for key in ("changed", "added", "removed")
    }
    return {
        "connector": refresh.connector,
        "digest": refresh.digest,
        "recommendations_affected": len(refresh.affected),
        **counts,
    }


def _digest(document: Any, difference: Any) -> str:
    said = json.dumps([document, difference], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()


def _with_snapshot(connector: str, document: Mapping[str, Any]) -> Catalogue:
    own = places.own_of_tenant()
    snapshots = {**own.snapshots, connector: with_dates(document)}
    return reading.build(places.catalogue_files(), replace(own, snapshots=snapshots))


def _affected(before: Catalogue, after: Catalogue) -> list[dict[str, Any]]:
    """The newest recommendations whose winners would be others with the new facts."""
    today = timezone.now().date()
    found = []
    newest = Recommendation.objects.select_related("task").order_by("-created_at")[:LOOKED_BACK]
    for one in newest:
        try:
            asked = Constraints.parse(one.task.constraints, catalogue=after)
        except BadConstraints:
            continue  # filed under other rules; it cannot be asked again
        old, new = _winners(asked, before, today), _winners(asked, after, today)
        layers = [layer for layer in new if old.get(layer) != new[layer]]
        if layers:
            found.append(
                {
                    "task": str(one.task_id),
                    "title": asked.title,
                    "layers": [
                        {"layer": layer, "before": old.get(layer) or "", "after": new[layer] or ""}
                        for layer in layers
                    ],
                }
            )
    return found


def _winners(asked: Constraints, known: Catalogue, today: dt.date) -> dict[str, str | None]:
    evidence = recommender.retrieve(asked, known, today)
    eliminated = recommender.eliminate(asked, known, evidence, today)
    scored = recommender.score(asked, known, evidence, eliminated)
    return {layer["layer"]: layer["winner"] for layer in scored["layers"]}


def _keep(row: CatalogueEntry, by: Actor) -> CatalogueEntry:
    """Store an entry in place of what stood there."""
    row.author_name = by.name
    with change(by, Permission.CATALOGUE_CHANGE, on=AsTenant(current_tenant_id())) as facts:
        before = CatalogueEntry.objects.filter(
            kind=row.kind, technology=row.technology, attribute=row.attribute
        ).first()
        if before is not None:
            row.pk = before.pk
        row.save(force_insert=before is None)
        facts.about = row
        facts.update(
            kind=row.kind,
            technology=row.technology,
            attribute=row.attribute,
            content=row.content,
            before=before.content if before else None,
        )
    places.forget_own_catalogue()
    return row


def _take_out(about: Mapping[str, str], kind: str, left: Own, by: Actor) -> None:
    """Delete the entries `about` says, of which one has to be of `kind`; `left`: what remains."""
    with change(by, Permission.CATALOGUE_CHANGE, on=AsTenant(current_tenant_id())) as facts:
        rows = CatalogueEntry.objects.filter(**about)
        before = list(rows.values("kind", "attribute", "content"))
        if all(row["kind"] != kind for row in before):
            raise Conflict("this is not an entry of your own; ban a technology that all share")
        _fits(left, "technology")
        rows.delete()
        facts.update(
            kind=kind,
            technology=about["technology"],
            attribute=about.get("attribute", ""),
            content=None,
            before=before,
        )
    places.forget_own_catalogue()


def _lift(technology: str, by: Actor) -> None:
    with change(by, Permission.CATALOGUE_CHANGE, on=AsTenant(current_tenant_id())) as facts:
        rows = CatalogueEntry.objects.filter(
            kind=CatalogueEntry.Kind.STANDARD, technology=technology
        )
        before = rows.first()
        if before is None:
            raise Conflict("there is no standard to lift")
        rows.delete()
        facts.update(kind="standard", technology=technology, content=None, before=before.content)
    places.forget_own_catalogue()


def _entry(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A technology as the catalogue's files have it. Raises BadRequest."""
    errors = {}
    identity = str(fields.get("id", "")).strip()
    if not _ID.fullmatch(identity):
        errors["id"] = "expected 2 to 61 small letters, digits or hyphens, such as house-queue"
    elif identity in places.shared_catalogue().technologies:
        errors["id"] = "is in the shared catalogue already; add facts or a standard to it instead"
    if fields.get("kind") not in KINDS:
        errors["kind"] = f"expected one of {', '.join(KINDS)}"
    known = {layer.id for layer in places.shared_catalogue().layers}
    layers = _listed(fields, "layers")
    if not layers or set(layers) - known:
        errors["layers"] = "choose at least one layer of the catalogue"
    for name in ("name", "source"):
        if not str(fields.get(name, "")).strip():
            errors[name] = "is empty"
        elif len(str(fields[name])) > _TEXT:
            errors[name] = f"is longer than {_TEXT} characters"
    if errors:
        raise BadRequest(errors)
    about = {"source": "own", "locator": str(fields["source"]).strip(), "as_of": _today()}
    return {
        "id": identity,
        "name": str(fields["name"]).strip(),
        "aliases": _listed(fields, "aliases"),
        "layers": layers,
        "kind": fields["kind"],
        "languages": _listed(fields, "languages") or ["any"],
        "skills": [identity],
        "companions": [],
        "facts": {
            "license": {**about, "value": str(fields.get("licence") or "").strip() or "unknown"}
        },
    }


def _fits(own: Own, field: str) -> None:
    """Raise BadRequest when the catalogue would contradict itself with these additions."""
    try:
        reading.build(places.catalogue_files(), own)
    except BadCatalogue as problem:
        raise BadRequest({field: str(problem)}) from problem


def _said(fields: Mapping[str, Any], name: str) -> str:
    text = str(fields.get(name, "")).replace("\0", "").strip()
    if not text:
        raise BadRequest({name: "is empty"})
    if len(text) > _TEXT:
        raise BadRequest({name: f"is longer than {_TEXT} characters"})
    return text


def _listed(fields: Mapping[str, Any], name: str) -> list[str]:
    given = fields.get(name) or ()
    parts = given.split(",") if isinstance(given, str) else given
    return [text[:80] for part in parts if (text := str(part).strip())][:20]


def _typed(text: str) -> str | int | float | bool:
    """A value as a person types it."""
    if text.casefold() in ("yes", "true", "no", "false"):
        return text.casefold() in ("yes", "true")
    if re.fullmatch(r"-?\d{1,15}", text):
        return int(text)
    return float(text) if re.fullmatch(r"-?\d{1,15}\.\d{1,6}", text) else text


def _day(fields: Mapping[str, Any], name: str) -> str:
    text = str(fields.get(name) or "").strip()
    try:
        day = dt.date.fromisoformat(text) if text else timezone.now().date()
    except ValueError as problem:
        raise BadRequest({name: "expected a day such as 2026-11-23"}) from problem
    return day.isoformat()


def _today() -> str:
    return timezone.now().date().isoformat()
