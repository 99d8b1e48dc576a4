"""Puts what was found beside what is recommended: passages per layer, and contradictions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.recommender import Catalogue, Constraints
from agent.recommender.brief import AGAINST, mentions

PER_LAYER = 3
EXCERPT = 220  # characters
# A record in one of these states still binds whoever reads it.
IN_FORCE = ("accepted", "approved", "adopted", "decided", "implemented")


@dataclass(frozen=True, slots=True)
class Cited:
    """A passage as the evidence of a request keeps it. line: from 1; status: of a record."""

    path: str
    line: int
    title: str
    kind: str
    status: str
    text: str


# (question, names to look for literally, most) to passages, best first; of what the request may
# read and of nothing else.
Search = Callable[[str, str, int], Sequence[Cited]]


def question_about(
    constraints: Constraints, catalogue: Catalogue, layer_id: str
) -> tuple[str, str]:
    """What to look for when a layer is decided: a question, and names to find literally."""
    layer = catalogue.layer(layer_id)
    running = [
        found.name
        for name in (*constraints.already_run, *constraints.leaving)
        if (found := catalogue.find(name)) is not None and layer_id in found.layers
    ]
    return " ".join([layer.title, layer.decides, *running]), " ".join(running)


def passages_for(
    constraints: Constraints, catalogue: Catalogue, layers: Iterable[str], search: Search
) -> dict[str, list[dict[str, Any]]]:
    """Layer to the passages that speak about it: {path, line, title, kind, status, excerpt}.

    They are evidence to read, for people: nothing here is ever read by the ranking.
    """
    found = {}
    for layer_id in layers:
        question, names = question_about(constraints, catalogue, layer_id)
        rows = search(question, names, PER_LAYER)
        found[layer_id] = [
            {
                "path": row.path,
                "line": row.line,
                "title": row.title,
                "kind": row.kind,
                "status": row.status,
                "excerpt": " ".join(row.text.split())[:EXCERPT],
            }
            for row in rows
        ]
    return found


def contradictions(
    scored: Mapping[str, Any], catalogue: Catalogue, records: Iterable[Cited]
) -> list[dict[str, Any]]:
    """Accepted decision records that chose something else for a layer than is recommended now.

    Rows: {layer, path, line, title, status, chosen, recommended, sentence}. They are shown, and
    change no ranking: a record may be out of date, or be written to mislead.
    """
    found = []
    for record in records:
        if record.kind != "adr" or record.status not in IN_FORCE:
            continue
        title = record.title
        chosen = [
            technology
            for technology, place, _ in mentions(title, catalogue)
            if not AGAINST.search(title[:place].lower())
        ]
        for layer in scored["layers"]:
            decided = [each for each in chosen if layer["layer"] in each.layers]
            winner = layer["winner"]
            if winner is None or not decided or winner in [each.id for each in decided]:
                continue
            names = " and ".join(dict.fromkeys(each.name for each in decided))
            proposed = catalogue.technologies[winner].name
            found.append(
                {
                    "layer": layer["layer"],
                    "path": record.path,
                    "line": record.line,
                    "title": title,
                    "status": record.status,
                    "chosen": [each.id for each in decided],
                    "recommended": winner,
                    "sentence": f"An {record.status} record chose {names}; this recommendation "
                    f"proposes {proposed}. Supersede the record, or name {names} as a must-have.",
                }
            )
    return sorted(found, key=lambda row: (row["layer"], row["path"]))
