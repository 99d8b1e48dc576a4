"""Recommends a technology stack: constraints in, ranked options with their evidence out."""

from agent.recommender.catalogue import BadCatalogue, Catalogue, CatalogueChanged, load
from agent.recommender.constraints import BadConstraints, Constraints
from agent.recommender.controls import mapped_controls
from agent.recommender.elimination import eliminate
from agent.recommender.evidence import retrieve
from agent.recommender.linters import Check, check_files, lint
from agent.recommender.pull_request import pull_request_text
from agent.recommender.rendering import render
from agent.recommender.scoring import score

__all__ = [
    "BadCatalogue",
    "BadConstraints",
    "Catalogue",
    "CatalogueChanged",
    "Check",
    "Constraints",
    "check_files",
    "eliminate",
    "lint",
    "load",
    "mapped_controls",
    "pull_request_text",
    "render",
    "retrieve",
    "score",
]
