"""How often the recommender agrees with decisions that real teams published."""

from __future__ import annotations

import datetime as dt
import math
import random
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from agent.recommender.acceptability import sharpened
from agent.recommender.brief import as_fields, complaints, read_brief
from agent.recommender.catalogue import Catalogue, Layer
from agent.recommender.constraints import Constraints
from agent.recommender.elimination import eliminate
from agent.recommender.evidence import asked_for, retrieve
from agent.recommender.named_options import (
    KNOWN,
    MADE_BY,
    READ,
    UNKNOWN,
    with_named_options,
)
from agent.recommender.scoring import score
from agent.recommender.which_layer import layer_of

ABLATIONS: Mapping[str, frozenset[str]] = {
    "engine": frozenset(),
    "no familiarity": frozenset({"familiarity"}),
    "no precedent": frozenset({"precedent"}),
    "no familiarity, no precedent": frozenset({"familiarity", "precedent"}),
}
BASELINES = ("random", "popularity")
BINS = 5
TEMPERATURES = tuple(step / 20 for step in range(8, 61))  # 0.4 to 3
RESAMPLES = 1000
INTERVAL = (2.5, 97.5)  # percentiles: 95%
# One weight of the model is what popularity alone would say.
POPULARITY = "adoption"


class BadCases(ValueError):
    """The file of cases is not in the expected shape; the message says where."""


@dataclass(frozen=True, slots=True)
class Case:
    """One published decision. existing: what ran already; options: as the record names them."""

    id: str
    repository: str
    layer: str
    group: str
    constraints: tuple[str, ...]
    existing: tuple[str, ...]
    options: tuple[str, ...]
    decision: str


@dataclass(frozen=True, slots=True)
class Ranking:
    """Options of a case, best first, with what the method believes of the first one (0..1)."""

    case: Case
    layer: str
    order: tuple[str, ...]
    confidence: float
    known: Mapping[str, str]  # option to how it was recognised


def read_cases(document: Any) -> list[Case]:
    """Cases of a file like {"adrs": [{repo, layer, constraints, existing, options, decision}]}.

    Anything else in a row is ignored, above all whatever hints at the answer. Raises BadCases.
    """
    rows = document.get("adrs") if isinstance(document, Mapping) else document
    if not isinstance(rows, list) or not rows:
        raise BadCases("expected an object with a list “adrs”, or a list of cases")
    cases = []
    for number, row in enumerate(rows, start=1):
        try:
            case = Case(
                id=str(row.get("id", f"case {number}")),
                repository=str(row["repo"]),
                layer=str(row["layer"]),
                group=str(row.get("prd_layer", row["layer"])),
                constraints=tuple(map(str, row["constraints"])),
                existing=tuple(map(str, row["existing"])),
                options=tuple(map(str, row["options"])),
                decision=str(row["decision"]),
            )
        except (AttributeError, KeyError, TypeError) as problem:
            raise BadCases(f"case {number}: {problem!r} is missing or not of its kind") from problem
        if case.decision not in case.options or len(set(case.options)) < 2:
            raise BadCases(f"{case.id}: needs two options or more, the decision among them")
        cases.append(case)
    return cases


def request_of(case: Case, layer: Layer, catalogue: Catalogue) -> Constraints:
    """The case as the form would send it when every reading of its brief is confirmed."""
    text = "\n".join(case.constraints)
    fields = as_fields(read_brief(text, catalogue))
    running = [*case.existing, *fields.get("already_run", ())]
    known = [found for name in case.existing if (found := catalogue.find(name)) is not None]
    leaving = [*fields.get("leaving", ())]
    incumbents = [found for found in known if layer.id in found.layers]
    leaving += [row.value for row in complaints(text, incumbents, catalogue)]
    return Constraints.parse(
        {
            **fields,
            "title": "Request",
            "building": text[:4000],
            "already_run": list(dict.fromkeys(running)),
            "leaving": list(dict.fromkeys(leaving)),
            "layers": [layer.id],
        }
    )


def rank_case(
    case: Case,
    catalogue: Catalogue,
    today: dt.date,
    *,
    without: frozenset[str] = frozenset(),
    seed: int = 1,
) -> Ranking:
    """Rank the options of one case with today's facts, in an order shuffled by `seed`.

    What a constraint rules out comes last, by what it would have scored.
    """
    names = list(case.options)
    random.Random(f"{case.id}:{seed}").shuffle(names)  # noqa: S311 - shuffling, not secrecy
    layer = layer_of(case.layer, names, catalogue, _asked(case, catalogue))
    extended, read = with_named_options(names, layer, catalogue, today)
    asked = request_of(case, layer, extended)
    evidence = retrieve(asked, extended, today, only=[option.technology for option in read])
    sieved = eliminate(asked, extended, evidence, today)
    scored = score(asked, extended, evidence, sieved, without=without)["layers"][0]
    order = [row["technology"] for row in scored["ranked"]]
    out: dict[str, float] = {}
    for row in scored["eliminated"]:
        out.setdefault(row["technology"], row["would_score"])
    order += sorted(out, key=lambda name: (-out[name], name))
    written = {option.technology: option.name for option in read}
    first = scored["confidence"]["believed"]
    return Ranking(
        case=case,
        layer=layer.id,
        order=tuple(written[name] for name in order),
        confidence=1.0 if first is None else first,
        known={option.name: option.how for option in read},
    )


