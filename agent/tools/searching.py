"""Finds where in a repository something is said or defined."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import log
from typing import Any

from agent.code_index import Hit
from agent.retrieval.code import words_of
from agent.retrieval.passages import fused
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
HITS = 40  # that the index is asked for
_DEFINED = ("class", "function", "method")
AROUND = 2  # lines before and after a hit
_SYMBOL = re.compile(r"^[ \t]*(?:async[ \t]+)?(def|class)[ \t]+(\w+)", re.MULTILINE)


@dataclass(frozen=True)
class _File:
    path: str
    lines: list[str]
    words: Counter[str]


def code_search(bench: Bench, arguments: Mapping[str, Any]) -> Observation:
    """Ranks files by the words of the query, split where names are, and by the code index.

    The index knows names and meaning, but only once it has read the commit of the task; words are
    counted in the files themselves, so there is always an answer.
    """
    scope = arguments.get("scope", "**")
    wanted = Counter(words_of(arguments["query"]))
    files = list(_readable_files(bench, scope))
    rarity = {
        word: log(1 + len(files) / (1 + sum(word in file.words for file in files)))
        for word in wanted
    }
    scores = {file.path: _score(file, rarity) for file in files}
    ranked = sorted((f for f in files if scores[f.path]), key=lambda f: (-scores[f.path], f.path))
    indexed = bench.code(arguments["query"], HITS)
    there = {file.path: file for file in files}
    hits = [hit for hit in indexed or () if hit.piece.path in there]
    order = fused(
        [list(dict.fromkeys(hit.piece.path for hit in hits)), [file.path for file in ranked]]
    )
    best = [there[path] for path in list(order)[:FILES]]
    result = {
        "files": [{"path": file.path, "score": round(order[file.path], 5)} for file in best],
        "snippets": [_found(hit) for hit in hits[: SNIPPETS // 2]]
        + [_snippet(file, rarity) for file in best[: SNIPPETS - len(hits[: SNIPPETS // 2])]],
        "symbols": [_symbol(hit) for hit in hits if hit.piece.kind in _DEFINED][:SYMBOLS]
        or _symbols(best, rarity)[:SYMBOLS],
        "searched": "text" if indexed is None else "index and text",
    }
    said = f"{len(order)} of {len(files)} files have to do with it"
    if best:
        said += ": " + ", ".join(file.path for file in best[:3])
    return Observation(said, result=result)


def _found(hit: Hit) -> dict[str, Any]:
    piece = hit.piece
    return {"path": piece.path, "line": piece.line, "text": piece.text[:2_000]}


def _symbol(hit: Hit) -> dict[str, Any]:
    piece = hit.piece
    return {"name": piece.name, "kind": str(piece.kind), "path": piece.path, "line": piece.line}


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
                kind=text("What it is.", enum=list(_DEFINED)),
                path=text("Path."),
                line=whole("Line."),
            ),
            "Functions and classes that have to do with it.",
        ),
        searched=text("By what.", enum=["text", "index and text"]),
    ),
)
