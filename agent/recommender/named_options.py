"""Options as people write them: found in the catalogue, read as a variant of it, or unknown."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

from agent.recommender.catalogue import LOOKED_UP, Catalogue, Fact, Layer, Technology, Value
from agent.recommender.constraints import plain
from agent.recommender.written_names import (
    MANAGED,
    SELF_HOSTED,
    has_unread_words,
    in_layer,
    parts_of,
)

KNOWN, READ, UNKNOWN = "known", "read from its name", "unknown"
MADE_BY = "only its vendor is known"
OWN_WORK = re.compile(
    r"custom|home-?(?:grown|made|brew)|in-?house|own\b|bespoke|self-?(?:built|written)|hand-?(?:rolled|"
    r"written|made)|diy|scripts?\b|from[- ]scratch|roll[- ](?:our|your|my)[- ]own"
    r"|internal[- ](?:tool|library)|(?:build|write|develop|implement)\b.*\b(?:our|it)"
)
NO_CHANGE = re.compile(
    r"status[- ]?quo|no[- ]?change|do[- ]?nothing|current|existing|as[- ]?is\b|keep|stay|none\b"
    r"|^no[- ]|^without\b|continue|stick with|remain|leave (?:it|things)|postpone|defer"
)


@dataclass(frozen=True, slots=True)
class NamedOption:
    """What one name was taken for. technology: id in the extended catalogue; how: see above."""

    name: str
    technology: str
    how: str
    sentence: str


def with_named_options(
    names: Sequence[str], layer: Layer, catalogue: Catalogue, today: dt.date
) -> tuple[Catalogue, list[NamedOption]]:
    """The catalogue with an entry for every one of `names`, and what each was taken for.

    A name that the catalogue does not know gets an entry of its own: what its parts say (vendor,
    hosting, base technology) is taken over and marked as judgement; all else is unknown, so that
    it is ranked by what is known and the reader is told. Order of `names` does not matter.
    """
    if all(layer.id != other.id for other in catalogue.layers):
        catalogue = dataclasses.replace(catalogue, layers=(*catalogue.layers, layer))
    extended = dict(catalogue.technologies)
    facts = dict(catalogue.facts)
    read = []
    taken: set[str] = set()
    # Where two names stand for one technology, it goes to the one spelt like it, however listed.
    for name in sorted(names, key=lambda name: (plain(name) not in catalogue.names, name)):
        found = in_layer(name, layer, catalogue)
        if found is not None and found.id not in taken:
            option = NamedOption(name, found.id, KNOWN, f"{found.name} is in the catalogue.")
            gaps = {
                attribute: _fact(found.id, attribute, None, today)
                for attribute in LOOKED_UP
                if attribute not in found.facts
            }
            if gaps:
                # A platform, which no layer asked for these; they are unknown, like any other gap.
                whole = MappingProxyType({**found.facts, **gaps})
                extended[found.id] = dataclasses.replace(found, facts=whole)
                facts |= {fact.id: fact for fact in gaps.values()}
        else:
            drafted, option = _drafted(name, layer, catalogue, today)
            extended[drafted.id] = drafted
            facts |= {fact.id: fact for fact in drafted.facts.values()}
        taken.add(option.technology)
        read.append(option)
    read.sort(key=lambda option: names.index(option.name))
    return (
        dataclasses.replace(
            catalogue,
            technologies=MappingProxyType(extended),
            names=MappingProxyType(
                {**{plain(option.name): option.technology for option in read}, **catalogue.names}
            ),
            facts=MappingProxyType(facts),
        ),
        read,
    )


def _drafted(
    name: str, layer: Layer, catalogue: Catalogue, today: dt.date
) -> tuple[Technology, NamedOption]:
    small = name.lower()
    parts = parts_of(name, catalogue)
    # What fills the layer is the option; what does not is what it runs on or belongs to.
    # A vendor's name before words that nobody knows is one of its services, not the vendor.
    unread = has_unread_words(name, parts)
    fillers = [
        part
        for part in parts
        if layer.id in part.layers and not (part.kind == "platform" and unread)
    ]
    if not fillers:
        # A product of another layer, or a part of one; a plugin's host is not the plugin.
        fillers = [part for part in parts if part.kind in ("service", "server", "tool")]
    around = [part for part in parts if part not in fillers]
    identity = f"named-{plain(name)}"
    if not fillers and all(part.kind != "platform" for part in around):
        for pattern, generic in ((NO_CHANGE, "status-quo"), (OWN_WORK, "custom-build")):
            base = catalogue.technologies.get(generic)
            if pattern.search(small) and base is not None:
                sentence = f"“{name}” is read as {base.name}."
                return _entry(identity, name, base, layer, around, today), NamedOption(
                    name, identity, READ, sentence
                )
    if not parts:
        entry = _entry(identity, name, None, layer, [], today)
        sentence = f"The catalogue does not know “{name}”; it is ranked by its name alone."
        return entry, NamedOption(name, identity, UNKNOWN, sentence)
    variant: dict[str, Value] = {}
    if SELF_HOSTED.search(small):
        variant = {"hosting.self_hosted": True, "hosting.managed": False, "operations_burden": 4}
    elif MANAGED.search(small):
        variant = {"hosting.managed": True, "operations_burden": 1}
    if fillers:
        base = fillers[0]
        others = [*fillers[1:], *around]
        said = ", ".join(part.name for part in [base, *others])
        how, sentence = READ, f"“{name}” is read as {said}."
    else:
        base, others = None, around
        vendor = any(part.kind == "platform" for part in around)
        how = MADE_BY if vendor else UNKNOWN
        said = ", ".join(part.name for part in around)
        sentence = f"The catalogue does not know “{name}”; its name says {said}, no more."
    if len(fillers) > 1:
        variant.setdefault(
            "operations_burden",
            min(5, 1 + max(_number(part, "operations_burden", 3) for part in fillers)),
        )
        for capability in layer.capabilities:
            attribute = f"capability.{capability}"
            if any(
                (fact := part.facts.get(attribute)) is not None and fact.value is True
                for part in fillers
            ):
                variant[attribute] = True
        variant["standing"] = round(
            sum(_number(part, "standing", 3) for part in fillers) / len(fillers)
        )
    return _entry(identity, name, base, layer, others, today, variant), NamedOption(
        name, identity, how, sentence
    )


def _number(technology: Technology, attribute: str, otherwise: int) -> int:
    fact = technology.facts.get(attribute)
    return fact.value if fact is not None and isinstance(fact.value, int) else otherwise


def _entry(
    identity: str,
    name: str,
    base: Technology | None,
    layer: Layer,
    around: Sequence[Technology],
    today: dt.date,
    variant: dict[str, Value] | None = None,
) -> Technology:
    """An entry with the facts of `base` under its own id; what is not known says so."""
    vendors = [part for part in around if part.kind == "platform"]
    languages = tuple(
        dict.fromkeys(
            language for part in around for language in part.languages if language != "any"
        )
    )
    values: dict[str, Value] = {
        "name": name,
        "languages": ", ".join(languages) or "any",
        "skills": ", ".join(skill for part in around for skill in part.skills) or None,
        "companions": ", ".join(part.id for part in around) or "none",
        "requires": " or ".join(part.id for part in vendors) or None,
    }
    if base is None:
        # What a catalogue of common choices does not list is not a common choice.
        values["standing"] = 2
    if base is None and vendors:
        # A service of a cloud: run by it, and hard to take along.
        values |= {"operations_burden": 2, "lock_in": 4, "hosting.managed": True}
    facts = {} if base is None else {
        attribute: dataclasses.replace(fact, id=f"{identity}.{attribute}", technology=identity)
        for attribute, fact in base.facts.items()
        if attribute != "name"
    }  # fmt: skip
    if base is None:
        for attribute in (*LOOKED_UP, *(f"capability.{key}" for key in layer.capabilities)):
            facts[attribute] = _fact(identity, attribute, None, today)
        facts |= {key: _fact(identity, key, value, today) for key, value in values.items()}
    else:
        facts["name"] = _fact(identity, "name", name, today)
    for attribute, value in (variant or {}).items():
        facts[attribute] = _fact(identity, attribute, value, today)
    return Technology(
        id=identity,
        name=name,
        aliases=(),
        layers=(layer.id,),
        kind=base.kind if base else ("service" if vendors else "tool"),
        languages=base.languages if base else (languages or ("any",)),
        skills=tuple(
            dict.fromkeys(
                [
                    *(base.skills if base else ()),
                    *(skill for part in around for skill in part.skills),
                ]
            )
        ),
        companions=tuple(
            dict.fromkeys([*(base.companions if base else ()), *(part.id for part in around)])
        ),
        requires=base.requires if base else tuple(part.id for part in vendors),
        purl="",
        facts=MappingProxyType(facts),
    )


def _fact(identity: str, attribute: str, value: Value, today: dt.date) -> Fact:
    return Fact(
        id=f"{identity}.{attribute}",
        technology=identity,
        attribute=attribute,
        label=attribute.replace("_", " ").replace(".", ": "),
        value=value,
        state="known" if value is not None else "unknown",
        unit="",
        source="The option's own name",
        locator="request",
        as_of=today,
        grade="J",
        by_hand=True,
        note="",
        refresh_days=365,
        usable_days=1095,
    )
