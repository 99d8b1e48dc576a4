"""Latency, cost and risk of an option in figures, each with the facts it rests on."""

from __future__ import annotations

import datetime as dt
from typing import Any

from agent.recommender.catalogue import Catalogue, Fact, Layer, Technology
from agent.recommender.constraints import Constraints
from agent.recommender.elimination import DAYS_PER_MONTH

HOURS_PER_MONTH = 730
# Layers whose servers keep the request's data; elsewhere storage is not counted.
STORES_DATA = ("relational-data", "vector-search")
ADVISORIES = "advisories_2022_10_to_2024_10"
RISKS = ("Support", "Known advisories", "Unknown share")
ADVISORY_WINDOW = "2022-10-10 to 2024-10-10"


def latency(layer: Layer, technology: Technology, today: dt.date) -> dict[str, Any]:
    """The first figure the layer asks for that is known: {label, text, value, unit, facts}."""
    for name in layer.latency:
        fact = technology.facts.get(name)
        if fact is not None and fact.state == "known":
            caveat = _caveat(fact, today)
            text = f"{fact.label}: {fact.shown()}{caveat}"
            return _figure("Latency", text, [fact], fact.value, fact.unit)
    fact = technology.facts["latency"]
    if fact.state == "n/a":
        return _figure("Latency", "not applicable", [fact])
    reason = "not in the benchmarks read" if layer.latency else "no comparable benchmark"
    return _figure("Latency", f"unknown: {reason}", [fact])


def monthly_cost(
    layer: Layer, technology: Technology, constraints: Constraints, catalogue: Catalogue
) -> dict[str, Any]:
    """List-price estimate in US dollars a month: {label, text, value, unit, facts}.

    Servers: assumed copies x (vCPU + memory) at list price, with the request's data stored once
    per copy in layers that keep it. An estimate to compare options with, not a quote.
    """
    managed = technology.facts.get("managed_price_per_hour")
    size = [technology.facts.get(name) for name in ("size_copies", "size_vcpu", "size_ram_gb")]
    known = [fact for fact in size if fact is not None and fact.state == "known"]
    if constraints.hosting == "managed" and managed is not None and managed.state == "known":
        known = []
    if len(known) == 3:
        copies, vcpu, memory = (float(str(fact.value)) for fact in known)
        cloud = _cloud(constraints, catalogue)
        prices = [cloud.facts[name] for name in ("vcpu_price", "ram_price")]
        hourly = vcpu * float(str(prices[0].value)) + memory * float(str(prices[1].value))
        if layer.id in STORES_DATA and constraints.data_gb:
            storage = cloud.facts["storage_price"]
            prices.append(storage)
            hourly += constraints.data_gb * float(str(storage.value))
        dollars = round(copies * hourly * HOURS_PER_MONTH)
        text = (
            f"about {dollars:,} USD/month of servers "
            f"({copies:g} x {vcpu:g} vCPU, {memory:g} GB; sizes are judgement, {cloud.name} list "
            "prices are grade C)"
        )
        return _figure("Cost", text, [*known, *prices], dollars, "USD/month")
    if managed is not None and managed.state == "known":
        dollars = round(float(str(managed.value)) * HOURS_PER_MONTH)
        text = f"from {dollars:,} USD/month (smallest managed size, {managed.note})"
        return _figure("Cost", text, [managed], dollars, "USD/month")
    size_fact = technology.facts.get("size_copies")
    if size_fact is not None and size_fact.state == "n/a":
        return _figure("Cost", "no servers of its own", [size_fact])
    unread = size_fact or technology.facts["name"]
    return _figure("Cost", "unknown: no public price read", [unread])


def risk(
    technology: Technology, today: dt.date, missing: float, to_verify: int
) -> list[dict[str, Any]]:
    """Support left, known advisories, the share of the score that rests on unknowns."""
    rows = []
    end = technology.facts["latest_cycle_eol"]
    if end.state == "known":
        days = (dt.date.fromisoformat(str(end.value)) - today).days
        left = (
            f"{days / DAYS_PER_MONTH:.0f} months left" if days >= 0 else "ended; use an older line"
        )
        text = f"latest line supported until {end.value} ({left}){_caveat(end, today)}"
        rows.append(_figure("Support", text, [end], round(days / DAYS_PER_MONTH, 1), "months"))
    else:
        text = "unknown: no published end of life read"
        rows.append(_figure("Support", "no release lines" if end.state == "n/a" else text, [end]))
    rows.append(known_advisories(technology, today))
    rows.append(
        _figure(
            "Unknown share",
            f"{missing:.0%} of the score rests on unknowns, {to_verify} to verify",
            [technology.facts["name"]],
            round(missing, 4),
            "share",
        )
    )
    return rows


def risk_sentence(figures: list[dict[str, Any]]) -> str:
    """The risk figures of an option on one line, each with its label."""
    return "; ".join(
        f"{figure['label'].lower()}: {figure['text']}"
        for figure in figures
        if figure["label"] in RISKS
    )


def known_advisories(technology: Technology, today: dt.date) -> dict[str, Any]:
    """Count of advisories with its window, or unknown: never 0 for want of a source."""
    fact = technology.facts[ADVISORIES]
    if fact.state == "n/a":
        return _figure("Known advisories", "not applicable", [fact])
    if fact.state != "known":
        return _figure("Known advisories", "unknown: no advisory source was read for it", [fact])
    text = f"{fact.value} published {ADVISORY_WINDOW}{_caveat(fact, today)}"
    return _figure("Known advisories", text, [fact], fact.value, fact.unit)


def _cloud(constraints: Constraints, catalogue: Catalogue) -> Technology:
    """The cloud the organisation runs already, else the first of the catalogue's price list."""
    for name in constraints.already_run:
        found = catalogue.find(name)
        if found is not None and "vcpu_price" in found.facts:
            return found
    return next(tech for tech in catalogue.technologies.values() if "vcpu_price" in tech.facts)


def _caveat(fact: Fact, today: dt.date) -> str:
    reasons = []
    if fact.is_stale(today):
        reasons.append(f"stale, as of {fact.as_of}")
    if fact.by_hand or fact.grade in ("C", "D", "S"):
        reasons.append(fact.basis())
    return f" ({', '.join(reasons)})" if reasons else ""


def _figure(
    label: str, text: str, facts: list[Fact], value: Any = None, unit: str = ""
) -> dict[str, Any]:
    return {
        "label": label,
        "text": text,
        "value": value,
        "unit": unit,
        "facts": [fact.id for fact in facts],
    }
