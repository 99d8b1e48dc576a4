"""The changes that are tried, each with what it costs: the cheaper, the earlier, the likelier."""

import ast
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from agent.repair import unit as levels
from agent.repair.edits import Edit
from agent.repair.unit import ATOM, BINARY, Unit, bare, binding, compatible, elements

type Made = tuple[list[Edit], ast.AST, float, str]  # edits, where, cost beyond the prior, flags


@dataclass(frozen=True)
class Candidate:
    """One change that may be the repair.

    flags: letters the ranking asks for: d deletes something, c drops a call, k special-cases a
    constant, i inserts a statement, u leaves a variable without use.
    """

    edits: tuple[Edit, ...]
    operator: str
    cost: float
    line: int
    unit: str
    flags: str = ""


@dataclass(frozen=True)
class Operator:
    """A kind of change: its name in plain words, its prior cost, what makes its candidates."""

    words: str
    prior: float
    make: Callable[[Unit], Iterator[Made]]


SUSPICION = 2.6  # what a line without any suspicion costs more than the most suspicious one

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
FAMILIES = (
    ("append", "extend", "insert", "appendleft"),
    ("add", "update", "remove", "discard", "append"),
    ("pop", "popleft", "remove", "popitem"),
    ("lower", "upper", "swapcase", "title", "capitalize"),
    ("islower", "isupper", "isalpha", "isdigit", "isalnum", "isnumeric", "isspace"),
    ("strip", "lstrip", "rstrip"),
    ("startswith", "endswith"),
    ("find", "rfind", "index", "rindex", "count"),
    ("keys", "values", "items"),
    ("split", "rsplit", "splitlines", "partition"),
    ("union", "intersection", "difference", "symmetric_difference"),
    ("issubset", "issuperset", "isdisjoint"),
    ("sort", "reverse"),
    ("get", "setdefault", "pop"),
    ("floor", "ceil", "trunc"),
    ("sqrt", "isqrt"),
    ("days", "seconds", "total_seconds"),
)
BUILTINS = (
    ("min", "max", "sum", "len", "abs"),
    ("any", "all"),
    ("sum", "len", "max"),
    ("int", "float", "round", "abs", "str"),
    ("sorted", "list", "set", "reversed", "tuple"),
    ("ord", "chr", "int", "str"),
    ("bin", "hex", "oct"),
    ("ValueError", "KeyError", "TypeError", "IndexError"),
    ("floor", "ceil", "round", "int"),
)


def _loads(unit: Unit) -> Iterator[ast.expr]:
    for node in unit.expressions():
        if isinstance(getattr(node, "ctx", None), ast.Store | ast.Del):
            continue
        if isinstance(node, ast.Starred | ast.Slice):
            continue
        if isinstance(unit.parents.get(node), ast.JoinedStr):
            continue
        yield node


def _operator_span(unit: Unit, left: ast.expr, right: ast.expr, symbol: str) -> Edit | None:
    """Where an operator stands between its operands, as an edit that changes nothing."""
    start, end = unit.span(left)[1], unit.span(right)[0]
    between = unit.source[start:end].decode()
    found = re.search(re.escape(symbol).replace(r"\ ", r"\s+"), between)
    if found is None:
        return None
    return Edit(unit.path, start + found.start(), start + found.end(), symbol)


def _is_call_name(unit: Unit, node: ast.expr) -> bool:
    parent = unit.parents.get(node)
    return isinstance(parent, ast.Call) and parent.func is node


def offsets(unit: Unit) -> Iterator[Made]:
    """One more or one less."""
    for node in _loads(unit):
        if isinstance(node, ast.Constant | ast.Compare | ast.BoolOp | ast.Lambda | ast.JoinedStr):
            continue
        if isinstance(node, ast.ListComp | ast.List | ast.Dict | ast.Tuple | ast.GeneratorExp):
            continue
        if _is_call_name(unit, node) or not unit.numeric(node):
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


def comparisons(unit: Unit) -> Iterator[Made]:
    """Another comparison."""
    for node in unit.expressions():
        if not isinstance(node, ast.Compare):
            continue
        left = node.left
        for old, right in zip(node.ops, node.comparators, strict=True):
            symbol = COMPARISONS[type(old)]
            place = _operator_span(unit, left, right, symbol)
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


def names(unit: Unit) -> Iterator[Made]:
    """Another variable."""
    for node in unit.expressions():
        if not isinstance(node, ast.Name):
            continue
        if _is_call_name(unit, node) or isinstance(node.ctx, ast.Del):
            continue
        kinds = bare(unit.seen(node.id))
        store = isinstance(node.ctx, ast.Store)
        if store and isinstance(unit.outer_of_target(node), ast.comprehension):
            continue
        if node.id not in unit.names_at(node):
            continue
        for other in unit.names_at(node):
            if other == node.id:
                continue
            others = bare(unit.seen(other))
            fits = compatible(kinds - {"NoneType"}, others - {"NoneType"})
            extra = (0.0 if fits else 1.6) + (0.6 if store else 0.0)
            if fits and kinds and others and unit.seen(node.id) & unit.seen(other):
                extra -= 0.2
            yield [unit.put(node, other)], node, extra, ""


def functions(unit: Unit) -> Iterator[Made]:
    """Another function."""
    for node in unit.expressions():
        if not isinstance(node, ast.Name) or not isinstance(node.ctx, ast.Load):
            continue
        called = _is_call_name(unit, node)
        for family in BUILTINS:
            if node.id in family:
                for other in family:
                    if other != node.id:
                        yield [unit.put(node, other)], node, 0.0 if called else 0.4, ""
        if called and node.id in unit.functions:
            for other, parameters in unit.functions.items():
                if other != node.id:
                    same = parameters == unit.functions[node.id]
                    yield [unit.put(node, other)], node, 0.2 if same else 1.4, ""


