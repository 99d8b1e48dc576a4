"""Tells a running step when to stop: somebody cancelled, or its time is over."""

import threading
import time

from django.db import connection
from django.utils import timezone

from agent.models import Task
from tenants.scope import current, pinned, tenant_scope

EVERY = 0.25  # seconds between two looks at the database


class Watch:
    """Asked again and again while a tool runs, from whichever thread."""

    def __init__(self, task: Task) -> None:
        self._task_id = task.pk
        self._deadline = task.deadline
        self._scope = current()
        self._thread = threading.get_ident()
        self._looked = 0.0
        self._stop = False

    def __call__(self) -> bool:
        """Whether to stop now; looks at most every EVERY seconds."""
        if not self._stop and time.monotonic() - self._looked >= EVERY:
            self._looked = time.monotonic()
            self._stop = self._over() or self._cancelled()
        return self._stop

    def _over(self) -> bool:
        return self._deadline is not None and timezone.now() > self._deadline

    def _cancelled(self) -> bool:
        if pinned() is not None:
            return self._asked()
        with tenant_scope(self._scope):
            try:
                return self._asked()
            finally:
                if threading.get_ident() != self._thread:
                    connection.close()

    def _asked(self) -> bool:
        rows = Task.objects.filter(pk=self._task_id).exclude(cancel_asked_by="")
        return bool(rows.exists())
