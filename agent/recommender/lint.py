"""What is thin, old or contradictory in a catalogue, in figures."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from agent.recommender.catalogue import Catalogue, Fact, Snapshot, Technology
from agent.recommender.names import contested

_READ = ("A", "B")
ENOUGH = 8  # facts with a value that an option should have


@dataclass(frozen=True, slots=True)
class Report:
    """Figures over the facts of a catalogue on one day.

    known: facts with a value. due: of these, older than they should be read again; stale: too old
    to count. grades: grade to number of known facts. by_hand: entered from what somebody knows.
    read_by_program: of grade A or B; due_of_these: of them, due.
    without_value: typed unknowns by state. thin: options with fewer than ENOUGH known facts.
    due_by: attribute to number of due facts, most first.
    """

    technologies: int
    options: int
    known: int
    due: int
    stale: int
    by_hand: int
    read_by_program: int
    due_of_these: int
    grades: Mapping[str, int]
    without_value: Mapping[str, int]
    due_by: Mapping[str, int]
    facts_per_option: tuple[int, int, int]  # fewest, median, most
    thin: tuple[Technology, ...]
    without_licence: tuple[Technology, ...]
    disagreements: tuple[tuple[Fact, Fact], ...]
    contested: tuple[tuple[str, str, str], ...]
    snapshots: tuple[Snapshot, ...]

    @property
    def within_ttl(self) -> float:
        """Share (0..1) of the facts with a value that are younger than their age limit."""
        return 1 - self.due / self.known if self.known else 0.0


def report(catalogue: Catalogue, today: dt.date) -> Report:
    """The figures of a catalogue on that day."""
    known = [fact for fact in catalogue.facts.values() if fact.state == "known"]
    due = [fact for fact in known if fact.is_due(today)]
    options = [tech for tech in catalogue.technologies.values() if tech.layers]
    counts = {tech.id: _known(tech) for tech in options}
    ordered = sorted(counts.values())
    rows = ((tech.id, tech.name, tech.aliases) for tech in catalogue.technologies.values())
    return Report(
        technologies=len(catalogue.technologies),
        options=len(options),
        known=len(known),
        due=len(due),
        stale=sum(fact.is_stale(today) for fact in known),
        by_hand=sum(fact.by_hand for fact in known),
        read_by_program=sum(fact.grade in _READ for fact in known),
        due_of_these=sum(fact.grade in _READ for fact in due),
        grades=dict(sorted(Counter(fact.grade for fact in known).items())),
        without_value=dict(
            Counter(fact.state for fact in catalogue.facts.values() if fact.state != "known")
        ),
        due_by=dict(Counter(fact.attribute for fact in due).most_common()),
        facts_per_option=(ordered[0], ordered[len(ordered) // 2], ordered[-1]),
        thin=tuple(tech for tech in options if counts[tech.id] < ENOUGH),
        without_licence=tuple(
            tech for tech in options if tech.facts["license"].state in ("unknown", "unreachable")
        ),
        disagreements=catalogue.disagreements,
        contested=tuple(contested(rows, catalogue.names)),
        snapshots=catalogue.snapshots,
    )


def _known(technology: Technology) -> int:
    return sum(fact.state == "known" for fact in technology.facts.values())
