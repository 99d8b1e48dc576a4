"""The bill of materials of the chosen stack, for people in Markdown, for machines in CycloneDX."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from typing import Any

from cyclonedx.model import Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression
from cyclonedx.model.service import Service
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from agent.recommender import figures
from agent.recommender.catalogue import Catalogue, Technology
from agent.recommender.constraints import Constraints
from agent.recommender.markdown import document, escaped, fact_ids, table

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://countersign.invalid/recommendation")
COMPONENT_TYPES = {
    "language": ComponentType.PLATFORM,
    "framework": ComponentType.FRAMEWORK,
    "library": ComponentType.LIBRARY,
    "server": ComponentType.APPLICATION,
    "tool": ComponentType.APPLICATION,
    "approach": ComponentType.APPLICATION,
}
ASSURANCES = {
    "assurance.signed_releases": "signed releases",
    "assurance.sbom_published": "bill of materials",
    "assurance.provenance": "provenance",
    "compliance.soc2_report": "SOC 2 report",
}


def bill_of_materials(
    constraints: Constraints, catalogue: Catalogue, scored: Mapping[str, Any], today: dt.date
) -> bytes:
    """The table of what was chosen, with licence, version, assurances, advisories and controls."""
    chosen = [
        (layer, catalogue.technologies[layer["winner"]])
        for layer in scored["layers"]
        if layer["winner"]
    ]
    return document(
        [
            "# Bill of materials",
            f"For “{escaped(constraints.title)}”, as of {today.isoformat()}. “unknown” means that "
            "no source was read; it never means none. Grade J means our judgement, or entered by "
            "hand and not re-read: look it up before you rely on it.",
            "## Stack",
            table(
                ("Layer", "Primary choice", "Rationale", "Alternative 1", "Alternative 2"),
                (_stack_row(catalogue, layer) for layer in scored["layers"]),
            ),
            "## Licence and version",
            table(
                ("Item", "Version", "Licence", "Basis of the licence", "Facts"),
                (_licence_row(technology) for _, technology in chosen),
            ),
            "## Supply-chain assurances with known advisories",
            table(
                ("Item", "Assurances", "Known advisories", "Facts"),
                (_assurance_row(technology, today) for _, technology in chosen),
            ),
            "## Recommended controls",
            table(
                ("Layer", "Item", "Controls"),
                (
                    (
                        layer["title"],
                        technology.name,
                        "; ".join(catalogue.layer(layer["layer"]).controls),
                    )
                    for layer, technology in chosen
                ),
            ),
        ]
    )


def bill_for_machines(
    constraints: Constraints,
    catalogue: Catalogue,
    scored: Mapping[str, Any],
    *,
    request_id: str,
    today: dt.date,
) -> bytes:
    """The same bill as CycloneDX 1.6 JSON. The same request always gives the same bytes."""
    bom = Bom(serial_number=uuid.uuid5(NAMESPACE, request_id))
    bom.metadata.timestamp = dt.datetime.combine(today, dt.time(), tzinfo=dt.UTC)
    bom.metadata.component = Component(
        name=constraints.title, type=ComponentType.APPLICATION, bom_ref="stack"
    )
    layers: dict[str, list[str]] = {}
    for layer in scored["layers"]:
        if layer["winner"]:
            layers.setdefault(layer["winner"], []).append(layer["layer"])
    items = []
    for name, layer_ids in layers.items():
        item = _item(catalogue.technologies[name], layer_ids)
        items.append(item)
        if isinstance(item, Service):
            bom.services.add(item)
        else:
            bom.components.add(item)
    bom.register_dependency(
        bom.metadata.component, [item for item in items if isinstance(item, Component)]
    )
    text: str = JsonV1Dot6(bom).output_as_string(indent=2)
    return f"{text}\n".encode()


def _item(technology: Technology, layer_ids: list[str]) -> Component | Service:
    version = technology.facts.get("latest_version")
    number = str(version.value) if version is not None and version.state == "known" else None
    licence = technology.facts["license"]
    properties = [Property(name="countersign:layer", value=name) for name in layer_ids]
    properties += [
        Property(name="countersign:fact", value=fact.id)
        for fact in (version, licence)
        if fact is not None
    ]
    if licence.state == "known":
        properties.append(Property(name="countersign:licence-basis", value=licence.basis()))
    licences: list[DisjunctiveLicense | LicenseExpression] = []
    if licence.state == "known":
        expression = str(licence.value)
        compound = any(word in expression for word in (" OR ", " AND ", " WITH "))
        if compound:
            licences = [LicenseExpression(expression)]
        elif expression.startswith("LicenseRef-"):
            licences = [DisjunctiveLicense(name=expression.removeprefix("LicenseRef-"))]
        else:
            licences = [DisjunctiveLicense(id=expression)]
    if technology.kind == "service":
        return Service(
            name=technology.name,
            bom_ref=technology.id,
            licenses=licences,
            properties=properties,
        )
    purl = None
    if technology.purl:
        bare = PackageURL.from_string(technology.purl)
        purl = PackageURL(bare.type, bare.namespace, bare.name, number)
    return Component(
        name=technology.name,
        version=number,
        type=COMPONENT_TYPES[technology.kind],
        bom_ref=technology.id,
        purl=purl,
        licenses=licences,
        properties=properties,
    )


def _stack_row(catalogue: Catalogue, layer: Mapping[str, Any]) -> tuple[str, ...]:
    names = [catalogue.technologies[name].name for name in layer["alternatives"]]
    names += ["—"] * (2 - len(names))
    if layer["winner"] is None:
        return (layer["title"], "open", layer["short"], *names)
    reason = layer["why"][0]["sentence"] if layer["why"] else layer["confidence"]["sentence"]
    return (layer["title"], catalogue.technologies[layer["winner"]].name, reason, *names)


def _licence_row(technology: Technology) -> tuple[str, ...]:
    licence = technology.facts["license"]
    version = technology.facts.get("latest_version")
    ids = [licence.id] + ([version.id] if version else [])
    shown = version.shown() if version else "operated as a service, no version"
    basis = licence.basis() if licence.state == "known" else "—"
    return (technology.name, shown, licence.shown(), basis, fact_ids(ids))


def _assurance_row(technology: Technology, today: dt.date) -> tuple[str, ...]:
    words, ids = [], []
    for name, title in ASSURANCES.items():
        fact = technology.facts.get(name)
        if fact is None or fact.state == "n/a":
            continue
        basis = f" (grade {fact.grade})" if fact.state == "known" else ""
        words.append(f"{title}: {fact.shown()}{basis}")
        ids.append(fact.id)
    advisories = figures.known_advisories(technology, today)
    return (
        technology.name,
        "; ".join(words) or "not applicable",
        advisories["text"],
        fact_ids([*ids, *advisories["facts"]]),
    )
