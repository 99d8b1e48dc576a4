"""The third step: value what is left, rank it, and say what would change the ranking."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import zip_longest
from typing import Any

from agent.recommender import figures
from agent.recommender.acceptability import (
    SAMPLES,
    SEED,
    SPREAD,
    UNKNOWN_SPREAD,
    acceptability,
    sharpened,
)
from agent.recommender.catalogue import Catalogue, Layer, Technology
from agent.recommender.constraints import Constraints
from agent.recommender.elimination import speaks, team_languages
from agent.recommender.evidence import check_same_catalogue
from agent.recommender.values import (
    Setting,
    Valuation,
    fears_new_things,
    linked_with,
    links_of,
    named_in,
    value_of,
)
from agent.recommender.whole_stack import best_stack

ALTERNATIVES = 2
# Latest place in every layer's own order. What it does comes first; what others run (popularity,
# maturity and community, one criterion) is the best single sign of what a team will choose.
PROMOTED = {"features": 0, "adoption": 1}
SEVERAL = 2  # capabilities of the layer that the words ask for, which put features first
RARELY_DECISIVE = "performance"  # last, unless the request says otherwise


def score(
    constraints: Constraints,
    catalogue: Catalogue,
    evidence: dict[str, Any],
    eliminated: dict[str, Any],
    *,
    stated: Mapping[str, float] | None = None,
    without: frozenset[str] = frozenset(),
    seed: int = SEED,
) -> dict[str, Any]:
    """Rank the options of every layer.

    stated: importance of criteria (any unit, 0 or more) that take the place of the ranked
    priorities; without: criteria to leave out; seed: of the samples behind the confidence.

    Returns, ready for JSON: step "score"; catalogue: digest; today; languages: [language];
      asked_for and unrecognised as in the evidence;
      layers: [{layer, title, decides, weights: {criterion: weight, summing to 1},
        ignored_priorities: [criterion], winner: technology or None,
        alternatives: [up to 2 technologies], short: why there are fewer, or None,
        confidence: {level: strong|moderate|toss-up|none, first: share of samples in which the
          winner comes first, believed: what is believed from it of the winner being right,
          margin, sentence},
        why, against: [{criterion, sentence, facts}],
        what_would_change_it: [{kind: weight|fact|constraint, sentence, ...}],
        ranked: [{technology, name, rank, total, missing, first, top3, beats_next,
          held_back, dominated_by,
          criteria: {criterion: {value, weight, contribution, grade, missing, facts, note}},
          figures: [{label, text, value, unit, facts}], needs_verification: [finding]}],
        facts_then: {fact id: value} of the winner's licence and advisories,
        eliminated: [{technology, constraint, fact, sentence, would_score}]}].
    Layers are decided together: what is chosen in one counts in what another is worth.
    Raises CatalogueChanged when a step was made with another catalogue.
    """
    check_same_catalogue(evidence, catalogue)
    check_same_catalogue(eliminated, catalogue)
    today = dt.date.fromisoformat(evidence["today"])
    languages = team_languages(constraints, catalogue)
    asked = frozenset(row["capability"] for row in evidence["asked_for"])
    sieves = eliminated["layers"]
    links, named = links_of(catalogue), named_in(constraints, catalogue)
    if not languages and "language-runtime" in sieves:
        # Everything else is valued in a language, so this one layer is decided by itself first.
        alone = Setting(
            constraints,
            catalogue,
            catalogue.layer("language-runtime"),
            today,
            (),
            asked,
            (),
            links,
            named,
            without,
        )
        first = _best_alone(alone, sieves["language-runtime"]["kept"], stated)
        languages = list(catalogue.technologies[first].languages) if first else []
    settings = {
        layer_id: Setting(
            constraints,
            catalogue,
            catalogue.layer(layer_id),
            today,
            tuple(languages),
            asked,
            (),
            links,
            named,
            without,
        )
        for layer_id in sieves
    }
    stack = _stack(settings, sieves, stated)
    layers = []
    for layer_id, sieve in sieves.items():
        others = tuple(name for other, name in stack.items() if other != layer_id)
        setting = dataclasses.replace(settings[layer_id], chosen=others)
        layers.append(_layer(setting, sieve, stated, seed))
    return {
        "step": "score",
        "catalogue": catalogue.digest,
        "today": evidence["today"],
        "languages": languages,
        "asked_for": evidence["asked_for"],
        "unrecognised": evidence["unrecognised"],
        "layers": layers,
    }


def held_back(setting: Setting, name: str) -> tuple[str, str] | None:
    """Why an option cannot go with what is chosen in the other layers: (sentence, fact), or None.

    Not ruled out by any constraint, so it stays in the ranking, behind everything that does fit.
    """
    technology = setting.catalogue.technologies[name]
    if setting.languages and not speaks(technology, setting.layer.id, setting.languages):
        spoken = ", ".join(setting.languages)
        offered = ", ".join(technology.languages)
        sentence = f"{technology.name} is for {offered}; the language chosen above is {spoken}."
        return sentence, technology.facts["languages"].id
    apart = setting.links.apart.get(name, ())
    for other in setting.chosen:
        if other in apart:
            chosen = setting.catalogue.technologies[other].name
            sentence = f"{technology.name} cannot be used together with {chosen}, chosen above."
            return sentence, technology.facts["name"].id
    return None


def _best_alone(
    setting: Setting, kept: Sequence[str], stated: Mapping[str, float] | None
) -> str | None:
    weight = weights_in_play(setting, stated)
    return min(
        kept, key=lambda name: (-round(_worth(setting, name, weight), 9), name), default=None
    )


def _worth(setting: Setting, name: str, weight: Mapping[str, float]) -> float:
    technology = setting.catalogue.technologies[name]
    return weighted_total(
        {criterion: value_of(criterion, technology, setting).value for criterion in weight}, weight
    )


def _stack(
    settings: Mapping[str, Setting],
    sieves: Mapping[str, Any],
    stated: Mapping[str, float] | None,
) -> dict[str, str]:
    """The winner of every layer that has one, chosen for the stack as a whole."""
    if not settings:
        return {}
    weight = {layer_id: weights_in_play(setting, stated) for layer_id, setting in settings.items()}
    candidates = {}
    for layer_id, setting in settings.items():
        kept = sieves[layer_id]["kept"]
        candidates[layer_id] = [name for name in kept if not held_back(setting, name)] or kept
    everything = {name for names in candidates.values() for name in names}
    # Only what an option is linked with can change its worth, so nothing else is looked up twice.
    any_setting = next(iter(settings.values()))
    linked = {name: linked_with(any_setting, name) & everything for name in everything}
    apart = any_setting.links.apart

    @cache
    def known(layer_id: str, name: str, there: frozenset[str]) -> float:
        setting = dataclasses.replace(settings[layer_id], chosen=tuple(sorted(there)))
        return _worth(setting, name, weight[layer_id])

    def worth(layer_id: str, name: str, others: frozenset[str]) -> float:
        return known(layer_id, name, others & linked[name])

    return best_stack(candidates, worth, apart)


def rank_order_centroid(count: int) -> list[float]:
    """Weights of `count` ranked criteria, most important first; they sum to 1.

    Source: Barron and Barrett, "Decision quality using ranked attribute weights", 1996.
    """
    return [
        sum(1 / later for later in range(rank, count + 1)) / count for rank in range(1, count + 1)
    ]


def rank_sum(count: int) -> list[float]:
    """Weights of `count` ranked criteria that fall in equal steps; they sum to 1.

    Flatter than the centroid, for an order that is itself a guess. Source: Stillwell, Seaver and
    Edwards, "A comparison of weight approximation techniques", 1981.
    """
    whole = count * (count + 1) / 2
    return [(count - rank) / whole for rank in range(count)]


def weights(layer: Layer, priorities: Sequence[str]) -> dict[str, float]:
    """Weight per criterion of the layer: the request's ranking first, then the layer's own.

    Half centroid, half rank sum: what comes first matters most, and nothing is as good as gone.
    """
    wanted = [criterion for criterion in priorities if criterion in layer.criteria]
    own = [criterion for criterion in layer.criteria if criterion != RARELY_DECISIVE]
    for criterion, place in PROMOTED.items():
        if criterion in own[place + 1 :]:
            own.remove(criterion)
            own.insert(place, criterion)
    order = list(dict.fromkeys([*wanted, *own, *layer.criteria]))
    pairs = zip(rank_order_centroid(len(order)), rank_sum(len(order)), strict=True)
    return dict(zip(order, ((one + other) / 2 for one, other in pairs), strict=True))


def weights_in_play(
    setting: Setting, stated: Mapping[str, float] | None = None
) -> dict[str, float]:
    """Weights of the layer's criteria that the request gives something to judge by; sum 1.

    A criterion that rests on the request alone (familiarity, precedent) and was not asked for
    says nothing about any option, so its weight goes to the others.
    """
    layer, constraints = setting.layer, setting.constraints
    silent = set()
    if not constraints.skills and not fears_new_things(setting):
        silent.add("familiarity")
    if not constraints.already_run and not constraints.leaving and not setting.catalogue.standards:
        silent.add("precedent")
    silent |= setting.without
    if stated is not None:
        found = {key: max(0.0, float(stated.get(key, 0.0))) for key in layer.criteria}
    else:
        priorities = list(constraints.priorities)
        if constraints.run_by in ("nobody", "small_team") and "operations" not in priorities:
            # Who has nobody to run it has said what matters.
            priorities.insert(0 if constraints.run_by == "nobody" else 1, "operations")
        if len(setting.asked & set(layer.capabilities)) >= SEVERAL:
            # Who names several things it has to do has said what it is chosen by.
            priorities.insert(0, "features")
        found = weights(layer, priorities)
    found = {key: 0.0 if key in silent else share for key, share in found.items()}
    total = sum(found.values())
    if not total:
        return weights(layer, constraints.priorities)
    return {key: share / total for key, share in found.items()}


def weighted_total(value_by_criterion: Mapping[str, float], weight: Mapping[str, float]) -> float:
    """Additive value, between 0 and 1 when the weights sum to 1."""
    return sum(weight[criterion] * value_by_criterion[criterion] for criterion in weight)


def dominator(
    own: Mapping[str, float], others: Iterable[tuple[str, Mapping[str, float]]]
) -> str | None:
    """The first option that is at least as good everywhere and better somewhere, if any."""
    for name, other in others:
        if all(other[key] >= own[key] for key in own) and any(other[key] > own[key] for key in own):
            return name
    return None


def tipping_weight(
    first: Mapping[str, float],
    second: Mapping[str, float],
    weight: Mapping[str, float],
    criterion: str,
) -> float | None:
    """Weight of `criterion` at which `second` draws level with `first`, or None.

    All other weights keep their proportions. With d the difference on the criterion and r the
    difference on the rest, both at full weight: w d + (1 - w) r = 0, so w = r / (r - d).
    """
    here = weight[criterion]
    if here >= 1:
        return None
    difference = first[criterion] - second[criterion]
    rest = (sum(weight[key] * (first[key] - second[key]) for key in weight if key != criterion)) / (
        1 - here
    )
    if rest == difference:
        return None
    level = rest / (rest - difference)
    return level if 0 <= level <= 1 else None


def _layer(
    setting: Setting, sieve: Mapping[str, Any], stated: Mapping[str, float] | None, seed: int
) -> dict[str, Any]:
    layer, catalogue = setting.layer, setting.catalogue
    weight = weights_in_play(setting, stated)
    valued = {
        name: {
            criterion: value_of(criterion, catalogue.technologies[name], setting)
            for criterion in weight
        }
        for name in dict.fromkeys(
            [*sieve["kept"], *(row["technology"] for row in sieve["eliminated"])]
        )
    }
    numbers = {
        name: {criterion: valuation.value for criterion, valuation in row.items()}
        for name, row in valued.items()
    }
    totals = {name: weighted_total(row, weight) for name, row in numbers.items()}
    # The id decides a draw, so that the same request always gives the same answer.
    behind = {name: held_back(setting, name) for name in sieve["kept"]}
    order = sorted(
        sieve["kept"],
        key=lambda name: (behind[name] is not None, -round(totals[name], 9), name),
    )
    verify: dict[str, list[Any]] = {name: [] for name in order}
    for finding in sieve["needs_verification"]:
        verify[finding["technology"]].append(finding)
    for name, reason in behind.items():
        if reason is not None:
            verify[name].append(
                {
                    "technology": name,
                    "constraint": "stack",
                    "fact": reason[1],
                    "sentence": reason[0],
                }
            )
    ranked = [
        _option(setting, weight, name, rank, valued[name], totals[name], verify[name])
        for rank, name in enumerate(order, start=1)
    ]
    for row in ranked:
        name = row["technology"]
        row["held_back"] = behind[name] is not None
        row["dominated_by"] = dominator(
            numbers[name], ((other, numbers[other]) for other in order if other != name)
        )
        budget = setting.constraints.monthly_budget_usd
        cost = next(figure for figure in row["figures"] if figure["label"] == "Cost")
        if budget is not None and cost["value"] is not None and cost["value"] > budget:
            row["needs_verification"].append(
                {
                    "technology": name,
                    "constraint": "monthly_budget_usd",
                    "fact": cost["facts"][0],
                    "sentence": f"{row['name']} alone is estimated above the budget of "
                    f"{budget:,.0f} USD a month; ask for a quote.",
                }
            )
    sampled = acceptability(
        # What does not fit the stack is behind whatever the weights, so it is not sampled.
        {name: numbers[name] for name in order if behind[name] is None},
        {name: _spread(valued[name]) for name in order if behind[name] is None},
        weight,
        seed=seed,
    )
    for row, following in zip_longest(ranked, ranked[1:]):
        name = row["technology"]
        row["first"] = round(sampled.first.get(name, 0.0), 4)
        row["top3"] = round(sampled.top3.get(name, 0.0), 4)
        other = following["technology"] if following else ""
        row["beats_next"] = (
            round(sampled.beats(name, other), 4)
            if name in sampled.totals and other in sampled.totals
            else None
        )
    why, against = _reasons(setting, weight, ranked, valued)
    return {
        "layer": layer.id,
        "title": layer.title,
        "decides": layer.decides,
        "weights": {criterion: round(share, 6) for criterion, share in weight.items()},
        "ignored_priorities": [
            criterion
            for criterion in setting.constraints.priorities
            if criterion not in layer.criteria
        ],
        "winner": order[0] if order else None,
        "alternatives": order[1 : 1 + ALTERNATIVES],
        "short": _short(layer, order, sieve),
        "confidence": _confidence(setting, ranked),
        "why": why,
        "against": against,
        "what_would_change_it": _turns(setting, weight, order, numbers, totals, ranked, sieve),
        "ranked": ranked,
        # What may change for the worse later, as it is known now.
        "facts_then": _facts_then(catalogue, order[0]) if order else {},
        "eliminated": [
            {**row, "would_score": round(totals[row["technology"]], 6)}
            for row in sieve["eliminated"]
        ],
    }


def _facts_then(catalogue: Catalogue, name: str) -> dict[str, Any]:
    facts = (catalogue.technologies[name].facts.get(key) for key in ("license", figures.ADVISORIES))
    return {fact.id: fact.value for fact in facts if fact is not None and fact.state == "known"}


def _option(
    setting: Setting,
    weight: Mapping[str, float],
    name: str,
    rank: int,
    valuations: Mapping[str, Valuation],
    total: float,
    to_verify: list[Any],
) -> dict[str, Any]:
    technology = setting.catalogue.technologies[name]
    missing = sum(weight[criterion] * row.missing for criterion, row in valuations.items())
    return {
        "technology": name,
        "name": technology.name,
        "rank": rank,
        "total": round(total, 6),
        "missing": round(missing, 6),
        "first": None,
        "top3": None,
        "beats_next": None,
        "held_back": False,
        "dominated_by": None,
        "criteria": {
            criterion: {
                "value": round(row.value, 6),
                "weight": round(weight[criterion], 6),
                "contribution": round(weight[criterion] * row.value, 6),
                "grade": row.grade,
                "missing": round(row.missing, 6),
                "facts": list(row.facts),
                "note": row.note,
            }
            for criterion, row in valuations.items()
        },
        "figures": [
            figures.latency(setting.layer, technology, setting.today),
            figures.monthly_cost(setting.layer, technology, setting.constraints, setting.catalogue),
            *figures.risk(technology, setting.today, missing, len(to_verify)),
        ],
        "needs_verification": to_verify,
    }


def _short(layer: Layer, order: list[str], sieve: Mapping[str, Any]) -> str | None:
    if len(order) > ALTERNATIVES:
        return None
    gone = len({row["technology"] for row in sieve["eliminated"]})
    constraints = sorted({row["constraint"] for row in sieve["eliminated"]})
    return (
        f"Only {len(order)} of {len(order) + gone} options of “{layer.title}” are left; the rest "
        f"were ruled out by {', '.join(constraints)}."
    )


def _confidence(setting: Setting, ranked: list[dict[str, Any]]) -> dict[str, Any]:
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


def _spread(valuations: Mapping[str, Valuation]) -> dict[str, float]:
    """Standard deviation of every value, from the grade it rests on and what is unknown in it."""
    return {
        criterion: (1 - row.missing) * SPREAD[row.grade] + row.missing * UNKNOWN_SPREAD
        for criterion, row in valuations.items()
    }


def _reasons(
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


def _turns(
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
