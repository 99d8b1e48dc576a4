"""Changes of numbers: offsets, arithmetic, bounds, operands."""

import ast
from collections.abc import Iterator
from dataclasses import replace

from agent.repair import unit as levels
from agent.repair.operators.base import Made, is_call_name, loads, operator_span
from agent.repair.unit import ATOM, BINARY, Unit, bare, elements

ARITHMETIC = {
    "+": ("-", "*", "%", "//"),
    "-": ("+", "*", "%", "//", "/"),
    "*": ("+", "**", "/", "-", "//"),
    "/": ("//", "*", "%", "-"),
    "//": ("/", "%", "*", "-", ">>"),
    "%": ("//", "/", "*", "-"),
    "**": ("*", "//", "+"),
    "&": ("|", "^", "-"),
    "|": ("&", "^"),
    "^": ("&", "|"),
    "<<": (">>", "*"),
    ">>": ("<<", "//"),
}


def offsets(unit: Unit) -> Iterator[Made]:
    """One more or one less."""
    for node in loads(unit):
        if isinstance(node, ast.Constant | ast.Compare | ast.BoolOp | ast.Lambda | ast.JoinedStr):
            continue
        if isinstance(node, ast.ListComp | ast.List | ast.Dict | ast.Tuple | ast.GeneratorExp):
            continue
        if is_call_name(unit, node) or not unit.numeric(node):
            continue
        parent = unit.parents.get(node)
        if isinstance(parent, ast.Attribute):
            continue
        extra = 0.0 if unit.kind(node) else 0.5
        if isinstance(parent, ast.Subscript | ast.Slice):
            extra -= 0.0 if isinstance(node, ast.Name) else 0.2
        elif isinstance(parent, ast.Call) and isinstance(parent.func, ast.Name):
            extra += -0.2 if parent.func.id == "range" else 0.2
        elif isinstance(parent, ast.BinOp):
            extra += 0.3
        elif isinstance(parent, ast.Return | ast.Compare):
            extra += 0.1
        text = unit.atom(node, levels.ADD)
        yield [unit.put(node, f"{text} + 1", levels.ADD)], node, extra, ""
        yield [unit.put(node, f"{text} - 1", levels.ADD)], node, extra, ""


