"""The matrix from the chosen stack to the controls of the standards asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.recommender.catalogue import Catalogue
from agent.recommender.constraints import Constraints
from agent.recommender.markdown import bullets, document, escaped, table

STRENGTHS = {
    "proved here": "this pull request, or the record of its review, shows it",
    "configuration snapshot": "settings have to be captured before it is shown",
    "organisational upload": "a person has to add the evidence",
    "none": "nothing shows it yet",
}


def control_mapping(
    constraints: Constraints, catalogue: Catalogue, scored: Mapping[str, Any]
) -> bytes:
    """One table per standard: control, what of the stack speaks to it, and how strong the proof is."""
    winners = {layer["layer"]: layer["winner"] for layer in scored["layers"]}
    wanted = constraints.compliance or tuple(
        standard["id"] for standard in catalogue.controls["standards"]
    )
    blocks = [
        "# Control mapping",
        f"How the stack of “{escaped(constraints.title)}” speaks to the standards. The wording of "
        "each control is ours; read the standard for its own. A mapping is not a certificate.",
        bullets(f"{strength}: {meaning}" for strength, meaning in STRENGTHS.items()),
    ]
    for standard in catalogue.controls["standards"]:
        if standard["id"] not in wanted:
            continue
        rows = []
        for control in standard["controls"]:
            items = list(
                dict.fromkeys(
                    catalogue.technologies[name].name
                    for layer in control["layers"]
                    if (name := winners.get(layer))
                )
            )
            artifact = control["artifact"]
            strength = control["strength"]
            if control["layers"] and not items and strength != "proved here":
                # The layers that would speak to it are not part of this request.
                strength = "none"
            rows.append(
                (
                    control["id"],
                    control["wording"],
                    ", ".join(items) or "—",
                    f"`{artifact}`" if artifact else "—",
                    strength,
                )
            )
        blocks += [
            f"## {standard['title']}",
            table(("Control", "In short", "Stack items", "Artifact", "Evidence"), rows),
        ]
    return document(blocks)
