"""Queries to a time-stamping authority (RFC 3161), and what its answers are worth."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from rfc3161_client import (
    HashAlgorithm,
    TimestampRequestBuilder,
    TimeStampResponse,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

LARGEST = 65_536  # bytes of an answer; verifiers take no more
_SHA256 = "2.16.840.1.101.3.4.2.1"
_GRANTED = 0

# Whatever a malformed certificate inside of an answer makes the libraries say.
_MALFORMED = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
_CHAIN = re.compile(r'Verify error: ?([^"]+)"')


class StampFault(ValueError):
    """An answer that is no token over what was asked about; the message says why."""


@dataclass(frozen=True, slots=True)
class Query:
    """What an authority is asked. digest: SHA-256 of the note. nonce: in no other query."""

    der: bytes
    digest: bytes
    nonce: int


@dataclass(frozen=True, slots=True)
class Stamp:
    """What an authority says: something with that digest was there at that time."""

    at: datetime
    policy: str  # under which policy of the authority's, as an OID
    serial: int


def query(note: str) -> Query:
    """Ask about a head as its log's key alone signed it, and for the authority's certificate."""
    builder = TimestampRequestBuilder().data(note.encode()).hash_algorithm(HashAlgorithm.SHA256)
    asked = builder.nonce(nonce=True).cert_request(cert_request=True).build()
    if asked.nonce is None:
        raise StampFault("no nonce could be made")
    return Query(asked.as_bytes(), sha256(note.encode()).digest(), asked.nonce)


def checked(answer: bytes, asked: Query, ca: bytes) -> Stamp:
    """What the whole answer (DER) says, once it is seen to be about `asked` and to lead to the CA.

    ca: certificates in PEM; those that others signed may stand between. Raises StampFault.
    """
    if len(answer) > LARGEST:
        raise StampFault(f"its answer has more than {LARGEST} bytes")
    trusted = x509.load_pem_x509_certificates(ca)
    try:
        said = decode_timestamp_response(answer)
        _is_about(said, asked)
        builder = VerifierBuilder(
            roots=[one for one in trusted if one.subject == one.issuer],
            intermediates=[one for one in trusted if one.subject != one.issuer],
            nonce=asked.nonce,
        )
        # Signature, chain at the token's own time, and that the key is for time-stamping alone.
        builder.build().verify(said, asked.digest)
        told = said.tst_info
        return Stamp(told.gen_time.astimezone(UTC), told.policy.dotted_string, told.serial_number)
    except VerificationError as fault:
        raise StampFault(_plainly(str(fault))) from fault
    except StampFault:
        raise
    except _MALFORMED as fault:
        raise StampFault("its answer is no time-stamp response in DER") from fault


def _is_about(said: TimeStampResponse, asked: Query) -> None:
    if said.status != _GRANTED:
        words = "; ".join(said.status_string) or "without a reason"
        raise StampFault(f"it refuses (status {said.status}, {words[:200]})")
    imprint = said.tst_info.message_imprint
    if (imprint.hash_algorithm.dotted_string, imprint.message) != (_SHA256, asked.digest):
        raise StampFault("its token is over something else than this signed head")
    if said.tst_info.nonce != asked.nonce:
        raise StampFault("its token answers another query (the nonce is not ours)")


def _plainly(fault: str) -> str:
    """The library's reason, without what OpenSSL adds about itself."""
    if found := _CHAIN.search(fault):
        return f"its certificate does not lead to TIMESTAMP_CA: {found[1]}"
    if fault.startswith("Error while verifying certificates"):
        return "the signature of its token does not fit"
    return fault
