"""Proves a patch by clean runs on clean trees: red before, green after, red again without it."""

import base64
import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Self

from agent.repair.session import PROGRAM, VARIABLES, Limit, program
from agent.sandbox.job import Ended, Engine, Environment, Job, Limits, Outcome

RED_RUNS = 3


class ProofFailed(Exception):
    """A clean run did not give what was promised; the text says which."""


@dataclass(frozen=True)
class Run:
    """One clean run of tests in a sandbox of its own.

    outcomes: by node id, (outcome, first line of the reason). result: SHA-256 of the outcomes.
    log: SHA-256 of what was printed, without times and addresses. cut: whether a test was ended
    because it took longer than it may.
    """

    name: str
    tree: str
    command: tuple[str, ...]
    outcomes: Mapping[str, tuple[str, str]]
    result: str
    log: str
    tier: str
    environment: str
    cut: bool

    def passed(self, test: str) -> bool:
        return self.outcomes.get(test, ("missing", ""))[0] in PASSING


PASSING = frozenset({"passed", "skipped", "xfailed"})


@dataclass(frozen=True)
class Proof:
    """Red and green of one patch. The same inputs give the same proof, to the byte.

    base, patched: SHA-256 of the trees. red: the failing tests with the reason each gave, three
    times the same. repaired: tests that failed and pass. kept: how many passed before and after.
    still_failing: failed before and after, and were not to be repaired.
    """

    base: str
    patched: str
    environment: str
    tier: str
    red: Mapping[str, str]
    runs: tuple[Run, ...]
    kept: int
    still_failing: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """What is signed as evidence: digests, commands, verdicts; no time, no log."""
        return {
            "base_digest": self.base,
            "patched_digest": self.patched,
            "environment_digest": self.environment,
            "tier": self.tier,
            "red": dict(sorted(self.red.items())),
            "runs": [
                {
                    "name": run.name,
                    "tree": run.tree,
                    "command": list(run.command),
                    "passed": sum(run.passed(test) for test in run.outcomes),
                    "failed": sum(not run.passed(test) for test in run.outcomes),
                    "result_digest": run.result,
                    "log_digest": run.log,
                }
                for run in self.runs
            ],
            "kept_passing": self.kept,
            "still_failing": list(self.still_failing),
        }

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON."""
        return _sha(json.dumps(self.as_json(), sort_keys=True, separators=(",", ":")).encode())


def tree_digest(files: Mapping[str, bytes]) -> str:
    """SHA-256 over the sorted paths and the SHA-256 of each content."""
    lines = [f"{_sha(content)}  {path}\n" for path, content in sorted(files.items())]
    return _sha("".join(lines).encode("utf-8", "surrogateescape"))


@dataclass(frozen=True)
class Order:
    """One run that is asked for. files: what differs from the tree. tests: none named means all."""

    name: str
    tests: Sequence[str] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)


def clean_runs(
    engine: Engine,
    tree: Mapping[str, bytes],
    orders: Sequence[Order],
    *,
    environment: Environment | None,
    limit: Limit,
    wall: float,
    cancelled: Callable[[], bool] | None = None,
) -> list[Run]:
    """Run tests in one new sandbox, each run in a process of its own on a tree laid anew.

    limit: for each test. wall: seconds for everything. Raises ProofFailed
    when the sandbox does not end by itself or a run leaves no result.
    """
    runs = [
        {
            "name": order.name,
            "tests": list(order.tests),
            "limit": limit.sent,
            "files": {p: base64.b64encode(text).decode() for p, text in order.files.items()},
        }
        for order in orders
    ]
    command = ("python", PROGRAM, "suites")
    outcome = engine.run(
        Job(
            command=command,
            files=tree,
            inputs={**program(), "runs.json": json.dumps(runs).encode()},
            environment=environment,
            variables=VARIABLES,
            limits=Limits(wall_s=wall),
        ),
        cancelled=cancelled,
    )
    if outcome.ended != Ended.EXITED:
        raise ProofFailed(f"{orders[0].name}: the run ended as {outcome.ended}")
    told: dict[str, dict[str, Any]] = {}
    try:
        for line in outcome.stdout.splitlines():
            got = json.loads(line)
            told.setdefault(str(got["name"]), got)
        return [
            _run(
                order, told[order.name], {**tree, **order.files}, outcome, (*command, *order.tests)
            )
            for order in orders
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        said = outcome.stderr.decode("utf-8", "replace")[-300:]
        raise ProofFailed(f"a clean run left no result; {said}") from fault


def _run(
    order: Order,
    told: Mapping[str, Any],
    tree: Mapping[str, bytes],
    outcome: Outcome,
    command: tuple[str, ...],
) -> Run:
    outcomes = {
        str(test): (str(got["outcome"]), str(got["reason"]))
        for test, got in sorted(told["tests"].items())
    }
    return Run(
        name=order.name,
        tree=tree_digest(tree),
        command=command,
        outcomes=outcomes,
        result=_sha(json.dumps(outcomes, sort_keys=True).encode()),
        log=_sha(steady_log(str(told["log"]).encode("utf-8", "replace"))),
        tier=outcome.tier,
        environment=outcome.environment_digest,
        cut=bool(told["late"]),
    )


def steady_log(log: bytes) -> bytes:
    """What was printed, without what differs from run to run: times and addresses in memory."""
    log = re.sub(rb"\b(in )?\d+\.\d+ ?s(econds)?\b", b"0 s", log)
    return re.sub(rb"0x[0-9a-fA-F]+", b"0x0", log)


class Prover:
    """Keeps the runs on the base, which every patch of one task shares.

    Leaving its `with` block ends what still runs.
    """

    def __init__(
        self,
        engine: Engine,
        base: Mapping[str, bytes],
        red: Sequence[str],
        *,
        environment: Environment | None,
        limit: Limit,
        wall: float,
        cancelled: Callable[[], bool] = lambda: False,
        named: bool = True,
    ) -> None:
        """named: whether somebody said which tests are red; else those that only took long are
        not, once they pass with more time.
        """
        self._engine = engine
        self._base = base
        self._red = list(red)
        self._environment = environment
        self._limit = limit
        self._wall = wall
        self._cancelled = cancelled
        self._named = named
        self._left = False
        self._threads = ThreadPoolExecutor(1, "clean runs")
        self._before: Future[list[Run]] | None = None
        self._had = self._ran = limit  # that runs on the base were asked for with, made with

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._left = True
        self._threads.shutdown()

    def allow(self, taken: Limit) -> None:
        """Give each test twice what a repair took, unless it has clearly more than that."""
        if not taken.times(1.3).within(self._limit):
            self._limit = self._limit.at_least(taken.times(2))

    def ahead(self) -> None:
        """Begin with the runs on the base while a patch is looked for, where a core is free.

        Once more is allowed than before, those in which a test was cut off are made again.
        """
        if len(os.sched_getaffinity(0)) > 1:
            self._begin()

    def _begin(self) -> Future[list[Run]]:
        if self._before is None or self._had != self._limit:
            self._had = self._limit
            self._before = self._threads.submit(self._on_base, self._before)
        return self._before

    def _on_base(self, earlier: Future[list[Run]] | None) -> list[Run]:
        """Runs on the base; of earlier ones those are kept that more time would not change."""
        # There is one thread: earlier ones have ended, perhaps already with what is allowed now.
        known = earlier.result() if earlier is not None else []
        if known and self._limit == self._ran:
            return known
        self._ran = limit = self._limit
        kept = {run.name: run for run in known if not run.cut}
        orders = [Order(f"red {n + 1}", self._red) for n in range(RED_RUNS)]
        orders.append(Order("all before"))
        lacking = [order for order in orders if order.name not in kept]
        if lacking:
            kept |= {run.name: run for run in self._runs(self._base, lacking, limit)}
        return [kept[order.name] for order in orders]

    def _runs(self, tree: Mapping[str, bytes], orders: Sequence[Order], limit: Limit) -> list[Run]:
        return clean_runs(
            self._engine, tree, orders, environment=self._environment, limit=limit,
            wall=self._wall, cancelled=lambda: self._left or self._cancelled(),
        )  # fmt: skip

    def before(self) -> tuple[list[Run], Run]:
        """Three runs of the red tests and one of all tests, on the base.

        Raises ProofFailed when a red test passes, or when two runs differ.
        """
        *reds, every = self._begin().result()
        for run in reds:
            passing = [test for test in self._red if run.passed(test)]
            if passing and (self._named or len(passing) == len(self._red)):
                raise ProofFailed(f"{run.name}: passes already: {', '.join(passing[:3])}")
        if len({run.result for run in reds}) != 1:
            raise ProofFailed("the failing tests do not fail the same way each time")
        return reds, every

    def prove(self, patched: Mapping[str, bytes]) -> Proof:
        """Raises ProofFailed unless the patch repairs every red test and breaks none."""
        self._begin()  # beside those on the patched tree
        own = {path: text for path, text in self._base.items() if patched.get(path) != text}
        after, reverted = self._runs(
            patched, [Order("all after"), Order("taken back", self._red, own)], self._limit
        )
        reds, before = self.before()
        red = [test for test in self._red if not reds[0].passed(test)]
        if failing := [test for test in red if not after.passed(test)]:
            raise ProofFailed(f"still fails: {', '.join(failing[:3])}")
        broken = [
            test for test in before.outcomes if before.passed(test) and not after.passed(test)
        ]
        if broken:
            raise ProofFailed(f"passed before and fails now: {', '.join(broken[:3])}")
        if reverted.tree != before.tree or reverted.result != reds[0].result:
            raise ProofFailed("without the patch the tests do not fail as before")
        return Proof(
            base=before.tree,
            patched=after.tree,
            environment=after.environment,
            tier=after.tier,
            red={test: reds[0].outcomes[test][1] for test in red},
            runs=(*reds, before, after, reverted),
            kept=sum(before.passed(t) and after.passed(t) for t in before.outcomes),
            still_failing=tuple(sorted(t for t in after.outcomes if not after.passed(t))),
        )


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