def _asked(case: Case, catalogue: Catalogue) -> list[str]:
    """Capabilities that the words of a case ask for, in whatever layer."""
    text = "\n".join(case.constraints)[:4000]
    said = Constraints.parse({"title": "Request", "building": text})
    return [row["capability"] for row in asked_for(said, catalogue)]


def baseline(case: Case, catalogue: Catalogue, today: dt.date, which: str, seed: int) -> Ranking:
    """Rank the options by chance, or by adoption alone. Chance asks for no layer."""
    names = list(case.options)
    chance = random.Random(f"{case.id}:{seed}")  # noqa: S311 - shuffling, not secrecy
    chance.shuffle(names)
    if which != "popularity":
        return Ranking(case, "", tuple(names), 1 / len(names), {})
    layer = layer_of(case.layer, names, catalogue, _asked(case, catalogue))
    extended, read = with_named_options(names, layer, catalogue, today)
    asked = Constraints.parse({"title": layer.title, "layers": [layer.id]})
    evidence = retrieve(asked, extended, today, only=[option.technology for option in read])
    sieved = eliminate(asked, extended, evidence, today)
    scored = score(asked, extended, evidence, sieved, stated={POPULARITY: 1})["layers"][0]
    worth = {row["technology"]: row["criteria"][POPULARITY]["value"] for row in scored["ranked"]}
    popularity = {option.name: worth[option.technology] for option in read}
    names.sort(key=lambda name: -popularity[name])  # ties stay shuffled
    return Ranking(case, layer.id, tuple(names), 1 / len(names), {})


def evaluate(
    cases: Sequence[Case], catalogue: Catalogue, today: dt.date, *, seeds: int = 5
) -> dict[str, Any]:
    """Every method on every case, ready for JSON.

    seeds: how many times the options are shuffled. Shares run from 0 to 1; each figure comes as
    {value, low, high, n} with a 95% interval from resampling whole repositories, because records
    of one repository are not independent.
    """
    methods: dict[str, Callable[[Case, int], Ranking]] = {
        name: lambda case, seed, without=without: rank_case(  # type: ignore[misc]
            case, catalogue, today, without=without, seed=seed
        )
        for name, without in ABLATIONS.items()
    }
    for name in BASELINES:
        methods[name] = lambda case, seed, name=name: baseline(  # type: ignore[misc]
            case, catalogue, today, name, seed
        )
    result: dict[str, Any] = {"methods": {}}
    for name, method in methods.items():
        # Chance needs many draws to be itself; what is deterministic proves it over the seeds.
        runs = [
            [method(case, seed) for case in cases]
            for seed in range(1, (20 * seeds if name == "random" else seeds) + 1)
        ]
        result["methods"][name] = _measured(runs)
        if name == "engine":
            orders = [[ranking.order for ranking in run] for run in runs]
            result["same_for_every_order"] = all(order == orders[0] for order in orders)
            result["per_layer"] = _per_group(runs)
            result["calibration"] = _calibration(runs[0]) | {
                "cross_validated": _cross_validated(runs[0])
            }
            result["coverage"] = _coverage(runs[0])
            result["cases"] = [_case_row(ranking) for ranking in runs[0]]
    return result | {
        "note": "Today's facts on decisions of their time: a figure of today may not have been "
        "known to the team.",
        "as_of": today.isoformat(),
        "catalogue": catalogue.digest,
        "cases_count": len(cases),
        "repositories": len({case.repository for case in cases}),
        "seeds": seeds,
    }


def _position(ranking: Ranking) -> int:
    return ranking.order.index(ranking.case.decision) + 1


def _top(ranking: Ranking, count: int) -> float:
    return float(_position(ranking) <= count)


def _pairs(ranking: Ranking) -> float:
    """Share of the other options that the decision is ranked ahead of."""
    others = len(ranking.order) - 1
    return (len(ranking.order) - _position(ranking)) / others


MEASURES: Mapping[str, tuple[Callable[[Ranking], float], int]] = {
    # name to (what one ranking is worth, fewest options that a case must have)
    "top_1": (lambda ranking: _top(ranking, 1), 2),
    "pairwise": (_pairs, 2),
    "mrr": (lambda ranking: 1 / _position(ranking), 2),
    "top_1_of_4_or_more": (lambda ranking: _top(ranking, 1), 4),
    "top_3_of_4_or_more": (lambda ranking: _top(ranking, 3), 4),
}


def _measured(runs: Sequence[Sequence[Ranking]]) -> dict[str, Any]:
    found = {}
    for name, (worth, fewest) in MEASURES.items():
        by_case: dict[str, list[float]] = {}
        repository = {}
        pairs: dict[str, int] = {}
        for run in runs:
            for ranking in run:
                if len(ranking.order) >= fewest:
                    by_case.setdefault(ranking.case.id, []).append(worth(ranking))
                    repository[ranking.case.id] = ranking.case.repository
                    pairs[ranking.case.id] = len(ranking.order) - 1
        # Pairwise is a share of all pairs, so a case with more options has more say.
        share = pairs if name == "pairwise" else dict.fromkeys(by_case, 1)
        rows = [
            (repository[case], statistics.fmean(values), share[case])
            for case, values in by_case.items()
        ]
        found[name] = _with_interval(rows)
    return found


