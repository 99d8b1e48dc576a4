"""Builds an evidence pack: one ZIP that an auditor can verify offline."""

from __future__ import annotations

import json
import re
import zlib
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from io import BytesIO
from pathlib import PurePosixPath
from tempfile import SpooledTemporaryFile
from typing import IO, Any, BinaryIO
from uuid import UUID
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import rfc8785

from evidence.dsse import Subject, sign_envelope, statement
from evidence.leaf import commitment
from evidence.merkle import inclusion_proofs, leaf_hash, tree_root
from evidence.notes import Checkpoint, InclusionProof, verify_checkpoint, write_proof
from evidence.report import render_limits, render_readme, render_report
from evidence.signing import Signer, VerifierKey

FORMAT = "countersign-pack/2"
REPORT_FORMAT = "countersign-report/1"
PREDICATE_TYPE = "urn:countersign:evidence-pack:v1"
TIMELINE_LIMIT = 100  # entries printed; all of them are in log/entries.jsonl
FILE_LIMIT = 2_000_000_000  # bytes; past this a ZIP needs its 64-bit form, which is refused
# A verifier takes a better ratio for a decompression bomb, so such files are stored as they are.
RATIO_LIMIT = 100
PERIOD_START = (1980, 1, 1, 0, 0, 0)  # the earliest time a ZIP can carry

_MADE_HERE = re.compile(r"(00-|manifest\.|scope\.json$|report\.json$|known-limits\.md$|log/|keys/)")
_PULL_REQUEST = re.compile(r"prs/(?P<folder>[^/]+-[0-9]+)/(?P<rest>.+)")
_HUNK = re.compile(rb"@@ -[0-9]+(?:,([0-9]+))? \+[0-9]+(?:,([0-9]+))? @@")
_STORY = frozenset({"title", "asked", "layers", "blind_spots"})


class PackFault(ValueError):
    """What was given cannot become a pack that verifies; the message says why."""


@dataclass(frozen=True, slots=True)
class PackEntry:
    """One entry of the log. Payload and salt are absent once erased, or when there were none."""

    index: int
    leaf: bytes
    payload: bytes | None = None
    salt: bytes | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """What a pack is about."""

    tenant_id: UUID
    tenant_slug: str
    tenant_name: str
    object_id: str
    created_at: datetime  # when the checkpoint was signed, so that a rebuild gives the same bytes
    object_type: str = "proposal"
    coverage: str = "selection"  # or "range": every entry from the first to the checkpoint
    tool_versions: Mapping[str, str] = field(default_factory=dict)


def build_pack(
    *,
    scope: Scope,
    entries: Iterable[PackEntry],
    leaf_hashes: Sequence[bytes],
    checkpoint_note: str,
    files: Mapping[str, bytes],
    signer: Signer,
    story: Mapping[str, Any],
) -> bytes:
    """The pack as bytes; see write_pack()."""
    out = BytesIO()
    write_pack(
        out,
        scope=scope,
        entries=entries,
        leaf_hashes=leaf_hashes,
        checkpoint_note=checkpoint_note,
        files=files,
        signer=signer,
        story=story,
    )
    return out.getvalue()


def write_pack(
    out: BinaryIO,
    *,
    scope: Scope,
    entries: Iterable[PackEntry],
    leaf_hashes: Sequence[bytes],
    checkpoint_note: str,
    files: Mapping[str, bytes],
    signer: Signer,
    story: Mapping[str, Any],
) -> None:
    """Write the pack to `out`, a seekable file. The same arguments give the same bytes.

    entries: ascending by index, at least one; for coverage "range" all of them from 0.
    leaf_hashes: of the whole log up to the checkpoint, in order; may be empty for "range", where
    the entries give them. files: what the agent's floor contributes, under prs/, controls/ and
    access/ (schemas/evidence-pack.schema.json says what each holds). story: title, asked, layers,
    blind_spots; printed in the report and bound by the signature only.
    Raises PackFault for entries that are not in the log, payloads that do not fit, paths that
    escape, documents that are missing. A verifier checks more than that: it trusts nobody.
    """
    key = VerifierKey.parse(signer.vkey)
    checkpoint = verify_checkpoint(checkpoint_note, key)
    _refuse_odd_paths(files)
    if story.keys() != _STORY:
        raise PackFault(f"the story has {sorted(story)}; it must have {sorted(_STORY)}")
    with SpooledTemporaryFile(max_size=64 << 20) as lines:
        log = _write_entries(lines, entries, str(scope.tenant_id))
        hashes = log.leaf_hashes if scope.coverage == "range" else leaf_hashes
        _refuse_another_log(log, hashes, checkpoint, scope.coverage)
        contents: dict[str, bytes | IO[bytes]] = {
            **files,
            "log/entries.jsonl": lines,
            "log/checkpoint.note": checkpoint_note.encode(),
            "keys/log.vkey": f"{signer.vkey}\n".encode(),
            "scope.json": rfc8785.dumps(_scope_fields(scope, checkpoint, log)),
            "known-limits.md": render_limits(),
            "00-README.md": render_readme(scope.tenant_name, key),
        }
        if scope.coverage == "selection":
            contents |= _proof_files(log.indexes, hashes, checkpoint_note)
        report = _report(scope, checkpoint, key, log, contents, story)
        report_json = rfc8785.dumps(report)
        contents["report.json"] = report_json
        contents["00-report.pdf"] = render_report(report, report_json)
        manifest = rfc8785.dumps(_manifest(contents))
        contents["manifest.dsse.json"] = sign_envelope(
            _manifest_statement(manifest, scope, checkpoint), signer
        )
        contents["manifest.json"] = manifest
        _write_zip(out, contents)


