"""Looks at recommendations again: with other weights, side by side, on a radar, as facts change."""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from agent import recommender
from agent.models import Proposal
from agent.places import Held, catalogue
from agent.recommender import Catalogue, Constraints, Prepared
from agent.recommender.figures import ADVISORIES
from agent.recommender.licences import restriction

# Weeks before support of what was chosen ends in which somebody should look at it.
END_NEAR = dt.timedelta(days=180)
RINGS = (
    ("adopt", "Adopt", "chosen in a countersigned proposal, or approved by your own standard"),
    ("trial", "Trial", "chosen in a proposal that waits for a person"),
    ("assess", "Assess", "an alternative in a proposal"),
    ("hold", "Hold", "to be retired or banned by your own standard"),
)
QUADRANTS = (
    ("languages", "Languages and frameworks", ("language", "framework", "library")),
    ("platforms", "Platforms and services", ("platform", "service")),
    ("servers", "Servers and data", ("server",)),
    ("tools", "Tools and ways of working", ("tool", "approach")),
)


@dataclass(frozen=True, slots=True)
class Blip:
    """One technology on the radar. layers: titles; why: what put it into its ring."""

    technology: str
    name: str
    ring: str
    quadrant: str
    layers: tuple[str, ...]
    why: str
    since: dt.datetime


@dataclass(frozen=True, slots=True)
class Drift:
    """Something about a countersigned choice that is no longer as it was. fact: its id."""

    layer: str
    technology: str
    kind: str  # end of life, licence, advisories, banned
    fact: str
    sentence: str


def reweighed(
    constraints: Constraints, stated: Mapping[str, float] | None, today: dt.date
) -> dict[str, Any]:
    """The ranking of a request with other weights, and with today's facts. Nothing is kept."""
    known = catalogue()
    prepared = _prepared(constraints, known.digest, today, Held(known))
    return recommender.weighed(prepared, stated=stated)


@lru_cache(maxsize=4)  # some 3 MB each; somebody moves the weights of one request for a while
def _prepared(
    constraints: Constraints, digest: str, today: dt.date, held: Held[Catalogue]
) -> Prepared:
    evidence = recommender.retrieve(constraints, held.value, today)
    sieved = recommender.eliminate(constraints, held.value, evidence, today)
    return recommender.prepare(constraints, held.value, evidence, sieved)


def side_by_side(
    one: Mapping[str, Any], other: Mapping[str, Any], known: Catalogue
) -> list[dict[str, Any]]:
    """Layer by layer what two results chose.

    Rows: {title, one, other: name or "", same, why_one, why_other: first reason of each}.
    """
    rows = []
    left = {layer["layer"]: layer for layer in one["layers"]}
    right = {layer["layer"]: layer for layer in other["layers"]}
    for layer_id in dict.fromkeys([*left, *right]):
        pair = (left.get(layer_id), right.get(layer_id))
        title = next(each["title"] for each in pair if each)
        names = [name_of(known, each["winner"]) if each else "not asked" for each in pair]
        rows.append(
            {
                "title": title,
                "one": names[0],
                "other": names[1],
                "same": names[0] == names[1],
                "why_one": _first_reason(pair[0]),
                "why_other": _first_reason(pair[1]),
            }
        )
    return rows


def changed_constraints(one: Constraints, other: Constraints) -> list[tuple[str, str, str]]:
    """(field, value in one, value in the other) where two requests differ."""
    left, right = one.to_json(), other.to_json()
    return [
        (name, _shown(left[name]), _shown(right[name]))
        for name in left
        if left[name] != right[name]
    ]


def radar(proposals: Iterable[Proposal], known: Catalogue) -> list[Blip]:
    """Every technology of the proposals in its strongest ring, by name.

    proposals: those that the reader may see, with their task's recommendation.
    """
    order = [ring for ring, _, _ in RINGS]
    found: dict[str, Blip] = {}

    def place(name: str, ring: str, layer: str, why: str, since: dt.datetime) -> None:
        technology = known.technologies.get(name)
        if technology is None:
            return
        before = found.get(name)
        layers = dict.fromkeys([*(before.layers if before else ()), layer])
        if before is not None and order.index(before.ring) <= order.index(ring):
            ring, why, since = before.ring, before.why, before.since
        found[name] = Blip(
            name, technology.name, ring, _quadrant(technology.kind), tuple(layers), why, since
        )

    for proposal in proposals:
        if proposal.state == Proposal.State.REJECTED:
            continue
        signed = proposal.state in Proposal.SIGNED
        for layer in proposal.task.recommendation.result["layers"]:
            if layer["winner"]:
                ring = "adopt" if signed else "trial"
                place(layer["winner"], ring, layer["title"], proposal.title, proposal.created_at)
            for name in layer["alternatives"]:
                place(name, "assess", layer["title"], proposal.title, proposal.created_at)
    for name, standard in known.standards.items():
        before = found.pop(name, None)
        ring = "adopt" if standard.verdict == "approved" else "hold"
        if name in known.technologies:
            technology = known.technologies[name]
            found[name] = Blip(
                name,
                technology.name,
                ring,
                _quadrant(technology.kind),
                before.layers if before else tuple(known.layer(x).title for x in technology.layers),
                f"Your own standard: {standard.reason}",
                before.since if before else dt.datetime.now(dt.UTC),
            )
    return sorted(found.values(), key=lambda blip: (order.index(blip.ring), blip.name.lower()))


