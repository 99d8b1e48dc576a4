"""The last step: a scored request as the files of a pull request."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from typing import Any

from agent.recommender.adr import adr, adr_path
from agent.recommender.bill import bill_for_machines, bill_of_materials
from agent.recommender.catalogue import Catalogue, Fact
from agent.recommender.constraints import Constraints
from agent.recommender.controls import control_mapping
from agent.recommender.evidence import check_same_catalogue
from agent.recommender.options import ranked_options
from agent.recommender.proofs import red_tests_first
from agent.recommender.rollback import rollback_note

FORMAT = "countersign-recommendation/1"
STACK = "docs/stack"
# Options after these are kept as rank and score only, to keep the file readable.
DETAILED_OPTIONS = 3


def render(
    constraints: Constraints,
    catalogue: Catalogue,
    scored: dict[str, Any],
    *,
    request_id: str,
    requested_by: str,
    today: dt.date,
) -> dict[str, bytes]:
    """Every file of the pull request, path to bytes.

    The same arguments always give the same bytes. Raises CatalogueChanged when `scored` is of
    another catalogue.
    """
    check_same_catalogue(scored, catalogue)
    files = {
        adr_path(layer["layer"], today): adr(
            constraints,
            catalogue,
            layer,
            request_id=request_id,
            requested_by=requested_by,
            today=today,
        )
        for layer in scored["layers"]
    }
    files |= {
        f"{STACK}/bom.md": bill_of_materials(constraints, catalogue, scored, today),
        f"{STACK}/bom.cdx.json": bill_for_machines(
            constraints, catalogue, scored, request_id=request_id, today=today
        ),
        f"{STACK}/control-mapping.md": control_mapping(constraints, catalogue, scored),
        f"{STACK}/test-plan.md": red_tests_first(constraints, catalogue, scored),
        f"{STACK}/rollback.md": rollback_note(constraints, catalogue, scored),
        f"{STACK}/options.md": ranked_options(constraints, catalogue, scored),
        f"{STACK}/recommendation.json": _machine_readable(
            constraints, catalogue, scored, request_id, requested_by, today
        ),
    }
    return dict(sorted(files.items()))


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


def _machine_readable(
    constraints: Constraints,
    catalogue: Catalogue,
    scored: Mapping[str, Any],
    request_id: str,
    requested_by: str,
    today: dt.date,
) -> bytes:
    layers = []
    for layer in scored["layers"]:
        ranked = [
            row
            if row["rank"] <= DETAILED_OPTIONS
            else {key: row[key] for key in ("technology", "name", "rank", "total", "missing")}
            for row in layer["ranked"]
        ]
        layers.append({**layer, "ranked": ranked})
    result = {
        "format": FORMAT,
        "request_id": request_id,
        "requested_by": requested_by,
        "date": today.isoformat(),
        "catalogue": catalogue.digest,
        "constraints": constraints.to_json(),
        "languages": scored["languages"],
        "asked_for": scored["asked_for"],
        "unrecognised": scored["unrecognised"],
        "layers": layers,
    }
    ids = sorted(set(cited_facts(layers, catalogue)))
    result["facts"] = {fact: _fact(catalogue.facts[fact], today) for fact in ids}
    return _line_by_line(result)


def _line_by_line(result: Mapping[str, Any]) -> bytes:
    """JSON with one line per layer and per fact, so that a diff shows what changed."""

    def compact(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, sort_keys=True)

    blocks = []
    for key, value in result.items():
        if key == "layers":
            text = "[\n" + ",\n".join(f"  {compact(layer)}" for layer in value) + "\n ]"
        elif key == "facts":
            rows = (f"  {compact(fact)}: {compact(about)}" for fact, about in value.items())
            text = "{\n" + ",\n".join(rows) + "\n }"
        else:
            text = compact(value)
        blocks.append(f" {compact(key)}: {text}")
    return ("{\n" + ",\n".join(blocks) + "\n}\n").encode()


def _fact(fact: Fact, today: dt.date) -> dict[str, Any]:
    return {
        "label": fact.label,
        "value": fact.value,
        "state": fact.state,
        "unit": fact.unit,
        "source": fact.source,
        "locator": fact.locator,
        "as_of": fact.as_of.isoformat(),
        "grade": fact.grade,
        "note": fact.note,
        "stale": fact.is_stale(today),
    }
