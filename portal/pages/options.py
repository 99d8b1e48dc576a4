"""What the options tab shows: every layer in a line, one layer in full with its sources."""

from dataclasses import dataclass, field
from typing import Any

from agent.recommender import Catalogue
from portal.pages.forms import LABELS


@dataclass
class Footnotes:
    """Numbers the facts of a page in the order in which they are named."""

    catalogue: Catalogue
    numbers: dict[str, int] = field(default_factory=dict)

    def marks(self, facts: list[str]) -> list[dict[str, Any]]:
        """The numbers of `facts`, for links beside a figure."""
        return [
            {"number": self.numbers.setdefault(fact, len(self.numbers) + 1), "id": fact}
            for fact in facts
        ]

    def rows(self) -> list[dict[str, Any]]:
        """Every fact that got a number, with what is known about it today."""
        return [
            {"number": number, "id": fact, "fact": self.catalogue.facts.get(fact)}
            for fact, number in self.numbers.items()
        ]


def overview(result: dict[str, Any]) -> list[dict[str, Any]]:
    """One line a layer: winner, alternatives, how sure, what fell out, what to verify."""
    rows = []
    for layer in result["layers"]:
        names = {row["technology"]: row["name"] for row in layer["ranked"]}
        winner = layer["ranked"][0] if layer["ranked"] else None
        rows.append(
            {
                "id": layer["layer"],
                "title": layer["title"],
                "winner": winner["name"] if winner else None,
                "points": winner["total"] * 100 if winner else None,
                "alternatives": [names[name] for name in layer["alternatives"]],
                "confidence": layer["confidence"],
                "out": len({row["technology"] for row in layer["eliminated"]}),
                "verify": len(winner["needs_verification"]) if winner else 0,
            }
        )
    return rows


def layer_in_full(layer: dict[str, Any], catalogue: Catalogue) -> dict[str, Any]:
    """Everything about one layer. layer: one of score()'s layers."""
    notes = Footnotes(catalogue)
    shown = [
        {**row, "points": row["total"] * 100}
        for row in layer["ranked"][: 1 + len(layer["alternatives"])]
    ]
    names = {row["technology"]: row["name"] for row in layer["ranked"]}
    criteria = sorted(layer["weights"], key=lambda name: -layer["weights"][name])
    # In the order of the page, so that the footnotes count upwards.
    why = [{**row, "marks": notes.marks(row["facts"])} for row in layer["why"]]
    against = [{**row, "marks": notes.marks(row["facts"])} for row in layer["against"]]
    return {
        **layer,
        "shown": shown,
        "why": why,
        "against": against,
        "criteria": [
            {
                "title": _title(catalogue, name),
                "weight": layer["weights"][name] * 100,
                "cells": [_cell(row["criteria"][name], notes) for row in shown],
            }
            for name in criteria
        ],
        "figures": _figures(shown, notes),
        "verify": [
            {**finding, "marks": notes.marks([finding["fact"]])}
            for row in shown
            for finding in row["needs_verification"]
        ],
        "rest": [
            {**row, "points": row["total"] * 100, "behind": names.get(row["dominated_by"])}
            for row in layer["ranked"][len(shown) :]
        ],
        "eliminated": [
            {
                **row,
                "name": catalogue.technologies[row["technology"]].name
                if row["technology"] in catalogue.technologies
                else row["technology"],
                "constraint": LABELS.get(row["constraint"], row["constraint"]),
                "points": row["would_score"] * 100,
                "marks": notes.marks([row["fact"]]),
            }
            for row in layer["eliminated"]
        ],
        "ignored": [_title(catalogue, name) for name in layer["ignored_priorities"]],
        "chart": _chart(shown, criteria, layer["weights"], catalogue),
        "facts": notes.rows(),
    }


def _figures(shown: list[dict[str, Any]], notes: Footnotes) -> list[dict[str, Any]]:
    """Latency, cost, risk: a row for each, a cell for each option."""
    return [
        {
            "label": figure["label"],
            "cells": [
                {
                    "text": row["figures"][place]["text"],
                    "marks": notes.marks(row["figures"][place]["facts"]),
                }
                for row in shown
            ],
        }
        for place, figure in enumerate(shown[0]["figures"] if shown else [])
    ]


def _cell(valuation: dict[str, Any], notes: Footnotes) -> dict[str, Any]:
    return {
        "value": valuation["value"] * 100,
        "unknown": valuation["missing"] >= 1,
        "partly_unknown": valuation["missing"] * 100 if 0 < valuation["missing"] < 1 else 0,
        "note": valuation["note"],
        "grade": valuation["grade"],
        "marks": notes.marks(valuation["facts"]),
    }


def _chart(
    shown: list[dict[str, Any]],
    criteria: list[str],
    weights: dict[str, float],
    catalogue: Catalogue,
) -> dict[str, Any]:
    """For tradeoffs.js. An unknown is null, so that no bar claims to be a figure."""
    return {
        "criteria": [f"{_title(catalogue, name)} ({weights[name]:.0%})" for name in criteria],
        "options": [
            {
                "name": row["name"],
                "values": [
                    None
                    if row["criteria"][name]["missing"] >= 1
                    else round(row["criteria"][name]["value"] * 100, 1)
                    for name in criteria
                ],
            }
            for row in shown
        ],
    }


def _title(catalogue: Catalogue, criterion: str) -> str:
    known = catalogue.criteria.get(criterion)
    return known.title if known else criterion
