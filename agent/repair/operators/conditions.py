"""Changes of conditions: comparisons, negations, clauses, kinds of branches."""

import ast
import itertools
from collections.abc import Iterator
from dataclasses import replace

from agent.repair import unit as levels
from agent.repair.edits import Edit
from agent.repair.operators.base import Made, conditions, operator_span, tests_of
from agent.repair.unit import ATOM, BINARY, Unit

COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
    ast.In: "in", ast.NotIn: "not in", ast.Is: "is", ast.IsNot: "is not",
}  # fmt: skip


NEAR: dict[str, dict[str, float]] = {
    "<": {"<=": 0.0, ">": 0.1, ">=": 0.3, "!=": 0.8, "==": 0.9},
    "<=": {"<": 0.0, ">=": 0.1, ">": 0.3, "==": 0.7, "!=": 0.9},
    ">": {">=": 0.0, "<": 0.1, "<=": 0.3, "!=": 0.7, "==": 0.9},
    ">=": {">": 0.0, "<=": 0.1, "<": 0.3, "==": 0.7, "!=": 0.9},
    "==": {"!=": 0.0, "<=": 0.3, ">=": 0.3, "<": 0.6, ">": 0.6, "in": 1.5},
    "!=": {"==": 0.0, "<": 0.4, ">": 0.4, "<=": 0.7, ">=": 0.7, "not in": 1.5},
    "in": {"not in": 0.0, "==": 1.2},
    "not in": {"in": 0.0, "!=": 1.2},
    "is": {"is not": 0.0, "==": 0.8},
    "is not": {"is": 0.0, "!=": 0.8},
}


def comparisons(unit: Unit) -> Iterator[Made]:
    """Another comparison."""
    for node in unit.expressions():
        if not isinstance(node, ast.Compare):
            continue
        left = node.left
        for old, right in zip(node.ops, node.comparators, strict=True):
            symbol = COMPARISONS[type(old)]
            place = operator_span(unit, left, right, symbol)
            for new, extra in NEAR[symbol].items():
                if place is None:
                    continue
                yield [replace(place, text=new)], node, extra, ""
                if not isinstance(right, ast.Constant) or not isinstance(right.value, int):
                    continue
                # Both the comparison and the number are off: `== 0` for `<= 1`.
                for value in (right.value + 1, right.value - 1):
                    if new in {"<", "<=", ">", ">=", "==", "!="}:
                        edits = [replace(place, text=new), unit.put(right, str(value))]
                        yield edits, node, extra + 1.2, ""
            left = right


def flipped(unit: Unit) -> Iterator[Made]:
    """The two sides of a comparison or subtraction change places."""
    for node in unit.expressions():
        if isinstance(node, ast.BinOp):
            sides = (node.left, node.right)
            if isinstance(node.op, ast.Mult | ast.BitAnd | ast.BitOr | ast.BitXor):
                continue
            level = BINARY[type(node.op)][1]
            if isinstance(node.op, ast.Add) and unit.kind(node) & levels.NUMBERS:
                continue
            new = (unit.atom(sides[1], level), unit.atom(sides[0], level + 1))
            yield [unit.put(sides[0], new[0]), unit.put(sides[1], new[1])], node, 0.2, ""


def booleans(unit: Unit) -> Iterator[Made]:
    """True for False, or the other way round."""
    for node in unit.expressions():
        if isinstance(node, ast.Constant) and isinstance(node.value, bool):
            yield [unit.put(node, str(not node.value))], node, 0.0, ""
        elif isinstance(node, ast.Constant) and node.value is None:
            for text, extra in (("0", 0.5), ("[]", 0.7), ("False", 0.6), ("''", 0.8), ("1", 1.0)):
                yield [unit.put(node, text)], node, extra, ""


def negations(unit: Unit) -> Iterator[Made]:
    """The opposite condition."""
    seen = set()
    for node in conditions(unit):
        for part in [node, *(node.values if isinstance(node, ast.BoolOp) else [])]:
            if part in seen:
                continue
            seen.add(part)
            if isinstance(part, ast.UnaryOp) and isinstance(part.op, ast.Not):
                continue
            if isinstance(part, ast.Compare) and len(part.ops) == 1:
                continue  # the opposite comparison is tried by itself
            text = unit.atom(part, levels.NOT)
            yield [unit.put(part, f"not {text}", levels.NOT)], part, 0.0, ""
        if isinstance(node, ast.BoolOp):
            old = "and" if isinstance(node.op, ast.And) else "or"
            new = "or" if old == "and" else "and"
            edits = []
            for one, other in itertools.pairwise(node.values):
                place = operator_span(unit, one, other, old)
                if place is not None:
                    edits.append(replace(place, text=new))
            for edit in edits:
                yield [edit], node, -0.2, ""
            if len(edits) > 1:
                yield edits, node, 0.2, ""


