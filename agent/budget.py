"""What a task may take, what it took, and whether the next step still fits: pure arithmetic."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, floor, inf
from typing import Any

from agent.errors import BudgetSpent
from authz.policy_facts import MOST_PERCENT, BudgetRaise, percent_of

# What a bugfix may take when the request says nothing; tokens and US dollars only where the tenant
# has language models.
DEFAULTS: dict[str, float] = {"wall_s": 600, "steps": 60, "tokens": 200_000, "usd": 1}
# The most that a request may ask for.
LIMITS: dict[str, float] = {"wall_s": 3_600, "steps": 200, "tokens": 2_000_000, "usd": 100}
# What policies know a budget by, and how many of that one of ours is.
UNITS = {"wall_s": ("seconds", 1), "steps": ("steps", 1), "tokens": ("tokens", 1),
         "usd": ("cents", 100)}  # fmt: skip
WORDS = {"wall_s": "seconds", "steps": "steps", "tokens": "tokens", "usd": "US dollars"}


@dataclass(frozen=True)
class Spent:
    """What a task took so far. wall_s: seconds at work; usd: US dollars."""

    wall_s: float = 0
    steps: int = 0
    tokens: int = 0
    usd: float = 0

    def of(self, name: str) -> float:
        return float(getattr(self, name))


def reserved(budgets: Mapping[str, Any], spent: Spent, most: Spent) -> dict[str, float]:
    """What to set aside for a step that can take `most`, before it begins.

    A step may begin while there is time left; its own limit is cut to what is left, so of time
    less can be set aside than it might take. Of all else the whole worst case has to fit. Raises
    BudgetSpent with what there is, what is gone and what would be needed.
    """
    aside = {}
    for name, limit in budgets.items():
        left, wanted = float(limit) - spent.of(name), most.of(name)
        if left < (0 if name == "wall_s" else wanted) or (name == "wall_s" and left == 0):
            raise BudgetSpent(
                f"the budget of {limit:g} {WORDS[name]} is spent: {spent.of(name):g} are gone and"
                f" the next step may take {wanted:g}"
            )
        aside[name] = min(left, wanted)
    return aside


def raised(before: Mapping[str, Any], after: Mapping[str, Any]) -> BudgetRaise | None:
    """What policies are told when a task's budget becomes `after`; None when nothing gets more.

    Of what is not named there is no limit.
    """
    more = [
        percent_of(float(after[name]), float(before[name])) if name in after else MOST_PERCENT
        for name in before
        if float(after.get(name, inf)) > float(before[name])
    ]
    if not more:
        return None
    # Rounded so that a policy never sees less of a raise than there is.
    return BudgetRaise(
        "task",
        max(more),
        {UNITS[name][0]: floor(float(said) * UNITS[name][1]) for name, said in before.items()},
        {UNITS[name][0]: ceil(float(said) * UNITS[name][1]) for name, said in after.items()},
    )


def parse(fields: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, str]]:
    """Budgets of a request with defaults for what it leaves out; what is wrong, by field."""
    budgets, errors = dict(DEFAULTS), {}
    for name, said in fields.items():
        if name not in DEFAULTS:
            errors[name] = f"is no budget; there are {', '.join(DEFAULTS)}"
            continue
        if said in ("", None):
            continue
        try:
            value = float(said)
        except (TypeError, ValueError):
            value = -1
        least = 0 if name in {"tokens", "usd"} else 1
        if not least <= value <= LIMITS[name]:
            errors[name] = f"must be {least} to {LIMITS[name]:,.0f} {WORDS[name]}"
        else:
            budgets[name] = value if name in {"usd", "wall_s"} else int(value)
    return budgets, errors
