"""Measures the sandboxes beside running the same thing without one: python -m tests.bench.sandbox.

Prints milliseconds and ratios. Trust the ratios: machines are noisy, and both sides were taken
by turns on the same one.
"""

import argparse
import dataclasses
import json
import logging
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch

import structlog

from agent.sandbox import Engine, Job, Limits
from agent.sandbox import gvisor as gvisor_engine
from agent.sandbox.bubblewrap import Bubblewrap
from agent.sandbox.gvisor import GVisor

ROOT = Path(__file__).resolve().parents[2]
STORE = ROOT / "var" / "bench" / "environments"

# Three kinds of work, timed by themselves, so that starting the interpreter is not counted.
WORK = """
import json, os, subprocess, sys, time
def cpu():
    total = 0
    for number in range(3_000_000): total += number * number % 7
def files():
    for number in range(1_500):
        with open(f"f{number}", "w") as file: file.write("x" * 2_000)
    for number in range(1_500):
        with open(f"f{number}") as file: file.read()
        os.stat(f"f{number}"); os.unlink(f"f{number}")
def processes():
    for _ in range(30): subprocess.run(["/bin/true"], check=True)
taken = {}
for work in (cpu, files, processes):
    began = time.perf_counter(); work(); taken[work.__name__] = time.perf_counter() - began
print(json.dumps(taken))
"""
TEST = b"def test_one():\n    assert 1 + 1 == 2\n"


