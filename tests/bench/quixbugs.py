"""Puts QuixBugs into the shape that evaluate_repair reads.

    python -m tests.bench.quixbugs CHECKOUT OUT

CHECKOUT is a work tree of github.com/jkoppel/QuixBugs (MIT), which is not part of this repository.
The tests that come with it are the visible ones. Hidden are up to 600 generated inputs for each
program, within what its own text asks of its input, with what the correct program answers.
"""

import argparse
import ast
import json
import random
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

INPUTS = 600
Dice = random.Random

HIDDEN = '''"""Answers of the correct program on generated inputs."""

import json
from pathlib import Path

import pytest

from python_programs.{name} import {name}
{support}
CASES = json.loads((Path(__file__).parent / "cases.json").read_text())


def same(got, wanted):
    if isinstance(got, float) or isinstance(wanted, float):
        return isinstance(got, (int, float)) and got == pytest.approx(wanted, rel=1e-6, abs={near})
    if isinstance(got, list) and isinstance(wanted, list):
        return len(got) == len(wanted) and all(map(same, got, wanted))
    return got == wanted


@pytest.mark.parametrize("start", range(0, len(CASES), 50))
def test_hidden(start):
    for given, wanted in CASES[start : start + 50]:
        got = answer({name}, given)
        assert same(got, wanted), (given, got, wanted)
'''

# How a program is called with what JSON can hold, and how its answer is written as JSON.
SUPPORT = """

class Node:
    def __init__(self, value=None):
        self.value = value
        self.successor = None
        self.successors = []
        self.incoming_nodes = []
        self.outgoing_nodes = []


def plain(value):
    if isinstance(value, (set, frozenset)):
        return sorted(plain(v) for v in value)
    if isinstance(value, dict):
        return sorted([plain(k), plain(v)] for k, v in value.items())
    if isinstance(value, (str, int, float, type(None))):
        return value
    return [plain(v) for v in value]


def graph(edges, count):
    nodes = [Node(n) for n in range(count)]
    for one, other in edges:
        nodes[one].successors.append(nodes[other])
        nodes[one].outgoing_nodes.append(nodes[other])
        nodes[other].incoming_nodes.append(nodes[one])
    return nodes


def answer(program, given):
    kind, given = given
    if kind == "plain":
        return plain(program(*given))
    if kind == "search":
        count, edges, start, goal = given
        nodes = graph(edges, count)
        return program(nodes[start], nodes[goal])
    if kind == "linked":
        count, back = given
        nodes = [Node(n) for n in range(count)]
        for one, other in zip(nodes, nodes[1:]):
            one.successor = other
        if back is not None:
            nodes[-1].successor = nodes[back]
        result = program(nodes[0] if nodes else None)
        if isinstance(result, bool):
            return result
        values = []
        while result is not None and len(values) <= count:
            values.append(result.value)
            result = result.successor
        return values
    if kind == "order":
        count, edges = given
        return [node.value for node in program(graph(edges, count))]
    if kind == "weights":
        before, weights = given
        return plain(program(*before, {tuple(edge): weight for edge, weight in weights}))
    if kind == "length":
        count, weights, start, goal = given
        nodes = graph([edge for edge, _ in weights], count)
        lengths = {(nodes[a], nodes[b]): weight for (a, b), weight in weights}
        return program(lengths, nodes[start], nodes[goal])
    raise ValueError(kind)
"""


def ints(dice: Dice, most: int = 9, low: int = -9, high: int = 20) -> list[int]:
    return [dice.randint(low, high) for _ in range(dice.randint(0, most))]


def word(dice: Dice, most: int = 8, letters: str = "abcd") -> str:
    return "".join(dice.choice(letters) for _ in range(dice.randint(0, most)))


def nested(dice: Dice, depth: int = 3) -> list[Any]:
    return [
        nested(dice, depth - 1) if depth and dice.random() < 0.4 else dice.randint(0, 9)
        for _ in range(dice.randint(0, 4))
    ]


def edges(dice: Dice, count: int, forward: bool = False) -> list[list[int]]:
    found = {
        tuple(sorted(pair) if forward else pair)
        for pair in (dice.sample(range(count), 2) for _ in range(dice.randint(0, 2 * count)))
    }
    return [list(pair) for pair in sorted(found)]


def rpn(dice: Dice) -> list[Any]:
    tokens: list[Any] = [float(dice.randint(1, 9))]
    for _ in range(dice.randint(0, 4)):
        tokens += [float(dice.randint(1, 9)), dice.choice("+-*/")]
    if dice.random() < 0.5 and len(tokens) > 1:
        return [float(dice.randint(1, 9)), *tokens, dice.choice("+-*")]
    return tokens