def _with_interval(rows: Sequence[tuple[str, float, int]]) -> dict[str, Any]:
    """Weighted mean of (cluster, value, weight) with its interval over resampled clusters."""
    if not rows:
        return {"value": None, "low": None, "high": None, "n": 0}
    clusters: dict[str, list[float]] = {}
    for cluster, value, weight in rows:
        total = clusters.setdefault(cluster, [0.0, 0.0])
        total[0] += value * weight
        total[1] += weight
    sums = np.array([clusters[name] for name in sorted(clusters)])
    draws = np.random.default_rng(1).integers(0, len(sums), (RESAMPLES, len(sums)))
    resampled = sums[draws].sum(axis=1)
    low, high = np.percentile(resampled[:, 0] / resampled[:, 1], INTERVAL)
    whole = sums.sum(axis=0)
    return {
        "value": round(float(whole[0] / whole[1]), 4),
        "low": round(float(low), 4),
        "high": round(float(high), 4),
        "n": len(rows),
    }


def _per_group(runs: Sequence[Sequence[Ranking]]) -> dict[str, Any]:
    groups = sorted({ranking.case.group for ranking in runs[0]})
    return {
        group: _measured(
            [[ranking for ranking in run if ranking.case.group == group] for run in runs]
        )
        for group in groups
    }


def _calibration(rankings: Iterable[Ranking]) -> dict[str, Any]:
    """Expected calibration error: |believed - seen| per bin of belief, weighted by its size."""
    rows = list(rankings)
    bins = []
    error = 0.0
    for number in range(BINS):
        low, high = number / BINS, (number + 1) / BINS
        inside = [
            row
            for row in rows
            if low <= row.confidence < high or (number == BINS - 1 and row.confidence == 1)
        ]
        if not inside:
            continue
        believed = statistics.fmean(row.confidence for row in inside)
        seen = statistics.fmean(_top(row, 1) for row in inside)
        error += len(inside) / len(rows) * abs(believed - seen)
        bins.append(
            {
                "from": low,
                "to": high,
                "n": len(inside),
                "believed": round(believed, 4),
                "seen": round(seen, 4),
            }
        )
    believed = statistics.fmean(row.confidence for row in rows)
    seen = statistics.fmean(_top(row, 1) for row in rows)
    return {
        "error": round(error, 4),
        "bins": bins,
        "mean_believed": round(believed, 4),
        "mean_seen": round(seen, 4),
    }


def _fitted(rankings: Sequence[Ranking]) -> float:
    """The temperature under which what was seen was least surprising (log loss)."""

    def surprise(temperature: float) -> float:
        return sum(
            -math.log(belief if _top(row, 1) else 1 - belief)
            for row in rankings
            for belief in [sharpened(row.confidence, 1 / temperature)]
        )

    return min(TEMPERATURES, key=surprise)


def _cross_validated(rankings: Sequence[Ranking]) -> dict[str, Any]:
    """Whether beliefs would be better with a temperature fitted on the other repositories.

    Gives the temperature on all cases, and the calibration error of beliefs that were each changed
    by what the other repositories said; nothing when there is one repository only.
    """
    repositories = sorted({row.case.repository for row in rankings})
    if len(repositories) < 2:
        return {"temperature": None, "error": None}
    changed = []
    for left_out in repositories:
        temperature = _fitted([row for row in rankings if row.case.repository != left_out])
        changed += [
            replace(row, confidence=sharpened(row.confidence, 1 / temperature))
            for row in rankings
            if row.case.repository == left_out
        ]
    return {"temperature": _fitted(rankings), "error": _calibration(changed)["error"]}


def _coverage(rankings: Iterable[Ranking]) -> dict[str, Any]:
    how = [(name, said) for row in rankings for name, said in row.known.items()]
    count = {kind: sum(said == kind for _, said in how) for kind in (KNOWN, READ)}
    return {
        "options": len(how),
        "known": round(count[KNOWN] / len(how), 4),
        "known_or_read": round((count[KNOWN] + count[READ]) / len(how), 4),
        "unknown": sorted({name for name, said in how if said == UNKNOWN}),
        "vendor_only": sorted({name for name, said in how if said == MADE_BY}),
        "read": sorted({name for name, said in how if said == READ}),
    }


def _case_row(ranking: Ranking) -> dict[str, Any]:
    return {
        "id": ranking.case.id,
        "layer": ranking.layer,
        "order": list(ranking.order),
        "decision": ranking.case.decision,
        "position": _position(ranking),
        "confidence": round(ranking.confidence, 4),
        "unknown": sorted(name for name, how in ranking.known.items() if how == UNKNOWN),
    }


__all__ = ["BadCases", "Case", "Ranking", "evaluate", "rank_case", "read_cases"]
