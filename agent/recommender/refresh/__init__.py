"""Reads sources of facts anew, refuses silence as an answer, says what would change."""

from agent.recommender.refresh.connectors import CONNECTORS, Connector, read
from agent.recommender.refresh.difference import Difference, compare
from agent.recommender.refresh.origin import CanaryFailed, Origin, Unreachable
from agent.recommender.refresh.reading import Reading

__all__ = [
    "CONNECTORS",
    "CanaryFailed",
    "Connector",
    "Difference",
    "Origin",
    "Reading",
    "Unreachable",
    "compare",
    "read",
]
