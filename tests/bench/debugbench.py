"""Puts DebugBench (Python) into the shape that evaluate_repair reads.

    python -m tests.bench.debugbench BENCHMARK OUT [--every N]

BENCHMARK is that folder of a checkout of github.com/thunlp/DebugBench (Apache-2.0), which is not
part of this repository. Taken are single faults of kinds that run at all, in problems whose
examples are plain values. Visible are the published examples and six made inputs, hidden 200 more:
inputs made by changing those of the examples, with what the published solution answers. Faults that
no visible test shows are left out. Which solutions take too long depends a little on the machine.
Solutions are run in this process, in no sandbox: convert where that does no harm.
"""

import argparse
import ast
import copy
import io
import json
import random
import re
import shutil
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from tests.bench.humanevalfix import HIDDEN, changed, in_time

KINDS = (
    *("condition error", "faulty indexing", "misused == or =", "operation error", "other error"),
    *("undefined methods", "undefined objects", "variable error"),
)
VISIBLE, HIDDEN_ONES, LEAST = 6, 200, 20
HEAD = """from bisect import *
from collections import *
from functools import *
from heapq import *
from itertools import *
from math import *
from typing import *
import bisect, collections, functools, heapq, itertools, math, operator, random, re, string
"""
_OURS = (
    "from solution import Solution\n\n\ndef answered(*given):\n    return Solution().{name}(*given)"
)
HIDDEN_TESTS = HIDDEN.replace("from solution import {name}", _OURS).replace(
    "{name}(*eval", "answered(*eval"
)
_EXAMPLE = re.compile(r"Input:\s*(.*?)\s*Output:\s*(.*?)\s*(?:Explanation.*)?$", re.DOTALL)
_WORDS = {"null": "None", "true": "True", "false": "False"}

type Calls = list[tuple[str, str]]  # arguments and answer, as texts that Python reads


def convert(benchmark: Path, out: Path, every: int) -> int:
    """Write one folder for each fault. Returns how many."""
    found: dict[str, tuple[dict[str, Any], str, Calls]] = {}
    for kind in KINDS:
        for row in json.loads((benchmark / f"python3_{kind}.json").read_text()):
            name = f"{kind.replace(' ', '_')[:9]}-{row['slug']}"[:60]
            if taken := _taken(row):
                found[name] = (row, *taken)
    chosen = sorted(found)[::every]
    for name in chosen:
        _write(out / name, *found[name])
    return len(chosen)


def _taken(row: dict[str, Any]) -> tuple[str, Calls] | None:
    """The method that is asked for and calls of it, or None for what cannot be taken."""
    examples = [_read(text) for text in row["examples"]]
    methods = _methods(row["oracle_code"])
    if not examples or None in examples or not set(methods) & set(_methods(row["buggy_code"])):
        return None
    given = [one for one in examples if one is not None]
    right = _loaded(row["oracle_code"])
    for name in methods if right else ():
        if all(_answer(right, name, repr(tuple(args))) == repr(want) for args, want in given):
            break
    else:
        return None
    calls = [(repr(tuple(args)), repr(want)) for args, want in given]
    made = _made([args for args, _ in given], right, name, random.Random(row["slug"]))
    visible = len(calls) + VISIBLE
    calls += made
    wrong = _loaded(row["buggy_code"])
    if len(made) < LEAST or wrong is None:
        return None
    if all(_answer(wrong, name, args) == want for args, want in calls[:visible]):
        return None
    return name, calls


def _read(example: str) -> tuple[list[Any], Any] | None:
    match = _EXAMPLE.match(example)
    if match is None:
        return None
    given, want = (
        re.sub(r"\b(null|true|false)\b", lambda m: _WORDS[m[0]], t) for t in match.groups()
    )
    try:
        call = ast.parse(f"f({given})", mode="eval").body
        assert isinstance(call, ast.Call)
        values = [ast.literal_eval(one.value) for one in call.keywords]
        return (values, ast.literal_eval(want)) if values and not call.args else None
    except (SyntaxError, ValueError):
        return None


