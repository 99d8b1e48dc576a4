"""Times the recommender alone: python -m tests.bench.recommender_bench [--rounds N].

The 22 layers that a request asks about by default with all their options, then every layer of the
catalogue; each whole, and again with other weights, which is what the page asks for while somebody
moves them.
"""

import argparse
import datetime as dt
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from agent.recommender import (
    Catalogue,
    Constraints,
    eliminate,
    lint,
    load,
    prepare,
    retrieve,
    score,
    weighed,
)

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Print p50 and p95 of each measurement in milliseconds, and how young the facts are."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--rounds", type=int, default=20)
    rounds = asked.parse_args().rounds
    known = load(ROOT / "schemas" / "catalog")
    today = dt.datetime.now(dt.UTC).date()
    young = lint.report(known, today).within_ttl
    print(f"facts within their age limit on {today}: {young:.1%} (goal: >= 95%)")
    usual = [layer.id for layer in known.layers if layer.by_default]
    _measure(known, usual, today, rounds, "<= 2000", "<= 300")
    _measure(known, [layer.id for layer in known.layers], today, rounds, "none", "none")


def _measure(
    known: Catalogue, layers: Sequence[str], today: dt.date, rounds: int, *goals: str
) -> None:
    asked = Constraints.parse({**known.examples[0], "layers": layers}, catalogue=known)
    found = retrieve(asked, known, today)
    options = sum(len(layer["options"]) for layer in found["layers"].values())
    print(f"{len(layers)} layers, {options} options, catalogue {known.digest[:12]}")
    prepared = prepare(asked, known, found, eliminate(asked, known, found, today))

    def whole(_: int) -> None:
        fresh = retrieve(asked, known, today)
        score(asked, known, fresh, eliminate(asked, known, fresh, today))

    def other_weights(turn: int) -> None:
        weighed(prepared, stated={"cost": turn, "features": 3, "adoption": 1})

    _timed("  the whole request", whole, rounds, goals[0])
    weighed(prepared)  # the page was shown before anybody moves a weight
    _timed("  other weights", other_weights, rounds, goals[1])


def _timed(what: str, work: Callable[[int], None], rounds: int, goal: str) -> None:
    took, used = [], []
    for turn in range(rounds):
        start, processor = time.perf_counter(), time.process_time()
        work(turn)
        took.append((time.perf_counter() - start) * 1000)
        used.append((time.process_time() - processor) * 1000)
    ordered = sorted(took)
    p95 = ordered[max(0, -(-len(ordered) * 95 // 100) - 1)]
    print(
        f"{what:<20} p50 {statistics.median(took):5.0f} ms, p95 {p95:5.0f} ms, of processor"
        f" {statistics.median(used):5.0f} ms, n={rounds} (goal: {goal})",
        flush=True,
    )


if __name__ == "__main__":
    main()
