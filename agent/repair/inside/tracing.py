"""What code does while a test runs: lines, types of values, calls from the tests."""

import ast
import base64
import builtins
import pickle
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from _pytest.outcomes import OutcomeException

from .clock import Clock, OutOfTime, meter
from .exchange import inner
from .running import call, run_item

PART = "__countersign_part__"
FAILED = "__countersign_failed__"
LINES_KEPT = 60_000  # line events of one traced test
TYPES_KEPT = 20_000  # the same while values are looked at, which takes longer
CALLS_KEPT = 60  # of each function, as inputs to compare behaviour on


class Trace:
    """Lines run, types seen and calls made in the sources while a test runs."""

    def __init__(self, files: dict[str, str]) -> None:
        self.files = files  # absolute name to path in the workspace
        self.lines: set[tuple[str, int]] = set()
        self.types: dict[tuple[str, str, int, str], set[str]] = {}
        self.attributes: dict[str, set[str]] = {}
        self.returns: dict[tuple[str, str], set[str]] = {}
        self.calls: dict[tuple[str, str], list[bytes]] = {}
        self.events = 0

    def start(self) -> None:
        sys.settrace(self._call)

    def stop(self) -> None:
        sys.settrace(None)

    def _call(self, frame: types.FrameType, event: str, _: Any) -> Any:
        path = self.files.get(frame.f_code.co_filename)
        if path is None:
            return None
        code = frame.f_code
        caller = frame.f_back
        if caller is not None and caller.f_code.co_filename not in self.files:
            self._keep_call(path, frame)
        return self._local if code.co_name != "<module>" else None

    def _keep_call(self, path: str, frame: types.FrameType) -> None:
        code = frame.f_code
        if "<locals>" in code.co_qualname or code.co_name.startswith("<"):
            return
        kept = self.calls.setdefault((path, code.co_qualname), [])
        if len(kept) >= CALLS_KEPT or code.co_flags & 0x0C:
            return
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        try:
            data = pickle.dumps([frame.f_locals[n] for n in names])
        except Exception:  # noqa: BLE001  # things of any class may refuse to be kept
            return
        if len(data) < 20_000 and data not in kept:
            kept.append(data)

    def _local(self, frame: types.FrameType, event: str, value: Any) -> Any:
        code = frame.f_code
        path = self.files[code.co_filename]
        if event == "line":
            self.lines.add((path, frame.f_lineno))
        elif event == "return":
            self.returns.setdefault((path, code.co_qualname), set()).add(type(value).__name__)
        self.events += 1
        if self.events > LINES_KEPT:
            self.stop()
            return None
        if event != "call" and self.events < TYPES_KEPT:
            for name, held in frame.f_locals.items():
                key = (path, code.co_qualname, code.co_firstlineno, name)
                seen = self.types.setdefault(key, set())
                if len(seen) < 6:
                    kind = kind_of(held)
                    seen.add(kind)
                    if kind not in self.attributes and not isinstance(held, types.ModuleType):
                        self.attributes[kind] = {a for a in dir(held) if not a.startswith("_")}
        return self._local


def kind_of(value: Any) -> str:
    """The type, and for a list, set or tuple the type of what is in it, such as list[int]."""
    name = type(value).__name__
    if isinstance(value, list | tuple | set | frozenset | dict) and value:
        try:
            first = next(iter(value))
        except (StopIteration, RuntimeError):
            return name
        return f"{name}[{type(first).__name__}]"
    return name


class Softened(ast.NodeTransformer):
    """Lets a test go on after an assertion that failed, noting which."""

    def visit_Assert(self, node: ast.Assert) -> Any:
        return self._soft(node)

    def visit_Expr(self, node: ast.Expr) -> Any:
        call = node.value
        if (
            isinstance(call, ast.Call)
            and isinstance(call.func, ast.Attribute)
            and call.func.attr.startswith("assert")
        ):
            return self._soft(node)
        return node

    def _soft(self, node: ast.stmt) -> list[ast.stmt]:
        before = ast.parse(f"{PART}({node.lineno})").body[0]
        tried = ast.parse(
            f"try:\n pass\nexcept Exception as {FAILED}_fault:\n"
            f" {FAILED}({node.lineno}, {FAILED}_fault)"
        ).body[0]
        assert isinstance(tried, ast.Try)
        tried.body = [node]
        after = ast.parse(f"{PART}(0)").body[0]
        return [before, tried, after]


