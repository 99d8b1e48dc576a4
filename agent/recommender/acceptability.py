"""How often each option would come first if weights and facts were a little different (SMAA)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
    """Shares (0..1) of the samples, by option. totals: option to its total in every sample."""

    first: Mapping[str, float]
    top3: Mapping[str, float]
    totals: Mapping[str, NDArray[np.float64]]

    def beats(self, one: str, other: str) -> float:
        """Share of the samples in which `one` is ahead of `other`. Raises KeyError."""
        return float((self.totals[one] > self.totals[other]).mean())


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
        return Acceptability({}, {}, {})
    names = sorted(values)
    criteria = [criterion for criterion in sorted(weights) if weights[criterion] > 0]
    centre = np.array([weights[criterion] for criterion in criteria])
    draws = np.random.default_rng(seed)
    shares = draws.dirichlet(centre / centre.sum() * CONCENTRATION * len(criteria) ** 0.5, samples)
    means = np.array([[values[name][criterion] for criterion in criteria] for name in names])
    deviations = np.array([[spread[name][criterion] for criterion in criteria] for name in names])
    # Independent normal errors, weighted and summed, are one normal error: one draw is enough.
    widths = np.sqrt(np.einsum("sc,nc->sn", shares**2, deviations**2) + UNSEEN**2)
    own = [np.random.default_rng(_stream(seed, name)).standard_normal(samples) for name in names]
    # einsum, and not a product of matrices: one option more must not change another's last bit.
    totals = np.einsum("sc,nc->sn", shares, means) + widths * np.array(own).T
    order = np.argsort(-totals, axis=1, kind="stable")
    winners = order[:, 0]
    first = {name: float((winners == column).mean()) for column, name in enumerate(names)}
    podium = order[:, :3]
    top3 = {name: float((podium == column).any(axis=1).mean()) for column, name in enumerate(names)}
    columns = {name: totals[:, column] for column, name in enumerate(names)}
    return Acceptability(first, top3, columns)


def sharpened(share: float, sharpness: float) -> float:
    """`share` (0..1) with its log odds times `sharpness`, where it is more than one half.

    What comes first in less than half of the samples is believed as often as it does: among many
    options no share is large, and the map was only seen to hold above.
    """
    inside = min(max(share, 0.5 / SAMPLES), 1 - 0.5 / SAMPLES)
    if inside <= 0.5:
        return inside
    return 1 / (1 + math.exp(-sharpness * math.log(inside / (1 - inside))))


def _stream(seed: int, name: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest())
