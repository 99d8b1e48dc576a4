"""Checks the documents that people brought as evidence, against the files and the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import strict_json
from .container import Container
from .entries import Log
from .findings import Findings, Rejected

CHECK = "controls"
FILE = "controls/documents.json"
FOLDER = "controls/documents/files/"
UPLOAD = "organisational upload"  # the strength that only a document gives
_SNAPSHOT = "configuration.snapshot"
_KIND = "controldocument"
_ROW = frozenset(
    {"id", "series", "version", "title", "owner", "controls", "filename", "sha256", "size"}
    | {"valid_until", "added_by", "accepted_by", "entries", "path"}
)
_PERSON = frozenset({"id", "name"})


def read_documents(files: Container) -> tuple[dict[str, Any], set[int]]:
    """What the pack says of documents (nothing for a pack without any), and the entries that the
    check has to look into."""
    if FILE not in files.members:
        return {}, set()
    told = strict_json.read_object(FILE, files.read(FILE))
    rows = told.get("documents")
    if (
        told.keys() != {"snapshot", "documents"}
        or not isinstance(rows, list)
        or not all(isinstance(row, dict) for row in rows)
    ):
        raise Rejected(CHECK, FILE, "has other parts than a snapshot and documents")
    wanted = {told["snapshot"]}.union(
        *(row["entries"] for row in rows if isinstance(row.get("entries"), list))
    )
    return told, {index for index in wanted if type(index) is int}


def check_documents(
    told: Mapping[str, Any],
    scope: Mapping[str, Any],
    controls: Sequence[Mapping[str, Any]],
    log: Log,
    files: Container,
    listed: Mapping[str, Mapping[str, Any]],
    findings: Findings,
) -> None:
    """Each document is in force, was accepted by a second person, is named by an entry that commits
    to its digest, and is the file of the pack; nothing else counts as an upload."""
    try:
        rows = told.get("documents", [])
        recorded = _recorded(told, log) if told else []
        for row in rows:
            _check_row(row, scope, recorded, log, listed)
    except (KeyError, TypeError, AttributeError) as fault:
        raise Rejected(CHECK, FILE, f"malformed: {fault}") from fault
    paths = {row["path"]: row for row in rows}
    for name in files.members:
        if name.startswith("controls/documents/") and name not in paths:
            raise Rejected(CHECK, name, "is a document that the list does not have")
    _check_uploads(controls, paths)
    if rows:
        findings.saw(
            CHECK,
            f"{len(rows)} documents, each accepted by a second person, good on the pack's day, "
            "with the digest that an entry commits to",
        )


def _recorded(told: Mapping[str, Any], log: Log) -> list[Any]:
    """The documents as the entry with the configuration has them."""
    index = told["snapshot"]
    if index not in log.kept:
        raise Rejected(CHECK, FILE, f"rests on entry {index}, which is not among the entries")
    leaf, payload = log.kept[index]
    if leaf["action"] != _SNAPSHOT or leaf["outcome"] != "ok" or leaf["actor"]["type"] != "system":
        raise Rejected(CHECK, FILE, f"rests on entry {index}, which is no snapshot")
    if payload is None:
        raise Rejected(CHECK, FILE, f"rests on entry {index}, whose facts are withheld or erased")
    found: list[Any] = strict_json.read_object(f"entry {index}", payload)["documents"]
    return found


def _check_row(
    row: Mapping[str, Any],
    scope: Mapping[str, Any],
    recorded: Sequence[Any],
    log: Log,
    listed: Mapping[str, Mapping[str, Any]],
) -> None:
    subject = f"document {row['id']}"
    if row.keys() != _ROW or row["path"] != f"{FOLDER}{row['id']}/{row['filename']}":
        raise Rejected(CHECK, subject, "is described in another way")
    if {name: row[name] for name in row if name != "path"} not in recorded:
        raise Rejected(CHECK, subject, "is not what the entry with the configuration says")
    file = listed.get(row["path"])
    if file is None:
        raise Rejected(CHECK, subject, "its file is missing")
    if (file["sha256"], file["size"]) != (row["sha256"], row["size"]):
        raise Rejected(CHECK, subject, "its file is not the one that was accepted")
    added, accepted = row["added_by"], row["accepted_by"]
    if added.keys() != _PERSON or accepted.keys() != _PERSON or not accepted["id"]:
        raise Rejected(CHECK, subject, "does not say who added and who accepted it")
    if added["id"] == accepted["id"]:
        raise Rejected(CHECK, subject, "was accepted by whoever added it")
    if row["valid_until"] < scope["created_at"][:10]:
        raise Rejected(CHECK, subject, f"was good until {row['valid_until']} only")
    by_whom = {"document.add": added, "document.approve": accepted}
    for index in row["entries"]:
        if index in log.kept:
            leaf = log.kept[index][0]
            who = by_whom.get(leaf["action"])
            about = leaf["object"]
            if (
                who is None
                or (about["type"], about["id"]) != (_KIND, row["id"])
                or leaf["actor"]["id"] != who["id"]
                or leaf["outcome"] != "ok"
            ):
                raise Rejected(CHECK, subject, f"entry {index} does not say that")
            if leaf["action"] == "document.approve" and leaf["actor"]["type"] != "human":
                raise Rejected(CHECK, subject, "was not accepted by a person")


def _check_uploads(
    controls: Sequence[Mapping[str, Any]], paths: Mapping[str, Mapping[str, Any]]
) -> None:
    for control in controls:
        named = [one["file"] for one in control["evidence"] if one.get("file") in paths]
        if bool(named) != (control["strength"] == UPLOAD):
            reason = "is shown by no document" if not named else "is shown by more than documents"
            raise Rejected(CHECK, f"control {control['id']}", reason)
        for path in named:
            if not any(name.endswith(f":{control['id']}") for name in paths[path]["controls"]):
                raise Rejected(
                    CHECK, f"control {control['id']}", "is not what that document is for"
                )
