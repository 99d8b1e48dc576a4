"""The changes that are tried, each with what it costs: the cheaper, the earlier, the likelier."""

import itertools
import re

from agent.repair.edits import Edit
from agent.repair.operators.base import Candidate, Operator
from agent.repair.operators.brackets import brackets
from agent.repair.operators.calls import (
    argument_swaps,
    both_wrapped,
    defaults,
    dropped,
    element_changes,
    gathered,
    harvested,
    indices,
    slices,
    wrapped,
)
from agent.repair.operators.conditions import (
    booleans,
    clauses,
    comparisons,
    conditions_moved,
    flipped,
    negations,
)
from agent.repair.operators.naming import (
    attributes,
    constant_swaps,
    everywhere,
    functions,
    names,
    texts,
)
from agent.repair.operators.numeric import arithmetic, augmented, bounds, numbers, offsets, operands
from agent.repair.operators.statements import (
    answers,
    deletions,
    guards,
    method_as_assignment,
    moves,
    statements,
)
from agent.repair.operators.undefined import undefined
from agent.repair.unit import Unit

SUSPICION = 2.6  # what a line without any suspicion costs more than the most suspicious one


OPERATORS = (
    Operator("one more or one less", 1.0, offsets),
    Operator("another comparison", 0.8, comparisons),
    Operator("another number", 1.1, numbers),
    Operator("another variable", 1.4, names),
    Operator("another function", 1.2, functions),
    Operator("another text", 1.7, texts),
    Operator("another arithmetic operator", 1.1, arithmetic),
    Operator("another method or attribute", 1.2, attributes),
    Operator("another way of updating a variable", 1.2, augmented),
    Operator("what is answered where there is nothing", 1.6, defaults),
    Operator("something too much left out", 1.5, dropped),
    Operator("two arguments or elements swapped", 1.4, argument_swaps),
    Operator("the two sides swapped", 1.6, flipped),
    Operator("true for false, or the other way round", 1.2, booleans),
    Operator("the opposite or another connection of conditions", 1.4, negations),
    Operator("another part of a sequence", 2.0, slices),
    Operator("an index for the element there", 1.7, indices),
    Operator("passed through a function", 2.1, wrapped),
    Operator("both sides passed through a function", 2.1, both_wrapped),
    Operator("all elements for one, or one for all", 2.2, gathered),
    Operator("one more condition", 2.2, clauses),
    Operator("a lower or upper bound", 2.0, bounds),
    Operator("combined with something more", 2.2, operands),
    Operator("more or other elements of a list", 1.9, element_changes),
    Operator("another expression of the same function", 2.4, harvested),
    Operator("another answer", 2.0, answers),
    Operator("a statement that was missing", 2.3, statements),
    Operator("a special case that was missing", 2.7, guards),
    Operator("a statement too much left out", 2.3, deletions),
    Operator("a statement in another place", 1.9, moves),
    Operator("another kind of branch", 1.8, conditions_moved),
    Operator("an assignment for a call that changes", 2.0, method_as_assignment),
    Operator("brackets put otherwise", 1.7, brackets),
    Operator("a name that there is for one that there is not", 0.6, undefined),
    Operator("the same change wherever it occurs", 2.2, everywhere),
    Operator("two constants swapped", 2.4, constant_swaps),
)


PER_OPERATOR = 3_000  # candidates of one operator for one function


def candidates(unit: Unit) -> list[Candidate]:
    """Every change of this function that the operators know, cheapest first, none twice."""
    found: dict[tuple[Edit, ...], Candidate] = {}
    doubted = unit.known.symptoms
    for operator in OPERATORS:
        for edits, node, extra, flags in itertools.islice(operator.make(unit), PER_OPERATOR):
            doubt = SUSPICION * (1 - unit.suspicion(node))
            cost = operator.prior + extra + doubt
            cost -= boost(operator.words, doubted)
            key = tuple(sorted(edits))
            if _unused(unit, key):
                flags += "u"
            if any(_same(unit, edit) for edit in key):
                continue
            known = found.get(key)
            if known is None or known.cost > cost:
                line = unit.line(node)
                found[key] = Candidate(
                    key, operator.words, cost, line, unit.qualified, flags, doubt
                )
    return sorted(found.values(), key=lambda c: (c.cost, c.edits))


def _unused(unit: Unit, edits: tuple[Edit, ...]) -> bool:
    """Whether a variable that was read is read nowhere any more."""
    for name, places in unit.reads.items():
        left = [
            spot
            for spot in places
            if not any(edit.start <= spot < edit.end and edit.path == unit.path for edit in edits)
        ]
        if places and not left:
            if any(re.search(rf"\b{name}\b", edit.text) for edit in edits):
                continue
            return True
    return False


def _same(unit: Unit, edit: Edit) -> bool:
    return unit.source[edit.start : edit.end] == edit.text.encode()


def boost(words: str, symptoms: frozenset[str]) -> float:
    """How much likelier a kind of change is, given how the tests fail."""
    by_symptom = {
        "RecursionError": {"one more or one less": 0.3, "another part of a sequence": 0.6,
                           "a special case that was missing": 0.5, "another comparison": 0.2,
                           "two arguments or elements swapped": 0.3,
                           "combined with something more": 0.3},
        "IndexError": {"one more or one less": 0.4, "another comparison": 0.3,
                       "one more condition": 0.4, "a lower or upper bound": 0.2,
                       "a special case that was missing": 0.3},
        "empty": {"one more condition": 0.3, "a special case that was missing": 0.3},
        "KeyError": {"another variable": 0.2, "another method or attribute": 0.2,
                     "what is answered where there is nothing": 0.5,
                     "another expression of the same function": 0.3},
        "NoneType": {"what is answered where there is nothing": 0.6,
                     "a special case that was missing": 0.5, "one more condition": 0.5,
                     "another answer": 0.3},
        "TypeError": {"passed through a function": 0.4, "two arguments or elements swapped": 0.2},
        "timeout": {"another comparison": 0.2, "a statement that was missing": 0.2,
                    "one more or one less": 0.2, "another way of updating a variable": 0.2},
    }  # fmt: skip
    return sum(by_symptom.get(symptom, {}).get(words, 0.0) for symptom in symptoms)
