"""Puts every read and every denial on record before anybody sees the answer."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from typing import Any, Protocol
from uuid import UUID

import structlog
from django.conf import settings
from django.core.exceptions import EmptyResultSet
from django.db.models import Model, QuerySet

from authz.errors import NotRecorded
from authz.permissions import Permission
from evidence.spool import SpoolFault, spool_in
from tenants.actor import Actor
from tenants.backend.compiler import SENT
from tenants.scope import current_tenant_id
from tenants.trace import current_trace

log = structlog.get_logger(__name__)


class Thing(Protocol):
    """What was decided about."""

    @property
    def pk(self) -> Any: ...


class Decided(Protocol):
    """As authz.decisions.Decision, which this module must not import."""

    @property
    def permission(self) -> Permission: ...
    @property
    def allowed(self) -> bool: ...
    @property
    def policy_digest(self) -> str: ...
    @property
    def recorded(self) -> dict[str, Any]: ...


@dataclass
class Collected:
    """What was decided while one request is answered, and is not on disk yet."""

    waiting: list[tuple[UUID, dict[str, Any]]] = field(default_factory=list)

    def settle(self) -> None:
        """Have it on disk. Raises NotRecorded; then the answer must not go out."""
        waiting, self.waiting = self.waiting, []
        _keep(waiting)


_collecting: ContextVar[Collected | None] = ContextVar("countersign_decisions", default=None)


@contextmanager
def collected() -> Iterator[Collected]:
    """Collect what is decided in the block, so that one request waits for the disk once.

    Whoever opens it has to call settle() before the answer goes out. Outside of any such block
    each decision waits for the disk by itself.
    """
    collecting = Collected()
    token = _collecting.set(collecting)
    try:
        yield collecting
    finally:
        _collecting.reset(token)


def settle() -> None:
    """Have on disk what this request has been told so far: before it changes anything."""
    if collecting := _collecting.get():
        collecting.settle()


def decided(by: Actor, on: Thing, decision: Decided) -> None:
    """Put the answer to one question on record, and a line in the log. Raises NotRecorded."""
    said = decision.recorded
    log.info(
        "decision",
        tenant_id=str(current_tenant_id()),
        trace=current_trace(),
        action=str(decision.permission),
        resource=f"{on._meta.model_name}:{on.pk}",  # type: ignore[attr-defined]
        decision="allow" if decision.allowed else "deny",
        policy_id=decision.policy_digest,
        policies=said.get("policies", []),
        latency_ms=said.get("latency_ms", 0),
        actor_id=by.id,
    )
    _note(
        by,
        str(decision.permission),
        (str(on._meta.model_name), str(on.pk)),  # type: ignore[attr-defined]
        outcome="ok" if decision.allowed else "denied",
        policy_digest=decision.policy_digest,
        relation_path=said.get("relations", []),
        revision=str(said.get("revision", "")),
        latency_ms=said.get("latency_ms", 0),
    )


@dataclass(frozen=True)
class Listing:
    """Who lists what, by which rules; latency_ms: how long it took to say which rows."""

    by: Actor
    permission: Permission
    policy_digest: str
    latency_ms: float
    revision: str = ""

    def read(self, query: Any, model: str, rows: int | None, sent: Any = None) -> None:
        """Put one query on record; rows: how many it gave, None when it gave a figure only.

        sent: its SQL and values, where it was sent just now; otherwise they are made once more.
        """
        _note(
            self.by,
            str(self.permission),
            (model, "*"),
            outcome="ok",
            policy_digest=self.policy_digest,
            relation_path=[],
            revision=self.revision,
            latency_ms=self.latency_ms,
            predicate=_predicate(query, sent),
            rows=rows,
        )


def listed[M: Model](rows: QuerySet[M], listing: Listing) -> QuerySet[M]:
    """The same rows; each query that is made of them leaves one record."""
    recorded = rows._chain()  # type: ignore[attr-defined]
    recorded.__class__ = _recording(type(rows))
    recorded._listing = listing
    answer: QuerySet[M] = recorded
    return answer


@cache
def _recording(kind: type[Any]) -> type[Any]:
    """The class of a queryset, with a record for each query. Rows are recorded before they are
    handed on, whoever asks for them and whenever: a template, a page of a list, a file."""

    class Recording(kind):  # type: ignore[misc]
        _listing: Listing

        def _clone(self) -> Any:
            clone = super()._clone()
            clone._listing = self._listing
            return clone

        def _fetch_all(self) -> None:
            fresh = self._result_cache is None
            # What a query that this one was made from has sent is not what this one sends.
            self.query.__dict__.pop(SENT, None)
            super()._fetch_all()
            if fresh:
                self._record(len(self._result_cache), self.query.__dict__.get(SENT))

        def iterator(self, *args: Any, **kwargs: Any) -> Any:
            # How many there will be nobody knows yet, and the first must not wait for the last.
            self._record(None)
            return super().iterator(*args, **kwargs)

        def count(self) -> int:
            counted: int = super().count()
            if self._result_cache is None:
                self._record(None)
            return counted

        def exists(self) -> bool:
            found: bool = super().exists()
            if self._result_cache is None:
                self._record(None)
            return found

        def aggregate(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
            figures: dict[str, Any] = super().aggregate(*args, **kwargs)
            self._record(None)
            return figures

        def _record(self, rows: int | None, sent: Any = None) -> None:
            self._listing.read(self.query, str(self.model._meta.model_name), rows, sent)

    Recording.__name__ = Recording.__qualname__ = f"Recorded{kind.__name__}"
    return Recording


def _predicate(query: Any, sent: Any) -> str:
    """SHA-256 of what the rows were filtered by, in hex."""
    try:
        sql, params = sent or query.sql_with_params()
    except EmptyResultSet:
        sql, params = "nothing", ()
    return sha256(json.dumps([sql, params], default=str).encode()).hexdigest()


def _note(by: Actor, action: str, about: tuple[str, str], **also: Any) -> None:
    record = {
        "at": datetime.now(UTC).isoformat(),
        "actor_type": by.type,
        "actor_id": by.id,
        "door": by.door,
        "action": action,
        "object_type": about[0],
        "object_id": about[1],
        "trace": current_trace() or "",
        **also,
    }
    noted = (current_tenant_id(), record)
    if collecting := _collecting.get():
        collecting.waiting.append(noted)
    else:
        _keep([noted])


def _keep(records: list[tuple[UUID, dict[str, Any]]]) -> None:
    try:
        spool_in(settings.SPOOL_DIR).append(records)
    except SpoolFault as fault:
        raise NotRecorded(str(fault)) from fault


def milliseconds_since(started: float) -> float:
    """Since a reading of time.perf_counter(), to the microsecond."""
    return round((time.perf_counter() - started) * 1000, 3)
