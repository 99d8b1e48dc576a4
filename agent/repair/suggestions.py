"""Changes that somebody else proposes, a language model say: checked, then tried like any other."""

import ast
import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from agent.repair.edits import Edit, apply, changed_lines, unified
from agent.repair.operators.base import Candidate

CHANGED_LINES = 300  # more is not a repair but a rewrite
COST = 3.0  # dearer than most of what the operators make
LINE_COST = 0.05  # for each line changed
MOST = 4  # proposals that are looked at


class NotAcceptable(ValueError):
    """A proposal that is not even tried; the message says why, for whoever made it."""


@dataclass(frozen=True)
class Case:
    """What whoever proposes is told.

    red: failing tests with what each said. suspects: (path, line) most doubted first. seconds: by
    when the proposals have to be there.
    """

    sources: Mapping[str, bytes]
    red: Mapping[str, str]
    suspects: tuple[tuple[str, int], ...]
    seconds: float


@dataclass(frozen=True)
class Proposed:
    """One change. edits: (path, text that stands there once, text instead)."""

    edits: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Suggestion:
    """What came: by whom, what, after having read what; in words why it is not more."""

    by: str
    proposed: tuple[Proposed, ...] = ()
    reason: str = ""
    read: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """All of it in a sentence."""
        if self.reason:
            return self.reason
        count = len(self.proposed)
        told = f" after reading: {', '.join(self.read)}" if self.read else ""
        return f"{self.by} proposed {count} change{'' if count == 1 else 's'}{told}"


type Suggest = Callable[[Case], Suggestion]


def candidate(
    sources: Mapping[str, bytes], proposed: Proposed, by: str, is_closed: Callable[[str], bool]
) -> Candidate:
    """The proposal as a candidate for the search. Raises NotAcceptable.

    is_closed: files that nobody may change, those of tests. What a proposal may do is decided here
    and nowhere else: change lines of Python files that are there, not many of them.
    """
    if not proposed.edits:
        raise NotAcceptable("it changes nothing")
    changed = dict(sources)
    for path, find, replace in proposed.edits:
        if path not in sources or not path.endswith(".py"):
            raise NotAcceptable(f"{path[:200]!r} is no Python file of this program")
        if is_closed(path):
            raise NotAcceptable(f"{path} belongs to the tests, which stay as they are")
        text = changed[path].decode("utf-8", "surrogateescape")
        count = text.count(find) if find else 0
        if count != 1:
            raise NotAcceptable(
                f"the text to find occurs {count} times in {path}; it must occur once"
            )
        changed[path] = text.replace(find, replace).encode("utf-8", "surrogateescape")
    touched = sorted({path for path, _, _ in proposed.edits})
    for path in touched:
        _require_parses(path, changed[path])
    lines = changed_lines(unified(sources, changed))
    if not 0 < lines <= CHANGED_LINES:
        raise NotAcceptable(f"it changes {lines} lines; 1 to {CHANGED_LINES} are possible")
    # By line, so that the smallest part of the program is exchanged to try it.
    edits = tuple(edit for path in touched for edit in _by_line(path, sources[path], changed[path]))
    if apply(sources, edits) != changed:
        raise NotAcceptable("its edits stand in each other's way")
    first = edits[0]
    return Candidate(
        edits=edits,
        operator=f"a change that {by} proposed",
        cost=COST + LINE_COST * lines,
        line=sources[first.path].count(b"\n", 0, first.start) + 1,
        unit="",
    )


def acceptable(
    sources: Mapping[str, bytes],
    suggestion: Suggestion,
    is_closed: Callable[[str], bool],
) -> list[Candidate]:
    """The proposals that may be tried, each once."""
    found: dict[tuple[Edit, ...], Candidate] = {}
    for proposed in suggestion.proposed[:MOST]:
        try:
            one = candidate(sources, proposed, suggestion.by, is_closed)
        except NotAcceptable:
            continue
        found.setdefault(one.edits, one)
    return list(found.values())


def _require_parses(path: str, content: bytes) -> None:
    try:
        ast.parse(content)
    except (SyntaxError, ValueError) as error:
        raise NotAcceptable(f"{path} would be no Python any more: {error}"[:300]) from error


def _by_line(path: str, before: bytes, after: bytes) -> Iterable[Edit]:
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    starts = [0]
    for line in old:
        starts.append(starts[-1] + len(line))
    for kind, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind != "equal":
            yield Edit(path, starts[a], starts[b], b"".join(new[c:d]).decode())
