"""Searches for a small change that makes failing tests pass, offline first."""

import difflib
from collections.abc import Mapping
from typing import Any

from agent import repair
from agent.errors import Interrupted
from agent.outputs import LOG, REPAIR
from agent.sandbox import SandboxUnavailable
from agent.tools.contract import (
    Bench,
    Cost,
    Observation,
    Tool,
    as_json,
    gives,
    listed,
    number,
    takes,
    text,
    whole,
)
from agent.tools.searching import code_search
from agent.tools.suggesting import suggester
from authz.permissions import Permission

SECONDS = 60.0  # of a search, when the caller names none
SHOWN = 5  # repairs in a result


def propose_repair(bench: Bench, arguments: Mapping[str, Any]) -> Observation:
    """Tries small changes by the thousand; those that pass every test come back ranked.

    Finding none is an answer, not a fault: `patches` is empty then.
    """
    files = bench.tree("base")
    heard: list[str] = []

    def say(progress: repair.Progress) -> None:
        heard.append(f"{progress.seconds:7.2f} s  {progress.words}\n")
        bench.say(heard[-1].encode())

    report = bench.report

    def look(words: str) -> list[tuple[str, int]]:
        found = code_search(bench, {"query": words}).result
        return [(row["path"], row["line"]) for row in found["snippets"]]

    suggest = bench.ask and suggester(bench.ask, report.title, report.what_is_wrong, look)
    found = repair.repair(
        files,
        list(arguments["red"]),
        engine=bench.sandbox(),
        seconds=float(arguments.get("seconds", SECONDS)),
        on_progress=say,
        environment=bench.environment(files),
        cancelled=bench.cancelled,
        suggest=suggest,
        # The flow makes clean runs of its own, of whatever it takes from here.
        proven=False,
    )
    if bench.cancelled():
        raise Interrupted("the search was stopped")
    if found.ended == repair.Ended.SANDBOX_LOST:
        raise SandboxUnavailable(found.reason)
    patches = [_patch(files, patch, place) for place, patch in enumerate(found.patches[:SHOWN])]
    kept = {
        "ended": str(found.ended),
        "reason": found.reason,
        "tried": found.tried,
        "per_second": round(found.per_second, 1),
        "seconds": round(found.seconds, 2),
        "told_apart": found.told_apart,
        "behaviours": found.behaviours,
        "inputs": found.inputs,
        "suggested": found.suggested,
        "suspects": [
            {"path": s.path, "line": s.line, "score": s.score, "text": s.text}
            for s in found.suspects
        ],
        "patches": [
            {**said, "explanation": _explained(found, place)} for place, said in enumerate(patches)
        ],
    }
    return Observation(
        _said(found, patches),
        {REPAIR: as_json(kept), f"{LOG}repair.txt": "".join(heard).encode()},
        result={
            "patches": patches,
            "tried": found.tried,
            "seconds": round(found.seconds, 2),
            "ended": str(found.ended),
            "reason": found.reason,
        },
    )


def _said(found: repair.Repair, patches: list[dict[str, Any]]) -> str:
    if not patches:
        return f"{found.tried:,} changes tried in {found.seconds:.0f} s, none helps: {found.reason}"
    told = "all behave alike" if found.told_apart else f"{found.behaviours} kinds of behaviour"
    first = patches[0]
    return (
        f"{found.tried:,} changes tried, {len(found.patches)} pass every test ({told}); "
        f"first: {first['rationale']}"
    )


def _patch(files: Mapping[str, bytes], patch: repair.Patch, place: int) -> dict[str, Any]:
    return {
        "parts": [
            {"file_path": path, "unified_diff": unified_diff(path, files[path], after)}
            for path, after in sorted(patch.files.items())
        ],
        "rationale": f"{patch.operator} in {patch.path}, line {patch.line}",
        "confidence": round(patch.probability, 3),
    }


def _explained(found: repair.Repair, place: int) -> dict[str, Any]:
    """What people read about one repair: four texts, how sure, why so sure."""
    patch, said = found.patches[place], found.explanation
    if said is None:
        raise ValueError("a repair without an explanation")
    why = said.why
    if place:
        why = (
            f"{patch.operator.capitalize()} in {patch.path}, line {patch.line}. It was ranked"
            f" {place + 1}; what was ranked before it did not hold on the whole suite."
        )
    return {
        "what_was_wrong": said.wrong,
        "why_this_change": why,
        "considered": [
            said.considered,
            # Whoever reads the change should know which texts of others a model had before it.
            *([f"{found.suggested[:1].upper()}{found.suggested[1:]}."] if found.suggested else []),
            *(
                f"{other.operator} in {other.path}, line {other.line}"
                + (f" (differs: {other.differs})" if other.differs else " (behaves the same)")
                for other in found.patches[:SHOWN]
                if other is not patch
            ),
        ],
        "cannot_tell": [said.open],
        "confidence": round(patch.probability, 3),
        "confidence_because": patch.confidence,
        "rank": place + 1,
    }


def unified_diff(path: str, before: bytes, after: bytes) -> str:
    """The change of one file as git writes it, also where the last line has no end."""
    found = []
    for line in difflib.unified_diff(
        before.decode().splitlines(keepends=True),
        after.decode().splitlines(keepends=True),
        f"a/{path}",
        f"b/{path}",
    ):
        found.append(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n")
    return "".join(found)


PROPOSE_REPAIR = Tool(
    propose_repair,
    Permission.TASK_RUN,
    says="Search for a small change that makes failing tests pass; where none does, or several"
    " do that differ, ask a model as well.",
    arguments=takes(
        ("red",),
        red=listed({"type": "string"}, "Tests that fail.", minItems=1, maxItems=200),
        seconds=number("How long to search.", minimum=1, maximum=600),
    ),
    result=gives(
        patches=listed(
            gives(
                parts=listed(
                    gives(file_path=text("Path."), unified_diff=text("For code_patch.")),
                    "One for each file.",
                ),
                rationale=text("What it does."),
                confidence=number("0 to 1.", minimum=0, maximum=1),
            ),
            "Best first; empty when nothing helps.",
        ),
        tried=whole("Changes."),
        seconds=number("Time taken."),
        ended=text("How it ended.", enum=[str(one) for one in repair.Ended]),
        reason=text("Why it ended as it did."),
    ),
    most=lambda arguments: Cost(wall_s=float(arguments.get("seconds", SECONDS)) + 30),
)
