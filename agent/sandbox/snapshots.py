"""Snapshots of sandboxes with pytest imported: which job may start from which, where they are."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.sandbox import bundle, warm
from agent.sandbox.job import ENVIRONMENT, OURS, Environment, Job

COMMAND = [f"{ENVIRONMENT}/bin/python", f"{OURS}/warm.py"]
_PROGRAM = Path(warm.__file__).read_bytes()
# What changes when programs of the machine do: they are part of a snapshot.
_MACHINE = ("/usr/bin", "/usr/lib", "/var/lib/dpkg/status", "/proc/sys/kernel/random/boot_id")
_LINE = 1_000_000


def may_start_from_one(job: Job) -> bool:
    """Whether a job is a plain call of Python with a module or a file."""
    program, *more = job.command
    if program != "python" or not more:
        return False
    return more[0] == "-m" and len(more) > 1 if more[0].startswith("-") else True


def key(job: Job, environment: Environment, runtime: Sequence[str]) -> str:
    """What a snapshot has in it that a job cannot change afterwards.

    runtime: its version and flags.
    """
    facts = [
        hashlib.sha256(_PROGRAM).hexdigest(),
        environment.digest,
        list(runtime),
        job.limits.disk_mb,
        job.limits.tmp_mb,
        bundle.resource_limits(job),
        _of_python(job.variables),
        list(_machine()),
    ]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def waiting(job: Job) -> Job:
    """What is started to be saved: the job's limits and nothing of its files."""
    return Job(("python", "warm.py"), {}, limits=job.limits, variables=_of_python(job.variables))


def told(job: Job) -> bytes:
    """What the restored process reads."""
    limits = job.limits
    most = [str(limits.artifacts), str(limits.artifact_bytes)]
    said = {"command": job.command, "variables": dict(job.variables), "most": most}
    return json.dumps(said).encode()


def shadowed(job: Job, modules: frozenset[str]) -> list[str]:
    """Names that the job brings and the snapshot has imported already, from elsewhere."""
    parts = {part for path in (*job.files, *job.inputs) for part in path.split("/")}
    return sorted(modules & {part.removesuffix(".py") for part in parts})


def loaded(line: bytes) -> frozenset[str]:
    """The modules that a snapshot says it has. Raises ValueError when it says something else."""
    word, _, said = line.partition(b" ")
    names: Any = json.loads(said) if word == b"warm" and len(line) < _LINE else None
    if not isinstance(names, list):
        raise ValueError(f"not what a snapshot says: {line[:80]!r}")
    return frozenset(map(str, names))


def _of_python(variables: Mapping[str, str]) -> dict[str, str]:
    """Variables that Python reads as it starts, and never again."""
    return {name: value for name, value in variables.items() if name.startswith("PYTHON")}


def _machine() -> Iterator[int | str]:
    for name in _MACHINE:
        place = Path(name)
        if name.endswith("boot_id"):
            yield place.read_text()
        elif place.exists():
            yield place.stat().st_mtime_ns
