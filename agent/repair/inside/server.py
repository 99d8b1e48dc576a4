"""Answers questions from inside pytest's run loop, where tests are collected and imported."""

import base64
import contextlib
import gc
import json
import os
import resource
import select
import signal
from collections.abc import Callable, Iterator
from time import monotonic, perf_counter
from typing import Any

import pytest

from .clock import ROOT, Clock, OutOfTime, tick
from .exchange import Exchange, Swapped
from .inputs import answer, mutated_inputs, short
from .outcomes import Outcomes
from .running import plain, quick, run_item, say_nothing
from .tracing import CALLS_KEPT, probed

MEMORY = 768 * 1024 * 1024  # bytes that a fork may take beyond the server's own
# The same where candidates are tried, beside twice what the tests take on the code as it is: what
# fills the memory takes long, and does it in one step.
MEMORY_TRYING = 64 * 1024 * 1024
TOLD_AT_ONCE = 16  # candidates of which a fork tells at once
# Seconds that a fork may be silent beyond its limit: a machine with much to do starts it late.
GRACE = 10.0

type Limit = list[float]  # steps, seconds


def patience(limit: Limit) -> float:
    """Seconds that a fork may be silent where this is the limit of what it runs."""
    return limit[1] * 4 + GRACE


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
        self.taken = 0  # bytes that the tests take on the code as it is

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
        self,
        work: Callable[[Callable[[dict[str, Any]], None]], None],
        silent: float,
        *,
        memory: int = MEMORY,
    ) -> Iterator[dict[str, Any]]:
        """What `work` says in a fork; the fork dies when it is silent for that many seconds."""
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read)
            code = 0
            try:
                gc.disable()  # it would write to pages that are still shared with the server
                limit_memory(memory)
                tick()
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
                ready, _, _ = select.select([read], [], [], max(0.0, heard + silent - monotonic()))
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

    @property
    def for_trying(self) -> int:
        return min(MEMORY, MEMORY_TRYING + 2 * self.taken)

    # what is asked

    def do_baseline(self, frame: dict[str, Any]) -> None:
        """The whole suite on the code as it is, each test with a limit."""
        limit = frame["limit"]
        left = [key for key in (frame["tests"] or list(self.items)) if key in self.items]
        late = 0
        while left:
            # Once one goes on for ever, others that do are not waited for as long.
            now = [one / 10 for one in limit] if late else limit

            def work(
                say: Callable[[dict[str, Any]], None], keys: list[str] = left, now: Limit = now
            ) -> None:
                for key in keys:
                    got = self.one(key, now)
                    say({"test": key, **got})
                    if got["kind"] == "timeout":
                        return  # what was cut off may have left pytest in disorder

            ran = 0
            got: dict[str, Any] = {}
            for got in self.forked(work, patience(now)):
                ran += 1
                self.say(got)
            if got.get("kind") == "timeout":
                late += 1
            elif ran < len(left):
                self.say(
                    {"test": left[ran], "ok": False, "kind": "died", "said": "the process ended",
                     "ms": 0.0, "steps": 0}
                )  # fmt: skip
                ran += 1
            left = left[ran:]
        self.say({"done": True})

    def do_steady(self, frame: dict[str, Any]) -> None:
        """Which tests pass again and again, whatever ran before them; what each takes at most.

        Red tests are only measured: steps and seconds, called as candidates call them.
        """
        keys = [key for key in frame["tests"] if key in self.items]
        limit: Limit = frame["limit"]

        def work(say: Callable[[dict[str, Any]], None]) -> None:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            failed: set[str] = set()
            took: dict[str, Limit] = {}
            for key in [*reversed(keys), *keys, *frame["red"]]:
                began = perf_counter()
                clock = Clock(limit)
                try:
                    with clock:
                        passed = quick(self.items[key], self.direct[key])[0]
                except OutOfTime:
                    passed = False
                took[key] = [clock.taken, perf_counter() - began]
                failed |= set() if passed else {key}
                say({"one": key})
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            steady = [key for key in keys if key not in failed]
            say({"steady": steady, "took": took, "grown": grown * 1024})

        for got in self.forked(work, patience(limit)):
            if "steady" in got:
                self.taken = got.pop("grown")
                self.say(got)
        self.say({"done": True})

    def one(self, key: str, limit: Limit) -> dict[str, Any]:
        """A test as pytest runs it."""
        began = perf_counter()
        clock = Clock(limit)
        try:
            with clock:
                ok, kind, said = run_item(self.items[key], direct=False)
        except OutOfTime:
            ok, kind, said = False, "timeout", ""
        ms = (perf_counter() - began) * 1000
        return {"ok": ok, "kind": kind, "said": said, "ms": ms, "steps": clock.taken}

    def do_probe(self, frame: dict[str, Any]) -> None:
        """Trace tests on the code as it is; every assertion of a test counts on its own."""
        files = {str(ROOT / path): path for path in frame["files"]}
        left: list[str] = [key for key in frame["tests"] if key in self.items]
        limit = frame["limit"]
        while left:

            def work(say: Callable[[dict[str, Any]], None], keys: list[str] = left) -> None:
                for key in keys:
                    for got in probed(self.items[key], self.direct[key], files, limit):
                        say(got)
                    say({"ran": key})

            ran = 0
            for got in self.forked(work, patience(limit)):
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

    def do_try(self, frame: dict[str, Any]) -> None:
        """Red tests on each candidate, many in one fork; the first that fails ends a candidate."""
        left = frame["candidates"]
        careful = False
        tests = {
            key: usual
            for key, usual in zip(frame["tests"], frame["usual"], strict=True)
            if key in self.items
        }
        while left:

            def work(
                say: Callable[[dict[str, Any]], None],
                candidates: list[dict[str, Any]] = left,
                careful: bool = careful,
            ) -> None:
                say_nothing()
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
            longest = max((c["limit"] for c in left), key=lambda one: one[1])
            status = ""
            for got in self.forked(work, patience(longest), memory=self.for_trying):
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
                          "line": 0, "test": "", "said": "", "ms": 0.0, "steps": 0})  # fmt: skip
            left = left[ran + 1 :]
        self.say({"done": True})

    def attempt(self, candidate: dict[str, Any], tests: dict[str, int]) -> dict[str, Any]:
        began = perf_counter()
        result: dict[str, Any] = {"status": "passed", "passed": 0, "kind": "", "line": 0,
                                  "test": "", "said": "", "ms": 0.0, "steps": 0}  # fmt: skip
        try:
            undo = self.exchange.put(candidate)
        except (SyntaxError, ValueError, LookupError):
            return {**result, "status": "syntax"}
        except Swapped:
            return {**result, "status": "unswappable"}
        except Exception as fault:  # noqa: BLE001  # a statement of a module ran and failed
            return {**result, "status": "failed", "kind": type(fault).__name__}
        left, seconds = candidate["limit"]
        try:
            for key, usual in tests.items():
                clock = Clock([min(left, max(candidate["least"], usual)), seconds], sleepers=False)
                try:
                    with clock:
                        ok, kind, said, line = quick(self.items[key], self.direct[key])
                finally:
                    left -= clock.taken
                if not ok:
                    result.update(status="failed", kind=kind, test=key, said=said, line=line)
                    break
                result["passed"] += 1
        except OutOfTime:
            result.update(status="timeout", kind="timeout", test=key)
        except MemoryError:
            result.update(status="failed", kind="MemoryError")
        finally:
            undo()
        result.update(ms=(perf_counter() - began) * 1000, steps=candidate["limit"][0] - left)
        return result

    def do_confirm(self, frame: dict[str, Any]) -> None:
        """The tests as pytest runs them, in their order, in a fork that tried nothing else.

        What the candidate has passed in such a fork already is not run again where pytest does no
        more than call it.
        """
        candidate, limit = frame["candidate"], frame["limit"]
        keys = [key for key in frame["tests"] if key in self.items]
        passed = {key for key in frame["passed"] if self.direct.get(key)}

        def work(say: Callable[[dict[str, Any]], None]) -> None:
            self.exchange.put(candidate)
            for key in keys:
                got = {"ok": True} if key in passed else self.one(key, limit)
                say({"test": key, **got})

        for got in self.forked(work, patience(limit)):
            self.say(got)
            if not got["ok"]:
                break
        self.say({"done": True})

    def do_behave(self, frame: dict[str, Any]) -> None:
        """What each candidate answers on inputs made from those that the tests used."""
        made = mutated_inputs(self.inputs)
        for candidate in [{"id": -1, "edits": []}, *frame["candidates"]]:

            def work(
                say: Callable[[dict[str, Any]], None], candidate: dict[str, Any] = candidate
            ) -> None:
                self.exchange.put(candidate)
                slow = 0
                told: list[list[str]] = []
                for (path, name), inputs in made.items():
                    for given in inputs:
                        # A candidate that is slow everywhere need not be waited for everywhere.
                        got = ["timeout", ""]
                        if slow < 5:
                            function = self.exchange.function(path, name)
                            got = answer(function, given, frame["limit"])
                        slow += got[0] == "timeout"
                        told.append(got)
                        if len(told) >= TOLD_AT_ONCE or got[0] == "timeout":
                            say({"answers": told})
                            told = []
                say({"answers": told})

            heard = self.forked(work, patience(frame["limit"]), memory=self.for_trying)
            answers = [one for got in heard for one in got["answers"]]
            total = sum(len(inputs) for inputs in made.values())
            answers += [["died", ""]] * (total - len(answers))
            self.say({"id": candidate["id"], "answers": answers})
        shown = [f"{name}{short(given)}" for (_, name), all_ in made.items() for given in all_]
        self.say({"done": True, "inputs": shown})


def limit_memory(most: int) -> None:
    try:
        with open("/proc/self/statm") as told:
            now = int(told.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + most, now + most))
    except (OSError, ValueError):
        pass