def main() -> None:
    """Run every measurement; about two minutes."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--starts", type=int, default=20)
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--warm", action="store_true", help="only snapshots beside cold starts")
    asked.add_argument(
        "--flags",
        action="store_true",
        help="only compare what flags of runsc do to the three works",
    )
    options = asked.parse_args()
    quiet = structlog.make_filtering_bound_logger(logging.WARNING)
    structlog.configure(wrapper_class=quiet)
    load = os.getloadavg()[0]
    print(
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores, load {load:.1f},"
        f" Linux {platform.release()}, Python {platform.python_version()}"
    )
    with tempfile.TemporaryDirectory(prefix="b-") as runs:
        gvisor = GVisor(Path("/usr/bin/runsc"), STORE, Path(runs) / "g")
        weaker = Bubblewrap(Path("/usr/bin/bwrap"), STORE, Path(runs) / "b")
        print(f"gVisor {gvisor.version}")
        if options.warm:
            _restored(dataclasses.replace(gvisor, snapshots=Path(runs) / "s"), options.rounds)
            return
        if options.flags:
            _flags(gvisor, options.rounds)
            return
        _starts(gvisor, weaker, options.starts)
        _work(gvisor, weaker, options.rounds)
        _pytest(gvisor, weaker, options.rounds)
        _restored(dataclasses.replace(gvisor, snapshots=Path(runs) / "s"), options.rounds)
        _ends(gvisor, weaker)
        _talk(gvisor, weaker)
        _idle(gvisor)


def _said(what: str, values: dict[str, list[float]]) -> None:
    base = statistics.median(values["native"])
    for name, taken in values.items():
        ordered = sorted(taken)
        middle, late = statistics.median(ordered), ordered[int(len(ordered) * 0.95)]
        ratio = f", {middle / base:.2f} x native" if name != "native" else ""
        print(f"{what}, {name}: p50 {middle:.0f} ms, p95 {late:.0f} ms{ratio}", flush=True)


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def _starts(gvisor: Engine, weaker: Engine, starts: int) -> None:
    job = Job(("/bin/true",), {})
    taken: dict[str, list[float]] = {"native": [], "bubblewrap": [], "gVisor": []}
    gvisor.run(job)
    weaker.run(job)
    for _ in range(starts):
        taken["native"].append(_timed(lambda: subprocess.run(["/bin/true"], check=True)))
        taken["bubblewrap"].append(_timed(lambda: weaker.run(job)))
        taken["gVisor"].append(_timed(lambda: gvisor.run(job)))
    _said("/bin/true from the call to the outcome", taken)


def _work(gvisor: Engine, weaker: Engine, rounds: int) -> None:
    kinds: dict[str, dict[str, list[float]]] = {}
    job = Job(("python", "work.py"), {"work.py": WORK.encode()}, limits=Limits(wall_s=120))
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
            asked = [sys.executable, "-c", WORK]
            ran = subprocess.run(asked, cwd=folder, capture_output=True, check=True)
        outputs = {"native": ran.stdout}
        outputs["bubblewrap"] = weaker.run(job).stdout
        outputs["gVisor"] = gvisor.run(job).stdout
        for name, output in outputs.items():
            for kind, seconds in json.loads(output).items():
                kinds.setdefault(kind, {}).setdefault(name, []).append(seconds * 1000)
    for kind, values in kinds.items():
        _said(f"{kind}, inside", values)


# What might make it faster, with what it would cost; the first is what is in force.
FLAGS = {
    "as it is": (),
    "directfs (opens files of this machine itself)": ("--directfs=true",),
    "root file system written in memory": ("--overlay2=root:memory",),
    "mounts that others may change": ("--file-access-mounts=shared",),
    "a large cache of names": ("--dcache=100000",),
    "platform ptrace": ("--platform=ptrace",),
    "platform kvm": ("--platform=kvm",),
}


def _flags(gvisor: GVisor, rounds: int) -> None:
    """The three works under each set of flags by turns, beside none."""
    kinds: dict[str, dict[str, list[float]]] = {}
    job = Job(("python", "work.py"), {"work.py": WORK.encode()}, limits=Limits(wall_s=120))
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
            asked = [sys.executable, "-c", WORK]
            ran = subprocess.run(asked, cwd=folder, capture_output=True, check=True)
        outputs = {"native": ran.stdout}
        for name, more in FLAGS.items():
            with patch.object(gvisor_engine, "_FLAGS", (*gvisor_engine._FLAGS, *more)):
                outcome = gvisor.run(job)
            if outcome.stdout:
                outputs[name] = outcome.stdout
            else:
                print(f"{name}: does not start here: {outcome.stderr.decode()[-200:].strip()}")
        for name, output in outputs.items():
            for kind, seconds in json.loads(output).items():
                kinds.setdefault(kind, {}).setdefault(name, []).append(seconds * 1000)
    for kind, values in kinds.items():
        _said(f"{kind}, inside", values)


def _pytest(gvisor: Engine, weaker: Engine, rounds: int) -> None:
    taken: dict[str, list[float]] = {"native": [], "bubblewrap": [], "gVisor": []}
    job = Job(("python", "-m", "pytest", "-q"), {"test_one.py": TEST})
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
            (Path(folder) / "test_one.py").write_bytes(TEST)
            plain = [sys.executable, "-m", "pytest", "-q", "-p", "no:django", "--noconftest"]
            taken["native"].append(
                _timed(lambda: subprocess.run(plain, cwd=folder, stdout=-3, check=True))  # noqa: B023
            )
        for name, engine in (("bubblewrap", weaker), ("gVisor", gvisor)):
            taken[name].append(_timed(lambda: engine.run(job)))  # noqa: B023
    _said("cold pytest with one test", taken)


def _restored(gvisor: GVisor, rounds: int) -> None:
    """The same test from a snapshot and from a cold start, by turns."""
    job = Job(("python", "-m", "pytest", "-q"), {"test_one.py": TEST})
    cold = dataclasses.replace(gvisor, snapshots=None)
    made = _timed(lambda: gvisor.run(job)) - _timed(lambda: gvisor.run(job))
    assert gvisor.snapshots is not None
    size = sum(file.stat().st_size for file in gvisor.snapshots.rglob("*") if file.is_file())
    print(f"making a snapshot: {made:.0f} ms, {size / 1024**2:.0f} MiB")
    taken: dict[str, list[float]] = {"cold start": [], "restored": []}
    before: dict[str, list[float]] = {"cold start": [], "restored": []}
    for _ in range(4 * rounds):
        for name, engine in (("cold start", cold), ("restored", gvisor)):
            began = time.perf_counter()
            outcome = engine.run(job)
            taken[name].append((time.perf_counter() - began) * 1000)
            before[name].append(outcome.start_ms)
            assert outcome.exit_code == 0, outcome.stderr
            assert outcome.restored == (name == "restored"), outcome.stderr
    for what, values in (("until the command runs", before), ("pytest with one test", taken)):
        for name, rows in values.items():
            ordered = sorted(rows)
            late = ordered[int(len(ordered) * 0.95)]
            print(f"{what}, {name}: p50 {statistics.median(ordered):.0f} ms, p95 {late:.0f} ms")


def _ends(gvisor: Engine, weaker: Engine) -> None:
    """From the moment a job is cancelled to the moment nothing is left of it."""
    job = Job(("sh", "-c", "sleep 600 & setsid sleep 600 & echo up; sleep 600"), {})
    for name, engine in (("bubblewrap", weaker), ("gVisor", gvisor)):
        taken = []
        for _ in range(10):
            with engine.open(job) as session:
                session.stdout.readline()
                taken.append(_timed(session.close))
        late = sorted(taken)[-1]
        print(f"killed and gone, {name}: p50 {statistics.median(taken):.0f} ms, most {late:.0f} ms")


def _talk(gvisor: Engine, weaker: Engine) -> None:
    for name, engine in (("bubblewrap", weaker), ("gVisor", gvisor)):
        with engine.open(Job(("cat",), {})) as session:

            def answer(session: object = session) -> None:
                session.stdin.write(b"word\n")  # type: ignore[attr-defined]
                session.stdin.flush()  # type: ignore[attr-defined]
                session.stdout.readline()  # type: ignore[attr-defined]

            answer()
            taken = sorted(_timed(answer) for _ in range(500))
            print(
                f"a line and its answer, {name}: p50 {taken[250]:.2f} ms, p95 {taken[475]:.2f} ms"
            )


def _idle(gvisor: GVisor) -> None:
    with gvisor.open(Job(("cat",), {})) as session:
        session.stdin.write(b"word\n")
        session.stdin.flush()
        session.stdout.readline()
        outcome = session.close()
    print(f"idle gVisor: {outcome.peak_memory_mb} MiB at most, page cache counted")


if __name__ == "__main__":
    main()
