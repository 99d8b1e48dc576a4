"""Signed envelopes around in-toto statements (DSSE), whole or by their digest."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import rfc8785

from evidence.signing import Signer, VerifierKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"
# The same statement, of which the SHA-256 was signed: longer than its key's place takes.
DIGEST_TYPE = "application/vnd.countersign.in-toto.sha256+json"
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


def _signed(payload_type: str, payload: bytes) -> bytes:
    """What the signature of an envelope of this type is over. Raises EnvelopeFault for others.

    The type is among the signed bytes, with its length, so what was signed as one type verifies
    as no other: neither a digest as a statement of 32 bytes, nor a statement as its digest. Two
    statements with one SHA-256 would share a signature, but the log's tree, every list of files
    and the digest of a record in the log rest on there being none, too.
    """
    if payload_type == PAYLOAD_TYPE:
        return pre_authentication(payload_type, payload)
    if payload_type == DIGEST_TYPE:
        return pre_authentication(payload_type, sha256(payload).digest())
    raise EnvelopeFault(f"the envelope holds {payload_type!r}")


def sign_envelope(payload: bytes, signer: Signer) -> bytes:
    """The envelope of a statement as one line of canonical JSON, without a newline.

    What is longer than the signer takes is signed by its SHA-256 and says so by its type; the
    payload is in the envelope either way. Raises KeyFault when the signer cannot sign.
    """
    payload_type, message = PAYLOAD_TYPE, _signed(PAYLOAD_TYPE, payload)
    if signer.longest is not None and len(message) > signer.longest:
        payload_type, message = DIGEST_TYPE, _signed(DIGEST_TYPE, payload)
    signature = signer.sign(message)
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


def open_envelope(envelope: bytes, keys: Iterable[VerifierKey]) -> bytes:
    """The statement, once one of `keys` is seen to have signed it, whole or by its digest as the
    envelope's type has it; raises EnvelopeFault."""
    try:
        fields = json.loads(envelope)
        payload = b64decode(fields["payload"], validate=True)
        message = _signed(fields["payloadType"], payload)
        signatures = [
            (line["keyid"], b64decode(line["sig"], validate=True)) for line in fields["signatures"]
        ]
    except (KeyError, TypeError, UnicodeError, json.JSONDecodeError, Base64Error) as fault:
        raise EnvelopeFault("this is not a DSSE envelope") from fault
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
