"""The rollback note: how each choice is taken back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.recommender.catalogue import Catalogue
from agent.recommender.constraints import Constraints
from agent.recommender.markdown import bullets, document, escaped, table


def rollback_note(
    constraints: Constraints, catalogue: Catalogue, scored: Mapping[str, Any]
) -> bytes:
    """What to do when a layer's choice has to go, with the option to fall back to."""
    rows = []
    for layer in scored["layers"]:
        if layer["winner"] is None:
            continue
        fallback = layer["alternatives"][0] if layer["alternatives"] else None
        rows.append(
            (
                layer["title"],
                catalogue.technologies[layer["winner"]].name,
                catalogue.layer(layer["layer"]).rollback,
                catalogue.technologies[fallback].name if fallback else "—",
            )
        )
    return document(
        [
            "# Rollback note",
            f"For “{escaped(constraints.title)}”. This pull request adds documents only; reverting "
            "it changes no running system. What follows is for the day a choice is in use.",
            "## This pull request",
            bullets(
                [
                    "Revert the merge commit; the records return to their state before.",
                    "A record that was accepted is not deleted: set its status to “superseded”.",
                ]
            ),
            "## Per layer",
            table(("Layer", "Choice", "Way back", "Fall back to"), rows),
        ]
    )
