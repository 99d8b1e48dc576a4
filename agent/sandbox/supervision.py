"""Starts a sandbox's outermost process, watches it, and ends it with everything below it."""

import io
import os
import queue
import selectors
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import structlog

from agent.sandbox import folders
from agent.sandbox.cgroups import Group
from agent.sandbox.frames import Report
from agent.sandbox.job import Ended, Job, Outcome, SandboxUnavailable

log = structlog.get_logger(__name__)

START_S = 60  # until the command runs, on a machine that has much to do
_TICK_S = 0.05
_WEIGH_S = 0.2
_CHUNK = 1 << 16
_STARTING_OUTPUT = 4_096  # bytes kept of what was said by a sandbox that did not start

# Joins the groups, then asks to die with the thread that started it, then becomes the runtime.
_JOIN = (
    'while [ "$1" != -- ]; do echo $$ > "$1/cgroup.procs" || exit 125; shift; done; shift;'
    ' exec setpriv --pdeathsig KILL -- "$@"'
)


class _Launcher:
    """One thread for each process that starts all sandboxes and lives as long as the process.

    A child that dies with its parent dies with the *thread* that started it, so a thread that is
    about to end must not start one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: queue.SimpleQueue[tuple[Future[subprocess.Popen[bytes]], Any]] | None = None
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._asked = None

    def start(self, **arguments: Any) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._asked is None:
                self._asked = queue.SimpleQueue()
                threading.Thread(
                    target=self._serve, args=(self._asked,), name="sandboxes", daemon=True
                ).start()
            asked = self._asked
        future: Future[subprocess.Popen[bytes]] = Future()
        asked.put((future, arguments))
        return future.result()

    @staticmethod
    def _serve(asked: "queue.SimpleQueue[tuple[Future[subprocess.Popen[bytes]], Any]]") -> None:
        while True:
            future, arguments = asked.get()
            try:
                future.set_result(subprocess.Popen(**arguments))
            except OSError as error:
                future.set_exception(error)


_launcher = _Launcher()


@dataclass(frozen=True)
class Started:
    """How to start one sandbox, and what to clear away after it."""

    command: Callable[[int], Sequence[str]]  # given the number of our end of descriptor 3
    folder: Path  # taken away at the end
    group: Group | None
    tier: str
    digest: str
    memory_mb: int  # watched by us where there is no group
    pass_fds: tuple[int, ...] = ()
    # A restored sandbox has no descriptors but the first three: its report comes on the first.
    restored: bool = False
    event: str = "sandbox.run"  # in the log, when it is over


class Watched:
    """A sandbox from its start to its end: reads what it says, keeps its limits.

    Use `finish` to run it to its end, or `session` to talk to it.
    """

    def __init__(self, job: Job, how: Started, *, talk: bool) -> None:
        self.job, self.how = job, how
        self.report = Report(job.limits)
        self.output = {"stdout": bytearray(), "stderr": bytearray()}
        self.ended: Ended | None = None
        self._began = time.monotonic()
        self._ready_at: float | None = None
        self._weigh_at = self._began
        self._heaviest = 0
        self._died = threading.Lock()
        self._outcome: Outcome | None = None
        ours, theirs = os.pipe()
        groups = [str(folder) for folder in how.group.folders] if how.group else []
        try:
            self.process = _launcher.start(
                args=["/bin/sh", "-c", _JOIN, "sh", *groups, "--", *how.command(theirs)],
                stdin=subprocess.PIPE if talk else theirs if how.restored else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(theirs, *how.pass_fds),
                # Nothing of the worker's environment: it is read through /proc by whoever gets out.
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
                cwd="/",
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            os.close(ours)
            self._clear_away()
            raise SandboxUnavailable(f"the sandbox cannot be started: {error}") from error
        finally:
            os.close(theirs)
        self.channel = open(ours, "rb", buffering=0)  # noqa: SIM115  # closed by `_clear_away`

    # To the end ----------------------------------------------------------------------------

    def finish(
        self,
        on_output: Callable[[bytes], None] | None,
        cancelled: Callable[[], bool] | None,
    ) -> Outcome:
        """Read until everything is closed or a limit is reached, then tidy up."""
        try:
            with selectors.DefaultSelector() as waiting:
                for name in ("stdout", "stderr"):
                    waiting.register(getattr(self.process, name), selectors.EVENT_READ, name)
                waiting.register(self.channel, selectors.EVENT_READ, "report")
                while waiting.get_map() and self.ended is None:
                    self._check(cancelled)
                    for key, _events in waiting.select(_TICK_S):
                        data = os.read(key.fd, _CHUNK)
                        if not data:
                            waiting.unregister(key.fileobj)
                        elif key.data == "report":
                            self._hear(data)
                        else:
                            self._take(key.data, data, on_output)
        finally:
            outcome = self.close()
        return outcome

    def _check(self, cancelled: Callable[[], bool] | None) -> None:
        if cancelled is not None and cancelled():
            self.end(Ended.CANCELLED)
        elif self._ready_at is None:
            if time.monotonic() - self._began > START_S:
                self.end(Ended.FAILED_TO_START)
        elif time.monotonic() - self._ready_at > self.job.limits.wall_s:
            self.end(Ended.TIMED_OUT)
        if self.how.group is None and time.monotonic() > self._weigh_at:
            self._weigh_at = time.monotonic() + _WEIGH_S
            self._heaviest = max(self._heaviest, folders.memory_mb(self.process.pid))
            if self._heaviest > self.how.memory_mb:
                self.end(Ended.OUT_OF_MEMORY)

    def _hear(self, data: bytes) -> None:
        self.report.feed(data)
        if self.report.ready and self._ready_at is None:
            self._ready_at = time.monotonic()

    def _take(self, name: str, data: bytes, on_output: Callable[[bytes], None] | None) -> None:
        room = self.job.limits.output_bytes - sum(len(held) for held in self.output.values())
        self.output[name] += data[:room]
        if on_output is not None and room > 0:
            on_output(data[:room])
        if len(data) > room:
            self.end(Ended.OUTPUT_LIMIT)

    # Ends ----------------------------------------------------------------------------------

    def end(self, why: Ended) -> None:
        """Kill the outermost process, and with it everything inside. The first reason stays."""
        if self.ended is None:
            self.ended = why
        with suppress(ProcessLookupError):
            self.process.kill()

    def close(self) -> Outcome:
        """Make sure that nothing is left of it, and say how it went."""
        with self._died:
            if self._outcome is None:
                ended_at = time.monotonic()
                if self.ended is None and not self._drained():
                    self.ended = Ended.CANCELLED
                with suppress(ProcessLookupError):
                    self.process.kill()
                self.process.wait()
                group = self.how.group
                starved = group.killed_by_memory() if group else False
                peak = group.peak_mb() if group else self._heaviest or None
                self._clear_away()
                self._outcome = self._summed_up(ended_at, starved, peak)
                _tell(self.how.event, self._outcome)
            return self._outcome

    def _drained(self) -> bool:
        """Whether it has ended by itself; waits a moment for one that is on its way out."""
        if not self.channel.closed and self.report.exit_code is None:
            os.set_blocking(self.channel.fileno(), False)
            while data := self.channel.read(_CHUNK):
                self._hear(data)
        try:
            self.process.wait(timeout=2 if self.report.exit_code is not None else 0.2)
        except subprocess.TimeoutExpired:
            return self.report.exit_code is not None
        return True

    def _clear_away(self) -> None:
        for pipe in ("process", "channel"):
            if pipe == "channel" and hasattr(self, "channel"):
                self.channel.close()
            elif hasattr(self, "process"):
                for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
                    if stream is not None:
                        with suppress(OSError):
                            stream.close()
        if self.how.group is not None:
            self.how.group.kill()
        shutil.rmtree(self.how.folder)

    def _summed_up(self, ended_at: float, starved: bool, peak: int | None) -> Outcome:
        ended = self.ended
        if ended is None or ended is Ended.FAILED_TO_START:
            if starved:
                ended = Ended.OUT_OF_MEMORY
            elif self._ready_at is None:
                ended = Ended.FAILED_TO_START
            elif self.report.exit_code is None:
                # Gone without a word, and not by us: the runtime itself died.
                ended = Ended.FAILED_TO_START
            else:
                ended = Ended.EXITED
        began = self._ready_at if self._ready_at is not None else ended_at
        stderr = bytes(self.output["stderr"])
        if ended is Ended.FAILED_TO_START:
            stderr = stderr[-_STARTING_OUTPUT:]
        return Outcome(
            ended=ended,
            exit_code=self.report.exit_code if ended is Ended.EXITED else None,
            stdout=bytes(self.output["stdout"]),
            stderr=stderr,
            artifacts=self.report.artifacts if ended is Ended.EXITED else {},
            tier=self.how.tier,
            environment_digest=self.how.digest,
            wall_ms=round((ended_at - began) * 1000),
            peak_memory_mb=peak,
            rejected=tuple(self.report.rejected)
            + ((f"the report: {self.report.broken}",) if self.report.broken else ()),
            start_ms=round((began - self._began) * 1000),
            restored=self.how.restored,
        )


def _tell(event: str, outcome: Outcome) -> None:
    """One line for each run, for whoever counts them; nothing of what the job said."""
    log.info(
        event,
        restored=outcome.restored,
        tier=outcome.tier,
        ended=outcome.ended.value,
        exit_code=outcome.exit_code,
        environment=outcome.environment_digest[:12],
        start_ms=outcome.start_ms,
        wall_ms=outcome.wall_ms,
        peak_memory_mb=outcome.peak_memory_mb,
        output_bytes=len(outcome.stdout) + len(outcome.stderr),
        artifacts=len(outcome.artifacts),
        rejected=len(outcome.rejected),
    )


class Talk:
    """A session over a watched sandbox. A thread keeps its limits meanwhile."""

    def __init__(self, watched: Watched, cancelled: Callable[[], bool] | None = None) -> None:
        process = watched.process
        assert process.stdin is not None
        assert process.stdout is not None
        self._watched, self._cancelled = watched, cancelled
        self.stdin: IO[bytes] = io.BufferedWriter(process.stdin)
        self.stdout: IO[bytes] = io.BufferedReader(_Lines(process.stdout, watched), _CHUNK)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="sandbox session", daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        """Read what is not the caller's to read, until both are closed or `close` is called."""
        watched = self._watched
        with selectors.DefaultSelector() as waiting:
            waiting.register(watched.process.stderr, selectors.EVENT_READ, "stderr")  # type: ignore[arg-type]
            waiting.register(watched.channel, selectors.EVENT_READ, "report")
            while waiting.get_map() and watched.ended is None and not self._done.is_set():
                watched._check(self._cancelled)
                for key, _events in waiting.select(_TICK_S):
                    data = os.read(key.fd, _CHUNK)
                    if not data:
                        waiting.unregister(key.fileobj)
                    elif key.data == "report":
                        watched._hear(data)
                    else:
                        watched._take("stderr", data, None)

    def close(self) -> Outcome:
        """Kill whatever still runs and say how it went. Safe to call twice."""
        if not self._done.is_set():
            with suppress(OSError, ValueError):  # the other end may be gone
                self.stdin.close()
            if self._watched.ended is None and self._watched.process.poll() is None:
                self._watched.process.kill()
                if self._watched.report.exit_code is None:
                    self._watched.ended = Ended.CANCELLED
            self._done.set()
            self._thread.join()
        return self._watched.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _Lines(io.RawIOBase):
    """Standard output of a session; a line without an end must not fill our memory."""

    def __init__(self, pipe: IO[bytes], watched: Watched) -> None:
        self._pipe, self._watched, self._line = pipe, watched, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = os.read(self._pipe.fileno(), len(buffer))
        except ValueError:  # closed meanwhile
            return 0
        newest = data.rfind(b"\n")
        self._line = self._line + len(data) if newest < 0 else len(data) - newest - 1
        if self._line > self._watched.job.limits.output_bytes:
            self._watched.end(Ended.OUTPUT_LIMIT)
            return 0
        buffer[: len(data)] = data
        return len(data)
