"""Runs inside the sandbox as a plugin of pytest: writes what became of each test as JSON.

Uses nothing but the standard library, because it is the sandbox's Python that imports it.
"""

import json
import os
import zlib
from pathlib import Path
from typing import Any

_TESTS: dict[str, dict[str, Any]] = {}
_BROKEN: list[dict[str, str]] = []
_MESSAGE = 2_000  # characters of a failure's message


def pytest_collection_modifyitems(config: Any, items: list[Any]) -> None:
    index, _, of = os.environ.get("COUNTERSIGN_SHARD", "1/1").partition("/")
    if int(of) > 1:
        kept = [i for i in items if zlib.crc32(i.nodeid.encode()) % int(of) == int(index) - 1]
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept


def pytest_collectreport(report: Any) -> None:
    if report.failed:
        said = str(report.longrepr).strip().splitlines()
        reason = [line for line in said if line.startswith("E ")] or said[-1:]
        _BROKEN.append({"id": report.nodeid, "message": "\n".join(reason)[:_MESSAGE]})


def pytest_runtest_logreport(report: Any) -> None:
    row = _TESTS.setdefault(
        report.nodeid, {"id": report.nodeid, "outcome": "passed", "seconds": 0.0}
    )
    row["seconds"] += report.duration
    if report.skipped:
        row["outcome"] = "skipped"
    elif report.failed:
        row["outcome"] = "failed"
        row["when"] = report.when
        crash = getattr(report.longrepr, "reprcrash", None)
        message = crash.message if crash is not None else str(report.longrepr)
        row["message"] = message[:_MESSAGE]
        row["where"] = f"{crash.path}:{crash.lineno}" if crash is not None else ""


def pytest_sessionfinish(session: Any, exitstatus: int) -> None:
    said = {"exit": int(exitstatus), "tests": list(_TESTS.values()), "broken": _BROKEN}
    Path(os.environ["COUNTERSIGN_REPORT"]).write_text(json.dumps(said))