@dataclass(slots=True)
class _Log:
    """What is remembered of the entries once they are written."""

    indexes: list[int] = field(default_factory=list)
    leaf_hashes: list[bytes] = field(default_factory=list)
    timeline: list[dict[str, Any]] = field(default_factory=list)
    disclosed: int = 0
    withheld: int = 0


def _write_entries(lines: IO[bytes], entries: Iterable[PackEntry], tenant_id: str) -> _Log:
    log, last = _Log(), -1
    for entry in entries:
        if entry.index <= last:
            raise PackFault(f"entry {entry.index} does not follow {last}")
        last = entry.index
        leaf = json.loads(entry.leaf)
        if leaf["tenant"] != tenant_id:
            raise PackFault(f"entry {entry.index} belongs to another tenant, {leaf['tenant']}")
        _count_payload(entry, leaf, log)
        log.indexes.append(entry.index)
        log.leaf_hashes.append(leaf_hash(entry.leaf))
        if len(log.timeline) < TIMELINE_LIMIT:
            log.timeline.append(_timeline_row(entry.index, leaf))
        lines.write(_entry_line(entry))
    if not log.indexes:
        raise PackFault("a pack without entries proves nothing")
    return log


def _count_payload(entry: PackEntry, leaf: Mapping[str, Any], log: _Log) -> None:
    if leaf["payload"] is None:
        if entry.payload is not None or entry.salt is not None:
            raise PackFault(f"entry {entry.index} never had a payload, yet one is given")
    elif entry.payload is None or entry.salt is None:
        if entry.payload is not entry.salt:
            raise PackFault(f"entry {entry.index}: payload and salt are given together or not")
        log.withheld += 1
    elif commitment(entry.salt, entry.payload) != leaf["payload"]["commitment"]:
        raise PackFault(f"the payload of entry {entry.index} is not the one it commits to")
    else:
        log.disclosed += 1


def _timeline_row(index: int, leaf: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "index": index,
        "ts": leaf["ts"],
        "actor": leaf["actor"]["name"],
        "actor_type": leaf["actor"]["type"],
        "on_behalf_of": leaf["actor"]["on_behalf_of"],
        "door": leaf["door"],
        "action": leaf["action"],
        "phase": leaf["phase"],
        "outcome": leaf["outcome"],
    }


def _entry_line(entry: PackEntry) -> bytes:
    """The only spelling a verifier accepts: four keys in this order, the leaf byte for byte."""
    payload = b"null" if entry.payload is None else b'"%b"' % b64encode(entry.payload)
    salt = b"null" if entry.salt is None else b'"%b"' % entry.salt.hex().encode()
    return b'{"index":%d,"leaf":%b,"payload":%b,"salt":%b}\n' % (
        entry.index,
        entry.leaf,
        payload,
        salt,
    )


