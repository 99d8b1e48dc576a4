"""The weaker sandbox: ordinary user, same limits, and it is never chosen by mistake."""

import dataclasses
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from agent.sandbox import Ended, Job, Limits, SandboxUnavailable, engine, seccomp, selection
from agent.sandbox.bubblewrap import Bubblewrap

WEAKER = Bubblewrap(Path("/usr/bin/bwrap"), engine().store, Path(tempfile.mkdtemp(prefix="runs-")))
LITTLE = Limits(wall_s=3, memory_mb=64, processes=16, disk_mb=8, tmp_mb=4, output_bytes=10_000)
HOARD = "held = []\nwhile True: held.append(b'x' * 4_000_000)"


def run(*command: str, **more: object):
    return WEAKER.run(Job(command, {"a.txt": b"hello"}, **more))


def test_a_command_gets_its_files_and_its_artifacts_come_back():
    outcome = run("sh", "-c", "cat a.txt; echo done > out.txt; exit 3", collect=("out.txt",))

    assert (outcome.ended, outcome.exit_code, outcome.stdout) == (Ended.EXITED, 3, b"hello")
    assert outcome.artifacts == {"out.txt": b"done\n"}
    assert outcome.tier == "bwrap-dev"


@pytest.mark.parametrize(
    ("command", "ended"),
    [
        (("sleep", "60"), Ended.TIMED_OUT),
        (("yes",), Ended.OUTPUT_LIMIT),
        (("python", "-c", HOARD), Ended.OUT_OF_MEMORY),
    ],
)
def test_a_job_that_goes_too_far_is_ended_and_the_reason_is_told(command, ended):
    patient = dataclasses.replace(LITTLE, wall_s=LITTLE.wall_s if ended is Ended.TIMED_OUT else 60)

    assert run(*command, limits=patient).ended is ended


def test_no_process_of_it_is_roots_on_this_machine():
    with WEAKER.open(Job(("sh", "-c", "echo ready; sleep 60 # unmistakable"), {})) as session:
        session.stdout.readline()
        users = {
            Path(f"/proc/{name}").stat().st_uid
            for name in os.listdir("/proc")
            if name.isdigit() and b"unmistakable" in _command(name)
        }

    assert users
    assert 0 not in users


def _command(process: str) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


def test_the_filter_is_for_known_machines_only():
    assert len(seccomp.program("x86_64")) % 8 == 0
    assert seccomp.program("aarch64") != seccomp.program("x86_64")
    with pytest.raises(SandboxUnavailable, match="riscv64"):
        seccomp.program("riscv64")


def _chosen(monkeypatch, settings, *there: str):
    monkeypatch.setattr(
        selection.shutil, "which", lambda name, path: f"/usr/bin/{name}" if name in there else None
    )
    return selection._strongest().tier


def test_the_strongest_sandbox_is_chosen(monkeypatch, settings):
    settings.SANDBOX_WEAKER = True

    assert _chosen(monkeypatch, settings, "runsc", "bwrap") == "gvisor"
    assert _chosen(monkeypatch, settings, "bwrap") == "bwrap-dev"


@pytest.mark.parametrize(
    ("weaker", "demo", "there"),
    [(True, True, ()), (False, True, ("bwrap",)), (True, False, ("bwrap",))],
)
def test_nothing_runs_where_no_sandbox_is_strong_enough(monkeypatch, settings, weaker, demo, there):
    settings.SANDBOX_WEAKER, settings.DEMO, settings.DEBUG = weaker, demo, False

    with pytest.raises(SandboxUnavailable, match="gVisor is not installed"):
        _chosen(monkeypatch, settings, *there)


def test_production_does_not_start_with_the_weaker_sandbox():
    ran = subprocess.run(
        [sys.executable, "-c", "import portal.settings"],
        env={**os.environ, "SANDBOX_WEAKER": "1", "DEMO": "0", "DEBUG": "0"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert "SANDBOX_WEAKER=1 is for development" in ran.stderr
