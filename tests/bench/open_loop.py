"""Sends one HTTP request over and over at a fixed rate and says how long each answer took.

Open loop: each request has its moment, decided beforehand, whether or not earlier ones have been
answered, and its time counts from that moment, so that a server that falls behind is seen to. All
that this program itself is late counts as well.
"""

import asyncio
import gc
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

CONNECTIONS = 64
PATIENCE = 30.0  # seconds that the last answers are waited for
HEAD_END = b"\r\n\r\n"
LENGTH = b"content-length:"
TICK = 0.001  # seconds; requests whose moments lie closer together are sent at once


@dataclass
class Sent:
    """Milliseconds from each request's moment to its answer, of those that had a right one."""

    waited: list[float]
    failed: int  # requests without an answer, or with a wrong one
    cpu: float  # seconds of processor that sending and reading took


def send(port: int, request: bytes, expected: bytes, rate: int, seconds: int) -> Sent:
    """rate: requests a second. expected: what the body of a right answer holds."""
    gc.collect()
    gc.freeze()
    gc.disable()  # nothing here goes in circles, and a collection would count against the server
    before = time.process_time()
    try:
        waited = asyncio.run(_Generator(port, request, expected, rate, seconds).run())
    finally:
        gc.enable()
        gc.unfreeze()
    return Sent(waited, rate * seconds - len(waited), time.process_time() - before)


class _Generator:
    def __init__(self, port: int, request: bytes, expected: bytes, rate: int, seconds: int) -> None:
        self.port, self.request, self.expected = port, request, expected
        self.rate, self.count = rate, rate * seconds
        self.idle: list[_Connection] = []
        self.due: deque[float] = deque()  # moments of requests that no connection is free for
        self.waited: list[float] = []
        self.answered = 0
        self.all_answered = asyncio.Event()

    async def run(self) -> list[float]:
        loop = asyncio.get_running_loop()
        connections = []
        for _ in range(min(CONNECTIONS, self.rate)):
            _, connection = await loop.create_connection(
                lambda: _Connection(self._told), "127.0.0.1", self.port
            )
            connections.append(connection)
        self.idle = list(connections)
        start = loop.time() + 0.1
        sent = 0
        while sent < self.count:
            now = loop.time()
            while sent < self.count and (moment := start + sent / self.rate) <= now:
                self.due.append(moment)
                sent += 1
            self._send()
            await asyncio.sleep(max(TICK, start + sent / self.rate - loop.time()))
        with suppress(TimeoutError):  # whoever reads the figures sees how many are missing
            await asyncio.wait_for(self.all_answered.wait(), PATIENCE)
        for connection in connections:
            connection.close()
        return self.waited

    def _send(self) -> None:
        while self.due and self.idle:
            connection = self.idle.pop()
            # The server ends connections that were idle for a while, as clients have to expect.
            if not connection.transport.is_closing():
                connection.ask(self.request, self.due.popleft())

    def _told(self, connection: "_Connection", answer: bytes, moment: float, at: float) -> None:
        """A whole answer is there (or the connection ended: then it is empty)."""
        self.answered += 1
        if answer.startswith(b"HTTP/1.1 200 ") and self.expected in answer:
            self.waited.append((at - moment) * 1000)
        if answer:
            self.idle.append(connection)
            self._send()
        if self.answered == self.count:
            self.all_answered.set()


class _Connection(asyncio.Protocol):
    """Asks one thing at a time."""

    def __init__(self, told: "Callable[[_Connection, bytes, float, float], None]") -> None:
        self.told = told
        self.transport: asyncio.Transport
        self.got = b""
        self.moment: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def ask(self, request: bytes, moment: float) -> None:
        self.moment = moment
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.got += data
        end = self.got.find(HEAD_END)
        if end < 0 or self.moment is None:
            return
        head = self.got[:end].lower()
        size = int(head[head.index(LENGTH) + len(LENGTH) :].split(b"\r\n", 1)[0])
        if len(self.got) < end + len(HEAD_END) + size:
            return
        answer, self.got = self.got, b""
        moment, self.moment = self.moment, None
        self.told(self, answer, moment, asyncio.get_running_loop().time())

    def connection_lost(self, _: Exception | None) -> None:
        if self.moment is not None:
            moment, self.moment = self.moment, None
            self.told(self, b"", moment, moment)

    def close(self) -> None:
        self.moment = None
        self.transport.close()
