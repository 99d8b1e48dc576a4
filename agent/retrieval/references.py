"""Public references about what was decided: what sources say, found by words and by meaning."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.recommender import Catalogue, Constraints
from agent.recommender.catalogue import Fact, Technology
from agent.retrieval.citing import question_about
from agent.retrieval.embedding import embed
from agent.retrieval.passages import fused

PER_LAYER = 2
FACTS = 6  # of one reference
OURS = ("Your organisation", "No source read yet")  # nothing that the public can look up
READ = "ABC"  # grades of what a program read; the rest is judgement or was entered by hand
WEIGHTS = (1.0, 3.0)  # of words and of meaning, as for documents


@dataclass(frozen=True, slots=True)
class Reference:
    """What one source says of one technology, in the words of the catalogue's labels.

    locator: the place in the source, with its revision. as_of: the day it said so. facts: ids.
    """

    technology: str
    source: str
    locator: str
    as_of: dt.date
    text: str
    facts: tuple[str, ...]


def references_of(technology: Technology, today: dt.date) -> list[Reference]:
    """Everything about a technology that a program read from a public source and that still counts.

    They are of the shared catalogue's making: text of a customer's document is never among them.
    """
    places: dict[tuple[str, str, dt.date], list[Fact]] = {}
    for fact in technology.facts.values():
        counts = fact.state == "known" and fact.grade in READ and not fact.is_stale(today)
        if counts and not fact.by_hand and fact.source not in OURS:
            places.setdefault((fact.source, fact.locator, fact.as_of), []).append(fact)
    found = []
    for (source, locator, as_of), facts in sorted(places.items()):
        said = sorted(facts, key=lambda fact: fact.attribute)[:FACTS]
        text = "; ".join(f"{fact.label}: {fact.shown()}" for fact in said)
        ids = tuple(fact.id for fact in said)
        found.append(
            Reference(technology.id, source, locator, as_of, f"{technology.name}: {text}", ids)
        )
    return found


def references_for(
    constraints: Constraints, catalogue: Catalogue, scored: Mapping[str, Any]
) -> dict[str, list[dict[str, Any]]]:
    """Layer to the references nearest to its question: {technology, source, locator, as_of, text,
    facts}, about the winner first, then about its alternatives.

    Found after the ranking, for people to look up; nothing here is ever read by the ranking.
    """
    today = dt.date.fromisoformat(scored["today"])
    found = {}
    for layer in scored["layers"]:
        question, _ = question_about(constraints, catalogue, layer["layer"])
        rows: list[Reference] = []
        for name in filter(None, [layer["winner"], *layer["alternatives"]]):
            about = references_of(catalogue.technologies[name], today)
            rows += search(question, about, PER_LAYER - len(rows))
        found[layer["layer"]] = [
            {
                "technology": row.technology,
                "source": row.source,
                "locator": row.locator,
                "as_of": row.as_of.isoformat(),
                "text": row.text,
                "facts": list(row.facts),
            }
            for row in rows
        ]
    return found


def search(question: str, among: Sequence[Reference], most: int) -> list[Reference]:
    """The references nearest to `question` by words and by meaning, best first."""
    if len(among) <= 1 or most <= 0:
        return list(among[: max(0, most)])
    words = set(_words(question))
    common = [len(words.intersection(_words(f"{one.source} {one.text}"))) for one in among]
    near = [float(_vector(one.text) @ _vector(question)) for one in among]
    places = range(len(among))
    by_words = sorted((place for place in places if common[place]), key=lambda p: -common[p])
    by_meaning = sorted(places, key=lambda place: -near[place])
    return [among[place] for place in list(fused([by_words, by_meaning], WEIGHTS))[:most]]


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]{3,}", text.lower())


@lru_cache(maxsize=4096)  # 6 MB: the same few technologies are decided about again and again
def _vector(text: str) -> NDArray[np.float32]:
    row: NDArray[np.float32] = embed([text])[0]
    return row
