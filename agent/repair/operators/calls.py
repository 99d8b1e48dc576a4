"""Changes of calls and sequences: arguments, parts, elements, what is passed through what."""

import ast
import itertools
from collections.abc import Iterator

from agent.repair import unit as levels
from agent.repair.edits import Edit
from agent.repair.operators.base import Made, is_call_name, loads
from agent.repair.unit import ATOM, Unit, bare, binding, compatible

PLACES = 8  # that one change is made at together


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


def indices(unit: Unit) -> Iterator[Made]:
    """The index for the element there: once, and wherever the same element is taken."""
    by_text: dict[str, list[ast.Subscript]] = {}
    for node in unit.expressions():
        match node:
            case ast.Subscript(slice=ast.Slice() | ast.Constant() | ast.Tuple() | ast.UnaryOp()):
                continue
            case ast.Subscript(ctx=ast.Load()):
                by_text.setdefault(unit.text(node), []).append(node)
    for nodes in by_text.values():
        made = [unit.put(n, unit.text(n.slice), binding(n.slice)) for n in nodes]
        for node, edit in zip(nodes, made, strict=True):
            yield [edit], node, 0.0, ""
        if 2 <= len(nodes) <= PLACES:
            yield made, nodes[0], 0.4, ""


def _without(unit: Unit, call: ast.Call, index: int) -> Edit:
    """The call without one of its positional arguments."""
    if index:
        return Edit(
            unit.path, unit.span(call.args[index - 1])[1], unit.span(call.args[index])[1], ""
        )
    return Edit(unit.path, unit.span(call.args[0])[0], unit.span(call.args[1])[0], "")


def defaults(unit: Unit) -> Iterator[Made]:
    """What is answered where there is nothing, instead of None or an error."""
    given = [
        unit.text(call.args[1])
        for call in ast.walk(unit.module)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in {"get", "pop"}
        and len(call.args) == 2
    ]
    usual = {text: -0.3 for text in given if len(text) < 20 and "\n" not in text}
    plain = {"0": 0.0, "[]": 0.3, "''": 0.3, "None": 0.4, "{}": 0.6, "1": 0.7, "False": 0.7}
    for node in loads(unit):
        if isinstance(node, ast.Call):
            function = node.func
            name = getattr(function, "id", "") or getattr(function, "attr", "")
            method = isinstance(function, ast.Attribute)
            inside = unit.text(node)[:-1].rstrip().removesuffix(",")
            texts: dict[str, float] = {}
            if (method and name in {"get", "pop"} and len(node.args) == 1) or (
                not method and name in {"next", "getattr"} and len(node.args) in {1, 2}
            ):
                texts = {f"{inside}, {more})": extra for more, extra in (plain | usual).items()}
            elif not method and name in {"max", "min"} and len(node.args) == 1:
                texts = {f"{inside}, default={more})": extra for more, extra in plain.items()}
            for text, extra in texts.items():
                if not node.keywords:
                    yield [unit.put(node, text)], node, extra, ""
        elif isinstance(node, ast.Subscript) and "dict" in unit.kind(node.value):
            base, key = unit.text(node.value), unit.text(node.slice)
            for more, extra in (plain | usual).items():
                text = f"{base}.get({key})" if more == "None" else f"{base}.get({key}, {more})"
                yield [unit.put(node, text)], node, extra + 0.3, ""


def slices(unit: Unit) -> Iterator[Made]:
    """A part of a sequence, or another part."""
    for node in loads(unit):
        if isinstance(node, ast.Name | ast.Attribute | ast.Call | ast.Subscript):
            if is_call_name(unit, node) or not unit.sequence(node):
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
    for node in loads(unit):
        if is_call_name(unit, node) or isinstance(node, ast.JoinedStr | ast.Lambda):
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


def gathered(unit: Unit) -> Iterator[Made]:
    """All elements for one of them, or one for all."""
    for node in loads(unit):
        if isinstance(node, ast.Subscript) and not isinstance(node.slice, ast.Slice | ast.Tuple):
            if unit.sequence(node.value) and "str" not in unit.kind(node.value):
                text = unit.text(node.value)
                for function, extra in (("sum", 0.0), ("max", 0.2), ("min", 0.2), ("len", 0.5)):
                    yield [unit.put(node, f"{function}({text})")], node, extra, ""
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) == 1:
            inner = node.args[0]
            if node.func.id in {"sum", "max", "min", "len"} and not isinstance(
                inner, ast.GeneratorExp
            ):
                for index in ("0", "-1"):
                    made = f"{unit.atom(inner, ATOM)}[{index}]"
                    yield [unit.put(node, made)], node, 0.4, ""


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
    for node in loads(unit):
        if isinstance(
            node, ast.BinOp | ast.Subscript | ast.Call | ast.Attribute | ast.List | ast.Name
        ):
            if isinstance(node, ast.Name) and is_call_name(unit, node):
                continue
            text = unit.text(node)
            if len(text) < 50 and "\n" not in text and not is_call_name(unit, node):
                pool.setdefault(text, node)
    chosen = list(pool.items())[:40]
    for node in unit.expressions():
        if isinstance(node, ast.Constant | ast.Starred | ast.Slice) or is_call_name(unit, node):
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
