"""What a suite gave, test by test."""

import re
from collections.abc import Generator
from typing import Any

import pytest

from .clock import ROOT, Clock, OutOfTime, meter, own_functions

OPTIONS = [
    "-p", "no:cacheprovider", "-p", "no:faulthandler", "--rootdir", str(ROOT),
    # Whole tracebacks take long where a recursion never ended.
    "--tb=line",
]  # fmt: skip


class Outcomes:
    """Notes the outcome of every test as pytest reports it, and ends those that take too long."""

    def __init__(self, limit: list[float] | None = None) -> None:
        self.limit = limit or [0, 0.0]  # for each test; a tenth of it once one took longer
        self.late = 0
        self.tests: dict[str, dict[str, Any]] = {}
        self.uncollected: list[dict[str, str]] = []
        self.collected: list[str] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.collected = [item.nodeid for item in session.items]
        for function in own_functions():
            meter(function.__code__)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.uncollected.append({"where": report.nodeid, "why": str(report.longrepr)[-2000:]})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        note(self.tests, report)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        try:
            with Clock([one / 10 for one in self.limit] if self.late else self.limit):
                return (yield)
        except OutOfTime:
            self.late += 1
            pytest.fail("took longer than it may", pytrace=False)


def note(tests: dict[str, dict[str, Any]], report: pytest.TestReport) -> None:
    """Keep what one phase of one test gave: the worst of its phases counts."""
    seen = tests.setdefault(report.nodeid, {"outcome": "passed", "reason": ""})
    outcome = str(report.outcome)
    if hasattr(report, "wasxfail"):
        outcome = "xfailed" if report.skipped else "xpassed"
    elif report.failed and report.when != "call":
        outcome = "error"
    if outcome != "passed" and seen["outcome"] in {"passed", "skipped"}:
        seen["outcome"] = outcome
        seen["reason"] = reason_of(report)


def reason_of(report: pytest.TestReport) -> str:
    """First line of what went wrong, without addresses in memory."""
    crash = getattr(report.longrepr, "reprcrash", None)
    said = crash.message if crash is not None else str(report.longrepr or "")
    line = next((one for one in said.splitlines() if one.strip()), "")
    # pytest shortens long texts in the middle, addresses too.
    line = re.sub(r"0x[0-9a-f]+|(?<=\.\.\.)[0-9a-f]+(?=>)", "0x…", line)
    return line[:300]
