"""Measures how long a pack of many pull requests takes to be put together, and what memory.

Run: python tests/bench/packs.py [--entries 10000] [--pull-requests 200]

Everything but the database and the code host is the product's own: records are signed, coverage is
worked out by the rules, report and ZIP are written; then the verifier checks the result.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "evidence")]

import verifier_corpus as corpus  # noqa: E402

from evidence.controls import Seen, coverage, frameworks, rules_digest  # noqa: E402
from evidence.dsse import pull_request_subjects  # noqa: E402
from evidence.merkle import leaf_hash, tree_root  # noqa: E402
from evidence.notes import sign_checkpoint  # noqa: E402
from evidence.oscal import assessment_results, attestations  # noqa: E402
from evidence.pack import write_pack  # noqa: E402
from evidence.records import Claim, sbom_claim, signed_bundle  # noqa: E402
from evidence.sbom import repository_sbom  # noqa: E402

PER_PR = 6  # entries: asked, opened, run, record, countersigned, published
DIFF_LINES = 300


def write(path: Path, entries: int, pull_requests: int) -> tuple[float, float]:
    """Write a pack about a period; seconds of processor for the records, then for the rest."""
    began = time.process_time()
    signer = corpus.signer_named(corpus.ORIGIN)
    log, files, population, seen, approvals = [], {}, [], [], []
    for number in range(1, pull_requests + 1):
        proposal = f"proposal-{number}"
        artifacts, diff_sha256 = _artifacts(number)
        claims = [Claim("urn:countersign:agent-run:v1", {"steps": [{"tool": "x"}] * 8})]
        claims.append(sbom_claim(artifacts["sbom.cdx.json"]))
        subjects = pull_request_subjects(
            "shop", number, commit=corpus.HEAD, tree=corpus.TREE, diff_sha256=diff_sha256
        )
        bundle, manifest = signed_bundle(subjects, claims, artifacts, signer)
        first = len(log)
        for action, actor, facts in (
            ("recommendation.create", corpus.ADA, {"goal": "x"}),
            ("proposal.open", corpus.AGENT, {"diff_sha256": diff_sha256}),
            ("task.run", corpus.AGENT, {"step": 1}),
            ("record.sign", corpus.SYSTEM, {"manifest_sha256": manifest}),
            (
                "proposal.countersign",
                {**corpus.ADA, "id": "lin", "name": "Lin"},
                {"diff_sha256": diff_sha256},
            ),
            ("pull_request.open", corpus.AGENT, {"refused": ""}),
        ):
            log.append(
                corpus.entry(
                    len(log), action, actor=actor, facts=facts, phase="result", object_id=proposal
                )
            )
        own = [(row.index, json.loads(row.leaf)) for row in log[first:]]
        folder = f"prs/shop-{number}"
        artifacts["bundle.intoto.jsonl"] = bundle
        files |= {f"{folder}/{name}": content for name, content in artifacts.items()}
        seen.append(Seen(folder, own, artifacts))
        population.append(
            corpus.population_row(
                proposal, diff_sha256, repo="shop", number=number, title="t", folder=folder
            )
        )
        approvals.append(
            {
                "entry": first + 4,
                "decision": "countersigned",
                "person": {"id": "lin", "name": "Lin"},
                "at": own[4][1]["ts"],
                "note": "",
                "diff_sha256": diff_sha256,
                "stands": True,
            }
        )
    log += [
        corpus.entry(index, "task.note", facts={"n": index}) for index in range(len(log), entries)
    ]
    recorded = time.process_time()
    rows, known = coverage(seen), list(frameworks().values())
    sample = corpus.sample("range")
    scope = replace(sample.scope, kind="period", object_type="tenant", query="All of it")
    hashes = [leaf_hash(row.leaf) for row in log]
    files |= {
        "access/approvals.json": corpus.canonical({"approvals": approvals}),
        "controls/coverage.json": corpus.canonical(
            {"controls": rows, "rules_sha256": rules_digest()}
        ),
        "controls/oscal-assessment-results.json": assessment_results(
            rows, known, pack="bench", title="Bench", at=scope.created_at
        ),
        "controls/cdxa.cdx.json": attestations(
            rows, known, pack="bench", tenant="Acme", at=scope.created_at
        ),
    }
    with path.open("w+b") as out:
        write_pack(
            out,
            scope=scope,
            entries=log,
            leaf_hashes=(),
            checkpoint_note=sign_checkpoint(signer.name, len(log), tree_root(hashes), signer),
            files=files,
            signer=signer,
            story=sample.story,
            population=population,
        )
    return recorded - began, time.process_time() - recorded


def _artifacts(number: int) -> tuple[dict[str, bytes], str]:
    content = b"".join(b"line %d of %d\n" % (line, number) for line in range(DIFF_LINES))
    path = "docs/adr/one.md"
    diff = corpus.added_file(path, content).encode()
    locks = {"requirements.txt": b"".join(b"package-%d==1.%d\n" % (n, n) for n in range(60))}
    described = {
        "repo": "shop",
        "number": number,
        "title": "t",
        "body": "",
        "base": {"branch": "main", "commit": corpus.BASE},
        "head": {"branch": "b", "commit": corpus.HEAD, "tree": corpus.TREE},
        "diff": {"sha256": sha256(diff).hexdigest(), "size": len(diff)},
        "files": [
            {
                "path": path,
                "status": "added",
                "sha256": sha256(content).hexdigest(),
                "size": len(content),
            }
        ],
    }
    check = {"name": "lint", "tool": "rumdl", "version": "", "status": "passed", "summary": ""}
    return {
        "diff.patch": diff,
        "pull-request.json": corpus.canonical(described),
        "checks.json": corpus.canonical({"checks": [check] * 8}),
        "review.json": corpus.canonical({"reviews": []}),
        "agent-run.jsonl": b'{"step":1}\n' * 8,
        "sbom.cdx.json": repository_sbom(locks, name="shop", commit=corpus.HEAD, at=corpus.START),
        f"files/{path}": content,
    }, sha256(diff).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=10_000)
    parser.add_argument("--pull-requests", type=int, default=200)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pack = Path(folder) / "pack.zip"
        started = time.perf_counter()
        records, rest = write(pack, given.entries, given.pull_requests)
        seconds = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        done = subprocess.run(
            [sys.executable, "-m", "countersign_verify", str(pack), "--key", corpus.log_key()],
            env={**os.environ, "PYTHONPATH": str(ROOT / "evidence" / "verifier")},
            capture_output=True,
            text=True,
            check=False,
        )
        verdict = (done.stdout or done.stderr).strip().split("\n")[-1]
        print(
            f"pack of {given.entries:,} entries, {given.pull_requests} pull requests: "
            f"{seconds:.1f} s (of processor: {records:.1f} s for the records and the log, "
            f"{rest:.1f} s for the pack), peak {peak:.0f} MiB, "
            f"{pack.stat().st_size / 1e6:.1f} MB, load {os.getloadavg()[0]:.1f}: {verdict}"
        )


if __name__ == "__main__":
    main()