def clauses(unit: Unit) -> Iterator[Made]:
    """One more condition."""
    seen = set()
    for node in conditions(unit):
        if node in seen:
            continue
        seen.add(node)
        text = unit.text(node)
        for test, (extra, level) in tests_of(unit, node).items():
            if test == text:
                continue
            for word, word_level in (("or", levels.OR), ("and", levels.AND)):
                more = f"({test})" if level < word_level else test
                old = unit.atom(node, word_level)
                both = f"{old} {word} {more}"
                yield [unit.put(node, both, word_level)], node, extra, ""
                if "None" in test or test.startswith("not ") or level == ATOM:
                    before = f"{more} {word} {old}"
                    yield [unit.put(node, before, word_level)], node, extra + 0.1, ""
            if not isinstance(unit.parents.get(node), ast.Return | ast.Assign):
                yield [unit.put(node, test, level)], node, extra + 0.4, ""
    for node in seen:
        joined = [("or", levels.OR), ("and", levels.AND)]
        parts = [node]
        if isinstance(node, ast.BoolOp):
            joined, parts = joined[isinstance(node.op, ast.And) :][:1], node.values
        for part in parts:
            for clause in _exchanged(unit, part):
                for word, level in joined:
                    both = f"{unit.atom(node, level)} {word} ({clause})"
                    yield [unit.put(node, both, level)], node, 0.2, ""
    for node in conditions(unit):
        # A part of an object is looked at before the object: `x is None or x.next is None`.
        if isinstance(node, ast.Compare) and isinstance(node.left, ast.Attribute):
            owner = unit.text(node.left.value)
            test = unit.text(node)
            for clause in (f"{owner} is None or {test}", f"not {owner} or {test}"):
                yield [unit.put(node, clause, levels.OR)], node, -0.3, ""
            clause = f"{owner} is not None and {test}"
            yield [unit.put(node, clause, levels.AND)], node, -0.2, ""
        if isinstance(node, ast.Compare) and unit.text(node).startswith("not "):
            continue


def _exchanged(unit: Unit, clause: ast.expr) -> Iterator[str]:
    """The clause with two of its variables in each other's place."""
    names = [n for n in ast.walk(clause) if isinstance(n, ast.Name) and n.id in unit.variables]
    start = unit.span(clause)[0]
    for one, other in itertools.combinations(names[:6], 2):
        if one.id != other.id:
            text = unit.text(clause).encode()
            first, second = sorted((one, other), key=lambda n: unit.span(n)[0])
            (a, b), (c, d) = unit.span(first), unit.span(second)
            a, b, c, d = a - start, b - start, c - start, d - start
            yield (text[:a] + text[c:d] + text[b:c] + text[a:b] + text[d:]).decode()


def conditions_moved(unit: Unit) -> Iterator[Made]:
    """`if` for `elif` or `while`, and the other way round."""
    for node in ast.walk(unit.node):
        if not isinstance(node, ast.If | ast.While):
            continue
        start = unit.span(node)[0]
        for old, new, extra in (
            (b"elif", "if", 0.0), (b"if", "elif", 0.3), (b"if", "while", 0.4),
            (b"while", "if", 0.4),
        ):  # fmt: skip
            if unit.source.startswith(old + b" ", start):
                yield [Edit(unit.path, start, start + len(old), new)], node, extra, ""
        owner = unit.parents.get(node)
        if isinstance(node, ast.If) and node.orelse and isinstance(owner, ast.AST):
            first = node.orelse[0]
            if len(node.body) == len(node.orelse) == 1 and not isinstance(first, ast.If):
                edits = [
                    Edit(unit.path, *unit.span(node.body[0]), unit.text(first)),
                    Edit(unit.path, *unit.span(first), unit.text(node.body[0])),
                ]
                if "\n" not in edits[0].text + edits[1].text:
                    yield edits, node, 0.2, ""
