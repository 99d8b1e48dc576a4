"""What a tenant adds beside the shared catalogue."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Own:
    """What a tenant adds beside the shared catalogue.

    technologies: entries as in technologies/*.yaml. facts: technology id to attribute to
    {value, source, locator, as_of}; source is a key of sources.yaml. snapshots: as in facts/*.yaml,
    by connector; one of the same connector replaces the shared one. standards: technology id to
    {verdict, reason, until}.
    """

    technologies: Sequence[Mapping[str, Any]] = ()
    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    snapshots: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    standards: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def digest_with(self, shared: str) -> str:
        """The digest of the catalogue that comes of it; the shared one's when nothing is added."""
        added = [self.technologies, self.facts, self.snapshots, self.standards]
        if not any(added):
            return shared
        said = json.dumps([shared, added], sort_keys=True, default=str)
        return hashlib.sha256(said.encode()).hexdigest()


def with_dates(stored: Any) -> Any:
    """What was kept as JSON, with its dates as the YAML files have them."""
    if isinstance(stored, dict):
        return {
            key: dt.date.fromisoformat(value)
            if key in ("as_of", "retrieved_at", "until", "since") and isinstance(value, str)
            else _with_cycle_dates(value)
            if key == "cycles"
            else with_dates(value)
            for key, value in stored.items()
        }
    if isinstance(stored, list):
        return [with_dates(one) for one in stored]
    return stored


def _with_cycle_dates(cycles: Mapping[str, Any]) -> dict[str, Any]:
    return {
        technology: [
            [name, *(one and dt.date.fromisoformat(one) for one in (released, ends)), latest, lts]
            for name, released, ends, latest, lts in rows
        ]
        for technology, rows in cycles.items()
    }
