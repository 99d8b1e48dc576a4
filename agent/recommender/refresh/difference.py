"""What changes between two catalogues, fact by fact."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from agent.recommender.catalogue import Catalogue, Fact


@dataclass(frozen=True, slots=True)
class Change:
    """One fact that would read differently. before or after is "" when there is none."""

    fact: str
    label: str
    technology: str
    before: str
    after: str
    source: str


@dataclass(frozen=True, slots=True)
class Difference:
    """changed: another value. added, removed: known before or after only. newer: same value, read
    again later, which only makes it younger.
    """

    changed: tuple[Change, ...]
    added: tuple[Change, ...]
    removed: tuple[Change, ...]
    newer: int

    @property
    def is_empty(self) -> bool:
        """Whether nothing would be different, not even an age."""
        return not (self.changed or self.added or self.removed or self.newer)

    def to_json(self) -> dict[str, Any]:
        """As it is stored and shown."""
        return asdict(self)


def compare(before: Catalogue, after: Catalogue) -> Difference:
    """The facts that differ, in the order of their ids."""
    changed, added, removed, newer = [], [], [], 0
    for identity in sorted({*before.facts, *after.facts}):
        old, new = before.facts.get(identity), after.facts.get(identity)
        was, is_now = _shown(old), _shown(new)
        if was == is_now:
            newer += old is not None and new is not None and new.as_of > old.as_of
            continue
        fact = new or old
        if fact is None:  # it stands in one of the two
            continue
        change = Change(
            identity,
            fact.label,
            after.technologies[fact.technology].name
            if fact.technology in after.technologies
            else fact.technology,
            was,
            is_now,
            fact.source,
        )
        if not was:
            added.append(change)
        elif not is_now:
            removed.append(change)
        else:
            changed.append(change)
    return Difference(tuple(changed), tuple(added), tuple(removed), newer)


def _shown(fact: Fact | None) -> str:
    """The value for a reader; "" for what was never read. An unreachable source shows as such."""
    return "" if fact is None or fact.state == "unknown" else fact.shown()
