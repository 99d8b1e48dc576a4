"""Cuts text into the word pieces that the embedding model was trained on."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import cache
from pathlib import Path

# Of all-MiniLM-L6-v2 (sentence-transformers, Apache-2.0): one piece a line, its number is its line.
VOCABULARY = Path(__file__).with_name("minilm-vocabulary.txt")
MOST = 128  # pieces of one text, first and last mark included
LONGEST_WORD = 100  # characters


def pieces(text: str) -> list[int]:
    """Numbers of the pieces of `text`, between the marks for its beginning and its end."""
    known = _vocabulary()
    found: list[int] = []
    for word in _words(text):
        found += _pieces_of(word, known)
        if len(found) >= MOST - 2:
            break
    return [known["[CLS]"], *found[: MOST - 2], known["[SEP]"]]


@cache
def _vocabulary() -> dict[str, int]:
    lines = VOCABULARY.read_text("utf-8").split("\n")[:-1]
    return {piece: number for number, piece in enumerate(lines)}


def _pieces_of(word: str, known: dict[str, int]) -> list[int]:
    """The longest known beginning again and again; a word that cannot be cut is unknown."""
    if len(word) > LONGEST_WORD:
        return [known["[UNK]"]]
    found = []
    start = 0
    while start < len(word):
        for end in range(len(word), start, -1):
            piece = ("##" if start else "") + word[start:end]
            if piece in known:
                found.append(known[piece])
                start = end
                break
        else:
            return [known["[UNK]"]]
    return found


def _words(text: str) -> Iterator[str]:
    """Words and single marks, in small letters without accents."""
    word: list[str] = []
    for character in unicodedata.normalize("NFD", _clean(text)).lower():
        if unicodedata.category(character) == "Mn":
            continue
        if character.isspace() or _is_mark(character) or _is_ideograph(character):
            if word:
                yield "".join(word)
                word = []
            if not character.isspace():
                yield character
        else:
            word.append(character)
    if word:
        yield "".join(word)


def _clean(text: str) -> str:
    return "".join(
        " " if character in "\t\n\r" or unicodedata.category(character) == "Zs" else character
        for character in text
        if character in "\t\n\r"
        or (character not in "\0\ufffd" and not unicodedata.category(character).startswith("C"))
    )


def _is_mark(character: str) -> bool:
    code = ord(character)
    ascii_mark = 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126
    return ascii_mark or unicodedata.category(character).startswith("P")


def _is_ideograph(character: str) -> bool:
    code = ord(character)
    return (
        0x4E00 <= code <= 0x9FFF
        or 0x3400 <= code <= 0x4DBF
        or 0x20000 <= code <= 0x2CEAF
        or 0xF900 <= code <= 0xFAFF
        or 0x2F800 <= code <= 0x2FA1F
    )
