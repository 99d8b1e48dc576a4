"""Tries candidates in the order of their cost until some pass every test, or the time is up."""

import ast
import heapq
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import monotonic

from agent.repair.edits import Edit, apply, changed_lines, unified
from agent.repair.operators import OPERATORS, SUSPICION, candidates
from agent.repair.operators.base import Candidate
from agent.repair.session import Attempt, Limit, Session
from agent.repair.unit import Knowledge, Unit, units

BATCHES = (16, 128)  # fewest and most candidates tried in one fork
BATCH_STEPS = 3_000_000  # that those of one batch may take together
# For the tests of one candidate.
TIERS = (
    Limit(20_000, 0.25),
    Limit(200_000, 1.0),
    Limit(2_000_000, 6.0),
    Limit(30_000_000, 60.0),
)
BETWEEN = (8, 24, 100)  # others that are tried before one goes to the next tier, by its tier
AFTERWARDS = (
    1_500  # candidates that are tried after the first that passes, and as many as before it
)
CHANGED_LINES = 300  # more is not a repair but a rewrite
PROVING = 4  # times what the tests take that clean runs of a repair take on two cores
ENOUGH = 60  # patches that pass everything
MARGIN = 1.7  # how much dearer than the best patch others may be to be looked at
PARTIAL = 40  # candidates that got further than the base, kept to be combined
SIMPLE = 1_500  # candidates that those are combined with
CHEAPEST = min(operator.prior for operator in OPERATORS) - 1.0


@dataclass
class Found:
    """What a search gave: what passes, with what it took. Seconds are of the search alone."""

    passing: list[tuple[Candidate, Limit]] = field(default_factory=list)
    tried: int = 0
    timed_out: int = 0
    seconds: float = 0.0
    first_after: float | None = None
    tried_at_first: int = 0
    exhausted: bool = False


class Pool:
    """Hands out candidates, cheapest first; a function's are made when its turn comes."""

    def __init__(self, sources: Mapping[str, bytes], known: Knowledge) -> None:
        self._numbers = itertools.count()
        self._heap: list[tuple[float, int, Candidate | Unit]] = []
        self.made = 0
        doubted: dict[str, set[int]] = {}
        for (path, line), suspicion in known.suspicion.items():
            if suspicion > 0:
                doubted.setdefault(path, set()).add(line)
        for path, lines in sorted(doubted.items()):
            for unit in units(path, sources[path], known):
                inside = [
                    known.suspicion[path, line]
                    for line in lines
                    if unit.node.lineno <= line <= (unit.node.end_lineno or line)
                ]
                if inside:
                    floor = CHEAPEST + SUSPICION * (1 - max(inside))
                    self.add(floor, unit)

    def add(self, cost: float, thing: Candidate | Unit) -> None:
        heapq.heappush(self._heap, (cost, next(self._numbers), thing))

    def __iter__(self) -> Iterator[Candidate]:
        while self._heap:
            _, _, thing = heapq.heappop(self._heap)
            if isinstance(thing, Unit):
                for candidate in candidates(thing):
                    self.add(candidate.cost, candidate)
                    self.made += 1
            else:
                yield thing


