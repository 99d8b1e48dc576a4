"""The two companies of the attack, and the tally that is printed at the end."""

from collections import Counter
from dataclasses import dataclass, field
from statistics import median

import pytest

from tests.telling import told

STRANGER_HAS = 40  # entries at least in the log of who is attacked; the stranger's log is shorter


@dataclass
class Tally:
    """What was tried, and how it was answered."""

    doors: Counter[str] = field(default_factory=Counter)  # kind -> how many
    answers: Counter[str] = field(default_factory=Counter)
    compared: int = 0
    theirs: list[float] = field(default_factory=list)  # seconds
    nobodys: list[float] = field(default_factory=list)


TALLY = Tally()
_BUILT: dict[str, object] = {}


@pytest.fixture
def tally():
    return TALLY


@pytest.fixture
def acme(open_company):
    """The company that is attacked; one for all tests, for none may change anything of it."""
    from tests.attack.two_companies import stocked

    if "acme" not in _BUILT:
        _BUILT["acme"] = stocked(open_company("acme"), "zanzibar", STRANGER_HAS)
    return _BUILT["acme"]


@pytest.fixture
def globex(open_company):
    """The stranger's company."""
    from tests.attack.two_companies import stocked

    if "globex" not in _BUILT:
        _BUILT["globex"] = stocked(open_company("globex"), "timbuktu", 1)
    return _BUILT["globex"]


@pytest.fixture(autouse=True)
def _no_rate_limits(monkeypatch):
    """The attack is quicker than any limit; limits have tests of their own."""
    from portal import limits

    monkeypatch.setattr(limits, "_count", lambda kind, who: None)


def pytest_sessionfinish(session):
    """Hand what was counted to the root conftest, which prints it; see `told` there."""
    if not TALLY.doors:
        return
    total = sum(TALLY.answers.values())
    answers = ", ".join(f"{count} x {answer}" for answer, count in TALLY.answers.most_common())
    lines = [
        "doors tried: " + ", ".join(f"{count} {kind}" for kind, count in TALLY.doors.items()),
        f"answers to strangers: {total} ({answers})",
        f"“not yours” compared with “not there”: {TALLY.compared} pairs, no difference",
    ]
    if TALLY.theirs:
        theirs, nobodys = median(TALLY.theirs) * 1000, median(TALLY.nobodys) * 1000
        lines.append(f"median time of those: {theirs:.2f} ms not yours, {nobodys:.2f} ms not there")
    told(session.config)["the cross-tenant attack"] = lines
