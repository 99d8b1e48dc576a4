"""A process that answers questions is killed under load: whatever it had answered is on disk."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from django.conf import settings
from django.utils import timezone

from authz.models import ApiToken
from authz.permissions import Permission
from authz.tokens import PREFIX, digest_of
from evidence.spool import read_frames, rest_of
from tenants.scope import tenant_scope

ROOT = Path(__file__).parents[2]
ASKERS = 16
STARTS_IN = 120  # seconds, on a busy machine


@pytest.fixture
def secret(acme):
    made = PREFIX + uuid4().hex
    with tenant_scope(acme.scope):
        ApiToken.objects.create(
            user=acme.people["tomas"],
            name="test",
            digest=digest_of(made),
            hint=made[:10],
            scopes=[Permission.TASK_VIEW.value],
            made_by="test",
            expires_at=timezone.now() + timedelta(days=1),
        )
    return made


def _port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + STARTS_IN
    while time.monotonic() < until:
        assert process.poll() is None, "the server ended by itself"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("the server does not answer")


async def _answered(port: int, host: str, secret: str, process, enough: int) -> list[str]:
    """Traces of the requests that were answered before the process was killed."""
    answered: list[str] = []
    question = {"permission": "task.view", "type": "tenant"}
    body = json.dumps({"questions": [question]}).encode()

    async def ask() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            while True:
                trace = uuid4().hex
                head = (
                    f"POST /api/v1/decisions HTTP/1.1\r\nHost: {host}\r\n"
                    f"Authorization: Bearer {secret}\r\nContent-Type: application/json\r\n"
                    f"traceparent: 00-{trace}-{'1' * 16}-01\r\nContent-Length: {len(body)}\r\n\r\n"
                )
                writer.write(head.encode() + body)
                said = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                [size] = [line for line in said.split("\r\n") if line.startswith("content-length")]
                content = await reader.readexactly(int(size.split(":")[1]))
                assert " 200 " in said.split("\r\n")[0], content
                assert json.loads(content)[0]["allowed"]
                answered.append(trace)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    async def kill() -> None:
        while len(answered) < enough:
            await asyncio.sleep(0.005)
        process.send_signal(signal.SIGKILL)

    async with asyncio.timeout(STARTS_IN):
        await asyncio.gather(kill(), *(ask() for _ in range(ASKERS)))
    return answered


def _on_disk() -> set[str]:
    found = set()
    for path in settings.SPOOL_DIR.glob("*.spool"):
        end = 0
        for one in read_frames(path):
            found.add(one.said["trace"])
            end = one.end
        assert rest_of(path, end) != "damaged"
    return found


@pytest.mark.parametrize(
    "enough",
    [250, pytest.param(40, marks=pytest.mark.slow), pytest.param(900, marks=pytest.mark.slow)],
)
def test_no_answer_is_missing_after_the_process_was_killed(acme, secret, enough):
    port = _port()
    server = [sys.executable, "-m", "uvicorn", "portal.asgi:application", "--port", str(port)]
    with subprocess.Popen(
        [*server, "--lifespan", "off", "--no-access-log"],
        cwd=ROOT,
        env=os.environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            _wait_for(port, process)
            told = asyncio.run(_answered(port, acme.host, secret, process, enough))
        finally:
            process.kill()

    assert len(told) >= enough
    assert len(set(told)) == len(told)
    assert set(told) - _on_disk() == set()
