"""What technologies the words of a name stand for, in whatever layer."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from agent.recommender.catalogue import Catalogue, Layer, Technology
from agent.recommender.constraints import plain

VENDORS = re.compile(
    r"^(?:amazon|aws|azure|microsoft|google(?:cloud)?|apache|hashicorp|elastic|grafana|oracle|ibm"
    r"|redhat|atlassian|jetbrains)(?=.{3})"
)
SELF_HOSTED = re.compile(r"self[- ]?(?:hosted|managed|run)|on[- ]?prem(?:ise|ises)?")
MANAGED = re.compile(r"managed|hosted|cloud|saas|as[- ]a[- ]service")
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


@lru_cache(maxsize=4)
def _without_vendors(names: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """Names without the vendor in front, where that leaves only one technology."""
    found: dict[str, set[str]] = {}
    for name, identity in names:
        short = VENDORS.sub("", name)
        if short != name:
            found.setdefault(short, set()).add(identity)
    return {short: min(ids) for short, ids in found.items() if len(ids) == 1}


def exactly(name: str, catalogue: Catalogue) -> Technology | None:
    key = plain(name)
    identity = catalogue.names.get(key)
    if identity is None and len(key) > 3 and key not in FILLER:
        identity = _without_vendors(tuple(catalogue.names.items())).get(key)
    return catalogue.technologies.get(identity) if identity else None


def whole(name: str, catalogue: Catalogue) -> Technology | None:
    """The technology that all of a name stands for; how it is hosted is not left aside."""
    for written in (name, name.replace("-", " ")):
        match = catalogue.resolve(written)
        if match is None:
            continue
        aside = match.left_aside.lower()
        if SELF_HOSTED.search(aside) or MANAGED.search(aside) or TOGETHER.search(f" {aside} "):
            continue
        return catalogue.technologies.get(match.technology)
    return exactly(name, catalogue)


def in_layer(written: str, layer: Layer, catalogue: Catalogue) -> Technology | None:
    """What a name stands for in this layer: one brand may have another product in each."""
    found = whole(written, catalogue)
    if found is None or layer.id in found.layers:
        return found
    here = [other for other in catalogue.technologies.values() if layer.id in other.layers]
    own = {_without_brackets(found.name), plain(written)}
    for other in here:
        if _without_brackets(other.name) in own:
            return other
    brand, *rest = written.lower().split()
    same = [other for other in here if other.name.lower().split()[0] == brand]
    if len(same) == 1 and not rest and found.name.lower().split()[0] == brand:
        return same[0]
    return found


def _without_brackets(name: str) -> str:
    return plain(re.sub(r"\(.*\)", "", name))


def parts_of(name: str, catalogue: Catalogue) -> list[Technology]:
    """The technologies that a name is made of, longest match first, in the order of the name."""
    found: list[Technology] = []
    for piece in TOGETHER.split(name.lower()):
        words = [word for word in re.split(r"[^a-z0-9+#.]+", piece) if word]
        place = 0
        while place < len(words):
            for length in range(len(words) - place, 0, -1):
                several = words[place : place + length]
                technology = exactly("".join(several), catalogue)
                if technology is not None and not (length == 1 and several[0] in FILLER):
                    if technology not in found:
                        found.append(technology)
                    place += length
                    break
            else:
                place += 1
    return found


def has_unread_words(name: str, parts: Iterable[Technology]) -> bool:
    """Whether a name has words that say nothing the catalogue knows."""
    known = {
        word
        for part in parts
        for written in (part.id, part.name, *part.aliases)
        for word in re.findall(r"[a-z0-9+#]+", written.lower())
    }
    words = re.findall(r"[a-z0-9+#]+", name.lower())
    return any(word not in known and word not in FILLER for word in words)
