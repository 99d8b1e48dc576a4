"""What one option is worth on one criterion: fixed anchors, whatever stands beside it."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import replace

from agent.recommender import licences
from agent.recommender.catalogue import Fact, Technology
from agent.recommender.constraints import plain
from agent.recommender.valuation import Parts, Setting, Valuation, curve_of, on_curve

MUST, ASKED, ORDINARY = 16.0, 12.0, 1.0
UNASKED = 0.5
NEW_TO_THE_TEAM, NOTHING_LIKE_IT = 0.15, 0.2
# Where what runs now is to go, something new costs nothing more than any other new thing.
FREE_TO_CHOOSE = 0.5
SIMPLE_NEED = re.compile(r"\b(?:fairly |quite |very )?(?:simple|basic|small|tiny|trivial)\b", re.I)
RECORDS = "relational-data"
KEEPS_RECORDS = re.compile(
    r"\b(?:relational|transaction\w*|sql|records|user accounts|stores? users|business data"
    r"|database-backed)\b",
    re.I,
)
# Where a service is used a little, its free or smallest plan is what it costs.
USED_A_LITTLE = re.compile(
    r"\b(?:small audience|few users|low (?:volume|traffic|usage)|free tier|prototype"
    r"|proof of concept|side project|hobby|pilot|little or no cost|internal tool)\b",
    re.I,
)
SMALLEST_PLAN = 0.75
# A question about one layer alone, with what fills it today: known ground, but an open question.
IN_QUESTION = 0.7
OWN_WAY = ("custom-build", "status-quo")
NAMED_ONLY = "request"  # the place of facts that an option's name alone gave
NEW_PLATFORM = "brings a platform with it that is not there yet"


def value_of(criterion: str, technology: Technology, setting: Setting) -> Valuation:
    """What `technology` is worth on `criterion`. Never depends on the other options."""
    return _VALUES[criterion](technology, setting)


def _features(technology: Technology, setting: Setting) -> Valuation:
    parts = Parts(setting)
    wanted = False
    for capability in setting.layer.capabilities:
        # An option that the catalogue lists elsewhere was not asked about this layer's.
        fact = technology.facts.get(f"capability.{capability}")
        weight = ORDINARY
        if capability in setting.constraints.must_haves:
            weight, wanted = MUST, True
        elif capability in setting.asked:
            weight, wanted = ASKED, True
        if fact is not None and fact.state == "known":
            parts.add(1.0 if fact.value else 0.0, fact, weight)
        else:
            parts.skip(fact, weight)
    found = parts.valuation()
    if wanted or not setting.layer.capabilities:
        return found
    # What nobody asked for decides little: more features are not the better product.
    neutral = setting.catalogue.neutral
    return replace(
        found,
        value=neutral + UNASKED * (found.value - neutral),
        note="; ".join(filter(None, [found.note, "nothing of it was asked for"])),
    )


def _stack_fit(technology: Technology, setting: Setting) -> Valuation:
    spoken = setting.languages
    if "any" in technology.languages:
        worth = 0.6
    elif not spoken:
        worth = 0.5
    elif spoken[0] in technology.languages:
        worth = 0.8
    else:
        worth = 0.5 if set(spoken) & set(technology.languages) else 0.0
    parts = Parts(setting)
    there = [*setting.named.there, *setting.chosen]
    known = setting.links.together.get(technology.id, {})
    together = [other for other in dict.fromkeys(there) if other in known]
    if together:
        names = ", ".join(setting.catalogue.technologies[other].name for other in together)
        worth += 0.3 * max(known[other] for other in together)
        parts.facts.append(technology.facts["companions"].id)
        parts.notes.append(f"often run together with {names}")
    if _needs_new_platform(technology, setting):
        worth -= 0.3
        parts.facts.append(technology.facts["requires"].id)
        parts.notes.append(NEW_PLATFORM)
    parts.add(min(1.0, max(0.0, worth)), technology.facts["languages"])
    return parts.valuation()


def _familiarity(technology: Technology, setting: Setting) -> Valuation:
    known = setting.named.skills
    if not known:
        return _new_things(technology, setting)
    own = {
        technology.id,
        plain(technology.id),
        plain(technology.name),
        *map(plain, technology.aliases),
    }
    generic = {plain(language) for language in technology.languages}
    specific = {plain(skill) for skill in technology.skills} - generic
    if known & own:
        return _stated(1.0, technology.facts["name"], "the team names it")
    skills_fact, languages = technology.facts["skills"], technology.facts["languages"]
    if _read_from_name(skills_fact):
        return _not_asked(setting, "the catalogue does not know what it asks for")
    if known & specific:
        return _linked(
            setting, NEW_TO_THE_TEAM, 0.85, skills_fact, "the team knows what it builds on"
        )
    if set(setting.languages) & set(technology.languages):
        return _linked(setting, NEW_TO_THE_TEAM, 0.6, languages, "the team knows its language")
    if not technology.skills:
        return _stated(0.5, skills_fact, "asks for no particular skill")
    return _stated(NEW_TO_THE_TEAM, skills_fact, "new to the team")


def _new_things(technology: Technology, setting: Setting) -> Valuation:
    """Familiarity where the request fears new things to learn and does not say what it knows.

    What runs already is known; an option that asks for no skill of its own is nothing new.
    """
    running = [setting.catalogue.technologies[name] for name in setting.named.running]
    if not fears_new_things(setting):
        return _not_asked(setting, "the request names no skills")
    skills = technology.facts["skills"]
    if _read_from_name(skills) and technology.id not in setting.named.running:
        return _not_asked(setting, "the catalogue does not know what it asks for")
    if not technology.skills or technology.id in setting.named.running:
        return _stated(FREE_TO_CHOOSE + 0.15, skills, "nothing new to learn")
    spoken = {language for one in running for language in one.languages} - {"any"}
    known = {skill for one in running for skill in one.skills}
    if known & set(technology.skills) or spoken & set(technology.languages):
        return _linked(setting, NEW_TO_THE_TEAM, 0.6, skills, "close to what runs already")
    return _stated(NEW_TO_THE_TEAM, skills, "something new to learn")


def _read_from_name(skills: Fact) -> bool:
    """Whether nothing is known of what an option asks for but what its name says."""
    return skills.state == "unknown" and skills.locator == NAMED_ONLY


def fears_new_things(setting: Setting) -> bool:
    """Whether familiarity matters to the request although it names no skills."""
    return not setting.constraints.skills and "familiarity" in setting.constraints.priorities


def _precedent(technology: Technology, setting: Setting) -> Valuation:
    leaving, running = setting.named.leaving, setting.named.running
    standard = setting.catalogue.standards.get(technology.id)
    fact = technology.facts["name"]
    if standard is not None and standard.verdict == "to_be_retired":
        return _stated(0.0, fact, f"to be retired by your own standard: {standard.reason}")
    if standard is not None and standard.verdict == "approved" and technology.id not in leaving:
        return _stated(1.0, fact, f"approved by your own standard: {standard.reason}")
    if not running and not leaving:
        return _not_asked(setting, "the request names nothing that runs already")
    if technology.id in leaving:
        return _stated(0.0, fact, "runs already, and the request is not content with it")
    if technology.id in running or (technology.id == "status-quo" and not leaving):
        if setting.constraints.layers == (setting.layer.id,):
            return _stated(IN_QUESTION, fact, "runs already, and the request puts it in question")
        return _stated(1.0, fact, "runs already")
    gone = [setting.catalogue.technologies[name] for name in leaving]
    replaced = any(setting.layer.id in technology.layers for technology in gone)
    base = FREE_TO_CHOOSE if replaced else NOTHING_LIKE_IT
    companions = technology.facts["companions"]
    known = setting.links.together.get(technology.id, {})
    near = [other for other in running if other in known]
    if near:
        names = ", ".join(setting.catalogue.technologies[other].name for other in near)
        note = f"goes with {names}, which runs already"
        return _linked(setting, base, max(0.65, base + 0.2), companions, note)
    if _needs_new_platform(technology, setting):
        return _linked(setting, base, 0.0, technology.facts["requires"], NEW_PLATFORM)
    return _stated(base, companions, "nothing like it runs already")


def _stated(worth: float, fact: Fact, note: str) -> Valuation:
    """The request names the technology, or nothing near it, so it counts fully."""
    return Valuation(worth, "request", 0.0, (fact.id,), note)


def _linked(setting: Setting, base: float, worth: float, fact: Fact, note: str) -> Valuation:
    """The request names something that the catalogue links to the technology.

    base: what it would be worth without the link, which moves it no further than it is trusted.
    """
    trust = 0.0 if fact.is_stale(setting.today) else setting.catalogue.trust[fact.grade]
    if not trust:
        return _stated(base, fact, "nothing that still counts links it to what the request names")
    capped = f"{note}; grade {fact.grade}: counted at {trust:.0%}"
    return Valuation(base + trust * (worth - base), fact.grade, 0.0, (fact.id,), capped)


def _not_asked(setting: Setting, note: str) -> Valuation:
    return Valuation(setting.catalogue.unknown, "", 1.0, (), note)


def _operations(technology: Technology, setting: Setting) -> Valuation:
    parts = Parts(setting)
    burden = technology.facts.get("operations_burden")
    if burden is None or burden.state != "known":
        parts.skip(burden)
        return parts.valuation()
    worth = curve_of(setting, "operations", "operations_burden", burden)
    if setting.constraints.run_by == "dedicated_team":
        # Whoever has people for it minds the work half as much.
        worth = (1 + worth) / 2
        parts.notes.append("a dedicated team runs it")
    elif technology.id == "custom-build" and SIMPLE_NEED.search(setting.constraints.building):
        # The work of building and keeping it grows with what it has to do.
        worth = max(worth, 0.75)
        parts.notes.append("the request calls the need simple")
    managed = technology.facts["hosting.managed"]
    if (
        setting.constraints.hosting == "managed"
        and technology.kind == "server"
        and managed.value is True
    ):
        light = setting.catalogue.criteria["operations"].curves["operations_burden"]
        worth = max(worth, on_curve([(x, y) for x, y in light], 2))
        parts.notes.append("taken as a managed service")
        parts.facts.append(managed.id)
    if _needs_new_platform(technology, setting):
        worth *= 0.5
        parts.notes.append(NEW_PLATFORM)
        parts.facts.append(technology.facts["requires"].id)
    parts.add(worth, burden)
    return parts.valuation()


def _needs_new_platform(technology: Technology, setting: Setting) -> bool:
    """Whether adopting it means adopting a platform below it that is not there yet."""
    there = {*setting.named.there, *setting.chosen}
    if not technology.requires or there & set(technology.requires):
        return False
    # Who keeps records has a relational database anyway, or will.
    return not (
        KEEPS_RECORDS.search(setting.constraints.building)
        and any(
            RECORDS in setting.catalogue.technologies[name].layers for name in technology.requires
        )
    )


def _judged(criterion: str, name: str) -> Callable[[Technology, Setting], Valuation]:
    def judged(technology: Technology, setting: Setting) -> Valuation:
        parts = Parts(setting)
        fact = technology.facts.get(name)
        if fact is None or fact.state != "known":
            parts.skip(fact)
        else:
            parts.add(curve_of(setting, criterion, name, fact), fact)
        return parts.valuation()

    return judged


def _cost(technology: Technology, setting: Setting) -> Valuation:
    parts = Parts(setting)
    level = technology.facts.get("cost_level")
    if level is None or level.state != "known":
        parts.skip(level)
        return parts.valuation()
    worth = curve_of(setting, "cost", "cost_level", level)
    if (
        technology.kind == "service"
        and worth < SMALLEST_PLAN
        and USED_A_LITTLE.search(setting.constraints.building)
    ):
        worth = SMALLEST_PLAN
        parts.notes.append("used a little, so taken at its smallest plan")
    parts.add(worth, level)
    return parts.valuation()


def _openness(technology: Technology, setting: Setting) -> Valuation:
    parts = Parts(setting)
    licence = technology.facts["license"]
    if licence.state == "known":
        restricted = licences.restriction(str(licence.value), setting.catalogue.licence_classes)
        anchors = setting.catalogue.criteria["openness"].curves["licence_class"]
        parts.add(on_curve([(x, y) for x, y in anchors], restricted), licence)
    elif licence.state != "n/a":
        parts.skip(licence)
    lock_in = technology.facts.get("lock_in")
    if lock_in is not None and lock_in.state == "known":
        worth = curve_of(setting, "openness", "lock_in", lock_in)
        if _needs_new_platform(technology, setting):
            worth *= 0.5
            parts.notes.append(NEW_PLATFORM)
        parts.add(worth, lock_in)
    else:
        parts.skip(lock_in)
    return parts.valuation()


def _assurance(technology: Technology, setting: Setting) -> Valuation:
    parts = Parts(setting)
    for name in (
        "assurance.signed_releases",
        "assurance.sbom_published",
        "assurance.provenance",
        "compliance.soc2_report",
    ):
        fact = technology.facts.get(name)
        if fact is None or fact.state == "n/a":
            continue
        if fact.state == "known":
            parts.add(1.0 if fact.value else 0.0, fact)
        else:
            parts.skip(fact)
    return parts.valuation()


def _longevity(technology: Technology, setting: Setting) -> Valuation:
    parts = Parts(setting)
    if technology.kind in ("service", "approach"):
        fact = technology.facts["name"]
        return Valuation(setting.catalogue.neutral, fact.grade, 0.0, (fact.id,), "no release lines")
    months = technology.facts.get("median_support_months")
    if months is not None and months.state == "known":
        parts.add(curve_of(setting, "longevity", "median_support_months", months), months)
    else:
        parts.skip(months)
    released = technology.facts.get("latest_release_date")
    if released is not None and released.state == "known":
        # Days before the source was read: how long ago that was says nothing about the project.
        days = (released.as_of - dt.date.fromisoformat(str(released.value))).days
        anchors = setting.catalogue.criteria["longevity"].curves["days_since_release"]
        parts.add(on_curve([(x, y) for x, y in anchors], days), released)
    else:
        parts.skip(released)
    return parts.valuation()


def _performance(technology: Technology, setting: Setting) -> Valuation:
    parts = Parts(setting)
    curves = setting.catalogue.criteria["performance"].curves
    for name in setting.layer.latency:
        fact = technology.facts.get(name)
        if name in curves and fact is not None and fact.state == "known":
            parts.add(curve_of(setting, "performance", name, fact), fact)
    return parts.valuation()


def _adoption(technology: Technology, setting: Setting) -> Valuation:
    """Popularity, maturity and community go together, so they share one weight."""
    parts = Parts(setting)
    if technology.kind == "approach" and technology.id in OWN_WAY:
        fact = technology.facts["name"]
        return Valuation(
            setting.catalogue.neutral, fact.grade, 0.0, (fact.id,), "nothing others could adopt"
        )
    for name in setting.catalogue.criteria["adoption"].curves:
        figure = technology.facts.get(name)
        if figure is None or figure.state != "known" or figure.is_stale(setting.today):
            continue
        parts.add(curve_of(setting, "adoption", name, figure), figure)
    return parts.valuation()


_VALUES: dict[str, Callable[[Technology, Setting], Valuation]] = {
    "features": _features,
    "stack_fit": _stack_fit,
    "familiarity": _familiarity,
    "precedent": _precedent,
    "operations": _operations,
    "cost": _cost,
    "openness": _openness,
    "assurance": _assurance,
    "longevity": _longevity,
    "performance": _performance,
    "adoption": _adoption,
}
