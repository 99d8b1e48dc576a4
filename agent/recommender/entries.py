"""Reads one entry of the catalogue with all its facts, and says which of two facts is believed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from agent.recommender.additions import Own
from agent.recommender.catalogue import (
    GRADES,
    KINDS,
    LOOKED_UP,
    TYPED_UNKNOWNS,
    BadCatalogue,
    Capability,
    Cycle,
    Fact,
    Layer,
    LicencePeriod,
    Offering,
    Technology,
)

_NONE_READ = "none-read"


class EntryReader:
    """Turns rows of the parsed files into technologies, remembering which one is being read."""

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

    def _refuse(self, problem: str) -> None:
        raise BadCatalogue(f"{self._where}: {problem}")

    def _need(self, row: Mapping[str, Any], keys: tuple[str, ...]) -> None:
        if missing := [key for key in keys if key not in row]:
            self._refuse(f"{', '.join(missing)} is missing")

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


def with_rarer(rows: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
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
