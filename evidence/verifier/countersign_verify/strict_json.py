"""Reads JSON that every reader understands the same way."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from .findings import Rejected

CHECK = "json"
LARGEST_INTEGER = (1 << 53) - 1  # beyond it, readers that use doubles see another number


class Doubtful(ValueError):
    """Two readers could understand this JSON differently."""


def read(subject: str, content: bytes) -> Any:
    """The value, or Rejected: duplicate keys, wide integers, NaN, lone surrogates, a BOM."""
    try:
        return parsed(content.decode())
    except (UnicodeError, ValueError, RecursionError) as fault:
        raise Rejected(CHECK, subject, str(fault)) from fault


def read_object(subject: str, content: bytes) -> dict[str, Any]:
    value = read(subject, content)
    if not isinstance(value, dict):
        raise Rejected(CHECK, subject, "not an object")
    return value


def parsed(text: str) -> Any:
    """The value in `text`; raises ValueError."""
    value = json.loads(
        text,
        object_pairs_hook=_without_duplicates,
        parse_int=_narrow,
        parse_constant=_no_constant,
    )
    # A lone surrogate survives in a str, but cannot be written as UTF-8.
    json.dumps(value, ensure_ascii=False).encode()
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Doubtful(f"the key {twice!r} appears twice")
    return fields


def _narrow(digits: str) -> int:
    if len(digits) > 17 or abs(number := int(digits)) > LARGEST_INTEGER:
        raise Doubtful(f"the integer {digits[:20]} is too wide")
    return number


def _no_constant(name: str) -> NoReturn:
    raise Doubtful(f"{name} is not a JSON number")
