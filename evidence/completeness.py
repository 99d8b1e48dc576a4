"""What a stretch of the log says about itself: what was left open, lost, erased, changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

# Entries that name a pull request: it was opened, decided or merged.
POPULATION_ACTIONS = frozenset(
    {"proposal.open", "proposal.countersign", "proposal.reject", "proposal.merge"}
)
# Commits on a default branch that no countersigned proposal accounts for.
BYPASSED = "branch.bypassed"
# What comes before the dot in actions that change who may do what.
ACCESS_SUBJECTS = frozenset(
    {"directory", "emergency", "identity", "member", "policy", "project_role", "provider"}
    | {"relation", "role", "service", "token"}
)


@dataclass(slots=True)
class Account:
    """The sums of some entries, read in ledger order."""

    gaps: list[dict[str, Any]] = field(default_factory=list)
    redactions: list[dict[str, Any]] = field(default_factory=list)
    access: list[dict[str, Any]] = field(default_factory=list)
    bypasses: list[dict[str, Any]] = field(default_factory=list)
    proposals: dict[str, dict[str, Any]] = field(default_factory=dict)  # by id, oldest first
    _open: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def read(self, index: int, leaf: Mapping[str, Any], *, in_population: bool) -> None:
        """Take one entry into account; in_population: it lies before the population's end."""
        about = leaf["object"]
        # Both ends of an effect carry one trace.
        place = leaf["trace"] or f"{about['type']} {about['id']}"
        match leaf["phase"]:
            case "intent":
                self._open.setdefault(place, []).append(_row(index, leaf))
            case "result" | "gap":
                # Whatever came of it, even that nobody knows.
                if waiting := self._open.get(place):
                    waiting.pop()
                if leaf["phase"] == "gap":
                    self.gaps.append(_row(index, leaf))
            case "redaction":
                self.redactions.append(_row(index, leaf))
        bypassed = leaf["action"] == BYPASSED
        if bypassed:
            self.bypasses.append(_row(index, leaf))
        elif leaf["outcome"] != "ok":
            return
        if leaf["action"].partition(".")[0] in ACCESS_SUBJECTS:
            actor = leaf["actor"]
            by = {"by": actor["name"], "by_type": actor["type"], "door": leaf["door"]}
            self.access.append(_row(index, leaf) | by)
        names = bypassed or leaf["action"] in POPULATION_ACTIONS
        if in_population and about["type"] == "proposal" and names:
            self.proposals.setdefault(about["id"], {"entries": []})["entries"].append(index)

    @property
    def open_intents(self) -> list[dict[str, Any]]:
        """What was begun and has no result among these entries, oldest first."""
        rows = [row for waiting in self._open.values() for row in waiting]
        return sorted(rows, key=lambda row: row["index"])


def draw(seed: bytes, places: Mapping[str, int], wanted: int) -> list[str]:
    """The names that an auditor's sample falls on, in ledger order.

    places: name -> index of its first entry. Each name's lot is SHA-256(seed, index as eight
    bytes); the `wanted` smallest lots are drawn, or all names when there are fewer.
    """
    lots = sorted(places, key=lambda name: sha256(seed + places[name].to_bytes(8)).digest())
    return sorted(lots[:wanted], key=lambda name: places[name])


def sample_seed(root: bytes, nonce: str) -> bytes:
    """What a draw follows from: a root signed before the nonce was known, then the nonce."""
    return sha256(root + nonce.encode()).digest()


def leaf_fields(leaf: bytes) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(leaf)
    return fields


def _row(index: int, leaf: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "index": index,
        "ts": leaf["ts"],
        "action": leaf["action"],
        "object": dict(leaf["object"]),
    }
