"""The result of a recommendation for machines, laid out so that a diff can be read."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from typing import Any

from agent.recommender.catalogue import Catalogue, Fact
from agent.recommender.constraints import Constraints

FORMAT = "countersign-recommendation/1"
# Options after these are kept as rank with total, to keep the file short enough for a review.
DETAILED_OPTIONS = 3
# The same figure stands beside it as `missing`.
REPEATED_FIGURE = "Unknown share"


def machine_readable(
    constraints: Constraints,
    catalogue: Catalogue,
    scored: Mapping[str, Any],
    *,
    request_id: str,
    requested_by: str,
    today: dt.date,
) -> bytes:
    """The request, what was decided with its figures, and each fact it cites once, as JSON.

    Its shape is schemas/recommendation.schema.json.
    """
    layers = [_layer(layer) for layer in scored["layers"]]
    references = {
        layer: [_picked(row, "source", "locator", "as_of", "text", "facts") for row in rows]
        for layer, rows in scored.get("references", {}).items()
    }
    cited = set(cited_facts([layers, references], catalogue))
    facts = [catalogue.facts[name] for name in sorted(cited)]
    return _laid_out(
        {
            "format": FORMAT,
            "request_id": request_id,
            "requested_by": requested_by,
            "date": today.isoformat(),
            "catalogue": catalogue.digest,
            "constraints": constraints.to_json(),
            "languages": scored["languages"],
            "asked_for": [_picked(row, "capability", "words") for row in scored["asked_for"]],
            "unrecognised": scored["unrecognised"],
            "layers": layers,
            "passages": scored.get("passages", {}),
            "references": references,
            "contradictions": scored.get("contradictions", []),
            "units": {fact.attribute: fact.unit for fact in facts if fact.unit},
            "stale": [fact.id for fact in facts if fact.is_stale(today)],
            "sources": _sources(facts),
        }
    )


def cited_facts(value: Any, catalogue: Catalogue) -> Iterator[str]:
    """Every fact id found anywhere in a step's output."""
    if isinstance(value, str):
        if value in catalogue.facts:
            yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from cited_facts(inner, catalogue)
    elif isinstance(value, list):
        for inner in value:
            yield from cited_facts(inner, catalogue)


def _layer(layer: Mapping[str, Any]) -> dict[str, Any]:
    # Keys are named one by one: a step that was stored in between may have them in another order.
    heaviest = sorted(layer["weights"], key=lambda criterion: -layer["weights"][criterion])
    finding = ("technology", "constraint", "fact", "sentence", "would_score")
    return {
        **_picked(layer, "layer", "title", "winner", "alternatives", "short"),
        "confidence": _picked(
            layer["confidence"], "level", "first", "believed", "margin", "sentence"
        ),
        "weights": _picked(layer["weights"], *heaviest),
        "ignored_priorities": layer["ignored_priorities"],
        # Their facts are those of the winner's criteria.
        "why": [_picked(row, "criterion", "sentence") for row in layer["why"]],
        "against": [_picked(row, "criterion", "sentence") for row in layer["against"]],
        "what_would_change_it": [
            _picked(row, *sorted(row)) for row in layer["what_would_change_it"]
        ],
        "ranked": [_option(row, heaviest) for row in layer["ranked"]],
        "eliminated": [_picked(row, *finding) for row in layer["eliminated"]],
    }


def _picked(row: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: row[key] for key in keys}


def _option(row: Mapping[str, Any], criteria: list[str]) -> dict[str, Any]:
    """One ranked option: all of the winner, the outcome of the alternatives, totals of the rest."""
    short = _picked(row, "technology", "name", "rank", "total", "missing")
    if row["rank"] > DETAILED_OPTIONS:
        return short
    wins = row["rank"] == 1
    dominated = {"dominated_by": row["dominated_by"]} if row["dominated_by"] else {}
    return short | {
        **_picked(row, "first", "top3"),
        **dominated,
        "criteria": {name: _worth(row["criteria"][name], wins) for name in criteria},
        "figures": [
            _without_gaps(_picked(figure, "label", "text", "value", "unit", "facts"))
            for figure in row["figures"]
            if figure["label"] != REPEATED_FIGURE
        ],
        "needs_verification": [
            _picked(finding, "constraint", "fact", *(("sentence",) if wins else ()))
            for finding in row["needs_verification"]
        ],
    }


def _worth(valuation: Mapping[str, Any], wins: bool) -> dict[str, Any]:
    worth = {
        "value": round(valuation["value"], 4),
        "contribution": round(valuation["contribution"], 4),
        "grade": valuation["grade"],
    }
    if valuation["missing"]:
        worth["missing"] = round(valuation["missing"], 4)
    if wins:
        worth["facts"] = valuation["facts"]
        worth["note"] = valuation["note"]
    return _without_gaps(worth)


def _without_gaps(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if value not in (None, "", [])}


def _sources(facts: list[Fact]) -> list[dict[str, Any]]:
    """The facts under what they were read from. A typed unknown stands in place of a value."""
    sources: dict[tuple[str, ...], dict[str, Any]] = {}
    for fact in facts:
        about = {
            "source": fact.source,
            "locator": fact.locator,
            "as_of": fact.as_of.isoformat(),
            "grade": fact.grade,
            "note": fact.note,
        }
        source = sources.setdefault(tuple(about.values()), {**_without_gaps(about), "facts": {}})
        source["facts"][fact.id] = fact.value if fact.state == "known" else fact.state
    return [sources[key] for key in sorted(sources)]


def _laid_out(result: Mapping[str, Any]) -> bytes:
    """JSON with a line for each ranked option, each reason, each fact and each short field."""
    blocks = []
    for key, value in result.items():
        if key == "sources":
            text = _block("[]", [_source(source) for source in value], 1)
        else:
            text = _expanded(value, {"layers": 3}.get(key, 1), 1)
        blocks.append(f"{_compact(key)}: {text}")
    return f"{_block('{}', blocks, 0)}\n".encode()


def _source(source: Mapping[str, Any]) -> str:
    about = {key: value for key, value in source.items() if key != "facts"}
    facts = [f"{_compact(name)}: {_compact(value)}" for name, value in source["facts"].items()]
    return f'{_compact(about)[:-1]}, "facts": {_block("{}", facts, 2)}}}'


def _expanded(value: Any, levels: int, indent: int) -> str:
    """`value` with its outer levels on lines of their own; what holds plain values stays on one."""
    nests = isinstance(value, dict | list) and any(
        isinstance(inner, dict | list)
        for inner in (value.values() if isinstance(value, dict) else value)
    )
    if not levels or not nests:
        return _compact(value)
    if isinstance(value, list):
        return _block("[]", [_expanded(row, levels - 1, indent + 1) for row in value], indent)
    lines = [
        f"{_compact(key)}: {_expanded(inner, levels - 1, indent + 1)}"
        for key, inner in value.items()
    ]
    return _block("{}", lines, indent)


def _block(brackets: str, lines: list[str], indent: int) -> str:
    if not lines:
        return brackets
    margin = " " * (indent + 1)
    inside = ",\n".join(margin + line for line in lines)
    return f"{brackets[0]}\n{inside}\n{margin[1:]}{brackets[1]}"


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
