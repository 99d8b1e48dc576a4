"""The technology catalogue: technologies, facts, and everything else the recommender knows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.recommender import formulas, licences
from agent.recommender.names import Match, near, resolve

KINDS = (
    "language",
    "framework",
    "library",
    "server",
    "service",
    "tool",
    "approach",
    "platform",
)
# Ways of doing without, in every layer; no text means one of them by its name.
GENERIC = ("custom-build", "status-quo", "managed-service", "vendor-library")
# Values that say why there is no figure. They are never shown as 0 and never counted as one.
TYPED_UNKNOWNS = ("unknown", "unreachable", "n/a")
# Which of two sources is believed: the better grade, then the younger.
GRADES = ("A", "B", "C", "J", "D", "S")
VERDICTS = ("approved", "to_be_retired", "banned")
RULE_KINDS = ("requires", "conflicts", "synergy")
MINIMUM_OPTIONS = 3
# Facts that every option of a layer is asked for by name, beside the layer's capabilities. What an
# entry leaves out is a typed unknown, never a missing fact.
LOOKED_UP = (
    "license",
    "hosting.self_hosted",
    "hosting.managed",
    "hosting.air_gapped",
    "latest_cycle_eol",
    "latency",
    "advisories_2022_10_to_2024_10",
    "assurance.provenance",
)

Value = str | int | float | bool | None


class BadCatalogue(ValueError):
    """The catalogue's files contradict themselves; the message names the file and the entry."""


class CatalogueChanged(ValueError):
    """An earlier step was made with another catalogue; start again from `retrieve`."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing known, or known to be unknown, about one technology.

    state: "known", or the typed unknown, in which case value is None.
    as_of: the day the source said so. grade: see criteria.yaml. by_hand: somebody entered it from
    what they know; the source is where to look it up, and was not read for it.
    """

    id: str
    technology: str
    attribute: str
    label: str
    value: Value
    state: str
    unit: str
    source: str
    locator: str
    as_of: dt.date
    grade: str
    by_hand: bool
    note: str
    refresh_days: int
    usable_days: int
    retrieved_at: dt.date = dt.date.min  # the day somebody or a program read the source
    method: str = ""  # how it was read
    versions: str = ""  # which versions it is true of; empty: all
    secondary: bool = False  # from a list that may confirm or fill a gap, but not overrule

    def is_due(self, today: dt.date) -> bool:
        """Whether the fact should be fetched again."""
        return (today - self.as_of).days > self.refresh_days

    def is_stale(self, today: dt.date) -> bool:
        """Whether the fact is too old to count; it may still be shown, marked as stale."""
        return (today - self.as_of).days > self.usable_days

    def basis(self) -> str:
        """How far the fact can be trusted, for a reader."""
        hand = ", entered by hand, not re-read" if self.by_hand else ""
        return f"grade {self.grade}{hand}"

    def shown(self) -> str:
        """The value for a reader, with its unit."""
        if self.state != "known":
            return "not applicable" if self.state == "n/a" else self.state
        if isinstance(self.value, bool):
            return "yes" if self.value else "no"
        number = f"{self.value:,}" if isinstance(self.value, int) else f"{self.value}"
        return f"{number} {self.unit}" if self.unit and self.unit != "date" else number


@dataclass(frozen=True, slots=True)
class LicencePeriod:
    """One stretch of a technology's licence history.

    licence: SPDX expression. from_version, since: where it begins; empty and None: at the start.
    """

    licence: str
    from_version: str
    since: dt.date | None
    source: str
    locator: str


@dataclass(frozen=True, slots=True)
class Cycle:
    """One release line. ends: None when no end is announced, or when the source does not say."""

    name: str
    released: dt.date | None
    ends: dt.date | None
    latest: str
    long_term: bool


@dataclass(frozen=True, slots=True)
class Offering:
    """Somebody who runs the technology for you. technology: its catalogue id, when it has one."""

    name: str
    provider: str
    technology: str


@dataclass(frozen=True, slots=True)
class Rule:
    """How two technologies go together, with what says so.

    kind: requires (left does not work without right), conflicts (not both), synergy (better
    together). strength: 0..1, how much a synergy counts; 1 for the other two.
    """

    id: str
    kind: str
    left: str
    right: str
    why: str
    strength: float
    source: str
    locator: str
    as_of: dt.date
    grade: str


@dataclass(frozen=True, slots=True)
class Standard:
    """What the tenant has decided about a technology, for all its requests.

    verdict: approved, to_be_retired or banned. until: the day it is to be gone, if one was set.
    """

    technology: str
    verdict: str
    reason: str
    until: dt.date | None = None


