"""One catalogue for all tests of the recommender, with the steps run in order."""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent.recommender import Catalogue, Constraints, eliminate, load, retrieve, score
from agent.recommender.rendering import render

ROOT = Path(__file__).resolve().parents[3]
TODAY = dt.date(2026, 11, 23)
REQUEST_ID = "0190f3a2-0000-7000-8000-00000000ada0"


@dataclass(frozen=True)
class Recommendation:
    """Every step of one request."""

    constraints: Constraints
    evidence: dict[str, Any]
    eliminated: dict[str, Any]
    scored: dict[str, Any]

    def layer(self, layer_id: str) -> dict[str, Any]:
        return next(layer for layer in self.scored["layers"] if layer["layer"] == layer_id)


@pytest.fixture(scope="session")
def folder() -> Path:
    return ROOT / "schemas" / "catalog"


@pytest.fixture(scope="session")
def catalogue(folder: Path) -> Catalogue:
    return load(folder)


@pytest.fixture(scope="session")
def recommend(catalogue: Catalogue) -> Callable[..., Recommendation]:
    def run(
        constraints: Constraints | Mapping[str, Any],
        today: dt.date = TODAY,
        known: Catalogue = catalogue,
    ) -> Recommendation:
        asked = (
            constraints
            if isinstance(constraints, Constraints)
            else Constraints.parse({"title": "Portal", **constraints}, catalogue=known)
        )
        evidence = retrieve(asked, known, today)
        eliminated = eliminate(asked, known, evidence, today)
        return Recommendation(
            asked, evidence, eliminated, score(asked, known, evidence, eliminated)
        )

    return run


@pytest.fixture(scope="session")
def first_example(catalogue: Catalogue, recommend: Callable[..., Recommendation]) -> Recommendation:
    """The request of the product requirements."""
    return recommend(catalogue.examples[0])


@pytest.fixture(scope="session")
def files(catalogue: Catalogue, first_example: Recommendation) -> dict[str, bytes]:
    return render(
        first_example.constraints,
        catalogue,
        first_example.scored,
        request_id=REQUEST_ID,
        requested_by="Ada Lovelace",
        today=TODAY,
    )
