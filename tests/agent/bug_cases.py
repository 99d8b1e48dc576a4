"""The seeded bugs of the sample repositories, as tests and benchmarks use them."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

DEMO = Path(__file__).resolve().parent.parent.parent / "deploy" / "demo"
WRITTEN = datetime(2026, 1, 5, tzinfo=UTC)
# Deadlines are tried by tests of their own; in all others they must not depend on the machine.
PATIENT = {"wall_s": 3_600}


def cases() -> dict[str, dict[str, Any]]:
    """Every case by its id."""
    return {case["id"]: case for case in yaml.safe_load((DEMO / "bugs.yaml").read_text())}


def files_of(repository: str) -> dict[str, bytes]:
    """A sample repository: path -> content."""
    folder = DEMO / "repository" / repository
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def report_of(case: dict[str, Any]) -> dict[str, Any]:
    """What a person would send."""
    said = {"title": case["title"], "what_is_wrong": case["what_is_wrong"]}
    if "test" in case:
        return {**said, "how": "pasted", "code": case["test"]}
    return {**said, "how": "named", "names": case["names"]}
