"""Reads JSON that strangers wrote, refusing what would trip whoever stores or shows it later."""

import json
import math
from typing import Any, NoReturn

DEEPEST = 20  # levels; nothing that we ask for has more than five


class NotSound(ValueError):
    """Not JSON, or JSON that no honest program writes."""


def parsed(raw: bytes) -> Any:
    """The value that `raw` stands for.

    Raises NotSound for anything but UTF-8 JSON, and for what is JSON to Python alone or breaks
    PostgreSQL and canonical JSON: NaN, numbers without end, NUL, lone surrogates, a name given
    twice in one object (two readers would see two documents), more than DEEPEST levels.
    """
    try:
        value = json.loads(
            raw.decode(), object_pairs_hook=_without_repetition, parse_constant=_no_constant
        )
    except NotSound:
        raise
    except (ValueError, RecursionError) as error:
        raise NotSound("is not sound JSON") from error
    _check(value, DEEPEST)
    return value


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotSound("says the same thing twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise NotSound(f"{name} is not JSON")


def _check(value: Any, levels: int) -> None:
    if levels == 0:
        raise NotSound("goes too deep")
    match value:
        case str():
            if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
                raise NotSound("holds characters that are none")
        case float() if not math.isfinite(value):
            raise NotSound("holds a number without end")
        case dict():
            for name, inner in value.items():
                _check(name, levels)
                _check(inner, levels - 1)
        case list():
            for inner in value:
                _check(inner, levels - 1)
