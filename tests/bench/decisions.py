"""Questions about rights over HTTP at a fixed rate: python -m tests.bench.decisions [--rate N].

Open loop: each request has its moment, decided beforehand, whether or not earlier ones have been
answered, and its time counts from that moment. So a server that falls behind is seen to. Goes to a
portal of its own on this machine, for a few seconds, with everything that a real question takes:
who asks, the tenant's row security, the answer on record on disk before it is sent. Programs ask
with a token, browsers with a session (--by session).
"""

import argparse
import asyncio
import html
import json
import os
import platform
import socket
import statistics
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from deploy import embedded, stack
from deploy.journey import COUNTERSIGNER, Session

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / "var" / "bench-decisions"
CONNECTIONS = 64
GOAL_MS = 25
PATIENCE = 30.0  # seconds that the last answers are waited for
EDGES = (1, 2, 3, 5, 8, 12, 18, 25, 40, 60, 100, 200, 500, 1000, 5000, 60_000)  # milliseconds


@dataclass
class Measured:
    """Milliseconds from each request's moment to its answer; and what the decisions took."""

    rate: int
    each: int  # questions in a request
    waited: list[float]
    failed: int

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
        with stack.running(HOME) as (address, _parts):
            found = [
                _measured(address, options.by, rate, options.each, options.seconds)
                for rate in options.rate
            ]
    finally:
        embedded.destroy(HOME)
    if options.picture:
        options.picture.write_text(_picture(found, heading))


def _measured(address: str, by: str, rate: int, each: int, seconds: int) -> Measured:
    person = Session(address, COUNTERSIGNER)
    person.sign_in()
    repository = person.read("/repositories")["items"][0]
    question = {"permission": "repository.view", "type": "repository", "id": repository["id"]}
    body = json.dumps({"questions": [question] * each}).encode()
    head = _of_session(address, person) if by == "session" else _of_token(person)
    request = _request(address, head, body)
    # The first requests load what every process needs once.
    asyncio.run(_asked(address, request, 20, 3))
    waited, failed = asyncio.run(_asked(address, request, rate, seconds))
    measured = Measured(rate, each, waited, failed)
    print(
        f"decisions over HTTP by {by}, load {os.getloadavg()[0]:.1f}:"
        f" {rate}/s x {each} question(s), n={len(waited):,}, failed {failed}:"
        f" p50 {measured.at(0.5):.1f} ms, p95 {measured.at(0.95):.1f} ms,"
        f" p99 {measured.at(0.99):.1f} ms, most {max(waited):.1f} ms"
        f" (goal at 500/s: p99 {GOAL_MS} ms), mean {statistics.fmean(waited):.1f} ms",
        flush=True,
    )
    return measured


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


async def _asked(address: str, request: bytes, rate: int, seconds: int) -> tuple[list[float], int]:
    """Milliseconds of every answer, and how many requests had none or a wrong one."""
    port = urlsplit(address).port
    idle: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(min(CONNECTIONS, rate)):
        idle.put_nowait(await asyncio.open_connection("127.0.0.1", port))
    loop = asyncio.get_running_loop()
    start = loop.time() + 0.1
    waited: list[float] = []

    async def one(number: int) -> None:
        moment = start + number / rate
        await asyncio.sleep(moment - loop.time())
        reader, writer = await idle.get()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode("latin-1").lower().split("\r\n")
        [size] = [line.split(":")[1] for line in lines if line.startswith("content-length:")]
        said = await reader.readexactly(int(size))
        idle.put_nowait((reader, writer))
        if b" 200 " in head.split(b"\r\n")[0] and json.loads(said)[0]["allowed"]:
            waited.append((loop.time() - moment) * 1000)

    tasks = [asyncio.create_task(one(number)) for number in range(rate * seconds)]
    done, late = await asyncio.wait(tasks, timeout=seconds + PATIENCE)
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
    for task in done:
        task.result()
    while not idle.empty():
        idle.get_nowait()[1].close()
    return waited, len(tasks) - len(waited)


def _picture(found: list[Measured], heading: str) -> str:
    """A histogram for each rate, one under the other, on a logarithmic scale of milliseconds."""
    width, high, left, gap = 760, 90, 60, 60
    parts = []
    for row, measured in enumerate(found):
        top = 50 + row * (high + gap)
        counts = [0] * len(EDGES)
        for waited in measured.waited:
            counts[next(i for i, edge in enumerate(EDGES) if waited <= edge)] += 1
        step = (width - left - 20) / len(EDGES)
        most = max(counts)
        said = (
            f"{measured.rate} requests/s x {measured.each}: p50 {measured.at(0.5):.1f} ms,"
            f" p99 {measured.at(0.99):.1f} ms, n={len(measured.waited):,}, failed {measured.failed}"
        )
        parts.append(f'<text x="{left}" y="{top - 8}">{html.escape(said)}</text>')
        for place, (edge, count) in enumerate(zip(EDGES, counts, strict=True)):
            tall = high * count / most
            x = left + place * step
            within = "bar" if edge <= GOAL_MS else "bar late"
            parts.append(
                f'<rect class="{within}" x="{x:.1f}" y="{top + high - tall:.1f}"'
                f' width="{step - 2:.1f}" height="{tall:.1f}"/>'
                f'<text class="edge" x="{x + step:.1f}" y="{top + high + 14}">{edge}</text>'
            )
    tall = 60 + len(found) * (high + gap)
    style = (
        "text{font:13px sans-serif;fill:#1f2933}.edge{font-size:10px;text-anchor:end}"
        ".bar{fill:#2f6f4f}.late{fill:#b3541e}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {tall}" role="img">'
        f"<title>How long answers took, in milliseconds</title><style>{style}</style>"
        f'<text x="{left}" y="20">Milliseconds from the planned moment to the answer.'
        f" {html.escape(heading)}</text>{''.join(parts)}</svg>\n"
    )


if __name__ == "__main__":
    main()