def texts(unit: Unit) -> Iterator[Made]:
    """Another text."""
    constants = [n for n in unit.expressions() if isinstance(n, ast.Constant)]
    inside = {n.value for n in constants if isinstance(n.value, str)}
    told = {v for v in unit.known.literals if isinstance(v, str)}
    for node in constants:
        if not isinstance(node.value, str) or len(node.value) > 60:
            continue
        text = unit.text(node)
        if text[:1] not in "'\"" or text[:3] in {'"""', "'''"}:
            continue
        value = node.value
        tried: dict[str, float] = {}
        for other in sorted(inside):
            tried.setdefault(other, 0.2)
        plain = ("", " ", ",", ", ", "\n", "-", "_", "0", "1", value.lower(), value.upper())
        around = (value.capitalize(), value.strip(), value + " ", " " + value, value + "s")
        for other in (*plain, *around):
            tried.setdefault(other, 0.5)
        for spot in range(len(value)):
            tried.setdefault(value[:spot] + value[spot + 1 :], 0.5)
            if spot + 1 < len(value) and len(value) < 20:
                swap = value[:spot] + value[spot + 1] + value[spot] + value[spot + 2 :]
                tried.setdefault(swap, 0.8)
        for other in sorted(told):
            tried.setdefault(other, 1.0)
        if 1 < len(value) < 16 and value.isalpha():
            for spot in range(len(value) + 1):
                for letter in "aeioustnrlyh"[: 12 if len(value) < 10 else 5]:
                    tried.setdefault(value[:spot] + letter + value[spot:], 1.6)
        quote = text[0]
        for other, extra in tried.items():
            if other != value:
                flag = "k" if other in told and other not in inside and len(other) > 1 else ""
                yield [unit.put(node, quoted(other, quote))], node, extra, flag


def quoted(value: str, quote: str) -> str:
    """The text as a literal in these quotes."""
    escaped = value.encode("unicode_escape").decode().replace(quote, "\\" + quote)
    return quote + escaped + quote


def arithmetic(unit: Unit) -> Iterator[Made]:
    """Another arithmetic operator."""
    for node in unit.expressions():
        if not isinstance(node, ast.BinOp):
            continue
        symbol, level = BINARY[type(node.op)]
        place = _operator_span(unit, node.left, node.right, symbol)
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


def attributes(unit: Unit) -> Iterator[Made]:
    """Another method or attribute."""
    for node in unit.expressions():
        if not isinstance(node, ast.Attribute):
            continue
        end = unit.span(node)[1]
        start = end - len(node.attr.encode())
        if unit.source[start:end] != node.attr.encode():
            continue
        tried: dict[str, float] = {}
        for family in FAMILIES:
            if node.attr in family:
                tried |= dict.fromkeys(family, 0.0)
        own = None
        if isinstance(node.value, ast.Name):
            own = bare(unit.seen(node.value.id))
        has = frozenset[str]().union(
            *(unit.known.attributes.get(k, frozenset()) for k in own or ())
        )
        for other in sorted(unit.known.used_attributes):
            if other in has or not has:
                stem = other[:4] == node.attr[:4] or other[-4:] == node.attr[-4:]
                tried.setdefault(other, 0.3 if stem or other in has else 1.0)
        for other in sorted(has - set(tried)):
            if other[0] != "_" and not (own or frozenset()) & BUILTIN_TYPES:
                tried.setdefault(other, 0.6)
        for other, extra in tried.items():
            if other != node.attr and (not has or other in has):
                yield [Edit(unit.path, start, end, other)], node, extra, ""


BUILTIN_TYPES = frozenset({"list", "dict", "set", "str", "tuple", "int", "float", "bool", "deque"})


def augmented(unit: Unit) -> Iterator[Made]:
    """Another way of updating a variable."""
    for node in ast.walk(unit.node):
        if isinstance(node, ast.AugAssign):
            symbol = BINARY[type(node.op)][0]
            place = _operator_span(unit, node.target, node.value, symbol + "=")
            if place is None:
                continue
            for order, new in enumerate(ARITHMETIC.get(symbol, ())):
                yield [replace(place, text=f"{new}=")], node, 0.15 * order, ""
            yield [replace(place, text="=")], node, 0.3, ""
        elif isinstance(node, ast.Assign) and len(node.targets) == 1:
            target = node.targets[0]
            if isinstance(target, ast.Name | ast.Subscript | ast.Attribute):
                place = _operator_span(unit, target, node.value, "=")
                kinds = unit.kind(target) if isinstance(target, ast.Name) else frozenset()
                if place is None:
                    continue
                for order, new in enumerate(("+=", "-=", "*=", "|=")):
                    extra = 0.6 + 0.3 * order + (0.0 if kinds else 0.3)
                    yield [replace(place, text=new)], node, extra, ""


