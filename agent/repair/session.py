"""Talks with the program inside the sandbox; whatever it says is a hint."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from agent.repair.operators.base import Candidate
from agent.sandbox.job import Engine, Environment, Job, Limits

_INSIDE = "countersign_inside"  # no name that a workspace has
PROGRAM = "/job"
# Sets have the same order in every run.
VARIABLES = {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}


def program() -> dict[str, bytes]:
    """The program that runs inside, as files below /job."""
    own = Path(__file__).with_name("inside")
    start = f"from {_INSIDE}.main import main\n\nraise SystemExit(main())\n"
    files = {f"{_INSIDE}/{one.name}": one.read_bytes() for one in sorted(own.glob("*.py"))}
    return {"__main__.py": start.encode(), **files}


@dataclass(frozen=True)
class Limit:
    """What may run how long, whichever ends first: steps are calls and jumps, seconds of processor.

    Steps are the same on every machine; seconds are for work that makes none.
    """

    steps: int
    seconds: float

    def times(self, factor: float) -> "Limit":
        return Limit(int(self.steps * factor), self.seconds * factor)

    def at_least(self, other: "Limit") -> "Limit":
        """The larger of both, each part on its own."""
        return Limit(max(self.steps, other.steps), max(self.seconds, other.seconds))

    def within(self, other: "Limit") -> bool:
        return self.steps < other.steps and self.seconds < other.seconds

    @property
    def sent(self) -> list[float]:
        return [self.steps, self.seconds]


class SessionLost(Exception):
    """The program inside the sandbox ended, or said what no such program says."""


@dataclass(frozen=True)
class Attempt:
    """What came of one candidate.

    status: passed, failed, timeout, syntax, unswappable, died. passed: tests passed before the
    first that failed, in the order asked for. line: of the failed assertion. ms: milliseconds.
    steps: calls and jumps.
    """

    id: int
    status: str
    passed: int
    kind: str
    line: int
    test: str
    said: str
    ms: float
    steps: int


class Session:
    """A sandbox with the tests collected; a context manager that ends it."""

    def __init__(
        self, engine: Engine, sources: Mapping[str, bytes], *, environment: Environment | None,
        seconds: float, cancelled: Callable[[], bool] | None = None,
    ) -> None:  # fmt: skip
        job = Job(
            command=("python", PROGRAM, "serve"),
            files=sources,
            inputs=program(),
            environment=environment,
            variables=VARIABLES,
            limits=Limits(wall_s=seconds, output_bytes=32_000_000),
        )
        self._session = engine.open(job, cancelled=cancelled)
        self._asked = 0  # questions that wait for their answer

    def __enter__(self) -> Self:
        self._session.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._session.__exit__(kind, fault, trace)

    def hello(self) -> tuple[list[str], list[dict[str, str]]]:
        """Node ids of the tests, and what could not be collected."""
        told = self._heard()
        return _texts(told.get("tests")), list(told.get("uncollected") or [])

    def ask(self, frame: Mapping[str, object]) -> None:
        """Send a question; the answers come in the order of the questions."""
        try:
            self._session.stdin.write(json.dumps(frame).encode() + b"\n")
            self._session.stdin.flush()
        except OSError as fault:
            raise SessionLost("the sandbox has ended") from fault

    def answers(self) -> Iterator[dict[str, Any]]:
        """Answers to the oldest question, the closing one last."""
        while True:
            told = self._heard()
            yield told
            if told.get("done"):
                return

    def baseline(self, tests: Sequence[str], limit: Limit) -> dict[str, dict[str, Any]]:
        """Every test on the code as it is: ok, kind of error, what was said, milliseconds."""
        self.ask({"do": "baseline", "tests": list(tests), "limit": limit.sent})
        return {str(told["test"]): told for told in self.answers() if "test" in told}

    def probe(
        self, tests: Sequence[str], files: Sequence[str], limit: Limit
    ) -> list[dict[str, Any]]:
        self.ask({"do": "probe", "tests": list(tests), "files": list(files), "limit": limit.sent})
        return [told for told in self.answers() if "part" in told]

    def steady(
        self, tests: Sequence[str], red: Sequence[str], limit: Limit
    ) -> tuple[list[str], Limit]:
        """Those of the tests that pass again and again, whatever ran before them.

        With what they and the red tests take together.
        """
        self.ask({"do": "steady", "tests": list(tests), "red": list(red), "limit": limit.sent})
        steady: list[str] = []
        steps, seconds = 0, 0.0
        for told in self.answers():
            if "steady" in told:
                steady = _texts(told["steady"])
                took = dict(told["took"])
                for test in (*steady, *red):
                    one = took.get(test, (0, 0.0))
                    steps, seconds = steps + int(one[0]), seconds + float(one[1])
        return steady, Limit(steps, seconds)

    def ask_to_try(
        self,
        batch: Sequence[tuple[int, Candidate, Limit, int]],
        tests: Sequence[str],
        usual: Sequence[int],
    ) -> None:
        """Have the tests run on candidates: number, change, limit of all tests together, and steps
        that any one test may take, however few are `usual` for it.
        """
        candidates = [
            {**as_sent(c, number), "limit": limit.sent, "least": least}
            for number, c, limit, least in batch
        ]
        asked = {"do": "try", "tests": list(tests), "usual": list(usual)}
        self.ask({**asked, "candidates": candidates})

    def attempts(self) -> list[Attempt]:
        """What came of the oldest batch that was asked for."""
        return [_attempt(told) for told in self.answers() if "id" in told]

    def confirm(
        self, candidate: Candidate, tests: Sequence[str], limit: Limit, passed: Sequence[str]
    ) -> dict[str, dict[str, Any]]:
        """Outcomes in a fresh fork, until the first test that fails.

        passed: tests that the candidate passed where it was the only one of its batch.
        """
        asked = {"tests": list(tests), "limit": limit.sent, "passed": list(passed)}
        self.ask({"do": "confirm", "candidate": as_sent(candidate, 0), **asked})
        return {str(told["test"]): told for told in self.answers() if "test" in told}

    def behave(
        self, candidates: Sequence[Candidate], limit: Limit
    ) -> tuple[dict[int, list[list[str]]], list[str]]:
        """Answers of each candidate (-1: the code as it is) on made inputs, and those inputs."""
        sent = [as_sent(c, number) for number, c in enumerate(candidates)]
        self.ask({"do": "behave", "candidates": sent, "limit": limit.sent})
        found: dict[int, list[list[str]]] = {}
        inputs: list[str] = []
        for told in self.answers():
            if "answers" in told:
                found[int(told["id"])] = [[str(part) for part in a] for a in told["answers"]]
            elif "inputs" in told:
                inputs = _texts(told["inputs"])
        return found, inputs

    def _heard(self) -> dict[str, Any]:
        line = self._session.stdout.readline()
        if not line:
            raise SessionLost("the sandbox has ended")
        try:
            told = json.loads(line)
        except ValueError as fault:
            raise SessionLost("the sandbox said something else") from fault
        if not isinstance(told, dict):
            raise SessionLost("the sandbox said something else")
        return told


def as_sent(candidate: Candidate, number: int) -> dict[str, object]:
    return {"id": number, "edits": [[e.path, e.start, e.end, e.text] for e in candidate.edits]}


def _attempt(told: dict[str, Any]) -> Attempt:
    ms = told.get("ms", 0.0)
    return Attempt(
        int(told["id"]), str(told["status"]), int(told.get("passed", 0)), str(told.get("kind", "")),
        int(told.get("line", 0)), str(told.get("test", "")), str(told.get("said", "")),
        float(ms) if isinstance(ms, int | float) and math.isfinite(ms) else 0.0,
        int(told.get("steps", 0)),
    )  # fmt: skip


def _texts(told: object) -> list[str]:
    return [str(one) for one in told] if isinstance(told, list) else []
