"""Why an option comes first, how sure that is, and what would change it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.recommender.acceptability import SAMPLES, sharpened
from agent.recommender.catalogue import Layer, Technology
from agent.recommender.valuation import Setting, Valuation
from agent.recommender.weighing import tipping_weight

ALTERNATIVES = 2


def short_of(layer: Layer, order: list[str], sieve: Mapping[str, Any]) -> str | None:
    """Why there are fewer than the usual alternatives, or None."""
    if len(order) > ALTERNATIVES:
        return None
    gone = len({row["technology"] for row in sieve["eliminated"]})
    constraints = sorted({row["constraint"] for row in sieve["eliminated"]})
    return (
        f"Only {len(order)} of {len(order) + gone} options of “{layer.title}” are left; the rest "
        f"were ruled out by {', '.join(constraints)}."
    )


def confidence_of(setting: Setting, ranked: list[dict[str, Any]]) -> dict[str, Any]:
    """How sure the first place is, in a word, in figures and in a sentence."""
    if len(ranked) < 2:
        sentence = "Nothing is left to compare it with." if ranked else "No option is left."
        return {
            "level": "none",
            "first": None,
            "believed": None,
            "margin": None,
            "sentence": sentence,
        }
    first, second = ranked[0], ranked[1]
    margin = first["total"] - second["total"]
    bounds = setting.catalogue.confidence
    # The samples are too modest; by how much was seen over cases (docs/recommender.md).
    believed = round(sharpened(first["first"], bounds["sharpness"]), 4)
    level = "toss-up"
    if believed >= bounds["strong"]:
        level = "strong"
    elif believed >= bounds["moderate"]:
        level = "moderate"
    words = {
        "strong": "a clear lead",
        "moderate": "a modest lead",
        "toss-up": "close to a draw: take the one you would rather run",
    }
    sentence = (
        f"{first['name']} comes first in {first['first']:.0%} of {SAMPLES:,} samples of weights "
        f"and facts, {margin * 100:.1f} points of 100 ahead of {second['name']}; {words[level]} "
        f"({believed:.0%} sure)."
    )
    return {
        "level": level,
        "first": first["first"],
        "believed": believed,
        "margin": round(margin, 6),
        "sentence": sentence,
    }


def reasons_of(
    setting: Setting,
    weight: Mapping[str, float],
    ranked: list[dict[str, Any]],
    valued: Mapping[str, Mapping[str, Valuation]],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What sets the winner apart from the options behind it, and what speaks against it."""
    if not ranked:
        return [], []
    winner = ranked[0]["technology"]
    rivals = [row["technology"] for row in ranked[1 : 1 + ALTERNATIVES]]
    gaps = {}
    for criterion in weight:
        own = valued[winner][criterion].value
        mean = (
            sum(valued[rival][criterion].value for rival in rivals) / len(rivals)
            if rivals
            else setting.catalogue.neutral
        )
        gaps[criterion] = weight[criterion] * (own - mean)
    order = sorted(gaps, key=lambda criterion: -gaps[criterion])
    why = [
        _reason(setting, ranked[0]["name"], criterion, valued[winner][criterion], "ahead")
        for criterion in order[:3]
        if gaps[criterion] > 0.0005
    ]
    against = [
        _reason(setting, ranked[0]["name"], criterion, valued[winner][criterion], "behind")
        for criterion in reversed(order[-3:])
        if gaps[criterion] < -0.0005
    ]
    return why, against


def _reason(
    setting: Setting, name: str, criterion: str, valuation: Valuation, side: str
) -> dict[str, Any]:
    title = setting.catalogue.criteria[criterion].title
    note = f" ({valuation.note})" if valuation.note else ""
    return {
        "criterion": criterion,
        "sentence": f"{title}: {name} is {side} at {valuation.value * 100:.0f} of 100{note}.",
        "facts": list(valuation.facts),
    }


def turns_of(
    setting: Setting,
    weight: Mapping[str, float],
    order: list[str],
    numbers: Mapping[str, Mapping[str, float]],
    totals: Mapping[str, float],
    ranked: list[dict[str, Any]],
    sieve: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """The smallest change of one weight, the nearest unknown and the dearest constraint."""
    if not order:
        return []
    turns = []
    technologies = setting.catalogue.technologies
    winner = order[0]
    smallest = _smallest_weight_change(weight, order, numbers)
    if smallest is not None:
        criterion, level, rival = smallest
        title = setting.catalogue.criteria[criterion].title
        turns.append(
            {
                "kind": "weight",
                "criterion": criterion,
                "from": round(weight[criterion], 6),
                "to": round(level, 6),
                "rival": rival,
                "sentence": f"If “{title}” counted {level:.0%} in place of "
                f"{weight[criterion]:.0%}, {technologies[rival].name} would draw level.",
            }
        )
    turns += _unknown_turn(setting, weight, ranked, technologies)
    gone = sorted(
        {row["technology"] for row in sieve["eliminated"]},
        key=lambda name: (-round(totals[name], 9), name),
    )
    if gone and totals[gone[0]] > totals[winner]:
        reasons = sorted(
            {row["constraint"] for row in sieve["eliminated"] if row["technology"] == gone[0]}
        )
        turns.append(
            {
                "kind": "constraint",
                "rival": gone[0],
                "constraints": reasons,
                "sentence": f"Without {', '.join(reasons)}, {technologies[gone[0]].name} would "
                f"come first ({totals[gone[0]] * 100:.1f} against {totals[winner] * 100:.1f}).",
            }
        )
    return turns


def _unknown_turn(
    setting: Setting,
    weight: Mapping[str, float],
    ranked: list[dict[str, Any]],
    technologies: Mapping[str, Technology],
) -> list[dict[str, Any]]:
    """Whether the runner-up would win if everything unknown about it turned out well."""
    for row in ranked[1 : 1 + ALTERNATIVES]:
        gain = row["missing"] * (1 - setting.catalogue.unknown)
        if row["total"] + gain <= ranked[0]["total"]:
            continue
        widest = max(
            weight, key=lambda criterion: row["criteria"][criterion]["missing"] * weight[criterion]
        )
        title = setting.catalogue.criteria[widest].title
        facts = [
            fact
            for fact in row["criteria"][widest]["facts"]
            if setting.catalogue.facts[fact].state != "known"
        ]
        return [
            {
                "kind": "fact",
                "rival": row["technology"],
                "criterion": widest,
                "facts": facts,
                "sentence": f"{technologies[row['technology']].name} could come first if what is "
                f"unknown about it turned out well, above all “{title}”.",
            }
        ]
    return []


def _smallest_weight_change(
    weight: Mapping[str, float], order: list[str], numbers: Mapping[str, Mapping[str, float]]
) -> tuple[str, float, str] | None:
    best: tuple[float, str, float, str] | None = None
    for rival in order[1:]:
        for criterion in weight:
            level = tipping_weight(numbers[order[0]], numbers[rival], weight, criterion)
            if level is None:
                continue
            candidate = (abs(level - weight[criterion]), criterion, level, rival)
            if best is None or candidate < best:
                best = candidate
    return None if best is None else best[1:]