def numbers(unit: Unit) -> Iterator[Made]:
    """Another number."""
    harvested = [
        n.value
        for n in ast.walk(unit.node)
        if isinstance(n, ast.Constant) and isinstance(n.value, int | float)
    ]
    told = [v for v in unit.known.literals if isinstance(v, int | float)][:20]
    for node in unit.expressions():
        if not isinstance(node, ast.Constant) or type(node.value) not in {int, float}:
            continue
        value = node.value
        assert isinstance(value, int | float)
        parent = unit.parents.get(node)
        tried: dict[float, float] = {}
        if isinstance(value, int):
            in_range = isinstance(parent, ast.Call) and unit.text(parent.func) == "range"
            near = -0.3 if in_range or isinstance(parent, ast.Slice | ast.Subscript) else 0.0
            near = -0.1 if isinstance(parent, ast.Compare) else near
            tried |= {value + 1: near, value - 1: near}
        else:
            tried |= {value + 1: 0.4, value - 1: 0.4, value * 10: 0.8, value / 10: 0.8}
        for number, extra in (
            (0, 0.3), (1, 0.2), (2, 0.5), (-1, 0.7), (-value, 0.6), (3, 0.9), (10, 0.9),
            (value + 2, 0.9), (value * 2, 0.9), (value * 10, 1.1), (100, 1.3), (5, 1.3), (4, 1.3),
        ):  # fmt: skip
            tried.setdefault(number, extra)
        if isinstance(value, int) and value and value % 10 == 0:
            tried.setdefault(value // 10, 1.1)
        if value and value % 2 == 0:
            tried.setdefault(value // 2 if isinstance(value, int) else value / 2, 1.0)
        for number in harvested:
            tried.setdefault(number, 0.8)
        for number in told:
            tried.setdefault(number, 1.8)
        for number, extra in tried.items():
            if number == value:
                continue
            flag = "k" if number in told and number not in harvested and abs(number) > 2 else ""
            level = levels.SIGN if number < 0 else ATOM
            yield [unit.put(node, repr(number), level)], node, extra, flag
        if isinstance(parent, ast.BinOp | ast.Compare | ast.Subscript | ast.Call | ast.Slice):
            for name in unit.names_at(node)[:10]:
                if bare(unit.seen(name)) & {"int", "float"}:
                    yield [unit.put(node, name)], node, 1.0, ""
                    if parent and isinstance(parent, ast.Call | ast.Slice | ast.Compare):
                        yield [unit.put(node, f"{name} + 1", levels.ADD)], node, 1.7, ""
                elif bare(unit.seen(name)) & {"list", "str", "tuple"}:
                    yield [unit.put(node, f"len({name})")], node, 1.5, ""


def arithmetic(unit: Unit) -> Iterator[Made]:
    """Another arithmetic operator."""
    for node in unit.expressions():
        if not isinstance(node, ast.BinOp):
            continue
        symbol, level = BINARY[type(node.op)]
        place = operator_span(unit, node.left, node.right, symbol)
        kinds = unit.kind(node)
        if place is None or kinds & {"str", "list"}:
            continue
        for order, new in enumerate(ARITHMETIC.get(symbol, ())):
            other = next(lv for sym, lv in BINARY.values() if sym == new)
            if other == level:
                yield [replace(place, text=new)], node, 0.15 * order, ""
            else:
                left = unit.atom(node.left, other if other != levels.POWER else other + 1)
                right = unit.atom(node.right, other + (other != levels.POWER))
                text = f"{left} {new} {right}"
                yield [unit.put(node, text, other)], node, 0.15 * order, ""


def augmented(unit: Unit) -> Iterator[Made]:
    """Another way of updating a variable."""
    for node in ast.walk(unit.node):
        if isinstance(node, ast.AugAssign):
            symbol = BINARY[type(node.op)][0]
            place = operator_span(unit, node.target, node.value, symbol + "=")
            if place is None:
                continue
            for order, new in enumerate(ARITHMETIC.get(symbol, ())):
                yield [replace(place, text=f"{new}=")], node, 0.15 * order, ""
            yield [replace(place, text="=")], node, 0.3, ""
        elif isinstance(node, ast.Assign) and len(node.targets) == 1:
            target = node.targets[0]
            if isinstance(target, ast.Name | ast.Subscript | ast.Attribute):
                place = operator_span(unit, target, node.value, "=")
                kinds = unit.kind(target) if isinstance(target, ast.Name) else frozenset()
                if place is None:
                    continue
                for order, new in enumerate(("+=", "-=", "*=", "|=")):
                    extra = 0.6 + 0.3 * order + (0.0 if kinds else 0.3)
                    yield [replace(place, text=new)], node, extra, ""


def bounds(unit: Unit) -> Iterator[Made]:
    """Not below or above something."""
    for node in loads(unit):
        parent = unit.parents.get(node)
        if not isinstance(node, ast.BinOp | ast.Name | ast.Call | ast.Subscript):
            continue
        if is_call_name(unit, node) or not unit.numeric(node):
            continue
        outer = isinstance(parent, ast.Assign | ast.Return | ast.AugAssign | ast.Slice)
        if not outer and not (
            isinstance(parent, ast.Call | ast.BinOp) and isinstance(node, ast.BinOp)
        ):
            continue
        text = unit.text(node)
        others: dict[str, float] = {"0": 0.0, "1": 0.5}
        if isinstance(parent, ast.Assign) and isinstance(
            parent.targets[0], ast.Name | ast.Subscript
        ):
            others[unit.text(parent.targets[0])] = 0.0
        for name in unit.names_at(node):
            if bare(unit.seen(name)) & {"int", "float"}:
                others.setdefault(name, 0.4)
            elif bare(unit.seen(name)) & {"list", "str"}:
                others.setdefault(f"len({name})", 0.9)
        for other, extra in others.items():
            for function in ("max", "min"):
                yield [unit.put(node, f"{function}({other}, {text})")], node, extra, ""


def _amounts(unit: Unit) -> list[str]:
    """Numbers that have a name or are counted in this function, beside its own variables."""
    found: dict[str, None] = {}
    for node in unit.expressions():
        text = unit.text(node)
        if isinstance(node, ast.Call) and text.startswith("len(") and len(text) < 40:
            found[text] = None
        elif (
            isinstance(node, ast.Name)
            and node.id.isupper()
            and node.id not in unit.variables
            and unit.kind_of_constant(node.id) & levels.NUMBERS
        ):
            found[node.id] = None
    return list(found)[:4]


def operands(unit: Unit) -> Iterator[Made]:
    """Combined with another variable."""
    for node in loads(unit):
        if is_call_name(unit, node) or isinstance(node, ast.Constant | ast.Lambda | ast.Compare):
            continue
        parent = unit.parents.get(node)
        if isinstance(parent, ast.Attribute):
            continue
        if isinstance(parent, ast.Subscript) and parent.value is node:
            continue
        kinds = unit.kind(node) - {"NoneType"}
        if isinstance(node, ast.Name) and not kinds:
            continue
        if kinds & levels.NUMBERS or not kinds:
            base = 0.0 if kinds else 0.8
            for name in unit.names_at(node):
                if not bare(unit.seen(name)) & {"int", "float"}:
                    if bare(unit.seen(name)) & {"list", "str"} and kinds & {"int"}:
                        for sign in ("-", "+"):
                            made = f"{unit.atom(node, levels.ADD)} {sign} len({name})"
                            yield [unit.put(node, made, levels.ADD)], node, base + 1.2, ""
                    continue
                for sign, level, extra in (
                    ("-", levels.ADD, 0.0), ("+", levels.ADD, 0.0), ("*", levels.MULTIPLY, 0.2),
                    ("//", levels.MULTIPLY, 0.7), ("%", levels.MULTIPLY, 0.6),
                    ("/", levels.MULTIPLY, 0.7),
                ):  # fmt: skip
                    made = f"{unit.atom(node, level)} {sign} {name}"
                    if unit.text(node) == name and sign not in {"*", "+"}:
                        continue
                    yield [unit.put(node, made, level)], node, base + extra, ""
                    if sign in {"-"}:
                        made = f"{name} {sign} {unit.atom(node, level + 1)}"
                        yield [unit.put(node, made, level)], node, base + extra + 0.2, ""
            for name in _amounts(unit):
                if name != unit.text(node):
                    for sign in ("-", "+"):
                        made = f"{unit.atom(node, levels.ADD)} {sign} {name}"
                        yield [unit.put(node, made, levels.ADD)], node, base + 0.7, ""
            power = unit.atom(node, levels.POWER + 1)
            for made, level, extra in (
                (f"{power} ** 2", levels.POWER, 0.2),
                (f"{unit.atom(node, levels.MULTIPLY)} * 2", levels.MULTIPLY, 0.4),
                (f"{unit.atom(node, levels.MULTIPLY)} // 2", levels.MULTIPLY, 0.4),
                (f"{unit.atom(node, levels.MULTIPLY)} / 2", levels.MULTIPLY, 0.8),
                (f"{unit.atom(node, levels.MULTIPLY)} % 2", levels.MULTIPLY, 0.6),
                (f"{unit.atom(node, levels.MULTIPLY)} * 10", levels.MULTIPLY, 1.0),
                (f"{unit.atom(node, levels.MULTIPLY)} % 10", levels.MULTIPLY, 0.8),
                (f"{unit.atom(node, levels.MULTIPLY)} // 10", levels.MULTIPLY, 0.8),
                (f"{unit.atom(node, levels.MULTIPLY)} / 100", levels.MULTIPLY, 1.2),
                (f"{unit.atom(node, levels.ADD)} + 2", levels.ADD, 0.9),
                (f"{unit.atom(node, levels.ADD)} - 2", levels.ADD, 0.9),
                (f"-{unit.atom(node, levels.SIGN)}", levels.SIGN, 0.4),
                (f"{power} ** 0.5", levels.POWER, 1.0),
                (f"{power} ** 3", levels.POWER, 0.9),
            ):
                yield [unit.put(node, made, level)], node, base + extra, ""
        if kinds & {"str", "list", "tuple"} or (not kinds and isinstance(node, ast.ListComp)):
            base_kind = kinds or frozenset({"list"})
            for name in unit.names_at(node):
                held = bare(unit.seen(name))
                text = unit.atom(node, levels.ADD)
                if held & base_kind:
                    edit = unit.put(node, f"{name} + {text}", levels.ADD)
                    yield [edit], node, 0.2, ""
                    yield [unit.put(node, f"{text} + {name}", levels.ADD)], node, 0.2, ""
                elif base_kind & {"list"} and held & (elements_of(unit, node) or held):
                    yield [unit.put(node, f"{text} + [{name}]", levels.ADD)], node, 0.6, ""
                    yield [unit.put(node, f"[{name}] + {text}", levels.ADD)], node, 0.6, ""
            if kinds & {"str"}:
                for literal in ("' '", "'\\n'", "','"):
                    made = f"{unit.atom(node, levels.ADD)} + {literal}"
                    yield [unit.put(node, made, levels.ADD)], node, 1.0, ""


def elements_of(unit: Unit, node: ast.expr) -> frozenset[str]:
    return elements(unit.seen(node.id)) if isinstance(node, ast.Name) else frozenset()
