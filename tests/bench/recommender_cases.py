"""Agreement and reliability over all cases: python -m tests.bench.recommender_cases [FILE ...].

FILE: more cases, such as published decisions; the sets beside this file and the one of the tests
are our own judgement. The last lines say what other maps of belief would have done to cases of
repositories that they were not fitted on.
"""

import argparse
import datetime as dt
import json
import math
import statistics
from collections.abc import Sequence
from pathlib import Path

from agent.recommender import load
from agent.recommender.evaluation import Ranking, rank_case, read_cases

ROOT = Path(__file__).resolve().parents[2]
SETS = (
    ROOT / "tests" / "agent" / "recommender" / "consensus_cases.json",
    ROOT / "tests" / "bench" / "development_cases.json",
    ROOT / "tests" / "bench" / "held_back_cases.json",
)
BINS = 5
Pairs = Sequence[tuple[float, bool]]  # (believed, was it the decision)
Map = tuple[float, float]  # log odds become first + second * log odds
MAPS: dict[str, list[Map]] = {
    "as it is": [(0.0, 1.0)],
    "sharper or flatter": [(0.0, step / 10) for step in range(3, 31)],
    "and moved": [(move / 10, step / 10) for move in range(-15, 16) for step in range(3, 31)],
}


def main() -> None:
    """Print one block for each set, then the comparison of maps."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("files", nargs="*", type=Path)
    known = load(ROOT / "schemas" / "catalog")
    today = dt.datetime.now(dt.UTC).date()
    ranked: list[tuple[str, Ranking]] = []
    for path in (*SETS, *asked.parse_args().files):
        cases = read_cases(json.loads(path.read_bytes()))
        found = [rank_case(case, known, today) for case in cases]
        ranked += [(path.stem, ranking) for ranking in found]
        _print_set(path.stem, found)
    print("\nother maps of these beliefs, each fitted without the repository it is tried on")
    for name, maps in MAPS.items():
        tried = _left_out(ranked, maps)
        print(f"  {name:<20} error {_error(tried):.1%}, surprise {_surprise(tried):.3f}")
        for one in dict.fromkeys(label for label, _ in ranked):
            rest = [_pair(ranking) for label, ranking in ranked if label != one]
            move, slope = _fitted(rest, maps)
            own = [
                (_mapped(believed, (move, slope)), right)
                for believed, right in (_pair(row) for label, row in ranked if label == one)
            ]
            print(f"    without {one:<20} ({move:+.1f}, {slope:.1f}) error there {_error(own):.1%}")


def _print_set(name: str, found: Sequence[Ranking]) -> None:
    places = [ranking.order.index(ranking.case.decision) + 1 for ranking in found]
    others = sum(len(ranking.order) - 1 for ranking in found)
    behind = sum(len(row.order) - place for row, place in zip(found, places, strict=True))
    pairs = [_pair(ranking) for ranking in found]
    print(
        f"{name}: {len(found)} cases, top-1 {statistics.fmean(p == 1 for p in places):.0%}, "
        f"pairwise {behind / others:.0%}, MRR {statistics.fmean(1 / p for p in places):.2f}, "
        f"believed {statistics.fmean(believed for believed, _ in pairs):.0%}, "
        f"error {_error(pairs):.1%}"
    )
    for low, inside in _bins(pairs):
        seen = statistics.fmean(right for _, right in inside)
        bar = "#" * round(seen * 40)
        print(f"  {low:.0%} to {low + 1 / BINS:.0%}  n={len(inside):<3} right {seen:4.0%} {bar}")


def _pair(ranking: Ranking) -> tuple[float, bool]:
    return ranking.confidence, ranking.order[0] == ranking.case.decision


def _bins(pairs: Pairs) -> list[tuple[float, Pairs]]:
    placed: dict[int, list[tuple[float, bool]]] = {}
    for believed, right in pairs:
        placed.setdefault(min(int(believed * BINS), BINS - 1), []).append((believed, right))
    return [(number / BINS, placed[number]) for number in sorted(placed)]


def _error(pairs: Pairs) -> float:
    return sum(
        len(inside)
        / len(pairs)
        * abs(statistics.fmean(b for b, _ in inside) - statistics.fmean(r for _, r in inside))
        for _, inside in _bins(pairs)
    )


def _surprise(pairs: Pairs) -> float:
    return statistics.fmean(-math.log(b if right else 1 - b) for b, right in pairs)


def _mapped(believed: float, by: Map) -> float:
    inside = min(max(believed, 0.001), 0.999)
    return 1 / (1 + math.exp(-(by[0] + by[1] * math.log(inside / (1 - inside)))))


def _fitted(pairs: Pairs, maps: Sequence[Map]) -> Map:
    def surprise(one: Map) -> float:
        return _surprise([(_mapped(believed, one), right) for believed, right in pairs])

    return min(maps, key=surprise)


def _left_out(ranked: Sequence[tuple[str, Ranking]], maps: Sequence[Map]) -> Pairs:
    repositories = {row.case.repository for _, row in ranked}
    tried = []
    for left in sorted(repositories):
        chosen = _fitted([_pair(row) for _, row in ranked if row.case.repository != left], maps)
        for _, row in ranked:
            if row.case.repository == left:
                believed, right = _pair(row)
                tried.append((_mapped(believed, chosen), right))
    return tried


if __name__ == "__main__":
    main()
