"""Ends what runs too long: by its steps, which are the same on every machine, or by the time."""

import gc
import math
import signal
import sys
import types
from collections.abc import Iterator
from operator import length_hint
from pathlib import Path

ROOT = Path.cwd()
TICK = 0.05  # seconds of processor between two looks at the time
_TOOL = 4  # one of the numbers that sys.monitoring leaves to anybody
_ENOUGH = 1 << 60
_UNLIMITED = iter(range(_ENOUGH))


class OutOfTime(BaseException):
    """What ran went on longer than it may; not an Exception, so that few catch it."""


class Clock:
    """Raises OutOfTime in whatever runs beyond its limit, again and again until it ends.

    A step is a call or a jump in code that is metered: no loop and no recursion goes on without
    one, and a busy machine makes none of them more. The time is for what does its work elsewhere.
    """

    rang = False
    taken = 0  # steps, once it has ended

    def __init__(self, limit: list[float], *, sleepers: bool = True) -> None:
        """limit: steps, seconds of processor.

        sleepers: whether what waits instead of working is ended, too; else the server does.
        """
        self.steps, self.seconds = int(limit[0]), limit[1]
        self.sleepers = sleepers

    def __enter__(self) -> "Clock":
        global _step, _ticks
        Clock.rang = False
        self._left = iter(range(self.steps))
        _step, _ticks = self._left.__next__, math.ceil(self.seconds / TICK)
        if self.sleepers:
            signal.setitimer(signal.ITIMER_REAL, self.seconds * 4 + 0.5, TICK)
        return self

    def __exit__(self, *_: object) -> None:
        global _step, _ticks
        self.taken = self.steps - length_hint(self._left)
        _step, _ticks = _UNLIMITED.__next__, _ENOUGH
        if self.sleepers:
            signal.setitimer(signal.ITIMER_REAL, 0)


_step, _ticks = _UNLIMITED.__next__, _ENOUGH


def _stepped(code: types.CodeType, place: int, to: int = 0) -> None:
    # An iterator counts faster than a number in a variable; most of a step's time goes here.
    try:
        _step()
    except StopIteration:
        _ring()


def _ticked(*_: object) -> None:
    global _ticks
    _ticks -= 1
    if _ticks < 0:
        _ring()


def _ring(*_: object) -> None:
    Clock.rang = True
    raise OutOfTime


def wind() -> None:
    """Make clocks possible; once in a process, and forks inherit it but for `tick`."""
    signal.signal(signal.SIGPROF, _ticked)
    signal.signal(signal.SIGALRM, _ring)
    watch = sys.monitoring
    watch.use_tool_id(_TOOL, "countersign")
    for event in (watch.events.PY_START, watch.events.PY_RESUME, watch.events.JUMP):
        watch.register_callback(_TOOL, event, _stepped)


def tick() -> None:
    """Have the time looked at; timers are not inherited by forks. One for all clocks: system calls
    are dear in gVisor.
    """
    signal.setitimer(signal.ITIMER_PROF, TICK, TICK)


def meter(code: types.CodeType) -> None:
    """Count the steps of this code and of the functions in it."""
    events = sys.monitoring.events
    sys.monitoring.set_local_events(_TOOL, code, events.PY_START | events.PY_RESUME | events.JUMP)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            meter(constant)


def own_functions() -> Iterator[types.FunctionType]:
    """Every function of the workspace that exists now."""
    root = str(ROOT)
    for thing in gc.get_objects():
        if isinstance(thing, types.FunctionType) and thing.__code__.co_filename.startswith(root):
            yield thing
