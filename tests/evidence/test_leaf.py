"""The bytes of an entry: canonical, complete, never too long."""

import json
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from evidence.leaf import LeafFault, LeafTooLarge, build_leaf, commitment, payload_bytes

ENTRY = UUID("018f2f60-0000-7000-8000-000000000002")
TENANT = UUID("018f2f60-0000-7000-8000-000000000001")
ADA = {"type": "human", "id": "ada", "name": "Ada", "on_behalf_of": None}


def leaf(**changes: Any) -> bytes:
    facts: dict[str, Any] = {
        "entry_id": ENTRY,
        "recorded_at": datetime(2026, 11, 23, 5, 0, tzinfo=UTC),
        "tenant_id": TENANT,
        "actor": ADA,
        "door": "page",
        "action": "proposal.countersign",
        "object_type": "proposal",
        "object_id": "7",
        "phase": "decision",
        "outcome": "ok",
    }
    return build_leaf(**(facts | changes))


def test_a_leaf_is_canonical_json_with_every_field_of_the_format():
    assert leaf(policy={"digest": "ab", "decision": "allow"}, run="r", payload=("00", 2)) == (
        b'{"action":"proposal.countersign","actor":{"id":"ada","name":"Ada","on_behalf_of":null,'
        b'"type":"human"},"door":"page","id":"018f2f60-0000-7000-8000-000000000002",'
        b'"object":{"id":"7","type":"proposal"},"outcome":"ok",'
        b'"payload":{"alg":"HMAC-SHA256(salt,SHA-256(payload))","commitment":"00","size":2},'
        b'"phase":"decision","policy":{"decision":"allow","digest":"ab"},"run":"r",'
        b'"tenant":"018f2f60-0000-7000-8000-000000000001","trace":null,'
        b'"ts":"2026-11-23T05:00:00.000000Z","v":1}'
    )


def test_times_are_written_in_utc_to_the_microsecond():
    moment = datetime(2026, 11, 23, 6, 0, 0, 5, tzinfo=timezone(timedelta(hours=1)))

    assert json.loads(leaf(recorded_at=moment))["ts"] == "2026-11-23T05:00:00.000005Z"


def test_a_time_without_a_zone_is_refused():
    with pytest.raises(LeafFault, match="zone"):
        leaf(recorded_at=datetime(2026, 11, 23))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("field", "word"),
    [
        ("door", "window"),
        ("phase", "maybe"),
        ("outcome", "fine"),
        ("actor", ADA | {"type": "ghost"}),
        ("actor", {"type": "human", "id": "ada"}),
        ("policy", {"digest": "ab", "decision": "perhaps"}),
        ("policy", {"decision": "allow"}),
        ("action", ""),
        ("object_id", ""),
    ],
)
def test_a_word_outside_its_list_is_refused(field, word):
    with pytest.raises(LeafFault):
        leaf(**{field: word})


def test_the_longest_leaf_has_one_byte_less_than_the_limit():
    room = 65_534 - len(leaf(trace=""))

    assert len(leaf(trace="x" * room)) == 65_534
    with pytest.raises(LeafTooLarge, match="65535 bytes: fewer than 65535 fit"):
        leaf(trace="x" * (room + 1))


def test_what_canonical_json_cannot_hold_is_refused():
    with pytest.raises(LeafFault, match="canonical"):
        leaf(trace="\ud800")
    with pytest.raises(LeafFault, match="canonical"):
        payload_bytes({"number": 2**60})
    with pytest.raises(LeafFault, match="canonical"):
        payload_bytes({"number": float("nan")})


@given(st.text(), st.text(min_size=1), st.integers(0, 2**53 - 1))
def test_a_leaf_is_byte_for_byte_what_the_reference_implementation_writes(name, action, size):
    written = leaf(
        actor={**ADA, "name": name}, action=action, payload=("00", size), trace=name or None
    )

    assert written == rfc8785.dumps(json.loads(written))
    assert json.loads(written)["actor"]["name"] == name


def test_a_commitment_hides_the_payload_behind_its_salt():
    payload = payload_bytes({"verdict": "refused"})

    first, second = commitment(b"\1" * 32, payload), commitment(b"\2" * 32, payload)

    assert first != second
    assert sha256(payload).hexdigest() not in (first, second)


def test_a_commitment_is_the_hmac_that_the_format_names():
    # Worked out with the openssl command, for a salt of zeros.
    assert commitment(bytes(32), b"{}") == (
        "00495b6e8418a8235427532dc310760d4eab143c35e91ccfd6064d1f998b3326"
    )


def test_a_salt_of_another_length_is_refused():
    with pytest.raises(LeafFault, match="32 bytes"):
        commitment(b"short", b"{}")


def test_facts_of_a_usual_decision_are_written_the_quick_way(monkeypatch):
    monkeypatch.setattr(
        "evidence.leaf._canonical", lambda fields: pytest.fail("the slow way was taken")
    )
    facts = {
        "latency_ms": 0.137,
        "number": 57,
        "relations": ["project:0e39e8a1-0000-7000-8000-000000000000#tenant@tenant:12e4"],
        "revision": "57e1f3a0-0000-4000-8000-000000000000/12",
    }

    assert payload_bytes(facts) == rfc8785.dumps(facts)


@pytest.mark.parametrize("number", [1.0, -2.0, 0.0, 10.5, 0.1, 1e21, 1e16, 1e-7, -1.5e300])
def test_numbers_are_written_as_the_reference_implementation_writes_them(number):
    facts = {"alone": number, "first": [number, 1], "later": [1, number, {"in": number}]}

    assert payload_bytes(facts) == rfc8785.dumps(facts)
