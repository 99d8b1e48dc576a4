"""Cuts source files into pieces that can be searched: what they define, and what is between."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

LONGEST = 1_500  # characters of a piece that are shown
WINDOW = 60  # lines of a piece in a language whose structure is not read
MAXIMUM_BYTES = 400_000  # of one file; what is longer was made by a program
MAXIMUM_PATH = 500
LONGEST_NAME = 200
# What the model is given of a piece: its beginning says what it is, and each word takes time.
MEANT = 320

_SOURCE = re.compile(
    r"\.(?:py|pyi|js|mjs|cjs|jsx|ts|tsx|vue|go|java|kt|scala|rb|rs|c|h|cc|cpp|hpp|cs|php|swift|ex|exs"
    r"|sh|sql|html|css|scss|ya?ml|toml|cfg|ini|tf|proto|graphql)$"
    r"|(?:^|/)(?:Dockerfile[\w.-]*|Makefile|Jenkinsfile)$",
    re.IGNORECASE,
)
# Made by programs, or somebody else's.
_NOT_OURS = re.compile(
    r"(?:^|/)(?:node_modules|vendor|third_party|dist|build|\.git|__pycache__|\.venv)/"
    r"|\.min\.(?:js|css)$|(?:^|/)[\w.-]*lock[\w.-]*\.ya?ml$|_pb2\.pyi?$"
)
_WORD = re.compile(r"[A-Za-z][a-z]+|[A-Z]+(?![a-z])|\d+")
_NAME = re.compile(r"[A-Za-z_]\w{2,}")
# Words of English and of Python that stand everywhere.
COMMON = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be but by def does for from has if import in is it its not of on or"
        " return self should test that the this to was when where which with",
    )
)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of one file. kind: file, class, function, method or part; lines count from 1.

    name: as people qualify it, "Order.total"; a path for a file, empty for a part. text: how it
    begins. words: every word of it once, names split. meant: what the model is given.
    """

    kind: str
    name: str
    line: int
    end_line: int
    text: str
    words: str
    meant: str


def is_source(path: str) -> bool:
    """Whether a file is read for the index of code."""
    return bool(len(path) <= MAXIMUM_PATH and _SOURCE.search(path) and not _NOT_OURS.search(path))


def is_text(content: bytes) -> bool:
    """Whether there is something to read in a file's content, and not too much of it."""
    return len(content) <= MAXIMUM_BYTES and b"\0" not in content


def words_of(said: str) -> list[str]:
    """Words in lower case; names are split: total_cents and TotalCents are two words each."""
    found = (match.lower() for match in _WORD.findall(said))
    return [word for word in found if len(word) > 1 and word not in COMMON]


def names_in(said: str) -> list[str]:
    """What may be names of a program in a question, in small letters."""
    return list(dict.fromkeys(match.lower() for match in _NAME.findall(said)))


def pieces(path: str, content: bytes) -> list[Piece]:
    """The pieces of one file; the first stands for the file itself. None of what is no text."""
    if not (is_source(path) and is_text(content)):
        return []
    text = content.decode(errors="replace")
    # As ast counts them: form feeds and the like end no line.
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if path.endswith((".py", ".pyi")):
        tree = _parsed("\n".join(lines))
        if tree is not None:
            return _of_python(path, lines, tree)
    return _windows(path, lines)


def _parsed(text: str) -> ast.Module | None:
    """The syntax tree, or None for what this Python cannot read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd escapes in somebody else's strings
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def _of_python(path: str, lines: list[str], tree: ast.Module) -> list[Piece]:
    found = list(_symbols(path, lines, tree.body, ""))
    taken = {n for piece in found for n in range(piece.line, piece.end_line + 1)}
    between = [line for n, line in enumerate(lines, 1) if n not in taken]
    said = ast.get_docstring(tree) or ""
    return [_piece(path, "file", path, 1, len(lines), between, said), *found]


_Defined = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def _symbols(path: str, lines: list[str], body: Iterable[ast.stmt], inside: str) -> Iterator[Piece]:
    for node in body:
        if isinstance(node, ast.If | ast.Try):
            # What is defined only here or there is defined all the same.
            blocks = [node.body, node.orelse, *(h.body for h in getattr(node, "handlers", []))]
            for block in blocks:
                yield from _symbols(path, lines, block, inside)
        if not isinstance(node, _Defined):
            continue
        first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
        last = node.end_lineno or first
        name = f"{inside}.{node.name}" if inside else node.name
        said = ast.get_docstring(node) or ""
        if isinstance(node, ast.ClassDef):
            methods = list(_symbols(path, lines, node.body, name))
            taken = {n for each in methods for n in range(each.line, each.end_line + 1)}
            own = [lines[n - 1] for n in range(first, last + 1) if n not in taken]
            yield _piece(path, "class", name, first, last, own, said)
            yield from methods
        else:
            kind = "method" if inside else "function"
            yield _piece(path, kind, name, first, last, lines[first - 1 : last], said)


def _windows(path: str, lines: list[str]) -> list[Piece]:
    """A file in pieces of WINDOW lines; the first stands for the file."""
    found = [_piece(path, "file", path, 1, len(lines), lines[:WINDOW], "")]
    for start in range(WINDOW, len(lines), WINDOW):
        block = lines[start : start + WINDOW]
        if any(line.strip() for line in block):
            found.append(_piece(path, "part", "", start + 1, start + len(block), block, ""))
    return found


def _piece(
    path: str, kind: str, name: str, first: int, last: int, lines: list[str], said: str
) -> Piece:
    text = "\n".join(lines).strip("\n")[:LONGEST]
    words = dict.fromkeys(words_of(" ".join([path, name, *lines])))
    # A name in one word too: people look for totalcents and for total_cents.
    words |= dict.fromkeys(word.lower() for word in re.split(r"\W+", name) if word)
    place = " ".join(words_of(str(PurePosixPath(path).with_suffix(""))))
    split = " ".join(words_of(name)) if kind != "file" else ""
    summary = " ".join(said.split())
    return Piece(
        kind,
        name[:LONGEST_NAME] if kind != "file" else path,
        first,
        last,
        text,
        " ".join(words),
        f"{split} in {place}. {summary} {' '.join(text.split())}"[:MEANT],
    )
