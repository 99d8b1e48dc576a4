"""Checks that the access reviews of a pack are those, and say that, which the entries show."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from . import strict_json
from .container import Container
from .entries import Log
from .findings import Findings, Rejected

CHECK = "completeness"
FILE = "access/reviews.json"
LEFT_OUT = "no longer as it was closed"
_REVIEW, _ITEM = "accessreview", "accessreviewitem"
_GIVEN = frozenset({"confirmed", "ended", "reported"})
_NAMES = frozenset({"name", "whose"})


@dataclass(slots=True)
class _Recorded:
    """What the entries say, as far as their facts are disclosed."""

    started: set[str] = field(default_factory=set)
    closed: list[tuple[int, str, dict[str, Any]]] = field(default_factory=list)
    answers: dict[str, tuple[int, Mapping[str, Any], dict[str, Any]]] = field(default_factory=dict)


def check_access_reviews(files: Container, log: Log, findings: Findings) -> None:
    """Each review that an entry closes is in the pack with the digest that the entry carries, each
    answer is that of its entry, and no entry says an answer that the review does not have.

    Reviews that were closed before entries carried a digest are not expected.
    """
    recorded = _recorded(log)
    rows = _rows(files)
    if [row["entry"] for row in rows] != [index for index, _, _ in recorded.closed]:
        raise Rejected(CHECK, FILE, "does not list the reviews that the entries close")
    left_out = 0
    try:
        for row, (index, about, facts) in zip(rows, recorded.closed, strict=True):
            if row["review"] is None:
                left_out += 1
            else:
                _check_review(row["review"], index, about, facts, recorded)
    except (KeyError, TypeError, AttributeError) as fault:
        raise Rejected(CHECK, FILE, f"malformed: {fault}") from fault
    if rows:
        findings.saw(
            CHECK,
            f"{len(rows) - left_out} access reviews, each as its closing entry commits to it; "
            f"{left_out} left out ({LEFT_OUT})",
        )


def bound_digest(review: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of a review as JSON with sorted keys and no spaces, without people's names."""
    spelled = json.dumps(_bare(review), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256(spelled.encode()).hexdigest()


def _bare(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _bare(part) for name, part in value.items() if name not in _NAMES}
    return [_bare(part) for part in value] if isinstance(value, list) else value


def _recorded(log: Log) -> _Recorded:
    found = _Recorded()
    for index, leaf, payload in log.access_reviews:
        about = leaf["object"]
        if payload is None:
            continue
        facts = strict_json.read_object(f"entry {index}", payload)
        step = facts.get("step")
        if about["type"] == _REVIEW and step == "started":
            found.started.add(about["id"])
        elif about["type"] == _REVIEW and step == "closed" and "sha256" in facts:
            found.closed.append((index, about["id"], facts))
        elif about["type"] == _ITEM and step in _GIVEN:
            found.answers[about["id"]] = (index, leaf, facts)
    return found


def _rows(files: Container) -> Sequence[Mapping[str, Any]]:
    if FILE not in files.members:
        return []
    told = strict_json.read_object(FILE, files.read(FILE))
    rows = told.get("reviews")
    if told.keys() != {"reviews"} or not isinstance(rows, list) or not rows:
        raise Rejected(CHECK, FILE, "has other parts than reviews")
    for row in rows:
        if not isinstance(row, dict) or row.keys() != {"entry", "review", "left_out"}:
            raise Rejected(CHECK, FILE, "has a row with other parts than a review")
        if row["left_out"] != (LEFT_OUT if row["review"] is None else ""):
            raise Rejected(CHECK, FILE, "has a row that is neither shown nor left out for a reason")
    return rows


def _check_review(
    review: Mapping[str, Any],
    index: int,
    about: str,
    facts: Mapping[str, Any],
    recorded: _Recorded,
) -> None:
    subject = f"access review {about}"
    if review["review"] != about or bound_digest(review) != facts["sha256"]:
        raise Rejected(CHECK, subject, f"is not the one that entry {index} commits to")
    items = {item["id"]: item for item in review["items"]}
    for item_id, item in items.items():
        given = item["answer"] in _GIVEN
        if item_id not in recorded.answers:
            if given and about in recorded.started:
                raise Rejected(CHECK, subject, f"no entry says the answer to item {item_id}")
            continue
        place, leaf, said = recorded.answers[item_id]
        shown = (item["answer"], item["reason"], item["answered_by"]["id"])
        if shown != (said["step"], said["reason"], leaf["actor"]["id"]):
            raise Rejected(CHECK, subject, f"item {item_id} was answered otherwise: entry {place}")
    for item_id, (place, _, said) in recorded.answers.items():
        if said["review"] == review["number"] and item_id not in items:
            raise Rejected(CHECK, subject, f"leaves out the answer of entry {place}")
