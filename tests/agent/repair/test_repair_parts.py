"""Edits, operators, suspicion and ranking, without a sandbox."""

import pytest

from agent.repair import evaluation, is_test_file
from agent.repair.edits import Edit, apply, changed_lines, unified
from agent.repair.localise import knowledge, ochiai
from agent.repair.operators import candidates
from agent.repair.operators.base import Candidate
from agent.repair.ranking import ranked
from agent.repair.unit import Knowledge, units

INT, LIST, TEXT = frozenset({"int"}), frozenset({"list[int]"}), frozenset({"str"})


def changes(
    source: str, types: dict[str, frozenset[str]] | None = None, **known
) -> dict[str, Candidate]:
    """Candidates for the one function of a source, by the source that they give."""
    path, text = "a.py", source.encode()
    lines = {(path, n): 1.0 for n in range(1, 40)}
    (unit,) = units(path, text, Knowledge(lines))
    named = {(path, unit.qualified, name): kinds for name, kinds in (types or {}).items()}
    (unit,) = units(path, text, Knowledge(lines, types=named, **known))
    found: dict[str, Candidate] = {}
    for candidate in candidates(unit):
        found.setdefault(apply({path: text}, candidate.edits)[path].decode(), candidate)
    return found


@pytest.mark.parametrize(
    ("old", "new", "types"),
    [
        ("return a < b", "return a <= b", {}),
        ("return a - b", "return b - a", {}),
        ("return f(a, b)", "return f(b, a)", {}),
        ("return a[b]", "return a[b + 1]", {"a": LIST, "b": INT}),
        ("return a + b", "return a", {}),
        ("return (a + b) * 2", "return (a - b) * 2", {}),
        ("a *= b\n    return a", "a += b\n    return a", {}),
        ("return any(a)", "return all(a)", {}),
        ("return a", "return a[b:]", {"a": LIST, "b": INT}),
        ("return a", "return max(0, a)", {"a": INT}),
        ("return [a]", "return [a, b]", {}),
        ("return a", "return abs(a)", {"a": INT}),
        ("if a:\n        return b", "if not a:\n        return b", {}),
        ("if a < 0:\n        return b", "if a < 0 or not b:\n        return b", {"b": LIST}),
        ("return a == 0", "return a <= 1", {}),
        ("return 'x' + a", "return a + 'x'", {"a": TEXT}),
        ("a.update(b)", "a = b", {}),
        ("if a and b < 1 or b > 9:\n        return a",
         "if a and (b < 1 or b > 9):\n        return a", {}),
        ("return a * b + 1", "return a * (b + 1)", {}),
        ("return a ** 2 * b", "return a ** b", {}),
        ("return a[-1]", "return sum(a)", {"a": LIST}),
        ("if a + a == b or a == 2:\n        return a",
         "if a + a == b or a == 2 or (b + a == a):\n        return a", {}),
        ("return a.get(b)", "return a.get(b, 0)", {}),
        ("return a[b]", "return b", {}),
        ("return a - 7000", "return a - 700", {}),
        ("return a[b] + a[b] * 2", "return b + b * 2", {}),
        ("return a[b + 1] * 2", "return (b + 1) * 2", {}),
        ("return a[b]", "return a.get(b, 0)", {"a": frozenset({"dict[str]"})}),
        ("return max(a)", "return max(a, default=0)", {"a": LIST}),
        ("return a[:b] + 'x' * len(MORE)", "return a[:b - len(MORE)] + 'x' * len(MORE)",
         {"a": TEXT, "b": INT}),
        ("for x in b:\n        pass", "for x in b:\n        a.append(x)\n        pass",
         {"a": LIST, "b": LIST, "x": INT}),
        ("for x in b:\n        a += x\n        return a",
         "for x in b:\n        a += x\n    return a", {}),
    ],
)  # fmt: skip
def test_the_operators_know_the_usual_slips(old, new, types):
    head = "def g(a, b):\n    "

    assert f"{head}{new}\n" in changes(f"{head}{old}\n", types)


