"""Refusals of this floor."""

from typing import Any
from uuid import UUID

from authz.graph import Explanation
from authz.permissions import Permission
from tenants.errors import Refused


class Denied(Refused):
    """The actor may not do this.

    record_id: of the ledger's entry that says so. on, explanation: what it was about, and what
    roles, teams and shares said, for whoever looks for somebody who can help.
    """

    def __init__(
        self,
        permission: Permission,
        reasons: list[str],
        *,
        record_id: UUID | None = None,
        on: Any = None,
        explanation: Explanation | None = None,
    ) -> None:
        super().__init__("; ".join(reasons))
        self.permission = permission
        self.reasons = reasons
        self.record_id = record_id
        self.on = on
        self.explanation = explanation


class NotRecorded(Exception):
    """The answer could not be put on record, so it is not given. Nothing was changed."""


class OwnAccess(Refused):
    """Somebody would decide about what is their own."""


class BadRequest(Refused):
    """What was asked for makes no sense as it stands. errors: field -> what was expected."""

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__("; ".join(f"{field}: {message}" for field, message in errors.items()))
        self.errors = errors


class Conflict(Refused):
    """It made sense when the person looked, but things have changed since."""
