"""Works out the figures of the report again, to compare them with those that are printed."""

from __future__ import annotations

import json
import re
import zlib
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .completeness import Completeness
from .entries import Log
from .findings import Rejected
from .keys import VerifierKey
from .notes import Checkpoint
from .pull_requests import PullRequest

CHECK = "report"
LIST_LIMIT = 200  # rows that a report prints of a list
STORY = frozenset({"title", "asked", "layers", "blind_spots"})

_OBJECT = re.compile(rb"\b[0-9]+ 0 obj\b(.*?)\bstream\r?\n", re.DOTALL)
_LENGTH = re.compile(rb"/Length ([0-9]+)\b(?! [0-9]+ R)")


def check_figures(
    printed: Mapping[str, Any],
    *,
    scope: Mapping[str, Any],
    checkpoint: Checkpoint,
    key: VerifierKey,
    log: Log,
    pull_requests: Sequence[PullRequest],
    checks: Sequence[Mapping[str, Any]],
    approvals: Sequence[Mapping[str, Any]],
    controls: Sequence[Mapping[str, Any]],
    complete: Completeness,
    listed: Mapping[str, Mapping[str, Any]],
) -> int:
    """Compare every part of report.json but the story; returns how many parts agreed."""
    expected: dict[str, Any] = {
        "format": "countersign-report/2",
        "tenant": {"id": scope["tenant"]["id"], "name": scope["tenant"]["name"]},
        "object": scope["object"],
        "kind": scope["kind"],
        "query": scope["query"],
        "created_at": scope["created_at"],
        "log": {
            "origin": checkpoint.origin,
            "size": checkpoint.size,
            "root": b64encode(checkpoint.root).decode(),
            "coverage": scope["coverage"],
            "entries": len(log.indexes),
            "from": log.indexes[0],
            "to": log.indexes[-1],
            "disclosed": log.disclosed,
            "withheld": log.withheld,
            "key_id": key.key_id,
        },
        "timeline": log.timeline,
        "timeline_omitted": len(log.indexes) - len(log.timeline),
        "population": complete.population,
        "sample": complete.sample,
        "completeness": complete.figures,
        "totals": {
            "pull_requests": len(pull_requests),
            "checks": len(checks),
            "checks_passed": sum(check["status"] == "passed" for check in checks),
            "decisions": len(approvals),
            "controls": len(controls),
        },
        "pull_requests": [dict(pull_request.figures) for pull_request in pull_requests],
        "checks": {"by_status": _tally(checks, "status"), **_printed(checks)},
        "countersignatures": _printed(approvals),
        "controls": {
            "by_strength": _tally(controls, "strength"),
            **_printed([control for control in controls if control["evidence"]]),
        },
        "files": _printed(
            [
                {"path": path, **listed[path]}
                for path in sorted(listed)
                if not path.startswith(("00-", "log/proofs/")) and path != "report.json"
            ]
        ),
    }
    if printed.keys() != expected.keys() | {"story"}:
        raise Rejected(CHECK, "report.json", "has other parts than a report")
    if not isinstance(printed["story"], dict) or printed["story"].keys() != STORY:
        raise Rejected(CHECK, "report.json", "its story has other parts")
    for part, value in expected.items():
        # As text, because to Python 1, 1.0 and true are the same.
        if _spelled(printed[part]) != _spelled(value):
            raise Rejected(CHECK, f"report.json, {part}", "differs from what the pack shows")
    return len(expected)


def check_pdf(pdf: bytes, report_json: bytes) -> None:
    """The PDF carries report.json, byte for byte, as its one attached file."""
    attached = list(_attachments(pdf))
    if len(attached) != 1:
        raise Rejected(CHECK, "00-report.pdf", f"carries {len(attached)} files, not report.json")
    if attached[0] != report_json:
        raise Rejected(CHECK, "00-report.pdf", "carries another report than report.json")


def _attachments(pdf: bytes) -> Iterable[bytes]:
    for found in _OBJECT.finditer(pdf):
        if b"/EmbeddedFile" not in found[1]:
            continue
        length = _LENGTH.search(found[1])
        if length is None:
            raise Rejected(CHECK, "00-report.pdf", "an attached file has no length")
        raw = pdf[found.end() : found.end() + int(length[1])]
        try:
            yield zlib.decompress(raw) if b"/FlateDecode" in found[1] else raw
        except zlib.error as fault:
            raise Rejected(CHECK, "00-report.pdf", "an attached file is damaged") from fault


def _printed(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"list": rows[:LIST_LIMIT], "omitted": max(0, len(rows) - LIST_LIMIT)}


def _spelled(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _tally(rows: Iterable[Mapping[str, Any]], name: str) -> dict[str, int]:
    return dict(Counter(row[name] for row in rows))
