"""The one hole in the wall while packages are fetched: a proxy that knows a few hosts by name."""

import ipaddress
import os
import re
import shutil
import socket
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from agent.sandbox.forwarding import relay

_HEAD_BYTES = 8_192
_PATIENCE_S = 30
_REQUEST = re.compile(rb"CONNECT ([A-Za-z0-9.-]{1,253}):(\d{1,5}) HTTP/1\.[01]\r\n")
SOCKET = "proxy"


@dataclass(frozen=True)
class Allowed:
    """Hosts that may be reached by TLS on one port.

    addresses: where a host is, instead of asking the name service; then it may be a private one.
    """

    hosts: frozenset[str]
    port: int = 443
    addresses: Mapping[str, tuple[str, int]] = field(default_factory=dict)

    def address(self, host: str, port: int) -> tuple[str, int] | None:
        """Where to connect to, or None when that is not allowed."""
        name = host.lower().rstrip(".")
        if name not in self.hosts or port != self.port:
            return None
        if name in self.addresses:
            return self.addresses[name]
        for *_, found in socket.getaddrinfo(name, port, type=socket.SOCK_STREAM):
            # A name that leads into our own network is a trick, or a mistake.
            if ipaddress.ip_address(found[0]).is_global:
                return str(found[0]), port
        return None


class Proxy:
    """Listens on a socket file in a folder of its own, while the `with` block runs.

    refused: what was asked for and not allowed, as host:port. unreached: what was allowed and did
    not answer, with the reason.
    """

    def __init__(self, allowed: Allowed) -> None:
        self._allowed = allowed
        self.refused: list[str] = []
        self.unreached: list[str] = []
        self.folder = Path()

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="egress-"))
        self.folder.chmod(0o711)
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(self.folder / SOCKET))
        os.chmod(self.folder / SOCKET, 0o666)  # noqa: S103  # the one inside is nobody
        self._listening.listen(16)
        self._thread = threading.Thread(target=self._serve, name="egress", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)  # wakes the thread
        self._thread.join()
        self._listening.close()
        shutil.rmtree(self.folder)

    def _serve(self) -> None:
        while True:
            try:
                caller, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(caller,), daemon=True).start()

    def _answer(self, caller: socket.socket) -> None:
        with caller:
            caller.settimeout(_PATIENCE_S)
            try:
                head = _head(caller)
                asked = _REQUEST.match(head)
                if asked is None:
                    caller.sendall(b"HTTP/1.1 405 Only CONNECT\r\n\r\n")
                    return
                host, port = asked[1].decode(), int(asked[2])
                out = self._connected(caller, host, port)
                if out is not None:
                    with out:
                        caller.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
                        relay(caller, out)
            except OSError:
                return  # either side went away: the client inside says what failed

    def _connected(self, caller: socket.socket, host: str, port: int) -> socket.socket | None:
        """The other side; None when there is none, which the caller has been told."""
        try:
            address = self._allowed.address(host, port)
            if address is not None:
                return socket.create_connection(address, _PATIENCE_S)
        except OSError as error:
            self.unreached.append(f"{host}:{port} cannot be reached: {error.strerror or error}")
            caller.sendall(b"HTTP/1.1 502 Not reached\r\n\r\n")
            return None
        self.refused.append(f"{host}:{port}")
        caller.sendall(b"HTTP/1.1 403 Not on the list\r\n\r\n")
        return None


def _head(caller: socket.socket) -> bytes:
    """The request up to its empty line. Nothing after it is read: a client waits for our answer."""
    head = b""
    while not head.endswith(b"\r\n\r\n") and len(head) < _HEAD_BYTES:
        byte = caller.recv(1)
        if not byte:
            break
        head += byte
    return head