@pytest.mark.parametrize(
    ("old", "new", "missing"),
    [
        ("return lenght(a) + b", "return len(a) + b", "lenght"),
        ("return self.max(a, b)", "return max(a, b)", "max"),
        ("return a.length() - b", "return len(a) - b", "length"),
        ("return a.size * b", "return len(a) * b", "size"),
        ("return a.value + b", "return a + b", "value"),
        ("return no_a + b", "return a + b", "no_a"),
        ("return x * x - b", "return a * a - b", "x"),
        ("return a + first", "return a + 0", "first"),
    ],
)
def test_what_is_said_not_to_be_there_is_replaced_first(old, new, missing):
    head = "def g(a, b):\n    "
    fixed = f"{head}{new}\n"

    found = changes(f"{head}{old}\n", missing=frozenset({missing}))
    without = changes(f"{head}{old}\n")

    assert sum(one.cost < found[fixed].cost for one in found.values()) < 40
    assert fixed not in without or without[fixed].cost > found[fixed].cost


def test_a_method_called_without_self_and_its_attribute_too():
    head = "class C:\n    def f(self):\n        return 1\n\n    def g(self):\n        return "
    lines = {("a.py", n): 1.0 for n in range(1, 9)}
    text = f"{head}f() + k\n".encode()
    known = Knowledge(lines, missing=frozenset({"f", "k"}))
    (*_, unit) = units("a.py", text, known)

    made = {apply({"a.py": text}, one.edits)["a.py"].decode() for one in candidates(unit)}

    assert {f"{head}self.f() + k\n", f"{head}f() + self.k\n"} <= made


@pytest.mark.parametrize(
    ("said", "missing"),
    [
        ("name 'lenght' is not defined. Did you mean: 'len'?", {"lenght"}),
        ("'list' object has no attribute 'size'", {"size"}),
        ("module 'math' has no attribute 'squareroot'", {"squareroot"}),
        ("cannot access local variable 'best' where it is not associated with a value", {"best"}),
        ("assert 1 == 2", set()),
    ],
)
def test_errors_tell_which_names_there_are_none_of(said, missing):
    part = {"test": "t.py::test_a", "part": 0, "ok": False, "kind": "X", "said": said, "lines": [],
            "where": []}  # fmt: skip

    assert knowledge([part], {}).missing == missing
    assert knowledge([{**part, "ok": True}], {}).missing == set()


TESTS = b"""def test_one():
    "words of it"
    found = g("Jupiter")
    assert found == [7, "Saturn"], "never that"


def test_two():
    assert g("Mars") == 8
    assert g("Venus") == 9


class TestMore:
    def test_three(self):
        assert g(3) == 4
"""


@pytest.mark.parametrize(
    ("test", "part", "told"),
    [
        ("test_one", 0, ["Jupiter", 7, "Saturn"]),  # one assertion: the whole test is the part
        ("test_two", 9, ["Venus", 9]),
        ("TestMore::test_three", 0, [3, 4]),
        ("TestMore::test_three[a::b-1]", 0, [3, 4]),
    ],
)
def test_numbers_and_texts_of_failing_tests_are_told(test, part, told):
    seen = {"test": f"t.py::{test}", "part": part, "ok": False, "kind": "AssertionError",
            "said": "", "lines": [], "where": []}  # fmt: skip

    assert knowledge([seen], {"t.py": TESTS}).literals == told


def test_a_text_that_is_nearly_one_of_a_failing_test_is_taken_for_misspelt():
    source = "def g(a):\n    return ('Jupyter', a == '(')\n"

    found = changes(source, literals=("Jupiter", "Neptune", "[[]"))

    near, far = (found[source.replace("Jupyter", text)] for text in ("Jupiter", "Neptune"))
    assert near.cost < far.cost
    assert ("k" in near.flags, "k" in far.flags) == (False, True)
    assert source.replace("'('", "'['") in found
    assert source.replace("'('", "'['") not in changes(source)


