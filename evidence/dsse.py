"""Signed envelopes around in-toto statements (DSSE)."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import rfc8785

from evidence.signing import Signer, VerifierKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"


class EnvelopeFault(ValueError):
    """An envelope is malformed, or not signed by a key we were given."""


@dataclass(frozen=True, slots=True)
class Subject:
    """An artifact that a statement is about; every digest is of the same bytes."""

    name: str
    digest: Mapping[str, str]  # algorithm -> hex: sha256, gitCommit, gitTree


def pre_authentication(payload_type: str, payload: bytes) -> bytes:
    """The bytes that are signed (PAE), unlike those of any note."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign_envelope(payload: bytes, signer: Signer, *, payload_type: str = PAYLOAD_TYPE) -> bytes:
    """The envelope as one line of canonical JSON, without a newline."""
    signature = signer.sign(pre_authentication(payload_type, payload))
    return rfc8785.dumps(
        {
            "payload": b64encode(payload).decode(),
            "payloadType": payload_type,
            "signatures": [
                {
                    "keyid": VerifierKey.parse(signer.vkey).key_id,
                    "sig": b64encode(signature).decode(),
                }
            ],
        }
    )


def open_envelope(
    envelope: bytes, keys: Iterable[VerifierKey], *, payload_type: str = PAYLOAD_TYPE
) -> bytes:
    """The payload, once one of `keys` is seen to have signed it; raises EnvelopeFault."""
    try:
        fields = json.loads(envelope)
        if fields["payloadType"] != payload_type:
            raise EnvelopeFault(f"the envelope holds {fields['payloadType']!r}")
        payload = b64decode(fields["payload"], validate=True)
        signatures = [
            (line["keyid"], b64decode(line["sig"], validate=True)) for line in fields["signatures"]
        ]
    except (KeyError, TypeError, UnicodeError, json.JSONDecodeError, Base64Error) as fault:
        raise EnvelopeFault("this is not a DSSE envelope") from fault
    message = pre_authentication(payload_type, payload)
    known = {key.key_id: key for key in keys}
    if any(
        key_id in known and known[key_id].verifies(signature, message)
        for key_id, signature in signatures
    ):
        return payload
    raise EnvelopeFault("the envelope is not signed by any of the keys given")


def statement(
    subjects: Sequence[Subject], predicate_type: str, predicate: Mapping[str, Any]
) -> bytes:
    """An in-toto Statement v1 as canonical JSON; needs at least one subject."""
    if not subjects:
        raise ValueError("a statement is about something: it needs a subject")
    return rfc8785.dumps(
        {
            "_type": STATEMENT_TYPE,
            "subject": [
                {"name": subject.name, "digest": dict(subject.digest)} for subject in subjects
            ],
            "predicateType": predicate_type,
            "predicate": dict(predicate),
        }
    )


def pull_request_subjects(
    repo: str, number: int, *, commit: str, tree: str, diff_sha256: str
) -> list[Subject]:
    """The two subjects that every statement about a pull request carries."""
    return [
        Subject(f"{repo}#{number}", {"gitCommit": commit, "gitTree": tree}),
        Subject("diff.patch", {"sha256": diff_sha256}),
    ]