@dataclass(frozen=True, slots=True)
class Technology:
    """One option: a product, a service, or a way of doing without.

    skills: what a team that knows it calls it (familiarity). known_as: connector to the name under
    which that source lists it. own: added by the tenant, not part of the shared catalogue.
    """

    id: str
    name: str
    aliases: tuple[str, ...]
    layers: tuple[str, ...]
    kind: str
    languages: tuple[str, ...]
    skills: tuple[str, ...]
    companions: tuple[str, ...]
    requires: tuple[str, ...]  # any one of these has to be there; empty: nothing
    purl: str
    facts: Mapping[str, Fact] = field(repr=False)  # by attribute
    vendor: str = ""
    licences: tuple[LicencePeriod, ...] = ()  # oldest first
    cycles: tuple[Cycle, ...] = field(default=(), repr=False)  # newest first
    offerings: tuple[Offering, ...] = ()
    cost_formula: str = ""  # id in Catalogue.cost_formulas
    known_as: Mapping[str, str] = field(default_factory=dict, repr=False)
    own: bool = False
    alternative_in: tuple[str, ...] = ()  # layers that it is also a way of doing without
    rare: bool = False  # only ranked when a request names it

    def licence_of(self, version: str) -> str | None:
        """The SPDX expression for `version`, or None when the history does not reach back."""
        return licences.at_version(
            [(period.from_version, period.licence) for period in self.licences], version
        )


@dataclass(frozen=True, slots=True)
class Proof:
    """A test to write before the layer's choice is put in place."""

    file: str
    name: str
    proves: str


@dataclass(frozen=True, slots=True)
class Layer:
    """One decision of the stack, with what matters for it (most important first)."""

    id: str
    title: str
    order: int
    decides: str
    criteria: tuple[str, ...]
    capabilities: tuple[str, ...]
    latency: tuple[str, ...]
    tests: tuple[Proof, ...]
    rollback: str
    controls: tuple[str, ...]
    by_default: bool = True  # in scope when a request names no layers


@dataclass(frozen=True, slots=True)
class Criterion:
    """One way in which options differ. curves: attribute to anchors of its value function."""

    id: str
    title: str
    question: str
    curves: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Capability:
    """Something an option can do. words: what in a request asks for it, in small letters."""

    id: str
    title: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one connector last brought in. canary: what proved that the source answered."""

    connector: str
    source: str
    locator: str
    as_of: dt.date
    retrieved_at: dt.date
    canary: str
    facts: int


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Everything the recommender knows. digest: sha256 (hex) over the files it was read from."""

    digest: str
    layers: tuple[Layer, ...]
    technologies: Mapping[str, Technology]
    facts: Mapping[str, Fact]
    criteria: Mapping[str, Criterion]
    capabilities: Mapping[str, Capability]
    licence_classes: Mapping[str, int]
    grades: Mapping[str, str]
    trust: Mapping[str, float]
    neutral: float
    unknown: float
    confidence: Mapping[str, float]
    controls: Mapping[str, Any]
    examples: tuple[Mapping[str, Any], ...]
    names: Mapping[str, str] = field(repr=False)  # as names.spelled
    spoken: tuple[str, ...] = field(default=(), repr=False)  # as names.spoken: products, no ways
    rules: tuple[Rule, ...] = field(default=(), repr=False)
    cost_formulas: Mapping[str, formulas.Formula] = field(default_factory=dict, repr=False)
    snapshots: tuple[Snapshot, ...] = field(default=(), repr=False)
    standards: Mapping[str, Standard] = field(default_factory=dict)  # by technology
    disagreements: tuple[tuple[Fact, Fact], ...] = field(default=(), repr=False)  # (kept, other)

    def layer(self, layer_id: str) -> Layer:
        """The layer with that id. Raises KeyError when there is none."""
        for layer in self.layers:
            if layer.id == layer_id:
                return layer
        raise KeyError(layer_id)

    def options(self, layer_id: str, named: Collection[str] = ()) -> list[Technology]:
        """The technologies that can fill a layer, in the catalogue's order.

        named: ids that a request names; only they bring in what is rare.
        """
        return [
            tech
            for tech in self.technologies.values()
            if layer_id in tech.layers and (not tech.rare or tech.id in named)
        ]

    def alternatives(self, layer_id: str) -> list[Technology]:
        """Ways of doing without an option of the layer: build it, keep what is there, rent it.

        They have every fact that the layer asks for, mostly as unknowns, and are ranked when a
        request names them. options() holds only those that are options outright.
        """
        return [tech for tech in self.technologies.values() if layer_id in tech.alternative_in]

    def find(self, name: str) -> Technology | None:
        """The technology a person means by `name` (id, name or alias, however written)."""
        match = self.resolve(name)
        return None if match is None else self.technologies.get(match.technology)

    def resolve(self, name: str) -> Match | None:
        """find(), with what of `name` was left aside."""
        return resolve(self.names, name)

    def suggestions(self, name: str, most: int = 3) -> list[Technology]:
        """What a person may have meant by a name that find() does not know, best first."""
        return [self.technologies[found] for found in near(self.names, name, most)]

    def rules_of(self, technology: str) -> list[Rule]:
        """The compatibility rules that name a technology, on either side."""
        return [rule for rule in self.rules if technology in (rule.left, rule.right)]
