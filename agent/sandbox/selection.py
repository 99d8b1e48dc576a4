"""Chooses the strongest sandbox that there is here, and refuses when that is not strong enough."""

import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

from django.conf import settings

from agent.sandbox import canary
from agent.sandbox.bubblewrap import Bubblewrap
from agent.sandbox.gvisor import GVisor
from agent.sandbox.job import Engine, SandboxUnavailable

_PROGRAMS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"


@cache
def engine() -> Engine:
    """The strongest sandbox of this machine, tried out once by each process that asks for it.

    What the runs of dead workers left behind is cleared away on the way.
    Raises SandboxUnavailable when there is none that the settings allow, or when the one there is
    does not hold: nothing runs unprotected.
    """
    chosen = _strongest()
    chosen.reap()
    canary.require_walls(chosen)
    return chosen


def _strongest() -> Engine:
    store, runs = settings.DATA_DIR / "environments", runs_folder()
    if program := shutil.which("runsc", path=_PROGRAMS):
        warm = settings.DATA_DIR / "snapshots" if settings.SANDBOX_WARM else None
        return GVisor(Path(program), store, runs, snapshots=warm)
    missing = (
        "gVisor is not installed: run the installation again (make setup), or put `runsc` of 2024"
        " or later into /usr/local/bin"
    )
    if not settings.SANDBOX_WEAKER:
        raise SandboxUnavailable(missing)
    if not (settings.DEMO or settings.DEBUG):
        raise SandboxUnavailable(f"{missing}. The weaker sandbox is for development only")
    if program := shutil.which("bwrap", path=_PROGRAMS):
        return Bubblewrap(Path(program), store, runs)
    raise SandboxUnavailable(f"{missing}. There is no bubblewrap either")


def runs_folder() -> Path:
    """Where single runs keep what they need, by user; short, since sockets lie below it."""
    return Path(tempfile.gettempdir()) / f"countersign-{os.geteuid()}"
