"""Deletes what a worker keeps to use again, once neither a task nor recent use needs it."""

import json
from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db.models import Q
from django.utils import timezone
from redis import Redis

from agent.models import Artifact, Task
from agent.outputs import FETCHED
from agent.places import artifact_store
from agent.sandbox import reuse
from evidence.store import StoreFault

log = structlog.get_logger(__name__)

_RESULT = "reuse-sweep"  # what the last clean-up left: size and limit in bytes
_DAY = 86_400
_MIB = 1024**2


def needed_files() -> set[str]:
    """SHA-256 of files that were fetched for tasks of the pinned tenant which may go on.

    Those that ended, and can be resumed, count as long as things are kept without use.
    """
    since = timezone.now() - timedelta(days=settings.REUSE_DAYS)
    resumable = [state for state in Task.State if Task.State.QUEUED in Task.MOVES[state]]
    goes_on = Q(task__state__in=Task.OPEN)
    goes_on |= Q(task__state__in=resumable, task__touched_at__gte=since)
    found: set[str] = set()
    for kept in Artifact.objects.filter(goes_on, name=FETCHED):
        try:
            said = json.loads(artifact_store().get(kept.tenant_id, kept.sha256))
        except StoreFault as fault:
            # The task cannot read it either, and says so when it goes on.
            log.warning("not known what a task has fetched", task=kept.task_id, reason=str(fault))
            continue
        found.update(row["sha256"] for row in said["fetched"])
    return found


def delete_unused(needed: set[str]) -> reuse.Swept:
    """Clean up what is kept on this machine. needed: what `needed_files` says of all tenants."""
    limit = settings.REUSE_MB * _MIB
    swept = reuse.sweep(
        [settings.DATA_DIR / "environments", settings.DATA_DIR / "snapshots", settings.FETCHED_DIR],
        unused_s=settings.REUSE_DAYS * _DAY,
        most_bytes=limit,
        needed=needed,
    )
    log.info(
        "unused things deleted",
        deleted=swept.deleted,
        freed_mb=swept.freed // _MIB,
        kept=swept.kept,
        kept_mb=swept.size // _MIB,
    )
    with Redis.from_url(settings.REDIS_URL) as client:
        client.set(_RESULT, f"{swept.size} {limit}", ex=_DAY)
    return swept


def over_budget() -> int:
    """MiB that the last clean-up had to leave above the limit, 0 for none. Raises RedisError."""
    with Redis.from_url(settings.REDIS_URL) as client:
        said: Any = client.get(_RESULT)
    size, limit = map(int, said.split()) if said else (0, 0)
    return max(size - limit, 0) // _MIB
