"""Code that is exchanged in a running program."""

import ast
import sys
import types
from collections.abc import Callable
from functools import partial
from typing import Any

from .clock import ROOT, meter, own_functions


class Unit:
    """A function, outermost in its file or class, or one statement of a module, by its place."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.file = str(ROOT / path)
        self.source = (ROOT / path).read_bytes()
        self.starts = [0]
        for line in self.source.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.tree = ast.parse(self.source)

    def at(self, offset: int) -> tuple[list[ast.ClassDef], ast.stmt]:
        """The classes around the statement that holds this byte, and that statement."""
        classes: list[ast.ClassDef] = []
        body = self.tree.body
        while True:
            for statement in body:
                start, end = self.span(statement)
                if start <= offset <= end:
                    break
            else:
                raise LookupError(f"nothing at byte {offset} of {self.path}")
            if not isinstance(statement, ast.ClassDef):
                return classes, statement
            classes.append(statement)
            body = statement.body

    def span(self, node: ast.stmt) -> tuple[int, int]:
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
        end_line = node.end_lineno or node.lineno
        return (
            self.starts[first - 1],
            self.starts[end_line - 1] + (node.end_col_offset or 0),
        )


class Swapped(Exception):
    """This edit cannot be tried by exchanging code."""


class Exchange:
    """Puts the code of a candidate in place of the module's own, inside a fork."""

    def __init__(self) -> None:
        self.units: dict[str, Unit] = {}
        self.functions: dict[tuple[str, str, int], list[types.FunctionType]] = {}

    def look_around(self) -> None:
        """Find every function of the sources that exists now."""
        self.functions.clear()
        for function in own_functions():
            code = function.__code__
            key = (code.co_filename, code.co_qualname, code.co_firstlineno)
            self.functions.setdefault(key, []).append(function)
            meter(code)

    def function(self, path: str, name: str) -> types.FunctionType | None:
        """The function of that qualified name as it is now."""
        return next(
            (
                found[0]
                for (file, qualified, _), found in self.functions.items()
                if file == str(ROOT / path) and qualified == name
            ),
            None,
        )

    def unit(self, path: str) -> Unit:
        if path not in self.units:
            self.units[path] = Unit(path)
        return self.units[path]

    def put(self, candidate: dict[str, Any]) -> Callable[[], None]:
        """Exchange, and return what takes it back. SyntaxError or Swapped when it cannot."""
        undo: list[Callable[[], None]] = []
        by_place: dict[tuple[str, int], list[tuple[int, int, bytes]]] = {}
        for path, start, end, text in candidate["edits"]:
            unit = self.unit(path)
            _, statement = unit.at(start)
            place = (path, unit.span(statement)[0])
            by_place.setdefault(place, []).append((start, end, text.encode()))
        for (path, place_start), edits in by_place.items():
            undo += self._put_unit(self.unit(path), place_start, edits)

        def take_back() -> None:
            for back in reversed(undo):
                back()

        return take_back

    def _put_unit(
        self, unit: Unit, place: int, edits: list[tuple[int, int, bytes]]
    ) -> list[Callable[[], None]]:
        classes, statement = unit.at(place)
        start, end = unit.span(statement)
        text = spliced(unit.source[start:end], [(s - start, e - start, t) for s, e, t in edits])
        first = unit.source.count(b"\n", 0, start) + 1
        if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            if classes:
                raise Swapped
            return self._put_statement(unit, text, first)
        heads = b"".join(
            b" " * depth + b"class " + c.name.encode() + b":\n" for depth, c in enumerate(classes)
        )
        lead = b"\n" * (first - 1 - len(classes)) + heads
        code = compile(lead + text, unit.file, "exec", dont_inherit=True, flags=future(unit))
        for one in classes:
            code = inner(code, one.name)
        new = inner(code, statement.name)
        meter(new)
        old = self.functions.get((unit.file, new.co_qualname, new.co_firstlineno))
        if not old:
            raise Swapped
        undo: list[Callable[[], None]] = []
        for function in old:
            if len(function.__code__.co_freevars) != len(new.co_freevars):
                raise Swapped
            undo.append(partial(setattr, function, "__code__", function.__code__))
            function.__code__ = new
            if signature_touched(unit, statement, edits):
                fresh = defaults_of(function, lead, text, classes, statement, unit)
                undo.append(partial(setattr, function, "__defaults__", function.__defaults__))
                undo.append(partial(setattr, function, "__kwdefaults__", function.__kwdefaults__))
                function.__defaults__, function.__kwdefaults__ = fresh
        return undo

    def _put_statement(self, unit: Unit, text: bytes, first: int) -> list[Callable[[], None]]:
        module = next(
            (m for m in list(sys.modules.values()) if getattr(m, "__file__", None) == unit.file),
            None,
        )
        if module is None:
            raise Swapped
        code = compile(b"\n" * (first - 1) + text, unit.file, "exec", dont_inherit=True)
        meter(code)
        before = dict(module.__dict__)
        exec(code, module.__dict__)  # noqa: S102  # running candidates is what this program does
        undo: list[Callable[[], None]] = []
        for name in [n for n in module.__dict__ if module.__dict__[n] is not before.get(n)]:
            new = module.__dict__[name]
            # Others hold what they imported from it under the same name.
            for other in list(sys.modules.values()):
                space = getattr(other, "__dict__", {})
                if name in before and space.get(name, undo) is before[name]:
                    space[name] = new
                    undo.append(partial(space.__setitem__, name, before[name]))
            if name in before:
                undo.append(partial(module.__dict__.__setitem__, name, before[name]))
        return undo


def spliced(source: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    for start, end, text in sorted(edits, key=lambda e: (e[0], e[1]), reverse=True):
        source = source[:start] + text + source[end:]
    return source


def future(unit: Unit) -> int:
    annotations = any(
        isinstance(s, ast.ImportFrom) and s.module == "__future__" for s in unit.tree.body
    )
    return 0x1000000 if annotations else 0


def inner(code: types.CodeType, name: str) -> types.CodeType:
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType) and constant.co_name == name:
            return constant
    raise Swapped


def signature_touched(
    unit: Unit,
    statement: ast.FunctionDef | ast.AsyncFunctionDef,
    edits: list[tuple[int, int, bytes]],
) -> bool:
    body = statement.body[0]
    begin = unit.starts[body.lineno - 1] + body.col_offset
    return any(end <= begin and start < begin for start, end, _ in edits)


def defaults_of(
    function: types.FunctionType,
    lead: bytes,
    text: bytes,
    classes: list[ast.ClassDef],
    statement: ast.FunctionDef | ast.AsyncFunctionDef,
    unit: Unit,
) -> tuple[Any, Any]:
    if statement.decorator_list:
        raise Swapped
    space = dict(function.__globals__)
    exec(compile(lead + text, unit.file, "exec", dont_inherit=True), space)  # noqa: S102
    found: Any = space
    for name in [*(c.name for c in classes), statement.name]:
        found = found[name] if isinstance(found, dict) else vars(found)[name]
    found = getattr(found, "__func__", found)
    return found.__defaults__, found.__kwdefaults__
