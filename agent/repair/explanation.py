"""Says in plain words what was wrong, why this change, what else there was, what stays open."""

from collections.abc import Mapping, Sequence

WHAT_FAILED = {
    "AssertionError": "gave another answer than the test expects",
    "timeout": "did not come to an end",
    "RecursionError": "called itself without end",
    "IndexError": "reached beyond the end of a sequence",
    "KeyError": "asked for a key that is not there",
    "TypeError": "used a value of a kind that does not fit",
    "AttributeError": "asked a value for something that it does not have",
    "NameError": "used a name that is not defined",
    "UnboundLocalError": "used a variable before it was set",
    "ZeroDivisionError": "divided by zero",
    "ValueError": "was given a value that does not fit",
}


def explained(
    *,
    red: Mapping[str, str],
    kinds: Sequence[str],
    place: str,
    operator: str,
    before: str,
    after: str,
    tried: int,
    alternatives: Sequence[str],
    differing: str | None,
    inputs: int,
) -> tuple[str, str, str, str]:
    """Four paragraphs: what was wrong, why this change, what else was considered, what is open.

    red: failing tests with their reasons. kinds: of the errors. differing: an input on which an
    alternative answers otherwise, with both answers. inputs: how many inputs were compared.
    """
    count = len(red)
    names = ", ".join(list(red)[:3]) + (", …" if count > 3 else "")
    how = "; ".join(dict.fromkeys(WHAT_FAILED.get(kind, f"ended with {kind}") for kind in kinds))
    wrong = f"{_counted(count, 'test')} failed ({names}): the code {how}. The fault is in {place}."
    if before and after:
        changed = f"It read `{before}` and now reads `{after}`"
    elif after:
        changed = f"`{after}` was added"
    else:
        changed = f"`{before}` was removed"
    why = (
        f"{changed} ({operator}). With this change every failing test passes and no test that"
        f" passed fails; without it they fail again. Of {tried:,} changes tried it is the simplest"
        " that does so."
        if not alternatives
        else f"{changed} ({operator}). With this change every failing test passes and no test that"
        f" passed fails; without it they fail again. Of {tried:,} changes tried it ranks first:"
        " small, at a line that the failing tests point to, and least unlike the code around it."
    )
    if alternatives:
        shown = "; ".join(alternatives[:3])
        else_ = f"{_counted(len(alternatives), 'other change')} would pass the tests too: {shown}."
    else:
        else_ = "No other change that was tried passes all tests and behaves otherwise."
    if differing:
        open_ = f"The tests cannot tell these apart. They differ, for example: {differing}."
    elif inputs:
        open_ = (
            f"On {inputs} inputs made from those of the tests, all changes that pass behave alike."
            " What no test asks about stays unknown."
        )
    else:
        open_ = "No other inputs could be tried. What no test asks about stays unknown."
    return wrong, why, else_, open_


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")
