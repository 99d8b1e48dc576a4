"""The servers as processes: started apart from the terminal, waited for, stopped."""

import os
import pwd
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from deploy.embedded.places import CannotStart, Place, as_user

SECONDS_TO_START = 60
SECONDS_TO_STOP = 120  # on a busy disk the last writes take their time

# Servers that this process started; held so that it can take note when one of them ends.
_spawned: list[subprocess.Popen[str]] = []


def server_environment() -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def spawn(
    command: list[str],
    folder: Path,
    log: Path,
    user: pwd.struct_passwd | None,
    *,
    typed: str = "",
) -> subprocess.Popen[str]:
    """Run a server in `folder`, apart from our terminal, so that Ctrl-C does not reach it."""
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env=server_environment(),
            **as_user(user),
        )
    assert process.stdin is not None
    process.stdin.write(typed)
    process.stdin.close()
    _spawned.append(process)
    return process


def wait_until(
    ready: Callable[[], bool],
    server: str,
    process: subprocess.Popen[str],
    place: Place,
    port: int,
) -> None:
    log = place.log(server.lower() if server == "Valkey" else "postgres")
    deadline = time.monotonic() + SECONDS_TO_START
    while not ready():
        if process.poll() is not None:
            raise CannotStart(sentence_about(log.read_text(errors="replace"), server, place, port))
        if time.monotonic() > deadline:
            raise CannotStart(f"{server} did not answer in {SECONDS_TO_START} s; see {log}.")
        time.sleep(0.01)


def sentence_about(output: str, server: str, place: Place, port: int | None) -> str:
    """Turn what a server printed before it gave up into what the reader has to do."""
    if "Address already in use" in output:
        return f"Port {port} was taken by another program just now: start again."
    if "No space left on device" in output or "Disk quota exceeded" in output:
        return f"The disk is full: {server} could not write to {place.servers}. Make room there."
    last = "\n".join(output.strip().splitlines()[-8:])
    return f"{server} did not start. Its last words:\n{last}"


def processes_in(folder: Path) -> set[int]:
    """Processes whose working folder is `folder`: the server there, with its children."""
    found = set()
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                if os.readlink(f"/proc/{entry.name}/cwd") == str(folder):
                    found.add(int(entry.name))
            except OSError:  # it ended just now, or is somebody else's
                continue
    return found


def running(folder: Path, pid_file: str) -> int | None:
    """Number of the server that works in `folder`.

    A pid file alone proves nothing: after a kill -9 its number may be any program's.
    """
    try:
        pid = int((folder / pid_file).read_text().splitlines()[0])
    except (FileNotFoundError, ValueError, IndexError):
        return None
    return pid if pid in processes_in(folder) else None


def stop_server(server: str, folder: Path, pid_file: str, how: signal.Signals) -> None:
    pid = running(folder, pid_file)
    if pid is None:
        return
    os.kill(pid, how)
    deadline = time.monotonic() + SECONDS_TO_STOP
    while processes_in(folder):
        if time.monotonic() > deadline:
            raise CannotStart(f"{server} (process {pid}) has not stopped in {SECONDS_TO_STOP} s.")
        time.sleep(0.01)
    _spawned[:] = [process for process in _spawned if process.poll() is None]
