"""The technology catalogue, read from its folder of YAML files."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from agent.recommender import licences
from agent.recommender.constraints import plain

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
# Values that say why there is no figure. They are never shown as 0 and never counted as one.
TYPED_UNKNOWNS = ("unknown", "unreachable", "n/a")
MINIMUM_OPTIONS = 3
# Facts that every option of a layer is asked for by name, beside the layer's capabilities.
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
class Technology:
    """One option: a product, a service, or a way of doing without."""

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
    names: Mapping[str, str] = field(repr=False)

    def layer(self, layer_id: str) -> Layer:
        """The layer with that id. Raises KeyError when there is none."""
        for layer in self.layers:
            if layer.id == layer_id:
                return layer
        raise KeyError(layer_id)

    def options(self, layer_id: str) -> list[Technology]:
        """The technologies that can fill a layer, in the catalogue's order."""
        return [tech for tech in self.technologies.values() if layer_id in tech.layers]

    def find(self, name: str) -> Technology | None:
        """The technology a person means by `name` (id, name or alias, however written)."""
        technology_id = self.names.get(plain(name))
        return None if technology_id is None else self.technologies[technology_id]


def load(folder: Path) -> Catalogue:
    """Read and check the catalogue. Raises BadCatalogue; nothing is half read."""
    digest = hashlib.sha256()
    documents: dict[str, Any] = {}
    for path in sorted(folder.rglob("*.yaml")):
        content = path.read_bytes()
        name = path.relative_to(folder).as_posix()
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
        try:
            documents[name] = yaml.load(content, Loader=_LOADER)  # noqa: S506 - both are safe loaders
        except yaml.YAMLError as problem:
            raise BadCatalogue(f"{name}: not readable as YAML: {problem}") from problem
    missing = {
        f"{name}.yaml"
        for name in (
            "layers",
            "criteria",
            "sources",
            "attributes",
            "licences",
            "capabilities",
            "examples",
            "control-mapping",
        )
    } - set(documents)
    if missing:
        raise BadCatalogue(f"{folder}: missing {', '.join(sorted(missing))}")
    return _Reader(documents).catalogue(digest.hexdigest())


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Reader:
    """Turns the parsed files into a Catalogue, remembering which file is being read."""

    def __init__(self, documents: Mapping[str, Any]) -> None:
        self._documents = documents
        self._sources = documents["sources.yaml"]
        self._attributes = documents["attributes.yaml"]
        self._capabilities = {
            key: Capability(key, row["title"], tuple(row["words"]))
            for key, row in documents["capabilities.yaml"].items()
        }
        self._where = ""

    def catalogue(self, digest: str) -> Catalogue:
        rules = self._documents["criteria.yaml"]
        layers = self._layers({row["id"] for row in rules["criteria"]})
        classes = {
            licence: number
            for number, name in enumerate(licences.CLASSES)
            for licence in self._documents["licences.yaml"][name]
        }
        technologies: dict[str, Technology] = {}
        facts: dict[str, Fact] = {}
        for name, rows in self._documents.items():
            if not name.startswith("technologies/"):
                continue
            for row in rows:
                self._where = f"{name}, {row.get('id', 'entry without id')}"
                technology = self._technology(row)
                if technology.id in technologies:
                    self._refuse("this id is used twice")
                technologies[technology.id] = technology
                facts |= {fact.id: fact for fact in technology.facts.values()}
                self._check_licence(technology, classes)
                self._check_looked_up(technology, layers)
        self._check_links(layers, technologies)
        return Catalogue(
            digest=digest,
            layers=layers,
            technologies=MappingProxyType(technologies),
            facts=MappingProxyType(facts),
            criteria=MappingProxyType(
                {
                    row["id"]: Criterion(
                        row["id"], row["title"], row["question"], row.get("curves", {})
                    )
                    for row in rules["criteria"]
                }
            ),
            capabilities=MappingProxyType(self._capabilities),
            licence_classes=MappingProxyType(classes),
            grades=MappingProxyType(rules["grades"]),
            trust=MappingProxyType(rules["trust"]),
            neutral=rules["neutral"],
            unknown=rules["unknown"],
            confidence=MappingProxyType(rules["confidence"]),
            controls=MappingProxyType(self._documents["control-mapping.yaml"]),
            examples=tuple(self._documents["examples.yaml"]),
            names=MappingProxyType(_names(technologies)),
        )

    def _refuse(self, problem: str) -> None:
        raise BadCatalogue(f"{self._where}: {problem}")

    def _layers(self, criteria: set[str]) -> tuple[Layer, ...]:
        layers = []
        for row in self._documents["layers.yaml"]:
            self._where = f"layers.yaml, {row.get('id', 'entry without id')}"
            self._need(row, tuple(field.name for field in fields(Layer)))
            for wanted, known in (
                (row["criteria"], criteria),
                (row["capabilities"], self._capabilities),
                (row["latency"], self._attributes),
            ):
                if strange := [item for item in wanted if item not in known]:
                    self._refuse(f"{', '.join(strange)} is not defined")
            layers.append(
                Layer(
                    id=row["id"],
                    title=row["title"],
                    order=row["order"],
                    decides=row["decides"],
                    criteria=tuple(row["criteria"]),
                    capabilities=tuple(row["capabilities"]),
                    latency=tuple(row["latency"]),
                    tests=tuple(Proof(**test) for test in row["tests"]),
                    rollback=row["rollback"],
                    controls=tuple(row["controls"]),
                )
            )
        return tuple(sorted(layers, key=lambda layer: layer.order))

    def _need(self, row: Mapping[str, Any], keys: tuple[str, ...]) -> None:
        if missing := [key for key in keys if key not in row]:
            self._refuse(f"{', '.join(missing)} is missing")

    def _technology(self, row: Mapping[str, Any]) -> Technology:
        self._need(row, ("id", "name", "layers", "kind", "languages", "skills", "companions"))
        if row["kind"] not in KINDS:
            self._refuse(f"kind {row['kind']!r} is not one of {', '.join(KINDS)}")
        identity = row["id"]
        facts: dict[str, Fact] = {}
        documented = row.get("documented")
        self._need(row.get("facts") or {}, ("license",))
        read = documented or row["facts"]["license"]
        self._need(read, ("source", "locator", "as_of"))
        about = {key: read[key] for key in ("source", "locator", "as_of")}
        for attribute, label in (("languages", "Languages"), ("skills", "Skills it asks for")):
            listed = ", ".join(row[attribute]) or None
            facts[attribute] = self._fact(identity, attribute, {**about, "value": listed}, label)
        judged = {
            "source": "judgement",
            "locator": "Countersign catalogue",
            "as_of": about["as_of"],
        }
        facts["name"] = self._fact(identity, "name", {**about, "value": row["name"]}, "Name")
        facts["companions"] = self._fact(
            identity,
            "companions",
            {**judged, "value": ", ".join(row["companions"]) or "none"},
            "Often run together with",
        )
        facts["requires"] = self._fact(
            identity,
            "requires",
            {**about, "value": " or ".join(row.get("requires", ())) or "n/a"},
            "Runs only with",
        )
        for attribute, entry in (row.get("facts") or {}).items():
            facts[attribute] = self._fact(identity, attribute, entry)
        if documented:
            for attribute, value in documented["values"].items():
                facts[attribute] = self._fact(identity, attribute, {**about, "value": value})
        for attribute, value in (row.get("judged") or {}).items():
            facts[attribute] = self._fact(identity, attribute, {**judged, "value": value})
        return Technology(
            id=identity,
            name=row["name"],
            aliases=tuple(row.get("aliases", ())),
            layers=tuple(row["layers"]),
            kind=row["kind"],
            languages=tuple(row["languages"]),
            skills=tuple(row["skills"]),
            companions=tuple(row["companions"]),
            requires=tuple(row.get("requires", ())),
            purl=row.get("purl", ""),
            facts=MappingProxyType(facts),
        )

    def _fact(
        self, technology: str, attribute: str, entry: Mapping[str, Any], label: str = ""
    ) -> Fact:
        self._need(entry, ("value", "source", "locator", "as_of"))
        source = self._sources.get(entry["source"])
        if source is None:
            self._refuse(f"{attribute}: source {entry['source']!r} is not in sources.yaml")
        if not isinstance(entry["as_of"], dt.date):
            self._refuse(f"{attribute}: as_of must be a date such as 2026-11-23")
        about = self._attributes.get(attribute)
        if about is None:
            title = label
            if attribute.startswith("capability."):
                capability = self._capabilities.get(attribute.removeprefix("capability."))
                title = capability.title if capability else ""
            if not title:
                self._refuse(f"{attribute} is not in attributes.yaml or capabilities.yaml")
            about = {"label": title, "unit": "", "refresh_days": 365, "usable_days": 1095}
        value = entry["value"]
        state = "known"
        if value is None or value in TYPED_UNKNOWNS:
            state = value or "unknown"
            value = None
        return Fact(
            id=f"{technology}.{attribute}",
            technology=technology,
            attribute=attribute,
            label=about["label"],
            value=value,
            state=state,
            unit=about["unit"],
            source=source["title"],
            locator=entry["locator"],
            as_of=entry["as_of"],
            grade=source["grade"],
            by_hand=source.get("by_hand", False),
            note=entry.get("note", ""),
            refresh_days=about["refresh_days"],
            usable_days=about["usable_days"],
        )

    def _check_licence(self, technology: Technology, classes: Mapping[str, int]) -> None:
        fact = technology.facts["license"]
        if fact.state == "known":
            try:
                licences.restriction(str(fact.value), classes)
            except KeyError as strange:
                self._refuse(f"licence {strange} is not in licences.yaml")

    def _check_looked_up(self, technology: Technology, layers: tuple[Layer, ...]) -> None:
        """Refuse an option without a fact that every option of its layers is asked for."""
        for layer in layers:
            if layer.id not in technology.layers:
                continue
            wanted = (*LOOKED_UP, *(f"capability.{name}" for name in layer.capabilities))
            if missing := [name for name in wanted if name not in technology.facts]:
                self._refuse(
                    f"{', '.join(missing)} is missing, which every option of the layer {layer.id} "
                    "has to state; write unknown when it is not known"
                )

    def _check_links(
        self, layers: tuple[Layer, ...], technologies: Mapping[str, Technology]
    ) -> None:
        ids = {layer.id for layer in layers}
        for technology in technologies.values():
            self._where = technology.id
            if strange := set(technology.layers) - ids:
                self._refuse(f"layer {', '.join(sorted(strange))} does not exist")
            linked = set(technology.companions) | set(technology.requires)
            if strange := linked - set(technologies):
                self._refuse(f"{', '.join(sorted(strange))} does not exist")
        for layer in layers:
            self._where = f"layers.yaml, {layer.id}"
            count = sum(layer.id in technology.layers for technology in technologies.values())
            if count < MINIMUM_OPTIONS:
                self._refuse(f"{count} options; a layer needs at least {MINIMUM_OPTIONS}")


def _names(technologies: Mapping[str, Technology]) -> dict[str, str]:
    """Every way of writing a technology, to its id. An id wins over another's alias."""
    names: dict[str, str] = {}
    for technology in technologies.values():
        for name in (technology.name, *technology.aliases):
            names.setdefault(plain(name), technology.id)
    names |= {plain(identity): identity for identity in technologies}
    return names
