"""The second step: options ruled out, each by a named constraint resting on a named fact."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from agent.recommender import licences
from agent.recommender.catalogue import Catalogue, Fact, Layer, Technology
from agent.recommender.constraints import Constraints, plain
from agent.recommender.evidence import check_same_catalogue

DAYS_PER_MONTH = 30.4375
# A project that released nothing for this long is taken to have no successor line coming.
SILENCE_DAYS = 548

HOSTING_WORDS = {
    "managed": "a managed service",
    "self_hosted": "self-hosting",
    "air_gapped": "running without internet access",
}
# Kinds that live inside something else that is hosted.
EMBEDDED = ("language", "framework", "library", "tool", "approach")


@dataclass(frozen=True, slots=True)
class Finding:
    """What one constraint says about one option."""

    technology: str
    constraint: str
    fact: str
    sentence: str
    eliminates: bool  # False: somebody has to verify it


def eliminate(
    constraints: Constraints, catalogue: Catalogue, evidence: dict[str, Any], today: dt.date
) -> dict[str, Any]:
    """Rule options out, and list what has to be verified before one is adopted.

    Returns, ready for JSON: step "elimination"; catalogue: digest; today;
      layers: {layer id: {kept: [technology], eliminated: [finding],
        needs_verification: [finding]}} with finding = {technology, constraint, fact, sentence}.
    An unknown never eliminates and never passes silently: it is listed under
    needs_verification. Raises CatalogueChanged when `evidence` is of another catalogue.
    """
    check_same_catalogue(evidence, catalogue)
    layers = {}
    for layer_id, found in evidence["layers"].items():
        layer = catalogue.layer(layer_id)
        kept: list[str] = []
        out: list[Finding] = []
        verify: list[Finding] = []
        for option in found["options"]:
            technology = catalogue.technologies[option["technology"]]
            findings = list(_findings(constraints, catalogue, layer, technology, today))
            against = [finding for finding in findings if finding.eliminates]
            if against:
                out += against
            else:
                kept.append(technology.id)
                verify += findings
        layers[layer_id] = {
            "kept": kept,
            "eliminated": [_row(finding, catalogue) for finding in out],
            "needs_verification": [_row(finding, catalogue) for finding in verify],
        }
    return {
        "step": "elimination",
        "catalogue": catalogue.digest,
        "today": today.isoformat(),
        "layers": layers,
    }


def team_languages(constraints: Constraints, catalogue: Catalogue) -> list[str]:
    """Programming languages among the team's skills, in the order they were named."""
    known = {
        language: language
        for technology in catalogue.technologies.values()
        for language in technology.languages
        if language != "any"
    }
    spoken: list[str] = []
    for skill in constraints.skills:
        technology = catalogue.find(skill)
        named = [known[plain(skill)]] if plain(skill) in known else []
        if not named and technology is not None and technology.kind in ("language", "framework"):
            named = list(technology.languages)
        spoken += [language for language in named if language not in spoken]
    return spoken


def speaks(technology: Technology, layer_id: str, languages: Sequence[str]) -> bool:
    """Whether a technology can be used from one of `languages`. Browsers speak their own."""
    if technology.kind not in ("framework", "library", "tool") or layer_id == "frontend":
        return True
    return "any" in technology.languages or bool(set(languages) & set(technology.languages))


def present(constraints: Constraints, catalogue: Catalogue) -> list[str]:
    """Technologies the request says are there: what runs already, or what the team knows."""
    named = [catalogue.find(name) for name in (*constraints.already_run, *constraints.skills)]
    return [found.id for found in named if found is not None]


def _row(finding: Finding, catalogue: Catalogue) -> dict[str, str]:
    fact = catalogue.facts[finding.fact]
    sentence = finding.sentence
    # A name is what the request was matched with, so there is nothing to re-read.
    if finding.eliminates and fact.by_hand and fact.attribute != "name":
        sentence += f" The fact behind it: {fact.basis()}."
    return {
        "technology": finding.technology,
        "constraint": finding.constraint,
        "fact": finding.fact,
        "sentence": sentence,
    }


def _findings(
    constraints: Constraints,
    catalogue: Catalogue,
    layer: Layer,
    technology: Technology,
    today: dt.date,
) -> Iterator[Finding]:
    yield from _standard(catalogue, technology)
    yield from _named(constraints, catalogue, layer, technology)
    yield from _capabilities(constraints, catalogue, layer, technology)
    yield from _hosting(constraints, technology)
    yield from _licence(constraints, catalogue, technology)
    yield from _support(constraints, technology, today)
    yield from _language(constraints, catalogue, layer, technology)
    yield from _region(constraints, technology)
    yield from _requirement(constraints, catalogue, technology)
    yield from _latency(constraints, layer, technology, today)
    yield from _assurance(constraints, layer, technology)


