"""The bytes of one log entry, with the commitment to its payload."""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

import rfc8785

LEAF_LIMIT = 65_535  # bytes; a leaf is shorter
SALT_BYTES = 32
COMMITMENT = "HMAC-SHA256(salt,SHA-256(payload))"

ACTOR_FIELDS = frozenset({"type", "id", "name", "on_behalf_of"})
POLICY_FIELDS = frozenset({"digest", "decision"})
ACTOR_TYPES = frozenset({"human", "agent", "robot", "system"})
DOORS = frozenset({"page", "api", "job", "cli", "scim"})
# Numbers that the two ways of writing JSON spell differently; text that looks so costs time only.
# A quote stands before each colon that a number may follow: ids in text do not look so. The
# characters come first, then what stands before them: so the engine skips all others quickly.
_ODD_NUMBER = re.compile(
    r"[:,\[](?<![^\"]:)-?(?:[0-9]+(?:\.[0-9]+)?[eE]|[0-9]+\.0(?![0-9])|[0-9]{16}|NaN|Infinity)"
)
# Made once: json.dumps() makes another each time that it is told anything.
_WRITER = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), sort_keys=True, default=str
).encode
_LEAF_WRITER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode
PHASES = frozenset({"intent", "decision", "result", "gap", "redaction"})
OUTCOMES = frozenset({"ok", "denied", "failed"})
POLICY_DECISIONS = frozenset({"allow", "deny"})


class LeafFault(ValueError):
    """The facts of an entry cannot be written as a leaf."""


class LeafTooLarge(LeafFault):
    """A leaf would reach 65,535 bytes; what is bulky belongs in the payload."""


def payload_bytes(facts: Mapping[str, Any]) -> bytes:
    """The facts as RFC 8785 bytes; ids, times and the like become text.

    Raises LeafFault for what canonical JSON cannot hold.
    """
    try:
        quick = _WRITER(facts)
        # The standard library takes a tenth of the time, and every change waits for this. Odd
        # numbers and keys beyond ASCII are where the two differ; a property test compares them.
        if quick.isascii() and not _ODD_NUMBER.search(quick):
            return quick.encode()
    except TypeError as fault:
        raise LeafFault(f"not canonical JSON: {fault}") from fault
    return _canonical(json.loads(quick))


def commitment(salt: bytes, payload: bytes) -> str:
    """What the leaf says of a payload, in hex. Without the salt it tells nothing."""
    if len(salt) != SALT_BYTES:
        raise LeafFault(f"a salt has {SALT_BYTES} bytes")
    return hmac.digest(salt, sha256(payload).digest(), "sha256").hex()


def build_leaf(
    *,
    entry_id: UUID,
    recorded_at: datetime,
    tenant_id: UUID,
    actor: Mapping[str, str | None],
    door: str,
    action: str,
    object_type: str,
    object_id: str,
    phase: str,
    outcome: str,
    policy: Mapping[str, str] | None = None,
    payload: tuple[str, int] | None = None,
    run: str | None = None,
    trace: str | None = None,
) -> bytes:
    """The leaf as RFC 8785 bytes, fewer than 65,535 of them.

    recorded_at: any zone; written in UTC to the microsecond. actor: type, id, name, on_behalf_of.
    policy: digest (hex), decision. payload: commitment (hex) and size in bytes of what is kept
    outside the tree.
    Raises LeafFault for a field or word outside its list, LeafTooLarge for what does not fit.
    """
    if recorded_at.tzinfo is None:
        raise LeafFault("the time of an entry needs a zone")
    _exactly("actor", actor, ACTOR_FIELDS)
    _one_of("actor.type", actor["type"], ACTOR_TYPES)
    _one_of("door", door, DOORS)
    _one_of("phase", phase, PHASES)
    _one_of("outcome", outcome, OUTCOMES)
    if policy is not None:
        _exactly("policy", policy, POLICY_FIELDS)
        _one_of("policy.decision", policy["decision"], POLICY_DECISIONS)
    if not action or not object_type or not object_id:
        raise LeafFault("an entry names its action, with the type and id of its object")
    at = recorded_at.astimezone(UTC).replace(tzinfo=None)
    leaf = _written(
        {
            "v": 1,
            "id": str(entry_id),
            "ts": f"{at.isoformat(timespec='microseconds')}Z",
            "tenant": str(tenant_id),
            "actor": dict(actor),
            "door": door,
            "action": action,
            "object": {"type": object_type, "id": object_id},
            "phase": phase,
            "outcome": outcome,
            "policy": None if policy is None else dict(policy),
            "payload": None
            if payload is None
            else {"alg": COMMITMENT, "commitment": payload[0], "size": payload[1]},
            "run": run,
            "trace": trace,
        }
    )
    if len(leaf) >= LEAF_LIMIT:
        raise LeafTooLarge(
            f"a leaf of {len(leaf)} bytes: fewer than {LEAF_LIMIT} fit, so put the bulk of it "
            "in the payload"
        )
    return leaf


def _written(fields: dict[str, Any]) -> bytes:
    """RFC 8785 for what a leaf holds: text, whole numbers, nothing, under keys in ASCII.

    The standard library writes such values just alike, in a tenth of the time; every change waits
    for this. A property test compares it with the reference implementation.
    """
    try:
        return _LEAF_WRITER(fields).encode()
    except UnicodeError as fault:
        raise LeafFault(f"not canonical JSON: {fault}") from fault


def _canonical(fields: Mapping[str, Any]) -> bytes:
    try:
        return rfc8785.dumps(dict(fields))
    except (rfc8785.CanonicalizationError, UnicodeError) as fault:
        raise LeafFault(f"not canonical JSON: {fault}") from fault


def _exactly(field: str, given: Mapping[str, object], wanted: frozenset[str]) -> None:
    if given.keys() != wanted:
        raise LeafFault(f"{field} has {sorted(given)}; it must have {sorted(wanted)}")


def _one_of(field: str, word: str | None, allowed: frozenset[str]) -> None:
    if word not in allowed:
        raise LeafFault(f"{field} is {word!r}; it must be one of {', '.join(sorted(allowed))}")
