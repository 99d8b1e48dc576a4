"""Reads the catalogue's YAML files, refusing files that contradict themselves."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from agent.recommender import formulas, licences, names
from agent.recommender.catalogue import (
    GENERIC,
    GRADES,
    KINDS,
    LOOKED_UP,
    MINIMUM_OPTIONS,
    RULE_KINDS,
    TYPED_UNKNOWNS,
    VERDICTS,
    BadCatalogue,
    Capability,
    Catalogue,
    Criterion,
    Cycle,
    Fact,
    Layer,
    LicencePeriod,
    Offering,
    Proof,
    Rule,
    Snapshot,
    Standard,
    Technology,
)

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


class _Reader:
    """Turns the parsed files into a Catalogue, remembering which file is being read."""

    def __init__(self, documents: Mapping[str, Any], own: Own) -> None:
        self._documents = documents
        self._own = own
        self._sources = documents["sources.yaml"]
        self._attributes = documents["attributes.yaml"]
        self._capabilities = {
            key: Capability(key, row["title"], tuple(row["words"]))
            for key, row in documents["capabilities.yaml"].items()
        }
        self._snapshots = {
            name.removeprefix("facts/").removesuffix(".yaml"): document
            for name, document in documents.items()
            if name.startswith("facts/")
        } | dict(own.snapshots)
        self._where = ""
        self._disagreements: list[tuple[Fact, Fact]] = []

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

    def _refuse(self, problem: str) -> None:
        raise BadCatalogue(f"{self._where}: {problem}")

    def _need(self, row: Mapping[str, Any], keys: tuple[str, ...]) -> None:
        if missing := [key for key in keys if key not in row]:
            self._refuse(f"{', '.join(missing)} is missing")

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
            for row in _with_rarer(rows):
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

    def _technology(self, row: Mapping[str, Any], layers: tuple[Layer, ...]) -> Technology:
        self._need(row, ("id", "name", "layers", "kind", "languages", "skills", "companions"))
        if row["kind"] not in KINDS:
            self._refuse(f"kind {row['kind']!r} is not one of {', '.join(KINDS)}")
        return Technology(
            id=row["id"],
            name=row["name"],
            aliases=tuple(row.get("aliases", ())),
            layers=tuple(row["layers"]),
            kind=row["kind"],
            languages=tuple(row["languages"]),
            skills=tuple(row["skills"]),
            companions=tuple(row["companions"]),
            requires=tuple(row.get("requires", ())),
            purl=row.get("purl", ""),
            facts=MappingProxyType(self._facts(row, layers)),
            vendor=row.get("vendor", ""),
            licences=tuple(self._period(period) for period in row.get("licences", ())),
            cycles=self._cycles(row["id"]),
            offerings=tuple(
                Offering(one["name"], one["provider"], one.get("technology", ""))
                for one in row.get("offerings", ())
            ),
            cost_formula=row.get("cost", ""),
            known_as=MappingProxyType(dict(row.get("known_as", {}))),
            alternative_in=_alternative_in(row, layers),
            rare=row.get("rare", False),
        )

    def _facts(self, row: Mapping[str, Any], layers: tuple[Layer, ...]) -> dict[str, Fact]:
        """Every fact of one entry: said in it, read by a connector, or a typed unknown."""
        identity = row["id"]
        documented = row.get("documented")
        own = row.get("facts") or {}
        if not documented:
            self._need(own, ("license",))
        read = documented or own["license"]
        self._need(read, ("source", "locator", "as_of"))
        about = {key: read[key] for key in ("source", "locator", "as_of")}
        judged = {**about, "source": "judgement", "locator": "Countersign catalogue"}
        said: list[tuple[str, Mapping[str, Any], str]] = [
            ("languages", {**about, "value": ", ".join(row["languages"]) or None}, "Languages"),
            ("skills", {**about, "value": ", ".join(row["skills"]) or None}, "Skills it asks for"),
            ("name", {**about, "value": row["name"]}, "Name"),
            (
                "companions",
                {**judged, "value": ", ".join(row["companions"]) or "none"},
                "Often run together with",
            ),
            (
                "requires",
                {**about, "value": " or ".join(row.get("requires", ())) or "n/a"},
                "Runs only with",
            ),
        ]
        if offerings := row.get("offerings"):
            names = ", ".join(f"{one['name']} ({one['provider']})" for one in offerings)
            said.append(("offerings", {**about, "value": names}, "Run for you as"))
        if repository := row.get("known_as", {}).get("github"):
            said.append(("repository", {**about, "value": repository}, "Source repository"))
        if vendor := row.get("vendor"):
            said.append(("vendor", {**about, "value": vendor}, "Vendor or steward"))
        said += [(attribute, entry, "") for attribute, entry in own.items()]
        if documented:
            said += [
                (attribute, {**about, "value": value}, "")
                for attribute, value in documented["values"].items()
            ]
        said += [
            (attribute, {**judged, "value": value}, "")
            for attribute, value in (row.get("judged") or {}).items()
        ]
        facts = {
            attribute: self._fact(identity, attribute, entry, label)
            for attribute, entry, label in said
        }
        for fact in self._brought_in(identity):
            before = facts.get(fact.attribute)
            facts[fact.attribute] = fact if before is None else _believed(before, fact)
            if before is not None and fact.secondary and _contradicts(before, fact):
                self._disagreements.append((before, fact))
        nothing = {**about, "source": _NONE_READ, "locator": "none", "value": "unknown"}
        for attribute in _looked_up((*row["layers"], *_alternative_in(row, layers)), layers):
            if attribute not in facts:
                facts[attribute] = self._fact(identity, attribute, nothing)
        return facts

    def _brought_in(self, technology: str) -> Iterable[Fact]:
        """What connectors and the tenant say of a technology."""
        for snapshot in self._snapshots.values():
            for attribute, value in snapshot["facts"].get(technology, {}).items():
                entry = dict(value) if isinstance(value, Mapping) else {"value": value}
                if "locator" in entry and "as_of" not in entry:
                    # A place in what was read, whose revision stands at the top of the file.
                    entry["locator"] = f"{snapshot['locator']}, {entry['locator']}"
                yield self._fact(
                    technology,
                    attribute,
                    {
                        **{key: snapshot[key] for key in ("source", "locator", "as_of")},
                        "retrieved_at": snapshot["retrieved_at"],
                        **entry,
                    },
                )
        for attribute, entry in self._own.facts.get(technology, {}).items():
            yield self._fact(technology, attribute, entry)

    def _fact(
        self, technology: str, attribute: str, entry: Mapping[str, Any], label: str = ""
    ) -> Fact:
        self._need(entry, ("value", "source", "locator", "as_of"))
        source = self._sources.get(entry["source"])
        if source is None:
            self._refuse(f"{attribute}: source {entry['source']!r} is not in sources.yaml")
        for key in ("as_of", "retrieved_at"):
            if not isinstance(entry.get(key, entry["as_of"]), dt.date):
                self._refuse(f"{attribute}: {key} must be a date such as 2026-11-23")
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
            retrieved_at=entry.get("retrieved_at", entry["as_of"]),
            method=source.get("method", ""),
            versions=entry.get("versions", ""),
            secondary=source.get("secondary", False),
        )

    def _period(self, row: Mapping[str, Any]) -> LicencePeriod:
        self._need(row, ("licence", "source", "locator"))
        return LicencePeriod(
            licence=row["licence"],
            from_version=row.get("from_version", ""),
            since=row.get("since"),
            source=self._sources[row["source"]]["title"],
            locator=row["locator"],
        )

    def _cycles(self, technology: str) -> tuple[Cycle, ...]:
        for snapshot in self._snapshots.values():
            if rows := snapshot.get("cycles", {}).get(technology):
                return tuple(
                    Cycle(
                        str(name),
                        released,
                        ends if isinstance(ends, dt.date) else None,
                        latest,
                        lts,
                    )
                    for name, released, ends, latest, lts in rows
                )
        return ()

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


def _with_rarer(rows: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The entries, each followed by the rarer products of its kind that it lists.

    A rarer product is judged like the entry that lists it, never better known than "some use it",
    and of hosting and capabilities nothing is claimed beyond what that judgement says.
    """
    for row in rows:
        yield row
        for rarer in row.get("rarer", ()):
            documented = row["documented"]
            yield {
                **{key: row[key] for key in ("layers", "kind", "languages")},
                "id": rarer["id"],
                "name": rarer["name"],
                "aliases": rarer.get("aliases", ()),
                "skills": [rarer["id"]],
                "companions": [],
                "rare": True,
                "facts": {
                    "license": {
                        "value": rarer.get("license", "unknown"),
                        "source": "licence-file" if "license" in rarer else _NONE_READ,
                        "locator": f"{rarer['name']}: licence" if "license" in rarer else "none",
                        "as_of": documented["as_of"],
                    }
                },
                "documented": {
                    "source": "judgement",
                    "locator": f"Countersign catalogue, judged like {row['name']}",
                    "as_of": documented["as_of"],
                    "values": {
                        key: value
                        for key, value in documented["values"].items()
                        if key.startswith("capability.")
                    },
                },
                "judged": {**row["judged"], "standing": min(row["judged"]["standing"], 2)},
            }


