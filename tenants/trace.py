"""Names the request or job that is running, so that all it leaves behind can be put together."""

import re
import secrets
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
    trace = found.group(1) if found and found.group(1) != _NONE else secrets.token_hex(16)
    token = _running.set(trace)
    try:
        yield trace
    finally:
        _running.reset(token)


def traceparent() -> str | None:
    """What is running, as a traceparent for whatever is asked to go on with it."""
    trace = current_trace()
    return f"00-{trace}-{secrets.token_hex(8)}-01" if trace else None