def dropped(unit: Unit) -> Iterator[Made]:
    """Something too much is left out."""
    for node in unit.expressions():
        match node:
            case ast.BinOp():
                yield [unit.put(node, unit.text(node.left), binding(node.left))], node, 0.0, "d"
                yield [unit.put(node, unit.text(node.right), binding(node.right))], node, 0.1, "d"
            case ast.BoolOp():
                for index in range(len(node.values)):
                    rest = [v for i, v in enumerate(node.values) if i != index]
                    word = " and " if isinstance(node.op, ast.And) else " or "
                    level = levels.AND if isinstance(node.op, ast.And) else levels.OR
                    text = word.join(unit.atom(v, level + 1) for v in rest)
                    only = binding(rest[0]) if len(rest) == 1 else level
                    yield [unit.put(node, text, only)], node, 0.2, "d"
            case ast.UnaryOp():
                text = unit.text(node.operand)
                yield [unit.put(node, text, binding(node.operand))], node, -0.2, "d"
            case ast.Call() if isinstance(unit.parents.get(node), ast.expr | ast.stmt):
                if isinstance(unit.parents[node], ast.Expr):
                    continue
                if len(node.args) == 1 and not isinstance(node.args[0], ast.Starred):
                    inner = node.args[0]
                    extra = 0.2 if isinstance(node.func, ast.Name) else 0.8
                    if not isinstance(inner, ast.GeneratorExp):
                        yield [unit.put(node, unit.text(inner), binding(inner))], node, extra, "dc"
                if isinstance(node.func, ast.Attribute):
                    inner = node.func.value
                    yield [unit.put(node, unit.text(inner), binding(inner))], node, 0.6, "dc"
                for index, argument in enumerate(node.args):
                    if len(node.args) > 1:
                        edit = _without(unit, node, index)
                        yield [edit], argument, 1.0, "d"
            case ast.Subscript() if isinstance(node.ctx, ast.Load):
                text = unit.text(node.value)
                yield [unit.put(node, text, binding(node.value))], node, 0.3, "d"
                if isinstance(node.slice, ast.Slice):
                    for bound in (node.slice.lower, node.slice.upper):
                        if bound is not None:
                            yield [unit.put(bound, "")], node, 0.3, "d"
            case ast.IfExp():
                for branch in (node.body, node.orelse):
                    text = unit.text(branch)
                    yield [unit.put(node, text, binding(branch))], node, 0.8, "d"
            case ast.List() | ast.Tuple() if len(node.elts) > 1 and isinstance(node.ctx, ast.Load):
                if isinstance(node, ast.List):
                    for index in range(len(node.elts)):
                        inner_text = ", ".join(
                            unit.text(e) for i, e in enumerate(node.elts) if i != index
                        )
                        yield [unit.put(node, f"[{inner_text}]")], node, 0.8, "d"
        for generator in getattr(node, "generators", ()):
            for condition in generator.ifs:
                start, end = unit.span(condition)
                begin = unit.source.rfind(b"if", 0, start)
                if begin > unit.span(generator.iter)[1] - 1:
                    text_start = len(unit.source[:begin].rstrip())
                    yield [Edit(unit.path, text_start, end, "")], condition, 0.8, "d"


def _without(unit: Unit, call: ast.Call, index: int) -> Edit:
    """The call without one of its positional arguments."""
    if index:
        return Edit(
            unit.path, unit.span(call.args[index - 1])[1], unit.span(call.args[index])[1], ""
        )
    return Edit(unit.path, unit.span(call.args[0])[0], unit.span(call.args[1])[0], "")


def slices(unit: Unit) -> Iterator[Made]:
    """A part of a sequence, or another part."""
    for node in _loads(unit):
        if isinstance(node, ast.Name | ast.Attribute | ast.Call | ast.Subscript):
            if _is_call_name(unit, node) or not unit.sequence(node):
                continue
            parent = unit.parents.get(node)
            if isinstance(parent, ast.Attribute | ast.Compare):
                continue
            if isinstance(parent, ast.Subscript) and parent.value is node:
                continue
            kinds = unit.kind(node)
            if not kinds and isinstance(node, ast.Name):
                continue
            extra = 0.0 if kinds else 0.6
            text = unit.text(node)
            for part in ("1:", ":-1", "::-1"):
                yield [unit.put(node, f"{text}[{part}]")], node, extra, ""
            for name in unit.names_at(node):
                if bare(unit.seen(name)) & {"int"}:
                    for part, more in ((f"{name}:", 0.4), (f":{name}", 0.4), (f"{name} + 1:", 0.9),
                                       (f":{name} + 1", 0.9)):  # fmt: skip
                        yield [unit.put(node, f"{text}[{part}]")], node, extra + more, ""
            for index, more in (("0", 0.5), ("-1", 0.5), ("1", 1.0)):
                if kinds & {"list", "tuple", "str"}:
                    yield [unit.put(node, f"{text}[{index}]")], node, extra + more, ""
            for name in unit.names_at(node):
                if bare(unit.seen(name)) & {"int"} and kinds & {"list", "tuple", "str"}:
                    yield [unit.put(node, f"{text}[{name}]")], node, extra + 0.7, ""
    for node in unit.expressions():
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            place = node.slice
            if isinstance(place, ast.Slice):
                base, lower, upper = (
                    unit.text(node.value),
                    unit.text(place.lower) if place.lower else "",
                    unit.text(place.upper) if place.upper else "",
                )
                made = {f"{base}[{upper}:{lower}]", f"{base}[{lower}:{upper}][::-1]"}
                if lower:
                    made.add(f"{base}[:{lower}]")
                if upper:
                    made.add(f"{base}[{upper}:]")
                if place.step is None:
                    made |= {f"{base}[{lower}:{upper}:2]", f"{base}[{lower}:{upper}:-1]"}
                for text in sorted(made):
                    yield [unit.put(node, text)], node, 0.4, ""
            elif not isinstance(place, ast.Tuple):
                base, text = unit.text(node.value), unit.text(place)
                if unit.kind(node.value) & {"list", "str", "tuple"} or isinstance(
                    place, ast.Constant
                ):
                    for made_text in (f"{base}[{text}:]", f"{base}[:{text}]", f"{base}[-{text}]"):
                        yield [unit.put(node, made_text)], node, 0.6, ""


