"""The page that ranks every option of every layer, with what each trades off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.recommender.catalogue import Catalogue
from agent.recommender.constraints import Constraints
from agent.recommender.figures import risk_sentence
from agent.recommender.markdown import bullets, document, escaped, fact_ids, table


def ranked_options(
    constraints: Constraints, catalogue: Catalogue, scored: Mapping[str, Any]
) -> bytes:
    """Ranked options with latency, cost and risk, then what was ruled out, layer by layer."""
    return document(
        [
            "# Options ranked with their trade-offs",
            f"For “{escaped(constraints.title)}”. Scores run from 0 to 100; weights are "
            "rank-order centroids of the ranked priorities; anchors are fixed, so an option's "
            "score does not depend on the others.",
            bullets(f"Grade {grade}: {words}" for grade, words in catalogue.grades.items()),
            *(block for layer in scored["layers"] for block in _layer(catalogue, layer)),
        ]
    )


def _layer(catalogue: Catalogue, layer: Mapping[str, Any]) -> list[str]:
    blocks = [
        f"## {layer['title']}",
        f"{layer['confidence']['sentence']} {layer['short'] or ''}".strip(),
    ]
    if layer["ranked"]:
        blocks.append(
            table(
                ("Rank", "Option", "Score", "Latency", "Cost", "Risk", "Facts"),
                (_row(row) for row in layer["ranked"]),
            )
        )
    if layer["eliminated"]:
        blocks.append(
            table(
                ("Ruled out", "Constraint", "Why", "Facts"),
                (
                    (
                        catalogue.technologies[row["technology"]].name,
                        f"`{row['constraint']}`",
                        row["sentence"],
                        fact_ids([row["fact"]]),
                    )
                    for row in layer["eliminated"]
                ),
            )
        )
    if layer["what_would_change_it"]:
        blocks.append(
            "What would change it: "
            + " ".join(row["sentence"] for row in layer["what_would_change_it"])
        )
    return blocks


def _row(row: Mapping[str, Any]) -> tuple[str, ...]:
    figures = {figure["label"]: figure for figure in row["figures"]}
    facts = [fact for figure in row["figures"] for fact in figure["facts"]]
    mark = " (dominated)" if row["dominated_by"] else ""
    return (
        str(row["rank"]),
        row["name"] + mark,
        f"{row['total'] * 100:.1f}",
        figures["Latency"]["text"],
        figures["Cost"]["text"],
        risk_sentence(row["figures"]),
        fact_ids(facts),
    )
