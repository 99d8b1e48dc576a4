"""The third step: value what is left, rank it, and say what would change the ranking."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from agent.recommender import figures
from agent.recommender.acceptability import SEED, SPREAD, UNKNOWN_SPREAD, acceptability
from agent.recommender.catalogue import Catalogue
from agent.recommender.constraints import Constraints
from agent.recommender.elimination import team_languages
from agent.recommender.evidence import check_same_catalogue
from agent.recommender.explaining import (
    ALTERNATIVES,
    confidence_of,
    reasons_of,
    short_of,
    turns_of,
)
from agent.recommender.fitting import Worths, best_alone, chosen_stack, held_back
from agent.recommender.valuation import Setting, Valuation, links_of, named_in
from agent.recommender.weighing import weighted_total, weights_in_play

DECIDES_LANGUAGE = "language-runtime"


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
    prepared = prepare(constraints, catalogue, evidence, eliminated, without=without)
    return weighed(prepared, stated=stated, seed=seed)


@dataclasses.dataclass(frozen=True, slots=True)
class Prepared:
    """A request with everything about it that weights do not change.

    settings: of a layer alone, with no language chosen yet. worths: by the languages chosen.
    """

    constraints: Constraints
    catalogue: Catalogue
    evidence: Mapping[str, Any]
    sieves: Mapping[str, Any]
    settings: Mapping[str, Setting]
    worths: dict[tuple[str, ...], Worths] = dataclasses.field(default_factory=dict)

    def worths_in(self, languages: Sequence[str]) -> Worths:
        """What options are worth to a team that works in these languages."""
        spoken = tuple(languages)
        if spoken not in self.worths:
            self.worths[spoken] = Worths(
                {
                    layer_id: dataclasses.replace(setting, languages=spoken)
                    for layer_id, setting in self.settings.items()
                }
            )
        return self.worths[spoken]


def prepare(
    constraints: Constraints,
    catalogue: Catalogue,
    evidence: dict[str, Any],
    eliminated: dict[str, Any],
    *,
    without: frozenset[str] = frozenset(),
) -> Prepared:
    """What score() finds out before it weighs. Raises CatalogueChanged."""
    check_same_catalogue(evidence, catalogue)
    check_same_catalogue(eliminated, catalogue)
    today = dt.date.fromisoformat(evidence["today"])
    asked = frozenset(row["capability"] for row in evidence["asked_for"])
    sieves = eliminated["layers"]
    links, named = links_of(catalogue), named_in(constraints, catalogue)
    settings = {
        layer_id: Setting(
            constraints,
            catalogue,
            catalogue.layer(layer_id),
            today,
            (),
            asked,
            (),
            links,
            named,
            without,
        )
        for layer_id in sieves
    }
    return Prepared(constraints, catalogue, evidence, sieves, settings)


def weighed(
    prepared: Prepared, *, stated: Mapping[str, float] | None = None, seed: int = SEED
) -> dict[str, Any]:
    """The ranking of a prepared request, as score() returns it; however often, with any weights."""
    catalogue, evidence, sieves = prepared.catalogue, prepared.evidence, prepared.sieves
    languages = team_languages(prepared.constraints, catalogue)
    if not languages and DECIDES_LANGUAGE in sieves:
        # Everything else is valued in a language, so this one layer is decided by itself first.
        alone = prepared.worths_in(())
        first = best_alone(alone, DECIDES_LANGUAGE, sieves[DECIDES_LANGUAGE]["kept"], stated)
        languages = list(catalogue.technologies[first].languages) if first else []
    worths = prepared.worths_in(languages)
    stack = chosen_stack(worths, sieves, stated)
    layers = []
    for layer_id, sieve in sieves.items():
        others = tuple(name for other, name in stack.items() if other != layer_id)
        layers.append(_layer(worths, layer_id, others, sieve, stated, seed))
    return {
        "step": "score",
        "catalogue": catalogue.digest,
        "today": evidence["today"],
        "languages": languages,
        "asked_for": evidence["asked_for"],
        "unrecognised": evidence["unrecognised"],
        "layers": layers,
    }


def dominator(
    own: Mapping[str, float], others: Iterable[tuple[str, Mapping[str, float]]]
) -> str | None:
    """The first option that is at least as good everywhere and better somewhere, if any."""
    for name, other in others:
        if all(other[key] >= own[key] for key in own) and any(other[key] > own[key] for key in own):
            return name
    return None


def _layer(
    worths: Worths,
    layer_id: str,
    others: tuple[str, ...],
    sieve: Mapping[str, Any],
    stated: Mapping[str, float] | None,
    seed: int,
) -> dict[str, Any]:
    setting = dataclasses.replace(worths.settings[layer_id], chosen=others)
    layer, catalogue = setting.layer, setting.catalogue
    weight = weights_in_play(setting, stated)
    names = [*sieve["kept"], *(row["technology"] for row in sieve["eliminated"])]
    known = {name: worths.of(layer_id, name, others) for name in dict.fromkeys(names)}
    # In the order of the weights, in which people read them.
    valued = {name: {key: row[key] for key in weight} for name, row in known.items()}
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
    why, against = reasons_of(setting, weight, ranked, valued)
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
        "short": short_of(layer, order, sieve),
        "confidence": confidence_of(setting, ranked),
        "why": why,
        "against": against,
        "what_would_change_it": turns_of(setting, weight, order, numbers, totals, ranked, sieve),
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


def _spread(valuations: Mapping[str, Valuation]) -> dict[str, float]:
    """Standard deviation of every value, from the grade it rests on and what is unknown in it."""
    return {
        criterion: (1 - row.missing) * SPREAD[row.grade] + row.missing * UNKNOWN_SPREAD
        for criterion, row in valuations.items()
    }