def wrapped(unit: Unit) -> Iterator[Made]:
    """Passed through a function."""
    for node in _loads(unit):
        if _is_call_name(unit, node) or isinstance(node, ast.JoinedStr | ast.Lambda):
            continue
        parent = unit.parents.get(node)
        if isinstance(parent, ast.Attribute | ast.FormattedValue):
            continue
        if isinstance(node, ast.Constant) and not isinstance(parent, ast.Return):
            continue
        kinds = unit.kind(node) - {"NoneType"}
        wraps: dict[str, float] = {}
        if kinds & levels.NUMBERS:
            wraps |= {"abs": 0.0, "int": 0.2, "str": 0.2, "round": 0.4, "float": 0.8, "bool": 1.0}
        if kinds & {"str"}:
            wraps |= {"int": 0.2, "len": 0.1, "float": 0.6, "ord": 0.6, "set": 0.5, "sorted": 0.5}
        if kinds & {"list", "tuple", "set", "dict", "range", "map", "generator", "dict_keys"}:
            wraps |= {"sorted": 0.0, "len": 0.1, "set": 0.2, "list": 0.3, "sum": 0.4, "max": 0.4,
                      "min": 0.4, "tuple": 0.5}  # fmt: skip
        if not kinds:
            wraps |= {"abs": 0.3, "sorted": 0.4, "len": 0.4, "int": 0.4, "str": 0.4, "set": 0.6,
                      "list": 0.6}  # fmt: skip
        already = parent.func.id if (
            isinstance(parent, ast.Call) and isinstance(parent.func, ast.Name)
        ) else ""  # fmt: skip
        text = unit.text(node)
        if isinstance(node, ast.GeneratorExp) and text.startswith("("):
            text = text[1:-1]
        for function, extra in wraps.items():
            if function != already:
                yield [unit.put(node, f"{function}({text})")], node, extra, ""
        if kinds & {"str"} or not kinds:
            base = unit.atom(node, ATOM)
            for method in ("lower()", "upper()", "strip()", "split()", "swapcase()"):
                yield [unit.put(node, f"{base}.{method}")], node, 0.5 if kinds else 1.2, ""
        for function, parameters in unit.functions.items():
            if parameters == 1 and function != already and binding(node) >= levels.ADD:
                yield [unit.put(node, f"{function}({text})")], node, 0.8, ""


def both_wrapped(unit: Unit) -> Iterator[Made]:
    """Both sides passed through the same function."""
    for node in unit.expressions():
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            sides = (node.left, node.comparators[0])
        elif isinstance(node, ast.BinOp) and not isinstance(node.op, ast.Mod | ast.Pow):
            sides = (node.left, node.right)
        else:
            continue
        if any(isinstance(side, ast.Constant) for side in sides):
            continue
        for function in ("set", "sorted", "len", "abs", "str", "int", "sum"):
            edits = [unit.put(side, f"{function}({unit.text(side)})") for side in sides]
            yield edits, node, 0.0, ""
        for method in ("lower()", "strip()", "upper()"):
            edits = [unit.put(side, f"{unit.atom(side, ATOM)}.{method}") for side in sides]
            yield edits, node, 0.3, ""


def argument_swaps(unit: Unit) -> Iterator[Made]:
    """Two arguments or elements change places."""
    for node in unit.expressions():
        if isinstance(node, ast.Call):
            parts, extra = node.args, 0.0
        elif isinstance(node, ast.Tuple | ast.List) and len(node.elts) < 7:
            parts, extra = node.elts, 0.2
        elif isinstance(node, ast.IfExp):
            parts, extra = [node.body, node.orelse], 0.2
        else:
            continue
        for one, other in itertools.combinations(parts, 2):
            edits = [unit.put(one, unit.text(other)), unit.put(other, unit.text(one))]
            if unit.text(one) != unit.text(other):
                yield edits, node, extra, ""
    for node in unit.expressions():
        # `gcd(a % b, b)` for `gcd(b, a % b)` is a swap; `f(x, y)` for `f(y, x)` nested, too.
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice):
            lower, upper = node.slice.lower, node.slice.upper
            if lower is not None and upper is not None:
                edits = [unit.put(lower, unit.text(upper)), unit.put(upper, unit.text(lower))]
                yield edits, node, 0.2, ""


def booleans(unit: Unit) -> Iterator[Made]:
    """True for False, or the other way round."""
    for node in unit.expressions():
        if isinstance(node, ast.Constant) and isinstance(node.value, bool):
            yield [unit.put(node, str(not node.value))], node, 0.0, ""
        elif isinstance(node, ast.Constant) and node.value is None:
            for text, extra in (("0", 0.5), ("[]", 0.7), ("False", 0.6), ("''", 0.8), ("1", 1.0)):
                yield [unit.put(node, text)], node, extra, ""


def _conditions(unit: Unit) -> Iterator[ast.expr]:
    for node in ast.walk(unit.node):
        if isinstance(node, ast.If | ast.While | ast.IfExp | ast.Assert):
            yield node.test
        for generator in getattr(node, "generators", ()):
            yield from generator.ifs
        if isinstance(node, ast.Return | ast.Assign) and isinstance(
            node.value, ast.Compare | ast.BoolOp
        ):
            yield node.value


def negations(unit: Unit) -> Iterator[Made]:
    """The opposite condition."""
    seen = set()
    for node in _conditions(unit):
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
                place = _operator_span(unit, one, other, old)
                if place is not None:
                    edits.append(replace(place, text=new))
            for edit in edits:
                yield [edit], node, -0.2, ""
            if len(edits) > 1:
                yield edits, node, 0.2, ""


def _tests_of(unit: Unit, node: ast.AST) -> dict[str, tuple[float, int]]:
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
    for condition in _conditions(unit):
        found.setdefault(unit.text(condition), (0.8, binding(condition)))
    return found


def clauses(unit: Unit) -> Iterator[Made]:
    """One more condition."""
    seen = set()
    for node in _conditions(unit):
        if node in seen:
            continue
        seen.add(node)
        text = unit.text(node)
        for test, (extra, level) in _tests_of(unit, node).items():
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
    for node in _conditions(unit):
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


def bounds(unit: Unit) -> Iterator[Made]:
    """Not below or above something."""
    for node in _loads(unit):
        parent = unit.parents.get(node)
        if not isinstance(node, ast.BinOp | ast.Name | ast.Call | ast.Subscript):
            continue
        if _is_call_name(unit, node) or not unit.numeric(node):
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


