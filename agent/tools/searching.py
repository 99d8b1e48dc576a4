"""Finds where in a repository something is said or defined."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import log
from typing import Any

from agent.tools.contract import (
    Bench,
    Observation,
    Tool,
    gives,
    listed,
    number,
    takes,
    text,
    whole,
)
from authz.permissions import Permission

FILES, SNIPPETS, SYMBOLS = 20, 10, 20  # at most, in a result
AROUND = 2  # lines before and after a hit
_WORD = re.compile(r"[A-Za-z][a-z]+|[A-Z]+(?![a-z])|\d+")
_SYMBOL = re.compile(r"^[ \t]*(?:async[ \t]+)?(def|class)[ \t]+(\w+)", re.MULTILINE)
# Words of English and of Python that stand everywhere.
_COMMON = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "but",
        "by",
        "def",
        "does",
        "for",
        "from",
        "has",
        "if",
        "import",
        "in",
        "is",
        "it",
        "its",
        "not",
        "of",
        "on",
        "or",
        "return",
        "self",
        "should",
        "test",
        "that",
        "the",
        "this",
        "to",
        "was",
        "when",
        "where",
        "which",
        "with",
    ]
)


@dataclass(frozen=True)
class _File:
    path: str
    lines: list[str]
    words: Counter[str]


def code_search(bench: Bench, arguments: Mapping[str, Any]) -> Observation:
    """Ranks files by the words of the query, split where names are; full text, no index."""
    scope = arguments.get("scope", "**")
    wanted = Counter(words_of(arguments["query"]))
    files = list(_readable_files(bench, scope))
    rarity = {
        word: log(1 + len(files) / (1 + sum(word in file.words for file in files)))
        for word in wanted
    }
    scores = {file.path: _score(file, rarity) for file in files}
    ranked = sorted((f for f in files if scores[f.path]), key=lambda f: (-scores[f.path], f.path))
    best = ranked[:FILES]
    result = {
        "files": [{"path": file.path, "score": round(scores[file.path], 3)} for file in best],
        "snippets": [_snippet(file, rarity) for file in best[:SNIPPETS]],
        "symbols": _symbols(best, rarity)[:SYMBOLS],
    }
    said = f"{len(ranked)} of {len(files)} files have to do with it"
    if best:
        said += ": " + ", ".join(file.path for file in best[:3])
    return Observation(said, result=result)


def words_of(said: str) -> list[str]:
    """Words in lower case; names are split: total_cents and TotalCents are two words each."""
    found = (match.lower() for match in _WORD.findall(said))
    return [word for word in found if len(word) > 1 and word not in _COMMON]


def _readable_files(bench: Bench, scope: str) -> Iterator[_File]:
    for path, content in sorted(bench.tree("base").items()):
        if b"\0" in content[:8000] or not (scope == "**" or fnmatchcase(path, scope)):
            continue
        said = content.decode(errors="replace")
        yield _File(path, said.split("\n"), Counter(words_of(f"{path} {said}")))


def _score(file: _File, rarity: Mapping[str, float]) -> float:
    # How often a word stands in a file counts less and less (BM25 without its length).
    return sum(
        weight * file.words[word] * 2.2 / (file.words[word] + 1.2)
        for word, weight in rarity.items()
    )


def _snippet(file: _File, rarity: Mapping[str, float]) -> dict[str, Any]:
    worth = [
        sum(rarity.get(word, 0) for word in set(words_of(line)) if word in rarity)
        for line in file.lines
    ]
    hit = max(range(len(worth)), key=worth.__getitem__)
    first = max(0, hit - AROUND)
    lines = file.lines[first : hit + AROUND + 1]
    return {"path": file.path, "line": first + 1, "text": "\n".join(lines)[:2_000]}


def _symbols(files: list[_File], rarity: Mapping[str, float]) -> list[dict[str, Any]]:
    found = []
    for file in files:
        whole_text = "\n".join(file.lines)
        for match in _SYMBOL.finditer(whole_text):
            if any(word in rarity for word in words_of(match[2])):
                line = whole_text.count("\n", 0, match.start(2)) + 1
                kind = "class" if match[1] == "class" else "function"
                found.append({"name": match[2], "kind": kind, "path": file.path, "line": line})
    return found


CODE_SEARCH = Tool(
    code_search,
    Permission.REPOSITORY_VIEW,
    says="Find files, lines and names that have to do with a few words.",
    arguments=takes(
        ("query",),
        query=text("A few words, or names from the code.", minLength=1, maxLength=6_000),
        scope=text("Paths to look at, such as src/*; ** for all.", maxLength=300),
    ),
    result=gives(
        files=listed(gives(path=text("Path."), score=number("Higher is nearer.")), "Best first."),
        snippets=listed(
            gives(path=text("Path."), line=whole("Of the first line."), text=text("Lines.")),
            "The best place of each file.",
        ),
        symbols=listed(
            gives(
                name=text("Name."),
                kind=text("What it is.", enum=["class", "function"]),
                path=text("Path."),
                line=whole("Line."),
            ),
            "Functions and classes whose names have to do with it.",
        ),
    ),
)
