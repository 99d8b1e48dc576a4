"""What a verification can find."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


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
    failure: Rejected | None = None

    @property
    def verdict(self) -> str:
        if self.failure is not None:
            return "REJECTED"
        if not self.pinned:
            return "INTACT"
        return "WITNESSED" if self.witnesses else "LOCAL"

    @property
    def exit_code(self) -> int:
        if self.failure is not None:
            return 1
        return 3 if self.warnings else 0

    def saw(self, check: str, what: str) -> None:
        self.verified.append((check, what))

    def as_json(self) -> dict[str, Any]:
        failure = self.failure and {
            "check": self.failure.check,
            "subject": self.failure.subject,
            "reason": self.failure.reason,
        }
        return {
            "verdict": self.verdict,
            "exit_code": self.exit_code,
            "verified": [{"check": check, "what": what} for check, what in self.verified],
            "failure": failure,
            "warnings": self.warnings,
            "not_verified": self.not_verified,
        }
