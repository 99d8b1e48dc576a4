"""The first process of a sandbox that is kept as a snapshot: imports pytest, waits, runs a job.

Runs in the sandbox in place of start.sh, so it imports nothing of ours. It is saved while it waits;
every sandbox that is restored from it finds a job at GO. Descriptor 0 is ours, as 3 is in start.sh:
the job does not get it, and what it carries is untrusted all the same.
"""

# ruff: noqa: E402  # what is loaded before anything is imported is counted first
import sys

_AT_START = {name.partition(".")[0] for name in sys.modules}

import importlib
import json
import os
import runpy
import signal
import tarfile
import time
from contextlib import suppress
from typing import Any

OURS = "/countersign"
GO = f"{OURS}/go.json"


def wait() -> dict[str, Any]:
    """Import what jobs need, say so, and wait for one: it comes with the restored sandbox."""
    config = importlib.import_module("_pytest.config")
    for plugin in config.default_plugins:
        importlib.import_module(f"_pytest.{plugin}")
    importlib.import_module("pytest")
    loaded = {name.partition(".")[0] for name in sys.modules} - _AT_START
    os.write(0, f"warm {json.dumps(sorted(loaded))}\n".encode())
    while not os.path.exists(GO):
        time.sleep(0.002)
    with open(GO, encoding="utf-8") as file:
        job: dict[str, Any] = json.load(file)
    return job


def unpack() -> None:
    """The workspace, as start.sh unpacks it."""
    os.chdir("/workspace")
    os.umask(0o022)
    if os.path.getsize(f"{OURS}/workspace.tar"):
        with tarfile.open(f"{OURS}/workspace.tar") as tar:
            tar.extractall(filter="fully_trusted")  # noqa: S202  # we packed it


def become(job: dict[str, Any]) -> None:
    """Run the job's program in this process, as if Python had just been started with it."""
    nothing = os.open("/dev/null", os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.environ.update(job["variables"])
    sys.path_importer_cache.clear()
    importlib.invalidate_caches()
    _, first, *more = job["command"]
    if first == "-m":
        sys.argv, sys.path[0] = more, os.getcwd()
        runpy.run_module(more[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv, sys.path[0] = [first, *more], os.path.dirname(os.path.abspath(first))
        runpy.run_path(first, run_name="__main__")


def finish(child: int, job: dict[str, Any]) -> None:
    """As start.sh does once the command has ended."""
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
    os.write(0, f"exit {code if code >= 0 else 128 - code}\n".encode())
    if os.path.getsize(f"{OURS}/patterns"):
        os.dup2(0, 1)
        python = "/environment/bin/python"
        collector = ["-I", "-S", "-B", f"{OURS}/collecting.py", "/workspace", f"{OURS}/patterns"]
        os.execv(python, [python, *collector, *job["most"]])  # noqa: S606  # no shell wanted
    os._exit(0)


if __name__ == "__main__":
    given = wait()
    unpack()
    os.write(0, b"ready\n")
    # Python seeds its random numbers anew in a child, or all would draw what the snapshot has.
    if started := os.fork():
        finish(started, given)
    become(given)
