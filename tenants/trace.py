"""Names the request or job that is running, so that all it leaves behind can be put together."""

import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

HEADER = "traceparent"
_PARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
_NONE = "0" * 32

_running: ContextVar[str | None] = ContextVar("countersign_trace", default=None)


def current_trace() -> str | None:
    """Trace id (32 hex digits, W3C Trace Context) of what is running; None outside of any."""
    return _running.get()


@contextmanager
def tracing(parent: str | None = None) -> Iterator[str]:
    """Run the block under one trace id: the one in `parent` (a traceparent), or a new one."""
    found = _PARENT.fullmatch(parent or "")
    trace = found.group(1) if found and found.group(1) != _NONE else random_digits(32)
    token = _running.set(trace)
    try:
        yield trace
    finally:
        _running.reset(token)


def traceparent() -> str | None:
    """What is running, as a traceparent for whatever is asked to go on with it."""
    trace = current_trace()
    return f"00-{trace}-{random_digits(16)}-01" if trace else None


def random_digits(count: int) -> str:
    """Random hex digits, for names that nobody has to be unable to guess.

    Asking the system for them would let go of the interpreter, and under load it takes milliseconds
    to come back to it. After a fork the child's are others: Python sees to that.
    """
    return f"{random.getrandbits(4 * count):0{count}x}"
