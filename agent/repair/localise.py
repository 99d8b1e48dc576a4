"""Which lines to doubt, from which assertions ran them and which of those failed."""

import ast
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from agent.repair.unit import Knowledge

TEXT = 40  # characters of a text in a test that the sources may have to have too
# What Python says where something is expected of a thing that has nothing in it.
EMPTY = ("not enough values to unpack", "empty", "list index out of range", "division by zero")


# How Python says that there is no such name or attribute.
_MISSING = re.compile(
    r"name '(?P<name>\w+)' is not defined|local variable '(?P<local>\w+)'"
    r"|has no attribute '(?P<attribute>\w+)'"
)


def ochiai(parts: Sequence[Mapping[str, Any]]) -> dict[tuple[str, int], float]:
    """Suspicion of each line that a failed part ran, 0 to 1, the most suspicious at 1.

    parts: assertions with `ok` and the `lines` they ran. Source: Abreu et al. 2007, "On the
    accuracy of spectrum-based fault localization"; a line in the error's own trace gets more.
    """
    failed: Counter[tuple[str, int]] = Counter()
    passed: Counter[tuple[str, int]] = Counter()
    traced: Counter[tuple[str, int]] = Counter()
    total = 0
    for part in parts:
        lines = {(str(path), int(line)) for path, line in part["lines"]}
        if part["ok"]:
            passed.update(lines)
            continue
        total += 1
        failed.update(lines)
        if part["where"]:
            path, line = part["where"][-1]
            traced[str(path), int(line)] += 1
    if not total:
        return {}
    scores = {
        line: count / math.sqrt(total * (count + passed[line])) for line, count in failed.items()
    }
    most = max(scores.values(), default=0.0)
    if most <= 0:
        return {}
    scores = {line: score / most for line, score in scores.items()}
    for line, count in traced.items():
        scores[line] = min(1.0, scores.get(line, 0.0) + 0.25 * count / total)
    return scores


def knowledge(parts: Sequence[Mapping[str, Any]], sources: Mapping[str, bytes]) -> Knowledge:
    """What the traced tests told, in the shape that the operators use."""
    types: dict[tuple[str, str, str], set[str]] = {}
    returns: dict[tuple[str, str], set[str]] = {}
    attributes: dict[str, set[str]] = {}
    literals: dict[object, None] = {}
    symptoms: set[str] = set()
    missing: set[str] = set()
    for part in parts:
        for path, qualified, _, name, kinds in part.get("types", ()):
            outermost = str(qualified).partition(".<locals>")[0]
            types.setdefault((str(path), outermost, str(name)), set()).update(kinds)
        for path, qualified, kinds in part.get("returns", ()):
            returns.setdefault((str(path), str(qualified)), set()).update(kinds)
        for kind, names in part.get("attributes", {}).items():
            attributes.setdefault(str(kind).partition("[")[0], set()).update(names)
        if part["ok"]:
            continue
        symptoms.add(str(part["kind"]))
        if (told := _MISSING.search(str(part["said"]))) and told.lastgroup:
            missing.add(told[told.lastgroup])
        if "NoneType" in str(part["said"]):
            symptoms.add("NoneType")
        if any(words in str(part["said"]) for words in EMPTY):
            symptoms.add("empty")
        for value in part.get("literals", ()):
            if isinstance(value, int | float | str):
                literals[value] = None
    for value in _written_in(parts, sources):
        literals.setdefault(value)
    used = Counter(
        node.attr
        for path, text in sources.items()
        if path.endswith(".py")
        for node in _walked(text)
        if isinstance(node, ast.Attribute)
    )
    return Knowledge(
        suspicion=ochiai(parts),
        types={key: frozenset(kinds) for key, kinds in types.items()},
        returns={key: frozenset(kinds) for key, kinds in returns.items()},
        attributes={kind: frozenset(names) for kind, names in attributes.items()},
        used_attributes=frozenset(name for name, _ in used.most_common(60)),
        literals=[v for v in literals if not isinstance(v, bool)][:40],
        symptoms=frozenset(symptoms),
        missing=frozenset(missing),
    )


def _written_in(
    parts: Sequence[Mapping[str, Any]], sources: Mapping[str, bytes]
) -> Iterable[int | float | str]:
    """Numbers and texts in the assertions that failed, or in the test where it was not split."""
    failed: dict[str, set[int | str]] = {}
    for part in parts:
        if not part["ok"]:
            path, *_, name = str(part["test"]).partition("[")[0].split("::")
            failed.setdefault(path, set()).add(int(part["part"]) or name)
    for path, places in sorted(failed.items()):
        for node in _walked(sources.get(path, b"")):
            match node:
                case ast.Assert(lineno=line) if line in places:
                    yield from _constants([node.test])
                case ast.FunctionDef(name=name) if name in places:
                    yield from _constants(node.body)


def _constants(nodes: Iterable[ast.AST]) -> Iterator[int | float | str]:
    """Numbers and short texts, without docstrings and what assertions say."""
    for node in nodes:
        if isinstance(node, ast.Constant):
            if isinstance(node.value, int | float | str) and len(str(node.value)) < TEXT:
                yield node.value
        elif isinstance(node, ast.Assert):
            yield from _constants([node.test])
        elif not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Constant):
            yield from _constants(ast.iter_child_nodes(node))


def _walked(source: bytes) -> list[ast.AST]:
    try:
        return list(ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError, RecursionError):
        return []
