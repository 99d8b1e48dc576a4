"""Changes of statements: missing, too many, in another place."""

import ast
import itertools
import re
from collections.abc import Iterator

from agent.repair.edits import Edit
from agent.repair.operators.base import Made, tests_of
from agent.repair.unit import ATOM, Unit, bare


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
            for test, (extra, level) in tests_of(unit, node).items():
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
            for test, (extra, _) in tests_of(unit, near).items():
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
