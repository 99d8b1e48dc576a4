"""One decision record per layer, in the shape of MADR 4."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from typing import Any

from agent.recommender.catalogue import Catalogue
from agent.recommender.constraints import Constraints
from agent.recommender.markdown import bullets, document, escaped, fact_ids, table

GOOD, BAD = 0.65, 0.4
DRIVERS = 5


def adr_path(layer_id: str, today: dt.date) -> str:
    """Where the record of a layer is kept in the customer's repository."""
    return f"docs/adr/{today:%Y%m%d}-{layer_id}.md"


def adr(
    constraints: Constraints,
    catalogue: Catalogue,
    layer: Mapping[str, Any],
    *,
    request_id: str,
    requested_by: str,
    today: dt.date,
) -> bytes:
    """The record of one layer's decision, as Markdown with front matter."""
    rows = {row["technology"]: row for row in layer["ranked"]}
    shown = [rows[name] for name in [layer["winner"], *layer["alternatives"]] if name]
    return document(
        [
            "---\nstatus: proposed\n"
            f"date: {today.isoformat()}\n"
            f"decision-makers: {json.dumps([requested_by])}\n---",
            f"# {_title(layer, rows)}",
            "## Context and Problem Statement",
            f"{layer['decides']} The request “{escaped(constraints.title)}” needs an answer for "
            f"the layer “{layer['title']}”.",
            f"In its own words: {escaped(constraints.building)}" if constraints.building else "",
            "## Decision Drivers",
            bullets(_drivers(catalogue, layer)),
            "## Considered Options",
            bullets(
                [row["name"] for row in shown]
                or ["None: every option was ruled out, see below"]
            ),
            _ruled_out(catalogue, layer),
            "## Decision Outcome",
            *_outcome(layer, rows),
            "## Pros and Cons of the Options",
            *(block for row in shown for block in _option(catalogue, row)),
            "## More Information",
            bullets(
                [
                    "Every option with its score: [options](../stack/options.md)",
                    "Tests to write first: [test plan](../stack/test-plan.md)",
                    "The way back: [rollback](../stack/rollback.md)",
                    "Sources of every fact id: "
                    "[recommendation.json](../stack/recommendation.json)",
                    f"Request {request_id}, catalogue {catalogue.digest[:12]}",
                ]
            ),
        ]
    )


def _title(layer: Mapping[str, Any], rows: Mapping[str, Any]) -> str:
    if layer["winner"] is None:
        return f"Leave “{layer['title']}” open"
    return f"Use {rows[layer['winner']]['name']} for “{layer['title']}”"


def _drivers(catalogue: Catalogue, layer: Mapping[str, Any]) -> list[str]:
    heaviest = sorted(layer["weights"], key=lambda criterion: -layer["weights"][criterion])
    return [
        f"{catalogue.criteria[criterion].title} ({layer['weights'][criterion]:.0%}): "
        f"{catalogue.criteria[criterion].question}"
        for criterion in heaviest[:DRIVERS]
    ]


def _ruled_out(catalogue: Catalogue, layer: Mapping[str, Any]) -> str:
    if not layer["eliminated"]:
        return ""
    names = dict.fromkeys(
        catalogue.technologies[row["technology"]].name for row in layer["eliminated"]
    )
    return (
        f"Ruled out, with constraint and fact in [options](../stack/options.md): "
        f"{', '.join(names)}."
    )


def _outcome(layer: Mapping[str, Any], rows: Mapping[str, Any]) -> list[str]:
    if layer["winner"] is None:
        return [f"No option is left. {layer['short']}", "### Consequences", "Relax a constraint."]
    name = rows[layer["winner"]]["name"]
    to_verify = rows[layer["winner"]]["needs_verification"]
    consequences = [f"Good, because {_because(row)}" for row in layer["why"]]
    consequences += [f"Bad, because {_because(row)}" for row in layer["against"]]
    consequences += [
        f"Neutral, because it has to be verified: {row['sentence']} (`{row['fact']}`)"
        for row in to_verify[:4]
    ]
    return [
        f"Chosen option: “{name}”. {layer['confidence']['sentence']}"
        + (f" {layer['short']}" if layer["short"] else ""),
        "### Consequences",
        bullets(consequences or ["Neutral, because nothing sets the options apart"]),
        "### What would change it",
        bullets(
            [row["sentence"] for row in layer["what_would_change_it"]]
            or ["No change of a single weight would"]
        ),
    ]


def _because(row: Mapping[str, Any]) -> str:
    ids = fact_ids(row["facts"][:3])
    return row["sentence"] + (f" ({ids})" if ids else "")


def _option(catalogue: Catalogue, row: Mapping[str, Any]) -> list[str]:
    worth = row["criteria"]
    good = [key for key in worth if worth[key]["value"] >= GOOD and worth[key]["missing"] < 1]
    bad = [key for key in worth if worth[key]["value"] <= BAD and worth[key]["missing"] < 1]
    unknown = [key for key in worth if worth[key]["missing"] >= 1]

    def listed(criteria: list[str]) -> str:
        return ", ".join(
            f"{catalogue.criteria[key].title.lower()} {worth[key]['value'] * 100:.0f}"
            for key in criteria
        )

    lines = [
        f"Good: {listed(good)}" if good else "",
        f"Bad: {listed(bad)}" if bad else "",
        f"Unknown: {', '.join(catalogue.criteria[key].title.lower() for key in unknown)}"
        if unknown
        else "",
    ]
    return [
        f"### {row['name']}",
        f"Score {row['total'] * 100:.1f} of 100"
        + (
            f"; {catalogue.technologies[row['dominated_by']].name} is at least as good on every "
            "criterion."
            if row["dominated_by"]
            else "."
        ),
        bullets(line for line in lines if line),
        table(
            ("Figure", "Value", "Facts"),
            (
                (figure["label"], figure["text"], fact_ids(figure["facts"]))
                for figure in row["figures"]
            ),
        ),
    ]
