"""Markdown pieces that every document of a recommendation is made of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

# A hyphen is a mark only at the start of a line or in a row of them.
_MARKS = re.compile(r"([\\`*_{}\[\]()<>#+!|~:&$^=@]|(?:^|(?<=-))-|-(?=-))")


def escaped(text: str, limit: int = 400) -> str:
    """Text of a person on one line, with every mark of Markdown made plain.

    Longer text is cut at `limit` characters and ends with an ellipsis.
    """
    line = " ".join(text.split())
    if len(line) > limit:
        line = line[: limit - 1].rstrip() + "…"
    return _MARKS.sub(r"\\\1", line)


def cell(text: str) -> str:
    """Text of ours for a table: on one line, with the column mark made plain."""
    return " ".join(text.split()).replace("|", "\\|")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table with one row per entry; cells are put on one line."""
    lines = [
        "| " + " | ".join(header) + " |",
        "| " + " | ".join("---" for _ in header) + " |",
    ]
    lines += ["| " + " | ".join(cell(value) for value in row) + " |" for row in rows]
    return "\n".join(lines)


def bullets(items: Iterable[str]) -> str:
    """A list with one line per item."""
    return "\n".join(f"- {' '.join(item.split())}" for item in items)


def fact_ids(facts: Iterable[str]) -> str:
    """Fact ids as code, which is what the fact check looks for."""
    return ", ".join(f"`{fact}`" for fact in dict.fromkeys(facts))


def document(blocks: Iterable[str]) -> bytes:
    """Blocks with one empty line between them, ready to be written to a file."""
    return ("\n\n".join(block for block in blocks if block) + "\n").encode()