def operands(unit: Unit) -> Iterator[Made]:
    """Combined with another variable."""
    for node in _loads(unit):
        if _is_call_name(unit, node) or isinstance(node, ast.Constant | ast.Lambda | ast.Compare):
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


def element_changes(unit: Unit) -> Iterator[Made]:
    """More or other elements of a list."""
    for node in unit.expressions():
        if isinstance(node, ast.List) and isinstance(node.ctx, ast.Load):
            texts_of = [unit.text(e) for e in node.elts]
            made = {"[[]]": 0.2, "[0]": 0.8, "[1]": 0.8, "['']": 1.0}
            for name in unit.names_at(node):
                made[f"[{', '.join([*texts_of, name])}]"] = 0.4
                made[f"[{', '.join([name, *texts_of])}]"] = 0.5
            if texts_of:
                made["[]"] = 0.5
            for text, extra in made.items():
                if text != unit.text(node) and (not texts_of or text not in {"[0]", "[1]", "['']"}):
                    yield [unit.put(node, text)], node, extra, "d" if text == "[]" else ""


def harvested(unit: Unit) -> Iterator[Made]:
    """Another expression of the same function."""
    pool: dict[str, ast.expr] = {}
    for node in _loads(unit):
        if isinstance(
            node, ast.BinOp | ast.Subscript | ast.Call | ast.Attribute | ast.List | ast.Name
        ):
            if isinstance(node, ast.Name) and _is_call_name(unit, node):
                continue
            text = unit.text(node)
            if len(text) < 50 and "\n" not in text and not _is_call_name(unit, node):
                pool.setdefault(text, node)
    chosen = list(pool.items())[:40]
    for node in unit.expressions():
        if isinstance(node, ast.Constant | ast.Starred | ast.Slice) or _is_call_name(unit, node):
            continue
        if isinstance(node, ast.Name) and isinstance(unit.parents.get(node), ast.Attribute):
            continue
        store = isinstance(getattr(node, "ctx", None), ast.Store)
        if isinstance(node, ast.Name) and isinstance(unit.outer_of_target(node), ast.comprehension):
            continue
        if isinstance(unit.parents.get(node), ast.Expr | ast.JoinedStr | ast.FormattedValue):
            continue
        own = unit.text(node)
        kinds = unit.kind(node)
        for text, other in chosen:
            if text == own or (isinstance(node, ast.Name) and isinstance(other, ast.Name)):
                continue
            if store and not isinstance(other, ast.Subscript | ast.Attribute):
                continue
            if any(n is node for n in ast.walk(other)) and len(text) > len(own) * 4:
                continue
            if not compatible(kinds, unit.kind(other)):
                continue
            dropped_call = isinstance(node, ast.Call) and not isinstance(other, ast.Call)
            flag = "c" if dropped_call else ""
            known = bool(kinds and unit.kind(other))
            extra = 0.0 if known else 0.4
            if isinstance(node, ast.Call | ast.Subscript) or store:
                extra -= 0.3
            yield [unit.put(node, text, binding(other))], node, extra, flag


def answers(unit: Unit) -> Iterator[Made]:
    """Another answer."""
    for node in ast.walk(unit.node):
        if not isinstance(node, ast.Return | ast.Yield) or node.value is None:
            continue
        value = node.value
        made: dict[str, tuple[float, int]] = {}
        simple = isinstance(value, ast.Constant | ast.Name | ast.List | ast.Dict | ast.Tuple)
        for name in unit.names_at(node):
            kinds = bare(unit.seen(name))
            made[name] = (0.4, ATOM)
            if simple:
                made[f"[{name}]"] = (0.8, ATOM)
            if kinds & {"list", "set", "dict", "str"}:
                made[f"len({name})"] = (0.7, ATOM)
                made[f"sorted({name})"] = (0.9, ATOM)
            if kinds & {"list"}:
                made[f"{name}[-1]"] = (0.9, ATOM)
                made[f"{name}[0]"] = (1.0, ATOM)
        if isinstance(value, ast.Constant) and isinstance(value.value, bool | type(None)):
            for test, (extra, level) in _tests_of(unit, node).items():
                made.setdefault(test, (extra, level))
        for text, (extra, level) in made.items():
            if text != unit.text(value):
                yield [unit.put(value, text, level)], value, extra, ""


