"""Puts HumanEvalFix (Python) into the shape that evaluate_repair reads.

    python -m tests.bench.humanevalfix humanevalpack.jsonl OUT [--part even|odd]

The file is HumanEvalPack of github.com/bigcode-project/octopack (MIT), which is not part of this
repository. Visible are the published tests, one assertion a test. Hidden are the same assertions
and up to 300 inputs made by changing theirs, with what the published solution answers; inputs on
which it fails or takes long are left out. `--part` takes the tasks with even or odd numbers: what
operators were tuned on is kept apart from what is reported.
"""

import argparse
import ast
import copy
import json
import random
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

INPUTS = 300

HIDDEN = '''"""Answers of the published solution on changed inputs."""

import json
import math
from pathlib import Path

import pytest

from solution import {name}

CASES = json.loads((Path(__file__).parent / "cases.json").read_text())


def same(got, wanted):
    if isinstance(got, float) or isinstance(wanted, float):
        number = isinstance(got, (int, float)) and isinstance(wanted, (int, float))
        return number and (math.isclose(got, wanted, rel_tol=1e-6, abs_tol=1e-6))
    if isinstance(got, (list, tuple)) and isinstance(wanted, (list, tuple)):
        return len(got) == len(wanted) and all(map(same, got, wanted))
    return type(got) is type(wanted) and got == wanted


@pytest.mark.parametrize("start", range(0, len(CASES), 25))
def test_hidden(start):
    for given, wanted in CASES[start : start + 25]:
        got = {name}(*eval(given))
        assert same(got, eval(wanted)), (given, got, wanted)
'''


class TooLong(Exception):
    """The solution took more than its time on a made input."""


def convert(file: Path, out: Path, part: str | None) -> int:
    """Write one folder for each task. Returns how many."""
    done = 0
    for line in file.read_text().splitlines():
        task = json.loads(line)
        number = int(task["task_id"].rpartition("/")[2])
        if part is not None and number % 2 != (part == "odd"):
            continue
        done += _write(task, out / f"task-{number:03}")
    return done


def _write(task: dict[str, Any], case: Path) -> int:
    name = task["entry_point"]
    shutil.rmtree(case, ignore_errors=True)
    (case / "tests").mkdir(parents=True)
    (case / "hidden").mkdir()
    head = task.get("import", "")
    (case / "solution.py").write_text(
        f"{head}\n{task['declaration'].lstrip()}{task['buggy_solution'].rstrip()}\n"
    )
    tests = _tests(task["test"], name)
    (case / "tests" / "test_solution.py").write_text(tests)
    space: dict[str, Any] = {}
    exec(f"{head}\n{task['declaration'].lstrip()}{task['canonical_solution']}", space)
    cases = _cases(task["test"], name, space)
    (case / "hidden" / "cases.json").write_text(json.dumps(cases))
    (case / "hidden" / "test_hidden_made.py").write_text(HIDDEN.format(name=name))
    (case / "hidden" / "test_hidden_published.py").write_text(tests)
    told = {"python": "3.13", "red": None, "hidden": "hidden"}
    (case / "case.json").write_text(json.dumps(told, indent=2) + "\n")
    return 1


def _tests(text: str, name: str) -> str:
    """The published check with each assertion as a test of its own, where it stands alone."""
    tree = ast.parse(text)
    check = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "check")
    candidate = check.args.args[0].arg
    outside = [n for n in tree.body if n is not check and not _calls_check(n)]
    parts = [ast.unparse(n) for n in outside]
    alias = f"    {candidate} = {name}\n" if candidate != name else ""
    alone = all(isinstance(n, ast.Assert | ast.Expr) for n in check.body)
    bodies = [[n] for n in check.body if isinstance(n, ast.Assert)] if alone else [check.body]
    for number, body in enumerate(bodies, 1):
        lines = "\n".join("    " + line for n in body for line in ast.unparse(n).splitlines())
        parts.append(f"def test_{number:02}():\n{alias}{lines}")
    star = f"from solution import *\nfrom solution import {name}"
    return f'"""The published tests."""\n\n{star}\n\n\n' + "\n\n\n".join(parts) + "\n"


def _calls_check(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and "check(" in ast.unparse(node)


def _cases(test: str, name: str, space: dict[str, Any]) -> list[list[str]]:
    """Inputs and answers, as texts that Python reads."""
    seen: list[tuple[Any, ...]] = []

    def noted(*given: Any) -> Any:
        seen.append(copy.deepcopy(given))
        return space[name](*given)

    tests: dict[str, Any] = dict(space)
    exec(re.sub(r"^check\(.*\)\s*$", "", test, flags=re.MULTILINE), tests)
    tests["check"](noted)
    dice = random.Random(name)
    found: dict[str, list[str]] = {}
    for turn in range(INPUTS * 3):
        if not seen or len(found) >= INPUTS:
            break
        given = list(copy.deepcopy(seen[turn] if turn < len(seen) else dice.choice(seen)))
        if turn >= len(seen):
            for _ in range(dice.randint(1, 2)):
                spot = dice.randrange(len(given)) if given else 0
                if given:
                    given[spot] = changed(given[spot], dice)
        text = repr(tuple(given))
        if len(text) > 2_000 or text in found or _strange(given):
            continue
        try:
            answer = in_time(lambda text=text: space[name](*eval(text)))
            if eval(repr(answer)) == answer:
                found[text] = [text, repr(answer)]
        except Exception:  # noqa: BLE001  # it may raise anything
            continue
    return list(found.values())


def in_time(work: Callable[[], Any], seconds: float = 0.2) -> Any:
    """What `work` gives. Raises TooLong when it takes more than its time."""
    signal.signal(signal.SIGALRM, _ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        return work()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _ring(*_: object) -> None:
    raise TooLong


def _strange(given: Any) -> bool:
    if isinstance(given, int | float) and not isinstance(given, bool):
        return abs(given) > 100_000
    if isinstance(given, list | tuple):
        return any(map(_strange, given))
    return False


def changed(value: Any, dice: random.Random) -> Any:
    """A value of the same shape: what the tests never have (negative, empty) is not made."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return max(1, value + dice.randint(-3, 3)) if value > 0 else value + dice.randint(-2, 2)
    if isinstance(value, float):
        return round(value + dice.choice([-1.5, -0.5, 0.25, 1.0, 2.5]), 3)
    if isinstance(value, str) and value:
        spot = dice.randrange(len(value))
        other = dice.choice(value)
        return dice.choice(
            [
                value[:spot] + other + value[spot + 1 :],
                value[: spot + 1] + other + value[spot + 1 :],
            ]
        )
    if isinstance(value, list | tuple) and value:
        items = list(value)
        spot = dice.randrange(len(items))
        what = dice.randrange(4)
        if what == 0 and len(items) > 1:
            del items[spot]
        elif what == 1:
            items.insert(spot, copy.deepcopy(dice.choice(items)))
        elif what == 2:
            other = dice.randrange(len(items))
            items[spot], items[other] = items[other], items[spot]
        else:
            items[spot] = changed(items[spot], dice)
        return type(value)(items)
    if isinstance(value, dict) and value:
        key = dice.choice(sorted(value, key=repr))
        return {**value, key: changed(value[key], dice)}
    return value


def main() -> None:
    """Convert, and say how many."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("file", type=Path)
    asked.add_argument("out", type=Path)
    asked.add_argument("--part", choices=["even", "odd"])
    options = asked.parse_args()
    print(f"{convert(options.file, options.out, options.part)} cases in {options.out}")


if __name__ == "__main__":
    main()
