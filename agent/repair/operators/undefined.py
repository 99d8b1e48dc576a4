"""Names that there are, for those of which the tests were told that there are none."""

import ast
from collections.abc import Iterator
from difflib import SequenceMatcher

from agent.repair.operators.base import Made, is_call_name
from agent.repair.unit import Unit

# What is called most often of what every program has.
COMMON = (
    *("len", "sum", "max", "min", "sorted", "abs", "range", "list", "set", "dict", "str", "int"),
    *("float", "tuple", "enumerate", "zip", "reversed", "any", "all", "map", "filter", "round"),
    *("isinstance", "ord", "chr", "bool", "divmod", "pow", "iter", "next"),
)
# What stands most often where nothing has been found or counted yet.
NOTHING = ("0", "1", "None", "[]", "''", "True", "False")
UNLIKE = 0.8  # what a name costs that has no letter of the missing one


def undefined(unit: Unit) -> Iterator[Made]:
    """A name that there is, for one that is not defined or that its object does not have."""
    names: dict[str, list[ast.Name]] = {}
    for node in unit.expressions():
        match node:
            case ast.Name(id=name, ctx=ast.Load()) if name in unit.known.missing:
                names.setdefault(name, []).append(node)
            case ast.Attribute(attr=name, ctx=ast.Load()) if name in unit.known.missing:
                for place, text, extra in _without_attribute(unit, node):
                    yield [unit.put(place, text)], node, extra, ""
    for name, places in names.items():
        for place in places:
            for text in _instead_of(unit, place):
                yield [unit.put(place, text)], place, _unlike(name, text), ""
        for text in _instead_of(unit, places[0]) if len(places) > 1 else ():
            edits = [unit.put(place, text) for place in places]
            yield edits, places[0], _unlike(name, text), ""


def _instead_of(unit: Unit, node: ast.Name) -> Iterator[str]:
    """What may stand where the name does: with `self.`, if what it is called on has that."""
    if is_call_name(unit, node):
        yield from (*COMMON, *unit.functions)
        yield from (f"self.{method}" for method in _methods(unit))
    else:
        yield from (other for other in unit.names_at(node) if other != node.id)
        yield from NOTHING
        if _methods(unit):
            yield f"self.{node.id}"


def _without_attribute(unit: Unit, node: ast.Attribute) -> Iterator[tuple[ast.expr, str, float]]:
    """Where to write what in place of an attribute that there is not, with its cost."""
    owner = unit.text(node.value)
    call = unit.parents.get(node)
    if isinstance(call, ast.Call) and call.func is node:
        given = ", ".join([owner, *map(unit.text, (*call.args, *call.keywords))])
        for name in (*COMMON, *unit.functions):
            yield node, name, _unlike(node.attr, name)
            yield call, f"{name}({given})", _unlike(node.attr, name)
        return
    for name in unit.names_at(node):
        yield node, name, _unlike(node.attr, name)
    for name in COMMON:
        yield node, f"{name}({owner})", _unlike(node.attr, name)
    yield node, owner, UNLIKE / 2


def _methods(unit: Unit) -> list[str]:
    """Methods of the class that the function is one of; none where it is no method."""
    return [
        one.name
        for found in unit.module.body
        if isinstance(found, ast.ClassDef) and unit.node in found.body
        for one in found.body
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) and not one.name.startswith("__")
    ]


def _unlike(missing: str, name: str) -> float:
    """How little two names have in common, as a cost."""
    one, other = missing.lower(), name.removeprefix("self.").lower()
    return UNLIKE * (1 - SequenceMatcher(None, one, other, autojunk=False).ratio())
