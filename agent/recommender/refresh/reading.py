"""What one connector read, and the file it becomes."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any

# Technology id to attribute to a value, or to {value, locator, as_of, note, versions}.
Facts = dict[str, dict[str, Any]]
# What still stands, with its own day, as long as no newer release is told.
OF_A_RELEASE = (
    "latest_release_date",
    "license",
    "requires_python",
    "direct_runtime_dependencies",
    "final_releases_last_12_months",
)


@dataclass(frozen=True, slots=True)
class Reading:
    """The facts of one source.

    as_of: the day the source's content is from. locator: what was read, with its revision.
    canary: what proved that the source answers. cycles: technology id to release lines, newest
    first, each [name, released, ends or None, latest version, long-term]. unanswered: technology
    id to why the source was not believed about it.
    """

    source: str
    locator: str
    as_of: dt.date
    retrieved_at: dt.date
    canary: str
    facts: Facts
    cycles: dict[str, list[list[Any]]] = field(default_factory=dict)
    unanswered: dict[str, str] = field(default_factory=dict)

    def document(
        self, before: Mapping[str, Any] | None = None, only: Set[str] = frozenset()
    ) -> dict[str, Any]:
        """As the catalogue reads it from facts/<connector>.yaml.

        only: technologies that were asked about, when not all were. What `before` says of the
        others, and of those that got no answer, stays with the day it was read; so does what is
        true of a release that is still the newest and was not told again.
        """
        facts, cycles = dict(self.facts), dict(self.cycles)
        if before is not None:
            about = {"locator": before["locator"], "as_of": before["as_of"]}
            for technology, old in before["facts"].items():
                dated = {name: _dated(value, about) for name, value in old.items()}
                if technology in self.unanswered or (only and technology not in only):
                    facts[technology] = dated
                elif technology in facts and _same_release(facts[technology], dated):
                    of_release = {key: dated[key] for key in OF_A_RELEASE if key in dated}
                    facts[technology] = of_release | facts[technology]
        if before is not None and only:
            kept = before.get("cycles", {}).items()
            cycles |= {technology: rows for technology, rows in kept if technology not in only}
        said: dict[str, Any] = {
            "source": self.source,
            "locator": self.locator,
            "as_of": self.as_of,
            "retrieved_at": self.retrieved_at,
            "canary": self.canary,
            "facts": {technology: facts[technology] for technology in sorted(facts)},
        }
        if cycles:
            said["cycles"] = {technology: cycles[technology] for technology in sorted(cycles)}
        return said


def _same_release(new: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    here, there = (facts.get("latest_version") for facts in (new, old))
    return here is not None and there is not None and here["value"] == there["value"]


def _dated(value: Any, about: Mapping[str, Any]) -> dict[str, Any]:
    """A fact of an earlier reading, saying by itself where and when it was read."""
    entry = value if isinstance(value, Mapping) else {"value": value}
    return {"retrieved_at": about["as_of"], **about, **entry}


def written(connector: str, document: Mapping[str, Any]) -> str:
    """The file: YAML with one fact or release line on each line, so that diffs can be read."""
    lines = [f"# Written by `manage.py refresh_catalogue {connector}`; do not edit."]
    for key in ("source", "locator", "as_of", "retrieved_at", "canary"):
        lines.append(f"{key}: {_scalar(document[key])}")
    lines.append("facts:")
    for technology, facts in document["facts"].items():
        lines.append(f"  {technology}:")
        lines += [f"    {attribute}: {_value(facts[attribute])}" for attribute in sorted(facts)]
    if cycles := document.get("cycles"):
        lines.append("cycles:")
        for technology, rows in cycles.items():
            lines.append(f"  {technology}:")
            lines += [f"    - [{', '.join(map(_scalar, row))}]" for row in rows]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_scalar(one)}" for key, one in value.items()) + "}"
    return _scalar(value)


def _scalar(value: Any) -> str:
    if isinstance(value, dt.date):
        return value.isoformat()
    return json.dumps(value, ensure_ascii=False)


def whole_date(value: Any) -> dt.date | None:
    """A date out of what sources write: a date, "2026-08-22T...", or nothing."""
    if isinstance(value, dt.datetime):
        return value.date()
    if isinstance(value, dt.date):
        return value
    if isinstance(value, str) and (found := re.match(r"\d{4}-\d\d-\d\d", value)):
        return dt.date.fromisoformat(found[0])
    return None