def _refuse_another_log(
    log: _Log, hashes: Sequence[bytes], checkpoint: Checkpoint, coverage: str
) -> None:
    if coverage not in ("selection", "range"):
        raise PackFault(f"coverage is {coverage!r}; it must be selection or range")
    if coverage == "range" and log.indexes != list(range(checkpoint.size)):
        raise PackFault(f"a range pack holds every entry from 0 to {checkpoint.size - 1}")
    if len(hashes) != checkpoint.size or tree_root(hashes) != checkpoint.root:
        raise PackFault("the leaf hashes do not lead to the checkpoint's root")
    for index, hashed in zip(log.indexes, log.leaf_hashes, strict=True):
        if index >= checkpoint.size or hashes[index] != hashed:
            raise PackFault(f"entry {index} is not in the log under this checkpoint")


def _proof_files(
    indexes: Sequence[int], hashes: Sequence[bytes], checkpoint_note: str
) -> dict[str, bytes]:
    return {
        f"log/proofs/{index}.tlog-proof": write_proof(
            InclusionProof(index, tuple(proof), checkpoint_note)
        ).encode()
        for index, proof in inclusion_proofs(indexes, hashes).items()
    }


def _scope_fields(scope: Scope, checkpoint: Checkpoint, log: _Log) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "kind": "proposal",
        "tenant": {
            "id": str(scope.tenant_id),
            "slug": scope.tenant_slug,
            "name": scope.tenant_name,
        },
        "object": {"type": scope.object_type, "id": scope.object_id},
        "origin": checkpoint.origin,
        "coverage": scope.coverage,
        "from": log.indexes[0],
        "to": log.indexes[-1],
        "created_at": _moment(scope.created_at),
        "tool_versions": dict(scope.tool_versions),
    }


def _report(
    scope: Scope,
    checkpoint: Checkpoint,
    key: VerifierKey,
    log: _Log,
    contents: Mapping[str, bytes | IO[bytes]],
    story: Mapping[str, Any],
) -> dict[str, Any]:
    """Every figure of the printed report. All but the story can be worked out from the pack."""
    checks = [
        check
        for path in sorted(contents)
        if path.endswith("/checks.json") and _PULL_REQUEST.fullmatch(path)
        for check in _read_json(contents, path)["checks"]
    ]
    controls = _read_json(contents, "controls/coverage.json")["controls"]
    approvals = _read_json(contents, "access/approvals.json")["approvals"]
    folders = _pull_request_folders(contents)
    digests = _manifest(contents)["files"]
    return {
        "format": REPORT_FORMAT,
        "tenant": {"id": str(scope.tenant_id), "name": scope.tenant_name},
        "object": {"type": scope.object_type, "id": scope.object_id},
        "created_at": _moment(scope.created_at),
        "story": dict(story),
        "log": {
            "origin": checkpoint.origin,
            "size": checkpoint.size,
            "root": b64encode(checkpoint.root).decode(),
            "coverage": scope.coverage,
            "entries": len(log.indexes),
            "from": log.indexes[0],
            "to": log.indexes[-1],
            "disclosed": log.disclosed,
            "withheld": log.withheld,
            "key_id": key.key_id,
        },
        "timeline": log.timeline,
        "timeline_omitted": len(log.indexes) - len(log.timeline),
        "totals": {
            "pull_requests": len(folders),
            "checks": len(checks),
            "checks_passed": sum(check["status"] == "passed" for check in checks),
            "decisions": len(approvals),
            "controls": len(controls),
        },
        "pull_requests": [_pull_request_row(folder, contents) for folder in folders],
        "checks": {"by_status": _tally(checks, "status"), "list": checks},
        "countersignatures": approvals,
        "controls": {"by_strength": _tally(controls, "strength"), "list": controls},
        "files": [
            {"path": path, **digests[path]}
            for path in sorted(digests)
            if not path.startswith(("00-", "log/proofs/"))
        ],
    }


def _pull_request_row(folder: str, contents: Mapping[str, bytes | IO[bytes]]) -> dict[str, Any]:
    prefix = f"prs/{folder}"
    described = _read_json(contents, f"{prefix}/pull-request.json")
    diff = _content(contents, f"{prefix}/diff.patch")
    if described["diff"]["sha256"] != sha256(diff).hexdigest():
        raise PackFault(f"{prefix}/diff.patch is not the diff that the pull request names")
    insertions, deletions = _changed_lines(diff)
    return {
        "folder": prefix,
        "repo": described["repo"],
        "number": described["number"],
        "title": described["title"],
        "base": described["base"]["commit"],
        "head": described["head"]["commit"],
        "diff_sha256": described["diff"]["sha256"],
        "files": len(described["files"]),
        "insertions": insertions,
        "deletions": deletions,
        "statements": _content(contents, f"{prefix}/bundle.intoto.jsonl").count(b"\n"),
    }


