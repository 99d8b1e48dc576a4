"""Cuts documents into passages, and brings rankings of passages together."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

LONGEST = 900  # characters of one passage
FEWEST = 30  # shorter ones say nothing
MAXIMUM_BYTES = 400_000  # of one document
# Of reciprocal rank fusion; Cormack, Clarke and Buettcher, 2009.
FUSION = 60

DOCUMENTS = re.compile(r"\.(?:md|markdown|rst|txt|adoc)$", re.IGNORECASE)
CODE_METADATA = re.compile(
    r"(^|/)(?:pyproject\.toml|package\.json|go\.mod|pom\.xml|Cargo\.toml|Dockerfile[\w.-]*"
    r"|(?:docker-)?compose[\w.-]*\.ya?ml|Makefile|CODEOWNERS|\.github/workflows/[^/]+\.ya?ml"
    r"|\.gitlab-ci\.yml|[\w.-]+\.tf|Chart\.yaml|catalog-info\.yaml)$"
)
DECISIONS = re.compile(r"(^|/)(?:adrs?|decisions)/[^/]+\.md$", re.IGNORECASE)
STATUS = re.compile(
    r"^(?:[*-]\s*)?(?:\*\*)?status(?:\*\*)?:?\s*(?:\*\*)?\s*[\"']?([a-z]+)"
    r"|^##\s*status\s*\n+\s*([a-z]+)",
    re.IGNORECASE | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Chunk:
    """One passage of a document. line: where it begins, from 1. kind: adr, document or code."""

    kind: str
    title: str
    line: int
    text: str


def kind_of(path: str) -> str | None:
    """What a file is for retrieval, or None for what is not read."""
    if DECISIONS.search(path):
        return "adr"
    if CODE_METADATA.search(path):
        return "code"
    if DOCUMENTS.search(path) and not PurePosixPath(path).name.lower().startswith("license"):
        return "document"
    return None


def chunks(path: str, content: bytes) -> list[Chunk]:
    """The passages of one file, in order; none for what is not read or is no text."""
    kind = kind_of(path)
    if kind is None or b"\0" in content[:MAXIMUM_BYTES]:
        return []
    text = content[:MAXIMUM_BYTES].decode(errors="replace")
    heading = first = _first_heading(text) or path
    found: list[Chunk] = []
    block: list[str] = []
    begun = 1

    def close() -> None:
        whole = "\n".join(block).strip()
        block.clear()
        for start in range(0, len(whole), LONGEST):
            piece = whole[start : start + LONGEST]
            if len(piece.strip()) >= FEWEST:
                title = first if heading == first else f"{first}: {heading}"
                found.append(Chunk(kind, title[:200], begun, piece))

    for number, line in enumerate(text.splitlines(), start=1):
        match = re.match(r"#{1,4} (.+)", line) if kind != "code" else None
        size = sum(map(len, block))
        if match or (not line.strip() and size > LONGEST // 2) or size > LONGEST:
            close()
            begun = number
        if match:
            heading = match.group(1).strip()
            begun = number
        elif block or line.strip():
            if not block:
                begun = number
            block.append(line)
    close()
    return found


def status_of(content: bytes) -> str:
    """The status that a decision record states, in small letters; empty when it states none."""
    match = STATUS.search(content[:5000].decode(errors="replace"))
    return (match.group(1) or match.group(2)).lower() if match else ""


def title_of(path: str, content: bytes) -> str:
    """The first heading of a document, or its path."""
    return _first_heading(content[:5000].decode(errors="replace")) or path


def fused[K: Hashable](
    rankings: Sequence[Sequence[K]], weights: Sequence[float] | None = None
) -> Mapping[K, float]:
    """Reciprocal rank fusion: key to score, best first; what stands high in several wins."""
    scores: dict[K, float] = {}
    for ranking, weight in zip(rankings, weights or [1.0] * len(rankings), strict=True):
        for place, key in enumerate(ranking, start=1):
            scores[key] = scores.get(key, 0.0) + weight / (FUSION + place)
    return dict(sorted(scores.items(), key=lambda row: -row[1]))


def _first_heading(text: str) -> str:
    match = re.search(r"^#{1,3} (.+)$", text, re.MULTILINE)
    return match.group(1).strip() if match else ""
