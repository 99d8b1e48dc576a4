"""Recommends a technology stack: constraints in, ranked options with their evidence out.

Only what a page needs is imported here. Writing documents and checking them loads libraries that
take a second to import; whoever does that names the module: `rendering`, `linters`.
"""

from agent.recommender.catalogue import BadCatalogue, Catalogue, CatalogueChanged
from agent.recommender.constraints import BadConstraints, Constraints
from agent.recommender.controls import mapped_controls
from agent.recommender.elimination import eliminate
from agent.recommender.evidence import retrieve
from agent.recommender.reading import load
from agent.recommender.scoring import Prepared, prepare, score, weighed

__all__ = [
    "BadCatalogue",
    "BadConstraints",
    "Catalogue",
    "CatalogueChanged",
    "Constraints",
    "Prepared",
    "eliminate",
    "load",
    "mapped_controls",
    "prepare",
    "retrieve",
    "score",
    "weighed",
]
