"""Builds an evidence pack: one ZIP that an auditor can verify offline."""

from __future__ import annotations

import json
import re
import zlib
from base64 import b64encode
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
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

from evidence.completeness import Account, draw, leaf_fields, sample_seed
from evidence.dsse import Subject, sign_envelope, statement
from evidence.leaf import commitment
from evidence.merkle import Frontier, consistency_proof, inclusion_proofs, leaf_hash, tree_root
from evidence.notes import (
    Checkpoint,
    InclusionProof,
    parse_checkpoint,
    parse_note,
    verify_checkpoint,
    write_proof,
)
from evidence.report import render_limits, render_readme, render_report
from evidence.signing import Signer, VerifierKey

FORMAT = "countersign-pack/2"
REPORT_FORMAT = "countersign-report/2"
PREDICATE_TYPE = "urn:countersign:evidence-pack:v2"
KINDS = frozenset({"proposal", "repository", "period", "framework"})
TIMELINE_LIMIT = 100  # entries printed; all of them are in log/entries.jsonl
LIST_LIMIT = 200  # rows printed of any other list; all of them are in the files behind it
EXCEPTIONS = "access/exceptions.json"  # what came in past the portal, where anything did
FILE_LIMIT = 2_000_000_000  # bytes; past this a ZIP needs its 64-bit form, which is refused
# A verifier takes a better ratio for a decompression bomb, so such files are stored as they are.
RATIO_LIMIT = 100
PERIOD_START = (1980, 1, 1, 0, 0, 0)  # the earliest time a ZIP can carry

_MADE_HERE = re.compile(
    r"(00-|manifest\.|(scope|report|gaps|redactions|sample)\.json$|known-limits\.md$"
    r"|log/|timestamps/|keys/|population/|access/(changes|exceptions)\.json$)"
)
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
class Sample:
    """How the pull requests in a pack were drawn from all of a period.

    entry: index of the entry whose facts hold the nonce under "nonce"; it comes after the head
    over `Scope.population_end` entries, so nobody could choose the nonce to suit the draw.
    """

    nonce: str
    entry: int
    wanted: int


@dataclass(frozen=True, slots=True)
class Start:
    """The signed head that a range begins after, with the frontier of the tree it signed."""

    note: str
    frontier: Frontier


@dataclass(frozen=True, slots=True)
class Scope:
    """What a pack is about.

    coverage: "selection" holds some entries, each with a proof; "range" holds every entry from
    `start` (the log's beginning when there is none) to the checkpoint.
    population_end: pull requests named by entries below this index are the population; None is
    the checkpoint itself.
    """

    tenant_id: UUID
    tenant_slug: str
    tenant_name: str
    object_id: str
    created_at: datetime  # when the checkpoint was signed, so that a rebuild gives the same bytes
    object_type: str = "proposal"
    kind: str = "proposal"
    query: str = ""  # what was asked for, in words that a second person could repeat
    coverage: str = "selection"
    start: Start | None = None
    population_end: int | None = None
    sample: Sample | None = None
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
    population: Iterable[Mapping[str, Any]] = (),
    earlier_sizes: Collection[int] = (),
    population_note: str | None = None,
    key_terms: Sequence[Mapping[str, Any]] = (),
    timestamp: bytes | None = None,
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
        population=population,
        earlier_sizes=earlier_sizes,
        population_note=population_note,
        key_terms=key_terms,
        timestamp=timestamp,
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
    population: Iterable[Mapping[str, Any]] = (),
    earlier_sizes: Collection[int] = (),
    population_note: str | None = None,
    key_terms: Sequence[Mapping[str, Any]] = (),
    timestamp: bytes | None = None,
) -> None:
    """Write the pack to `out`, a seekable file. The same arguments give the same bytes.

    entries: ascending by index, at least one; for coverage "range" all of them from the start.
    leaf_hashes: of the whole log up to the checkpoint, in order; may be empty for "range" without
    `earlier_sizes`, where the entries give the root. files: what the agent's floor contributes,
    under prs/, controls/ and access/ (schemas/evidence-pack.schema.json says what each holds).
    story: title, asked, layers, blind_spots; printed in the report and bound by the signature only.
    population: a row for each pull request that the entries name, with proposal, repo, number,
    title, head, diff_sha256, folder ("" when it is not in the pack) and excluded (why not).
    earlier_sizes: of heads that auditors may hold already; a proof leads from each to this head.
    population_note: the head over `scope.population_end` entries, when that is not the pack's own.
    key_terms: the keys that signed this log up to the head, oldest first, as key_history.Term says
    them; the last is the signer's. Needed as soon as there was more than one.
    timestamp: what a time-stamping authority answered about the SHA-256 of the head, as its log's
    key alone signed it (a TimeStampResp of RFC 3161, DER). Nothing of it is checked here.
    Raises PackFault for entries that are not in the log, payloads that do not fit, paths that
    escape, documents that are missing, pull requests that the entries name and the population does
    not. A verifier checks more than that: it trusts nobody.
    """
    key = VerifierKey.parse(signer.vkey)
    checkpoint = verify_checkpoint(checkpoint_note, key)
    _refuse_odd_paths(files)
    _refuse_odd_scope(scope, checkpoint, population_note)
    if story.keys() != _STORY:
        raise PackFault(f"the story has {sorted(story)}; it must have {sorted(_STORY)}")
    with SpooledTemporaryFile(max_size=64 << 20) as lines:
        log = _write_entries(lines, entries, scope, checkpoint)
        hashes = _hashes_behind(scope, log, leaf_hashes, checkpoint)
        rows = _population_rows(population, log)
        contents: dict[str, bytes | IO[bytes]] = {
            **files,
            "log/entries.jsonl": lines,
            "log/checkpoints/end.note": checkpoint_note.encode(),
            "keys/log.vkey": f"{signer.vkey}\n".encode(),
            "known-limits.md": render_limits(),
            "00-README.md": render_readme(scope.tenant_name, key),
            "population/prs.jsonl": b"".join(rfc8785.dumps(row) + b"\n" for row in rows),
            "gaps.json": rfc8785.dumps(
                {"gaps": log.account.gaps, "open_intents": log.account.open_intents}
            ),
            "redactions.json": rfc8785.dumps({"redactions": log.account.redactions}),
            "access/changes.json": rfc8785.dumps({"changes": log.account.access}),
        }
        if log.account.bypasses:
            contents[EXCEPTIONS] = rfc8785.dumps({"bypasses": log.account.bypasses})
        if scope.start is not None:
            contents["log/checkpoints/start.note"] = scope.start.note.encode()
            contents["log/frontier.txt"] = b"".join(
                b64encode(root) + b"\n" for root in scope.start.frontier.subtree_roots
            )
        if population_note is not None:
            contents["log/checkpoints/population.note"] = population_note.encode()
        if timestamp is not None:
            contents["timestamps/end.tsr"] = timestamp
        if len(key_terms) > 1:
            contents["keys/history.json"] = _key_history(key_terms, signer)
        if earlier_sizes:
            contents["log/consistency.txt"] = _consistency(earlier_sizes, hashes)
        if scope.sample is not None:
            contents["sample.json"] = rfc8785.dumps(
                _sample_fields(scope, scope.sample, population_note or checkpoint_note, rows)
            )
        contents["scope.json"] = rfc8785.dumps(_scope_fields(scope, checkpoint, log))
        if scope.coverage == "selection":
            contents |= _proof_files(log.indexes, hashes, checkpoint_note)
        report = _report(scope, checkpoint, key, log, contents, story, rows)
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
    account: Account = field(default_factory=Account)
    disclosed: int = 0
    withheld: int = 0


