"""The command `countersign-verify`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from . import __version__
from .checks import Trust, verify
from .findings import NUMBER, Findings, Unusable
from .keys import WITNESS, keys_given, pins_given
from .timestamps import ca_given


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify one pack and print what was found. Returns the exit code: 0, 1, 2 or 3."""
    given = _parser().parse_args(arguments)
    try:
        pinned, since = pins_given(given.key)
        trust = Trust(
            keys=pinned,
            since=since,
            witnesses=keys_given(given.witness, WITNESS),
            previous=_content(given.previous) if given.previous else None,
            tsa_ca=ca_given(given.tsa_ca) if given.tsa_ca else None,
        )
        findings = verify(Path(given.pack), trust)
    except Unusable as fault:
        if given.json:
            print(json.dumps({"verdict": "UNUSABLE", "exit_code": 2, "reason": str(fault)}))
        else:
            print(f"UNUSABLE: {fault}", file=sys.stderr)
        return 2
    if given.json:
        print(json.dumps(findings.as_json(), indent=2))
    else:
        print("\n".join(_lines(given.pack, findings)))
    return findings.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="countersign-verify",
        description="Verify an evidence pack offline.",
        epilog="Exit codes: 0 clean, 1 a check failed, 2 unusable, 3 clean with warnings.",
    )
    parser.add_argument("pack", help="the ZIP file")
    parser.add_argument(
        "--key",
        action="append",
        default=[],
        metavar="VKEY_OR_FILE",
        help="the log's verifier key, obtained by another way than the pack, perhaps with a space "
        "and the index that it signs from; a file holds one a line, or the answer of "
        "/api/v1/log/keys; may be repeated",
    )
    parser.add_argument(
        "--previous", metavar="CHECKPOINT", help="a checkpoint note kept from an earlier pack"
    )
    parser.add_argument(
        "--witness",
        action="append",
        default=[],
        metavar="VKEY_OR_FILE",
        help="a witness that must have cosigned the log's head; may be repeated",
    )
    parser.add_argument(
        "--tsa-ca",
        metavar="FILE",
        help="certificates (PEM) of the CA behind the time-stamping authority that you trust: the "
        "token in the pack is checked against them; without, it is NOT CHECKED",
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    return parser


def _content(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as fault:
        raise Unusable(f"{path} cannot be read: {fault}") from fault


def _lines(pack: str, findings: Findings) -> list[str]:
    lines = [pack, ""]
    # By number; inside a check in the order in which its parts were looked at.
    for check, what in sorted(findings.verified, key=lambda seen: NUMBER[seen[0]]):
        lines.append(f"  ok    {NUMBER[check]:>2} {check:<13} {what}")
    if (failure := findings.failure) is not None:
        number = NUMBER[failure.check]
        lines.append(f"  FAIL  {number:>2} {failure.check:<13} {failure.subject}: {failure.reason}")
        lines.append("        Checks after this one were not made.")
    lines += [f"  WARN  {warning}" for warning in findings.warnings]
    if findings.failure is None:
        lines += ["", "  Not verified:"]
        lines += [f"  -     {what}" for what in findings.not_verified]
    return [*lines, "", findings.verdict]
