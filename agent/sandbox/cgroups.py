"""Counts and bounds the memory and processes of a sandbox by control groups, version 1 or 2."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

FOLDER = "countersign"
_MIB = 1024**2
# Host processes and threads of one sandbox. Only a backstop: gVisor needs one for each process
# inside and several for itself, and dies when it cannot have them.
BACKSTOP = 4_096


@dataclass(frozen=True)
class Hierarchies:
    """Folders under which groups can be made here: one for version 2, two for version 1."""

    version: int
    folders: tuple[Path, ...]


@dataclass(frozen=True)
class Group:
    """The control groups of one sandbox."""

    version: int
    folders: tuple[Path, ...]

    def processes(self) -> Iterator[int]:
        """Ids of the processes that are in any of them."""
        found: set[int] = set()
        for folder in self.folders:
            with suppress(FileNotFoundError):
                found |= {int(line) for line in (folder / "cgroup.procs").read_text().split()}
        yield from found

    def killed_by_memory(self) -> bool:
        """Whether the kernel ended a process in it for want of memory."""
        name = "memory.oom_control" if self.version == 1 else "memory.events"
        for folder in self.folders:
            with suppress(FileNotFoundError):
                for line in (folder / name).read_text().splitlines():
                    word, _, count = line.partition(" ")
                    if word == "oom_kill" and int(count):
                        return True
        return False

    def peak_mb(self) -> int | None:
        """The most memory it had at once, in MiB."""
        name = "memory.max_usage_in_bytes" if self.version == 1 else "memory.peak"
        for folder in self.folders:
            with suppress(FileNotFoundError):
                return -(-int((folder / name).read_text()) // _MIB)
        return None

    def kill(self, patience: float = 5) -> None:
        """End every process in it and take it away.

        patience: seconds until OSError is raised because something will not die.
        """
        until = time.monotonic() + patience
        while True:
            alive = list(self.processes())
            for process in alive:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            if not alive and self._removed():
                return
            if time.monotonic() > until:
                raise OSError(f"processes {alive} of a sandbox cannot be killed")
            time.sleep(0.002)

    def _removed(self) -> bool:
        for folder in self.folders:
            try:
                folder.rmdir()
            except FileNotFoundError:
                continue
            except OSError:  # a process is still on its way out
                return False
        return True


def hierarchies() -> Hierarchies | None:
    """Where this process may make groups that bound memory; None where it may not."""
    mounts = _mounts(Path("/proc/self/mountinfo").read_text())
    own = _own(Path("/proc/self/cgroup").read_text())
    if "memory" in mounts and "pids" in mounts:
        folders = tuple(
            mounts[name] / own[name].lstrip("/") / FOLDER for name in ("memory", "pids")
        )
        return Hierarchies(1, folders) if _made(folders) else None
    if "" not in mounts:
        return None
    # A group with processes in it cannot have groups below it, so ours stand beside our own.
    here = mounts[""] / own.get("", "/").lstrip("/")
    for parent in (here.parent if here != mounts[""] else here, here):
        with suppress(OSError):
            (parent / "cgroup.subtree_control").write_text("+memory +pids")
            folder = parent / FOLDER
            folder.mkdir(exist_ok=True)
            (folder / "cgroup.subtree_control").write_text("+memory +pids")
            return Hierarchies(2, (folder,))
    return None


def _made(folders: tuple[Path, ...]) -> bool:
    try:
        for folder in folders:
            folder.mkdir(exist_ok=True)
            if not os.access(folder, os.W_OK):
                return False
    except OSError:
        return False
    return True


def _mounts(mountinfo: str) -> dict[str, Path]:
    """Mount point by controller; version 2 under the empty name."""
    found: dict[str, Path] = {}
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind == "cgroup2":
            found.setdefault("", Path(before.split()[4]))
        elif kind == "cgroup":
            for name in options.split(","):
                found[name] = Path(before.split()[4])
    return found


def _own(cgroup: str) -> dict[str, str]:
    """Path of this process's group by controller; version 2 under the empty name."""
    found: dict[str, str] = {}
    for line in cgroup.splitlines():
        _, names, path = line.split(":", 2)
        for name in names.split(","):
            found[name] = path
    return found


def for_run(
    under: Hierarchies | None, name: str, *, memory_mb: int, processes: int = BACKSTOP
) -> Group | None:
    """The groups of one run, or None where no groups can be made."""
    return make(under, name, memory_mb=memory_mb, processes=processes) if under else None


def make(under: Hierarchies, name: str, *, memory_mb: int, processes: int = BACKSTOP) -> Group:
    """Make the groups of one sandbox. Raises OSError, and leaves none behind then."""
    group = Group(under.version, tuple(folder / name for folder in under.folders))
    try:
        for folder in group.folders:
            folder.mkdir(parents=True)
            for file, value in _bounds(under.version, memory_mb, processes).items():
                if (folder / file).exists():
                    (folder / file).write_text(value)
    except OSError:
        with suppress(OSError):
            group.kill()
        raise
    return group


def _bounds(version: int, memory_mb: int, processes: int) -> dict[str, str]:
    memory = str(memory_mb * _MIB)
    if version == 1:
        return {
            "memory.limit_in_bytes": memory,
            "memory.memsw.limit_in_bytes": memory,
            "pids.max": str(processes),
        }
    return {
        "memory.max": memory,
        "memory.swap.max": "0",
        "memory.oom.group": "1",
        "pids.max": str(processes),
    }
