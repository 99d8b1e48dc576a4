"""Finds the technology a person means, however they write it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from agent.recommender.constraints import plain

# Words that people put before or after a name without meaning another technology.
_VENDORS = frozenset(
    {
        "apache", "amazon", "aws", "google", "gcp", "microsoft", "azure", "ms", "hashicorp",
        "grafana", "cncf", "eclipse", "oracle", "red", "hat", "redhat", "redhats", "ibm",
        "atlassian", "jetbrains", "elastic", "vmware", "github", "linux", "foundation",
        "facebook", "meta"
    }
)  # fmt: skip
_REMARKS = frozenset(
    {
        "enterprise", "community", "edition", "ce", "ee", "oss", "open", "source",
        "opensource", "server", "servers", "cluster", "database", "db", "framework",
        "library", "lib", "sdk", "client", "cli", "tool", "engine", "platform", "service",
        "services", "managed", "hosted", "self-hosted", "selfhosted", "self", "on-premises",
        "on-prem", "onprem", "cloud", "saas", "latest", "lts", "stable", "core", "app",
        "the", "a", "an", "our", "existing", "plain", "vanilla", "pure",
        "current", "stack", "runtime", "language", "programming", "js", "javascript",
        "operator", "broker", "queue", "orm"
    }
)  # fmt: skip
_VERSION = re.compile(r"^(v|version|release)?\s*\d+(\.(\d+|x))*\+?$", re.IGNORECASE)
_ASIDE = re.compile(r"\([^)]*\)|\[[^\]]*\]")
# What follows says how or with what it is used; what stands before is the technology.
_JOINED = re.compile(
    r"\s+(?:with|using|on|via|plus|and|through|backed by|running on|for|in|by|from)\s+"
    r"|\s+[+&/|]\s+|\s*[;,:]\s+|\s+-+\s+",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Match:
    """A technology that a name stands for. left_aside: words of the name that did not count."""

    technology: str
    left_aside: str

    @property
    def is_exact(self) -> bool:
        """Whether the catalogue knows the name as it was written."""
        return not self.left_aside


def spelled(rows: Iterable[tuple[str, str, Iterable[str]]]) -> dict[str, str]:
    """Every way of writing every technology, to its id. rows: id, name, aliases.

    An id wins over a name, a name over an alias; of two that claim the same the first has it.
    """
    known: dict[str, str] = {}
    for name, identity in _claims(rows):
        known.setdefault(plain(name), identity)
    return known


def contested(
    rows: Iterable[tuple[str, str, Iterable[str]]], known: Mapping[str, str]
) -> list[tuple[str, str, str]]:
    """Names that two technologies claim: (name, who has it, who wanted it)."""
    return [
        (name, holder, identity)
        for name, identity in _claims(rows)
        if (holder := known[plain(name)]) != identity
    ]


def resolve(known: Mapping[str, str], name: str) -> Match | None:
    """The technology meant by `name`, or None. Never guesses by likeness: see `near`.

    Tried in this order: the name as written; without remarks in brackets; without versions,
    editions and vendors around it; what stands before "with", "on", "+" and the like.
    """
    if found := known.get(plain(name)):
        return Match(found, "")
    bare = _ASIDE.sub(" ", name)
    for text in (bare, _JOINED.split(bare.strip(), maxsplit=1)[0]):
        if found := _trimmed(known, text.split()):
            return Match(found, _difference(name, found, known))
    return None


def spoken(rows: Iterable[tuple[str, str, Iterable[str]]]) -> tuple[str, ...]:
    """Every name that a text may mention, as written, longest first. rows: id, name, aliases."""
    names = {
        written
        for identity, name, aliases in rows
        for written in (name, *aliases, identity)
        if len(plain(written)) > 1 and written.lower() not in ("c", "r")
    }
    return tuple(sorted(names, key=lambda written: (-len(written), written)))


def near(known: Mapping[str, str], name: str, most: int = 3) -> list[str]:
    """Technologies whose names look like `name`, best first, for "did you mean"."""
    close = difflib.get_close_matches(plain(name), known, n=most * 2, cutoff=0.72)
    return list(dict.fromkeys(known[key] for key in close))[:most]


def _claims(rows: Iterable[tuple[str, str, Iterable[str]]]) -> list[tuple[str, str]]:
    """(name, id) in the order in which they are granted."""
    listed = [(identity, name, tuple(aliases)) for identity, name, aliases in rows]
    return [
        *((identity, identity) for identity, _, _ in listed),
        *((name, identity) for identity, name, _ in listed),
        *((alias, identity) for identity, _, aliases in listed for alias in aliases),
    ]


def _trimmed(known: Mapping[str, str], words: list[str]) -> str | None:
    """The longest run of words that is a known name once remarks around it are dropped."""
    start, end = 0, len(words)
    while start < end:
        if found := _spelled(known, "".join(words[start:end])):
            return found
        if _is_remark(words[end - 1]):
            end -= 1
        elif words[start].casefold() in _VENDORS | _REMARKS:
            start += 1
        else:
            return None
    return None


def _spelled(known: Mapping[str, str], text: str) -> str | None:
    key = plain(text)
    # "React.js", "VueJS", "PostgresDB": the ending says what kind of thing it is.
    for ending in ("", "js", "db", "lang"):
        if key.endswith(ending) and (found := known.get(key.removesuffix(ending))):
            return found
    return None


def _is_remark(word: str) -> bool:
    return bool(_VERSION.match(word)) or word.casefold().strip(".,") in _REMARKS


def _difference(name: str, found: str, known: Mapping[str, str]) -> str:
    """The words of `name` that say nothing the catalogue knows of `found`."""
    written = {key for key, identity in known.items() if identity == found}
    aside = [
        word
        for word in re.findall(r"[^\s()\[\]]+", name)
        if not any(plain(word) and plain(word) in key for key in written)
    ]
    return " ".join(aside) or "spelling"
