"""Real Celery workers, as they run in production, for whole stories."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.at_browser import JUST_NOW

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120  # seconds; a story that takes longer hangs


class Workers:
    """Starts and kills workers. Each is a process group of its own, so that a kill takes all."""

    def __init__(self, log_folder: Path) -> None:
        self.log_folder = log_folder
        self.running: list[subprocess.Popen[bytes]] = []

    def start(
        self, queue: str, *, shell_limit: str = "", **environment: str
    ) -> "subprocess.Popen[bytes]":
        """A worker of one queue. shell_limit: a `ulimit` to start it under."""
        values = {**os.environ, "TASK_VISIBILITY_SECONDS": "2", **environment}
        if queue != "evidence":
            values.pop("KEYS_DIR", None)
        command = f"{shell_limit} exec {sys.executable} -m celery -A portal.celery worker"
        command += f" -Q {queue} -c 1 -n {queue}-{len(self.running)}@%h -l WARNING"
        if queue == "evidence":
            command += f" -B -s {self.log_folder}/beat"
        with (self.log_folder / f"{queue}-{len(self.running)}.log").open("wb") as log:
            process = subprocess.Popen(
                ["bash", "-c", command],
                cwd=ROOT,
                env=values,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.running.append(process)
        return process

    def kill(self, process: "subprocess.Popen[bytes]") -> None:
        """As a power cut would: nobody gets to say goodbye."""
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def stop(self) -> None:
        for process in self.running:
            if process.poll() is None:
                process.terminate()
        for process in self.running:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill(process)

    def logs(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self.log_folder.glob("*.log")))


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    """Workers of this test; messages of tests before it are thrown away first."""
    from portal.celery import app

    for queue in ("agent", "evidence"):
        with app.connection_for_write() as connection:
            connection.default_channel.queue_purge(queue)
    started = Workers(tmp_path)
    yield started
    started.stop()


@pytest.fixture
def until(workers: Workers) -> Callable[[Callable[[], object], str], None]:
    """Waits until a question is answered with yes; fails with the workers' logs."""

    def wait(question: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not question():
            if time.monotonic() > deadline:
                pytest.fail(f"waited {PATIENCE} s for {what}\n{workers.logs()[-6000:]}")
            time.sleep(0.05)

    return wait


@pytest.fixture
def with_repository() -> Callable[..., object]:
    """Gives a company a repository with one file in it."""
    from agent import repositories
    from tenants.actor import system_actor

    def add(company: "Company") -> object:  # type: ignore[name-defined]  # noqa: F821
        return repositories.register(
            "order-desk",
            project=company.project,
            files={"README.md": b"# Order desk\n"},
            written=datetime(2026, 1, 5, tzinfo=UTC),
            by=system_actor("test", "cli"),
        )

    return add


@pytest.fixture
def file_request() -> Callable[..., object]:
    """Files the first example request as somebody of a company, for its repository."""
    from agent import lifecycle
    from agent.places import catalogue

    def file(company: "Company", name: str, repository: object, **other: object) -> object:  # type: ignore[name-defined]  # noqa: F821
        person = company.people[name]
        fields = {**catalogue().examples[0], **other}
        return lifecycle.file_recommendation(
            fields, repository=repository, owner=person, by=person.actor("page", signed_in=JUST_NOW)
        )

    return file


@pytest.fixture
def portal(workers: Workers, tmp_path: Path) -> str:
    """A running portal with both workers; returns its port on this machine."""
    import http.client
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (tmp_path / "web.log").open("wb") as log:
        values = {**os.environ, "DATABASE_POOL_SIZE": "8"}
        values.pop("KEYS_DIR")
        command = [sys.executable, "-m", "uvicorn", "portal.asgi:application"]
        web = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port), "--lifespan", "off"],
            cwd=ROOT,
            env=values,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    workers.running.append(web)
    workers.start("agent")
    workers.start("evidence")
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return str(port)
        except OSError:
            time.sleep(0.1)
        finally:
            connection.close()
        if time.monotonic() > deadline:
            pytest.fail(f"the portal did not answer\n{workers.logs()}")
