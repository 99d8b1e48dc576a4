"""What goes into a sandbox, what comes out, and what an engine promises."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path, PurePosixPath
from types import MappingProxyType, TracebackType
from typing import IO, Protocol, Self

from agent.sandbox.reuse import Held

# Where things are inside, the same in every tier.
WORKSPACE = "/workspace"
INPUTS = "/job"
ENVIRONMENT = "/environment"
PYTHON = "/opt/python"
OURS = "/countersign"
NOBODY = 65534  # uid and gid inside
SEARCH_PATH = f"{ENVIRONMENT}/bin:/usr/local/bin:/usr/bin:/bin"

PATH_BYTES = 1_024
FILES = 20_000


class SandboxUnavailable(Exception):
    """No sandbox can be had here, or not of the strength asked for; the message says what to do."""


class BadJob(ValueError):
    """The job contradicts itself or reaches outside of its folders."""


class Ended(StrEnum):
    """Why a sandbox ended. Only EXITED has an exit code that the command chose."""

    EXITED = "exited"
    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"
    OUTPUT_LIMIT = "output_limit"
    CANCELLED = "cancelled"
    FAILED_TO_START = "failed_to_start"


@dataclass(frozen=True)
class Limits:
    """What a job may use. Times in seconds, sizes in bytes or, with _mb, in MiB.

    Files that the job writes lie in memory and count towards memory_mb, and each file system has
    a size of its own besides.
    """

    wall_s: float = 60  # from the moment the command starts
    memory_mb: int = 1024
    processes: int = 128
    disk_mb: int = 256  # /workspace
    tmp_mb: int = 64  # /tmp; /dev/shm has as much
    output_bytes: int = 4_000_000  # stdout and stderr together; of a session, one line
    file_bytes: int = 256 * 1024**2  # the largest file that may be written
    artifact_bytes: int = 32 * 1024**2  # all artifacts together
    artifacts: int = 1_000


@dataclass(frozen=True)
class Environment:
    """An interpreter with packages, prepared on this machine and bound read-only.

    path: a virtual environment that expects to lie at ENVIRONMENT.
    python: prefix of its interpreter on this machine, bound at PYTHON unless it lies below /usr.
    held: keeps it from being deleted.
    """

    digest: str  # sha256, hex, of interpreter and packages
    path: Path
    python: Path
    held: Held | None = field(default=None, compare=False, repr=False)


_NOTHING: Mapping[str, bytes] = MappingProxyType({})
_NO_VARIABLES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Job:
    """A command with everything that it may see.

    command: run in /workspace; the first item is absolute or found on SEARCH_PATH.
    files: arrive in /workspace, which is writable and lost afterwards.
    inputs: arrive read-only in /job.
    environment: None for the product's own Python with pytest.
    collect: patterns below /workspace, as pathlib's glob reads them, of files to bring back.
    variables: environment variables; nothing else is inherited.
    """

    command: tuple[str, ...]
    files: Mapping[str, bytes]
    inputs: Mapping[str, bytes] = field(default_factory=lambda: _NOTHING)
    environment: Environment | None = None
    collect: tuple[str, ...] = ()
    limits: Limits = Limits()
    variables: Mapping[str, str] = field(default_factory=lambda: _NO_VARIABLES)

    def __post_init__(self) -> None:
        if not self.command or any("\0" in part for part in self.command):
            raise BadJob("a job needs a command, without NUL characters")
        for name in (*self.files, *self.inputs):
            _check_path(name)
        if len(self.files) + len(self.inputs) > FILES:
            raise BadJob(f"a job has at most {FILES} files")
        for pattern in self.collect:
            parts = PurePosixPath(pattern).parts
            if not pattern or "\0" in pattern or pattern.startswith("/") or ".." in parts:
                raise BadJob(f"not a pattern below {WORKSPACE}: {pattern!r}")
        for name, value in self.variables.items():
            if not name or "=" in name or "\0" in name + value:
                raise BadJob(f"not an environment variable: {name!r}")


def _check_path(name: str) -> None:
    parts = name.split("/")
    if (
        not name
        or "\0" in name
        or any(part in {"", ".", ".."} for part in parts)
        or len(name.encode(errors="surrogateescape")) > PATH_BYTES
    ):
        raise BadJob(f"not a path below the job's folder: {name!r}")


@dataclass(frozen=True)
class Outcome:
    """What is known after a job. Everything that came from inside is untrusted.

    exit_code: 128 + n when signal n ended the command; None when it did not end by itself.
    artifacts: content by path below /workspace.
    rejected: what matched `collect` and was left behind, each with the reason.
    wall_ms: from the moment the command started; start_ms: until then.
    peak_memory_mb: of the whole sandbox, its own 40 MiB included; None where nothing counts it.
    """

    ended: Ended
    exit_code: int | None
    stdout: bytes
    stderr: bytes
    artifacts: Mapping[str, bytes]
    tier: str
    environment_digest: str
    wall_ms: int
    peak_memory_mb: int | None
    rejected: tuple[str, ...] = ()
    start_ms: int = 0
    restored: bool = False  # from a snapshot with pytest imported, instead of a cold start


class Session(Protocol):
    """A command that is talked to while it runs. Leaving the `with` block kills it."""

    stdin: IO[bytes]
    stdout: IO[bytes]

    def close(self) -> Outcome:
        """Kill whatever still runs and say how it went. Safe to call twice."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Engine(Protocol):
    """One way of keeping a job apart from this machine."""

    @property
    def tier(self) -> str:
        """How strong it is; written into every outcome."""

    def run(
        self,
        job: Job,
        *,
        on_output: Callable[[bytes], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Outcome:
        """Run the job to its end.

        on_output: gets what the command writes as it comes, stdout and stderr mixed, uncleaned.
        cancelled: asked about twenty times a second; the job is killed once it says yes.
        Raises SandboxUnavailable when nothing could be started.
        """

    def open(self, job: Job, *, cancelled: Callable[[], bool] | None = None) -> Session:
        """Start the job and talk to it. Raises SandboxUnavailable like `run`.

        cancelled: asked as in `run`, from another thread; its output ends once it says yes.
        """

    def reap(self) -> int:
        """End what the runs of dead workers left behind. Returns how many there were."""
