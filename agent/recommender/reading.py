"""Reads the catalogue's YAML files, refusing files that contradict themselves."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from agent.recommender import formulas, licences, names
from agent.recommender.additions import Own
from agent.recommender.catalogue import (
    GENERIC,
    MINIMUM_OPTIONS,
    RULE_KINDS,
    VERDICTS,
    BadCatalogue,
    Catalogue,
    Criterion,
    Layer,
    Proof,
    Rule,
    Snapshot,
    Standard,
    Technology,
)
from agent.recommender.entries import EntryReader, with_rarer

_NEEDED = (
    "layers",
    "criteria",
    "sources",
    "attributes",
    "licences",
    "capabilities",
    "examples",
    "control-mapping",
    "compatibility",
    "costs",
)
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NONE_READ = "none-read"


@dataclass(frozen=True, slots=True)
class Files:
    """The parsed files of a catalogue, with the digest over their bytes."""

    digest: str
    documents: Mapping[str, Any] = field(repr=False)


def load(folder: Path) -> Catalogue:
    """Read and check the catalogue. Raises BadCatalogue; nothing is half read."""
    return build(read_files(folder))


def read_files(folder: Path) -> Files:
    """Parse every file below `folder`. Raises BadCatalogue when one is missing or not YAML."""
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
    if missing := {f"{name}.yaml" for name in _NEEDED} - set(documents):
        raise BadCatalogue(f"{folder}: missing {', '.join(sorted(missing))}")
    return Files(digest.hexdigest(), documents)


def build(files: Files, own: Own | None = None) -> Catalogue:
    """The catalogue of those files with what a tenant adds. Raises BadCatalogue."""
    added = own or Own()
    return _Reader(files.documents, added).catalogue(added.digest_with(files.digest))


class _Reader(EntryReader):
    """Turns the parsed files into a Catalogue, remembering which file is being read."""

    def catalogue(self, digest: str) -> Catalogue:
        rules = self._documents["criteria.yaml"]
        layers = self._layers({row["id"] for row in rules["criteria"]})
        classes = {
            licence: number
            for number, name in enumerate(licences.CLASSES)
            for licence in self._documents["licences.yaml"][name]
        }
        costs = self._costs()
        technologies = self._technologies(layers, classes)
        for technology in technologies.values():
            self._where = technology.id
            if technology.cost_formula and technology.cost_formula not in costs:
                self._refuse(f"cost formula {technology.cost_formula} is not in costs.yaml")
        self._check_links(layers, technologies)
        return Catalogue(
            digest=digest,
            layers=layers,
            technologies=MappingProxyType(technologies),
            facts=MappingProxyType(
                {fact.id: fact for tech in technologies.values() for fact in tech.facts.values()}
            ),
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
            names=MappingProxyType(
                names.spelled((tech.id, tech.name, tech.aliases) for tech in technologies.values())
            ),
            spoken=names.spoken(
                (tech.id, tech.name, tech.aliases)
                for tech in technologies.values()
                if tech.id not in GENERIC and tech.kind != "approach"
            ),
            rules=self._rules(technologies),
            cost_formulas=MappingProxyType(costs),
            snapshots=tuple(self._snapshot(name) for name in sorted(self._snapshots)),
            standards=MappingProxyType(self._standards(technologies)),
            disagreements=tuple(self._disagreements),
        )

    def _layers(self, criteria: set[str]) -> tuple[Layer, ...]:
        layers = []
        needed = tuple(field.name for field in fields(Layer) if field.name != "by_default")
        for row in self._documents["layers.yaml"]:
            self._where = f"layers.yaml, {row.get('id', 'entry without id')}"
            self._need(row, needed)
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
                    by_default=row.get("by_default", True),
                )
            )
        return tuple(sorted(layers, key=lambda layer: layer.order))

    def _technologies(
        self, layers: tuple[Layer, ...], classes: Mapping[str, int]
    ) -> dict[str, Technology]:
        technologies: dict[str, Technology] = {}
        files = [
            (name, rows, False)
            for name, rows in self._documents.items()
            if name.startswith("technologies/")
        ]
        for name, rows, own in (*files, ("your own technologies", self._own.technologies, True)):
            for row in with_rarer(rows):
                self._where = f"{name}, {row.get('id', 'entry without id')}"
                technology = replace(self._technology(row, layers), own=own)
                if technology.id in technologies:
                    self._refuse("this id is used twice")
                technologies[technology.id] = technology
                self._check_licence(technology, classes)
        known = set(technologies)
        for name, snapshot in self._snapshots.items():
            self._where = f"facts/{name}.yaml"
            if strange := {*snapshot["facts"], *snapshot.get("cycles", {})} - known:
                self._refuse(f"{', '.join(sorted(strange))} does not exist")
        self._where = "your own facts"
        if strange := set(self._own.facts) - known:
            self._refuse(f"{', '.join(sorted(strange))} does not exist")
        return technologies

    def _snapshot(self, name: str) -> Snapshot:
        row = self._snapshots[name]
        self._where = f"facts/{name}.yaml"
        self._need(row, ("source", "locator", "as_of", "retrieved_at", "canary", "facts"))
        return Snapshot(
            connector=name,
            source=self._sources[row["source"]]["title"],
            locator=row["locator"],
            as_of=row["as_of"],
            retrieved_at=row["retrieved_at"],
            canary=row["canary"],
            facts=sum(map(len, row["facts"].values())),
        )

    def _costs(self) -> dict[str, formulas.Formula]:
        document = self._documents["costs.yaml"]
        units = {name: row["unit"] for name, row in self._attributes.items()}
        units |= {name: row["unit"] for name, row in document["inputs"].items()}
        found = {}
        for identity, row in document["formulas"].items():
            self._where = f"costs.yaml, {identity}"
            self._need(row, ("title", "unit", "text"))
            try:
                found[identity] = formulas.parse(
                    identity, row["title"], row["text"], row["unit"], units
                )
            except formulas.BadFormula as problem:
                self._refuse(str(problem))
        return found

    def _rules(self, technologies: Mapping[str, Technology]) -> tuple[Rule, ...]:
        rules = []
        for row in self._documents["compatibility.yaml"]:
            self._where = f"compatibility.yaml, {row.get('left')} {row.get('kind')}"
            self._need(row, ("kind", "left", "right", "why", "source", "locator", "as_of"))
            if row["kind"] not in RULE_KINDS:
                self._refuse(f"kind {row['kind']!r} is not one of {', '.join(RULE_KINDS)}")
            if strange := {row["left"], row["right"]} - set(technologies):
                self._refuse(f"{', '.join(sorted(strange))} does not exist")
            source = self._sources[row["source"]]
            rules.append(
                Rule(
                    id=f"rule.{row['kind']}.{row['left']}.{row['right']}",
                    kind=row["kind"],
                    left=row["left"],
                    right=row["right"],
                    why=row["why"],
                    strength=row.get("strength", 1.0),
                    source=source["title"],
                    locator=row["locator"],
                    as_of=row["as_of"],
                    grade=source["grade"],
                )
            )
        return tuple(rules)

    def _standards(self, technologies: Mapping[str, Technology]) -> dict[str, Standard]:
        found = {}
        for technology, row in self._own.standards.items():
            self._where = f"your standards, {technology}"
            if technology not in technologies:
                self._refuse("this technology does not exist")
            if row["verdict"] not in VERDICTS:
                self._refuse(f"verdict {row['verdict']!r} is not one of {', '.join(VERDICTS)}")
            found[technology] = Standard(
                technology, row["verdict"], row.get("reason", ""), row.get("until")
            )
        return found

    def _check_licence(self, technology: Technology, classes: Mapping[str, int]) -> None:
        fact = technology.facts["license"]
        expressions = [period.licence for period in technology.licences]
        if fact.state == "known":
            expressions.append(str(fact.value))
        for expression in expressions:
            try:
                licences.restriction(expression, classes)
            except KeyError as strange:
                self._refuse(f"licence {strange} is not in licences.yaml")

    def _check_links(
        self, layers: tuple[Layer, ...], technologies: Mapping[str, Technology]
    ) -> None:
        ids = {layer.id for layer in layers}
        for technology in technologies.values():
            self._where = technology.id
            if strange := {*technology.layers, *technology.alternative_in} - ids:
                self._refuse(f"layer {', '.join(sorted(strange))} does not exist")
            linked = {*technology.companions, *technology.requires}
            linked |= {one.technology for one in technology.offerings if one.technology}
            if strange := linked - set(technologies):
                self._refuse(f"{', '.join(sorted(strange))} does not exist")
        for layer in layers:
            self._where = f"layers.yaml, {layer.id}"
            count = sum(layer.id in technology.layers for technology in technologies.values())
            if count < MINIMUM_OPTIONS:
                self._refuse(f"{count} options; a layer needs at least {MINIMUM_OPTIONS}")
