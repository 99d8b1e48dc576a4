"""A repair that somebody else proposes goes the way of every other, and no other."""

import pytest

from agent.repair import Ended, flow, is_test_file, repair
from agent.repair.edits import Edit
from agent.repair.operators import Candidate
from agent.repair.ranking import Ranked
from agent.repair.suggestions import (
    Case,
    NotAcceptable,
    Proposed,
    Suggestion,
    acceptable,
    candidate,
)
from agent.sandbox import engine

# No small change makes words of a number: nothing that the engine knows finds it.
CODE = b'''"""Roman numerals."""


def roman(number):
    """In capital letters."""
    return str(number)  # for now
'''
TESTS = b"""import pytest
from numerals import roman


@pytest.mark.parametrize("number, said", [(1, "I"), (4, "IV"), (9, "IX"), (44, "XLIV")])
def test_roman(number, said):
    assert roman(number) == said


def test_it_says_something():
    assert roman(10)
"""
SOURCES = {"numerals.py": CODE, "tests/test_numerals.py": TESTS, "setup.cfg": b"[x]\n"}
OLD = "    return str(number)  # for now\n"
NEW = """    said = ""
    for value, letters in VALUES:
        while number >= value:
            said += letters
            number -= value
    return said
"""
TABLE = (
    'VALUES = [(40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I")]\n\n\n'
    "def roman(number):\n"
)


def _try(proposed, sources=SOURCES):
    return candidate(sources, Proposed(tuple(proposed)), "Mo", is_test_file)


def test_what_is_proposed_is_tried_proven_and_named_like_any_other_change():
    asked: list[Case] = []

    def suggest(case):
        asked.append(case)
        wrong = Proposed((("numerals.py", OLD, '    return "I" * number\n'),))
        # With a table before the function, it cannot be exchanged in a program that runs.
        right = Proposed(
            (("numerals.py", "def roman(number):\n", TABLE), ("numerals.py", OLD, NEW))
        )
        return Suggestion("Mo", (wrong, right))

    done = repair(SOURCES, None, engine=engine(), seconds=40, suggest=suggest)

    assert done.ended == Ended.REPAIRED
    assert asked[0].suspects[0][0] == "numerals.py"
    assert "tests/test_numerals.py::test_roman[4-IV]" in asked[0].red
    assert done.patches[0].files["numerals.py"].startswith(b'"""Roman numerals."""\n\n\nVALUES')
    assert done.patches[0].operator == "a change that Mo proposed"
    assert done.suggested == "Mo proposed 2 changes"
    assert [run.name for run in done.proof.runs] == [
        "red 1", "red 2", "red 3", "all before", "all after", "taken back",
    ]  # fmt: skip


def test_what_breaks_another_test_or_helps_nothing_is_no_repair():
    breaks = '    return {1: "I", 4: "IV", 9: "IX", 44: "XLIV"}.get(number)\n'  # none for ten

    def suggest(case):
        return Suggestion("Mo", (Proposed((("numerals.py", OLD, breaks),)),))

    done = repair(SOURCES, None, engine=engine(), seconds=20, suggest=suggest)

    assert done.ended in {Ended.NOT_FOUND, Ended.OUT_OF_TIME}
    assert done.patches == ()
    assert "Mo proposed 1 change" in done.reason


# One test, met by many small changes that do different things.
POSTAGE = {
    "postage.py": b"def postage(total):\n    return 0 if total > 50 else 5\n",
    "tests/test_postage.py": b"""from postage import postage


def test_fifty_is_enough():
    assert postage(50) == 0


def test_ten_is_not():
    assert postage(10) == 5
""",
}


def test_where_tests_cannot_tell_repairs_apart_what_is_proposed_competes_with_them():
    asked: list[Case] = []

    def suggest(case):
        asked.append(case)
        old = "    return 0 if total > 50 else 5\n"
        new = "    if total < 50:\n        return 5\n    return 0\n"
        return Suggestion("Mo", (Proposed((("postage.py", old, new),)),), read=("postage.py",))

    done = repair(POSTAGE, None, engine=engine(), seconds=60, suggest=suggest)

    assert done.ended == Ended.REPAIRED
    assert done.behaviours > 1
    assert len(asked) == 1
    assert done.suggested == "Mo proposed 1 change after reading: postage.py"
    [proposed] = [one for one in done.patches if one.operator == "a change that Mo proposed"]
    assert 0 < proposed.probability < 1
    assert {one.operator for one in done.patches} > {proposed.operator}


def _ranked(*rows):
    edit = Edit("postage.py", 0, 0, "")
    made = Candidate((edit,), "a change", 1.0, 1, "")
    return [Ranked(made, 1.0, cluster, probability, ()) for cluster, probability in rows]


@pytest.mark.parametrize(
    ("order", "doubt"),
    [
        ([], "no small change helps"),
        (_ranked((0, 0.4), (1, 0.3)), "the tests cannot tell 2 behaviours apart"),
        (_ranked((0, 0.75), (1, 0.1)), ""),  # one is much likelier
        (_ranked((0, 0.3), (0, 0.3)), ""),  # all do the same
    ],
)
def test_somebody_else_is_asked_only_in_doubt(order, doubt):
    assert flow._doubt(order, ["f(1)"]) == doubt


@pytest.mark.parametrize(
    ("edits", "why"),
    [
        ([("tests/test_numerals.py", "roman(10)", "True")], "belongs to the tests"),
        ([("conftest.py", "", "x")], "no Python file of this program"),
        ([("setup.cfg", "[x]", "[y]")], "no Python file of this program"),
        ([("../../etc/passwd", "root", "x")], "no Python file of this program"),
        ([("numerals.py", "nothing like it", "x")], "occurs 0 times"),
        ([("numerals.py", "n", "m")], "it must occur once"),
        ([("numerals.py", "", "x")], "occurs 0 times"),
        ([("numerals.py", OLD, OLD)], "it changes 0 lines"),
        ([("numerals.py", OLD, "    x = 1\n" * 301 + OLD)], "1 to 300 are possible"),
        ([("numerals.py", OLD, "    return (\n")], "would be no Python any more"),
        ([], "it changes nothing"),
    ],
)
def test_what_a_proposal_may_not_do_is_not_even_tried(edits, why):
    with pytest.raises(NotAcceptable, match=why):
        _try(edits)

    suggestion = Suggestion("Mo", (Proposed(tuple(edits)),))
    assert acceptable(SOURCES, suggestion, is_test_file) == []


def test_edits_become_the_lines_that_change_and_nothing_else():
    made = _try([("numerals.py", "str(number)  # for now", "hex(number)")])

    assert [(edit.start, edit.text) for edit in made.edits] == [
        (CODE.index(b"    return"), "    return hex(number)\n")
    ]
    assert made.line == 6