def softened(item: pytest.Item) -> types.CodeType | None:
    """The test's code with every assertion tried on its own, or None where that cannot be."""
    function = getattr(item, "function", None)
    code = getattr(function, "__code__", None)
    if code is None or code.co_freevars:
        return None
    try:
        tree = ast.parse(Path(code.co_filename).read_bytes())
    except (OSError, SyntaxError):
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == code.co_name:
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            if first == code.co_firstlineno:
                asserts = sum(isinstance(n, ast.Assert) for n in ast.walk(node))
                node.decorator_list = []
                new = Softened().visit(node)
                ast.fix_missing_locations(new)
                made = compile(ast.Module([new], []), code.co_filename, "exec")
                return inner(made, code.co_name) if asserts > 1 else None
    return None


def probed(
    item: pytest.Item, direct: bool, files: dict[str, str], limit: list[float]
) -> list[dict[str, Any]]:
    """What each assertion of a test ran and gave; with the last, what was seen of values."""
    key = item.nodeid
    trace = Trace(files)
    parts: list[dict[str, Any]] = []
    covered: set[tuple[str, int]] = set()  # before and between the assertions

    def finish(line: int, fault: BaseException | None) -> None:
        mine = (covered | trace.lines) if line else trace.lines
        parts.append(
            {"test": key, "part": line, "ok": fault is None,
             "kind": type(fault).__name__ if fault is not None else "",
             "said": str(fault)[:300] if fault is not None else "",
             "lines": sorted(mine), "where": where(fault, files)}
        )  # fmt: skip

    current = 0
    failed_now = False

    def part(line: int) -> None:
        nonlocal current, failed_now
        if line:
            covered.update(trace.lines)
        elif not failed_now:
            finish(current, None)
        trace.lines = set()
        current, failed_now = line, False

    def failed(line: int, fault: BaseException) -> None:
        nonlocal failed_now
        finish(line, fault)
        failed_now = True

    soft = softened(item)
    function: Any = getattr(item, "function", None)
    if soft is not None:
        setattr(builtins, PART, part)
        setattr(builtins, FAILED, failed)
        kept = function.__code__
        meter(soft)
        function.__code__ = soft
    ok, kind, said = True, "", ""
    fault_seen: list[list[Any]] = []
    try:
        with Clock(limit):
            trace.start()
            try:
                ok, kind, said = traced(item, direct, fault_seen, files)
            finally:
                trace.stop()
    except OutOfTime as fault:
        ok, kind, said = False, "timeout", ""
        fault_seen.append(where(fault, files))
    finally:
        if soft is not None:
            function.__code__ = kept
    if soft is None or not parts or not ok:
        parts.append(
            {"test": key, "part": current, "ok": ok, "kind": kind,
             "said": said, "lines": sorted(covered | trace.lines),
             "where": fault_seen[-1] if fault_seen else []}
        )  # fmt: skip
    parts[-1]["types"] = [[*k, sorted(v)] for k, v in trace.types.items()]
    parts[-1]["attributes"] = {k: sorted(v) for k, v in trace.attributes.items()}
    parts[-1]["returns"] = [[*k, sorted(v)] for k, v in trace.returns.items()]
    parts[-1]["calls"] = [
        [*k, base64.b64encode(data).decode()] for k, all_ in trace.calls.items() for data in all_
    ]
    parts[-1]["literals"] = literals(item)
    return parts


def traced(
    item: pytest.Item, direct: bool, seen: list[list[Any]], files: dict[str, str]
) -> tuple[bool, str, str]:
    if not direct:
        return run_item(item, direct=False)
    try:
        call(item)
    except OutcomeException as ended:
        return type(ended).__name__ != "Failed", type(ended).__name__, str(ended)[:300]
    except Exception as fault:  # noqa: BLE001  # it may raise anything
        sys.settrace(None)
        seen.append(where(fault, files))
        return False, type(fault).__name__, str(fault)[:300]
    return True, "", ""


def where(fault: BaseException | None, files: dict[str, str]) -> list[Any]:
    """Places in the sources that an error went through, innermost last."""
    places: list[Any] = []
    step = fault.__traceback__ if fault is not None else None
    while step is not None:
        path = files.get(step.tb_frame.f_code.co_filename)
        if path is not None:
            places.append([path, step.tb_lineno])
        step = step.tb_next
    return places[-6:]


def literals(item: pytest.Item) -> list[Any]:
    """Numbers and texts among a test's parameters."""
    found: list[Any] = []

    def walk(value: Any, depth: int = 0) -> None:
        if len(found) > 60 or depth > 3:
            return
        if isinstance(value, int | float | str) and len(str(value)) < 40:
            found.append(value)
        elif isinstance(value, list | tuple | set):
            for inside in value:
                walk(inside, depth + 1)

    for value in getattr(getattr(item, "callspec", None), "params", {}).values():
        walk(value)
    return [v for v in found if v == v and v not in (float("inf"), float("-inf"))]
