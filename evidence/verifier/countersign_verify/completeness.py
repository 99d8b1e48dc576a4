"""Works out again what the entries say of gaps, erasures, access and pull requests."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from . import notes, strict_json
from .container import Container
from .entries import Log
from .findings import Findings, Rejected
from .key_history import History
from .pull_requests import PullRequest

CHECK = "completeness"
GAPS, REDACTIONS, CHANGES = "gaps.json", "redactions.json", "access/changes.json"
EXCEPTIONS = "access/exceptions.json"
POPULATION, SAMPLE = "population/prs.jsonl", "sample.json"
POPULATION_NOTE = "log/checkpoints/population.note"

_ROW = frozenset(
    {"proposal", "repo", "number", "title", "head", "diff_sha256", "folder", "excluded", "entries"}
)


@dataclass(frozen=True, slots=True)
class Completeness:
    """What the report repeats of this."""

    figures: Mapping[str, int]
    population: Mapping[str, Any]
    sample: Mapping[str, Any] | None = None
    rows: Sequence[Mapping[str, Any]] = field(default_factory=list)


def check_completeness(
    files: Container,
    scope: Mapping[str, Any],
    log: Log,
    history: History,
    pull_requests: Sequence[PullRequest],
    findings: Findings,
) -> Completeness:
    """Compare the pack's own account of gaps and population with what its entries show."""
    figures = _check_account(files, log, findings)
    _check_exceptions(files, log, findings)
    rows = _population(files)
    named = _named(log, scope["population_end"])
    for row in rows:
        if named.get(row["proposal"]) != row["entries"]:
            raise Rejected(CHECK, f"proposal {row['proposal']}", "is not what the entries name")
    if missing := sorted(named.keys() - {row["proposal"] for row in rows}):
        raise Rejected(CHECK, POPULATION, f"leaves out proposal {missing[0]}")
    if [row["entries"][0] for row in rows] != sorted(row["entries"][0] for row in rows):
        raise Rejected(CHECK, POPULATION, "is not in the order of the log")
    _check_folders(rows, pull_requests)
    sample = _check_sample(files, scope, log, history, rows, findings)
    excluded: dict[str, int] = {}
    for row in rows:
        if not row["folder"]:
            excluded[row["excluded"]] = excluded.get(row["excluded"], 0) + 1
    inside = sum(bool(row["folder"]) for row in rows)
    findings.complete = scope["coverage"] == "range"
    findings.saw(
        CHECK,
        f"{len(rows)} pull requests are all that the entries name; {inside} are in the pack"
        + "".join(f", {count} left out ({reason})" for reason, count in sorted(excluded.items())),
    )
    population = {"pull_requests": len(rows), "in_pack": inside, "excluded": excluded}
    return Completeness(figures, population, sample, rows)


def _check_account(files: Container, log: Log, findings: Findings) -> dict[str, int]:
    open_intents = _open_intents(log)
    expected = {
        GAPS: {"gaps": _of_phase(log, "gap"), "open_intents": open_intents},
        REDACTIONS: {"redactions": _of_phase(log, "redaction")},
        CHANGES: {"changes": [_change(index, leaf) for index, leaf in log.access]},
    }
    for name, value in expected.items():
        if _spelled(strict_json.read_object(name, files.read(name))) != _spelled(value):
            raise Rejected(CHECK, name, "differs from what the entries show")
    figures = {
        "open_intents": len(open_intents),
        "gaps": len(expected[GAPS]["gaps"]),
        "redactions": len(expected[REDACTIONS]["redactions"]),
        "access_changes": len(expected[CHANGES]["changes"]),
    }
    findings.saw(
        CHECK,
        f"{figures['open_intents']} begun without a result, {figures['gaps']} gaps, "
        f"{figures['redactions']} erasures, {figures['access_changes']} changes of access: "
        "all listed",
    )
    return figures


def _check_exceptions(files: Container, log: Log, findings: Findings) -> None:
    """What reached a default branch past the portal is listed, all of it, where there was any."""
    expected = [_row(index, leaf) for index, leaf in log.bypasses]
    listed: dict[str, Any] = {"bypasses": []}
    if EXCEPTIONS in files.members:
        listed = strict_json.read_object(EXCEPTIONS, files.read(EXCEPTIONS))
    if _spelled(listed) != _spelled({"bypasses": expected}):
        raise Rejected(
            CHECK,
            EXCEPTIONS,
            f"is not the {len(expected)} times that the entries say a branch was changed past the"
            " portal",
        )
    if expected:
        findings.saw(
            CHECK,
            f"how often commits reached a default branch that nobody countersigned: "
            f"{len(expected)}, all listed in {EXCEPTIONS}",
        )