def statements(unit: Unit) -> Iterator[Made]:
    """A statement that is missing."""
    simple: dict[str, float] = {}
    for statement in ast.walk(unit.node):
        if isinstance(statement, ast.Expr | ast.Assign | ast.AugAssign) and not (
            isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        ):
            text = unit.text(statement)
            if "\n" not in text and len(text) < 60:
                simple[text] = 0.4
    variables = unit.variables
    kinds = {name: bare(unit.seen(name)) for name in variables}
    unfilled = _never_filled(unit)
    for box in variables:
        for name in variables:
            if name == box:
                continue
            if kinds[box] & {"list", "deque"}:
                simple.setdefault(f"{box}.append({name})", -1.2 if box in unfilled else 0.3)
                if kinds[name] & {"list"}:
                    simple.setdefault(f"{box}.extend({name})", 0.8)
            if kinds[box] & {"set"}:
                simple.setdefault(f"{box}.add({name})", -1.2 if box in unfilled else 0.2)
            if kinds[box] & kinds[name] or "NoneType" in kinds[box] | kinds[name]:
                simple.setdefault(f"{box} = {name}", 0.5)
    for name in variables:
        if kinds[name] & {"int", "float"}:
            simple.setdefault(f"{name} += 1", 0.4)
            simple.setdefault(f"{name} -= 1", 0.5)
            simple.setdefault(f"{name} = 0", 0.9)
        elif kinds[name] & {"list"}:
            simple.setdefault(f"{name} = []", 1.1)
            simple.setdefault(f"{name}.pop()", 1.1)
            simple.setdefault(f"{name}.sort()", 0.8)
            simple.setdefault(f"{name} = sorted({name})", 1.0)
        elif kinds[name] & {"str"}:
            simple.setdefault(f"{name} = ''", 1.1)
            simple.setdefault(f"{name} = {name}.lower()", 1.0)
    ends = {"continue": 0.8, "break": 0.8, **{f"return {n}": 0.7 for n in variables}}
    for returned in ast.walk(unit.node):
        if isinstance(returned, ast.Return) and returned.value is not None:
            ends.setdefault(f"return {unit.text(returned.value)}", 0.7)
    for owner, block in unit.blocks():
        loop = isinstance(owner, ast.For | ast.While) or _in_loop(unit, owner)
        for index in range(len(block) + 1):
            near = block[min(index, len(block) - 1)]
            last = index == len(block)
            if last and isinstance(block[-1], ast.Return | ast.Raise | ast.Break | ast.Continue):
                continue
            indent = unit.indent(near)
            if indent is None or (
                index == 0 and isinstance(near, ast.Expr) and unit.is_text(near.value)
            ):
                continue
            outside = _foreign(unit, owner)
            for text, extra in simple.items():
                # What a function was given itself is likelier meant than what is around it.
                extra += 0.5 * sum(1 for n in outside if re.search(rf"\b{n}\)$", text))
                before = unit.text(block[index - 1]) if index else ""
                if text in {before, unit.text(near)}:
                    continue
                edit = _inserted(unit, near, indent, text, after=last)
                yield [edit], near, extra, "i"
            for text, extra in ends.items():
                if not last or (text in {"continue", "break"} and not loop):
                    continue
                yield [_inserted(unit, near, indent, text, after=True)], near, extra, "i"


def _foreign(unit: Unit, node: ast.AST) -> set[str]:
    """Parameters of the functions around the innermost one that holds the node."""
    functions: list[ast.FunctionDef | ast.AsyncFunctionDef] = []
    here: ast.AST | None = node
    while here is not None:
        if isinstance(here, ast.FunctionDef | ast.AsyncFunctionDef):
            functions.append(here)
        here = unit.parents.get(here)
    return {a.arg for function in functions[1:] for a in function.args.args}


def _never_filled(unit: Unit) -> set[str]:
    """Variables that start as an empty container into which nothing is ever put."""
    empty: set[str] = set()
    for node in ast.walk(unit.node):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            if unit.text(node.value) in {"[]", "set()", "list()", "deque()", "Queue()"}:
                empty.add(node.targets[0].id)
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            empty.discard(node.target.id)
    for node in ast.walk(unit.node):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.attr in {"append", "add", "extend", "update", "insert", "appendleft", "push"}
        ):
            empty.discard(node.value.id)
    return empty


def _in_loop(unit: Unit, node: ast.AST) -> bool:
    here: ast.AST | None = node
    while here is not None and here is not unit.node:
        if isinstance(here, ast.For | ast.While):
            return True
        here = unit.parents.get(here)
    return False


def _inserted(unit: Unit, near: ast.stmt, indent: str, text: str, *, after: bool) -> Edit:
    """The statement before `near`, or behind it."""
    text = text.replace("\n", "\n" + indent)
    if after:
        end = unit.span(near)[1]
        line_end = unit.source.find(b"\n", end)
        end = len(unit.source) if line_end < 0 else line_end
        return Edit(unit.path, end, end, f"\n{indent}{text}")
    first = min([near.lineno, *(d.lineno for d in getattr(near, "decorator_list", ()))])
    start = unit.starts[first - 1] + len(indent.encode())
    return Edit(unit.path, start, start, f"{text}\n{indent}")


def guards(unit: Unit) -> Iterator[Made]:
    """A special case that is missing."""
    returns: dict[str, float] = {}
    for node in ast.walk(unit.node):
        if isinstance(node, ast.Return) and node.value is not None:
            text = unit.text(node.value)
            if len(text) < 30 and "\n" not in text:
                returns[text] = 0.2
    seen = frozenset[str]().union(
        *(kinds for (path, name), kinds in unit.known.returns.items()
          if path == unit.path and name == unit.qualified)
    )  # fmt: skip
    for kind, texts_of in {
        "int": ("0", "1", "-1"), "list": ("[]",), "str": ("''",), "NoneType": ("None",),
        "float": ("0",), "bool": ("False", "True"), "dict": ("{}",), "tuple": ("()",),
    }.items():  # fmt: skip
        for text in texts_of:
            if kind in bare(seen):
                returns.setdefault(text, 0.3)
    returns.setdefault("None", 0.8)
    parameters = [a.arg for a in unit.node.args.args if a.arg not in {"self", "cls"}]
    for name in parameters:
        returns.setdefault(name, 0.6)
        returns.setdefault(f"[{name}]", 1.2)
    for owner, block in unit.blocks():
        for index, near in enumerate(block):
            indent = unit.indent(near)
            if indent is None or (isinstance(near, ast.Expr) and unit.is_text(near.value)):
                continue
            first = owner is unit.node and (
                index == 0
                or (index == 1 and isinstance(block[0], ast.Expr) and unit.is_text(block[0].value))
            )
            step = "    "
            loop = _in_loop(unit, owner) or isinstance(owner, ast.For | ast.While)
            for test, (extra, _) in _tests_of(unit, near).items():
                if extra > 0.85:
                    continue
                for text, more in returns.items():
                    if first or owner is not unit.node:
                        edit = _inserted(
                            unit, near, indent, f"if {test}:\n{step}return {text}", after=False
                        )
                        yield [edit], near, extra + more + (0.0 if first else 0.6), "ik"
                if loop:
                    for word in ("continue", "break"):
                        edit = _inserted(
                            unit, near, indent, f"if {test}:\n{step}{word}", after=False
                        )
                        yield [edit], near, extra + 0.6, "i"
                if not isinstance(
                    near, ast.Return | ast.If | ast.For | ast.While
                ) and "\n" not in unit.text(near):
                    start, end = unit.span(near)
                    text = f"if {test}:\n{indent}{step}{unit.text(near)}"
                    yield [Edit(unit.path, start, end, text)], near, extra + 0.5, "i"


