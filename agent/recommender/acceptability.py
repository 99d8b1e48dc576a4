"""How often each option would come first if weights and facts were a little different (SMAA)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

SAMPLES = 2000
SEED = 20261123
# How sure a ranking of criteria is of its weights: the larger, the closer to the centroid.
CONCENTRATION = 18.0
# Standard deviation of a value by the weakest grade it rests on, and of one that is unknown.
SPREAD = {"request": 0.05, "A": 0.05, "B": 0.05, "C": 0.10, "J": 0.14, "": 0.0}
UNKNOWN_SPREAD = 0.22
# What no catalogue knows about an option (taste, a colleague's bad day with it), as a share of the
# whole score.
UNSEEN = 0.055


@dataclass(frozen=True, slots=True)
class Acceptability:
    """Shares (0..1) of the samples. first, top3: by option. wins: (option, other) to the share in
    which it is ahead. central: mean weights where the option comes first, empty when it never does.
    """

    first: Mapping[str, float]
    top3: Mapping[str, float]
    wins: Mapping[tuple[str, str], float]
    central: Mapping[str, Mapping[str, float]]


def acceptability(
    values: Mapping[str, Mapping[str, float]],
    spread: Mapping[str, Mapping[str, float]],
    weights: Mapping[str, float],
    *,
    seed: int = SEED,
    samples: int = SAMPLES,
) -> Acceptability:
    """Sample weights and values; count who comes first.

    values: option to criterion to value; spread: the same shape, standard deviations. Each option
    draws from a stream of its own, so another option beside it changes neither its draws nor who
    of two others wins more often. The same arguments always give the same answer.
    """
    if not values:
        return Acceptability({}, {}, {}, {})
    names = sorted(values)
    criteria = [criterion for criterion in sorted(weights) if weights[criterion] > 0]
    centre = np.array([weights[criterion] for criterion in criteria])
    draws = np.random.default_rng(seed)
    shares = draws.dirichlet(centre / centre.sum() * CONCENTRATION * len(criteria) ** 0.5, samples)
    totals = np.empty((samples, len(names)))
    for column, name in enumerate(names):
        own = np.random.default_rng(_stream(seed, name))
        noise = own.standard_normal((samples, len(criteria)))
        unseen = own.standard_normal(samples)
        mean = np.array([values[name][criterion] for criterion in criteria])
        deviation = np.array([spread[name][criterion] for criterion in criteria])
        totals[:, column] = (shares * (mean + noise * deviation)).sum(axis=1) + UNSEEN * unseen
    order = np.argsort(-totals, axis=1, kind="stable")
    winners = order[:, 0]
    first = {name: float((winners == column).mean()) for column, name in enumerate(names)}
    podium = order[:, :3]
    top3 = {name: float((podium == column).any(axis=1).mean()) for column, name in enumerate(names)}
    wins = {
        (one, other): float((totals[:, left] > totals[:, right]).mean())
        for left, one in enumerate(names)
        for right, other in enumerate(names)
        if left != right
    }
    central = {}
    for column, name in enumerate(names):
        chosen = shares[winners == column]
        if len(chosen):
            means = chosen.mean(axis=0)
            central[name] = {
                criterion: float(share) for criterion, share in zip(criteria, means, strict=True)
            }
    return Acceptability(first, top3, wins, central)


def _stream(seed: int, name: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest())
