"""Whether the sandboxes of the workers hold, for whoever operates them."""

import structlog
from django.conf import settings
from django.utils import timezone
from redis import Redis
from redis.exceptions import RedisError

from agent import sandbox
from agent.sandbox import SandboxUnavailable

log = structlog.get_logger(__name__)

_REFUSALS = "sandbox-refusals"  # worker -> when its sandbox was refused
KEPT = 86_400  # seconds; a worker that was killed takes nothing back


def try_out(worker: str) -> bool:
    """Let the canary try the wall before a worker's first job; says whether it holds.

    Where it does not, the log says why and `refusals` names the worker. Its jobs that need a
    sandbox are refused, and queued again for a worker that has one.
    """
    try:
        engine = sandbox.engine()
    except (SandboxUnavailable, OSError) as hole:
        log.error("jobs that need a sandbox are refused", worker=worker, reason=str(hole))
        _note(worker, holds=False)
        return False
    log.info("the sandbox holds", worker=worker, tier=engine.tier)
    _note(worker, holds=True)
    return True


def take_back(worker: str) -> None:
    """Forget what was noted about a worker that stops."""
    _note(worker, holds=True)


def refusals() -> list[str]:
    """Workers whose sandbox is refused, by name. Raises RedisError."""
    with Redis.from_url(settings.REDIS_URL) as client:
        return sorted(name.decode() for name in client.hkeys(_REFUSALS))


def _note(worker: str, *, holds: bool) -> None:
    try:
        with Redis.from_url(settings.REDIS_URL) as client:
            if holds:
                client.hdel(_REFUSALS, worker)
            else:
                client.hset(_REFUSALS, worker, timezone.now().isoformat())
                client.expire(_REFUSALS, KEPT)
    except RedisError as error:
        log.warning("not noted whether the sandbox holds", worker=worker, error=str(error))
