"""Measures how long the offline verifier takes for a pack with every entry of a long log.

Run: python tests/bench/verifier_bench.py [--entries 1000000] [--without-payloads] [--keep FILE]
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from uuid import UUID

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "evidence")]

import verifier_corpus as corpus  # noqa: E402

from evidence.leaf import build_leaf, commitment, payload_bytes  # noqa: E402
from evidence.merkle import Frontier, leaf_hash  # noqa: E402
from evidence.notes import sign_checkpoint  # noqa: E402
from evidence.pack import PackEntry, write_pack  # noqa: E402


def entries(count: int, *, payloads: bool) -> Iterator[PackEntry]:
    """The sample's log, continued: leaves of about 540 bytes, payloads of about 150."""
    sample = corpus.sample("range")
    yield from sample.log
    for index in range(len(sample.log), count):
        payload = salt = None
        if payloads:
            salt = sha256(b"bench %d" % index).digest()
            payload = payload_bytes(
                {"diff_sha256": salt.hex(), "reasons": ["policy allows", "owner of the project"]}
            )
        leaf = build_leaf(
            entry_id=UUID(int=(0x018F2F60_0000_7000_9000 << 48) + index),
            recorded_at=corpus.START + timedelta(milliseconds=index),
            tenant_id=corpus.TENANT,
            actor=corpus.ADA if index % 3 else corpus.AGENT,
            door="api",
            action="proposal.comment",
            object_type="proposal",
            object_id=str(UUID(int=index)),
            phase="decision",
            outcome="ok",
            policy={"digest": "ab" * 32, "decision": "allow"},
            payload=(commitment(salt, payload), len(payload)) if payload and salt else None,
        )
        yield PackEntry(index, leaf, payload, salt)


def build(path: Path, count: int, *, payloads: bool) -> None:
    """Write the pack; the entries are made twice rather than held in memory."""
    sample, frontier = corpus.sample("range"), Frontier()
    frontier.extend(leaf_hash(row.leaf) for row in entries(count, payloads=payloads))
    with path.open("w+b") as out:
        write_pack(
            out,
            scope=sample.scope,
            entries=entries(count, payloads=payloads),
            leaf_hashes=(),
            checkpoint_note=sign_checkpoint(
                sample.signer.name, count, frontier.root(), sample.signer
            ),
            files=sample.files,
            signer=sample.signer,
            story=sample.story,
            population=sample.population,
        )


def measure(pack: Path, *, one_core: bool) -> tuple[float, float, int, str]:
    """Seconds on the clock, seconds of processor, peak KiB, last line of the verifier's answer."""
    prefix = ["taskset", "-c", "0"] if one_core else []
    key = corpus.signer_named(corpus.ORIGIN).vkey
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    done = subprocess.run(
        [*prefix, sys.executable, "-m", "countersign_verify", str(pack), "--key", key],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "evidence" / "verifier")},
    )
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, busy, after.ru_maxrss, (done.stdout or done.stderr).strip().split("\n")[-1]


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().split("\n")
    name = next((line.split(":")[1].strip() for line in lines if "model name" in line), "unknown")
    return f"{name}, {os.cpu_count()} cores visible"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--without-payloads", action="store_true")
    parser.add_argument("--keep", type=Path, help="keep the pack here, or verify the one there")
    parser.add_argument("--repeat", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pack = given.keep or Path(folder) / "pack.zip"
        if not pack.exists():
            started = time.perf_counter()
            build(pack, given.entries, payloads=not given.without_payloads)
            print(f"built       {time.perf_counter() - started:.1f} s")
        print(f"machine     {processor()}; Python {platform.python_version()}")
        print(f"date        {datetime.now(UTC):%Y-%m-%d %H:%M} UTC; load {os.getloadavg()[0]:.1f}")
        print(f"pack        {given.entries:,} entries, {pack.stat().st_size / 1e6:.0f} MB packed")
        for one_core in (True, False):
            for _ in range(given.repeat):
                seconds, busy, peak, verdict = measure(pack, one_core=one_core)
                print(
                    f"verified    {seconds:.2f} s on {'one core' if one_core else 'all cores'} "
                    f"({busy:.2f} s of processor), {given.entries / seconds:,.0f} entries/s, "
                    f"peak {peak / 1024:.0f} MiB of one process, "
                    f"load {os.getloadavg()[0]:.1f}: {verdict}"
                )


if __name__ == "__main__":
    main()
