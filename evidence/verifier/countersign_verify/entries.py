"""Reads the entries of the log one by one, whatever their number."""

from __future__ import annotations

import json
import re
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from hmac import digest as hmac_digest
from typing import Any, NoReturn

from . import strict_json
from .findings import Rejected

CHECK = "entries"
FILE = "log/entries.jsonl"
LEAF_LIMIT = 65_535  # bytes; a leaf is shorter
LINE_LIMIT = 128 << 20
TIMELINE_LIMIT = 200  # rows that a report prints
COMMITMENT = "HMAC-SHA256(salt,SHA-256(payload))"

_FIELDS = frozenset(
    {"v", "id", "ts", "tenant", "actor", "door", "action", "object", "phase", "outcome"}
    | {"policy", "payload", "run", "trace"}
)
_ACTOR = frozenset({"type", "id", "name", "on_behalf_of"})
_OBJECT = frozenset({"type", "id"})
_POLICY = frozenset({"digest", "decision"})
_PAYLOAD = frozenset({"alg", "commitment", "size"})
_ACTOR_TYPES = frozenset({"human", "agent", "robot", "system"})
_DOORS = frozenset({"page", "api", "job", "cli"})
_PHASES = frozenset({"intent", "decision", "result", "gap", "redaction"})
_OUTCOMES = frozenset({"ok", "denied", "failed"})
_TEXT_OR_NOTHING = frozenset({str, type(None)})
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
_INDEX = re.compile(rb":(0|[1-9][0-9]{0,15}),")
_SALT = re.compile(rb"[0-9a-f]{64}")


def _no_constant(name: str) -> NoReturn:
    raise strict_json.Doubtful(f"{name} is not a JSON number")


_quickly_parsed = json.JSONDecoder(parse_constant=_no_constant).raw_decode


@dataclass(slots=True)
class Log:
    """What is kept of the entries."""

    indexes: list[int] = field(default_factory=list)
    leaf_hashes: list[bytes] = field(default_factory=list)
    timeline: list[dict[str, Any]] = field(default_factory=list)
    kept: dict[int, tuple[dict[str, Any], bytes | None]] = field(default_factory=dict)
    disclosed: int = 0
    withheld: int = 0
    phases: Counter[str] = field(default_factory=Counter)


def read_entries(chunks: Iterator[bytes], tenant: str, wanted: Container[int]) -> Log:
    """Check every entry by itself: its line, its leaf, its payload against the commitment.

    wanted: indexes whose leaf and payload are kept for later checks.
    """
    log = Log()
    hashes, indexes = log.leaf_hashes, log.indexes
    previous = -1
    for line in _lines(chunks):
        index, leaf, payload, salt = _split(line, previous + 1)
        if index <= previous:
            raise Rejected(CHECK, f"entry {index}", f"does not follow entry {previous}")
        fields = _checked_leaf(index, leaf, tenant)
        committed = fields["payload"]
        if payload is not None and salt is not None:
            if committed is None:
                raise Rejected(CHECK, f"entry {index}", "a payload that its leaf does not name")
            commitment = hmac_digest(salt, sha256(payload).digest(), "sha256").hex()
            if commitment != committed["commitment"] or len(payload) != committed["size"]:
                raise Rejected(
                    CHECK, f"entry {index}", "the payload or its salt is not what it commits to"
                )
            log.disclosed += 1
        elif committed is not None:
            log.withheld += 1
        hashes.append(sha256(b"\x00" + leaf).digest())
        indexes.append(index)
        log.phases[fields["phase"]] += 1
        if len(log.timeline) < TIMELINE_LIMIT:
            log.timeline.append(_timeline_row(index, fields))
        if index in wanted:
            log.kept[index] = fields, payload
        previous = index
    if not indexes:
        raise Rejected(CHECK, FILE, "holds no entry")
    return log


def _lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > LINE_LIMIT:
            raise Rejected(CHECK, FILE, "a line without end")
        yield from lines
    if rest:
        raise Rejected(CHECK, FILE, "the last line is cut off")