def _population(files: Container) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(files.read(POPULATION).splitlines(), start=1):
        subject = f"{POPULATION} line {number}"
        row = strict_json.read_object(subject, line)
        entries = row.get("entries")
        if row.keys() != _ROW or not isinstance(entries, list) or not entries:
            raise Rejected(CHECK, subject, "has other parts than a pull request")
        if not all(isinstance(row[name], str) for name in _ROW - {"number", "entries"}):
            raise Rejected(CHECK, subject, "a part that should be text is not")
        if bool(row["folder"]) == bool(row["excluded"]):
            raise Rejected(CHECK, subject, "is neither in the pack nor left out for a reason")
        rows.append(row)
    if len({row["proposal"] for row in rows}) != len(rows):
        raise Rejected(CHECK, POPULATION, "lists a proposal twice")
    return rows


def _named(log: Log, end: Any) -> dict[str, list[int]]:
    """The proposals that entries below `end` name, each with the indexes of those entries."""
    if type(end) is not int:
        raise Rejected(CHECK, "scope.json", "population_end is not a number")
    named: dict[str, list[int]] = {}
    for index, leaf in log.proposals:
        if index < end:
            named.setdefault(leaf["object"]["id"], []).append(index)
    return named


def _check_folders(rows: Sequence[Mapping[str, Any]], pull_requests: Sequence[PullRequest]) -> None:
    folders = {request.figures["folder"]: request for request in pull_requests}
    listed = {row["folder"]: row for row in rows if row["folder"]}
    for folder in sorted(folders.keys() ^ listed.keys()):
        which = "is listed, but not here" if folder in listed else "is here, but not listed"
        raise Rejected(CHECK, folder, which)
    for folder, row in listed.items():
        figures = folders[folder].figures
        for name in ("repo", "number", "title", "head", "diff_sha256"):
            if row[name] != figures[name]:
                raise Rejected(CHECK, folder, f"its {name} differs from that in the population")


def _check_sample(
    files: Container,
    scope: Mapping[str, Any],
    log: Log,
    history: History,
    rows: Sequence[Mapping[str, Any]],
    findings: Findings,
) -> dict[str, Any] | None:
    end = scope["population_end"]
    root = None
    if POPULATION_NOTE in files.members:
        head = notes.read_checkpoint(CHECK, POPULATION_NOTE, files.read(POPULATION_NOTE))
        history.require_head(CHECK, POPULATION_NOTE, head)
        if head.size != end or log.root_at(end) != head.root:
            raise Rejected(CHECK, POPULATION_NOTE, "is not the head over these entries")
        root = head.root
    if SAMPLE not in files.members:
        return None
    sample = strict_json.read_object(SAMPLE, files.read(SAMPLE))
    root = root or log.root_at(end)
    if root is None:
        raise Rejected(CHECK, SAMPLE, "the pack does not show the head it was drawn from")
    try:
        leaf, payload = log.kept[sample["entry"]]
        facts = strict_json.read_object(SAMPLE, payload or b"{}")
        if sample["entry"] < end or facts.get("nonce") != sample["nonce"]:
            raise Rejected(CHECK, SAMPLE, "its nonce was not recorded after the population's end")
        if leaf["outcome"] != "ok" or scope["coverage"] != "range":
            raise Rejected(CHECK, SAMPLE, "its nonce was refused, or the pack is a selection")
        lots = {
            row["proposal"]: sha256(
                sha256(root + sample["nonce"].encode()).digest()
                + row["entries"][0].to_bytes(8, "big")
            ).digest()
            for row in rows
        }
        chosen = set(sorted(lots, key=lots.__getitem__)[: sample["wanted"]])
        expected = {
            "nonce": sample["nonce"],
            "entry": sample["entry"],
            "size": end,
            "root": b64encode(root).decode(),
            "population": len(rows),
            "wanted": sample["wanted"],
            "drawn": [row["proposal"] for row in rows if row["proposal"] in chosen],
        }
    except (KeyError, TypeError, AttributeError, OverflowError) as fault:
        raise Rejected(CHECK, SAMPLE, f"malformed at {fault}") from fault
    if _spelled(sample) != _spelled(expected):
        raise Rejected(CHECK, SAMPLE, "is not the draw that follows from head and nonce")
    inside = [row["proposal"] for row in rows if row["folder"]]
    if inside != expected["drawn"]:
        raise Rejected(CHECK, SAMPLE, "was not what was put into the pack")
    findings.saw(CHECK, f"{len(inside)} of {len(rows)} pull requests, drawn by head and nonce")
    return sample


def _open_intents(log: Log) -> list[dict[str, Any]]:
    waiting = [place for places in log.open_intents.values() for place in places]
    return [_row(index, leaf) for index, leaf in sorted(waiting, key=lambda place: place[0])]


def _of_phase(log: Log, phase: str) -> list[dict[str, Any]]:
    return [_row(index, leaf) for index, leaf in log.incidents if leaf["phase"] == phase]


def _change(index: int, leaf: Mapping[str, Any]) -> dict[str, Any]:
    actor = leaf["actor"]
    return _row(index, leaf) | {
        "by": actor["name"],
        "by_type": actor["type"],
        "door": leaf["door"],
    }


def _row(index: int, leaf: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "index": index,
        "ts": leaf["ts"],
        "action": leaf["action"],
        "object": leaf["object"],
    }


def _spelled(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