def infix(dice: Dice) -> list[Any]:
    tokens: list[Any] = [dice.randint(1, 99)]
    for _ in range(dice.randint(0, 6)):
        tokens += [dice.choice("+-*/"), dice.randint(1, 99)]
    return tokens


def palindrome(dice: Dice) -> list[int]:
    half = [dice.choice([9, 9, dice.randint(1, 9)]) for _ in range(dice.randint(1, 4))]
    return half + half[::-1][dice.randint(0, 1) :]


def permutation(dice: Dice) -> list[int]:
    while True:
        numbers = dice.sample(range(1, 10), dice.randint(2, 6))
        if numbers != sorted(numbers, reverse=True):
            return numbers


def almost_sorted(dice: Dice) -> list[Any]:
    """A list whose elements stand at most k places from where they belong, and k."""
    k = dice.randint(0, 4)
    numbers = sorted(ints(dice, 10))
    for start in range(0, len(numbers), k + 1):
        part = numbers[start : start + k + 1]
        dice.shuffle(part)
        numbers[start : start + k + 1] = part
    return [numbers, k]


def weighted(dice: Dice, count: int, low: int, forward: bool = False) -> list[list[Any]]:
    return [[edge, dice.randint(low, 9)] for edge in edges(dice, count, forward)]


def connected(dice: Dice) -> list[list[Any]]:
    """A connected undirected graph whose weights all differ, so that one tree is the least."""
    count = dice.randint(2, 6)
    found = {(dice.randrange(n), n) for n in range(1, count)}
    found |= {tuple(edge) for edge in edges(dice, count, forward=True)}
    weights = dice.sample(range(1, 50), len(found))
    return [[list(edge), weight] for edge, weight in zip(sorted(found), weights, strict=True)]


def plain(*given: Any) -> list[Any]:
    return ["plain", list(given)]


def searched(dice: Dice) -> list[Any]:
    count = dice.randint(2, 7)
    return ["search", [count, edges(dice, count), dice.randrange(count), dice.randrange(count)]]


MAKERS: dict[str, Callable[[Dice], list[Any]]] = {
    "bitcount": lambda d: plain(d.randint(0, 4000)),
    "breadth_first_search": searched,
    "bucketsort": lambda d: plain(ints(d, 9, 0, 11), 12),
    "depth_first_search": searched,
    "detect_cycle": lambda d: (
        ["linked", [n := d.randint(1, 7), d.choice([None, d.randrange(n)])]]
    ),
    "find_first_in_sorted": lambda d: plain(sorted(ints(d, 9, 0, 9)), d.randint(-1, 10)),
    "find_in_sorted": lambda d: plain(sorted(set(ints(d, 9, 0, 15))), d.randint(-1, 16)),
    "flatten": lambda d: plain(nested(d)),
    "gcd": lambda d: plain(d.randint(0, 300), d.randint(0, 300)),
    "get_factors": lambda d: plain(d.randint(1, 3000)),
    "hanoi": lambda d: plain(d.randint(0, 6), *d.sample([1, 2, 3], 2)),
    "is_valid_parenthesization": lambda d: plain(word(d, 8, "()")),
    "kheapsort": lambda d: plain(*almost_sorted(d)),
    "knapsack": lambda d: plain(
        d.randint(1, 40), [[d.randint(1, 20), d.randint(1, 30)] for _ in range(d.randint(0, 6))]
    ),
    "kth": lambda d: plain(numbers := [*ints(d), 4], d.randrange(len(numbers))),
    "lcs_length": lambda d: plain(word(d), word(d)),
    "levenshtein": lambda d: plain(word(d, 5), word(d, 5)),
    "lis": lambda d: plain(d.sample(range(30), d.randint(0, 8))),
    "longest_common_subsequence": lambda d: plain(word(d, 6), word(d, 6)),
    "max_sublist_sum": lambda d: plain(ints(d, 9, -9, 9)),
    "mergesort": lambda d: plain(ints(d)),
    "minimum_spanning_tree": lambda d: ["weights", [[], connected(d)]],
    "next_palindrome": lambda d: plain(palindrome(d)),
    "next_permutation": lambda d: plain(permutation(d)),
    "pascal": lambda d: plain(d.randint(1, 14)),
    "possible_change": lambda d: plain(
        d.sample([1, 2, 3, 5, 7, 10, 25], d.randint(0, 4)), d.randint(-3, 40)
    ),
    "powerset": lambda d: plain(d.sample("abcdefgh", d.randint(0, 6))),
    "quicksort": lambda d: plain(ints(d)),
    "reverse_linked_list": lambda d: ["linked", [d.randint(0, 8), None]],
    "rpn_eval": lambda d: plain(rpn(d)),
    "shortest_path_length": lambda d: (
        ["length", [n := d.randint(2, 6), weighted(d, n, 1), d.randrange(n), d.randrange(n)]]
    ),
    "shortest_path_lengths": lambda d: (
        ["weights", [[n := d.randint(2, 6)], weighted(d, n, -3, forward=True)]]
    ),
    "shortest_paths": lambda d: [
        "weights",
        [[0], [[[0, 1], 2], *weighted(d, 5, -3, forward=True)]],
    ],
    "shunting_yard": lambda d: plain(infix(d)),
    "sieve": lambda d: plain(d.randint(1, 150)),
    "sqrt": lambda d: plain(d.randint(2, 400) / 2, d.choice([0.5, 0.1, 0.01, 0.001])),
    "subsequences": lambda d: plain(d.randint(-3, 6), d.randint(-3, 9), d.randint(1, 4)),
    "to_base": lambda d: plain(d.randint(1, 99999), d.randint(2, 36)),
    "topological_ordering": lambda d: (
        ["order", [n := d.randint(1, 7), edges(d, n, forward=True) if n > 1 else []]]
    ),
    # The correct program goes on for ever when a word and its space fill the whole width.
    "wrap": lambda d: plain(
        " ".join(word(d, 3) + "e" for _ in range(d.randint(0, 14))), d.randint(8, 20)
    ),
}


