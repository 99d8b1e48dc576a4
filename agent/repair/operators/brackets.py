"""Changes of what belongs together: brackets put otherwise."""

import ast
from collections.abc import Iterator

from agent.repair.edits import Edit
from agent.repair.operators.base import Made
from agent.repair.unit import ATOM, BINARY, Unit


def brackets(unit: Unit) -> Iterator[Made]:
    """The same operators and operands, bound otherwise; or without the one in the middle."""
    rotated: list[tuple[Edit, ast.expr]] = []
    for node in unit.expressions():
        if isinstance(node, ast.BinOp):
            for text, extra, flag in _bound_otherwise(unit, node):
                yield [unit.put(node, text, 0)], node, extra, flag
        elif isinstance(node, ast.BoolOp):
            for text in _connected_otherwise(unit, node):
                edit = unit.put(node, text, 0)
                rotated.append((edit, node))
                yield [edit], node, 0.0, ""
    first_each = {edit.start: (edit, node) for edit, node in reversed(rotated)}
    if len(first_each) > 1:
        edits = [edit for edit, _ in first_each.values()]
        yield edits, next(iter(first_each.values()))[1], 0.4, ""


def _bound_otherwise(unit: Unit, node: ast.BinOp) -> Iterator[tuple[str, float, str]]:
    outer = BINARY[type(node.op)][0]
    if isinstance(node.left, ast.BinOp):
        one, two = unit.atom(node.left.left, ATOM), unit.atom(node.left.right, ATOM)
        inner, three = BINARY[type(node.left.op)][0], unit.atom(node.right, ATOM)
        if (inner, outer) not in SAME:
            yield f"{one} {inner} ({two} {outer} {three})", 0.0, ""
        if inner != outer:
            yield f"{one} {inner} {three}", 0.6, "d"
    if isinstance(node.right, ast.BinOp):
        one, two = unit.atom(node.left, ATOM), unit.atom(node.right.left, ATOM)
        inner, three = BINARY[type(node.right.op)][0], unit.atom(node.right.right, ATOM)
        if (outer, inner) not in SAME:
            yield f"({one} {outer} {two}) {inner} {three}", 0.0, ""
        if inner != outer:
            yield f"{one} {inner} {three}", 0.6, "d"


SAME = {("+", "+"), ("+", "-"), ("*", "*")}  # bound either way they give the same


def _connected_otherwise(unit: Unit, node: ast.BoolOp) -> Iterator[str]:
    """`a and (b or c)` for `a and b or c`, and the other way round."""
    outer, inner = ("or", "and") if isinstance(node.op, ast.Or) else ("and", "or")
    for place, value in enumerate(node.values):
        if not isinstance(value, ast.BoolOp) or type(value.op) is type(node.op):
            continue
        before = [unit.text(one) for one in node.values[:place]]
        after = [unit.text(one) for one in node.values[place + 1 :]]
        own = [unit.text(one) for one in value.values]
        if after:
            near = f" {outer} ".join([own[-1], *after])
            moved = f" {inner} ".join([*own[:-1], f"({near})"])
            yield f" {outer} ".join([*before, f"({moved})"] if before else [moved])
        if before:
            near = f" {outer} ".join([*before, own[0]])
            moved = f" {inner} ".join([f"({near})", *own[1:]])
            yield f" {outer} ".join([f"({moved})", *after] if after else [moved])
