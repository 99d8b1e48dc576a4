"""No job runs before the canary has tried the wall; a wall with a hole in it is not used."""

import dataclasses
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from agent.sandbox import Ended, Outcome, SandboxUnavailable, canary, engine, selection
from agent.sandbox.bubblewrap import Bubblewrap


class NoWall:
    """Stands in for a sandbox that keeps nothing in: it runs the canary right here."""

    tier = "gvisor"

    def run(self, job, **_):
        with tempfile.TemporaryDirectory() as folder:
            for name, content in job.inputs.items():
                (Path(folder) / name).write_bytes(content)
            script = (Path(folder) / "canary.py").read_text().replace("/job/", f"{folder}/")
            ran = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
        return Outcome(Ended.EXITED, ran.returncode, ran.stdout, ran.stderr, {}, "", "", 0, None)


def test_a_wall_that_holds_is_accepted():
    canary.require_walls(engine())
    canary.require_walls(
        Bubblewrap(Path("/usr/bin/bwrap"), engine().store, Path(tempfile.mkdtemp(prefix="runs-")))
    )


def test_a_wall_with_holes_is_refused_and_each_hole_is_named():
    with pytest.raises(SandboxUnavailable) as refused:
        canary.require_walls(NoWall())

    said = str(refused.value)
    for hole in ("a file of this machine", "a port of this machine", "the worker's environment"):
        assert hole in said
    for hole in ("a process of this machine", "this machine's kernel", "a network interface"):
        assert hole in said


def test_a_sandbox_that_does_not_start_is_refused():
    broken = dataclasses.replace(engine(), program=Path("/bin/false"))

    with pytest.raises(SandboxUnavailable, match="the sandbox gvisor does not run here"):
        canary.require_walls(broken)


def test_the_canary_sings_before_the_first_job(monkeypatch):
    def silent(_: object) -> None:
        raise SandboxUnavailable("a hole")

    monkeypatch.setattr(selection.canary, "require_walls", silent)
    selection.engine.cache_clear()
    try:
        with pytest.raises(SandboxUnavailable, match="a hole"):
            engine()
    finally:
        selection.engine.cache_clear()
