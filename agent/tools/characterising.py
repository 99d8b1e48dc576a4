"""Writes down what a function does before it is changed: tests from calls that were recorded.

The calls come from the repository's own tests, with values beside theirs. Of them those are kept
that tell the function from its mutants, which are made by the operators of the repair engine.
"""

import ast
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agent import recasting, restructuring
from agent.errors import Interrupted
from agent.methods import Method
from agent.outputs import CHARACTER, LOG, WRITTEN_TESTS
from agent.readable import readable
from agent.repair import edits
from agent.repair.operators import candidates
from agent.repair.unit import Knowledge, units
from agent.sandbox import Ended, Job, Limits, SandboxUnavailable
from agent.tools.contract import (
    BadArguments,
    Bench,
    Cost,
    Observation,
    Tool,
    as_json,
    gives,
    takes,
    text,
    whole,
)
from authz.permissions import Permission

MUTANTS = 40
TESTS = 12  # at most
SECONDS = 60.0
_WORKER = Path(__file__).with_name("recorder.py")
_RESULT = "recorded.json"


def characterise(bench: Bench, arguments: Mapping[str, Any]) -> Observation:
    """Records calls in the sandbox, keeps what kills mutants, writes them as a test file.

    A function that no test calls with plain values gets no tests: that is told, not hidden.
    """
    files = bench.tree("base")
    path, function = _place(arguments, files)
    module = recasting.module_of(path)
    if not function or module is None:
        return _nothing("it", "it is a method, or lines of one, or of no function")
    mutants = _mutants(path, files[path], function)
    if not mutants:
        return _nothing(function, "it is no function at the top of its module that can be varied")
    said, log = _recorded(bench, files, path, module, function, mutants)
    rows = _rows(said, len(mutants))
    if rows is None:
        return _nothing(function, "its calls could not be recorded", log)
    inputs, answers, kills = rows
    kept = _kept(kills)
    if not kept:
        return _nothing(function, "no test calls it with values that can be written down", log)
    killed = sum(bool(each) for each in kills)
    place = _test_path(files, function)
    code = test_file(module, function, [(inputs[n], answers[n]) for n in kept])
    facts = {
        "path": place,
        "module": module,
        "function": function,
        "tests": len(kept),
        "mutants": len(kills),
        "killed": killed,
        "rows": [[inputs[n], answers[n]] for n in kept],
    }
    return Observation(
        f"{len(kept)} calls written down; they tell {killed} of {len(kills)} mutants from it",
        {
            WRITTEN_TESTS: as_json({place: code}),
            CHARACTER: as_json(facts),
            f"{LOG}characterise.txt": log.encode(),
        },
        result={name: facts[name] for name in ("path", "tests", "mutants", "killed")}
        | {"why_not": ""},
    )


def _place(arguments: Mapping[str, Any], files: Mapping[str, bytes]) -> tuple[str, str]:
    """File and function whose behaviour is to stay."""
    if name := arguments.get("name"):
        module, _, function = name.rpartition(".")
        if Method.of(files, name):
            return "", ""
        try:
            return restructuring.definition(files, module, function).path, function
        except recasting.CannotRecast as why:
            raise BadArguments(f"name: {why}") from why
    path = arguments.get("path", "")
    if path not in files:
        raise BadArguments(f"path: there is no file {path}")
    lines = arguments.get("first", 0), arguments.get("last", 0)
    return path, restructuring.enclosing(path, files[path], *lines)


def test_file(module: str, function: str, rows: Sequence[Any]) -> str:
    """A test file that calls `module.function` as recorded. rows: (argument texts, answer)."""
    values = [(args, said) for args, (kind, said) in rows if kind == "value"]
    errors = [(args, said) for args, (kind, said) in rows if kind == "raises"]
    parts = [
        f'"""What {function}() did before it was changed, as its calls were recorded."""\n',
        "import pytest\n",
        f"from {module} import {function}\n",
    ]
    if values:
        cases = "".join(f"        (({_tuple(args)}), {said}),\n" for args, said in values)
        parts.append(
            '\n@pytest.mark.parametrize(\n    ("arguments", "expected"),\n    [\n'
            f"{cases}    ],\n)\ndef test_it_answers_as_it_did(arguments, expected):\n"
            f"    assert {function}(*arguments) == expected\n"
        )
    if errors:
        cases = "".join(f'        (({_tuple(args)}), "{said}"),\n' for args, said in errors)
        parts.append(
            '\n@pytest.mark.parametrize(\n    ("arguments", "error"),\n    [\n'
            f"{cases}    ],\n)\ndef test_it_refuses_what_it_refused(arguments, error):\n"
            "    with pytest.raises(Exception) as raised:\n"
            f"        {function}(*arguments)\n"
            "    assert type(raised.value).__name__ == error\n"
        )
    return "\n".join(parts)