def _alternative_in(row: Mapping[str, Any], layers: tuple[Layer, ...]) -> tuple[str, ...]:
    """Layers in which the entry is a way of doing without; `all` stands for every other layer."""
    said = row.get("alternative_in", ())
    every = tuple(layer.id for layer in layers if layer.id not in row["layers"])
    return every if said == "all" else tuple(said)


def _looked_up(wanted: Iterable[str], layers: tuple[Layer, ...]) -> list[str]:
    """Attributes that every option of those layers has, be it as an unknown."""
    found = [*LOOKED_UP]
    for layer in layers:
        if layer.id in wanted:
            found += [f"capability.{name}" for name in layer.capabilities]
    return list(dict.fromkeys(found))


def _contradicts(one: Fact, other: Fact) -> bool:
    return "known" == one.state == other.state and one.value != other.value


def _believed(one: Fact, other: Fact) -> Fact:
    """Of two facts about the same, the known, the better graded, the younger, the later read.

    A secondary source confirms or fills a gap; when it contradicts, the other stands.
    """
    if _contradicts(one, other) and one.secondary != other.secondary:
        return other if one.secondary else one

    def worth(fact: Fact) -> tuple[bool, int, dt.date]:
        return (fact.state == "known", -GRADES.index(fact.grade), fact.as_of)

    return one if worth(one) > worth(other) else other
