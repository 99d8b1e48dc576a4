"""A worker that is killed leaves no sandbox behind; nor does what it could not clear away stay."""

import dataclasses
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from agent.sandbox import Ended, Job, Limits, engine, folders

WORKER = """
import sys, threading
from pathlib import Path
from agent.sandbox.gvisor import GVisor
from agent.sandbox.job import Job
snapshots = Path(sys.argv[4]) if sys.argv[4:] else None
engine = GVisor(*map(Path, sys.argv[1:4]), snapshots=snapshots)
shell = "sleep 3600 & setsid sleep 3600 & echo up; sleep 3600"
call = f"import subprocess; subprocess.run(['sh', '-c', {shell!r}])"
if snapshots:
    job = Job(("python", "go.py"), {"go.py": call.encode()})
else:
    job = Job(("sh", "-c", shell), {})
engine.run(job, on_output=lambda data: print("up", flush=True))
"""


@pytest.fixture
def gvisor():
    return dataclasses.replace(engine(), runs=Path(tempfile.mkdtemp(prefix="runs-")))


def _killed_worker(gvisor) -> str:
    """Kill a worker, with no chance to tidy up, while a job of it runs. Returns the run's name."""
    places = (gvisor.program, gvisor.store, gvisor.runs, gvisor.snapshots)
    arguments = [str(place) for place in places if place is not None]
    worker = subprocess.Popen([sys.executable, "-c", WORKER, *arguments], stdout=subprocess.PIPE)
    assert worker.stdout is not None
    assert worker.stdout.readline() == b"up\n"
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    worker.stdout.close()
    return next(iter(gvisor.runs.iterdir())).name


def _alive(name: str) -> list[int]:
    return [one for one in folders._processes() if name.encode() in folders._command(one)]


def _gone(name: str) -> bool:
    until = time.monotonic() + 20
    while _alive(name) and time.monotonic() < until:
        time.sleep(0.01)
    return not _alive(name)


def test_a_killed_worker_takes_its_sandbox_along_and_the_rest_is_reaped(gvisor):
    name = _killed_worker(gvisor)

    assert _gone(name)
    assert gvisor.reap() == 1
    assert list(gvisor.runs.iterdir()) == []
    assert [place for place in gvisor._hierarchies.folders if (place / name).exists()] == []


def test_a_killed_worker_takes_its_restored_sandbox_along(gvisor, tmp_path):
    warm = dataclasses.replace(gvisor, snapshots=tmp_path)
    assert warm.run(Job(("python", "go.py"), {"go.py": b""})).restored

    assert _gone(_killed_worker(warm))
    assert gvisor.reap() == 1
    assert list(gvisor.runs.iterdir()) == []


@pytest.mark.slow
def test_no_orphan_is_left_of_fifty_killed_workers(gvisor):
    for _ in range(50):
        assert _gone(_killed_worker(gvisor))
        assert gvisor.reap() == 1


def test_a_run_of_a_worker_that_lives_is_not_reaped(gvisor):
    folder = folders.new(gvisor.runs)

    assert gvisor.reap() == 0
    assert folder.exists()


def test_a_process_number_that_is_used_again_does_not_hide_an_orphan(gvisor):
    folders.owned(gvisor.runs)
    started = folders.started_at(os.getpid())
    (gvisor.runs / f"{os.getpid()}-{started + 1}-{'0' * 12}").mkdir()

    assert gvisor.reap() == 1


def test_a_process_that_did_not_die_with_its_worker_is_found_and_ended(gvisor):
    folders.owned(gvisor.runs)
    orphan = gvisor.runs / f"{2**22}-1-{'a' * 12}"
    orphan.mkdir()
    left = subprocess.Popen([sys.executable, "-c", f"import time; time.sleep(600) # {orphan}"])

    assert gvisor.reap() == 1
    assert left.wait(10) == -signal.SIGKILL


def test_where_there_are_no_control_groups_memory_is_added_up_and_limited(gvisor):
    """What happens for a worker without root; the sum is of all processes of a sandbox."""
    weak = dataclasses.replace(gvisor)
    weak.__dict__["_hierarchies"] = None
    hoard = "held = []\nwhile True: held.append(b'x' * 4_000_000)"
    job = Job(("python", "-c", hoard), {}, limits=Limits(wall_s=60, memory_mb=128))

    outcome = weak.run(job)

    assert outcome.ended is Ended.OUT_OF_MEMORY
    assert outcome.peak_memory_mb > 128
    assert weak.run(Job(("true",), {})).ended is Ended.EXITED
