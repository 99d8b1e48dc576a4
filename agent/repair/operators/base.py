"""What every kind of change needs: how it is made, where, and what it may cost."""

import ast
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from agent.repair import unit as levels
from agent.repair.edits import Edit
from agent.repair.unit import ATOM, Unit, bare, binding, compatible

type Made = tuple[list[Edit], ast.AST, float, str]  # edits, where, cost beyond the prior, flags


@dataclass(frozen=True)
class Candidate:
    """One change that may be the repair.

    flags: letters the ranking asks for: d deletes something, c drops a call, k special-cases a
    constant, i inserts a statement, u leaves a variable without use. doubt: how much of the cost is
    for the line being doubted less than others.
    """

    edits: tuple[Edit, ...]
    operator: str
    cost: float
    line: int
    unit: str
    flags: str = ""
    doubt: float = 0.0


@dataclass(frozen=True)
class Operator:
    """A kind of change: its name in plain words, its prior cost, what makes its candidates."""

    words: str
    prior: float
    make: Callable[[Unit], Iterator[Made]]


def loads(unit: Unit) -> Iterator[ast.expr]:
    for node in unit.expressions():
        if isinstance(getattr(node, "ctx", None), ast.Store | ast.Del):
            continue
        if isinstance(node, ast.Starred | ast.Slice):
            continue
        if isinstance(unit.parents.get(node), ast.JoinedStr):
            continue
        yield node


def operator_span(unit: Unit, left: ast.expr, right: ast.expr, symbol: str) -> Edit | None:
    """Where an operator stands between its operands, as an edit that changes nothing."""
    start, end = unit.span(left)[1], unit.span(right)[0]
    between = unit.source[start:end].decode()
    found = re.search(re.escape(symbol).replace(r"\ ", r"\s+"), between)
    if found is None:
        return None
    return Edit(unit.path, start + found.start(), start + found.end(), symbol)


def is_call_name(unit: Unit, node: ast.expr) -> bool:
    parent = unit.parents.get(node)
    return isinstance(parent, ast.Call) and parent.func is node


def conditions(unit: Unit) -> Iterator[ast.expr]:
    for node in ast.walk(unit.node):
        if isinstance(node, ast.If | ast.While | ast.IfExp | ast.Assert):
            yield node.test
        for generator in getattr(node, "generators", ()):
            yield from generator.ifs
        if isinstance(node, ast.Return | ast.Assign) and isinstance(
            node.value, ast.Compare | ast.BoolOp
        ):
            yield node.value


def tests_of(unit: Unit, node: ast.AST) -> dict[str, tuple[float, int]]:
    """Conditions that might matter here, with cost and level."""
    found: dict[str, tuple[float, int]] = {}
    for name in unit.names_at(node):
        kinds = bare(unit.seen(name))
        if kinds & {"list", "str", "dict", "set", "tuple", "deque"} or not kinds:
            found[f"not {name}"] = (0.1 if kinds else 0.6, levels.NOT)
            found[name] = (0.3 if kinds else 0.7, ATOM)
        if "NoneType" in kinds or "NoneType" in unit.known.symptoms or not kinds:
            found[f"{name} is None"] = (0.1, levels.COMPARE)
            found[f"{name} is not None"] = (0.3, levels.COMPARE)
        if kinds & {"int", "float"}:
            for test, extra in (
                ("== 0", 0.2), ("> 0", 0.4), ("< 0", 0.4), ("!= 0", 0.5), ("> 1", 0.8),
                ("== 1", 0.7), ("< 2", 0.8), ("<= 0", 0.7), (">= 0", 0.7),
            ):  # fmt: skip
                found[f"{name} {test}"] = (extra, levels.COMPARE)
        if "bool" in kinds:
            found[name] = (0.1, ATOM)
            found[f"not {name}"] = (0.1, levels.NOT)
    numeric = [n for n in unit.names_at(node) if bare(unit.seen(n)) & {"int", "float", "str"}]
    for one, other in itertools.permutations(numeric[:8], 2):
        if compatible(unit.seen(one), unit.seen(other)):
            for sign, extra in (("==", 0.8), ("!=", 0.8), ("<", 0.8), ("<=", 1.0)):
                found[f"{one} {sign} {other}"] = (extra, levels.COMPARE)
    containers = [n for n in unit.names_at(node) if bare(unit.seen(n)) & {"list", "set", "dict"}]
    for box in containers[:5]:
        for name in unit.names_at(node)[:8]:
            if name != box and not bare(unit.seen(name)) & {"list", "set", "dict"}:
                found[f"{name} in {box}"] = (1.0, levels.COMPARE)
                found[f"{name} not in {box}"] = (0.9, levels.COMPARE)
    for condition in conditions(unit):
        found.setdefault(unit.text(condition), (0.8, binding(condition)))
    return found
