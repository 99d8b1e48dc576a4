"""Requests to a few hosts, made from a sandbox whose only way out is our proxy."""

import dataclasses
import json
import ssl
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from agent.sandbox import egress, fetching, forwarding, logs
from agent.sandbox.gvisor import GVisor
from agent.sandbox.job import ENVIRONMENT, INPUTS, Engine, Job, Limits, SandboxUnavailable, Session

MOST = 256 * 1024**2  # bytes of one answer
_LIMITS = Limits(wall_s=600, memory_mb=1_024, output_bytes=2 * MOST)
_HEAD = 65_536  # bytes of the line before an answer
# Where systems keep the certificates that they trust, when Python does not know.
_TRUSTED = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")


class NotFetched(Exception):
    """There was no answer that can be used; the message says why, for people."""


class NotAllowed(NotFetched):
    """The way led to a host that may not be reached; nothing was sent there."""


@dataclass(frozen=True)
class Answer:
    """What came back. All of it is a stranger's."""

    status: int
    kind: str  # media type
    url: str  # after redirects
    content: bytes


class Downloads:
    """One sandbox that fetches, from its first request to the end of the `with` block.

    certificates: PEM of those who may vouch for a host. cancelled: as in `Engine.open`.
    """

    def __init__(
        self,
        engine: Engine,
        allowed: egress.Allowed,
        certificates: bytes,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        if not isinstance(engine, GVisor):
            raise SandboxUnavailable(f"packages are fetched in gVisor only, not in {engine.tier}")
        self._engine, self._allowed = engine, allowed
        self._certificates, self._cancelled = certificates, cancelled
        self._open = ExitStack()
        self._proxy: egress.Proxy | None = None
        self._session: Session | None = None

    def get(self, url: str, *, accept: str = "*/*", most: int = MOST) -> Answer:
        """Fetch an address; redirects are followed as far as hosts are allowed.

        most: bytes that the answer may have. Raises NotFetched, NotAllowed, SandboxUnavailable.
        """
        proxy, session = self._started()
        refused, unreached = len(proxy.refused), len(proxy.unreached)
        asked = json.dumps({"url": url, "accept": accept, "most": most})
        try:
            session.stdin.write(asked.encode() + b"\n")
            session.stdin.flush()
            said = _head(session.stdout.readline(_HEAD))
            size = said.get("bytes", 0)
            content = session.stdout.read(size) if isinstance(size, int) and size <= most else b""
        except (OSError, ValueError) as gone:
            raise NotFetched(f"fetching ended early: {self._last_words()}") from gone
        if proxy.refused[refused:]:
            raise NotAllowed(f"{url} leads to {proxy.refused[refused]}, which is not allowed")
        if proxy.unreached[unreached:]:
            raise NotFetched(f"{proxy.unreached[unreached]}")
        if said.get("problem"):
            raise NotFetched(f"{url}: {logs.cleaned(str(said['problem']).encode(), 500)}")
        if not isinstance(said.get("status"), int) or len(content) != size:
            raise NotFetched(f"fetching ended early: {self._last_words()}")
        return Answer(said["status"], str(said.get("type")), str(said.get("url")), content)

    def _started(self) -> tuple[egress.Proxy, Session]:
        if self._proxy is None or self._session is None:
            self._proxy = self._open.enter_context(egress.Proxy(self._allowed))
            engine = dataclasses.replace(self._engine, egress=self._proxy.folder)
            python = f"{ENVIRONMENT}/bin/python"
            job = Job(
                (
                    *(python, f"{INPUTS}/forwarding.py", f"/egress/{egress.SOCKET}"),
                    *(python, f"{INPUTS}/fetching.py", f"{INPUTS}/certificates.pem"),
                ),
                {},
                inputs={
                    "forwarding.py": Path(forwarding.__file__).read_bytes(),
                    "fetching.py": Path(fetching.__file__).read_bytes(),
                    "certificates.pem": self._certificates,
                },
                limits=_LIMITS,
            )
            opened = engine.open(job, cancelled=self._cancelled)
            self._session = self._open.enter_context(opened)
        return self._proxy, self._session

    def _last_words(self) -> str:
        assert self._session is not None
        outcome = self._session.close()
        return f"{outcome.ended} {logs.cleaned(outcome.stderr, 500)}".strip()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()


def _head(line: bytes) -> dict[str, Any]:
    said = json.loads(line)  # a ValueError when it is none, as at the end of everything
    return said if isinstance(said, dict) else {}


def trusted_here() -> bytes:
    """The certificates that this machine trusts. Raises NotFetched when there are none."""
    for place in (ssl.get_default_verify_paths().cafile, *_TRUSTED):
        if place and Path(place).is_file():
            return Path(place).read_bytes()
    raise NotFetched("this machine has no certificates to know a registry by; name a file of them")
