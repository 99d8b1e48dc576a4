"""Cost formulas with units: what is computed has to come out in the unit it is declared in."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_SUMS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
}
_CALLS: dict[str, Callable[..., float]] = {"max": max, "min": min, "ceil": math.ceil}
# Counts: they multiply and leave the unit as it is.
_PLAIN = {"", "1", "copies", "users", "of", "5"}


class BadFormula(ValueError):
    """The formula cannot be read, uses a name that is not defined, or mixes units."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with its unit. powers: base unit to power, {"USD": 1, "h": -1} for USD/h."""

    number: float
    powers: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Formula:
    """One way of estimating a cost. text: names of facts and inputs joined by + - * / max min ceil.

    names: what it needs, in order of appearance. unit: what comes out.
    """

    id: str
    title: str
    text: str
    unit: str
    names: tuple[str, ...]


def powers_of(unit: str) -> dict[str, int]:
    """Base units with their powers. "USD/GB-h" is USD per GB and hour."""
    powers: dict[str, int] = {}
    top, *bottom = unit.split("/")
    for sign, part in ((1, top), *((-1, part) for part in bottom)):
        for name in re.split(r"[-*\s]", part):
            if name not in _PLAIN:
                powers[name] = powers.get(name, 0) + sign
    return {name: power for name, power in powers.items() if power}


def parse(identity: str, title: str, text: str, unit: str, units: Mapping[str, str]) -> Formula:
    """Read a formula, checking that it comes out in `unit`.

    units: every name that may appear, with its unit. Raises BadFormula.
    """
    tree = _tree(text)
    names = tuple(
        dict.fromkeys(
            node.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Name) and node.id not in _CALLS
        )
    )
    if strange := [name for name in names if name not in units]:
        raise BadFormula(f"{', '.join(strange)} is neither a fact nor an input")
    found = _value(tree.body, {name: Quantity(1.0, powers_of(units[name])) for name in names})
    if dict(found.powers) != powers_of(unit):
        raise BadFormula(f"comes out in {_spelled(found.powers)}, declared {unit}")
    return Formula(identity, title, text, unit, names)


def evaluate(formula: Formula, values: Mapping[str, Quantity]) -> float:
    """The number, in `formula.unit`. Raises KeyError for a name without a value, BadFormula when
    the units of the values do not lead to that unit.
    """
    needed = {name: values[name] for name in formula.names}
    found = _value(_tree(formula.text).body, needed)
    if dict(found.powers) != powers_of(formula.unit):
        raise BadFormula(f"comes out in {_spelled(found.powers)}, declared {formula.unit}")
    return found.number


def _tree(text: str) -> ast.Expression:
    try:
        return ast.parse(text, mode="eval")
    except SyntaxError as problem:
        raise BadFormula(f"not readable: {problem.msg}") from problem


def _value(node: ast.expr, values: Mapping[str, Quantity]) -> Quantity:
    match node:
        case ast.Constant(value=int() | float() as number):
            return Quantity(float(number), {})
        case ast.Name(id=name):
            return values[name]
        case ast.BinOp(left=left, op=ast.Mult() | ast.Div() as sign, right=right):
            return _product(_value(left, values), sign, _value(right, values))
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() as sign, right=right):
            one, other = _value(left, values), _value(right, values)
            _same(one, other)
            return Quantity(_SUMS[type(sign)](one.number, other.number), one.powers)
        case ast.Call(func=ast.Name(id=name), args=[_, *_] as given, keywords=[]) if name in _CALLS:
            parts = [_value(part, values) for part in given]
            for part in parts[1:]:
                _same(parts[0], part)
            return Quantity(float(_CALLS[name](*(part.number for part in parts))), parts[0].powers)
    raise BadFormula(f"{ast.unparse(node)} is not allowed")


def _product(one: Quantity, sign: ast.operator, other: Quantity) -> Quantity:
    divides = isinstance(sign, ast.Div)
    powers = dict(one.powers)
    for name, power in other.powers.items():
        powers[name] = powers.get(name, 0) + (-power if divides else power)
    number = one.number / other.number if divides else one.number * other.number
    return Quantity(number, {name: power for name, power in powers.items() if power})


def _same(one: Quantity, other: Quantity) -> None:
    if dict(one.powers) != dict(other.powers):
        raise BadFormula(f"{_spelled(one.powers)} and {_spelled(other.powers)} cannot be compared")


def _spelled(powers: Mapping[str, int]) -> str:
    over = "-".join(name for name, power in sorted(powers.items()) for _ in range(max(power, 0)))
    under = "-".join(name for name, power in sorted(powers.items()) for _ in range(max(-power, 0)))
    return (over or "1") + (f"/{under}" if under else "")