def deletions(unit: Unit) -> Iterator[Made]:
    """A statement too much."""
    for owner, block in unit.blocks():
        for statement in block:
            if unit.indent(statement) is None or isinstance(statement, ast.FunctionDef):
                continue
            if isinstance(statement, ast.Expr) and unit.is_text(statement.value):
                continue
            start, end = unit.span(statement)
            if len(block) == 1:
                yield [Edit(unit.path, start, end, "pass")], statement, 0.2, "d"
                continue
            line_start = unit.starts[statement.lineno - 1]
            line_end = unit.source.find(b"\n", end)
            line_end = len(unit.source) if line_end < 0 else line_end + 1
            if isinstance(owner, ast.If | ast.For | ast.While) and block is not owner.body:
                extra = 0.4
            else:
                extra = 0.1
            yield [Edit(unit.path, line_start, line_end, "")], statement, extra, "d"
            if isinstance(statement, ast.If) and not statement.orelse:
                body = _moved(unit, statement.body, statement)
                if body is not None:
                    yield [Edit(unit.path, start, end, body)], statement, 0.4, "d"


def _moved(unit: Unit, block: list[ast.stmt], to: ast.stmt) -> str | None:
    """Statements as they read where `to` stands; None when lines cannot be shifted."""
    inner, outer = unit.indent(block[0]), unit.indent(to)
    if inner is None or outer is None:
        return None
    start, end = unit.span(block[0])[0], unit.span(block[-1])[1]
    lines = unit.source[start:end].decode().split("\n")
    for index, line in enumerate(lines[1:], 1):
        if line.startswith(inner):
            lines[index] = outer + line[len(inner) :]
        elif line.strip():
            return None
    return "\n".join(lines)


def moves(unit: Unit) -> Iterator[Made]:
    """A statement in another place."""
    for owner, block in unit.blocks():
        for one, other in itertools.pairwise(block):
            if isinstance(one, ast.Expr) and unit.is_text(one.value):
                continue
            if unit.indent(one) is None or unit.indent(other) is None:
                continue
            if isinstance(one, ast.FunctionDef) or isinstance(other, ast.FunctionDef):
                continue
            texts_of = (unit.text(one), unit.text(other))
            if "\n" in texts_of[0] or "\n" in texts_of[1]:
                continue
            edits = [
                Edit(unit.path, *unit.span(one), texts_of[1]),
                Edit(unit.path, *unit.span(other), texts_of[0]),
            ]
            yield edits, one, 0.3, ""
        parent_block = next(
            (b for o, b in unit.blocks() if isinstance(owner, ast.stmt) and owner in b), None
        )
        # The last statement of a block belongs behind the block.
        last = block[-1]
        indent, owner_indent = (
            unit.indent(last),
            (unit.indent(owner) if isinstance(owner, ast.stmt) and parent_block else None),
        )
        if indent is not None and owner_indent is not None and len(block) > 1:
            text = _moved(unit, [last], owner)  # type: ignore[arg-type]
            whole_owner_end = unit.span(owner)[1]
            if text is not None and whole_owner_end == unit.span(last)[1]:
                start = unit.starts[last.lineno - 1]
                end = unit.span(last)[1]
                yield [Edit(unit.path, start, end, f"{owner_indent}{text}")], last, 0.0, ""
        # The statement behind a block belongs into it.
        for one, other in itertools.pairwise(block):
            if isinstance(one, ast.For | ast.While | ast.If) and "\n" not in unit.text(other):
                inside = one.orelse[-1] if one.orelse else one.body[-1]
                inner = unit.indent(inside)
                if inner is not None and unit.indent(other) is not None:
                    start = unit.starts[other.lineno - 1]
                    end = unit.span(other)[1]
                    if unit.span(inside)[1] == unit.span(one)[1]:
                        yield (
                            [Edit(unit.path, start, end, inner + unit.text(other))],
                            other,
                            0.2,
                            "",
                        )


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


def method_as_assignment(unit: Unit) -> Iterator[Made]:
    """An assignment for a call that changes, and the other way round."""
    for node in ast.walk(unit.node):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            call = node.value
            if isinstance(call.func, ast.Attribute) and len(call.args) == 1:
                base, given = unit.text(call.func.value), unit.text(call.args[0])
                if "\n" not in base + given:
                    start, end = unit.span(node)
                    yield [Edit(unit.path, start, end, f"{base} = {given}")], node, 0.0, "c"
                    if call.func.attr in {"append", "extend", "insert"}:
                        made = f"{base} = [{given}] + {base}"
                        yield [Edit(unit.path, start, end, made)], node, 0.8, ""
                        if call.func.attr == "append":
                            made = f"{base}.insert(0, {given})"
                            yield [Edit(unit.path, start, end, made)], node, 0.4, ""