class Search:
    """One search in one session."""

    def __init__(
        self,
        session: Session,
        sources: Mapping[str, bytes],
        known: Knowledge,
        *,
        red: Sequence[str],
        all_tests: Sequence[str],
        quick: Sequence[str],
        taken: Mapping[str, int],
        test_limit: Limit,
        candidate_limit: Limit,
        until: float,
        on_progress: Callable[[int, int], None],
        on_found: Callable[[Limit], None],
    ) -> None:
        """quick: tests that pass and take little, tried after the red ones. taken: steps of red
        and quick tests that end, on the code as it is.

        test_limit, candidate_limit: for one test, and for the red and quick tests of one candidate.
        until: monotonic. on_found: told what each change took that passes. What is found does not
        depend on how busy the machine is, unless the time is up.
        """
        self._session = session
        self._sources = sources
        self._known = known
        self._red = list(red)
        self._tests = [*red, *quick]
        self._usual = [3 * taken.get(test, 0) for test in self._tests]
        self._all = list(all_tests)
        self._test_limit = test_limit
        self._candidate_limit = candidate_limit
        self._until = until
        self._on_progress = on_progress
        self._on_found = on_found
        self._found = Found()
        self._partial: list[tuple[tuple[int, int], Candidate]] = []
        self._late: list[tuple[int, int, float, int, Candidate]] = []
        self._held: tuple[Candidate, int] | None = None  # did not fit into the batch before
        self._seen: set[tuple[Edit, ...]] = set()
        self._simple: list[Candidate] = []
        self._stop_cost = float("inf")

    def run(self) -> Found:
        """Search until enough was found, nothing is left, or the time is up."""
        began = monotonic()
        waiting: list[list[tuple[Candidate, int]]] = []
        stream = self._stream()
        ended = False
        size = BATCHES[0]
        while True:
            while len(waiting) < 2 and not ended and not self._over():
                batch = self._batch(stream, size)
                if not batch:
                    ended = not waiting
                    break
                size = min(BATCHES[1], size * 2)
                self._ask(batch)
                waiting.append(batch)
            if not waiting:
                break
            passed = self._heard(waiting.pop(0))
            if waiting and passed:
                # The next batch's answers come before those about what passed.
                passed += self._heard(waiting.pop(0))
            for candidate, attempt, alone in passed:
                self._confirm(candidate, attempt, began, alone=alone)
            self._found.seconds = monotonic() - began
            self._on_progress(self._found.tried, len(self._found.passing))
        self._found.exhausted = ended
        return self._found

    def _heard(
        self, batch: Sequence[tuple[Candidate, int]]
    ) -> list[tuple[Candidate, Attempt, bool]]:
        """What passed of the oldest batch, and whether it was alone in it."""
        return [
            (candidate, attempt, len(batch) == 1)
            for attempt in self._session.attempts()
            for candidate, tier in [batch[attempt.id]]
            if self._passed(candidate, tier, attempt)
        ]

    def also(self, made: Sequence[Candidate]) -> list[Candidate]:
        """Try these too, with seconds for each; what passes is added to what was found.

        Returns those that cannot be exchanged in a program that runs: only clean runs tell.
        """
        fresh = [candidate for candidate in made if self._acceptable(candidate)]
        if not fresh:
            return []
        began = monotonic()
        self._ask([(candidate, 2) for candidate in fresh])
        passed, unswapped = [], []
        for attempt in self._session.attempts():
            self._found.tried += 1
            if attempt.status == "passed":
                passed.append((fresh[attempt.id], attempt))
            elif attempt.status in {"unswappable", "syntax"}:
                unswapped.append(fresh[attempt.id])
        self._stop_cost = float("inf")
        for candidate, attempt in passed:
            self._confirm(candidate, attempt, began, alone=len(fresh) == 1)
        self._found.seconds += monotonic() - began
        return unswapped

    def _batch(
        self, stream: Iterator[tuple[Candidate, int]], most: int
    ) -> list[tuple[Candidate, int]]:
        """The next candidates with their tiers; fewer where each may take long."""
        batch: list[tuple[Candidate, int]] = []
        steps = 0
        while len(batch) < most:
            one = self._held or next(stream, None)
            if one is None:
                break
            steps += TIERS[one[1]].steps
            if batch and steps > BATCH_STEPS:
                self._held = one
                break
            self._held = None
            batch.append(one)
        return batch

    def _over(self) -> bool:
        found = self._found
        if monotonic() >= self._until or len(found.passing) >= ENOUGH:
            return True
        return bool(found.passing) and found.tried > 2 * found.tried_at_first + AFTERWARDS

    def _ask(self, batch: Sequence[tuple[Candidate, int]]) -> None:
        asked = [(n, c, self._limit(t), TIERS[t].steps) for n, (c, t) in enumerate(batch)]
        self._session.ask_to_try(asked, self._tests, self._usual)

    def _limit(self, tier: int) -> Limit:
        return TIERS[tier].at_least(self._candidate_limit.times(1 + 3 * tier))

    def _stream(self) -> Iterator[tuple[Candidate, int]]:
        """Candidates with the tier of their limit: single changes, then late ones and pairs."""
        since = 0
        for candidate in Pool(self._sources, self._known):
            if candidate.cost > self._stop_cost:
                return
            if self._acceptable(candidate):
                if len(self._simple) < SIMPLE:
                    self._simple.append(candidate)
                yield candidate, 0
            # What ran out of time gets more of it, beside a number of others.
            since += 1
            if self._late:
                promising, tier, *_ = self._late[0]
                if since >= (BETWEEN[tier] if promising else 60):
                    since = 0
                    yield self._next_late()
        while self._late:
            yield self._next_late()
        if not self._found.passing:
            yield from self._pairs()
            while self._late:
                yield self._next_late()

    def _next_late(self) -> tuple[Candidate, int]:
        _, tier, _, _, candidate = heapq.heappop(self._late)
        return candidate, tier + 1

    def _pairs(self) -> Iterator[tuple[Candidate, int]]:
        """Changes that got further than the base, each with another change."""
        best = sorted(self._partial, key=lambda one: (tuple(-p for p in one[0]), one[1].cost))
        heap: list[tuple[float, int, Candidate]] = []
        numbers = itertools.count()
        for order, (_, first) in enumerate(best[:PARTIAL]):
            for second in self._simple:
                if _apart(first, second):
                    both = replace(
                        first,
                        edits=tuple(sorted(first.edits + second.edits)),
                        operator=f"{first.operator}, and {second.operator}",
                        cost=first.cost + second.cost,
                        flags="".join(sorted(set(first.flags + second.flags))),
                        doubt=first.doubt + second.doubt,
                    )
                    heap.append((second.cost + 0.05 * order, next(numbers), both))
        heapq.heapify(heap)
        while heap:
            _, _, both = heapq.heappop(heap)
            if both.cost > self._stop_cost:
                continue
            if self._acceptable(both):
                yield both, 0

    def _acceptable(self, candidate: Candidate) -> bool:
        if candidate.edits in self._seen:
            return False
        self._seen.add(candidate.edits)
        return all(len(edit.text) < 4_000 for edit in candidate.edits)

    def _passed(self, candidate: Candidate, tier: int, attempt: Attempt) -> bool:
        self._found.tried += 1
        if attempt.status == "timeout":
            self._found.timed_out += 1
            # An endless loop passes nothing, and red tests come first: only what repaired some of
            # them is waited for longer, first of all what repaired most.
            promising = attempt.passed
            if tier == 0 or (promising and tier + 1 < len(TIERS)):
                late = (-promising, tier, candidate.cost, self._found.tried, candidate)
                heapq.heappush(self._late, late)
        elif attempt.status == "failed" and (attempt.passed or attempt.line):
            self._partial.append(((attempt.passed, attempt.line), candidate))
            if len(self._partial) > 20 * PARTIAL:
                self._partial.sort(key=lambda one: (tuple(-p for p in one[0]), one[1].cost))
                del self._partial[PARTIAL:]
        return attempt.status == "passed"

    def _confirm(
        self, candidate: Candidate, attempt: Attempt, began: float, *, alone: bool
    ) -> None:
        changed = apply(self._sources, candidate.edits)
        if changed_lines(unified(self._sources, changed)) > CHANGED_LINES:
            return
        if not _parses(changed, candidate):
            return
        taken = Limit(attempt.steps, attempt.ms / 1000)
        limit = self._test_limit.at_least(taken.times(2))
        passed = self._tests if alone else []
        outcomes = self._session.confirm(candidate, self._all, limit, passed)
        if any(not outcomes.get(test, {}).get("ok") for test in self._all):
            return
        if self._found.first_after is None:
            self._found.first_after = monotonic() - began
            self._found.tried_at_first = self._found.tried
            self._until -= PROVING * taken.seconds
        self._found.passing.append((candidate, taken))
        self._on_found(taken)
        self._stop_cost = min(self._stop_cost, candidate.cost + MARGIN)


def _apart(one: Candidate, other: Candidate) -> bool:
    return all(
        a.path != b.path or a.end < b.start or b.end < a.start
        for a in one.edits
        for b in other.edits
    )


def _parses(changed: Mapping[str, bytes], candidate: Candidate) -> bool:
    try:
        for edit in candidate.edits:
            ast.parse(changed[edit.path])
    except (SyntaxError, ValueError):
        return False
    return True
