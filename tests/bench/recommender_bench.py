"""Times the recommender alone: python -m tests.bench.recommender_bench [--rounds N].

Every layer of the catalogue with all its options, then one layer again with other weights, which
is what the page asks for while somebody moves them.
"""

import argparse
import datetime as dt
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from agent.recommender import Constraints, eliminate, load, retrieve, score

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Print median and slowest of each measurement, in milliseconds."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--rounds", type=int, default=7)
    rounds = asked.parse_args().rounds
    known = load(ROOT / "schemas" / "catalog")
    today = dt.datetime.now(dt.UTC).date()
    everything = Constraints.parse(
        {**known.examples[0], "layers": [layer.id for layer in known.layers]}, catalogue=known
    )
    evidence = retrieve(everything, known, today)
    sieved = eliminate(everything, known, evidence, today)
    options = sum(len(layer["options"]) for layer in evidence["layers"].values())
    print(f"{len(known.layers)} layers, {options} options, catalogue {known.digest[:12]}")

    def whole() -> None:
        found = retrieve(everything, known, today)
        score(everything, known, found, eliminate(everything, known, found, today))

    def other_weights() -> None:
        score(everything, known, evidence, sieved, stated={"cost": 5, "features": 3, "adoption": 1})

    _timed("the whole request", whole, rounds)
    _timed("other weights", other_weights, rounds)


def _timed(what: str, work: Callable[[], None], rounds: int) -> None:
    took = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        took.append((time.perf_counter() - start) * 1000)
    print(f"{what:<20} median {statistics.median(took):7.0f} ms, slowest {max(took):7.0f} ms")


if __name__ == "__main__":
    main()
