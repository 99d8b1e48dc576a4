"""The test plan: red tests to write before any choice is put in place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.recommender.catalogue import Catalogue
from agent.recommender.constraints import Constraints
from agent.recommender.markdown import document, escaped, fact_ids, table


def red_tests_first(
    constraints: Constraints, catalogue: Catalogue, scored: Mapping[str, Any]
) -> bytes:
    """Concrete test names per layer, in the order to write them, with what each proves."""
    blocks = [
        "# Test plan",
        f"For “{escaped(constraints.title)}”. Write each test first and see it fail (red), make "
        "the smallest change that passes it (green), then tidy up. A layer is adopted when its "
        "tests are green in CI.",
    ]
    for layer in scored["layers"]:
        if layer["winner"] is None:
            continue
        blocks += [
            f"## {layer['title']}: {catalogue.technologies[layer['winner']].name}",
            table(
                ("Red test", "File", "Proves"),
                (
                    (
                        f"`{test.name}`",
                        f"`{test.file}`",
                        _proves(constraints, test.name, test.proves),
                    )
                    for test in catalogue.layer(layer["layer"]).tests
                ),
            ),
        ]
        to_verify = layer["ranked"][0]["needs_verification"]
        if to_verify:
            blocks.append(
                table(
                    ("Verify before adopting", "Constraint", "Facts"),
                    (
                        (row["sentence"], f"`{row['constraint']}`", fact_ids([row["fact"]]))
                        for row in to_verify
                    ),
                )
            )
    return document(blocks)


def _proves(constraints: Constraints, name: str, proves: str) -> str:
    if "latency_budget" not in name:
        return proves
    load = constraints.requests_per_second
    budget = constraints.latency_budget_ms
    wanted = f"{budget:g} ms at the 95th percentile" if budget else "a budget you still have to set"
    return f"{proves}: {wanted}" + (f" under {load:g} requests per second" if load else "")