def _tuple(texts: Sequence[str]) -> str:
    return "".join(f"{each}, " for each in texts).rstrip()


def _mutants(path: str, source: bytes, function: str) -> list[str]:
    """Texts of the whole module, each with one small change of the function."""
    try:
        unit = next(one for one in units(path, source, Knowledge({})) if one.qualified == function)
    except (StopIteration, SyntaxError, ValueError, RecursionError):
        return []
    made = candidates(unit)
    # From all over the list, so that not all are of one kind.
    step = max(1, len(made) // MUTANTS)
    return [edits.apply({path: source}, one.edits)[path].decode() for one in made[::step][:MUTANTS]]


def _recorded(
    bench: Bench,
    files: Mapping[str, bytes],
    path: str,
    module: str,
    function: str,
    mutants: list[str],
) -> tuple[Any, str]:
    order = {
        "path": path,
        "module": module,
        "function": function,
        "mutants": mutants,
        "seconds": SECONDS,
    }
    job = Job(
        command=("python", "/job/recorder.py"),
        files=files,
        inputs={"recorder.py": _WORKER.read_bytes(), "order.json": as_json(order)},
        collect=(_RESULT,),
        environment=bench.environment(files),
        limits=Limits(wall_s=SECONDS * 2),
        variables={"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    outcome = bench.sandbox().run(job, on_output=bench.say, cancelled=bench.cancelled)
    if outcome.ended == Ended.CANCELLED:
        raise Interrupted("recording was stopped")
    log = readable(outcome.stdout + outcome.stderr)
    if outcome.ended == Ended.FAILED_TO_START:
        raise SandboxUnavailable(log[-300:] or "the sandbox did not start")
    try:
        return json.loads(outcome.artifacts.get(_RESULT, b"")), log
    except ValueError:
        return None, log


def _rows(
    said: Any, mutants: int
) -> tuple[list[list[str]], list[tuple[str, str]], list[list[int]]] | None:
    """What the sandbox wrote, believed only where it has the right form; None of anything else."""
    try:
        inputs = [[_literal(each) for each in row] for row in said["inputs"]]
        steady = set(map(int, said["steady"]))
        answers = [
            _answer(row) if place in steady else ("other", "")
            for place, row in enumerate(said["answers"])
        ]
        kills = [sorted({int(n) for n in row} & steady) for row in said["kills"]][:mutants]
        if len(inputs) != len(answers) or any(n >= len(inputs) for row in kills for n in row):
            return None
    except (KeyError, TypeError, ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    return inputs, answers, kills


def _answer(row: Sequence[Any]) -> tuple[str, str]:
    kind, said = str(row[0]), str(row[1])
    if kind == "value":
        return kind, _literal(said)
    if kind != "raises" or not said.isidentifier():
        raise ValueError(kind)
    return kind, said


def _literal(said: str) -> str:
    """The text anew, from what it means: nothing but a plain value gets through."""
    return repr(ast.literal_eval(said))


def _kept(kills: Sequence[Sequence[int]]) -> list[int]:
    """Few inputs that together tell every mutant that any input tells; greedy, in their order."""
    left = [set(row) for row in kills if row]
    chosen: list[int] = []
    while left and len(chosen) < TESTS:
        every = sorted({n for row in left for n in row})
        best = max(every, key=lambda n: (sum(n in row for row in left), -n))
        chosen.append(best)
        left = [row for row in left if best not in row]
    return sorted(chosen)


def _test_path(files: Mapping[str, bytes], function: str) -> str:
    folder = next((f for f in ("tests", "test") if any(p.startswith(f"{f}/") for p in files)), "")
    name = f"test_what_{function.strip('_').lower()}_did.py"
    return f"{folder}/{name}" if folder else name


def _nothing(function: str, why: str, log: str = "") -> Observation:
    said = f"nothing of {function} was written down: {why}"
    return Observation(
        said,
        {f"{LOG}characterise.txt": log.encode()} if log else {},
        result={"path": "", "tests": 0, "mutants": 0, "killed": 0, "why_not": why},
    )


def _most(arguments: Mapping[str, Any]) -> Cost:
    return Cost(wall_s=SECONDS * 2 + 10)


CHARACTERISE = Tool(
    characterise,
    Permission.TASK_RUN,
    says="Write down as tests what a function does, before it is changed.",
    arguments=takes(
        name=text("Dotted, of a function at the top of a module.", maxLength=600),
        path=text("Or a file below the repository,", maxLength=500),
        first=whole("with a line of the function,", minimum=0),
        last=whole("and another.", minimum=0),
    ),
    result=gives(
        path=text("The test file; empty when nothing was written."),
        tests=whole("Calls that are kept."),
        mutants=whole("Small changes that were tried."),
        killed=whole("Of them, those that the tests notice."),
        why_not=text("Why nothing was written, if so."),
    ),
    most=_most,
)
