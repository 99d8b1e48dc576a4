"""Programs' questions about rights, answered together: in front of Django, at the same address.

Only what is plain: a token, a JSON body, permissions that roles, teams and shares alone decide
about. Everything else, and everything that went wrong, goes on to Django as if nobody had looked
at it; so errors, limits and refusals are said in one place.
"""

import asyncio
import json
import queue
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import connection
from django.http.request import split_domain_port, validate_host

from authz.permissions import Permission
from authz.questions import Answered, Asking, Question, answer_all, can_be_asked
from portal.api.decisions import KINDS, MOST, TENANT
from tenants.trace import random_digits

log = structlog.get_logger(__name__)

Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]

PATH = "/api/v1/decisions"
LARGEST = 64 * 1024  # bytes of a body; a hundred questions are 13,000
TOGETHER = 256  # requests that are answered at once, at most
IDLE = 2.0  # seconds without a question after which the session is given back
PERMISSIONS = {permission.value: permission for permission in Permission}
HEADERS = [
    (b"content-type", b"application/json; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
]


@dataclass
class Waiting:
    """A request whose answer somebody waits for."""

    asking: Asking
    loop: asyncio.AbstractEventLoop
    answered: asyncio.Future[Answered | None]


class Line:
    """Requests that wait for one thread, which takes all that are there each time."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[Waiting] = queue.SimpleQueue()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    async def ask(self, asking: Asking) -> Answered | None:
        """The answer, on disk already; None when the request has to go the long way."""
        if self._thread is None:
            self._start()
        loop = asyncio.get_running_loop()
        waiting = Waiting(asking, loop, loop.create_future())
        self._waiting.put(waiting)
        return await waiting.answered

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="decisions", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        while True:
            try:
                first = self._waiting.get(timeout=IDLE)
            except queue.Empty:
                connection.close()  # nobody asks: others may need the session
                first = self._waiting.get()
            together = [first]
            while len(together) < TOGETHER:
                try:
                    together.append(self._waiting.get_nowait())
                except queue.Empty:
                    break
            answers = _answers([one.asking for one in together])
            by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Waiting, Answered | None]]] = {}
            for one, answer in zip(together, answers, strict=True):
                by_loop.setdefault(one.loop, []).append((one, answer))
            for loop, told in by_loop.items():
                if not loop.is_closed():
                    loop.call_soon_threadsafe(_tell, told)


def _tell(told: list[tuple[Waiting, Answered | None]]) -> None:
    for one, answer in told:
        if not one.answered.done():  # whoever asked may have left
            one.answered.set_result(answer)


def _answers(askings: list[Asking]) -> list[Answered | None]:
    # A session that broke meanwhile is noticed by the question that fails, and costs its round
    # trips to nobody else.
    try:
        return answer_all(askings)
    except Exception as fault:  # noqa: BLE001  # Django asks again, and reports what is broken
        log.warning("questions go the long way", error=f"{type(fault).__name__}: {fault}")
        connection.close()
        return [None] * len(askings)


class QuickDecisions:
    """Puts the line in front of another ASGI application."""

    def __init__(self, otherwise: Application) -> None:
        self.otherwise = otherwise
        self.line = Line()

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if (head := _head(scope)) is None:
            await self.otherwise(scope, receive, send)
            return
        started = time.perf_counter()
        messages, body = await _read(receive)
        asking = _asking(head, body)
        answered = await self.line.ask(asking) if asking else None
        if answered is None:
            await self.otherwise(scope, _again(messages, receive), send)
            return
        took = (time.perf_counter() - started) * 1000
        name = random_digits(12)
        said = json.dumps(
            [
                {"allowed": one.allowed, "reasons": one.reasons, "revision": one.revision}
                for one in answered.answers
            ]
        ).encode()
        headers = [
            *HEADERS,
            (b"content-length", str(len(said)).encode()),
            (b"x-request-id", name.encode()),
            (b"server-timing", f"app;dur={took:.1f}".encode()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": said})
        log.info(
            "request",
            method="POST",
            path=PATH,
            status=200,
            duration_ms=round(took, 1),
            request_id=name,
            trace=answered.trace,
            tenant_id=str(answered.tenant_id),
            actor_type=answered.actor.type,
            actor_id=answered.actor.id,
            token=answered.hint,
        )


@dataclass(frozen=True)
class _Head:
    host: str
    secret: str
    parent: str | None


def _head(scope: dict[str, Any]) -> _Head | None:
    """What the headers say, if the request may be answered here."""
    if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] != PATH:
        return None
    if settings.SECURE_SSL_REDIRECT and scope.get("scheme") != "https":
        return None
    headers: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in headers and name in {b"host", b"authorization"}:
            return None
        headers[name] = value
    kind, _, secret = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    if kind.lower() != "bearer":
        return None
    host, _ = split_domain_port(headers.get(b"host", b"").decode("latin-1").lower())
    if not validate_host(host, settings.ALLOWED_HOSTS):
        return None
    parent = headers.get(b"traceparent")
    return _Head(host, secret, parent.decode("latin-1") if parent else None)


async def _read(receive: Receive) -> tuple[list[Message], bytes | None]:
    """The messages, to be handed on; the body, None when it is too large or broke off."""
    messages: list[Message] = []
    size = 0
    while True:
        message = await receive()
        messages.append(message)
        if message["type"] != "http.request":
            return messages, None
        size += len(message.get("body", b""))
        if size > LARGEST:
            return messages, None
        if not message.get("more_body"):
            return messages, b"".join(one.get("body", b"") for one in messages)


def _again(messages: list[Message], receive: Receive) -> Receive:
    """What was received, for somebody else to receive; then whatever comes next."""
    left = iter(messages)

    async def received() -> Message:
        for message in left:
            return message
        return await receive()

    return received


def _asking(head: _Head, body: bytes | None) -> Asking | None:
    """The questions, if all of them are plain and as they should be."""
    try:
        said = json.loads(body or b"")
        questions = tuple(_question(one) for one in said["questions"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    if not 0 < len(questions) <= MOST or not can_be_asked(questions):
        return None
    return Asking(head.host, head.secret, questions, head.parent)


def _question(said: dict[str, Any]) -> Question:
    permission = PERMISSIONS[said["permission"]]
    if said["type"] == TENANT:
        return Question(permission, TENANT)
    return Question(permission, said["type"], UUID(said["id"]), KINDS[said["type"]][1])
