"""The program inside the sandbox: it runs the tests, and tries changed code in forks of itself.

One file without imports of ours, because it is shipped into the sandbox as a text. What it says is
hints and never proof: the code that it runs could make it say anything.

    python worker.py suites     the runs of /job/runs.json; a JSON line with every outcome of each
    python worker.py serve      JSON lines in, JSON lines out, until "quit"
"""

import ast
import base64
import builtins
import contextlib
import copy
import enum
import gc
import hashlib
import json
import os
import pickle
import random
import re
import resource
import select
import signal
import sys
import types
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from time import monotonic, perf_counter, process_time
from typing import Any

import pytest
from _pytest.outcomes import OutcomeException
from _pytest.runner import runtestprotocol

ROOT = Path.cwd()
PART = "__countersign_part__"
FAILED = "__countersign_failed__"
LINES_KEPT = 400_000  # line events of one traced test
CALLS_KEPT = 60  # of each function, as inputs to compare behaviour on
INPUTS = 240  # mutated inputs of each function
MEMORY = 768 * 1024 * 1024  # bytes that a candidate may take beyond the server's own
TOLD_AT_ONCE = 16  # candidates of which a fork tells at once
# Seconds that a fork may be silent beyond its limit: a machine with much to do starts it late.
GRACE = 10.0


class OutOfTime(BaseException):
    """A candidate ran longer than it may; not an Exception, so that few catch it."""


class Clock:
    """Raises OutOfTime in whatever runs when the time is up, again and again until it ends."""

    rang = False

    def __init__(self, seconds: float, *, sleepers: bool = True) -> None:
        """sleepers: whether what waits instead of working is ended, too; else the server does."""
        self.seconds = seconds
        self.sleepers = sleepers

    def __enter__(self) -> "Clock":
        Clock.rang = False
        # Seconds of processor, so that a busy machine ends nothing early; whoever sleeps, four
        # times as long.
        signal.setitimer(signal.ITIMER_PROF, self.seconds, 0.05)
        if self.sleepers:
            signal.setitimer(signal.ITIMER_REAL, self.seconds * 4 + 0.5, 0.05)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        if self.sleepers:
            signal.setitimer(signal.ITIMER_REAL, 0)


def _ring(*_: object) -> None:
    Clock.rang = True
    raise OutOfTime


# What a suite gave.


class Outcomes:
    """Notes the outcome of every test as pytest reports it, and ends those that take too long."""

    def __init__(self, limit: float = 0.0) -> None:
        self.limit = limit  # seconds for each test; a tenth of it once one took longer
        self.late = 0
        self.tests: dict[str, dict[str, Any]] = {}
        self.uncollected: list[dict[str, str]] = []
        self.collected: list[str] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.collected = [item.nodeid for item in session.items]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.uncollected.append({"where": report.nodeid, "why": str(report.longrepr)[-2000:]})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        note(self.tests, report)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        try:
            with Clock(self.limit / 10 if self.late else self.limit):
                return (yield)
        except OutOfTime:
            self.late += 1
            pytest.fail("took longer than it may", pytrace=False)


def note(tests: dict[str, dict[str, Any]], report: pytest.TestReport) -> None:
    """Keep what one phase of one test gave: the worst of its phases counts."""
    seen = tests.setdefault(report.nodeid, {"outcome": "passed", "reason": ""})
    outcome = str(report.outcome)
    if hasattr(report, "wasxfail"):
        outcome = "xfailed" if report.skipped else "xpassed"
    elif report.failed and report.when != "call":
        outcome = "error"
    if outcome != "passed" and seen["outcome"] in {"passed", "skipped"}:
        seen["outcome"] = outcome
        seen["reason"] = reason_of(report)


def reason_of(report: pytest.TestReport) -> str:
    """First line of what went wrong, without addresses in memory."""
    crash = getattr(report.longrepr, "reprcrash", None)
    said = crash.message if crash is not None else str(report.longrepr or "")
    line = next((one for one in said.splitlines() if one.strip()), "")
    # pytest shortens long texts in the middle, addresses too.
    line = re.sub(r"0x[0-9a-f]+|(?<=\.\.\.)[0-9a-f]+(?=>)", "0x…", line)
    return line[:300]


