"""Asks a language model for repairs where the offline engine has found none, or is in doubt.

The model is offered no tools. It may say once, as data of the answer's schema, what it wants to
read; that is looked up here, in the task's own tree, and given like every text of strangers.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from agent import repair
from agent.errors import ModelUnavailable
from agent.gateway import Answer, Material, Question
from agent.repair.suggestions import (
    MOST,
    Case,
    NotAcceptable,
    Proposed,
    Suggest,
    Suggestion,
    candidate,
)

MOST_TEXT = 24_000  # bytes of the program and its tests that are sent
WHOLE_FILE = 10_000  # bytes up to which a file is sent whole
AROUND = 60  # lines before and after a doubted one, of longer files
MOST_FILES = 4
SAID = 1_500  # characters of what one test said
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "repairs": {
            "type": "array",
            "maxItems": MOST,
            "items": {
                "type": "object",
                "properties": {
                    "edits": {
                        "type": "array",
                        "minItems": 1,
                        "maxItems": 10,
                        "items": {
                            "type": "object",
                            "properties": {
                                "path": {"type": "string", "maxLength": 300},
                                "find": {"type": "string", "maxLength": 8_000},
                                "replace": {"type": "string", "maxLength": 8_000},
                            },
                            "required": ["path", "find", "replace"],
                            "additionalProperties": False,
                        },
                    }
                },
                "required": ["edits"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["repairs"],
    "additionalProperties": False,
}
MOST_SEARCHES = 3
FOUND = 2  # files of one search
LOOKING: dict[str, Any] = {
    **SCHEMA,
    "properties": {
        **SCHEMA["properties"],
        "look": {
            "type": "array",
            "maxItems": MOST_SEARCHES,
            "items": {"type": "string", "maxLength": 200},
        },
    },
    "required": ["repairs", "look"],
}
# Places (path, line) that have to do with a few words, best first.
type Look = Callable[[str], Sequence[tuple[str, int]]]


def suggester(
    ask: Callable[[Question], Answer], title: str, report: str, look: Look | None = None
) -> Suggest:
    """What the repair asks when it is at its end. title, report: of the bug, as it was filed.

    look: finds what the model asks for before it answers, once; None when it may not.
    """

    def suggest(case: Case) -> Suggestion:
        material = _material(case, title, report)
        try:
            answer = ask(_question(case, material, looking=look is not None))
            wanted = [] if answer.document["repairs"] else answer.document.get("look", [])
            if wanted and look is not None:
                searches = [one for said in wanted if (one := " ".join(said.split()))]
                material = (*material, *_found(case, material, searches, look))
                answer = ask(_question(case, material, looking=False))
        except ModelUnavailable as why:
            return Suggestion("", reason=f"no language model helped: {why}")
        proposed = tuple(_usable(case, answer, _names(material))[0])
        who = f"{answer.provider}'s model {answer.model}"
        if not proposed:
            return Suggestion(who, reason=f"{who} proposed nothing")
        return Suggestion(who, proposed, read=tuple(one.name or one.title for one in material))

    return suggest


def _question(case: Case, material: tuple[Material, ...], *, looking: bool) -> Question:
    shown = _names(material)
    return Question(
        "repair",
        "repair_looking" if looking else "repair",
        material,
        LOOKING if looking else SCHEMA,
        most_out=4_000,
        seconds=min(case.seconds / (2 if looking else 1), 90.0),
        check=lambda answer: _wrong(case, answer, shown),
    )


def _names(material: tuple[Material, ...]) -> frozenset[str]:
    return frozenset(one.name for one in material if one.name)


def _found(
    case: Case, material: tuple[Material, ...], searches: Sequence[str], look: Look
) -> list[Material]:
    """The files that the searches lead to, as far as there is room; each once."""
    known = _names(material)
    left = MOST_TEXT - sum(len(one.text.encode()) for one in material)
    found: dict[str, Material] = {}
    for search in searches:
        places = [(search, 1)] if search in case.sources else list(look(search))
        new = dict.fromkeys(path for path, _ in places if path not in known and path not in found)
        for path in list(new)[:FOUND]:
            text = _shown(replace(case, suspects=tuple(places)), path)
            if text is not None and len(text.encode()) <= left:
                found[path] = Material("A file that you asked for, its name first", text, name=path)
                left -= len(text.encode())
    if not found:
        return [Material("What you asked for", "Nothing was found, or there was no room for it.")]
    return list(found.values())


def _wrong(case: Case, answer: Answer, shown: frozenset[str]) -> str:
    """Why nothing of the answer can be tried; empty when something can, or nothing was said."""
    usable, reasons = _usable(case, answer, shown)
    return "" if usable or not reasons else "; ".join(reasons)[:600]


def _usable(case: Case, answer: Answer, shown: frozenset[str]) -> tuple[list[Proposed], list[str]]:
    """Proposals that may be tried, with what was redacted put back; why the others may not."""
    usable, reasons = [], []
    for number, row in enumerate(answer.document["repairs"], 1):
        try:
            edits = tuple(_edit(answer, edit, shown) for edit in row["edits"])
            proposed = Proposed(edits)
            candidate(case.sources, proposed, answer.model, repair.is_test_file)
        except NotAcceptable as why:
            reasons.append(f"repair {number}: {why}")
        else:
            usable.append(proposed)
    return usable, reasons


def _edit(answer: Answer, edit: Mapping[str, str], shown: frozenset[str]) -> tuple[str, str, str]:
    redacted = answer.redacted
    path, find, replace = redacted.restored(edit["path"]), edit["find"], edit["replace"]
    if path not in shown:
        raise NotAcceptable(f"{edit['path'][:200]!r} is no file that was given")
    stood, stands = (Counter(redacted.placeholders_in(text)) for text in (find, replace))
    if moved := stands - stood:
        # Or what was redacted could be made to stand where somebody else reads it.
        raise NotAcceptable(f"{next(iter(moved))} stands where it did not stand before")
    return path, redacted.restored(find), redacted.restored(replace)


def _material(case: Case, title: str, report: str) -> tuple[Material, ...]:
    """What the model gets to read: the report, the failing tests, the doubted files."""
    tests = "\n\n".join(f"{test}\n{said[:SAID]}" for test, said in list(case.red.items())[:8])
    paths = list(dict.fromkeys(path for path, _ in case.suspects))[:MOST_FILES]
    doubted = "\n".join(f"{path}, line {line}" for path, line in case.suspects[:12])
    found = [
        Material("The report", f"{title}\n\n{report}"[:6_000], is_prose=True),
        Material("Tests that fail, with what they said", tests, is_prose=True),
        Material("Lines that they point to, most doubted first", doubted),
    ]
    left = MOST_TEXT - sum(len(one.text.encode()) for one in found)
    tested = dict.fromkeys(test.partition("::")[0] for test in case.red)
    for path in [*paths, *list(tested)[:2]]:
        text = _shown(case, path)
        if text is not None and len(text.encode()) <= left:
            found.append(Material("A file, its name first", text, name=path))
            left -= len(text.encode())
    return tuple(found)


def _shown(case: Case, path: str) -> str | None:
    """A file, or what is around its doubted lines; None for what is no text."""
    try:
        text = case.sources[path].decode()
    except (KeyError, UnicodeDecodeError):
        return None
    if len(text.encode()) <= WHOLE_FILE:
        return text
    lines = text.splitlines(keepends=True)
    near = {
        number
        for where, line in case.suspects
        if where == path
        for number in range(max(0, line - AROUND), min(len(lines), line + AROUND))
    }
    pieces = ["" if n not in near else line for n, line in enumerate(lines)]
    return "".join(
        piece if piece else ("...\n" if n == 0 or n - 1 in near else "")
        for n, piece in enumerate(pieces)
    )
