"""What a running step prints, for those who watch: kept for an hour, apart from the record."""

import time
from uuid import UUID

import structlog
from django.core.cache import cache
from redis.exceptions import RedisError

from agent.readable import readable
from tenants.scope import current_tenant_id

log = structlog.get_logger(__name__)

TAIL = 16_000  # bytes
EVERY = 0.3  # seconds between two writes
KEPT = 3_600  # seconds


class LiveLog:
    """Takes the output of one task's step, in place of the last one's. Losing it harms no work."""

    def __init__(self, task_id: UUID, said: bytes = b"") -> None:
        self._key = _key(task_id)
        self._tail = said
        self._written = 0.0
        self._lost = False
        self._keep()

    def say(self, output: bytes) -> None:
        """Add what was printed."""
        self._tail = (self._tail + output)[-TAIL:]
        if time.monotonic() - self._written >= EVERY:
            self._keep()

    def _keep(self) -> None:
        if self._lost:
            return
        self._written = time.monotonic()
        try:
            cache.set(self._key, readable(self._tail), KEPT)
        except RedisError as error:
            self._lost = True
            log.warning("live log not kept", key=self._key, error=str(error))


def live_log(task_id: UUID) -> str:
    """The end of what the running step has printed; empty when nothing is kept."""
    try:
        return str(cache.get(_key(task_id), ""))
    except RedisError as error:
        log.warning("live log not read", task=str(task_id), error=str(error))
        return ""


def _key(task_id: UUID) -> str:
    return f"live-log:{current_tenant_id()}:{task_id}"