def suites() -> int:
    """Make the runs of /job/runs.json one after the other, each in a fork on a clean tree.

    Before a run the tree is laid anew: the job's files, with those of the run in place of its own.
    Nothing of the tree is imported before the fork. One JSON line for each run on stdout; what
    pytest prints goes there, too, as a text.
    """
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    job = Path(__file__).parent
    first = {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in files_below(ROOT)}
    for run in json.loads((job / "runs.json").read_text()):
        changed = {path: base64.b64decode(text) for path, text in run["files"].items()}
        lay(first | changed)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            log = os.open(LOG_FILE, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
            os.dup2(log, 1)
            os.dup2(log, 2)
            noted = Outcomes(float(run["limit"]))
            code = int(pytest.main([*OPTIONS, "-q", *run["tests"]], plugins=[noted]))
            sys.stdout.flush()
            told = {"exit": code, "tests": noted.tests, "uncollected": noted.uncollected}
            with os.fdopen(write, "w", encoding="utf-8") as back:
                json.dump(told, back)
            os._exit(0)
        os.close(write)
        with os.fdopen(read, encoding="utf-8") as back:
            text = back.read()
        os.waitpid(child, 0)
        log_text = Path(LOG_FILE).read_bytes()[-LOG:].decode("utf-8", "replace")
        if text:
            print(json.dumps({"name": run["name"], "log": log_text, **json.loads(text)}), file=out)
        out.flush()
    return 0


LOG_FILE = "/tmp/log"  # noqa: S108  # nobody else is in this sandbox
LOG = 200_000  # bytes of a run's output that are kept


def files_below(root: Path) -> list[Path]:
    return [path for path in sorted(root.rglob("*")) if path.is_file()]


def lay(files: dict[str, bytes]) -> None:
    """Make the workspace hold these files and no others."""
    for path in files_below(ROOT):
        if path.relative_to(ROOT).as_posix() not in files:
            path.unlink()
    for name, content in files.items():
        path = ROOT / name
        if not path.is_file() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


OPTIONS = ["-p", "no:cacheprovider", "-p", "no:faulthandler", "--rootdir", str(ROOT)]


# Code that is exchanged.


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
        for thing in gc.get_objects():
            if isinstance(thing, types.FunctionType):
                code = thing.__code__
                if code.co_filename.startswith(str(ROOT)):
                    key = (code.co_filename, code.co_qualname, code.co_firstlineno)
                    self.functions.setdefault(key, []).append(thing)

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
        old = self.functions.get((unit.file, new.co_qualname, new.co_firstlineno))
        if not old:
            raise Swapped
        undo: list[Callable[[], None]] = []
        for function in old:
            if len(function.__code__.co_freevars) != len(new.co_freevars):
                raise Swapped
            undo.append(partial_set(function, "__code__", function.__code__))
            function.__code__ = new
            if signature_touched(unit, statement, edits):
                fresh = defaults_of(function, lead, text, classes, statement, unit)
                undo.append(partial_set(function, "__defaults__", function.__defaults__))
                undo.append(partial_set(function, "__kwdefaults__", function.__kwdefaults__))
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
                    undo.append(lambda s=space, n=name, v=before[name]: s.__setitem__(n, v))  # type: ignore[misc]
            if name in before:
                undo.append(lambda s=module.__dict__, n=name, v=before[name]: s.__setitem__(n, v))  # type: ignore[misc]
        return undo


def partial_set(thing: Any, name: str, value: Any) -> Callable[[], None]:
    return lambda: setattr(thing, name, value)


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


# Tests, called as directly as their fixtures allow.


def plain(item: pytest.Item) -> bool:
    """Whether calling the test's function with its parameters is all that pytest would do."""
    if type(item) is not pytest.Function:
        return False
    if any(True for name in ("skip", "skipif", "xfail") for _ in item.iter_markers(name)):
        return False
    given = set(item.callspec.params) if hasattr(item, "callspec") else set()
    fixtures = item._fixtureinfo.name2fixturedefs
    return all(
        name in given
        and all(d.func.__name__ == "get_direct_param_fixture_func" for d in fixtures.get(name, ()))
        for name in item.fixturenames
        if name != "request"
    )


def run_item(item: pytest.Item, direct: bool) -> tuple[bool, str, str]:
    """Whether it passed, the kind of error, what was said."""
    if direct:
        assert isinstance(item, pytest.Function)
        given = copy.deepcopy(item.callspec.params) if hasattr(item, "callspec") else {}
        try:
            item.obj(**given)
        except OutcomeException as ended:
            return type(ended).__name__ != "Failed", type(ended).__name__, str(ended)[:300]
        except (Exception, RecursionError) as fault:  # noqa: BLE001  # it may raise anything
            return False, type(fault).__name__, str(fault)[:300]
        except SystemExit:
            return False, "SystemExit", ""
        return True, "", ""
    tests: dict[str, dict[str, Any]] = {}
    for report in runtestprotocol(item, log=False):
        note(tests, report)
    if Clock.rang:
        raise OutOfTime
    got = tests[item.nodeid]
    kind = got["reason"].split(":")[0].strip()
    return got["outcome"] not in {"failed", "error"}, kind, got["reason"]


def run_lean(item: pytest.Item) -> None:
    """Set up, run and tear down as pytest does, without reports. Raises what the test raises."""
    state: Any = item.session._setupstate
    if not getattr(item, "_request", True):
        item._initrequest()  # type: ignore[attr-defined]
    try:
        state.setup(item)
        item.runtest()
        # A unittest case keeps its failures instead of raising them.
        kept = getattr(item, "_excinfo", None)
        if kept:
            raise kept.pop().value
    finally:
        state.teardown_exact(None)


def line_of(fault: BaseException, item: pytest.Item) -> int:
    """Where in its test the error came from; 0 when nowhere."""
    step = fault.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == str(item.path):
            return step.tb_lineno
        step = step.tb_next
    return 0


# Tracing.


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
        if event != "call" and self.events < LINES_KEPT // 8:
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


# The server.


class Server:
    """Answers frames from inside pytest's run loop, where the tests are collected and imported."""

    def __init__(self, reader: Any, writer: Any) -> None:
        self.reader = reader
        self.writer = writer
        self.noted = Outcomes()
        self.items: dict[str, pytest.Item] = {}
        self.direct: dict[str, bool] = {}
        self.exchange = Exchange()
        self.inputs: dict[tuple[str, str], list[bytes]] = {}

    # pytest's hooks

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self.noted.pytest_collectreport(report)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.items = {item.nodeid: item for item in session.items}
        self.direct = {key: plain(item) for key, item in self.items.items()}
        self.exchange.look_around()
        gc.collect()
        gc.freeze()
        self.say({"tests": list(self.items), "uncollected": self.noted.uncollected})
        for line in self.reader:
            frame = json.loads(line)
            if frame["do"] == "quit":
                break
            getattr(self, "do_" + frame["do"])(frame)
        return True

    def say(self, frame: dict[str, Any]) -> None:
        self.writer.write(json.dumps(frame).encode() + b"\n")
        if "id" not in frame or "status" not in frame:
            self.writer.flush()

    def forked(
        self, work: Callable[[Callable[[dict[str, Any]], None]], None], patience: float
    ) -> Iterator[dict[str, Any]]:
        """What `work` says in a fork; the fork dies when it is silent for `patience` seconds."""
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read)
            code = 0
            try:
                gc.disable()  # it would write to pages that are still shared with the server
                limit_memory()
                with os.fdopen(write, "w", encoding="utf-8") as out:

                    def say(frame: dict[str, Any]) -> None:
                        out.write(json.dumps(frame) + "\n")
                        out.flush()

                    work(say)
            except BaseException:  # noqa: BLE001  # a fork never returns into the server
                code = 1
            finally:
                os._exit(code)
        os.close(write)
        pending = b""
        try:
            heard = monotonic()
            while True:
                ready, _, _ = select.select(
                    [read], [], [], max(0.0, heard + patience - monotonic())
                )
                if not ready:
                    return
                data = os.read(read, 1 << 16)
                if not data:
                    return
                heard = monotonic()
                *lines, pending = (pending + data).split(b"\n")
                for line in lines:
                    yield json.loads(line)
        finally:
            os.close(read)
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)

    # what is asked

    def do_baseline(self, frame: dict[str, Any]) -> None:
        """The whole suite on the code as it is, each test with a limit."""
        limit = frame["limit"]
        left = [key for key in (frame["tests"] or list(self.items)) if key in self.items]
        late = 0
        while left:
            # Once one goes on for ever, others that do are not waited for as long.
            now = limit / 10 if late else limit

            def work(
                say: Callable[[dict[str, Any]], None], keys: list[str] = left, now: float = now
            ) -> None:
                for key in keys:
                    got = self.one(key, now, direct=False)
                    say({"test": key, **got})
                    if got["kind"] == "timeout":
                        return  # what was cut off may have left pytest in disorder

            ran = 0
            got: dict[str, Any] = {}
            for got in self.forked(work, now * 4 + GRACE):
                ran += 1
                self.say(got)
            if got.get("kind") == "timeout":
                late += 1
            elif ran < len(left):
                self.say(
                    {"test": left[ran], "ok": False, "kind": "died", "said": "the process ended",
                     "ms": 0.0}
                )  # fmt: skip
                ran += 1
            left = left[ran:]
        self.say({"done": True})

    def do_steady(self, frame: dict[str, Any]) -> None:
        """Which tests pass again and again, whatever ran before them; what each takes at most.

        Red tests are only measured. Times are seconds of processor, called as candidates call them.
        """
        keys = [key for key in frame["tests"] if key in self.items]

        def work(say: Callable[[dict[str, Any]], None]) -> None:
            failed: set[str] = set()
            took: dict[str, float] = {}
            for key in [*reversed(keys), *keys, *frame["red"]]:
                began = process_time()
                try:
                    with Clock(frame["limit"]):
                        passed = self.quick(key, {})[0]
                except OutOfTime:
                    passed = False
                took[key] = process_time() - began
                failed |= set() if passed else {key}
            say({"steady": [key for key in keys if key not in failed], "took": took})

        for got in self.forked(
            work, frame["limit"] * 4 * (len(keys) + len(frame["red"]) + 1) + GRACE
        ):
            self.say(got)
        self.say({"done": True})

    def one(self, key: str, limit: float, *, direct: bool) -> dict[str, Any]:
        began = perf_counter()
        try:
            with Clock(limit):
                ok, kind, said = run_item(self.items[key], direct and self.direct[key])
        except OutOfTime:
            ok, kind, said = False, "timeout", ""
        return {"ok": ok, "kind": kind, "said": said, "ms": (perf_counter() - began) * 1000}

    def do_probe(self, frame: dict[str, Any]) -> None:
        """Trace tests on the code as it is; every assertion of a test counts on its own."""
        files = {str(ROOT / path): path for path in frame["files"]}
        left: list[str] = [key for key in frame["tests"] if key in self.items]
        limit = frame["limit"]
        while left:

            def work(say: Callable[[dict[str, Any]], None], keys: list[str] = left) -> None:
                for key in keys:
                    for got in self.probed(key, files, limit):
                        say(got)
                    say({"ran": key})

            ran = 0
            for got in self.forked(work, limit * 4 + GRACE):
                if "ran" in got:
                    ran += 1
                    continue
                for path, name, data in got.pop("calls", ()):
                    kept = self.inputs.setdefault((path, name), [])
                    raw = base64.b64decode(data)
                    if len(kept) < CALLS_KEPT and raw not in kept:
                        kept.append(raw)
                self.say(got)
            left = left[ran + 1 :] if ran < len(left) else []
        self.say({"done": True, "entries": [[p, n] for p, n in self.inputs]})

    def probed(self, key: str, files: dict[str, str], limit: float) -> list[dict[str, Any]]:
        item = self.items[key]
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
            function.__code__ = soft
        ok, kind, said = True, "", ""
        fault_seen: list[list[Any]] = []
        try:
            with Clock(limit):
                trace.start()
                try:
                    ok, kind, said = self.traced(item, fault_seen, files)
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
            [*k, base64.b64encode(data).decode()]
            for k, all_ in trace.calls.items()
            for data in all_
        ]
        parts[-1]["literals"] = literals(item)
        return parts

    def traced(
        self, item: pytest.Item, seen: list[list[Any]], files: dict[str, str]
    ) -> tuple[bool, str, str]:
        if not self.direct[item.nodeid]:
            return run_item(item, False)
        assert isinstance(item, pytest.Function)
        given = copy.deepcopy(item.callspec.params) if hasattr(item, "callspec") else {}
        try:
            item.obj(**given)
        except OutcomeException as ended:
            return type(ended).__name__ != "Failed", type(ended).__name__, str(ended)[:300]
        except Exception as fault:  # noqa: BLE001  # it may raise anything
            sys.settrace(None)
            seen.append(where(fault, files))
            return False, type(fault).__name__, str(fault)[:300]
        return True, "", ""

    def do_try(self, frame: dict[str, Any]) -> None:
        """Red tests on each candidate, many in one fork; the first that fails ends a candidate."""
        left = frame["candidates"]
        careful = False
        tests = [key for key in frame["tests"] if key in self.items]
        while left:

            def work(
                say: Callable[[dict[str, Any]], None],
                candidates: list[dict[str, Any]] = left,
                careful: bool = careful,
            ) -> None:
                told: list[dict[str, Any]] = []
                heard = monotonic()
                for candidate in candidates:
                    got = self.attempt(candidate, tests)
                    told.append({"id": candidate["id"], **got})
                    if got["status"] == "timeout" and not self.direct[got["test"]]:
                        break  # what was cut off may have left pytest in disorder
                    if careful or len(told) >= TOLD_AT_ONCE or monotonic() - heard > 0.3:
                        say({"told": told})
                        told, heard = [], monotonic()
                say({"told": told})

            ran = 0
            patience = max(c["limit"] for c in left) * 4 + GRACE
            status = ""
            for got in self.forked(work, patience):
                ran += len(got["told"])
                for one in got["told"]:
                    self.say(one)
                    status = one["status"]
            if ran < len(left) and status == "timeout":
                left = left[ran:]
                continue
            if ran < len(left) and not careful:
                # One of those left ended the process: again, each telling before the next begins.
                left, careful = left[ran:], True
                continue
            if ran < len(left):
                self.say({"id": left[ran]["id"], "status": "died", "passed": 0, "kind": "died",
                          "line": 0, "test": "", "said": "", "ms": 0.0})  # fmt: skip
            left = left[ran + 1 :]
        self.say({"done": True})

    def attempt(self, candidate: dict[str, Any], tests: list[str]) -> dict[str, Any]:
        began = perf_counter()
        result: dict[str, Any] = {"status": "passed", "passed": 0, "kind": "", "line": 0,
                                  "test": "", "said": ""}  # fmt: skip
        try:
            undo = self.exchange.put(candidate)
        except (SyntaxError, ValueError, LookupError):
            return {**result, "status": "syntax", "ms": 0.0}
        except Swapped:
            return {**result, "status": "unswappable", "ms": 0.0}
        except Exception as fault:  # noqa: BLE001  # a statement of a module ran and failed
            return {**result, "status": "failed", "kind": type(fault).__name__, "ms": 0.0}
        try:
            # System calls are dear in gVisor, so that one timer has to do.
            with Clock(candidate["limit"], sleepers=False):
                for key in tests:
                    ok, kind, said = self.quick(key, result)
                    if not ok:
                        result.update(status="failed", kind=kind, test=key, said=said)
                        break
                    result["passed"] += 1
        except OutOfTime:
            result.update(status="timeout", kind="timeout", test=tests[result["passed"]])
        except MemoryError:
            result.update(status="failed", kind="MemoryError")
        finally:
            undo()
        result["ms"] = (perf_counter() - began) * 1000
        return result

    def quick(self, key: str, result: dict[str, Any]) -> tuple[bool, str, str]:
        """Run a test without writing a report about it, which takes longer than most tests."""
        item = self.items[key]
        if not self.direct[key] and "caplog" in getattr(item, "fixturenames", ()):
            return run_item(item, False)
        try:
            if self.direct[key]:
                assert isinstance(item, pytest.Function)
                given = copy.deepcopy(item.callspec.params) if hasattr(item, "callspec") else {}
                item.obj(**given)
            else:
                run_lean(item)
        except OutcomeException as ended:
            return type(ended).__name__ != "Failed", type(ended).__name__, ""
        except Exception as fault:  # noqa: BLE001  # it may raise anything
            result["line"] = line_of(fault, item)
            said = str(fault)[:120] if not isinstance(fault, AssertionError) else ""
            return False, type(fault).__name__, said
        except SystemExit:
            return False, "SystemExit", ""
        return True, "", ""

    def do_confirm(self, frame: dict[str, Any]) -> None:
        """The tests as pytest runs them, in their order, in a fork that tried nothing else."""
        candidate, limit = frame["candidate"], frame["limit"]
        keys = [key for key in frame["tests"] if key in self.items]

        def work(say: Callable[[dict[str, Any]], None]) -> None:
            self.exchange.put(candidate)
            for key in keys:
                say({"test": key, **self.one(key, limit, direct=False)})

        for got in self.forked(work, limit * 4 + GRACE):
            self.say(got)
            if not got["ok"]:
                break
        self.say({"done": True})

    def do_behave(self, frame: dict[str, Any]) -> None:
        """What each candidate answers on inputs made from those that the tests used."""
        made = self.mutated_inputs()
        for candidate in [{"id": -1, "edits": []}, *frame["candidates"]]:

            def work(
                say: Callable[[dict[str, Any]], None], candidate: dict[str, Any] = candidate
            ) -> None:
                self.exchange.put(candidate)
                limit = frame["limit"]
                slow = 0
                for (path, name), inputs in made.items():
                    for given in inputs:
                        # A candidate that is slow everywhere need not be waited for everywhere.
                        answer = (
                            ["timeout", ""] if slow >= 5 else self.answer(path, name, given, limit)
                        )
                        slow += answer[0] == "timeout"
                        say({"answer": answer})

            answers = [got["answer"] for got in self.forked(work, frame["limit"] * 4 + GRACE)]
            total = sum(len(inputs) for inputs in made.values())
            answers += [["died", ""]] * (total - len(answers))
            self.say({"id": candidate["id"], "answers": answers})
        shown = [f"{name}{short(given)}" for (_, name), all_ in made.items() for given in all_]
        self.say({"done": True, "inputs": shown})

    def mutated_inputs(self) -> dict[tuple[str, str], list[bytes]]:
        dice = random.Random(20)  # noqa: S311  # the same inputs every time
        made: dict[tuple[str, str], list[bytes]] = {}
        for (path, name), kept in self.inputs.items():
            all_ = list(kept)
            tries = 0
            share = max(40, INPUTS // max(1, len(self.inputs)))
            while len(all_) < share + len(kept) and tries < share * 3 and kept:
                tries += 1
                given = pickle.loads(dice.choice(kept))  # noqa: S301  # written by this program
                if not given:
                    break
                objects = reachable(given)
                for _ in range(1 + (dice.random() < 0.4)):
                    position = dice.randrange(len(given))
                    given[position] = changed(given[position], objects, dice)
                try:
                    data = pickle.dumps(given)
                    pickle.loads(data)  # noqa: S301  # written by this program
                except Exception:  # noqa: BLE001, S112  # things of any class may refuse
                    continue
                if data not in all_:
                    all_.append(data)
            made[path, name] = all_
        return made

    def answer(self, path: str, name: str, given: bytes, limit: float) -> list[str]:
        """A digest of what came back and of what became of the arguments, and it as a text."""
        function = next(
            (
                found[0]
                for (file, qualified, _), found in self.exchange.functions.items()
                if file == str(ROOT / path) and qualified == name
            ),
            None,
        )
        if function is None:
            return ["absent", ""]
        code = function.__code__
        try:
            with Clock(limit):
                arguments = pickle.loads(given)  # noqa: S301  # written by this program
                first = arguments[: code.co_argcount]
                names = code.co_varnames[code.co_argcount :]
                rest = dict(zip(names, arguments[code.co_argcount :], strict=False))
                value = function(*first, **rest)
                if isinstance(value, types.GeneratorType) or type(value).__name__ in LAZY:
                    value = [v for v, _ in zip(value, range(300), strict=False)]
                said = f"{type(value).__name__}:{digest(value)}:{digest(arguments)}"
                return [said, repr(value)[:80]]
        except (OutOfTime, MemoryError):
            return ["timeout", ""]
        except Exception as fault:  # noqa: BLE001  # it may raise anything
            return [f"raise {type(fault).__name__}", type(fault).__name__]
        except SystemExit:
            return ["raise SystemExit", "SystemExit"]


LAZY = {"map", "filter", "zip", "reversed", "range", "enumerate", "islice", "chain"}


def digest(value: Any) -> str:
    text = re.sub(r"0x[0-9a-f]+", "", repr(steady(value)))
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:12]


