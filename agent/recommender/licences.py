"""How restrictive a licence is, read from its SPDX expression."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

CLASSES = ("permissive", "weak_copyleft", "strong_copyleft", "source_available", "proprietary")

# What each policy lets into the product.
_ALLOWED = {
    "permissive_only": 0,
    "copyleft_ok": 2,
    "osi_only": 2,
    "any": 4,
}


def restriction(expression: str, classes: Mapping[str, int]) -> int:
    """Class number (0 permissive .. 4 proprietary) of an SPDX expression.

    With OR the receiver chooses, so the mildest counts; with AND all apply, so the strictest.
    classes: licence id to class number. A LicenseRef- id that is not listed is proprietary;
    an unknown SPDX id raises KeyError, so that a typing error in the catalogue is noticed.
    """
    flat = expression.replace("(", " ").replace(")", " ")
    choices = []
    for choice in flat.split(" OR "):
        choices.append(max(_one(part.strip(), classes) for part in choice.split(" AND ")))
    return min(choices)


def _one(licence: str, classes: Mapping[str, int]) -> int:
    if licence not in classes and licence.startswith("LicenseRef-"):
        return len(CLASSES) - 1
    return classes[licence]


def permitted(restricted: int, policy: str) -> bool:
    """Whether `policy` lets a licence of that class number in."""
    return restricted <= _ALLOWED[policy]


def at_version(periods: Sequence[tuple[str, str]], version: str) -> str | None:
    """The licence in force at `version`, from its history.

    periods: (from version, expression), oldest first. An empty from-version
    means from the beginning. None when the history begins later.
    """
    found = None
    for start, expression in periods:
        if not start or _numbers(start) <= _numbers(version):
            found = expression
    return found


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))
