"""Puts right what Microsoft Entra sends beside the standard, where the library takes it amiss."""

import json
from typing import Any

MANAGER = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:user:manager"


def put_right(body: bytes) -> bytes:
    """The body of a PATCH as the standard would have it; what we do not know stays as it is.

    - A manager is given by a bare id, and taken away by an empty one.
    - Entries of a list say null for what they do not have (`"$ref": null`), which would count as
      a condition when such an entry says what to remove.
    """
    try:
        said = json.loads(body)
        operations = [_right(operation) for operation in said["Operations"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return body
    return json.dumps({**said, "Operations": operations}).encode()


def _right(operation: dict[str, Any]) -> dict[str, Any]:
    path, value = str(operation.get("path") or "").lower(), operation.get("value")
    if path in {MANAGER, f"{MANAGER}.value"} and str(operation["op"]).lower() != "remove":
        manager = _manager(value)
        path = operation["path"][: len(MANAGER)]
        if manager is None:
            return {"op": "remove", "path": path}
        return {**operation, "path": path, "value": manager}
    if not path and isinstance(value, dict):
        return {
            **operation,
            "value": {
                name: _manager(part) if name.lower() == MANAGER else part
                for name, part in value.items()
            },
        }
    if isinstance(value, list):
        return {**operation, "value": [_without_nulls(entry) for entry in value]}
    return operation


def _manager(said: Any) -> dict[str, Any] | None:
    if isinstance(said, list) and len(said) == 1:
        return _manager(said[0])
    if isinstance(said, dict):
        known = {name: part for name, part in said.items() if part}
        return known or None
    return {"value": said} if said else None


def _without_nulls(entry: Any) -> Any:
    if isinstance(entry, dict):
        return {name: part for name, part in entry.items() if part is not None}
    return entry
