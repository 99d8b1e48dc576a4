"""Changes of names and texts: variables, functions, attributes, literals."""

import ast
import itertools
from collections.abc import Iterator
from difflib import SequenceMatcher

from agent.repair.edits import Edit
from agent.repair.operators.base import Made, is_call_name
from agent.repair.unit import Unit, bare, compatible

LETTERS = 12  # of texts in failing tests that are tried for a text of one letter
ALIKE = 0.75

FAMILIES = (
    ("append", "extend", "insert", "appendleft"),
    ("add", "update", "remove", "discard", "append"),
    ("pop", "popleft", "remove", "popitem"),
    ("lower", "upper", "swapcase", "title", "capitalize"),
    ("islower", "isupper", "isalpha", "isdigit", "isalnum", "isnumeric", "isspace"),
    ("strip", "lstrip", "rstrip"),
    ("startswith", "endswith"),
    ("find", "rfind", "index", "rindex", "count"),
    ("keys", "values", "items"),
    ("split", "rsplit", "splitlines", "partition"),
    ("union", "intersection", "difference", "symmetric_difference"),
    ("issubset", "issuperset", "isdisjoint"),
    ("sort", "reverse"),
    ("get", "setdefault", "pop"),
    ("floor", "ceil", "trunc"),
    ("sqrt", "isqrt"),
    ("days", "seconds", "total_seconds"),
)


BUILTINS = (
    ("min", "max", "sum", "len", "abs"),
    ("any", "all"),
    ("sum", "len", "max"),
    ("int", "float", "round", "abs", "str"),
    ("sorted", "list", "set", "reversed", "tuple"),
    ("ord", "chr", "int", "str"),
    ("bin", "hex", "oct"),
    ("ValueError", "KeyError", "TypeError", "IndexError"),
    ("floor", "ceil", "round", "int"),
)

BUILTIN_TYPES = frozenset({"list", "dict", "set", "str", "tuple", "int", "float", "bool", "deque"})


def names(unit: Unit) -> Iterator[Made]:
    """Another variable."""
    for node in unit.expressions():
        if not isinstance(node, ast.Name):
            continue
        if is_call_name(unit, node) or isinstance(node.ctx, ast.Del):
            continue
        kinds = bare(unit.seen(node.id))
        store = isinstance(node.ctx, ast.Store)
        if store and isinstance(unit.outer_of_target(node), ast.comprehension):
            continue
        if node.id not in unit.names_at(node):
            continue
        for other in unit.names_at(node):
            if other == node.id:
                continue
            others = bare(unit.seen(other))
            fits = compatible(kinds - {"NoneType"}, others - {"NoneType"})
            extra = (0.0 if fits else 1.6) + (0.6 if store else 0.0)
            if fits and kinds and others and unit.seen(node.id) & unit.seen(other):
                extra -= 0.2
            yield [unit.put(node, other)], node, extra, ""


def functions(unit: Unit) -> Iterator[Made]:
    """Another function."""
    for node in unit.expressions():
        if not isinstance(node, ast.Name) or not isinstance(node.ctx, ast.Load):
            continue
        called = is_call_name(unit, node)
        for family in BUILTINS:
            if node.id in family:
                for other in family:
                    if other != node.id:
                        yield [unit.put(node, other)], node, 0.0 if called else 0.4, ""
        if called and node.id in unit.functions:
            for other, parameters in unit.functions.items():
                if other != node.id:
                    same = parameters == unit.functions[node.id]
                    yield [unit.put(node, other)], node, 0.2 if same else 1.4, ""


def texts(unit: Unit) -> Iterator[Made]:
    """Another text."""
    constants = [n for n in unit.expressions() if isinstance(n, ast.Constant)]
    inside = {n.value for n in constants if isinstance(n.value, str)}
    told = {v for v in unit.known.literals if isinstance(v, str)}
    for node in constants:
        if not isinstance(node.value, str) or len(node.value) > 60:
            continue
        text = unit.text(node)
        if text[:1] not in "'\"" or text[:3] in {'"""', "'''"}:
            continue
        value = node.value
        tried: dict[str, float] = {}
        for other in sorted(inside):
            tried.setdefault(other, 0.2)
        plain = ("", " ", ",", ", ", "\n", "-", "_", "0", "1", value.lower(), value.upper())
        around = (value.capitalize(), value.strip(), value + " ", " " + value, value + "s")
        for other in (*plain, *around):
            tried.setdefault(other, 0.5)
        for spot in range(len(value)):
            tried.setdefault(value[:spot] + value[spot + 1 :], 0.5)
            if spot + 1 < len(value) and len(value) < 20:
                swap = value[:spot] + value[spot + 1] + value[spot] + value[spot + 2 :]
                tried.setdefault(swap, 0.8)
        for other in sorted(told):
            tried.setdefault(other, 0.3 if _misspelt(value, other) else 1.0)
        if len(value) == 1:
            for letter in sorted(set().union(*told))[:LETTERS]:
                tried.setdefault(letter, 0.8)
        if 1 < len(value) < 16 and value.isalpha():
            for spot in range(len(value) + 1):
                for letter in "aeioustnrlyh"[: 12 if len(value) < 10 else 5]:
                    tried.setdefault(value[:spot] + letter + value[spot:], 1.6)
        quote = text[0]
        for other, extra in tried.items():
            if other != value:
                alone = other in told and other not in inside and len(other) > 1
                flag = "k" if alone and not _misspelt(value, other) else ""
                yield [unit.put(node, quoted(other, quote))], node, extra, flag


