"""Orders patches that pass all tests: which is likeliest meant, and which do the same."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.repair.operators.base import Candidate

# What makes a patch that passes the tests less likely to be right, in units of cost.
PENALTIES = {"d": 0.5, "c": 0.7, "k": 0.9, "i": 0.1, "u": 1.0}
DOUBTED = 0.5  # of what a line cost that is doubted less: tests that pass outweigh the doubt
NEW_TYPE = 0.9  # answers with a type that no answer of the base had, on made inputs
FAILS_MORE = 1.6  # times the share of made inputs on which it raises and others do not
SLOWER = 0.5  # for each doubling of the steps over the median of all, from the second on
CHANGES_MORE = 0.15  # for each doubling of the made inputs that are answered otherwise than before
VOTES = 0.25  # for each doubling of the number of lines at which a change behaves the same


@dataclass(frozen=True)
class Ranked:
    """A patch that passes all tests: its score (lower is better) and its cluster (0: the first)."""

    candidate: Candidate
    score: float
    cluster: int
    probability: float
    answers: tuple[str, ...]


def ranked(
    candidates: Sequence[Candidate],
    answers: Mapping[int, Sequence[Sequence[str]]],
    steps: Sequence[int],
    *,
    first_cluster: int = 0,
) -> list[Ranked]:
    """Best first; patches that answer the same on all made inputs are of one cluster.

    answers: by index of the candidate, and -1 for the code as it is. steps: calls and jumps that
    the tests took, for each candidate. first_cluster: number of the first, when others come before.
    """
    kinds = {n: tuple(a[0] for a in answers.get(n, ())) for n in range(-1, len(candidates))}
    base_types = {kind.partition(":")[0] for kind in kinds[-1] if ":" in kind}
    least = min((_failing(kinds[n]) for n in range(len(candidates))), default=0)
    changed = [_changed(kinds[n], kinds[-1]) for n in range(len(candidates))]
    fewest = max(1, min(changed, default=1))
    middle = sorted(steps)[len(steps) // 2] if steps else 0
    # Changes of one line that do the same are one opinion.
    lines: dict[tuple[str, ...], set[int]] = {}
    for n, candidate in enumerate(candidates):
        lines.setdefault(kinds[n], set()).add(candidate.line)
    scored: list[tuple[float, int]] = []
    for n, candidate in enumerate(candidates):
        score = candidate.cost - DOUBTED * candidate.doubt
        score += sum(PENALTIES.get(flag, 0.0) for flag in candidate.flags)
        own_types = Counter(kind.partition(":")[0] for kind in kinds[n] if ":" in kind)
        strange = sum(count for kind, count in own_types.items() if kind not in base_types)
        if kinds[n] and base_types:
            score += NEW_TYPE * min(1.0, 4 * strange / len(kinds[n]))
            score += FAILS_MORE * (_failing(kinds[n]) - least) / len(kinds[n])
        # Most of the code as it is was meant: of two repairs the one that changes less.
        score += CHANGES_MORE * math.log2(max(1, changed[n]) / fewest)
        if steps[n] > 2 * middle > 0:
            score += SLOWER * min(4.0, math.log2(steps[n] / middle) - 1)
        score -= VOTES * math.log2(len(lines[kinds[n]])) if kinds[n] else 0.0
        scored.append((score, n))
    scored.sort(key=lambda one: (one[0], candidates[one[1]].edits))
    order = list(dict.fromkeys(kinds[n] or (str(n),) for _, n in scored))
    weights = {
        cluster: math.exp(-1.5 * min(s for s, n in scored if (kinds[n] or (str(n),)) == key))
        for cluster, key in enumerate(order)
    }
    best = max(weights.values(), default=1.0)
    # What no operator makes may be right too; the dearer the best, the likelier.
    other = best * 0.15
    total = sum(weights.values()) + other
    return [
        Ranked(
            candidates[n],
            round(score, 3),
            first_cluster + (cluster := order.index(kinds[n] or (str(n),))),
            round(weights[cluster] / total, 3),
            tuple(a[1] for a in answers.get(n, ())),
        )
        for score, n in scored
    ]


def _changed(kinds: Sequence[str], before: Sequence[str]) -> int:
    """How many answers differ from those of the code as it is, errors of it left out."""
    return sum(
        one != other and not other.startswith(("raise", "timeout", "died"))
        for one, other in zip(kinds, before, strict=False)
    )


def _failing(kinds: Sequence[str]) -> int:
    return sum(kind.startswith(("raise", "timeout", "died")) for kind in kinds)


def confidence(probability: float, plausible: int) -> str:
    """In a word: high, fair or low."""
    if probability >= 0.7 and plausible:
        return "high"
    return "fair" if probability >= 0.4 else "low"
