"""The whole repair: find the red tests, doubt lines, try changes, rank, prove, explain."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

from agent.repair.edits import Edit, apply, unified
from agent.repair.explanation import explained
from agent.repair.localise import knowledge
from agent.repair.operators.base import Candidate
from agent.repair.proof import ProofFailed, Prover
from agent.repair.ranking import Ranked, confidence, ranked
from agent.repair.results import Ended, Explanation, Patch, Progress, Repair, Suspect
from agent.repair.search import Found, Search
from agent.repair.session import Limit, Session, SessionLost
from agent.repair.suggestions import Case, Suggest, acceptable
from agent.repair.unit import Knowledge
from agent.sandbox.job import Engine, Environment

BASELINE_LIMIT = Limit(1_500_000, 4.0)  # of one test on the code as it is
TRACED_LIMIT = Limit(3_000_000, 10.0)  # the same while it is traced
LOOPING = 3  # tests that never end which are traced, for a shorter time
LOOPING_LIMIT = Limit(5_000, 1.0)
LEAST_LIMIT = Limit(40_000, 2.0)  # of one test of a candidate
LEAST_PROVING = Limit(200_000, 10.0)  # of one test in a clean run
PROBED = 40  # tests that are traced, half of them passing
QUICK = Limit(20_000, 0.1)  # a passing test this quick is tried on every candidate
QUICK_TESTS = 60
COMPARING_LIMIT = Limit(50_000, 1.0)  # of one made input
COMPARED = 24  # patches whose behaviour is compared
SHOWN = 10  # patches handed back
PROVEN = 3  # patches for which clean runs are made until one holds
OFFLINE_SHARE = 0.6  # of the time, when somebody else can be asked afterwards
START = 0.6  # least seconds that a sandbox is expected to take to start


def is_test_file(path: str) -> bool:
    """Whether a file belongs to the tests, which a repair never changes."""
    parts = path.split("/")
    name = parts[-1]
    return (
        name == "conftest.py"
        or (name.startswith("test_") and name.endswith(".py"))
        or name.endswith("_test.py")
        or bool({"tests", "test", "testing"} & set(parts[:-1]))
    )


def repair(
    sources: Mapping[str, bytes],
    red: Sequence[str] | None,
    *,
    engine: Engine,
    seconds: float = 60.0,
    on_progress: Callable[[Progress], None] | None = None,
    environment: Environment | None = None,
    cancelled: Callable[[], bool] | None = None,
    suggest: Suggest | None = None,
    proven: bool = True,
) -> Repair:
    """Look for a small change that makes the red tests pass and breaks none.

    sources: the whole tree, path to content; files of tests are never changed. red: node ids, or
    None for whatever fails. seconds: for everything, clean runs included. cancelled: asked between
    batches; when it says yes the repair ends as out of time. suggest: asked for changes when no
    small one helps, or when several that behave differently pass and none of them is much likelier
    than the others; what it proposes is tried, ranked with them and proven like any other. proven:
    whether clean runs have to confirm the first; without, `proof` is None, for who makes runs of
    his own.
    """
    return _Repairing(
        sources, red, engine, seconds, on_progress, environment, cancelled, suggest, proven
    ).run()


class _Cancelled(Exception):
    pass


@dataclass(frozen=True)
class _Base:
    """What the tests give on the code as it is.

    taken: by each test. said: by those that are red. longest: ten times what one test takes.
    """

    tests: list[str]
    passing: list[str]
    taken: Mapping[str, Limit]
    said: Mapping[str, str]
    longest: Limit


class _Repairing:
    def __init__(
        self,
        sources: Mapping[str, bytes],
        red: Sequence[str] | None,
        engine: Engine,
        seconds: float,
        on_progress: Callable[[Progress], None] | None,
        environment: Environment | None,
        cancelled: Callable[[], bool] | None,
        suggest: Suggest | None,
        proven: bool,
    ) -> None:
        self._sources = dict(sources)
        self._asked = list(red) if red is not None else None
        self._engine = engine
        self._began = monotonic()
        self._seconds = seconds
        self._tell = on_progress or (lambda _: None)
        self._environment = environment
        self._cancelled = cancelled or (lambda: False)
        self._suggest = suggest
        self._proof_wanted = proven
        self._suggested = ""
        self._proposed: set[tuple[Edit, ...]] = set()
        self._red: dict[str, str] = {}
        self._wall = max(120.0, 2 * seconds)

    def run(self) -> Repair:
        try:
            return self._run()
        except SessionLost as lost:
            if self._cancelled():
                return self._ended(Ended.OUT_OF_TIME, "stopped on request")
            return self._ended(Ended.SANDBOX_LOST, str(lost))
        except _Cancelled:
            return self._ended(Ended.OUT_OF_TIME, "stopped on request")

    def _elapsed(self) -> float:
        return monotonic() - self._began

    def _say(self, stage: str, words: str, tried: int = 0, found: int = 0) -> None:
        if self._cancelled():
            raise _Cancelled
        self._tell(Progress(stage, words, tried, found, round(self._elapsed(), 2)))

    def _ended(self, how: Ended, reason: str, **more: Any) -> Repair:
        return Repair(how, reason, dict(self._red), seconds=self._elapsed(), tier=self._engine.tier,
                      suggested=self._suggested, **more)  # fmt: skip

    def _run(self) -> Repair:
        self._say("collect", "collecting the tests")
        with ExitStack() as kept:
            with Session(
                self._engine, self._sources, environment=self._environment,
                seconds=self._wall + 30, cancelled=self._cancelled,
            ) as session:  # fmt: skip
                tests, uncollected = session.hello()
                start = max(START, self._elapsed())
                if not tests:
                    why = [one["why"].strip().splitlines()[-1] for one in uncollected]
                    return self._ended(Ended.NOT_COLLECTED, (why or ["no tests"])[0])
                base = self._looked_at(session, tests)
                if not self._red:
                    return self._ended(Ended.NOTHING_RED, "no test that should be repaired fails")
                prover = kept.enter_context(self._prover(base.longest))
                if self._proof_wanted:
                    prover.ahead()
                known = self._localise(session, base.passing)
                suspects = self._suspects(known.suspicion)
                if not suspects:
                    why_not = "the failing tests run no line of the sources"
                    return self._ended(Ended.NOT_FOUND, why_not)
                reserve = min(0.35 * self._seconds, 5 * start + 2)
                search = self._search(session, known, base, reserve, prover)
                found = search.run()
                order, inputs = self._ranked(session, found)
                beside: list[Candidate] = []
                doubt = _doubt(order, inputs)
                if doubt and self._suggest is not None:
                    before = len(found.passing)
                    beside = self._ask(self._suggest, doubt, search, base.said, suspects, reserve)
                    if len(found.passing) > before:
                        order, inputs = self._ranked(session, found)
                if not found.passing and not beside:
                    how = Ended.NOT_FOUND if found.exhausted else Ended.OUT_OF_TIME
                    words = "no change that was tried passes every test"
                    if self._suggested:
                        words += f"; {self._suggested}"
                    return self._ended(how, words, suspects=suspects, **_figures(found))
            # What was not run beside the others is no likelier than the last of them.
            most = order[-1].probability if order else 1.0
            order += [
                replace(one, probability=min(one.probability, most))
                for one in ranked(beside, {}, [0] * len(beside), first_cluster=len(order))
            ]
            return self._proven(prover, order, inputs, found, suspects)

    def _looked_at(self, session: Session, tests: list[str]) -> _Base:
        """Run every test on the code as it is, and note which are red."""
        self._say("baseline", f"running {len(tests)} tests on the code as it is")
        seen = session.baseline((), BASELINE_LIMIT)
        failing = {t: str(got["kind"]) for t, got in seen.items() if not got["ok"]}
        if self._asked is not None:
            wanted = _expanded(self._asked, tests)
            failing = {t: kind for t, kind in failing.items() if t in wanted}
        self._red = failing
        taken = {t: Limit(int(got["steps"]), float(got["ms"]) / 1000) for t, got in seen.items()}
        passing = [t for t in tests if seen.get(t, {}).get("ok")]
        longest = LEAST_LIMIT
        for test in [*passing, *(t for t, kind in failing.items() if kind != "timeout")]:
            longest = longest.at_least(taken[test].times(10))
        said = {test: str(seen[test].get("said", "")) for test in failing}
        return _Base(tests, passing, taken, said, longest)

    def _prover(self, longest: Limit) -> Prover:
        return Prover(
            self._engine, self._sources, list(self._red), environment=self._environment,
            limit=LEAST_PROVING.at_least(longest.times(5)), wall=self._wall,
            cancelled=self._cancelled, named=self._asked is not None,
        )  # fmt: skip

    def _search(
        self, session: Session, known: Knowledge, base: _Base, reserve: float, prover: Prover
    ) -> Search:
        def allow(taken: Limit) -> None:
            prover.allow(taken)
            if self._proof_wanted:
                prover.ahead()

        quick = sorted(
            (t for t in base.passing if base.taken[t].within(QUICK)),
            key=lambda t: base.taken[t].steps,
        )[:QUICK_TESTS]
        endless = [test for test, kind in self._red.items() if kind == "timeout"]
        ended = [test for test in self._red if test not in endless]
        quick, together = session.steady(quick, ended, base.longest)
        share = OFFLINE_SHARE if self._suggest else 1.0
        return Search(
            session,
            self._sources,
            known,
            red=[*sorted(ended, key=lambda t: base.taken[t].steps), *endless],
            all_tests=[t for t in base.tests if t in self._red or t in base.passing],
            quick=quick,
            test_limit=base.longest,
            taken={test: base.taken[test].steps for test in [*ended, *quick]},
            candidate_limit=together.times(3),
            until=self._began + (self._seconds - reserve) * share,
            on_progress=lambda tried, found: self._say(
                "search", f"{tried:,} changes tried, {found} pass every test", tried, found
            ),
            on_found=allow,
        )

    def _ask(
        self,
        suggest: Suggest,
        doubt: str,
        search: Search,
        said: Mapping[str, str],
        suspects: tuple[Suspect, ...],
        reserve: float,
    ) -> list[Candidate]:
        """Try what somebody else proposes; returns what only clean runs can tell about."""
        self._say("suggest", f"{doubt}; asking a language model")
        left = self._seconds - reserve - self._elapsed()
        places = tuple((one.path, one.line) for one in suspects)
        came = suggest(Case(self._sources, said, places, max(5.0, left)))
        made = acceptable(self._sources, came, is_test_file)
        self._suggested = came.words
        self._proposed = {candidate.edits for candidate in made}
        self._say("suggest", f"{self._suggested}; {len(made)} of them are tried")
        return search.also(made)

    def _localise(self, session: Session, passing: list[str]) -> Knowledge:
        self._say("localise", f"{len(self._red)} tests fail; finding the lines to doubt")
        files = [p for p in self._sources if p.endswith(".py") and not is_test_file(p)]
        ending = [test for test, kind in self._red.items() if kind != "timeout"]
        looping = [test for test, kind in self._red.items() if kind == "timeout"][:LOOPING]
        chosen = [*ending[: PROBED // 2], *passing[: PROBED // 2]]
        parts = session.probe(chosen, files, TRACED_LIMIT)
        parts += session.probe(looping, files, LOOPING_LIMIT)
        return knowledge(parts, self._sources)

    def _suspects(self, suspicion: Mapping[tuple[str, int], float]) -> tuple[Suspect, ...]:
        found = []
        for (path, line), score in sorted(suspicion.items(), key=lambda one: (-one[1], one[0])):
            lines = self._sources.get(path, b"").decode("utf-8", "replace").splitlines()
            if score > 0 and line <= len(lines):
                found.append(Suspect(path, line, round(score, 3), lines[line - 1].strip()))
        return tuple(found[:30])

    def _ranked(self, session: Session, found: Found) -> tuple[list[Ranked], list[str]]:
        if found.passing:
            self._say("rank", f"comparing {len(found.passing)} changes that pass",
                      found.tried, len(found.passing))  # fmt: skip
        kept = sorted(found.passing, key=lambda one: (one[0].cost, one[0].edits))
        # However many small changes pass: what was asked for is compared with them.
        kept = kept[:COMPARED] + [one for one in kept[COMPARED:] if one[0].edits in self._proposed]
        answers, inputs = session.behave([c for c, _ in kept], COMPARING_LIMIT)
        return ranked([c for c, _ in kept], answers, [taken.steps for _, taken in kept]), inputs

    def _proven(
        self,
        prover: Prover,
        order: list[Ranked],
        inputs: list[str],
        found: Found,
        suspects: tuple[Suspect, ...],
    ) -> Repair:
        figures = {**_figures(found), "suspects": suspects, "inputs": len(inputs)}
        # One of each behaviour first, then the others.
        firsts = list({one.cluster: one for one in reversed(order)}.values())[::-1]
        line = [*sorted(firsts, key=order.index), *(one for one in order if one not in firsts)]
        exchanged = {candidate.edits for candidate, _ in found.passing}
        why = ""
        for one in line[:PROVEN]:
            proof = None
            # What could not be exchanged in a running program has passed nothing yet.
            if self._proof_wanted or one.candidate.edits not in exchanged:
                self._say("prove", "clean runs: red, green, taken back", found.tried, len(order))
                try:
                    proof = prover.prove(apply(self._sources, one.candidate.edits))
                except ProofFailed as failed:
                    why = str(failed)
                    continue
            line = [one, *(other for other in line if other is not one)]
            patches = tuple(self._patch(other, one, inputs) for other in line[:SHOWN])
            behaviours = len({other.cluster for other in order})
            explanation = self._explained(one, line, patches, found, inputs)
            return self._ended(
                Ended.REPAIRED, "every failing test passes and none that passed fails",
                patches=patches, proof=proof, explanation=explanation,
                told_apart=behaviours == 1, behaviours=behaviours, **figures,
            )  # fmt: skip
        return self._ended(Ended.NOT_PROVEN, why, **figures)

    def _patch(self, one: Ranked, first: Ranked, inputs: list[str]) -> Patch:
        candidate = one.candidate
        changed = apply(self._sources, candidate.edits)
        paths = sorted({edit.path for edit in candidate.edits})
        return Patch(
            diff=unified(self._sources, changed),
            files={path: changed[path] for path in paths},
            operator=candidate.operator,
            path=paths[0],
            line=candidate.line,
            score=one.score,
            cluster=one.cluster,
            probability=one.probability,
            confidence=confidence(one.probability, len(inputs)),
            differs=_difference(first, one, inputs),
        )

    def _explained(
        self,
        one: Ranked,
        line: list[Ranked],
        patches: tuple[Patch, ...],
        found: Found,
        inputs: list[str],
    ) -> Explanation:
        others = list({other.cluster: other for other in reversed(line)}.values())[::-1]
        others = [other for other in others if other.cluster != one.cluster]
        removed, added = _hunk(patches[0].diff)
        alternatives = []
        for other in others:
            old, new = _hunk(unified(self._sources, apply(self._sources, other.candidate.edits)))
            alternatives.append(_shown(old, new, other.candidate))
        differing = next((p.differs for p in patches if p.differs), None)
        return Explanation(
            *explained(
                red=self._red,
                kinds=list(self._red.values()),
                place=f"{patches[0].path}, line {patches[0].line}",
                operator=one.candidate.operator,
                before=removed,
                after=added,
                tried=found.tried,
                alternatives=alternatives,
                differing=differing,
                inputs=len(inputs),
            )
        )


def _doubt(order: Sequence[Ranked], inputs: Sequence[str]) -> str:
    """Why somebody else should be asked as well; empty when what was found is clear enough."""
    if not order:
        return "no small change helps"
    behaviours = len({one.cluster for one in order})
    if behaviours == 1 or confidence(order[0].probability, len(inputs)) == "high":
        return ""
    return f"the tests cannot tell {behaviours} behaviours apart"


def _figures(found: Found) -> dict[str, Any]:
    rate = found.tried / found.seconds if found.seconds else 0.0
    return {"tried": found.tried, "per_second": round(rate, 1), "first_after": found.first_after}


def _expanded(asked: Sequence[str], tests: Sequence[str]) -> set[str]:
    """The node ids asked for; one without parameters stands for all its parameters."""
    return {
        test
        for test in tests
        if test in asked or any(test.startswith((f"{one}[", f"{one}::")) for one in asked)
    }


def _difference(first: Ranked, other: Ranked, inputs: list[str]) -> str | None:
    if other.cluster == first.cluster:
        return None
    for given, one, two in zip(inputs, first.answers, other.answers, strict=False):
        if one != two and one and two:
            return f"{given} gives {one} or {two}"
    return None


def _hunk(diff: str) -> tuple[str, str]:
    """The lines removed and the lines added, each on one line."""
    lines = [x for x in diff.splitlines() if not x.startswith(("+++ ", "--- "))]
    removed = " ".join(x[1:].strip() for x in lines if x.startswith("-"))
    added = " ".join(x[1:].strip() for x in lines if x.startswith("+"))
    return re.sub(r"`", "'", removed), re.sub(r"`", "'", added)


def _shown(old: str, new: str, candidate: Candidate) -> str:
    what = f"`{new}`" if new else f"without `{old}`"
    return f"{what} at line {candidate.line}"
