"""Reads time-stamp tokens (RFC 3161). Needs `rfc3161-client`, so nothing imports this up front."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from rfc3161_client import (
    TimeStampResponse,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

SHA256 = "2.16.840.1.101.3.4.2.1"
GRANTED = 0

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


@dataclass(frozen=True, slots=True)
class Stamp:
    """What an authority says: something with that digest was there at that time."""

    at: datetime
    policy: str  # under which policy of the authority's, as an OID
    serial: int


def certificates(pem: bytes) -> list[x509.Certificate]:
    """The certificates of a CA file, one at least that signed itself; ValueError for anything else.

    Those that others signed may stand between a token's certificate and the CA.
    """
    found = x509.load_pem_x509_certificates(pem)
    if not any(one.subject == one.issuer for one in found):
        raise ValueError("no certificate of a CA (one that signed itself) is in it")
    return found


def read_stamp(answer: bytes, digest: bytes, trusted: Sequence[x509.Certificate]) -> Stamp:
    """What the authority's whole answer (DER) says of a SHA-256 digest. ValueError says why not."""
    try:
        said = decode_timestamp_response(answer)
        _is_about(said, digest)
        builder = VerifierBuilder(
            roots=[one for one in trusted if one.subject == one.issuer],
            intermediates=[one for one in trusted if one.subject != one.issuer],
        )
        # Signature, chain at the token's own time, and that the key is for time-stamping alone.
        builder.build().verify(said, digest)
        told = said.tst_info
        return Stamp(told.gen_time.astimezone(UTC), told.policy.dotted_string, told.serial_number)
    except VerificationError as fault:
        raise ValueError(_plainly(str(fault))) from fault
    except _Unfit:
        raise
    except _MALFORMED as fault:
        raise ValueError(f"is not an answer in DER: {fault}") from fault


class _Unfit(ValueError):
    """The answer can be read, and is about something else."""


def _is_about(said: TimeStampResponse, digest: bytes) -> None:
    if said.status != GRANTED:
        words = "; ".join(said.status_string) or "without a reason"
        raise _Unfit(f"is a refusal (status {said.status}, {words})")
    imprint = said.tst_info.message_imprint
    if (imprint.hash_algorithm.dotted_string, imprint.message) != (SHA256, digest):
        raise _Unfit("is over something else than this signed head")


def _plainly(fault: str) -> str:
    """The library's reason, without what OpenSSL adds about itself."""
    if found := _CHAIN.search(fault):
        return f"its certificate does not lead to the CA: {found[1]}"
    if fault.startswith("Error while verifying certificates"):
        return "its signature does not fit"
    return fault
