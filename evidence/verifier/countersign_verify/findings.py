"""What a verification can find."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

# The eleven checks of a pack, with the names under which their parts are reported.
CHECKS: dict[int, tuple[str, ...]] = {
    1: ("container", "manifest"),
    2: ("digest",),
    3: ("json",),
    4: ("signature", "checkpoint", "scope", "keys"),
    5: ("entries", "inclusion"),
    6: ("consistency",),
    7: ("witness", "timestamp"),
    8: ("completeness",),
    9: ("pull request", "approvals", "red/green", "merge"),
    10: ("controls",),
    11: ("report",),
}
NUMBER = {name: number for number, names in CHECKS.items() for name in names}


class Rejected(Exception):
    """A check failed: which one, on what, why."""

    def __init__(self, check: str, subject: str, reason: str) -> None:
        # All three as arguments, so that the exception survives the way between processes.
        super().__init__(check, subject, reason)
        self.check, self.subject, self.reason = check, subject, reason

    def __str__(self) -> str:
        return f"{self.check}: {self.subject}: {self.reason}"


class Unusable(Exception):
    """Nothing could be judged: this is no pack, or an argument could not be read."""


@dataclass
class Findings:
    """Everything there is to say about one pack."""

    verified: list[tuple[str, str]] = field(default_factory=list)  # check, what was seen
    warnings: list[str] = field(default_factory=list)
    not_verified: list[str] = field(default_factory=list)
    pinned: bool = False
    witnesses: list[str] = field(default_factory=list)
    complete: bool = False  # every entry and every pull request between two heads is here
    timestamp: dict[str, str] | None = None  # at, policy, serial: what an authority says
    failure: Rejected | None = None

    @property
    def verdict(self) -> str:
        if self.failure is not None:
            return "REJECTED"
        if not self.pinned:
            return "INTACT"
        if not self.witnesses:
            return "LOCAL"
        return "WITNESSED+COMPLETE" if self.complete else "WITNESSED"

    @property
    def exit_code(self) -> int:
        if self.failure is not None:
            return 1
        return 3 if self.warnings else 0

    def saw(self, check: str, what: str) -> None:
        self.verified.append((check, what))

    def as_json(self) -> dict[str, Any]:
        failure = self.failure and {
            "number": NUMBER[self.failure.check],
            "check": self.failure.check,
            "subject": self.failure.subject,
            "reason": self.failure.reason,
        }
        return {
            "verdict": self.verdict,
            "exit_code": self.exit_code,
            "complete": self.complete,
            "timestamp": self.timestamp,
            "verified": [
                {"number": NUMBER[check], "check": check, "what": what}
                for check, what in sorted(self.verified, key=lambda seen: NUMBER[seen[0]])
            ],
            "failure": failure,
            "warnings": self.warnings,
            "not_verified": self.not_verified,
        }
