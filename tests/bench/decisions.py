"""Questions about rights over HTTP at a fixed rate: python -m tests.bench.decisions [--rate N].

Open loop, see tests/bench/open_loop.py. Goes to a portal of its own on this machine, for a few
seconds, with everything that a real question takes: who asks, the tenant's row security, the answer
on record on disk before it is sent. Programs ask with a token, browsers with a session (--by
session). Starting that portal takes minutes on a busy machine; it says what it waits for.
"""

import argparse
import html
import json
import os
import platform
import socket
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from deploy import embedded, stack
from deploy.journey import COUNTERSIGNER, Session
from tests.bench.open_loop import send

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / "var" / "bench-decisions"
GOAL_MS = 25
PATIENCE = 900  # seconds that the portal may take to start
EXPECTED = b'"allowed": true'
EDGES = (1, 2, 3, 5, 8, 12, 18, 25, 40, 60, 100, 200, 500, 1000, 5000, 60_000)  # milliseconds


@dataclass
class Measured:
    """Milliseconds from each request's moment to its answer, and milliseconds of processor that
    one request took the web processes, and the sender."""

    rate: int
    each: int  # questions in a request
    waited: list[float]
    failed: int
    served_for: float
    sent_for: float

    def at(self, share: float) -> float:
        ordered = sorted(self.waited)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def main() -> None:
    """Measure at each rate, print, draw if asked."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--rate", type=int, nargs="+", default=[25, 50, 100, 500])
    asked.add_argument("--each", type=int, default=1, help="questions in a request")
    asked.add_argument("--by", choices=["token", "session"], default="token")
    asked.add_argument("--seconds", type=int, default=10)
    asked.add_argument("--picture", type=Path, help="where to draw the slowest rate's histogram")
    options = asked.parse_args()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        os.environ["PORTAL_PORT"] = str(probe.getsockname()[1])
    os.environ["LOG_LEVEL"] = "WARNING"
    if HOME.exists():
        embedded.destroy(HOME)
    heading = (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} processors,"
        f" Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"
    )
    print(heading, flush=True)
    try:
        with stack.running(HOME, patience=PATIENCE) as (address, parts):
            web = next(part.process.pid for part in parts if part.name == "web")
            found = [_measured(address, web, rate, options) for rate in options.rate]
    finally:
        embedded.destroy(HOME)
    if options.picture:
        options.picture.write_text(_picture(found, heading))


def _measured(address: str, web: int, rate: int, options: argparse.Namespace) -> Measured:
    person = Session(address, COUNTERSIGNER)
    person.sign_in()
    repository = person.read("/repositories")["items"][0]
    question = {"permission": "repository.view", "type": "repository", "id": repository["id"]}
    body = json.dumps({"questions": [question] * options.each}).encode()
    head = _of_session(address, person) if options.by == "session" else _of_token(person)
    request = _request(address, head, body)
    port = urlsplit(address).port
    assert port is not None
    # The first requests load what every process needs once.
    send(port, request, EXPECTED, 20, 3)
    before = _processor_seconds(web)
    sent = send(port, request, EXPECTED, rate, options.seconds)
    spent = _processor_seconds(web) - before
    count = rate * options.seconds
    measured = Measured(
        rate, options.each, sent.waited, sent.failed, spent / count * 1e3, sent.cpu / count * 1e3
    )
    if not sent.waited:
        raise SystemExit(f"none of {count:,} requests was answered: see {HOME / 'log'}")
    print(
        f"decisions over HTTP by {options.by}, load {os.getloadavg()[0]:.1f}:"
        f" {rate}/s x {options.each} question(s), n={len(sent.waited):,}, failed {sent.failed}:"
        f" p50 {measured.at(0.5):.1f} ms, p95 {measured.at(0.95):.1f} ms,"
        f" p99 {measured.at(0.99):.1f} ms, most {max(sent.waited):.1f} ms"
        f" (goal at 500/s: p99 {GOAL_MS} ms), mean {statistics.fmean(sent.waited):.1f} ms;"
        f" processor for each: web {measured.served_for:.2f} ms, sender {measured.sent_for:.2f} ms",
        flush=True,
    )
    return measured


def _processor_seconds(parent: int) -> float:
    """What a process and its children have run so far."""
    ticks = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            said = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it ended just now
            continue
        if parent in (int(entry.name), int(said[1])):
            ticks += int(said[11]) + int(said[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _of_session(address: str, person: Session) -> list[str]:
    return [
        "Cookie: " + "; ".join(f"{name}={value}" for name, value in person.cookies.items()),
        f"X-CSRFToken: {person.cookies['csrftoken']}",
        f"Origin: {address}",
    ]


def _of_token(person: Session) -> list[str]:
    wanted = {"name": "bench", "scopes": ["repository.view"], "days": 1}
    return [f"Authorization: Bearer {person.post('/tokens', wanted)['secret']}"]


def _request(address: str, who: list[str], body: bytes) -> bytes:
    head = [
        "POST /api/v1/decisions HTTP/1.1",
        f"Host: {urlsplit(address).netloc}",
        *who,
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def _picture(found: Sequence[Measured], heading: str) -> str:
    """A histogram for each rate, one under the other, on a logarithmic scale of milliseconds, with
    lines at the goal, the median and the 99th percentile."""
    width, high, left, gap = 760, 90, 60, 66
    step = (width - left - 20) / len(EDGES)
    parts = []
    for row, measured in enumerate(found):
        top = 56 + row * (high + gap)
        counts = [0] * len(EDGES)
        for waited in measured.waited:
            counts[_bar_of(waited)] += 1
        said = (
            f"{measured.rate} requests/s x {measured.each}: p50 {measured.at(0.5):.1f} ms,"
            f" p99 {measured.at(0.99):.1f} ms, n={len(measured.waited):,}, failed {measured.failed}"
        )
        parts.append(f'<text x="{left}" y="{top - 14}">{html.escape(said)}</text>')
        for place, (edge, count) in enumerate(zip(EDGES, counts, strict=True)):
            tall = high * count / max(counts)
            x = left + place * step
            within = "bar" if edge <= GOAL_MS else "bar late"
            parts.append(
                f'<rect class="{within}" x="{x:.1f}" y="{top + high - tall:.1f}"'
                f' width="{step - 2:.1f}" height="{tall:.1f}"/>'
                f'<text class="edge" x="{x + step:.1f}" y="{top + high + 14}">{edge}</text>'
            )
        lines = {"goal": float(GOAL_MS), "p50": measured.at(0.5), "p99": measured.at(0.99)}
        for name, at in lines.items():
            x = left + _position(at) * step
            below = 12 if name == "goal" else -2  # it may stand where another one does
            parts.append(
                f'<line class="{name}" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{top + high}"/>'
                f'<text class="edge" x="{x - 3:.1f}" y="{top + below}">{name}</text>'
            )
    tall = 60 + len(found) * (high + gap)
    style = (
        "text{font:13px sans-serif;fill:#1f2933}.edge{font-size:10px;text-anchor:end}"
        ".bar{fill:#2f6f4f}.late{fill:#b3541e}line{stroke:#1f2933}.goal{stroke-dasharray:4 3}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {tall}" role="img">'
        f"<title>How long answers took, in milliseconds</title><style>{style}</style>"
        f'<text x="{left}" y="20">Milliseconds from the planned moment to the answer.'
        f" {html.escape(heading)}</text>{''.join(parts)}</svg>\n"
    )


def _bar_of(waited: float) -> int:
    return next((place for place, edge in enumerate(EDGES) if waited <= edge), len(EDGES) - 1)


def _position(waited: float) -> float:
    """Where a time stands among the bars: 1.5 is the middle of the second."""
    place = _bar_of(waited)
    below = EDGES[place - 1] if place else 0
    return place + min(1.0, (waited - below) / (EDGES[place] - below))


if __name__ == "__main__":
    main()