def _changed_lines(diff: bytes) -> tuple[int, int]:
    """How many lines a unified diff adds, then how many it removes."""
    insertions = deletions = old_left = new_left = 0
    for line in diff.split(b"\n"):
        if old_left <= 0 and new_left <= 0:
            if hunk := _HUNK.match(line):
                old_left, new_left = (int(count or 1) for count in hunk.groups())
        elif line.startswith(b"+"):
            insertions, new_left = insertions + 1, new_left - 1
        elif line.startswith(b"-"):
            deletions, old_left = deletions + 1, old_left - 1
        elif not line.startswith(b"\\"):
            old_left, new_left = old_left - 1, new_left - 1
    return insertions, deletions


def _pull_request_folders(contents: Iterable[str]) -> list[str]:
    return sorted({found["folder"] for path in contents if (found := _PULL_REQUEST.match(path))})


def _content(contents: Mapping[str, bytes | IO[bytes]], path: str) -> bytes:
    content = contents.get(path)
    if not isinstance(content, bytes):
        raise PackFault(f"{path} is missing")
    return content


def _read_json(contents: Mapping[str, bytes | IO[bytes]], path: str) -> dict[str, Any]:
    content = _content(contents, path)
    try:
        fields: dict[str, Any] = json.loads(content)
    except ValueError as fault:
        raise PackFault(f"{path} is not JSON") from fault
    return fields


def _tally(rows: Iterable[Mapping[str, Any]], name: str) -> dict[str, int]:
    return dict(sorted(Counter(row[name] for row in rows).items()))


def _manifest(contents: Mapping[str, bytes | IO[bytes]]) -> dict[str, Any]:
    files = {}
    for path, content in contents.items():
        digest, size = sha256(), 0
        for chunk in _chunks(content):
            digest.update(chunk)
            size += len(chunk)
        files[path] = {"sha256": digest.hexdigest(), "size": size}
    return {"format": FORMAT, "files": files}


def _manifest_statement(manifest: bytes, scope: Scope, checkpoint: Checkpoint) -> bytes:
    listed = json.loads(manifest)["files"]
    subjects = [Subject("manifest.json", {"sha256": sha256(manifest).hexdigest()})]
    subjects += [Subject(path, {"sha256": listed[path]["sha256"]}) for path in sorted(listed)]
    predicate = {
        "format": FORMAT,
        "tenant": str(scope.tenant_id),
        "origin": checkpoint.origin,
        "size": checkpoint.size,
        "root": b64encode(checkpoint.root).decode(),
    }
    return statement(subjects, PREDICATE_TYPE, predicate)


def _refuse_odd_paths(files: Iterable[str]) -> None:
    for path in files:
        parts = path.split("/")
        if (
            not path.isprintable()
            or "\\" in path
            or ":" in path
            or any(part in ("", ".", "..") for part in parts)
            or str(PurePosixPath(path)) != path
        ):
            raise PackFault(f"{path!r} cannot be a path in a pack")
        if _MADE_HERE.match(path):
            raise PackFault(f"{path} is written by the pack itself")
        if parts[0] == "prs" and not _PULL_REQUEST.fullmatch(path):
            raise PackFault(f"{path}: a pull request's folder is called <repo>-<number>")


def _write_zip(out: BinaryIO, contents: Mapping[str, bytes | IO[bytes]]) -> None:
    with ZipFile(out, "w", allowZip64=False) as archive:
        for path in sorted(contents):
            content = contents[path]
            size = sum(len(chunk) for chunk in _chunks(content))
            if size > FILE_LIMIT:
                raise PackFault(f"{path} has {size} bytes, more than a pack can hold")
            info = ZipInfo(path, PERIOD_START)
            info.external_attr = 0o100644 << 16
            info.create_system = 3
            info.file_size = size
            info.compress_type = ZIP_DEFLATED if _worth_deflating(content, size) else ZIP_STORED
            with archive.open(info, "w") as file:
                for chunk in _chunks(content):
                    file.write(chunk)


def _worth_deflating(content: bytes | IO[bytes], size: int) -> bool:
    if size < 1 << 20 or not isinstance(content, bytes):
        return True
    return len(zlib.compress(content)) * RATIO_LIMIT > size


def _chunks(content: bytes | IO[bytes]) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    content.seek(0)
    while chunk := content.read(1 << 20):
        yield chunk


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
