"""Options as people write them: found in the catalogue, read as a variant of it, or unknown."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from agent.recommender.catalogue import LOOKED_UP, Catalogue, Fact, Layer, Technology, Value
from agent.recommender.constraints import plain

KNOWN, READ, UNKNOWN = "known", "read from its name", "unknown"
MADE_BY = "only its vendor is known"
VENDORS = re.compile(
    r"^(?:amazon|aws|azure|microsoft|google(?:cloud)?|apache|hashicorp|elastic|grafana|oracle|ibm"
    r"|redhat|atlassian|jetbrains)(?=.{3})"
)
SELF_HOSTED = re.compile(r"self[- ]?(?:hosted|managed|run)|on[- ]?prem(?:ise|ises)?")
MANAGED = re.compile(r"managed|hosted|cloud|saas|as[- ]a[- ]service")
OWN_WORK = re.compile(
    r"custom|home-?(?:grown|made|brew)|in-?house|own\b|bespoke|self-?(?:built|written)|hand-?(?:rolled|"
    r"written|made)|diy|scripts?\b|from-scratch|roll-your-own|internal-(?:tool|library)"
)
NO_CHANGE = re.compile(
    r"status-?quo|no-?change|do-?nothing|current|existing|as-?is|keep|stay|none\b"
)
TOGETHER = re.compile(r"\s*(?:\+|/|&|,)\s*|[-_ ](?:and|with|plus|on|over|via|in|using|for)[-_ ]")
FILLER = frozenset(
    re.findall(
        r"\w+",
        """
        the a an of js db io app apps api service services server client library lib framework
        tool tools cli sdk plugin plugins module self hosted managed cloud saas native only plain
        new v1 v2 v3 v4 v5 operator controller based single multi shared dedicated open source
        oss community enterprise edition ce ee
        """,
    )
)


# What one capability that the words ask for says about the layer, next to one option's vote of 1.
ASKED_SHARE = 0.2


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
    for name in names:
        found = _in_layer(name, layer, catalogue)
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


def layer_of(
    slug: str, names: Iterable[str], catalogue: Catalogue, asked: Collection[str] = ()
) -> Layer:
    """The layer that a decision belongs to: named by its id, else the one most options can fill.

    asked: capabilities that the request's words ask for; they decide between layers that both fit.

    When nothing says, a layer of its own without capabilities, with the usual criteria.
    """
    votes = dict.fromkeys((layer.id for layer in catalogue.layers), 0.0)
    given = list(names)
    for name in given:
        parts = _parts(name, catalogue)
        found = _whole(name, catalogue) or next(iter(parts), None)
        if found is not None and found.kind == "platform" and _unread(name, parts):
            continue
        # An option for everything, such as building it yourself, says nothing about the layer.
        if found is not None and found.kind != "approach":
            for layer_id in found.layers:
                votes[layer_id] += 1 / len(found.layers)
    words = {plain(word) for word in re.split(r"[^a-zA-Z0-9]+", slug) if word}
    for layer in catalogue.layers:
        if layer.id == slug:
            return layer
        own = {plain(word) for word in re.split(r"[^a-zA-Z0-9]+", f"{layer.id} {layer.title}")}
        votes[layer.id] += 0.75 * len(words & own) / max(1, len(words))
    for layer_id in SAID_OTHERWISE.get(slug, ()):
        if layer_id in votes:
            # What people call the layer decides, once one of the options can fill it.
            fills = any(
                (found := _in_layer(name, catalogue.layer(layer_id), catalogue)) is not None
                and layer_id in found.layers
                for name in given
            )
            votes[layer_id] += 0.75 + (0.5 * len(given) if fills else 0.0)
    for layer in catalogue.layers:
        if votes[layer.id]:
            votes[layer.id] += ASKED_SHARE * len(set(asked) & set(layer.capabilities))
    best = max(votes, key=lambda layer_id: votes[layer_id])
    if not votes[best]:
        return dataclasses.replace(
            catalogue.layers[0],
            id="not-in-the-catalogue",
            title=slug,
            decides=f"Not a layer of the catalogue: {slug}.",
            criteria=GENERAL_CRITERIA,
            capabilities=(),
            latency=(),
            tests=(),
        )
    return catalogue.layer(best)


GENERAL_CRITERIA = (
    "stack_fit", "adoption", "operations", "precedent", "familiarity", "openness", "cost",
    "longevity", "assurance",
)  # fmt: skip


# How people call a layer, where no word of its title says it.
SAID_OTHERWISE = {
    "api-framework": ("web-api",),
    "backend": ("web-api",),
    "web framework": ("web-api",),
    "database": ("relational-data",),
    "orm": ("data-access",),
    "messaging": ("cache-queue",),
    "message-broker": ("cache-queue",),
    "event-streaming": ("cache-queue",),
    "ci": ("ci-cd",),
    "cd": ("delivery",),
    "cd-gitops": ("delivery",),
    "deployment": ("delivery",),
    "authz": ("authorization",),
    "authn": ("identity",),
    "authentication": ("identity",),
    "sso": ("identity",),
    "iac": ("infrastructure-as-code",),
    "configuration-management": ("infrastructure-as-code",),
    "policy": ("policy-as-code",),
    "monitoring": ("observability-backend",),
    "logging": ("observability-backend",),
    "metrics": ("observability-backend",),
    "alerting": ("observability-backend",),
    "tracing": ("telemetry",),
    "workflow": ("orchestration",),
    "job-queue": ("cache-queue",),
    "container-platform": ("compute-platform",),
    "container-orchestration": ("compute-platform",),
    "container-registry": ("artifact-registry",),
    "image-registry": ("artifact-registry",),
    "package-registry": ("artifact-registry",),
    "artifact-repository": ("artifact-registry",),
    "mesh": ("service-mesh",),
    "ingress": ("api-gateway",),
    "ingress-controller": ("api-gateway",),
    "reverse-proxy": ("api-gateway",),
    "load-balancer": ("api-gateway",),
    "gateway": ("api-gateway",),
    "networking": ("cluster-network", "api-gateway", "service-mesh"),
    "cni": ("cluster-network",),
    "network-policy": ("cluster-network",),
    "cdn": ("edge-delivery",),
    "dns": ("edge-delivery",),
    "certificates": ("edge-delivery",),
    "tls": ("edge-delivery",),
    "waf": ("edge-delivery",),
    "base-image": ("base-image",),
    "container-image": ("base-image",),
    "migrations": ("schema-migration",),
    "database-migrations": ("schema-migration",),
    "data-access": ("data-access",),
    "persistence": ("data-access", "relational-data"),
    "api-protocol": ("api-style",),
    "api-design": ("api-style",),
    "protocol": ("api-style", "data-format"),
    "serialization": ("data-format",),
    "serialisation": ("data-format",),
    "config-format": ("data-format",),
    "linting": ("code-quality",),
    "linter": ("code-quality",),
    "code-style": ("code-quality",),
    "formatter": ("code-quality",),
    "design-system": ("ui-components",),
    "css": ("ui-components",),
    "styling": ("ui-components",),
    "component-library": ("ui-components",),
    "ui-library": ("ui-components",),
    "state-management": ("client-state",),
    "etl": ("data-pipeline",),
    "data-processing": ("data-pipeline",),
    "stream-processing": ("data-pipeline", "cache-queue"),
    "data-warehouse": ("document-data", "data-pipeline"),
    "architecture": ("architecture-style",),
    "repository-structure": ("source-hosting",),
    "repo-structure": ("source-hosting",),
    "branching": ("source-hosting",),
    "version-control": ("source-hosting",),
    "source-control": ("source-hosting",),
    "llm": ("language-models",),
    "llm-provider": ("language-models",),
    "agent-framework": ("language-models", "orchestration"),
    "package-manager": ("build-tool",),
    "testing": ("test-tool",),
    "test-framework": ("test-tool",),
    "kubernetes": ("compute-platform",),
    "hosting": ("hosting", "compute-platform"),
    "security-scanning": ("code-scanning", "dependency-scanning"),
    "dependency-updates": ("dependency-scanning",),
    "provenance": ("signing-provenance",),
    "language": ("language-runtime",),
    "web/API framework": ("web-api",),
    "identity/authz": ("identity", "authorization"),
    "IaC/policy": ("infrastructure-as-code", "policy-as-code"),
    "CI/CD": ("ci-cd", "delivery"),
    "SBOM/provenance": ("sbom", "signing-provenance"),
    "container/runtime isolation": ("compute-platform",),
    "other": ("compute-platform",),
}


@lru_cache(maxsize=4)
def _without_vendors(names: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """Names without the vendor in front, where that leaves only one technology."""
    found: dict[str, set[str]] = {}
    for name, identity in names:
        short = VENDORS.sub("", name)
        if short != name:
            found.setdefault(short, set()).add(identity)
    return {short: min(ids) for short, ids in found.items() if len(ids) == 1}


def _exact(name: str, catalogue: Catalogue) -> Technology | None:
    key = plain(name)
    identity = catalogue.names.get(key)
    if identity is None and len(key) > 3 and key not in FILLER:
        identity = _without_vendors(tuple(catalogue.names.items())).get(key)
    return catalogue.technologies.get(identity) if identity else None


def _whole(name: str, catalogue: Catalogue) -> Technology | None:
    """The technology that all of a name stands for; how it is hosted is not left aside."""
    for written in (name, name.replace("-", " ")):
        match = catalogue.resolve(written)
        if match is None:
            continue
        aside = match.left_aside.lower()
        if SELF_HOSTED.search(aside) or MANAGED.search(aside) or TOGETHER.search(f" {aside} "):
            continue
        return catalogue.technologies.get(match.technology)
    return _exact(name, catalogue)


def _in_layer(written: str, layer: Layer, catalogue: Catalogue) -> Technology | None:
    """What a name stands for in this layer: one brand may have another product in each."""
    found = _whole(written, catalogue)
    if found is None or layer.id in found.layers:
        return found
    here = [other for other in catalogue.technologies.values() if layer.id in other.layers]
    own = plain(found.name)
    for other in here:
        if plain(re.sub(r"\(.*\)", "", other.name)) == own:
            return other
    brand, *rest = written.lower().split()
    same = [other for other in here if other.name.lower().split()[0] == brand]
    if len(same) == 1 and not rest and found.name.lower().split()[0] == brand:
        return same[0]
    return found


def _parts(name: str, catalogue: Catalogue) -> list[Technology]:
    """The technologies that a name is made of, longest match first, in the order of the name."""
    found: list[Technology] = []
    for piece in TOGETHER.split(name.lower()):
        words = [word for word in re.split(r"[^a-z0-9+#.]+", piece) if word]
        place = 0
        while place < len(words):
            for length in range(len(words) - place, 0, -1):
                several = words[place : place + length]
                technology = _exact("".join(several), catalogue)
                if technology is not None and not (length == 1 and several[0] in FILLER):
                    if technology not in found:
                        found.append(technology)
                    place += length
                    break
            else:
                place += 1
    return found


def _unread(name: str, parts: Iterable[Technology]) -> bool:
    """Whether a name has words that say nothing the catalogue knows."""
    known = {
        word
        for part in parts
        for written in (part.id, part.name, *part.aliases)
        for word in re.findall(r"[a-z0-9+#]+", written.lower())
    }
    words = re.findall(r"[a-z0-9+#]+", name.lower())
    return any(word not in known and word not in FILLER for word in words)


def _drafted(
    name: str, layer: Layer, catalogue: Catalogue, today: dt.date
) -> tuple[Technology, NamedOption]:
    small = name.lower()
    parts = _parts(name, catalogue)
    # What fills the layer is the option; what does not is what it runs on or belongs to.
    # A vendor's name before words that nobody knows is one of its services, not the vendor.
    unread = _unread(name, parts)
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
    if not fillers and not around:
        for pattern, generic in ((NO_CHANGE, "status-quo"), (OWN_WORK, "custom-build")):
            base = catalogue.technologies.get(generic)
            if pattern.search(small) and base is not None:
                sentence = f"“{name}” is read as {base.name}."
                return _entry(identity, name, base, layer, [], today), NamedOption(
                    name, identity, READ, sentence
                )
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
