"""Judges repairs by tests that the engine never saw."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agent.repair.flow import repair
from agent.repair.proof import Order, ProofFailed, clean_runs
from agent.repair.results import Ended
from agent.repair.session import Limit
from agent.sandbox.job import Engine

HIDDEN_LIMIT = Limit(100_000_000, 60.0)  # for one hidden test
WALL = 120.0  # seconds for all of them


class BadCase(Exception):
    """The folder is not a case; the message says what is missing."""


@dataclass(frozen=True)
class Case:
    """A fault to repair. red: node ids, or None for whatever fails. hidden: None without any."""

    name: str
    sources: Mapping[str, bytes]
    red: tuple[str, ...] | None
    hidden_folder: str | None
    hidden: Mapping[str, bytes]


@dataclass(frozen=True)
class Verdict:
    """What came of one case. correct: by the hidden tests; None when there are none."""

    name: str
    ended: Ended
    reason: str
    plausible: bool
    correct: bool | None
    operator: str
    confidence: str
    patches: int
    behaviours: int
    tried: int
    per_second: float
    first_after: float | None
    seconds: float
    proof: str
    diff: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def read(folder: Path) -> Case:
    """A case from its folder. Raises BadCase."""
    try:
        told = json.loads((folder / "case.json").read_text())
    except (OSError, ValueError) as fault:
        raise BadCase(f"{folder.name}: case.json cannot be read: {fault}") from fault
    if not isinstance(told, dict) or "red" not in told:
        raise BadCase(f'{folder.name}: case.json needs "red": a list of node ids, or null')
    hidden = told.get("hidden")
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts and path.name != "case.json"
    }
    kept = {path: text for path, text in files.items() if hidden and path.startswith(f"{hidden}/")}
    if hidden and not kept:
        raise BadCase(f"{folder.name}: there are no hidden tests in {hidden}/")
    sources = {path: text for path, text in files.items() if path not in kept}
    red = tuple(told["red"]) if told["red"] is not None else None
    return Case(folder.name, sources, red, hidden, kept)


def judged(case: Case, *, engine: Engine, seconds: float) -> Verdict:
    """Repair without the hidden tests, then run them on the first patch, in a clean sandbox."""
    done = repair(case.sources, case.red, engine=engine, seconds=seconds)
    correct: bool | None = None
    if done.patches and case.hidden_folder:
        tree = {**case.sources, **done.patches[0].files, **case.hidden}
        try:
            (run,) = clean_runs(engine, tree, [Order("hidden", [case.hidden_folder])],
                                environment=None, limit=HIDDEN_LIMIT, wall=WALL)  # fmt: skip
            correct = bool(run.outcomes) and all(run.passed(test) for test in run.outcomes)
        except ProofFailed:
            correct = False
    first = done.patches[0] if done.patches else None
    return Verdict(
        name=case.name,
        ended=done.ended,
        reason=done.reason,
        plausible=bool(done.patches),
        correct=correct if case.hidden_folder and done.patches else None,
        operator=first.operator if first else "",
        confidence=first.confidence if first else "",
        patches=len(done.patches),
        behaviours=done.behaviours,
        tried=done.tried,
        per_second=done.per_second,
        first_after=done.first_after,
        seconds=round(done.seconds, 2),
        proof=done.proof.digest if done.proof else "",
        diff=first.diff if first else "",
    )


def totals(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Sums over all cases; the median of candidates a second over those that tried any."""
    rates = [v.per_second for v in verdicts if v.tried]
    return {
        "count": len(verdicts),
        "plausible": sum(v.plausible for v in verdicts),
        "correct": sum(bool(v.correct) for v in verdicts),
        "with_hidden_tests": sum(v.correct is not None or not v.plausible for v in verdicts),
        "median_per_second": statistics.median(rates) if rates else 0.0,
    }