def convert(checkout: Path, out: Path) -> int:
    """Write one folder for each program. Returns how many."""
    space: dict[str, Any] = {}
    exec(SUPPORT, space)
    for name, make in MAKERS.items():
        case = out / name
        shutil.rmtree(case, ignore_errors=True)
        for folder in ("python_programs", "tests", "hidden"):
            (case / folder).mkdir(parents=True)
        shutil.copy(checkout / "python_programs" / f"{name}.py", case / "python_programs")
        test = (checkout / "python_testcases" / f"test_{name}.py").read_text()
        test = re.sub(r"if pytest\.use_correct:\n.*\nelse:\n    (.*)", r"\1", test).replace(
            "not pytest.run_slow", "True"
        )
        (case / "tests" / f"test_{name}.py").write_text(test)
        if "from node import" in test:
            shutil.copy(checkout / "python_testcases" / "node.py", case / "tests")
        if "load_testdata" in test:
            loader = (checkout / "python_testcases" / "load_testdata.py").read_text()
            loader = loader.replace('/ ".."', "").replace("json_testcases/", "")
            (case / "tests" / "load_testdata.py").write_text(loader)
            shutil.copy(checkout / "json_testcases" / f"{name}.json", case / "tests")
        correct = _correct(checkout, name)
        dice = random.Random(name)
        cases: dict[str, Any] = {}
        for _ in range(INPUTS * 2):
            given = make(dice)
            key = json.dumps(given)
            if key in cases or len(cases) >= INPUTS:
                continue
            try:
                cases[key] = [json.loads(key), space["answer"](correct, json.loads(key))]
            except (TypeError, KeyError):
                # Nodes equally far, or that no edge leads to: the correct programs fail, too.
                continue
        near = "given_epsilon" if name == "sqrt" else "1e-9"
        text = HIDDEN.format(name=name, support=SUPPORT, near=near)
        if name == "sqrt":
            # Any number within epsilon of the root is right, however it was reached.
            text = text.replace(
                "        got = answer(sqrt, given)\n        assert same(got, wanted)",
                "        got = answer(sqrt, given)\n"
                "        x, epsilon = given[1]\n"
                "        assert abs(got * got - x) <= epsilon * 2 * max(1, got)",
            ).replace("given_epsilon", "1e-9")
        (case / "hidden" / f"test_hidden_{name}.py").write_text(text)
        (case / "hidden" / "cases.json").write_text(json.dumps(list(cases.values())))
        told = {"python": "3.13", "red": None, "hidden": "hidden"}
        (case / "case.json").write_text(json.dumps(told, indent=2) + "\n")
    return len(MAKERS)


def _correct(checkout: Path, name: str) -> Callable[..., Any]:
    """The first of the correct programs: some files hold several under one name."""
    folder = checkout / "correct_python_programs"
    tree = ast.parse((folder / f"{name}.py").read_text())
    again = [s for s in tree.body if isinstance(s, ast.FunctionDef) and s.name == name][1:]
    tree.body = [statement for statement in tree.body if statement not in again]
    sys.path.insert(0, str(folder))
    space: dict[str, Any] = {}
    exec(compile(tree, name, "exec"), space)
    program: Callable[..., Any] = space[name]
    return program


def main() -> None:
    """Convert, and say how many."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("checkout", type=Path)
    asked.add_argument("out", type=Path)
    options = asked.parse_args()
    print(f"{convert(options.checkout, options.out)} cases in {options.out}")


if __name__ == "__main__":
    main()
