"""The last step: a scored request as the files of a pull request."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from agent.recommender.adr import adr, adr_path
from agent.recommender.bill import bill_for_machines, bill_of_materials
from agent.recommender.catalogue import Catalogue
from agent.recommender.constraints import Constraints
from agent.recommender.controls import control_mapping
from agent.recommender.evidence import check_same_catalogue
from agent.recommender.machine_readable import machine_readable
from agent.recommender.options import ranked_options
from agent.recommender.proofs import red_tests_first
from agent.recommender.rollback import rollback_note

STACK = "docs/stack"
_NOTHING: Mapping[str, Sequence[str]] = MappingProxyType({})


def render(
    constraints: Constraints,
    catalogue: Catalogue,
    scored: dict[str, Any],
    *,
    request_id: str,
    requested_by: str,
    today: dt.date,
    supersedes: Mapping[str, Sequence[str]] = _NOTHING,
) -> dict[str, bytes]:
    """Every file of the pull request, path to bytes.

    supersedes: layer to the paths of its earlier records.

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
            passages=scored.get("passages", {}).get(layer["layer"], ()),
            references=scored.get("references", {}).get(layer["layer"], ()),
            against=[
                row for row in scored.get("contradictions", ()) if row["layer"] == layer["layer"]
            ],
            supersedes=supersedes.get(layer["layer"], ()),
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
        f"{STACK}/recommendation.json": machine_readable(
            constraints,
            catalogue,
            scored,
            request_id=request_id,
            requested_by=requested_by,
            today=today,
        ),
    }
    return dict(sorted(files.items()))