def steady(value: Any, depth: int = 0) -> Any:
    """Sets in one order, floats rounded, so that equal answers read the same."""
    if depth > 8:
        return type(value).__name__
    if isinstance(value, set | frozenset):
        return ("set", sorted(repr(steady(v, depth + 1)) for v in value))
    if isinstance(value, dict):
        return ("dict", [(steady(k, depth + 1), steady(v, depth + 1)) for k, v in value.items()])
    if isinstance(value, list | tuple):
        return (type(value).__name__, [steady(v, depth + 1) for v in value])
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if is_own(value):
        # Three steps into what objects hold: they may hold each other.
        held = sorted(vars(value).items())[:20]
        return (type(value).__name__, [(name, steady(v, depth + 3)) for name, v in held])
    return value


def short(given: bytes) -> str:
    arguments = pickle.loads(given)  # noqa: S301  # written by this program
    try:
        said = ", ".join(repr(a) for a in arguments)
    except Exception:  # noqa: BLE001  # repr of any class may fail
        said = "…"
    return "(" + (said if len(said) < 200 else said[:199] + "…") + ")"


def reachable(things: list[Any]) -> list[Any]:
    """Objects of the program's own classes among these things and what they hold, at most 60."""
    found: dict[int, Any] = {}
    waiting = list(things)
    for _ in range(600):
        if not waiting or len(found) >= 60:
            break
        thing = waiting.pop(0)
        if isinstance(thing, list | tuple | set | frozenset):
            waiting += list(thing)[:20]
        elif isinstance(thing, dict):
            waiting += [*list(thing)[:20], *list(thing.values())[:20]]
        elif is_own(thing) and id(thing) not in found:
            found[id(thing)] = thing
            waiting += list(vars(thing).values())
    return list(found.values())