def backstage(blips: Iterable[Blip]) -> dict[str, Any]:
    """The radar in the format of Backstage's tech-radar plugin."""
    return {
        "title": "Technology radar",
        "quadrants": [{"id": key, "name": name} for key, name, _ in QUADRANTS],
        "rings": [
            {"id": key, "name": name, "description": why, "color": colour}
            for (key, name, why), colour in zip(
                RINGS, ("#2fb344", "#4299e1", "#f59f00", "#d63939"), strict=True
            )
        ],
        "entries": [
            {
                "key": blip.technology,
                "id": blip.technology,
                "title": blip.name,
                "quadrant": blip.quadrant,
                "description": f"{', '.join(blip.layers)}. {blip.why}",
                "links": [],
                "timeline": [
                    {
                        "date": blip.since.date().isoformat(),
                        "ringId": blip.ring,
                        "description": blip.why,
                        "moved": 0,
                    }
                ],
            }
            for blip in blips
        ],
    }


def drift(
    result: Mapping[str, Any], signed: dt.date, known: Catalogue, today: dt.date
) -> list[Drift]:
    """What about the choices of a countersigned result is no longer as it was.

    signed: when it was asked for. Unknown facts are no finding: nothing is known to have changed.
    """
    found = []
    for layer in result["layers"]:
        technology = known.technologies.get(layer["winner"] or "")
        if technology is None:
            continue
        standard = known.standards.get(technology.id)
        if standard is not None and standard.verdict != "approved":
            words = standard.verdict.replace("_", " ")
            found.append(
                Drift(
                    layer["layer"],
                    technology.id,
                    "standard",
                    technology.facts["name"].id,
                    f"{technology.name} is {words} by your own standard: {standard.reason}",
                )
            )
        end = technology.facts["latest_cycle_eol"]
        if end.state == "known" and dt.date.fromisoformat(str(end.value)) <= today + END_NEAR:
            last = dt.date.fromisoformat(str(end.value))
            word = "ended" if last < today else "ends"
            found.append(
                Drift(
                    layer["layer"],
                    technology.id,
                    "end of life",
                    end.id,
                    f"Support of the latest release line of {technology.name} {word} on {last}.",
                )
            )
        for attribute, kind in (("license", "licence"), (ADVISORIES, "advisories")):
            fact = technology.facts.get(attribute)
            if fact is None or fact.state != "known" or fact.as_of <= signed:
                continue
            was = _known_then(layer, fact.id)
            if was is not None and was != str(fact.value) and _worse(kind, was, fact.value, known):
                found.append(
                    Drift(
                        layer["layer"],
                        technology.id,
                        kind,
                        fact.id,
                        f"{fact.label} of {technology.name} was {was} when this was signed; it is "
                        f"{fact.shown()} as of {fact.as_of}.",
                    )
                )
    return found


def watch(
    proposals: Iterable[Proposal], known: Catalogue, today: dt.date
) -> list[tuple[Proposal, list[Drift]]]:
    """Those of `proposals` that were countersigned and have drifted since, in their order."""
    rows = (
        (
            proposal,
            drift(proposal.task.recommendation.result, proposal.created_at.date(), known, today),
        )
        for proposal in proposals
        if proposal.state in Proposal.SIGNED
    )
    return [(proposal, found) for proposal, found in rows if found]


def _known_then(layer: Mapping[str, Any], fact_id: str) -> str | None:
    """What a fact said in a stored result, if the result quotes it."""
    value = layer.get("facts_then", {}).get(fact_id)
    return None if value is None else str(value)


def _worse(kind: str, was: str, now: Any, known: Catalogue) -> bool:
    if kind == "licence":
        return restriction(str(now), known.licence_classes) != restriction(
            was, known.licence_classes
        )
    return isinstance(now, int) and was.isdecimal() and now > int(was)


def name_of(known: Catalogue, technology: str | None) -> str:
    """What people call a technology, also one that has left the catalogue."""
    if technology is None:
        return "left open"
    return known.technologies[technology].name if technology in known.technologies else technology


def _first_reason(layer: Mapping[str, Any] | None) -> str:
    return layer["why"][0]["sentence"] if layer and layer.get("why") else ""


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "–"
    return "–" if value in (None, "") else str(value)


def _quadrant(kind: str) -> str:
    return next(key for key, _, kinds in QUADRANTS if kind in kinds)
