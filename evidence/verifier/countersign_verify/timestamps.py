"""The time-stamp token over a pack's signed head, checked against a CA that the auditor brought."""

from __future__ import annotations

import importlib
from hashlib import sha256
from pathlib import Path
from types import ModuleType

from . import notes
from .container import Container
from .findings import Findings, Rejected, Unusable
from .keys import VerifierKey
from .notes import Checkpoint

CHECK, FILE = "timestamp", "timestamps/end.tsr"
LARGEST = 65_536  # bytes


def ca_given(path: str) -> bytes:
    """The CA file named on the command line, in PEM. Raises Unusable, also without the library."""
    try:
        pem = Path(path).read_bytes()
        _stamps().certificates(pem)
    except (OSError, ValueError) as fault:
        raise Unusable(f"--tsa-ca {path}: {fault}") from fault
    return pem


def check_timestamp(
    files: Container,
    ca: bytes | None,
    checkpoint: Checkpoint,
    key: VerifierKey,
    findings: Findings,
) -> None:
    """Say since when, at the latest, the signed head was there. ca: PEM; without, nobody looks."""
    if FILE not in files.members:
        if ca is not None:
            findings.warnings.append(
                f"no token of a time-stamping authority is in this pack ({FILE}), so --tsa-ca "
                "checked nothing"
            )
        return
    if ca is None:
        findings.not_verified.append(
            f"{FILE}: NOT CHECKED. An authority's token about the time of the head is here, but no "
            "--tsa-ca was given"
        )
        return
    answer = files.read(FILE)
    if len(answer) > LARGEST:
        raise Rejected(CHECK, FILE, f"has more than {LARGEST} bytes")
    stamps = _stamps()
    digest = sha256(notes.signed_by(checkpoint, key)).digest()
    try:
        stamp = stamps.read_stamp(answer, digest, stamps.certificates(ca))
    except ValueError as fault:
        raise Rejected(CHECK, FILE, str(fault)) from fault
    at = stamp.at.isoformat().replace("+00:00", "Z")
    findings.timestamp = {"at": at, "policy": stamp.policy, "serial": f"{stamp.serial:x}"}
    findings.saw(
        CHECK,
        f"the head over {checkpoint.size} entries was there at {at}, as an authority under your CA "
        f"says by its policy {stamp.policy}",
    )


def _stamps() -> ModuleType:
    try:
        return importlib.import_module(".stamps", __package__)
    except ImportError as fault:
        raise Unusable(
            f"--tsa-ca needs the package rfc3161-client, which cannot be used here ({fault}): "
            "pip install 'countersign-verify[timestamps]'"
        ) from fault
