"""Opens signed envelopes around in-toto statements (DSSE), whole or by their digest."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Any

from . import strict_json
from .findings import Rejected
from .keys import VerifierKey

CHECK = "signature"
# What an envelope of each type is signed over. The second is for keys that lie where nothing as
# long as a statement can be signed. The type is signed too: no envelope passes for the other kind.
BODIES: dict[str, Callable[[bytes], bytes]] = {
    "application/vnd.in-toto+json": lambda payload: payload,
    "application/vnd.countersign.in-toto.sha256+json": lambda payload: sha256(payload).digest(),
}


def statement(
    subject: str, envelope: bytes, keys: Iterable[VerifierKey]
) -> tuple[dict[str, Any], VerifierKey]:
    """The statement inside, with the one of `keys` that signed it."""
    fields = strict_json.read_object(subject, envelope)
    try:
        payload, payload_type = b64decode(fields["payload"], validate=True), fields["payloadType"]
        (line,) = fields["signatures"]
        key_id, signature = line["keyid"], b64decode(line["sig"], validate=True)
    except (KeyError, TypeError, ValueError, Base64Error) as fault:
        raise Rejected(CHECK, subject, "not an envelope with one signature") from fault
    if not isinstance(payload_type, str) or payload_type not in BODIES:
        raise Rejected(CHECK, subject, "an envelope of another type")
    if envelope != _spelled(payload, payload_type, key_id, signature):
        raise Rejected(CHECK, subject, "an envelope in an unusual spelling")
    kind, body = payload_type.encode(), BODIES[payload_type](payload)
    message = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(body), body)
    key = next((key for key in keys if key.key_id == key_id), None)
    if key is None:
        raise Rejected(CHECK, subject, f"signed by key {key_id!r}, which is not the pinned one")
    if not key.verifies(signature, message):
        raise Rejected(CHECK, subject, "the signature does not fit the contents")
    said = strict_json.read_object(subject, payload)
    if said.get("_type") != "https://in-toto.io/Statement/v1":
        raise Rejected(CHECK, subject, "not an in-toto Statement v1")
    return said, key


def digests(subject: str, said: dict[str, Any]) -> dict[str, dict[str, str]]:
    """What the statement is about: name -> algorithm -> digest."""
    try:
        named = {about["name"]: dict(about["digest"]) for about in said["subject"]}
    except (KeyError, TypeError, ValueError) as fault:
        raise Rejected(CHECK, subject, "its subjects have no names and digests") from fault
    if len(named) != len(said["subject"]):
        raise Rejected(CHECK, subject, "two subjects share a name")
    return named


def _spelled(payload: bytes, payload_type: str, key_id: str, signature: bytes) -> bytes:
    """The one way packs write an envelope; nothing outside the signature can then vary."""
    fields = {
        "payload": b64encode(payload).decode(),
        "payloadType": payload_type,
        "signatures": [{"keyid": key_id, "sig": b64encode(signature).decode()}],
    }
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()