def is_own(thing: Any) -> bool:
    return (
        hasattr(thing, "__dict__")
        # A member of an enumeration is the same thing everywhere: what is changed in it stays so.
        and not isinstance(thing, type | types.ModuleType | types.FunctionType | enum.Enum)
        and getattr(sys.modules.get(type(thing).__module__), "__file__", "").startswith(str(ROOT))
    )


def changed(value: Any, objects: list[Any], dice: random.Random) -> Any:
    """Another value for an argument; of objects another one, or what one of them holds."""
    if isinstance(value, enum.Enum):
        return dice.choice(list(type(value)))
    if not is_own(value):
        return mutated(value, dice)
    same = [thing for thing in objects if type(thing) is type(value)]
    if len(same) > 1 and dice.random() < 0.5:
        return dice.choice(same)
    owner = dice.choice(same)
    names = sorted(vars(owner))
    if names:
        name = dice.choice(names)
        held = vars(owner)[name]
        if is_own(held) or held is None:
            vars(owner)[name] = dice.choice([*same, None])
        elif isinstance(held, list) and all(map(is_own, held)):
            vars(owner)[name] = dice.sample(same, dice.randint(0, min(3, len(same))))
        else:
            vars(owner)[name] = mutated(held, dice)
    return value


def mutated(value: Any, dice: random.Random) -> Any:
    """A neighbour of this value, of the same shape and type where there is one."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        if value < 0:
            return dice.choice([value + 1, value - 1, -value, 0])
        far = value + dice.randint(-9, 9)
        return dice.choice([value + 1, value - 1, 0, 1, 2, value * 2, -value, far])
    if isinstance(value, float):
        return dice.choice([value + 1, value - 1, 0.0, value * 2, value / 2, -value, value + 0.5])
    if isinstance(value, str):
        if not value:
            return dice.choice(["a", " ", "0", "abc"])
        spot = dice.randrange(len(value))
        other = dice.choice(value)
        return dice.choice(
            [
                value[:spot] + value[spot + 1 :],
                value[:spot] + other + value[spot:],
                value + other,
                value[::-1],
                value[:spot] + other + value[spot + 1 :],
                value.swapcase(),
                value[:spot],
                value + value[:spot],
            ]
        )
    if isinstance(value, list | tuple):
        items = list(value)
        what = dice.randrange(7)
        if not items:
            return type(value)([dice.randint(-3, 9)]) if type(value) in (list, tuple) else value
        spot = dice.randrange(len(items))
        if what == 0:
            del items[spot]
        elif what == 1:
            items.insert(spot, copy.deepcopy(dice.choice(items)))
        elif what == 2:
            dice.shuffle(items)
        elif what == 3:
            items = items[:spot]
        elif what == 4:
            items = items + copy.deepcopy(items[:spot])
        else:
            items[spot] = mutated(items[spot], dice)
        ordered = [v for v in value if isinstance(v, int | float | str)]
        alike = len(ordered) == len(value) > 2 and len({type(v) for v in ordered}) == 1
        if alike and ordered == sorted(ordered):
            # The function may ask for sorted input; what the tests give it is sorted.
            items = sorted(v for v in items if type(v) is type(ordered[0]))
        return tuple(items) if type(value) is tuple else items
    if isinstance(value, dict) and value:
        keys = list(value)
        key = dice.choice(keys)
        new = dict(value)
        if dice.random() < 0.4:
            del new[key]
        else:
            new[key] = mutated(new[key], dice)
        return new
    if isinstance(value, set) and value:
        new_set = set(value)
        new_set.discard(dice.choice(sorted(value, key=repr)))
        return new_set
    return value


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


def limit_memory() -> None:
    try:
        with open("/proc/self/statm") as told:
            now = int(told.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, now + MEMORY))
    except (OSError, ValueError):
        pass


def serve() -> int:
    """Collect, then answer frames on stdin until there are no more."""
    reader = os.fdopen(os.dup(0), "rb")
    writer = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    server = Server(reader, writer)
    arguments = [
        *OPTIONS,
        "-q",
        "--continue-on-collection-errors",
        *sys.argv[2:],
    ]
    code = pytest.main(arguments, plugins=[server])
    if not server.items:
        server.say({"tests": [], "uncollected": server.noted.uncollected, "exit": int(code)})
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGPROF, _ring)
    signal.signal(signal.SIGALRM, _ring)
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(ROOT))
    raise SystemExit(suites() if sys.argv[1] == "suites" else serve())
