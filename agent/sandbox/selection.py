"""Chooses the strongest sandbox that there is here, and refuses when that is not strong enough."""

import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

from django.conf import settings

from agent.sandbox.gvisor import GVisor
from agent.sandbox.job import Engine, SandboxUnavailable


@cache
def engine() -> Engine:
    """The strongest sandbox of this machine.

    Raises SandboxUnavailable when there is none that the settings allow: nothing runs unprotected.
    """
    program = shutil.which("runsc", path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin")
    if program is None:
        raise SandboxUnavailable(
            "gVisor is not installed: run the installation again (make setup), or put `runsc` of"
            " 2024 or later into /usr/local/bin"
        )
    return GVisor(Path(program), settings.DATA_DIR / "environments", runs_folder())


def runs_folder() -> Path:
    """Where single runs keep what they need, by user; short, since sockets lie below it."""
    return Path(tempfile.gettempdir()) / f"countersign-{os.geteuid()}"
