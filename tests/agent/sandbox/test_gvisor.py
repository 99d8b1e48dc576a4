"""What a job meets in gVisor: its files, its limits, its end. Fails where gVisor is missing."""

import dataclasses
import tempfile
import threading
import time
from pathlib import Path

import pytest

from agent.sandbox import BadJob, Ended, Job, Limits, engine

# Apart from what others run on this machine, so that "nothing is left" can be said.
GVISOR = dataclasses.replace(engine(), runs=Path(tempfile.mkdtemp(prefix="runs-")))
HOARD = "held = []\nwhile True: held.append(b'x' * 4_000_000)"
LITTLE = Limits(wall_s=3, memory_mb=128, processes=16, disk_mb=8, tmp_mb=4, output_bytes=10_000)


def run(*command: str, **more: object):
    files = more.pop("files", {})
    return GVISOR.run(Job(command, files, **more))


def test_a_command_gets_its_files_and_its_artifacts_come_back():
    outcome = run(
        "python",
        "-c",
        "import pathlib, os\n"
        "print(pathlib.Path('src/a.txt').read_text(), open('/job/task.json').read())\n"
        "pathlib.Path('out').mkdir(); pathlib.Path('out/report.xml').write_text('<ok/>')\n"
        "pathlib.Path('src/a.txt').write_text('changed')\n"
        "os.symlink('/etc/passwd', 'out/link.xml'); os.mkfifo('out/pipe.xml')\n"
        "os.link('src/a.txt', 'out/hard.xml')\n"
        "raise SystemExit(3)",
        files={"src/a.txt": b"hello"},
        inputs={"task.json": b"{}"},
        collect=("out/*.xml",),
    )

    assert (outcome.ended, outcome.exit_code) == (Ended.EXITED, 3)
    assert outcome.stdout == b"hello {}\n"
    assert outcome.artifacts == {"out/report.xml": b"<ok/>"}
    assert sorted(said.split(":")[0] for said in outcome.rejected) == [
        "out/hard.xml",
        "out/link.xml",
        "out/pipe.xml",
    ]
    assert outcome.tier == "gvisor"
    assert len(outcome.environment_digest) == 64


def test_a_job_finds_the_products_python_with_pytest_and_nothing_else_of_it():
    outcome = run(
        "python",
        "-c",
        "import sys, pytest\nprint(*sys.version_info[:2])\n"
        "try:\n import django\nexcept ImportError: print('no django')",
    )

    assert outcome.stdout == b"3 13\nno django\n", outcome.stderr


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
    outcome = run(*command, limits=patient)

    assert (outcome.ended, outcome.exit_code) == (ended, None)
    assert len(outcome.stdout) <= LITTLE.output_bytes
    assert outcome.artifacts == {}


def test_a_job_is_cancelled_while_it_runs():
    asked = threading.Event()
    outcome = GVISOR.run(
        Job(("sh", "-c", "echo started; sleep 60"), {}),
        on_output=lambda data: asked.set() if b"started" in data else None,
        cancelled=asked.is_set,
    )

    assert (outcome.ended, outcome.stdout) == (Ended.CANCELLED, b"started\n")


def test_what_a_command_leaves_running_does_not_hold_the_sandbox():
    outcome = run("sh", "-c", "sleep 3600 & setsid sleep 3600 & exit 4", limits=Limits(wall_s=20))

    assert (outcome.ended, outcome.exit_code) == (Ended.EXITED, 4)


def test_a_session_answers_line_by_line_and_is_gone_when_closed():
    # It does not end by itself when nothing more can come in.
    with GVISOR.open(Job(("sh", "-c", "cat; sleep 60"), {})) as session:
        for line in (b"one\n", b"two\n"):
            session.stdin.write(line)
            session.stdin.flush()
            assert session.stdout.readline() == line
        outcome = session.close()

    assert outcome.ended is Ended.CANCELLED
    assert session.close() is outcome
    assert list(GVISOR.runs.iterdir()) == []


def test_a_session_that_ends_by_itself_tells_its_exit_code():
    with GVISOR.open(Job(("sh", "-c", "read line; echo got $line >&2; exit 5"), {})) as session:
        session.stdin.write(b"word\n")
        session.stdin.flush()
        assert session.stdout.readline() == b""
        outcome = session.close()

    assert (outcome.ended, outcome.exit_code, outcome.stderr) == (Ended.EXITED, 5, b"got word\n")


def test_a_session_is_ended_by_its_wall_time():
    job = Job(("sleep", "60"), {}, limits=Limits(wall_s=1))
    with GVISOR.open(job) as session:
        assert session.stdout.readline() == b""
        assert session.close().ended is Ended.TIMED_OUT


def test_a_session_outlives_the_thread_that_opened_it():
    opened = []
    thread = threading.Thread(target=lambda: opened.append(GVISOR.open(Job(("cat",), {}))))
    thread.start()
    thread.join()
    time.sleep(0.2)
    with opened[0] as session:
        session.stdin.write(b"still here\n")
        session.stdin.flush()

        assert session.stdout.readline() == b"still here\n"


def test_the_worker_shows_nothing_of_its_environment(monkeypatch):
    monkeypatch.setenv("COUNTERSIGN_SECRET", "do-not-tell")

    outcome = run("sh", "-c", "env; cat /proc/*/environ", variables={"MINE": "yes"})

    assert b"do-not-tell" not in outcome.stdout
    assert b"MINE=yes" in outcome.stdout
    assert b"DATABASE_URL" not in outcome.stdout


@pytest.mark.parametrize("name", ["../up", "/etc/passwd", "a/../../b", "", "a//b", "./a", "a\0b"])
def test_files_stay_in_their_folder(name):
    with pytest.raises(BadJob):
        Job(("true",), {name: b""})
    with pytest.raises(BadJob):
        Job(("true",), {}, inputs={name: b""})


def test_nothing_is_left_of_a_run():
    run("true")

    assert list(Path(GVISOR.runs).iterdir()) == []