def _split(line: bytes, expected: int) -> tuple[int, bytes, bytes | None, bytes | None]:
    """Index, leaf, payload, salt. A line has one spelling only, so nothing can hide in it."""
    parts = line.split(b'"')
    subject = f"line of entry {expected}"
    try:
        found = _INDEX.fullmatch(parts[2])
        index = int(found[1]) if found else -1
        encoded = parts[5]
        if len(parts) == 15:
            packed_payload, salt = parts[9], parts[13]
            spelled = b'{"index":%d,"leaf":"%b","payload":"%b","salt":"%b"}' % (
                index,
                encoded,
                packed_payload,
                salt,
            )
            if line == spelled and _SALT.fullmatch(salt):
                return (
                    index,
                    a2b_base64(encoded, strict_mode=True),
                    a2b_base64(packed_payload, strict_mode=True),
                    bytes.fromhex(salt.decode()),
                )
        elif line == b'{"index":%d,"leaf":"%b","payload":null,"salt":null}' % (index, encoded):
            return index, a2b_base64(encoded, strict_mode=True), None, None
    except (IndexError, Base64Error) as fault:
        raise Rejected(CHECK, subject, f"malformed: {fault}") from fault
    raise Rejected(CHECK, subject, "malformed: not the four keys in their one spelling")


def _checked_leaf(index: int, leaf: bytes, tenant: str) -> dict[str, Any]:
    fields: dict[str, Any]
    subject = f"entry {index}"
    if len(leaf) >= LEAF_LIMIT:
        raise Rejected(CHECK, subject, f"a leaf of {len(leaf)} bytes")
    try:
        text = leaf.decode()
        fields, end = _quickly_parsed(text)
        if end != len(text) or "\\u" in text or not _no_key_twice(text, fields):
            fields = strict_json.parsed(text)
        _check_fields(fields)
    except (UnicodeError, ValueError, TypeError, RecursionError) as fault:
        raise Rejected(CHECK, subject, f"its leaf is malformed: {fault}") from fault
    if fields["tenant"] != tenant:
        raise Rejected(CHECK, subject, f"belongs to another tenant, {fields['tenant']}")
    return fields


def _no_key_twice(text: str, fields: Any) -> bool:
    """Whether no key was written twice: quick, and right whenever it says yes.

    With no space after a quote, a quote before a colon ends a key (or stands escaped within a
    string: then the count is too high, and a slower reader decides). A key written twice is
    counted twice in the text, but once in what was read.
    """
    if '" ' in text or "\n" in text or "\t" in text or "\r" in text:
        return False
    if type(fields) is not dict:
        return False
    keys = len(fields)
    for value in fields.values():
        if type(value) is dict:
            keys += len(value)
    return text.count('":') == keys


def _check_fields(fields: Any) -> None:
    """Raises ValueError, naming the field, unless this is a leaf of version 1."""
    if type(fields) is not dict or fields.keys() != _FIELDS:
        raise ValueError("other fields than those of a leaf")
    actor, about = fields["actor"], fields["object"]
    policy, payload = fields["policy"], fields["payload"]
    if type(fields["v"]) is not int or fields["v"] != 1:
        raise ValueError("v is not 1")
    if type(actor) is not dict or actor.keys() != _ACTOR or actor["type"] not in _ACTOR_TYPES:
        raise ValueError("actor")
    if type(about) is not dict or about.keys() != _OBJECT:
        raise ValueError("object")
    if not (
        fields["door"] in _DOORS
        and fields["phase"] in _PHASES
        and fields["outcome"] in _OUTCOMES
        and type(actor["id"])
        is type(actor["name"])
        is type(about["type"])
        is type(about["id"])
        is type(fields["id"])
        is type(fields["action"])
        is type(fields["tenant"])
        is str
        and type(actor["on_behalf_of"]) in _TEXT_OR_NOTHING
        and type(fields["run"]) in _TEXT_OR_NOTHING
        and type(fields["trace"]) in _TEXT_OR_NOTHING
    ):
        raise ValueError("door, phase, outcome, or a field that should be text")
    if type(fields["ts"]) is not str or not _TIME.fullmatch(fields["ts"]):
        raise ValueError("ts is not a time in UTC to the microsecond")
    if policy is not None and (type(policy) is not dict or policy.keys() != _POLICY):
        raise ValueError("policy")
    if payload is not None and not (
        type(payload) is dict
        and payload.keys() == _PAYLOAD
        and payload["alg"] == COMMITMENT
        and type(payload["size"]) is int
    ):
        raise ValueError("payload")


def _timeline_row(index: int, fields: dict[str, Any]) -> dict[str, Any]:
    return {
        "index": index,
        "ts": fields["ts"],
        "actor": fields["actor"]["name"],
        "actor_type": fields["actor"]["type"],
        "on_behalf_of": fields["actor"]["on_behalf_of"],
        "door": fields["door"],
        "action": fields["action"],
        "phase": fields["phase"],
        "outcome": fields["outcome"],
    }
