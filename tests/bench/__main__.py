"""Measures the whole product on this machine: python -m tests.bench [--entries N] [--requests N].

With --only directory, nothing but SCIM against 10,000 people; with --only appends, nothing but
the ledger; with --only requests, nothing but recommendations, over few passages and over 5,000.

Prints figures with machine and date. Machines are noisy: each figure comes with its spread or
with a ratio to something simpler that ran beside it.
"""

import argparse
import http.client
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploy import embedded, stack
from deploy.journey import Session

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / "var" / "bench"
RATE, SECONDS = 20, 15  # requests a second for this long, for each page
PROCESSES = 8
PEOPLE = 10_000  # in the directory
PASSAGES = 5_000  # of documents of a project


def main() -> None:
    """Run every measurement, print each as soon as it is known."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--entries", type=int, default=1_000_000, help="for the verifier")
    asked.add_argument("--tuples", type=int, default=1_000_000, help="for questions about rights")
    asked.add_argument("--requests", type=int, default=20)
    asked.add_argument(
        "--only", choices=["directory", "appends", "requests"], help="measure nothing else"
    )
    options = asked.parse_args()
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {_machine()}", flush=True)
    os.environ["PORTAL_PORT"] = str(_free_port())
    os.environ["LOG_LEVEL"] = "WARNING"
    if HOME.exists():
        embedded.destroy(HOME)
    with stack.running(HOME) as (address, _parts):
        if options.only in (None, "requests"):
            proposal = _requests(address, options.requests, "")
            _many_passages()
            _requests(address, options.requests, f" over {PASSAGES:,} passages")
            _many_passages("--check")
        if not options.only:
            _packs(address, proposal)
            _pages(address, proposal)
            _code_index()
            _repairs()
        if options.only in (None, "appends"):
            _appends()
        if options.only in (None, "directory"):
            _directory(address)
    embedded.destroy(HOME)
    if options.only:
        return
    for name, *arguments in (
        ("authz", "--tuples", str(options.tuples)),
        ("decisions", "--rate", "100", "500"),
        ("verifier_bench", "--entries", str(options.entries)),
        ("packs",),
        ("recommender_bench",),
        ("sandbox",),
    ):
        command = [sys.executable, "-m", f"tests.bench.{name}", *arguments]
        subprocess.run(command, cwd=ROOT, check=True)


def _machine() -> str:
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} x {model}, Python {platform.python_version()}, load {load:.1f}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _signed_in(address: str, name: str) -> Session:
    session = Session(address, name)
    session.sign_in()
    return session


def _spread(name: str, seconds: list[float], goal: str) -> None:
    ordered = sorted(seconds)
    p95 = ordered[max(0, -(-len(ordered) * 95 // 100) - 1)]
    print(
        f"{name}: p50 {statistics.median(ordered):.2f} s, p95 {p95:.2f} s,"
        f" max {ordered[-1]:.2f} s, n={len(ordered)} (goal: {goal})",
        flush=True,
    )


def _wait(session: Session, path: str, ends: set[str]) -> Any:
    while True:
        found = session.read(path)
        if found["state"] in ends:
            return found
        time.sleep(0.05)


def _many_passages(*check: str) -> None:
    values = {**os.environ, **embedded.environment(HOME), "LOG_LEVEL": "WARNING"}
    command = [sys.executable, "-m", "tests.bench.many_passages", "acme.localhost", str(PASSAGES)]
    subprocess.run([*command, *check], cwd=ROOT, env=values, check=True)


def _requests(address: str, count: int, over: str) -> str:
    """One after the other, each timed from the POST to the finished pull request."""
    ada = _signed_in(address, "Ada Lindqvist")
    fields = ada.read("/recommendations/examples")[0]
    # The one with the many passages is only searched; the code host does not have it.
    there = ada.read("/repositories")["items"]
    fields["repository"] = next(row["id"] for row in there if row["name"] != "many-passages")
    took, proposal = [], ""
    for _ in range(count):
        started = time.perf_counter()
        task = ada.post("/recommendations", fields)
        ended = _wait(
            ada, f"/recommendations/{task['id']}", {"completed", "failed", "timed_out", "cancelled"}
        )
        took.append(time.perf_counter() - started)
        if ended["state"] != "completed":
            raise SystemExit(f"a request ended as {ended['state']}: {ended['reason']}")
        proposal = ended["proposal_id"]
    _spread(f"request to pull request, one worker{over}", took, "p95 <= 5 s")
    return proposal


def _packs(address: str, proposal: str) -> None:
    iris = _signed_in(address, "Iris Marchetti")
    took = []
    for _ in range(10):
        started = time.perf_counter()
        pack = iris.post(f"/proposals/{proposal}/packs", {})
        ended = _wait(iris, f"/packs/{pack['id']}", {"ready", "failed"})
        took.append(time.perf_counter() - started)
        if ended["state"] != "ready":
            raise SystemExit(f"a pack failed: {ended['problem']}")
    _spread("evidence pack, from the order to the file", took, "p95 <= 5 s")


def _pages(address: str, proposal: str) -> None:
    """Pages at a steady rate; the server's own time, as it says in Server-Timing."""
    pages = {
        "dashboard": "/",
        "list of proposals": "/proposals/",
        "proposal": f"/proposals/{proposal}/",
        "proposal, its diff": f"/proposals/{proposal}/?tab=diff",
    }
    session = _signed_in(address, "Lin Zhao")
    for name, path in pages.items():
        times: list[float] = []
        lock = threading.Lock()

        def fetch(
            path: str = path, times: list[float] = times, lock: threading.Lock = lock
        ) -> None:
            taken = _server_time(session, path)
            with lock:
                times.append(taken)

        with ThreadPoolExecutor(RATE) as pool:
            started = time.perf_counter()
            for number in range(RATE * SECONDS):
                time.sleep(max(0.0, started + number / RATE - time.perf_counter()))
                pool.submit(fetch)
        ordered = sorted(times)
        p95 = ordered[len(ordered) * 95 // 100]
        print(
            f"page at {RATE}/s, {name}: p50 {statistics.median(ordered):.0f} ms,"
            f" p95 {p95:.0f} ms server time, n={len(ordered)} (goal: p95 <= 100 ms)",
            flush=True,
        )


def _server_time(session: Session, path: str) -> float:
    """Milliseconds that the portal says it took to answer."""
    answer = session.answer("GET", path)
    if answer.status != 200:
        raise SystemExit(f"{path}: {answer.status}")
    return float(answer.headers["Server-Timing"].split("dur=")[1])


def _directory(address: str) -> None:
    """SCIM against 10,000 people, one request after the other; the server's own time."""
    values = {**os.environ, **embedded.environment(HOME), "LOG_LEVEL": "WARNING"}
    filled = subprocess.run(
        [sys.executable, "-m", "tests.bench.directory", "acme.localhost", str(PEOPLE)],
        cwd=ROOT,
        env=values,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    token = filled.stdout.strip()
    asked: dict[str, Callable[[int], tuple[str, str, Any]]] = {
        "list page of 100": lambda n: (
            "GET",
            f"/Users?startIndex={n * 100 % PEOPLE + 1}&count=100",
            None,
        ),
        "userName eq": lambda n: ("GET", _filtered(f'userName eq "P{n:05}@bench.example"'), None),
        "externalId eq, nobody": lambda n: ("GET", _filtered(f'externalId eq "{n}"'), None),
        "displayName eq": lambda n: ("GET", _filtered(f'displayName eq "person {n}"'), None),
        "work address eq": lambda n: (
            "GET",
            _filtered(f'emails[type eq "work"].value eq "p{n:05}@bench.example"'),
            None,
        ),
        "a person added": lambda n: ("POST", "/Users", {"userName": f"new{n}@bench.example"}),
    }
    for name, ask in asked.items():
        times = [_scim_time(address, token, *ask(number)) for number in range(200)]
        ordered = sorted(times)
        goal = " (goal: p95 <= 50 ms)" if name in {"list page of 100", "userName eq"} else ""
        print(
            f"SCIM, {PEOPLE} people, {name}: p50 {statistics.median(ordered):.0f} ms,"
            f" p95 {ordered[len(ordered) * 95 // 100]:.0f} ms server time, n={len(ordered)}{goal}",
            flush=True,
        )


def _filtered(said: str) -> str:
    return f"/Users?{urllib.parse.urlencode({'filter': said})}"


def _scim_time(address: str, token: str, method: str, path: str, body: Any) -> float:
    core = "urn:ietf:params:scim:schemas:core:2.0:User"
    host = address.removeprefix("http://")
    connection = http.client.HTTPConnection("127.0.0.1", int(host.rpartition(":")[2]))
    connection.request(
        method,
        f"/scim/v2{path}",
        json.dumps({"schemas": [core], **body}) if body else None,
        {
            "Host": host,
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/scim+json",
        },
    )
    answer = connection.getresponse()
    said = answer.read()
    connection.close()
    if answer.status >= 400:
        raise SystemExit(f"{method} {path}: {answer.status} {said!r}")
    return float(answer.headers["Server-Timing"].split("dur=")[1])


def _code_index() -> None:
    values = {**os.environ, **embedded.environment(HOME), "LOG_LEVEL": "WARNING"}
    command = [sys.executable, "-m", "tests.bench.code_index", "--host", "acme.localhost"]
    subprocess.run(command, cwd=ROOT, env=values, check=True)


def _repairs() -> None:
    values = {**os.environ, **embedded.environment(HOME), "LOG_LEVEL": "WARNING"}
    command = [sys.executable, "-m", "tests.bench.repair", "--host", "acme.localhost"]
    subprocess.run(command, cwd=ROOT, env=values, check=True)


def _appends() -> None:
    """Recorded changes by several processes at once, beside bare committed updates; then how long
    they waited for a signed head meanwhile."""
    values = {**os.environ, **embedded.environment(HOME), "LOG_LEVEL": "WARNING"}
    command = [sys.executable, "-m", "tests.bench.appends", "acme.localhost", "12"]
    running = [
        subprocess.Popen(command, cwd=ROOT, env=values, stdout=subprocess.PIPE, text=True)
        for _ in range(PROCESSES)
    ]
    rates = [tuple(map(float, process.communicate()[0].split())) for process in running]
    alone, empty, recorded, together, bare = (sum(column) for column in zip(*rates, strict=True))
    for what, rate in (
        ("durable appends, entry(): a change of nothing but its entry (goal: >= 3000/s)", alone),
        ("the same through change() with an empty block", empty),
        ("changes that update a row with Django too", recorded),
        ("entries of changes that leave ten each", together),
        ("bare committed updates with Django, nothing recorded", bare),
    ):
        print(
            f"{what}: {rate:.0f}/s with {PROCESSES} processes, {rate / bare:.2f} of bare updates",
            flush=True,
        )
    entries = int((alone + recorded) * 12 + (empty + together) * 3)
    asked = [sys.executable, "-m", "tests.bench.log_lag", "acme.localhost", str(entries)]
    said = subprocess.run(
        asked, cwd=ROOT, env=values, stdout=subprocess.PIPE, text=True, check=True
    )
    p99, most, proof, spooled = map(float, said.stdout.split())
    print(
        f"signed head after an entry, under that load: p99 {p99:.1f} s, max {most:.1f} s"
        f" (goal: p99 <= 10 s)\nproof of one of 1,000,000 entries: {proof:.0f} bytes without"
        f" cosignatures (goal: <= 2000)\nreads and denials on disk before the answer:"
        f" {spooled:.0f}/s by 8 threads of one process",
        flush=True,
    )


if __name__ == "__main__":
    main()