def _misspelt(one: str, other: str) -> bool:
    """Whether two words differ by so little that one may be meant as the other."""
    if min(len(one), len(other)) < 4 or abs(len(one) - len(other)) > 2:
        return False
    return SequenceMatcher(None, one, other, autojunk=False).ratio() >= ALIKE


def quoted(value: str, quote: str) -> str:
    """The text as a literal in these quotes."""
    escaped = value.encode("unicode_escape").decode().replace(quote, "\\" + quote)
    return quote + escaped + quote


def attributes(unit: Unit) -> Iterator[Made]:
    """Another method or attribute."""
    for node in unit.expressions():
        if not isinstance(node, ast.Attribute):
            continue
        end = unit.span(node)[1]
        start = end - len(node.attr.encode())
        if unit.source[start:end] != node.attr.encode():
            continue
        tried: dict[str, float] = {}
        for family in FAMILIES:
            if node.attr in family:
                tried |= dict.fromkeys(family, 0.0)
        own = None
        if isinstance(node.value, ast.Name):
            own = bare(unit.seen(node.value.id))
        has = frozenset[str]().union(
            *(unit.known.attributes.get(k, frozenset()) for k in own or ())
        )
        for other in sorted(unit.known.used_attributes):
            if other in has or not has:
                stem = other[:4] == node.attr[:4] or other[-4:] == node.attr[-4:]
                tried.setdefault(other, 0.3 if stem or other in has else 1.0)
        for other in sorted(has - set(tried)):
            if other[0] != "_" and not (own or frozenset()) & BUILTIN_TYPES:
                tried.setdefault(other, 0.6)
        for other, extra in tried.items():
            if other != node.attr and (not has or other in has):
                yield [Edit(unit.path, start, end, other)], node, extra, ""


def everywhere(unit: Unit) -> Iterator[Made]:
    """The same change wherever it occurs."""
    by_text: dict[str, list[ast.expr]] = {}
    for node in unit.expressions():
        if isinstance(node, ast.Constant | ast.Name) and not is_call_name(unit, node):
            by_text.setdefault(unit.text(node), []).append(node)
    for text, nodes in by_text.items():
        if not 2 <= len(nodes) <= 8:
            continue
        if isinstance(nodes[0], ast.Constant):
            value = nodes[0].value
            if type(value) is int:
                others = [str(value + 1), str(value - 1), "0", "1", "2"]
            elif isinstance(value, str):
                others = [
                    other
                    for other, all_ in by_text.items()
                    if isinstance(all_[0], ast.Constant) and isinstance(all_[0].value, str)
                ]
            else:
                continue
        elif all(isinstance(n.ctx, ast.Load) for n in nodes if isinstance(n, ast.Name)):
            others = [
                n for n in unit.variables if compatible(bare(unit.seen(n)), bare(unit.seen(text)))
            ]
        else:
            continue
        for other in others:
            if other != text and not other.startswith("-"):
                edits = [unit.put(node, other) for node in nodes]
                yield edits, nodes[0], 0.0, ""


def constant_swaps(unit: Unit) -> Iterator[Made]:
    """Two constants change places."""
    constants = [
        n for n in unit.expressions()
        if isinstance(n, ast.Constant) and isinstance(n.value, str | int | float)
        and not isinstance(unit.parents.get(n), ast.JoinedStr)
    ]  # fmt: skip
    for one, other in itertools.combinations(constants[:24], 2):
        if one.value != other.value and type(one.value) is type(other.value):
            edits = [unit.put(one, unit.text(other)), unit.put(other, unit.text(one))]
            yield edits, one, 0.2, ""