def _standard(catalogue: Catalogue, technology: Technology) -> Iterator[Finding]:
    standard = catalogue.standards.get(technology.id)
    if standard is None or standard.verdict == "approved":
        return
    until = f" by {standard.until}" if standard.until else ""
    banned = standard.verdict == "banned"
    ruled = "banned" if banned else f"to be retired{until}"
    yield Finding(
        technology.id,
        "standards",
        technology.facts["name"].id,
        f"{technology.name} is {ruled} by your organisation's own standard: {standard.reason}",
        eliminates=banned,
    )


def _named(
    constraints: Constraints, catalogue: Catalogue, layer: Layer, technology: Technology
) -> Iterator[Finding]:
    fact = technology.facts["name"].id
    for name in constraints.must_nots:
        unwanted = catalogue.find(name)
        if unwanted is not None and unwanted.id == technology.id:
            yield Finding(
                technology.id,
                "must_nots",
                fact,
                f"The request rules out {technology.name}.",
                eliminates=True,
            )
    wanted = [
        found
        for name in constraints.must_haves
        if name not in catalogue.capabilities
        and (found := catalogue.find(name)) is not None
        and layer.id in found.layers
    ]
    if wanted and technology.id not in [found.id for found in wanted]:
        names = " or ".join(found.name for found in wanted)
        yield Finding(
            technology.id,
            "must_haves",
            fact,
            f"The request asks for {names} in this layer; this is {technology.name}.",
            eliminates=True,
        )


def _capabilities(
    constraints: Constraints, catalogue: Catalogue, layer: Layer, technology: Technology
) -> Iterator[Finding]:
    for wanted in constraints.must_haves:
        if wanted not in layer.capabilities:
            continue
        fact = technology.facts[f"capability.{wanted}"]
        title = catalogue.capabilities[wanted].title
        if fact.state != "known":
            yield _unknown(technology, "must_haves", fact, f"whether it has “{title}”")
        elif fact.value is False:
            yield Finding(
                technology.id,
                "must_haves",
                fact.id,
                f"{technology.name} lacks “{title}”, which the request calls a must.",
                eliminates=True,
            )


def _hosting(constraints: Constraints, technology: Technology) -> Iterator[Finding]:
    mode = constraints.hosting
    if mode == "any" or (mode == "managed" and technology.kind in EMBEDDED):
        return
    fact = technology.facts[f"hosting.{mode}"]
    if fact.state == "n/a":
        return
    if fact.state != "known":
        yield _unknown(technology, "hosting", fact, f"whether it allows {HOSTING_WORDS[mode]}")
    elif fact.value is False:
        yield Finding(
            technology.id,
            "hosting",
            fact.id,
            f"{technology.name} does not allow {HOSTING_WORDS[mode]}, which the request asks for.",
            eliminates=True,
        )


def _licence(
    constraints: Constraints, catalogue: Catalogue, technology: Technology
) -> Iterator[Finding]:
    policy = constraints.licence_policy
    fact = technology.facts["license"]
    if policy == "any" or fact.state == "n/a":
        return
    if fact.state != "known":
        yield _unknown(technology, "licence_policy", fact, "its licence")
        return
    if licences.permitted(licences.restriction(str(fact.value), catalogue.licence_classes), policy):
        return
    if technology.kind == "service" and policy != "osi_only":
        # Nothing of a service is shipped, so its terms are a matter for a person, not a rule.
        yield Finding(
            technology.id,
            "licence_policy",
            fact.id,
            f"{technology.name} comes with terms of service ({fact.value}), not with a software "
            "licence; have them read.",
            eliminates=False,
        )
        return
    yield Finding(
        technology.id,
        "licence_policy",
        fact.id,
        f"{technology.name} is under {fact.value}, which the policy “{policy}” does not allow.",
        eliminates=True,
    )