def _methods(code: str) -> list[str]:
    try:
        body = ast.parse(code).body
    except SyntaxError:
        return []
    return [
        one.name
        for found in body
        if isinstance(found, ast.ClassDef) and found.name == "Solution"
        for one in found.body
        if isinstance(one, ast.FunctionDef) and not one.name.startswith("_")
    ]


def _loaded(code: str) -> dict[str, Any] | None:
    space: dict[str, Any] = {}
    try:
        exec(HEAD + code, space)
    except Exception:  # noqa: BLE001  # it may raise anything
        return None
    return space


def _answer(space: dict[str, Any] | None, method: str, given: str) -> str:
    """What a solution answers as a text; why not, when it fails or takes long."""
    assert space is not None
    try:
        return repr(in_time(lambda: getattr(space["Solution"](), method)(*eval(given))))
    except Exception as fault:  # noqa: BLE001  # it may raise anything
        return f"raised {type(fault).__name__}"


def _made(
    examples: Sequence[Sequence[Any]], right: dict[str, Any] | None, name: str, dice: random.Random
) -> Calls:
    kept_so = [_always(column) for column in zip(*examples, strict=True)]
    found: dict[str, str] = {}
    for _ in range(900):
        if len(found) >= VISIBLE + HIDDEN_ONES:
            break
        given = copy.deepcopy(list(dice.choice(examples)))
        for _ in range(dice.randint(1, 4)):
            spot = dice.randrange(len(given))
            given[spot] = changed(given[spot], dice)
        text = repr(tuple(given))
        fits = all(so(value) for so, value in zip(kept_so, given, strict=True))
        if len(text) > 1_500 or text in found or not fits:
            continue
        answer = _answer(right, name, text)
        if answer != "None" and not answer.startswith("raised "):
            found[text] = answer
    return list(found.items())


def _always(values: Sequence[Any]) -> Any:
    """A check for what holds of every list of numbers given here: in order, without doubles."""

    def of_numbers(value: Any) -> bool:
        return isinstance(value, list) and all(isinstance(one, int | float) for one in value)

    lists = [value for value in values if of_numbers(value) and value]
    in_order = bool(lists) and all(value == sorted(value) for value in lists)
    unique = bool(lists) and all(len(set(value)) == len(value) for value in lists)

    def check(value: Any) -> bool:
        if not of_numbers(value):
            return True
        return (not in_order or value == sorted(value)) and (
            not unique or len(set(value)) == len(value)
        )

    return check


def _write(case: Path, row: dict[str, Any], name: str, calls: Calls) -> None:
    shutil.rmtree(case, ignore_errors=True)
    (case / "tests").mkdir(parents=True)
    (case / "hidden").mkdir()
    visible = len(row["examples"]) + VISIBLE
    tests = [
        f"def test_{number:02}():\n    assert Solution().{name}(*{args}) == {want}"
        for number, (args, want) in enumerate(calls[:visible], 1)
    ]
    (case / "solution.py").write_text(f"{HEAD}\n\n{row['buggy_code'].strip()}\n")
    head = '"""Published examples, and some more."""\n\nfrom solution import Solution\n\n\n'
    (case / "tests" / "test_solution.py").write_text(head + "\n\n\n".join(tests) + "\n")
    (case / "hidden" / "cases.json").write_text(json.dumps(calls[visible:]))
    (case / "hidden" / "test_hidden_made.py").write_text(HIDDEN_TESTS.replace("{name}", name))
    told = {"python": "3.13", "red": None, "hidden": "hidden"}
    (case / "case.json").write_text(json.dumps(told, indent=2) + "\n")


def main() -> None:
    """Convert, and say how many."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("benchmark", type=Path)
    asked.add_argument("out", type=Path)
    asked.add_argument("--every", type=int, default=1, help="take one of so many")
    options = asked.parse_args()
    with redirect_stdout(io.StringIO()):  # some solutions print
        done = convert(options.benchmark, options.out, options.every)
    print(f"{done} cases in {options.out}")


if __name__ == "__main__":
    main()
