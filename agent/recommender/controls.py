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
    """One table per standard: control, the stack items that speak to it, strength of proof."""
    mapped = mapped_controls(constraints, catalogue, scored)
    blocks = [
        "# Control mapping",
        f"How the stack of “{escaped(constraints.title)}” speaks to the standards. The wording of "
        "each control is ours; read the standard for its own. A mapping is not a certificate.",
        bullets(f"{strength}: {meaning}" for strength, meaning in STRENGTHS.items()),
    ]
    for standard in catalogue.controls["standards"]:
        rows = [
            (
                control["id"],
                control["wording"],
                ", ".join(control["items"]) or "—",
                f"`{control['artifact']}`" if control["artifact"] else "—",
                control["strength"],
            )
            for control in mapped
            if control["standard"] == standard["title"]
        ]
        if not rows:
            continue
        blocks += [
            f"## {standard['title']}",
            table(("Control", "In short", "Stack items", "Artifact", "Evidence"), rows),
        ]
    return document(blocks)


def mapped_controls(
    constraints: Constraints, catalogue: Catalogue, scored: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The controls of the standards asked for (all standards when none is).

    Returns, ready for JSON: [{standard: title, id, wording, items: names of stack items,
    artifact: file name below docs/stack or "", strength: a key of STRENGTHS}].
    """
    winners = {layer["layer"]: layer["winner"] for layer in scored["layers"]}
    mapped = []
    for standard in catalogue.controls["standards"]:
        if constraints.compliance and standard["id"] not in constraints.compliance:
            continue
        for control in standard["controls"]:
            items = list(
                dict.fromkeys(
                    catalogue.technologies[name].name
                    for layer in control["layers"]
                    if (name := winners.get(layer))
                )
            )
            strength = control["strength"]
            if control["layers"] and not items and strength != "proved here":
                # The layers that would speak to it are not part of this request.
                strength = "none"
            mapped.append(
                {
                    "standard": standard["title"],
                    "id": control["id"],
                    "wording": control["wording"],
                    "items": items,
                    "artifact": control["artifact"],
                    "strength": strength,
                }
            )
    return mapped
