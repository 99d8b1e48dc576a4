"""Jobs that start from a snapshot: the same results, the same limits, or else a cold start."""

import dataclasses
import tempfile
from pathlib import Path

import pytest
from structlog.testing import CapturingLogger

from agent.sandbox import Ended, Job, Limits, engine, gvisor, supervision

HOARD = b"held = []\nwhile True: held.append(b'x' * 4_000_000)"
LITTLE = Limits(wall_s=3, memory_mb=128, processes=16, disk_mb=8, tmp_mb=4, output_bytes=10_000)
TEST = b"""import os, random, sys

import given  # from /job, as the plugin that reports on tests


def test_what_it_sees():
    assert os.environ["GIVEN"] == "yes"
    assert open("/job/task.json").read() == "{}"
    assert sys.path[0] == "/workspace"
    with open("drawn", "w") as file:
        file.write(f"{random.random()} {os.urandom(8).hex()}")
    assert False, "on purpose"
"""


@pytest.fixture(scope="module")
def warm():
    """Snapshots of this module alone: what the first test makes the others start from."""
    runs = Path(tempfile.mkdtemp(prefix="runs-"))
    with tempfile.TemporaryDirectory() as folder:
        yield dataclasses.replace(engine(), runs=runs, snapshots=Path(folder))


def _pytest(**more):
    command = ("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=line")
    return Job(
        command,
        {"test_a.py": TEST},
        inputs={"task.json": b"{}", "given.py": b""},
        variables={"GIVEN": "yes", "PYTHONHASHSEED": "0", "PYTHONPATH": "/job"},
        collect=("drawn",),
        **more,
    )


def _left(sandbox):
    """Processes that have to do with its runs."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            said = place.read_bytes()
        except OSError:
            continue
        if str(sandbox.runs).encode() in said:
            found.append(said)
    return found


def test_a_restored_job_gives_what_a_cold_one_gives_and_draws_anew(warm):
    cold = dataclasses.replace(warm, snapshots=None).run(_pytest())
    one, two = warm.run(_pytest()), warm.run(_pytest())

    assert [outcome.restored for outcome in (cold, one, two)] == [False, True, True]
    assert len(list(warm.snapshots.iterdir())) == 1
    for outcome in (one, two):
        assert (outcome.ended, outcome.exit_code) == (Ended.EXITED, 1), outcome.stderr
        assert b"on purpose" in outcome.stdout
        assert b"1 failed" in outcome.stdout
        assert (outcome.stderr, outcome.rejected) == (cold.stderr, cold.rejected)
        assert outcome.environment_digest == cold.environment_digest
    drawn = [part for seen in (one, two) for part in seen.artifacts["drawn"].split()]
    assert len(set(drawn)) == 4
    assert list(warm.runs.iterdir()) == []


@pytest.mark.parametrize(
    ("program", "ended"),
    [
        (b"import time; time.sleep(60)", Ended.TIMED_OUT),
        pytest.param(b"while True: print('x' * 1000)", Ended.OUTPUT_LIMIT, marks=pytest.mark.slow),
        pytest.param(HOARD, Ended.OUT_OF_MEMORY, marks=pytest.mark.slow),
        (b"raise SystemExit(3)", Ended.EXITED),
        # What it is given to read is nothing, and no way to write our report.
        (
            b"import os\nnull = os.path.samestat(os.fstat(0), os.stat('/dev/null'))\n"
            b"raise SystemExit(3 if null else 4)",
            Ended.EXITED,
        ),
        (b"import os; os.kill(os.getpid(), 9)", Ended.EXITED),
    ],
)
def test_limits_and_ends_are_those_of_a_cold_start(warm, program, ended):
    patient = dataclasses.replace(LITTLE, wall_s=LITTLE.wall_s if ended is Ended.TIMED_OUT else 60)
    job = Job(("python", "go.py"), {"go.py": program}, limits=patient)

    outcome = warm.run(job)

    assert outcome.restored
    assert outcome.ended == ended, outcome.stderr
    if ended is Ended.EXITED:
        assert outcome.exit_code == (3 if b"SystemExit" in program else 137)
    assert len(outcome.stdout) <= LITTLE.output_bytes
    assert _left(warm) == []
    assert list(warm.runs.iterdir()) == []


def test_a_restored_job_is_cancelled_while_it_runs(warm):
    heard = []
    job = Job(
        ("python", "go.py"), {"go.py": b"import time; print('up', flush=True); time.sleep(60)"}
    )

    outcome = warm.run(job, on_output=heard.append, cancelled=lambda: bool(heard))

    assert (outcome.restored, outcome.ended) == (True, Ended.CANCELLED)
    assert _left(warm) == []


@pytest.mark.parametrize(
    "job",
    [
        Job(("sh", "-c", "echo done"), {}),
        Job(("python", "-I", "-c", "print('done')"), {}),
        Job(("python", "-c", "print('done')"), {}),
        # pytest has imported one of that name, which is not the job's.
        Job(("python", "go.py"), {"go.py": b"print('done')", "src/pluggy/__init__.py": b""}),
    ],
    ids=["no Python", "without the environment", "a text", "modules of its own"],
)
def test_what_would_not_be_the_same_starts_cold(warm, job):
    outcome = warm.run(job)

    assert (outcome.stdout, outcome.restored) == (b"done\n", False)


@pytest.mark.parametrize(
    "broken", ["checkpoint.img", pytest.param("pages.img", marks=pytest.mark.slow)]
)
def test_a_snapshot_that_cannot_be_used_leads_to_a_cold_start_and_is_told(
    warm, tmp_path, monkeypatch, broken
):
    monkeypatch.setattr(gvisor, "_given_up", set())
    mine = dataclasses.replace(warm, snapshots=tmp_path)
    job = Job(("python", "go.py"), {"go.py": b"print('done')"})
    assert mine.run(job).restored
    [image] = tmp_path.iterdir()
    (image / broken).write_bytes(b"nonsense")

    # Not structlog's capture_logs: a logger that was used before keeps the processors of then.
    cold, runs = CapturingLogger(), CapturingLogger()
    monkeypatch.setattr(gvisor, "log", cold)
    monkeypatch.setattr(supervision, "log", runs)

    outcomes = [mine.run(job), mine.run(job)]

    assert [(one.stdout, one.restored) for one in outcomes] == [(b"done\n", False)] * 2
    [said] = cold.calls
    assert said.args == ("sandbox.cold",)
    assert "not restored" in said.kwargs["reason"]
    assert (runs.calls[-1].args, runs.calls[-1].kwargs["restored"]) == (("sandbox.run",), False)


def test_a_snapshot_that_cannot_be_made_leads_to_a_cold_start(warm, tmp_path, monkeypatch):
    monkeypatch.setattr(gvisor, "_given_up", set())
    (tmp_path / "no folder").write_bytes(b"")
    mine = dataclasses.replace(warm, snapshots=tmp_path / "no folder" / "x")

    outcome = mine.run(Job(("python", "go.py"), {"go.py": b"print('done')"}))

    assert (outcome.stdout, outcome.restored) == (b"done\n", False)
    assert _left(mine) == []
