"""The checks of a pack, in the order in which each may rest on those before."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from . import (
    completeness,
    entries,
    envelope,
    key_history,
    notes,
    red_green,
    strict_json,
    timestamps,
)
from .access_reviews import check_access_reviews
from .container import Container
from .documents import check_documents, read_documents
from .entries import Log
from .findings import Findings, Rejected, Unusable
from .key_history import History
from .keys import LOG, VerifierKey, parse_key
from .merges import check_merges, entries_wanted
from .merkle import Tree, is_consistent, root_from_proof
from .notes import Checkpoint
from .printed import check_figures, check_pdf
from .pull_requests import PullRequest, check_pull_requests

FORMAT = "countersign-pack/2"
PREDICATE_TYPE = "urn:countersign:evidence-pack:v2"
SEALS = frozenset({"manifest.json", "manifest.dsse.json"})
REQUIRED = (
    "00-README.md",
    "00-report.pdf",
    "access/approvals.json",
    "controls/coverage.json",
    "keys/log.vkey",
    "known-limits.md",
    "log/checkpoints/end.note",
    entries.FILE,
    completeness.CHANGES,
    completeness.GAPS,
    completeness.POPULATION,
    completeness.REDACTIONS,
    "report.json",
    "scope.json",
)
OPTIONAL = frozenset(
    {"log/checkpoints/start.note", "log/frontier.txt", "log/consistency.txt"}
    | {completeness.POPULATION_NOTE, completeness.SAMPLE, key_history.FILE, timestamps.FILE}
)
SCOPE = frozenset(
    {"format", "kind", "tenant", "object", "query", "origin", "coverage", "start"}
    | {"population_end", "from", "to", "created_at", "tool_versions"}
)
KINDS = frozenset({"proposal", "repository", "period", "framework"})
ROOTS = frozenset({"access", "controls", "keys", "log", "prs"})
WITHOUT_EVIDENCE = frozenset({"none", "manual"})  # strengths that claim nothing from the pack
NOT_VERIFIED = (
    "the drawn pages of 00-report.pdf: they are signed, and carry report.json unchanged, but "
    "nobody has read them",
    "the words of report.json's story (title, goal, reasons): signed, not worked out again",
    "that the commit and tree ids belong to these files: the rest of the repository is not here",
    "the clock behind every time, and whether things happened that nobody recorded",
)

_PROOF = re.compile(r"log/proofs/(0|[1-9][0-9]{0,15})\.tlog-proof")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Trust:
    """What the auditor brings along; nothing of it comes from the pack."""

    keys: Sequence[VerifierKey] = ()
    witnesses: Sequence[VerifierKey] = ()
    previous: bytes | None = None
    # From which entry on a key signs, for those of `keys` where the auditor knows that.
    since: Mapping[VerifierKey, int] = field(default_factory=dict)
    # The CA of a time-stamping authority, in PEM.
    tsa_ca: bytes | None = None


@dataclass
class _Pack:
    """What the checks learn from each other."""

    files: Container
    listed: dict[str, dict[str, Any]] = field(default_factory=dict)
    predicate: dict[str, Any] = field(default_factory=dict)


def verify(path: Path, trust: Trust) -> Findings:
    """Run every check; the first that fails ends it. Raises Unusable when nothing can be judged."""
    findings = Findings(pinned=bool(trust.keys), not_verified=list(NOT_VERIFIED))
    try:
        _verify(path, trust, findings)
    except Rejected as failure:
        findings.failure = failure
    return findings


def _verify(path: Path, trust: Trust, findings: Findings) -> None:
    pack = _Pack(Container(path))
    findings.saw("container", f"{len(pack.files.members)} files, a plain ZIP with nothing beside")
    _check_closed_world(pack, findings)
    own = _own_key(pack.files)
    history = key_history.read_history(pack.files, own)
    key = _check_seal(pack, _trusted(trust, history), findings)
    _check_digests(pack, findings)
    _check_json(pack, findings)
    scope = strict_json.read_object("scope.json", pack.files.read("scope.json"))
    checkpoint = _check_checkpoint(pack, scope, key, findings)
    key_history.check_history(history, scope["tenant"]["id"], checkpoint, findings)
    key_history.check_pins(history, trust.keys, trust.since, checkpoint, findings)
    documents = _documents(pack.files)
    uploads, wanted = read_documents(pack.files)
    wanted |= entries_wanted(pack.files)
    log = _check_entries(pack, scope, documents.approvals, wanted, findings)
    log.before = _beginning(pack.files, scope, history)
    _check_places(pack.files, scope, checkpoint, log, findings)
    _check_previous(trust.previous, pack.files, history, checkpoint, log, findings)
    _check_witnesses(trust, checkpoint, findings)
    timestamps.check_timestamp(pack.files, trust.tsa_ca, checkpoint, key, findings)
    pull_requests = check_pull_requests(pack.files, history.keys)
    findings.saw(
        "pull request",
        f"{len(pull_requests)} with {sum(row.statements for row in pull_requests)} signed "
        "statements about its head and diff; "
        f"{sum(row.files_bound for row in pull_requests)} files are what the diff leads to",
    )
    if proved := sum(row.proved for row in pull_requests):
        findings.saw(
            red_green.CHECK,
            f"{proved} repairs: red without the change, green with it, red when it is taken back",
        )
    _check_records(pull_requests, log, history, findings)
    complete = completeness.check_completeness(
        pack.files, scope, log, history, pull_requests, findings
    )
    check_merges(
        [(row.figures["folder"], row.merge, row.described) for row in pull_requests if row.merge],
        complete.rows,
        log,
        findings,
    )
    check_access_reviews(pack.files, log, findings)
    _check_approvals(documents.approvals, log, pull_requests, findings)
    _check_controls(documents.controls, log, pack.files, findings)
    check_documents(uploads, scope, documents.controls, log, pack.files, pack.listed, findings)
    report_json = pack.files.read("report.json")
    parts = check_figures(
        strict_json.read_object("report.json", report_json),
        scope=scope,
        checkpoint=checkpoint,
        key=key,
        log=log,
        pull_requests=pull_requests,
        checks=documents.checks,
        approvals=documents.approvals,
        controls=documents.controls,
        complete=complete,
        listed=pack.listed,
    )
    findings.saw("report", f"{parts} parts of report.json worked out again and equal")
    check_pdf(pack.files.read("00-report.pdf"), report_json)
    findings.saw("report", "00-report.pdf carries report.json unchanged")
    if not trust.keys:
        findings.warnings.append(
            "UNPINNED: no key was given, so the pack was checked against its own key, which "
            "proves nothing about who made it"
        )


def _check_closed_world(pack: _Pack, findings: Findings) -> None:
    members = pack.files.members
    for name in sorted(SEALS):
        if name not in members:
            raise Rejected("manifest", name, "is missing")
    manifest = strict_json.read_object("manifest.json", pack.files.read("manifest.json"))
    if manifest.get("format") != FORMAT:
        raise Unusable(f"format {manifest.get('format')!r}, this verifier reads {FORMAT}")
    listed = manifest.get("files")
    if manifest.keys() != {"format", "files"} or not isinstance(listed, dict):
        raise Rejected("manifest", "manifest.json", "has other parts than a format and files")
    for name, facts in listed.items():
        if (
            not isinstance(facts, dict)
            or facts.keys() != {"sha256", "size"}
            or not isinstance(facts["sha256"], str)
            or not _DIGEST.fullmatch(facts["sha256"])
            or type(facts["size"]) is not int
        ):
            raise Rejected("manifest", name, "is listed without digest and size")
    for name in sorted(members.keys() - SEALS ^ listed.keys()):
        reason = "is in the pack, but not listed" if name in members else "is listed, but missing"
        raise Rejected("manifest", name, reason)
    for name in REQUIRED:
        if name not in listed:
            raise Rejected("manifest", name, "is missing")
    for name in listed:
        if name not in {*REQUIRED, *OPTIONAL} and (
            "/" not in name or name.split("/")[0] not in ROOTS
        ):
            raise Rejected("manifest", name, "has no place in a pack")
    pack.listed = listed
    findings.saw("manifest", f"{len(listed)} files listed, none beside them")


def _own_key(files: Container) -> VerifierKey:
    try:
        key = parse_key(files.read("keys/log.vkey").decode().removesuffix("\n"))
    except ValueError as fault:
        raise Rejected("signature", "keys/log.vkey", str(fault)) from fault
    if key.kind != LOG:
        raise Rejected("signature", "keys/log.vkey", "is not a key of a log")
    return key


def _trusted(trust: Trust, history: History) -> list[VerifierKey]:
    """Whose signature under the pack counts, before its history of keys has been checked.

    A key of the auditor's vouches for those that its log handed over to, and for nobody else.
    """
    if not trust.keys or any(key in trust.keys for key in history.keys):
        return history.keys
    return list(trust.keys)


def _check_seal(pack: _Pack, keys: Sequence[VerifierKey], findings: Findings) -> VerifierKey:
    subject = "manifest.dsse.json"
    said, key = envelope.statement(subject, pack.files.read(subject), keys)
    digests = envelope.digests(subject, said)
    manifest = sha256(pack.files.read("manifest.json")).hexdigest()
    if digests.pop("manifest.json", None) != {"sha256": manifest}:
        raise Rejected("signature", "manifest.json", "is not the manifest that was signed")
    for name in sorted(digests.keys() ^ pack.listed.keys()):
        raise Rejected("signature", name, "is signed for, or listed, but not both")
    for name, facts in pack.listed.items():
        if digests[name] != {"sha256": facts["sha256"]}:
            raise Rejected("signature", name, "is listed with another digest than was signed")
    predicate = said.get("predicate")
    if said.get("predicateType") != PREDICATE_TYPE or not isinstance(predicate, dict):
        raise Rejected("signature", subject, "is a statement of another type")
    if pack.files.read("keys/log.vkey").decode(errors="replace") != f"{key}\n":
        raise Rejected("signature", "keys/log.vkey", "is not the key that signed the pack")
    pack.predicate = predicate
    findings.saw("signature", f"manifest signed by {key.name}, key {key.key_id}")
    return key


def _check_digests(pack: _Pack, findings: Findings) -> None:
    # The entries may be many: they are hashed while they are read.
    names = [name for name in pack.listed if name != entries.FILE]
    for name in names:
        for _ in _digested(pack, name):
            pass
    findings.saw("digest", f"{len(names)} files are the bytes that were signed")


def _digested(pack: _Pack, name: str) -> Iterator[bytes]:
    """The chunks of a file; the last step checks size and digest."""
    digest, size = sha256(), 0
    for chunk in pack.files.chunks(name):
        digest.update(chunk)
        size += len(chunk)
        yield chunk
    if {"sha256": digest.hexdigest(), "size": size} != pack.listed[name]:
        raise Rejected("digest", name, "is not the bytes that were signed")


def _check_json(pack: _Pack, findings: Findings) -> None:
    documents = lines = 0
    for name in pack.listed:
        # Files of the pull request are the customer's: they may hold any JSON they like.
        if name == entries.FILE or name.split("/")[2:3] == ["files"]:
            continue
        if name.endswith(".json"):
            strict_json.read(name, pack.files.read(name))
            documents += 1
        elif name.endswith(".jsonl"):
            for number, line in enumerate(pack.files.read(name).splitlines(), start=1):
                strict_json.read(f"{name} line {number}", line)
                lines += 1
    findings.saw("json", f"{documents} documents and {lines} lines with one reading only")


def _check_checkpoint(
    pack: _Pack, scope: Mapping[str, Any], key: VerifierKey, findings: Findings
) -> Checkpoint:
    subject = "log/checkpoints/end.note"
    checkpoint = notes.read_checkpoint("checkpoint", subject, pack.files.read(subject))
    if not notes.signers("checkpoint", subject, checkpoint, [key]):
        raise Rejected("checkpoint", subject, f"is not signed by {key.name}")
    if checkpoint.origin != key.name:
        raise Rejected("checkpoint", subject, f"is the head of another log, {checkpoint.origin}")
    try:
        tenant = scope["tenant"]
        origin = f"countersign/{tenant['slug']}/{tenant['id']}"
        if not all(isinstance(tenant[name], str) for name in ("id", "slug", "name")):
            raise Rejected("scope", "scope.json", "names no tenant")
        if scope.keys() != SCOPE:
            raise Rejected("scope", "scope.json", "has other parts than a scope")
        if scope["format"] != FORMAT or scope["kind"] not in KINDS:
            raise Rejected("scope", "scope.json", "is of another format or kind")
        if scope["coverage"] not in ("selection", "range"):
            raise Rejected("scope", "scope.json", "covers neither a selection nor a range")
        if not scope["origin"] == origin == checkpoint.origin:
            raise Rejected("scope", "scope.json", "tenant and log do not belong together")
        agreed = {
            "format": FORMAT,
            "tenant": tenant["id"],
            "origin": checkpoint.origin,
            "size": checkpoint.size,
            "root": checkpoint.text.split("\n")[2],
        }
    except (KeyError, TypeError) as fault:
        raise Rejected("scope", "scope.json", f"malformed at {fault}") from fault
    if pack.predicate != agreed:
        raise Rejected("scope", "manifest.dsse.json", "was signed for another log or head")
    findings.saw("checkpoint", f"{checkpoint.size} entries under a head signed by the same key")
    findings.saw("scope", f"tenant, origin and head agree: {checkpoint.origin}")
    return checkpoint


@dataclass(frozen=True, slots=True)
class _Documents:
    """The lists that the report repeats."""

    approvals: list[dict[str, Any]]
    controls: list[dict[str, Any]]
    checks: list[dict[str, Any]]


def _documents(files: Container) -> _Documents:
    def rows(name: str, key: str) -> list[dict[str, Any]]:
        found = strict_json.read_object(name, files.read(name)).get(key)
        if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
            raise Rejected("json", name, f"has no list of {key}")
        return found

    checks = [
        name for name in sorted(files.members) if re.fullmatch(r"prs/[^/]+/checks.json", name)
    ]
    documents = _Documents(
        approvals=rows("access/approvals.json", "approvals"),
        controls=rows("controls/coverage.json", "controls"),
        checks=[row for name in checks for row in rows(name, "checks")],
    )
    if not all(isinstance(row.get("status"), str) for row in documents.checks):
        raise Rejected("json", "checks.json", "a check without a status")
    return documents


def _check_entries(
    pack: _Pack,
    scope: Mapping[str, Any],
    approvals: Sequence[Mapping[str, Any]],
    also: Collection[int],
    findings: Findings,
) -> Log:
    wanted = {index for row in approvals if type(index := row.get("entry")) is int}
    wanted.update(also)
    if completeness.SAMPLE in pack.files.members:
        sample = strict_json.read_object(completeness.SAMPLE, pack.files.read(completeness.SAMPLE))
        wanted |= {index for index in (sample.get("entry"),) if type(index) is int}
    log = entries.read_entries(
        _digested(pack, entries.FILE),
        scope["tenant"]["id"],
        wanted,
        size=pack.listed[entries.FILE]["size"],
    )
    if (log.indexes[0], log.indexes[-1]) != (scope.get("from"), scope.get("to")):
        raise Rejected("entries", entries.FILE, "does not span what scope.json says")
    findings.saw("entries", f"{len(log.indexes)} leaves of this tenant, each well formed")
    findings.saw(
        "entries",
        f"{log.disclosed} payloads fit their commitments; {log.withheld} are withheld or erased",
    )
    phases = ", ".join(f"{count} {phase}" for phase, count in sorted(log.phases.items()))
    findings.saw("entries", f"by phase: {phases}")
    return log


def _beginning(files: Container, scope: Mapping[str, Any], history: History) -> Tree:
    """The part of the log before a range, which its own signed head vouches for."""
    note, frontier, check = "log/checkpoints/start.note", "log/frontier.txt", "inclusion"
    start = scope["start"]
    if start == 0 and note not in files.members and frontier not in files.members:
        return Tree()
    if note not in files.members or frontier not in files.members or type(start) is not int:
        raise Rejected(check, note, "is missing, or there without a frontier")
    head = notes.read_checkpoint(check, note, files.read(note))
    history.require_head(check, note, head)
    tree = Tree(start, notes.read_hashes(check, frontier, files.read(frontier)))
    if scope["coverage"] != "range" or head.size != start:
        raise Rejected(check, note, "is not the head that the range begins after")
    if len(tree.subtree_roots) != start.bit_count() or tree.extended(()) != head.root:
        raise Rejected(check, frontier, "does not give the root that was signed")
    return tree


def _check_places(
    files: Container,
    scope: Mapping[str, Any],
    checkpoint: Checkpoint,
    log: Log,
    findings: Findings,
) -> None:
    proofs = {int(found[1]): name for name in files.members if (found := _PROOF.fullmatch(name))}
    known = {*REQUIRED, *OPTIONAL, *proofs.values()}
    for name in files.members:
        if name.startswith("log/") and name not in known:
            raise Rejected("inclusion", name, "has no place in the log's folder")
    if scope["coverage"] == "range":
        if proofs:
            raise Rejected("inclusion", "log/proofs", "has no place in a pack with every entry")
        start, wanted = log.before.size, checkpoint.size - log.before.size
        if len(log.indexes) != wanted or (log.indexes[0], log.indexes[-1]) != (
            start,
            checkpoint.size - 1,
        ):
            raise Rejected(
                "inclusion",
                entries.FILE,
                f"holds {len(log.indexes)} entries, the head covers {wanted}",
            )
        if log.root_at(checkpoint.size) != checkpoint.root:
            raise Rejected("inclusion", entries.FILE, "does not lead to the signed root")
        what = f"all {wanted} entries, without a gap, give the root"
        if start:
            what += f"; they continue the head over {start}"
            findings.saw("consistency", f"the log grew out of the head over {start} entries")
        findings.saw("inclusion", what)
        return
    for index in sorted(set(log.indexes) ^ proofs.keys()):
        which = "has no proof of its place" if index not in proofs else "has a proof, but is absent"
        raise Rejected("inclusion", f"entry {index}", which)
    note = files.read("log/checkpoints/end.note")
    for index, leaf_hash in zip(log.indexes, log.leaf_hashes, strict=True):
        proof = notes.read_proof("inclusion", proofs[index], files.read(proofs[index]))
        if proof.index != index or proof.note != note:
            raise Rejected("inclusion", proofs[index], "is for another entry or another head")
        if root_from_proof(index, checkpoint.size, leaf_hash, proof.hashes) != checkpoint.root:
            raise Rejected("inclusion", f"entry {index}", "its proof does not lead to the root")
    findings.saw("inclusion", f"{len(proofs)} entries stand under the signed head")


def _check_previous(
    note: bytes | None,
    files: Container,
    history: History,
    checkpoint: Checkpoint,
    log: Log,
    findings: Findings,
) -> None:
    check, subject = "consistency", "previous checkpoint"
    proofs: dict[int, tuple[bytes, ...]] = {}
    if "log/consistency.txt" in files.members:
        proofs = notes.read_consistency(
            check, "log/consistency.txt", files.read("log/consistency.txt")
        )
    if note is None:
        findings.not_verified.append("consistency with an earlier head: none was given")
        return
    earlier = notes.read_checkpoint(check, subject, note)
    history.require_head(check, subject, earlier)
    if earlier.size > checkpoint.size:
        raise Rejected(check, "log", f"had {earlier.size} entries, now {checkpoint.size}")
    whole = len(log.indexes) == checkpoint.size - log.before.size
    if earlier.size == checkpoint.size:
        agrees = earlier.root == checkpoint.root
    elif whole and (root := log.root_at(earlier.size)) is not None:
        agrees = root == earlier.root
    elif earlier.size in proofs:
        agrees = is_consistent(
            earlier.size, checkpoint.size, earlier.root, checkpoint.root, proofs[earlier.size]
        )
    else:
        findings.warnings.append(
            "the earlier checkpoint was not compared: this pack has neither every entry since "
            f"then nor a proof from a head over {earlier.size} entries; order one that has"
        )
        return
    if not agrees:
        raise Rejected(check, "log", f"its first {earlier.size} entries have been rewritten")
    findings.saw(check, f"the log grew out of the head over {earlier.size} entries")


def _check_witnesses(trust: Trust, checkpoint: Checkpoint, findings: Findings) -> None:
    subject = "log/checkpoints/end.note"
    signed = notes.signers("witness", subject, checkpoint, trust.witnesses)
    if len(set(signed)) < len(set(trust.witnesses)):
        absent = sorted(key.name for key in set(trust.witnesses) - set(signed))
        findings.warnings.append(f"not witnessed: no signature of {', '.join(absent)}")
        return
    findings.witnesses = [key.name for key in signed]
    if signed:
        findings.saw("witness", f"the head is cosigned by {', '.join(findings.witnesses)}")
    else:
        findings.not_verified.append("a witness: none was named, so its holder could fork the log")


def _check_records(
    pull_requests: Sequence[PullRequest], log: Log, history: History, findings: Findings
) -> None:
    """Each bundle is the one whose list of statements was put into the log, signed by the key that
    was in force there."""
    for row in pull_requests:
        if (index := log.manifests.get(row.manifest_sha256)) is None:
            continue
        if row.key != history.of_entry(index):
            raise Rejected(
                "pull request",
                row.figures["folder"],
                f"its record is signed by key {row.key.key_id}; at entry {index}, which names it, "
                f"key {history.of_entry(index).key_id} was in force",
            )
    unseen = [row for row in pull_requests if row.manifest_sha256 not in log.manifests]
    if len(unseen) > log.withheld_records:
        folder = unseen[0].figures["folder"]
        raise Rejected("pull request", folder, "its record is in no entry of the log")
    if unseen:
        findings.warnings.append(
            f"the facts of {log.withheld_records} entries that name records are withheld or "
            "erased, so those records were not compared with the log"
        )
    findings.saw(
        "pull request", f"{len(pull_requests) - len(unseen)} records, each listed by an entry"
    )


def _check_approvals(
    approvals: Sequence[Mapping[str, Any]],
    log: Log,
    pull_requests: Sequence[PullRequest],
    findings: Findings,
) -> None:
    diffs = {row.diff_sha256 for row in pull_requests}
    bound = 0
    for row in approvals:
        try:
            subject = f"decision in entry {row['entry']}"
            if row["entry"] not in log.kept:
                raise Rejected("approvals", subject, "is not among the entries")
            leaf, payload = log.kept[row["entry"]]
            person = row["person"]
            if leaf["actor"]["type"] != "human" or leaf["outcome"] != "ok":
                raise Rejected("approvals", subject, "was not made by a person, or not allowed")
            if (person["id"], person["name"]) != (leaf["actor"]["id"], leaf["actor"]["name"]):
                raise Rejected("approvals", subject, "was made by another person")
            if row["at"] != leaf["ts"]:
                raise Rejected("approvals", subject, "was made at another time")
            stands = row["stands"] and row["decision"] == "countersigned"
            if stands and row["diff_sha256"] not in diffs:
                raise Rejected("approvals", subject, "countersigns another diff than the pack's")
            if payload is not None:
                facts = strict_json.read_object(subject, payload)
                if facts.get("diff_sha256") != row["diff_sha256"]:
                    raise Rejected("approvals", subject, "was made on another diff")
                bound += 1
        except (KeyError, TypeError) as fault:
            raise Rejected("approvals", "access/approvals.json", f"malformed at {fault}") from fault
    findings.saw("approvals", f"{len(approvals)} decisions by people, {bound} tied to their diff")


def _check_controls(
    controls: Sequence[Mapping[str, Any]], log: Log, files: Container, findings: Findings
) -> None:
    indexes, references = set(log.indexes), 0
    for row in controls:
        try:
            subject = f"control {row['id']}"
            if not isinstance(row["strength"], str):
                raise Rejected("controls", subject, "has no strength")
            if not row["evidence"] and row["strength"] not in WITHOUT_EVIDENCE:
                raise Rejected("controls", subject, f"{row['strength']!r}, but without evidence")
            for reference in row["evidence"]:
                ((kind, target),) = reference.items()
                known: Any = {"entry": indexes, "file": files.members}.get(kind, ())
                if target not in known:
                    raise Rejected("controls", subject, f"points to {kind} {target}, not here")
                references += 1
        except (KeyError, TypeError, ValueError, AttributeError) as fault:
            raise Rejected("controls", "controls/coverage.json", f"malformed: {fault}") from fault
    findings.saw("controls", f"{len(controls)} controls, {references} references, all in the pack")