def everywhere(unit: Unit) -> Iterator[Made]:
    """The same change wherever it occurs."""
    by_text: dict[str, list[ast.expr]] = {}
    for node in unit.expressions():
        if isinstance(node, ast.Constant | ast.Name) and not _is_call_name(unit, node):
            by_text.setdefault(unit.text(node), []).append(node)
    for text, nodes in by_text.items():
        if not 2 <= len(nodes) <= 8:
            continue
        if isinstance(nodes[0], ast.Constant):
            value = nodes[0].value
            if type(value) is int:
                others = [str(value + 1), str(value - 1), "0", "1", "2"]
            elif isinstance(value, str):
                others = [
                    other
                    for other, all_ in by_text.items()
                    if isinstance(all_[0], ast.Constant) and isinstance(all_[0].value, str)
                ]
            else:
                continue
        elif all(isinstance(n.ctx, ast.Load) for n in nodes if isinstance(n, ast.Name)):
            others = [
                n for n in unit.variables if compatible(bare(unit.seen(n)), bare(unit.seen(text)))
            ]
        else:
            continue
        for other in others:
            if other != text and not other.startswith("-"):
                edits = [unit.put(node, other) for node in nodes]
                yield edits, nodes[0], 0.0, ""


def constant_swaps(unit: Unit) -> Iterator[Made]:
    """Two constants change places."""
    constants = [
        n for n in unit.expressions()
        if isinstance(n, ast.Constant) and isinstance(n.value, str | int | float)
        and not isinstance(unit.parents.get(n), ast.JoinedStr)
    ]  # fmt: skip
    for one, other in itertools.combinations(constants[:24], 2):
        if one.value != other.value and type(one.value) is type(other.value):
            edits = [unit.put(one, unit.text(other)), unit.put(other, unit.text(one))]
            yield edits, one, 0.2, ""


OPERATORS = (
    Operator("one more or one less", 1.0, offsets),
    Operator("another comparison", 0.8, comparisons),
    Operator("another number", 1.1, numbers),
    Operator("another variable", 1.4, names),
    Operator("another function", 1.2, functions),
    Operator("another text", 1.7, texts),
    Operator("another arithmetic operator", 1.1, arithmetic),
    Operator("another method or attribute", 1.2, attributes),
    Operator("another way of updating a variable", 1.2, augmented),
    Operator("something too much left out", 1.5, dropped),
    Operator("two arguments or elements swapped", 1.4, argument_swaps),
    Operator("the two sides swapped", 1.6, flipped),
    Operator("true for false, or the other way round", 1.2, booleans),
    Operator("the opposite or another connection of conditions", 1.4, negations),
    Operator("another part of a sequence", 2.0, slices),
    Operator("passed through a function", 2.1, wrapped),
    Operator("both sides passed through a function", 2.1, both_wrapped),
    Operator("one more condition", 2.2, clauses),
    Operator("a lower or upper bound", 2.0, bounds),
    Operator("combined with something more", 2.2, operands),
    Operator("more or other elements of a list", 1.9, element_changes),
    Operator("another expression of the same function", 2.4, harvested),
    Operator("another answer", 2.0, answers),
    Operator("a statement that was missing", 2.3, statements),
    Operator("a special case that was missing", 2.7, guards),
    Operator("a statement too much left out", 2.3, deletions),
    Operator("a statement in another place", 1.9, moves),
    Operator("another kind of branch", 1.8, conditions_moved),
    Operator("an assignment for a call that changes", 2.0, method_as_assignment),
    Operator("the same change wherever it occurs", 2.2, everywhere),
    Operator("two constants swapped", 2.4, constant_swaps),
)
PER_OPERATOR = 3_000  # candidates of one operator for one function


def candidates(unit: Unit) -> list[Candidate]:
    """Every change of this function that the operators know, cheapest first, none twice."""
    found: dict[tuple[Edit, ...], Candidate] = {}
    doubted = unit.known.symptoms
    for operator in OPERATORS:
        for edits, node, extra, flags in itertools.islice(operator.make(unit), PER_OPERATOR):
            cost = operator.prior + extra + SUSPICION * (1 - unit.suspicion(node))
            cost -= boost(operator.words, doubted)
            key = tuple(sorted(edits))
            if _unused(unit, key):
                flags += "u"
            if any(_same(unit, edit) for edit in key):
                continue
            known = found.get(key)
            if known is None or known.cost > cost:
                line = unit.line(node)
                found[key] = Candidate(key, operator.words, cost, line, unit.qualified, flags)
    return sorted(found.values(), key=lambda c: (c.cost, c.edits))


def _unused(unit: Unit, edits: tuple[Edit, ...]) -> bool:
    """Whether a variable that was read is read nowhere any more."""
    for name, places in unit.reads.items():
        left = [
            spot
            for spot in places
            if not any(edit.start <= spot < edit.end and edit.path == unit.path for edit in edits)
        ]
        if places and not left:
            if any(re.search(rf"\b{name}\b", edit.text) for edit in edits):
                continue
            return True
    return False


def _same(unit: Unit, edit: Edit) -> bool:
    return unit.source[edit.start : edit.end] == edit.text.encode()


def boost(words: str, symptoms: frozenset[str]) -> float:
    """How much likelier a kind of change is, given how the tests fail."""
    by_symptom = {
        "RecursionError": {"one more or one less": 0.3, "another part of a sequence": 0.6,
                           "a special case that was missing": 0.5, "another comparison": 0.2,
                           "two arguments or elements swapped": 0.3,
                           "combined with something more": 0.3},
        "IndexError": {"one more or one less": 0.4, "another comparison": 0.3,
                       "one more condition": 0.4, "a lower or upper bound": 0.2,
                       "a special case that was missing": 0.3},
        "empty": {"one more condition": 0.3, "a special case that was missing": 0.3},
        "KeyError": {"another variable": 0.2, "another method or attribute": 0.2,
                     "another expression of the same function": 0.3},
        "NoneType": {"a special case that was missing": 0.5, "one more condition": 0.5,
                     "another answer": 0.3},
        "TypeError": {"passed through a function": 0.4, "two arguments or elements swapped": 0.2},
        "timeout": {"another comparison": 0.2, "a statement that was missing": 0.2,
                    "one more or one less": 0.2, "another way of updating a variable": 0.2},
    }  # fmt: skip
    return sum(by_symptom.get(symptom, {}).get(words, 0.0) for symptom in symptoms)