def test_a_change_keeps_comments_and_meaning_by_brackets():
    made = changes("def g(a, b):\n    return 2 * (a)  # twice\n", {"a": INT, "b": INT})

    assert "def g(a, b):\n    return 2 * (a - b)  # twice\n" in made
    assert "def g(a, b):\n    return 2 * a - b  # twice\n" not in made


def test_what_types_rule_out_is_not_tried():
    made = changes("def g(a, b):\n    return len(a)\n", {"a": LIST, "b": INT})
    names = {c.cost for text, c in made.items() if "return len(b)" in text}
    fitting = changes("def g(a, b):\n    return len(a)\n", {"a": LIST, "b": LIST})

    assert min(names) > min(c.cost for text, c in fitting.items() if "return len(b)" in text)


def test_a_doubted_line_comes_before_one_that_is_not():
    text = b"def g(a):\n    b = a + 1\n    return b + 1\n"
    (unit,) = units("a.py", text, Knowledge({("a.py", 3): 1.0, ("a.py", 2): 0.2}))

    lines = [c.line for c in candidates(unit) if c.operator == "another arithmetic operator"]

    assert lines[0] == 3
    assert lines[-1] == 2


def test_lines_that_only_failing_assertions_run_are_doubted_most():
    parts = [
        {"ok": True, "lines": [["a.py", 1], ["a.py", 2]], "where": []},
        {"ok": False, "lines": [["a.py", 1], ["a.py", 3]], "where": []},
    ]

    found = ochiai(parts)

    assert found["a.py", 3] == 1.0
    assert found["a.py", 1] == pytest.approx(0.7071, abs=1e-3)
    assert ("a.py", 2) not in found


def candidate(cost: float, flags: str = "", line: int = 1) -> Candidate:
    return Candidate((Edit("a.py", int(cost * 100), 300, ""),), "o", cost, line, "g", flags)


def test_patches_that_answer_alike_are_one_cluster_and_strange_ones_come_later():
    answers = {
        -1: [["int:0", "0"], ["int:1", "1"]],
        0: [["raise TypeError", ""], ["int:1", "1"]],
        1: [["int:5", "5"], ["int:1", "1"]],
        2: [["int:5", "5"], ["int:1", "1"]],
    }

    order = ranked([candidate(1.0), candidate(1.3), candidate(1.4, line=2)], answers, [1, 1, 1])

    assert [one.candidate.cost for one in order] == [1.3, 1.4, 1.0]
    assert [one.cluster for one in order] == [0, 0, 1]
    assert order[0].probability > order[2].probability


def test_a_deletion_ranks_behind_a_change_of_the_same_cost():
    order = ranked([candidate(1.0, "d"), candidate(1.1)], {}, [1, 1])

    assert [one.candidate.flags for one in order] == ["", "d"]


def test_a_diff_can_be_read_and_counted():
    before = {"a.py": b"one\ntwo", "b.py": b"same\n"}

    diff = unified(before, apply(before, [Edit("a.py", 4, 7, "three")]))

    assert diff.startswith("diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n")
    assert "-two\n\\ No newline at end of file\n+three\n\\ No newline at end of file\n" in diff
    assert changed_lines(diff) == 2


@pytest.mark.parametrize(
    ("path", "is_one"),
    [
        ("tests/data.json", True), ("test_a.py", True), ("pkg/a_test.py", True),
        ("conftest.py", True), ("pkg/a.py", False), ("contest.py", False), ("latest.py", False),
    ],
)  # fmt: skip
def test_files_of_tests_are_known(path, is_one):
    assert is_test_file(path) is is_one


def test_a_case_that_lacks_its_hidden_tests_is_refused(tmp_path):
    (tmp_path / "case.json").write_text('{"red": null, "hidden": "hidden"}')

    with pytest.raises(evaluation.BadCase, match="no hidden tests"):
        evaluation.read(tmp_path)