def _support(constraints: Constraints, technology: Technology, today: dt.date) -> Iterator[Finding]:
    end = technology.facts["latest_cycle_eol"]
    if end.state == "n/a":
        return
    if end.state != "known":
        yield _unknown(technology, "horizon_months", end, "how long it is supported")
        return
    last_day = dt.date.fromisoformat(str(end.value))
    horizon = today + dt.timedelta(days=round(constraints.horizon_months * DAYS_PER_MONTH))
    if last_day >= horizon:
        return
    released = technology.facts.get("latest_release_date")
    silent = (
        released is not None
        and released.state == "known"
        and (today - dt.date.fromisoformat(str(released.value))).days > SILENCE_DAYS
    )
    stale = end.is_stale(today)
    if silent and not stale:
        yield Finding(
            technology.id,
            "horizon_months",
            end.id,
            f"Support of {technology.name} ends on {last_day}, before the horizon of {horizon}, "
            "with no release since "
            f"{released.value if released else 'unknown'}.",
            eliminates=True,
        )
        return
    age = f" (as of {end.as_of}, stale)" if stale else ""
    yield Finding(
        technology.id,
        "horizon_months",
        end.id,
        f"Support of the latest release line of {technology.name} ends on {last_day}{age}, before "
        f"the horizon of {horizon}; plan the upgrade to a later line.",
        eliminates=False,
    )


def _language(
    constraints: Constraints, catalogue: Catalogue, layer: Layer, technology: Technology
) -> Iterator[Finding]:
    spoken = team_languages(constraints, catalogue)
    if not spoken or technology.kind == "language":
        return
    if "any" in technology.languages or set(spoken) & set(technology.languages):
        return
    fact = technology.facts["languages"]
    offered = ", ".join(technology.languages)
    if not speaks(technology, layer.id, spoken):
        yield Finding(
            technology.id,
            "skills",
            fact.id,
            f"{technology.name} is for {offered}; the team works in {', '.join(spoken)}.",
            eliminates=True,
        )
        return
    yield Finding(
        technology.id,
        "skills",
        fact.id,
        f"{technology.name} is documented for {offered}, not for {', '.join(spoken)}; check that "
        "the team can use it.",
        eliminates=False,
    )


def _region(constraints: Constraints, technology: Technology) -> Iterator[Finding]:
    if not constraints.regions or technology.kind != "service":
        return
    yield Finding(
        technology.id,
        "regions",
        technology.facts["hosting.managed"].id,
        f"{technology.name} runs where its operator runs it; verify that "
        f"{', '.join(constraints.regions)} is offered.",
        eliminates=False,
    )


def _requirement(
    constraints: Constraints, catalogue: Catalogue, technology: Technology
) -> Iterator[Finding]:
    if not technology.requires or set(technology.requires) & set(present(constraints, catalogue)):
        return
    names = " or ".join(catalogue.technologies[name].name for name in technology.requires)
    yield Finding(
        technology.id,
        "already_run",
        technology.facts["requires"].id,
        f"{technology.name} runs only with {names}, which the request does not name; check that "
        "it will be there.",
        eliminates=False,
    )


def _latency(
    constraints: Constraints, layer: Layer, technology: Technology, today: dt.date
) -> Iterator[Finding]:
    budget = constraints.latency_budget_ms
    if budget is None or not layer.latency:
        return
    figures = [
        technology.facts[name]
        for name in layer.latency
        if name in technology.facts and technology.facts[name].unit == "ms"
    ]
    for fact in figures:
        usable = fact.state == "known" and not fact.is_stale(today) and fact.grade in "ABC"
        if usable and isinstance(fact.value, int | float) and fact.value <= budget:
            return
    fact = figures[0] if figures else technology.facts["latency"]
    if fact.state == "n/a":
        return
    yield Finding(
        technology.id,
        "latency_budget_ms",
        fact.id,
        f"No comparable figure shows {technology.name} inside {budget:g} ms at the 95th "
        "percentile; measure it on your own workload.",
        eliminates=False,
    )


def _assurance(constraints: Constraints, layer: Layer, technology: Technology) -> Iterator[Finding]:
    if "slsa_l3" in constraints.compliance:
        fact = technology.facts["assurance.provenance"]
        if fact.state == "unknown":
            yield _unknown(technology, "compliance", fact, "whether it publishes build provenance")
    if "ssdf" in constraints.compliance:
        soc2 = technology.facts.get("compliance.soc2_report")
        if soc2 is not None and soc2.state == "unknown":
            yield _unknown(technology, "compliance", soc2, "whether its operator is audited")


def _unknown(technology: Technology, constraint: str, fact: Fact, what: str) -> Finding:
    return Finding(
        technology.id,
        constraint,
        fact.id,
        f"{technology.name}: {what} is unknown; verify it before adopting.",
        eliminates=False,
    )
