"""Folders of single runs, named after the process that made them so that orphans are known."""

import os
import re
import resource
import secrets
import shutil
import signal
import stat
import time
from contextlib import suppress
from pathlib import Path

from agent.sandbox.cgroups import Group, Hierarchies
from agent.sandbox.job import SandboxUnavailable

# Process id, and when it started in clock ticks since boot: a number is used again, both are not.
_NAME = re.compile(r"(\d+)-(\d+)-[0-9a-f]{12}")


def new(runs: Path) -> Path:
    """An empty folder for one run, which nobody else may enter."""
    owned(runs)
    folder = runs / f"{os.getpid()}-{started_at(os.getpid())}-{secrets.token_hex(6)}"
    folder.mkdir(mode=0o700)
    return folder


def owned(runs: Path) -> None:
    """Make the folder of all runs. Raises SandboxUnavailable when it is somebody else's."""
    with suppress(FileExistsError):
        runs.mkdir(mode=0o700, parents=True)
    facts = runs.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid() or facts.st_mode & 0o077:
        raise SandboxUnavailable(
            f"{runs} must be a folder of your own that nobody else may enter: remove it"
        )


def started_at(process: int) -> int | None:
    """When a process started, in clock ticks since boot; None when there is no such process."""
    try:
        said = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name in brackets may hold anything, brackets too.
    return int(said.rpartition(")")[2].split()[19])


def reap(runs: Path, hierarchies: Hierarchies | None) -> int:
    """End and clear away every run whose worker is gone. Returns how many there were."""
    if not runs.is_dir():
        return 0
    owned(runs)
    found = 0
    for folder in runs.iterdir():
        named = _NAME.fullmatch(folder.name)
        if named is None or started_at(int(named[1])) == int(named[2]):
            continue
        _kill_all_that_name(folder)
        if hierarchies is not None:
            places = tuple(place / folder.name for place in hierarchies.folders)
            Group(hierarchies.version, places).kill()
        with suppress(FileNotFoundError):  # another worker reaps too
            shutil.rmtree(folder)
        found += 1
    return found


def _kill_all_that_name(folder: Path, patience: float = 5) -> None:
    """End the processes that were started for a run: all of them carry its folder's name."""
    mark = folder.name.encode()
    until = time.monotonic() + patience
    while alive := [process for process in _processes() if mark in _command(process)]:
        if time.monotonic() > until:
            raise OSError(f"processes {alive} of a sandbox cannot be killed")
        for process in alive:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.01)


def memory_mb(process: int) -> int:
    """Memory of a process and all below it, in MiB; shared pages count once where known."""
    parents = {one: parent for one in _processes() if (parent := _parent(one)) is not None}
    family, size = {process}, 0
    while len(family) > size:
        size = len(family)
        family |= {one for one, parent in parents.items() if parent in family}
    # gVisor keeps each program inside in two processes that share one memory; it counts once.
    counted = [one for one in family if one == process or _pages(one) != _pages(parents[one])]
    return sum(_memory_kb(one) for one in counted) // 1024


def _parent(process: int) -> int | None:
    try:
        said = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(said.rpartition(")")[2].split()[1])


def _pages(process: int) -> list[int]:
    """Size, resident, shared and so on, in pages; empty for a process that is gone."""
    try:
        return [int(word) for word in Path(f"/proc/{process}/statm").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _memory_kb(process: int) -> int:
    try:
        said = Path(f"/proc/{process}/smaps_rollup").read_text()
    except OSError:  # gone, or in a namespace that is not ours to look into
        return (_pages(process) or [0, 0])[1] * resource.getpagesize() // 1024
    return sum(int(line.split()[1]) for line in said.splitlines() if line.startswith("Pss:"))


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _command(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""