def _refuse_odd_scope(scope: Scope, checkpoint: Checkpoint, population_note: str | None) -> None:
    if scope.kind not in KINDS:
        raise PackFault(f"kind is {scope.kind!r}; it must be one of {', '.join(sorted(KINDS))}")
    if scope.coverage not in ("selection", "range"):
        raise PackFault(f"coverage is {scope.coverage!r}; it must be selection or range")
    if scope.coverage == "selection" and (scope.start or scope.sample):
        raise PackFault("only a range begins after a head or has a sample")
    end = scope.population_end
    if end is not None and not 0 < end <= checkpoint.size:
        raise PackFault(f"the population ends at {end}, the log at {checkpoint.size}")
    if (population_note is not None) != (end not in (None, checkpoint.size)):
        raise PackFault("the head that the population ends at is given when it is not the pack's")
    if scope.sample is not None and (end is None or scope.sample.entry < end):
        raise PackFault("the nonce must be recorded after the head that the population ends at")


def _write_entries(
    lines: IO[bytes], entries: Iterable[PackEntry], scope: Scope, checkpoint: Checkpoint
) -> _Log:
    log, last, tenant_id = _Log(), -1, str(scope.tenant_id)
    population_end = scope.population_end or checkpoint.size
    for entry in entries:
        if entry.index <= last:
            raise PackFault(f"entry {entry.index} does not follow {last}")
        last = entry.index
        leaf = leaf_fields(entry.leaf)
        if leaf["tenant"] != tenant_id:
            raise PackFault(f"entry {entry.index} belongs to another tenant, {leaf['tenant']}")
        _count_payload(entry, leaf, log)
        log.indexes.append(entry.index)
        log.leaf_hashes.append(leaf_hash(entry.leaf))
        log.account.read(entry.index, leaf, in_population=entry.index < population_end)
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


