"""What a value depends on beside the option itself, and how its parts come together."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from agent.recommender.catalogue import Catalogue, Fact, Layer
from agent.recommender.constraints import Constraints, plain
from agent.recommender.elimination import present


@dataclass(frozen=True, slots=True)
class Links:
    """together: technology to those it goes well with, each with how much that counts (0..1);
    apart: technology to those it cannot be used with.
    """

    together: Mapping[str, Mapping[str, float]]
    apart: Mapping[str, Collection[str]]


@dataclass(frozen=True, slots=True)
class Named:
    """Ids of what a request names, looked up once. there: what runs or is known to the team."""

    running: tuple[str, ...]
    leaving: tuple[str, ...]
    there: tuple[str, ...]
    skills: frozenset[str]  # in plain spelling, with the ids they stand for


@dataclass(frozen=True, slots=True)
class Setting:
    """What the values depend on beside the option itself.

    languages: those of the team, or the one chosen first when the team named none.
    asked: capabilities that the request's words ask for. chosen: winners of the other layers.
    links: how technologies go together. named: what the request names. without: criteria left
    out, for the evaluation.
    """

    constraints: Constraints
    catalogue: Catalogue
    layer: Layer
    today: dt.date
    languages: tuple[str, ...]
    asked: frozenset[str]
    chosen: tuple[str, ...]
    links: Links
    named: Named
    without: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Valuation:
    """Worth between 0 and 1 with what it rests on.

    grade: the weakest grade that counted ("request" when the form said it); "" when nothing did.
    missing: share (0..1) of the criterion that is unknown and was counted at the fixed low value.
    """

    value: float
    grade: str
    missing: float
    facts: tuple[str, ...]
    note: str


@dataclass(slots=True)
class Parts:
    """Collects weighted parts of one valuation."""

    setting: Setting
    total: float = 0.0
    weight: float = 0.0
    missing: float = 0.0
    facts: list[str] = field(default_factory=list)
    grades: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, worth: float, fact: Fact, weight: float = 1.0) -> None:
        """Count a known fact, as far as its grade is trusted and if it is fresh enough."""
        trust = self.setting.catalogue.trust[fact.grade]
        if trust == 0 or fact.is_stale(self.setting.today):
            self.skip(fact, weight)
            return
        neutral = self.setting.catalogue.neutral
        self.total += weight * (neutral + trust * (worth - neutral))
        self.weight += weight
        self.facts.append(fact.id)
        self.grades.append(fact.grade)

    def skip(self, fact: Fact | None, weight: float = 1.0) -> None:
        """Count something unknown at the fixed low value."""
        self.total += weight * self.setting.catalogue.unknown
        self.weight += weight
        self.missing += weight
        if fact is not None:
            self.facts.append(fact.id)
            if fact.state == "known":
                self.notes.append(f"{fact.label} is too old or too doubtful to count")

    def valuation(self) -> Valuation:
        """All parts as one."""
        if not self.weight:
            return Valuation(self.setting.catalogue.unknown, "", 1.0, (), "unknown")
        order = list(self.setting.catalogue.trust)
        grade = max(self.grades, key=order.index, default="")
        trust = self.setting.catalogue.trust.get(grade, 1.0)
        if grade and trust < 1:
            self.notes.append(f"grade {grade}: counted at {trust:.0%}")
        return Valuation(
            value=self.total / self.weight,
            grade=grade,
            missing=self.missing / self.weight,
            facts=tuple(dict.fromkeys(self.facts)),
            note="; ".join(dict.fromkeys(self.notes)),
        )


def links_of(catalogue: Catalogue) -> Links:
    """How the technologies of the catalogue go together, looked up once for a whole request."""
    together: dict[str, dict[str, float]] = {}
    apart: dict[str, set[str]] = {}
    for technology in catalogue.technologies.values():
        for other in technology.companions:
            together.setdefault(technology.id, {})[other] = 1.0
            together.setdefault(other, {})[technology.id] = 1.0
    for rule in catalogue.rules:
        for one, other in ((rule.left, rule.right), (rule.right, rule.left)):
            if rule.kind == "conflicts":
                apart.setdefault(one, set()).add(other)
            elif rule.kind == "synergy":
                known = together.setdefault(one, {})
                known[other] = max(known.get(other, 0.0), rule.strength)
    return Links(together, apart)


def named_in(constraints: Constraints, catalogue: Catalogue) -> Named:
    """What the request names, as ids of the catalogue; what it does not know is left out."""

    def ids(names: Iterable[str]) -> tuple[str, ...]:
        found = (catalogue.find(name) for name in names)
        return tuple(dict.fromkeys(each.id for each in found if each is not None))

    leaving = ids(constraints.leaving)
    return Named(
        running=tuple(name for name in ids(constraints.already_run) if name not in leaving),
        leaving=leaving,
        there=tuple(present(constraints, catalogue)),
        skills=frozenset({*map(plain, constraints.skills), *ids(constraints.skills)}),
    )


def linked_with(setting: Setting, name: str) -> frozenset[str]:
    """Technologies whose presence can change what `name` is worth, in either direction."""
    own = setting.catalogue.technologies[name]
    return frozenset({*setting.links.together.get(name, ()), *own.requires})


def on_curve(anchors: Iterable[tuple[float, float]], x: float) -> float:
    """Piecewise-linear interpolation; flat beyond the first and the last anchor.

    anchors: (x, worth) pairs, ascending in x, at least one.
    """
    points = list(anchors)
    if x <= points[0][0]:
        return points[0][1]
    for (left, low), (right, high) in pairwise(points):
        if x <= right:
            return low + (high - low) * (x - left) / (right - left)
    return points[-1][1]


def curve_of(setting: Setting, criterion: str, name: str, fact: Fact) -> float:
    """What the value of a fact is worth on a curve of the criterion."""
    anchors = setting.catalogue.criteria[criterion].curves[name]
    if isinstance(anchors, dict):
        return float(anchors[fact.value])
    if not isinstance(fact.value, int | float):
        raise TypeError(f"{fact.id}: {fact.value!r} is not a number")
    return on_curve([(x, y) for x, y in anchors], fact.value)