def _hashes_behind(
    scope: Scope, log: _Log, leaf_hashes: Sequence[bytes], checkpoint: Checkpoint
) -> Sequence[bytes]:
    """The hashes of the whole log, once the entries are seen to lie in it.

    For a range they may be empty: there the entries continue the frontier to the root.
    """
    if leaf_hashes and (len(leaf_hashes), tree_root(leaf_hashes)) != (
        checkpoint.size,
        checkpoint.root,
    ):
        raise PackFault("the leaf hashes do not lead to the checkpoint's root")
    if scope.coverage == "range":
        tree = scope.start.frontier if scope.start else Frontier()
        if log.indexes != list(range(tree.size, checkpoint.size)):
            raise PackFault(
                f"a range pack holds every entry from {tree.size} to {checkpoint.size - 1}"
            )
        tree = Frontier(tree.size, tree.subtree_roots)
        tree.extend(log.leaf_hashes)
        if tree.root() != checkpoint.root:
            raise PackFault("the leaf hashes do not lead to the checkpoint's root")
        return leaf_hashes
    if not leaf_hashes:
        raise PackFault("the leaf hashes do not lead to the checkpoint's root")
    for index, hashed in zip(log.indexes, log.leaf_hashes, strict=True):
        if index >= checkpoint.size or leaf_hashes[index] != hashed:
            raise PackFault(f"entry {index} is not in the log under this checkpoint")
    return leaf_hashes


def _key_history(key_terms: Sequence[Mapping[str, Any]], signer: Signer) -> bytes:
    if key_terms[-1]["vkey"] != signer.vkey:
        raise PackFault("the pack is signed by another key than the one in force at its head")
    return rfc8785.dumps({"keys": [dict(term) for term in key_terms]})


def _consistency(sizes: Collection[int], hashes: Sequence[bytes]) -> bytes:
    """A line for each earlier head: its size, then the proof from there to the pack's head."""
    return b"".join(
        b" ".join((b"%d" % size, *map(b64encode, consistency_proof(size, hashes)))) + b"\n"
        for size in sorted(set(sizes))
    )


def _population_rows(population: Iterable[Mapping[str, Any]], log: _Log) -> list[dict[str, Any]]:
    """What the caller knows of each pull request, with the entries that name it."""
    known = {row["proposal"]: dict(row) for row in population}
    named = log.account.proposals
    if missing := sorted(named.keys() - known.keys()):
        raise PackFault(f"the entries name proposal {missing[0]}, the population does not")
    if extra := sorted(known.keys() - named.keys()):
        raise PackFault(f"no entry of the pack names proposal {extra[0]}")
    return [known[proposal] | facts for proposal, facts in named.items()]


def _sample_fields(
    scope: Scope, sample: Sample, note: str, rows: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    head = parse_checkpoint(parse_note(note).text)
    places = {row["proposal"]: row["entries"][0] for row in rows}
    drawn = draw(sample_seed(head.root, sample.nonce), places, sample.wanted)
    inside = [row["proposal"] for row in rows if row["folder"]]
    if sorted(drawn) != sorted(inside):
        raise PackFault("the pack must hold those pull requests that were drawn, and no others")
    return {
        "nonce": sample.nonce,
        "entry": sample.entry,
        "size": head.size,
        "root": b64encode(head.root).decode(),
        "population": len(places),
        "wanted": sample.wanted,
        "drawn": drawn,
    }


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
        "kind": scope.kind,
        "tenant": {
            "id": str(scope.tenant_id),
            "slug": scope.tenant_slug,
            "name": scope.tenant_name,
        },
        "object": {"type": scope.object_type, "id": scope.object_id},
        "query": scope.query,
        "origin": checkpoint.origin,
        "coverage": scope.coverage,
        "start": scope.start.frontier.size if scope.start else 0,
        "population_end": scope.population_end or checkpoint.size,
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
    population: Sequence[Mapping[str, Any]],
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
    paths = [path for path in sorted(digests) if not path.startswith(("00-", "log/proofs/"))]
    shown = [control for control in controls if control["evidence"]]
    return {
        "format": REPORT_FORMAT,
        "tenant": {"id": str(scope.tenant_id), "name": scope.tenant_name},
        "object": {"type": scope.object_type, "id": scope.object_id},
        "kind": scope.kind,
        "query": scope.query,
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
        "population": {
            "pull_requests": len(population),
            "in_pack": sum(bool(row["folder"]) for row in population),
            "excluded": _tally([row for row in population if not row["folder"]], "excluded"),
        },
        "sample": _read_json(contents, "sample.json") if "sample.json" in contents else None,
        "completeness": {
            "open_intents": len(log.account.open_intents),
            "gaps": len(log.account.gaps),
            "redactions": len(log.account.redactions),
            "access_changes": len(log.account.access),
        },
        "totals": {
            "pull_requests": len(folders),
            "checks": len(checks),
            "checks_passed": sum(check["status"] == "passed" for check in checks),
            "decisions": len(approvals),
            "controls": len(controls),
        },
        "pull_requests": [_pull_request_row(folder, contents) for folder in folders],
        "checks": {"by_status": _tally(checks, "status"), **_printed(checks)},
        "countersignatures": _printed(approvals),
        "controls": {"by_strength": _tally(controls, "strength"), **_printed(shown)},
        "files": _printed([{"path": path, **digests[path]} for path in paths]),
    }


def _printed(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The rows that fit into a report, and how many do not."""
    return {"list": list(rows[:LIST_LIMIT]), "omitted": max(0, len(rows) - LIST_LIMIT)}


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
