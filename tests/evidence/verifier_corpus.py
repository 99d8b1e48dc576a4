"""A sample evidence pack with a collection of forgeries, each to be rejected for its own reason."""

from __future__ import annotations

import json
import struct
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha1, sha256
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from evidence.dsse import (
    DIGEST_TYPE,
    PAYLOAD_TYPE,
    Subject,
    pre_authentication,
    pull_request_subjects,
    sign_envelope,
    statement,
)
from evidence.key_history import Handover, Term
from evidence.leaf import build_leaf, commitment, payload_bytes
from evidence.merkle import (
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    tree_root,
)
from evidence.notes import parse_proof, sign_checkpoint, write_proof
from evidence.pack import PERIOD_START, PREDICATE_TYPE, PackEntry, Scope, Start, build_pack
from evidence.pack import Sample as Draw
from evidence.records import Claim, signed_bundle
from evidence.report import render_report
from evidence.signing import KeySigner

VERIFIER = Path(__file__).resolve().parents[2] / "evidence" / "verifier"
# The verifier is a distribution of its own; the product neither installs nor imports it.
sys.path.append(str(VERIFIER))

from countersign_verify import entries, envelope  # noqa: E402, F401  # for tests
from countersign_verify.checks import Trust, verify  # noqa: E402
from countersign_verify.findings import Findings, Rejected, Unusable  # noqa: E402, F401
from countersign_verify.keys import parse_key, pins_given  # noqa: E402, F401

TENANT = UUID("018f2f60-0000-7000-8000-000000000001")
ORIGIN = f"countersign/acme/{TENANT}"
PROPOSAL = "018f2f60-0000-7000-8000-0000000000aa"
START = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)
FOLDER = "prs/storefront-7"
HEAD, TREE, BASE = "1f" * 20, "2e" * 20, "3d" * 20

ADA = {"type": "human", "id": "ada", "name": "Ada Lovelace", "on_behalf_of": None}
AGENT = {"type": "agent", "id": "agent", "name": "Recommender", "on_behalf_of": "ada"}
SYSTEM = {"type": "system", "id": "system", "name": "Control plane", "on_behalf_of": None}

ADR = b"# Use PostgreSQL\n\nOne database for documents and queues.\n"
BOM = b"# Bill of materials\n\n- PostgreSQL 18\n- Django 6.1\n"


def signer_named(origin: str, seed: int = 1) -> KeySigner:
    """A signer whose key is always the same for the same seed."""
    return KeySigner(origin, Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32))


class ShortSigner(KeySigner):
    """As a key in a service that signs short messages only: heads and the shorter statements."""

    longest: ClassVar[int | None] = 1_000

    def sign(self, message: bytes) -> bytes:
        assert len(message) <= 1_000
        return super().sign(message)


def short_signer() -> ShortSigner:
    """With the sample's own key."""
    return ShortSigner(ORIGIN, signer_named(ORIGIN).private_key)


def added_file(path: str, content: bytes) -> str:
    """The section of a git diff that adds a whole file."""
    blob = sha1(b"blob %d\0" % len(content) + content).hexdigest()
    lines = content.decode().splitlines()
    body = "".join(f"+{line}\n" for line in lines)
    return (
        f"diff --git a/{path} b/{path}\nnew file mode 100644\nindex 0000000..{blob[:10]}\n"
        f"--- /dev/null\n+++ b/{path}\n@@ -0,0 +1,{len(lines)} @@\n{body}"
    )


@dataclass
class Sample:
    """Everything build_pack() takes, so that a test can change one thing before building."""

    entries: list[PackEntry]
    leaf_hashes: list[bytes]
    files: dict[str, bytes]
    story: dict[str, Any]
    signer: KeySigner
    scope: Scope
    log: list[PackEntry] = field(default_factory=list)
    population: list[dict[str, Any]] = field(default_factory=list)
    earlier_sizes: tuple[int, ...] = ()
    population_note: str | None = None
    key_terms: list[dict[str, Any]] = field(default_factory=list)
    timestamp: bytes | None = None

    @property
    def checkpoint_note(self) -> str:
        root = tree_root(self.leaf_hashes)
        return sign_checkpoint(self.signer.name, len(self.leaf_hashes), root, self.signer)

    def build(self) -> bytes:
        return build_pack(
            scope=self.scope,
            entries=self.entries,
            leaf_hashes=self.leaf_hashes,
            checkpoint_note=self.checkpoint_note,
            files=self.files,
            signer=self.signer,
            story=self.story,
            population=self.population,
            earlier_sizes=self.earlier_sizes,
            population_note=self.population_note,
            key_terms=self.key_terms,
            timestamp=self.timestamp,
        )


def entry(
    index: int,
    action: str,
    *,
    actor: Mapping[str, str | None] = SYSTEM,
    facts: Mapping[str, Any] | None = None,
    phase: str = "decision",
    object_id: str = PROPOSAL,
    object_type: str = "proposal",
    outcome: str = "ok",
    tenant_id: UUID = TENANT,
    trace: str | None = None,
    allowed: bool = False,
) -> PackEntry:
    """An entry whose id, time and salt follow from its index. allowed: by rules, as a decision."""
    payload = payload_bytes(facts) if facts is not None else None
    salt = sha256(b"salt %d" % index).digest() if payload is not None else None
    leaf = build_leaf(
        entry_id=UUID(int=(0x018F2F60_0000_7000_9000 << 48) + index),
        recorded_at=START + timedelta(seconds=7 * index, microseconds=index),
        tenant_id=tenant_id,
        actor=actor,
        door="page" if actor["type"] == "human" else "job",
        action=action,
        object_type=object_type,
        object_id=object_id,
        phase=phase,
        outcome=outcome,
        policy={"digest": "ab" * 32, "decision": "allow"}
        if allowed or phase == "decision"
        else None,
        payload=(commitment(salt, payload), len(payload)) if payload and salt else None,
        run="018f2f60-0000-7000-8000-0000000000bb",
        trace=trace,
    )
    return PackEntry(index, leaf, payload, salt)


def sample(coverage: str = "selection", signer: KeySigner | None = None) -> Sample:
    """One countersigned proposal with one pull request, in a log of 41 entries."""
    diff = (
        added_file("docs/adr/20261123-database.md", ADR) + added_file("docs/stack/bom.md", BOM)
    ).encode()
    diff_sha256 = sha256(diff).hexdigest()
    log = [entry(index, "task.note", object_id="other") for index in range(41)]
    signer = signer or signer_named(ORIGIN)
    countersigned_at = json.loads(entry(20, "proposal.countersign").leaf)["ts"]
    files, manifest_sha256 = _files(diff, countersigned_at, signer)
    story_of = {
        3: ("task.submit", ADA, {"goal": "Choose a stack for the storefront"}, "decision"),
        5: ("recommendation.start", AGENT, None, "intent"),
        6: ("recommendation.finish", AGENT, {"layers": 3}, "result"),
        9: ("proposal.open", AGENT, {"diff_sha256": diff_sha256, "head": HEAD}, "result"),
        17: ("check.run", SYSTEM, {"passed": 4, "failed": 0}, "result"),
        18: ("record.sign", SYSTEM, {"manifest_sha256": manifest_sha256}, "result"),
        20: ("proposal.countersign", ADA, {"diff_sha256": diff_sha256}, "decision"),
        38: ("proposal.merge", SYSTEM, {"head": HEAD}, "result"),
    }
    for index, (action, actor, facts, phase) in story_of.items():
        log[index] = entry(index, action, actor=actor, facts=facts, phase=phase)
    # An erased payload: the commitment stays in the leaf, the facts are gone.
    log[38] = PackEntry(38, log[38].leaf)
    return Sample(
        entries=log if coverage == "range" else [log[index] for index in sorted(story_of)],
        leaf_hashes=[leaf_hash(row.leaf) for row in log],
        files=files,
        story=_story(),
        signer=signer,
        scope=Scope(
            tenant_id=TENANT,
            tenant_slug="acme",
            tenant_name="Acme GmbH",
            object_id=PROPOSAL,
            created_at=START + timedelta(minutes=10),
            coverage=coverage,
            query="Everything recorded about one proposal",
            tool_versions={"countersign": "0.1.0"},
        ),
        log=log,
        population=[population_row(PROPOSAL, diff_sha256)],
        earlier_sizes=(20, 32),
    )


NEXT_SEED = 5  # of the key that a rotated log is handed over to


def rotated_sample(
    coverage: str = "selection", *, since: int = 26, recorded_by: int = 1, seed: int = NEXT_SEED
) -> Sample:
    """The sample's log with a second key in force from entry `since` on.

    recorded_by: seed of the key that signs the pull request's record, which entry 18 names.
    """
    after = signer_named(ORIGIN, seed)
    made = sample("range", signer_named(ORIGIN, recorded_by))
    log, announced = made.log, since - 2
    material = after.vkey.removeprefix(f"{ORIGIN}+")
    log[announced] = entry(
        announced, "log_key.rotate", phase="result", object_id=material, object_type="logkey"
    )
    hashes = [leaf_hash(row.leaf) for row in log]
    made.signer, made.leaf_hashes = after, hashes
    made.key_terms = [
        Term(signer_named(ORIGIN).vkey, 0).as_json(),
        Term(after.vkey, since, handover(log[announced], hashes, since)).as_json(),
    ]
    if coverage == "selection":
        shown = {row.index for row in sample().entries} | {announced}
        made.entries = [row for row in log if row.index in shown]
        made.scope = replace(made.scope, coverage=coverage)
    made.earlier_sizes = (20, 32)
    return made


def handover(announcement: PackEntry, hashes: list[bytes], since: int) -> Handover:
    """How the sample's first key hands over to the one that `announcement` names."""
    return Handover(
        announcement.index,
        announcement.leaf,
        sign_checkpoint(ORIGIN, since, tree_root(hashes[:since]), signer_named(ORIGIN)),
        tuple(inclusion_proof(announcement.index, hashes[:since])),
        tuple(consistency_proof(since, hashes)),
    )


OTHER = "018f2f60-0000-7000-8000-0000000000ab"
NONCE = "nonce-1"  # with which the draw falls on the sample's proposal


def period_sample() -> Sample:
    """The log from entry 16 to 59 with its two proposals, one of them drawn by lot."""
    made = sample("range")
    log = made.log + [entry(index, "task.note", object_id="other") for index in range(41, 60)]
    for index, action, actor, phase, facts in (
        (22, "role.change", ADA, "result", {"role": "auditor"}),
        (23, "emergency.approve", ADA, "result", None),
        (25, "proposal.open", AGENT, "result", {"number": 8}),
        (30, "log.gap", SYSTEM, "gap", None),
        (31, "payload.erase", SYSTEM, "redaction", None),
        (33, "pull_request.open", AGENT, "intent", None),
        (50, "pack.export", ADA, "result", {"nonce": NONCE}),
    ):
        about = OTHER if index in (25, 33) else PROPOSAL
        log[index] = entry(index, action, actor=actor, facts=facts, phase=phase, object_id=about)
    log[52] = entry(
        52, "branch.bypassed", object_id="shop", object_type="repository", outcome="failed"
    )
    hashes = [leaf_hash(row.leaf) for row in log]
    frontier = Frontier()
    frontier.extend(hashes[:16])

    def head(size: int) -> str:
        return sign_checkpoint(ORIGIN, size, tree_root(hashes[:size]), made.signer)

    diff_sha256 = made.population[0]["diff_sha256"]
    made.entries, made.leaf_hashes, made.log = log[16:], hashes, log
    made.population = [
        population_row(PROPOSAL, diff_sha256),
        population_row(OTHER, "00" * 32, number=8, folder="", excluded="not drawn"),
    ]
    made.earlier_sizes, made.population_note = (8,), head(45)
    made.scope = replace(
        made.scope,
        kind="period",
        object_type="tenant",
        object_id=str(TENANT),
        query="Every pull request recorded in entries 16 to 44, one of them drawn by lot",
        start=Start(head(16), frontier),
        population_end=45,
        sample=Draw(NONCE, 50, 1),
    )
    return made


def population_row(proposal: str, diff_sha256: str, **changes: Any) -> dict[str, Any]:
    """What a pack's maker knows of the sample's pull request."""
    return {
        "proposal": proposal,
        "repo": "acme/storefront",
        "number": 7,
        "title": "Propose a stack for the storefront",
        "head": HEAD,
        "diff_sha256": diff_sha256,
        "folder": FOLDER,
        "excluded": "",
    } | changes


@cache
def built(coverage: str = "selection") -> bytes:
    """The sample pack, built once a session; "period" is the one with a draw, "rotated" the one
    whose log has had two keys, "digests" the one whose key signs no long messages."""
    other = {
        "period": period_sample,
        "rotated": rotated_sample,
        "digests": lambda: sample(signer=short_signer()),
    }
    return (other[coverage]() if coverage in other else sample(coverage)).build()


def _files(diff: bytes, countersigned_at: str, signer: KeySigner) -> tuple[dict[str, bytes], str]:
    diff_sha256 = sha256(diff).hexdigest()
    contents = {"docs/adr/20261123-database.md": ADR, "docs/stack/bom.md": BOM}
    subjects = pull_request_subjects(
        "acme/storefront", 7, commit=HEAD, tree=TREE, diff_sha256=diff_sha256
    )
    described = {
        "repo": "acme/storefront",
        "number": 7,
        "title": "Propose a stack for the storefront",
        "base": {"branch": "main", "commit": BASE},
        "head": {"branch": "countersign/stack", "commit": HEAD, "tree": TREE},
        "diff": {"sha256": diff_sha256, "size": len(diff)},
        "files": [
            {
                "path": path,
                "status": "added",
                "sha256": sha256(content).hexdigest(),
                "size": len(content),
            }
            for path, content in contents.items()
        ],
    }
    checks = [
        ("Markdown lint", "rumdl", "0.3.0", "7 files, no findings"),
        ("Secret scan", "gitleaks", "8.30.0", "no secrets in the diff"),
        ("Bill of materials", "cyclonedx", "1.6", "23 components, schema valid"),
        ("Links", "countersign", "0.1.0", "14 links, all relative ones resolve"),
    ]
    artifacts = {
        "diff.patch": diff,
        "pull-request.json": canonical(described),
        "review.json": canonical({"comments": [], "verdict": "approved"}),
        "checks.json": canonical(
            {
                "checks": [
                    {"name": name, "tool": tool, "version": v, "status": "passed", "summary": said}
                    for name, tool, v, said in checks
                ]
            }
        ),
        "agent-run.jsonl": b"".join(
            canonical({"step": step, "tool": tool}) + b"\n"
            for step, tool in enumerate(("catalogue.search", "proposal.write"))
        ),
        **{f"files/{path}": content for path, content in contents.items()},
    }
    bundle, manifest_sha256 = signed_bundle(
        subjects,
        [
            Claim("urn:countersign:agent-run:v1", {"steps": 2}),
            Claim("urn:countersign:code-review:v1", {"verdict": "approved"}),
            Claim("https://in-toto.io/attestation/test-result/v0.1", {"result": "PASSED"}),
        ],
        artifacts,
        signer,
    )
    return {
        **{f"{FOLDER}/{path}": content for path, content in artifacts.items()},
        f"{FOLDER}/bundle.intoto.jsonl": bundle,
        "access/approvals.json": canonical(
            {
                "approvals": [
                    {
                        "entry": 20,
                        "decision": "countersigned",
                        "person": {"id": "ada", "name": "Ada Lovelace"},
                        "at": countersigned_at,
                        "note": "Read all three records; the rollback plan is sound.",
                        "diff_sha256": diff_sha256,
                        "stands": True,
                    }
                ]
            }
        ),
        "controls/coverage.json": canonical({"controls": _controls()}),
    }, manifest_sha256


def _controls() -> list[dict[str, Any]]:
    return [
        {
            "framework": "SSDF",
            "id": "PW.7.2",
            "title": "Review the code and record what was found",
            "strength": "proved",
            "evidence": [{"entry": 20}, {"file": f"{FOLDER}/review.json"}],
            "note": "",
        },
        {
            "framework": "SSDF",
            "id": "PS.3.2",
            "title": "Keep provenance of every component",
            "strength": "partial",
            "evidence": [{"file": f"{FOLDER}/files/docs/stack/bom.md"}],
            "note": "Components are listed; their origin is not attested.",
        },
        {
            "framework": "SSDF",
            "id": "PO.2.2",
            "title": "Role-based training",
            "strength": "none",
            "evidence": [],
            "note": "Organisational: outside what a pull request can show.",
        },
    ]


def _story() -> dict[str, Any]:
    return {
        "title": "Propose a stack for the storefront",
        "asked": {
            "goal": "Choose a technology stack for the new storefront: two developers, "
            "50,000 visits a day, data must stay in the EU.",
            "by": "Ada Lovelace",
            "at": "2026-11-23T05:00:21.000003Z",
        },
        "layers": [
            {
                "layer": "Database",
                "winner": "PostgreSQL 18",
                "score": "0.87",
                "why": "Documents and queue in one store; two people can run it.",
                "alternatives": [
                    {"name": "MariaDB 12", "score": "0.74", "why_not": "no row security"},
                    {"name": "MongoDB 8", "score": "0.58", "why_not": "licence"},
                ],
            },
            {
                "layer": "Web framework",
                "winner": "Django 6.1",
                "score": "0.84",
                "why": "Administration and migrations included; known to the team.",
                "alternatives": [
                    {"name": "FastAPI", "score": "0.71", "why_not": "more parts to choose"}
                ],
            },
            {
                "layer": "Hosting",
                "winner": "Managed Kubernetes, Frankfurt",
                "score": "0.66",
                "why": "EU region; scales past the stated load.",
                "alternatives": [],
            },
        ],
        "blind_spots": [
            "The load figure was stated by the requester and not measured.",
            "Costs are list prices of the day, without discounts.",
        ],
    }


def canonical(fields: Mapping[str, Any]) -> bytes:
    return rfc8785.dumps(dict(fields))


def entry_line(leaf: bytes) -> bytes:
    """A line of the entries with this leaf at index 0, without a payload."""
    return b'{"index":0,"leaf":%b,"payload":null,"salt":null}\n' % leaf


def verified(
    pack: bytes,
    folder: Path,
    *,
    keys: Iterable[str] = (),
    witnesses: Iterable[str] = (),
    previous: bytes | None = None,
    since: Mapping[str, int] | None = None,
    tsa_ca: bytes | None = None,
) -> Findings:
    """What the verifier finds in `pack`."""
    path = folder / "pack.zip"
    path.write_bytes(pack)
    trust = Trust(
        keys=[parse_key(key) for key in keys],
        witnesses=[parse_key(key) for key in witnesses],
        previous=previous,
        since={parse_key(key): index for key, index in (since or {}).items()},
        tsa_ca=tsa_ca,
    )
    return verify(path, trust)


def log_key() -> str:
    """The verifier key of the sample's log, as an auditor holds it."""
    return signer_named(ORIGIN).vkey


def unpacked(pack: bytes) -> dict[str, bytes]:
    with ZipFile(BytesIO(pack)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(
    files: Iterable[tuple[str, bytes]], change: Callable[[ZipInfo], None] = lambda info: None
) -> bytes:
    """A ZIP in the pack's own manner, except for what `change` does to an entry."""
    out = BytesIO()
    with ZipFile(out, "w") as archive:
        for name, content in files:
            info = ZipInfo(name, PERIOD_START)
            info.external_attr, info.create_system = 0o100644 << 16, 3
            info.compress_type = ZIP_DEFLATED
            change(info)
            archive.writestr(info, content)
    return out.getvalue()


def in_order(files: Mapping[str, bytes]) -> list[tuple[str, bytes]]:
    return sorted(files.items())


def sealed(
    files: Mapping[str, bytes],
    signer: KeySigner | None = None,
    said: Callable[[dict[str, Any]], None] = lambda fields: None,
) -> bytes:
    """The files with manifest and signature made anew: what somebody with a key can do.

    said: changes what is signed, after everything was put right.
    """
    signer = signer or signer_named(ORIGIN)
    contents = {name: files[name] for name in files if not name.startswith("manifest.")}
    listed = {
        name: {"sha256": sha256(content).hexdigest(), "size": len(content)}
        for name, content in contents.items()
    }
    manifest = canonical({"format": "countersign-pack/2", "files": listed})
    origin, size, root = files["log/checkpoints/end.note"].decode().split("\n")[:3]
    subjects = [Subject("manifest.json", {"sha256": sha256(manifest).hexdigest()})]
    subjects += [Subject(name, {"sha256": listed[name]["sha256"]}) for name in sorted(listed)]
    predicate = {
        "format": "countersign-pack/2",
        "tenant": json.loads(files["scope.json"])["tenant"]["id"],
        "origin": origin,
        "size": int(size),
        "root": root,
    }
    contents["manifest.json"] = manifest
    fields = json.loads(statement(subjects, PREDICATE_TYPE, predicate))
    said(fields)
    contents["manifest.dsse.json"] = sign_envelope(canonical(fields), signer)
    return zipped(in_order(contents))


@dataclass(frozen=True)
class Forgery:
    """A pack that must be rejected, with the check that must do it and a part of the reason.

    make: from the files of a good pack to the bytes of a bad one.
    """

    name: str
    make: Callable[[dict[str, bytes]], bytes]
    check: str
    reason: str
    coverage: str = "selection"


def _edited(files: dict[str, bytes], name: str, edit: Callable[[Any], None]) -> dict[str, bytes]:
    """The files with one JSON document changed in place by `edit`."""
    fields = json.loads(files[name])
    edit(fields)
    return files | {name: canonical(fields)}


def _with_entry(
    files: dict[str, bytes], number: int, edit: Callable[[dict[str, Any]], None]
) -> dict[str, bytes]:
    """The files with one line of the entries changed; `number` counts lines from 0."""
    lines = files["log/entries.jsonl"].splitlines()
    fields = json.loads(lines[number])
    edit(fields)
    lines[number] = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()
    return files | {"log/entries.jsonl": b"\n".join(lines) + b"\n"}


def _with_leaf(
    files: dict[str, bytes], number: int, edit: Callable[[bytes], bytes]
) -> dict[str, bytes]:
    lines = files["log/entries.jsonl"].splitlines()
    start, stop = lines[number].index(b'"leaf":') + 7, lines[number].rindex(b',"payload":')
    line = lines[number]
    lines[number] = line[:start] + edit(line[start:stop]) + line[stop:]
    return files | {"log/entries.jsonl": b"\n".join(lines) + b"\n"}


def _renamed_in_zip(pack: bytes, old: str, new: str) -> bytes:
    """Another name of the same length, in both headers."""
    assert len(old) == len(new)
    return pack.replace(old.encode(), new.encode())


def _second_central_header(pack: bytes) -> int:
    first = pack.index(b"PK\1\2")
    return pack.index(b"PK\1\2", first + 4)


def _patched(pack: bytes, at: int, replacement: bytes) -> bytes:
    return pack[:at] + replacement + pack[at + len(replacement) :]


def _flip_local_date(files: dict[str, bytes]) -> bytes:
    return _patched(zipped(in_order(files)), 10, struct.pack("<H", 0x1234))


def _gap_between_files(files: dict[str, bytes]) -> bytes:
    """Three bytes that no directory entry owns, with every offset put right."""
    pack = zipped(in_order(files))
    directory = pack.index(b"PK\1\2")
    end = len(pack) - 22
    moved = _patched(pack, end + 16, struct.pack("<L", directory + 3))
    return moved[:directory] + b"???" + moved[directory:]


def _link(info: ZipInfo) -> None:
    if info.filename == "known-limits.md":
        info.external_attr = 0o120777 << 16


def _stamped(info: ZipInfo) -> None:
    info.date_time = (2026, 11, 23, 5, 0, 0)


def _commented(info: ZipInfo) -> None:
    info.extra = struct.pack("<HH", 0x7777, 4) + b"oops"


def _other_log(files: dict[str, bytes]) -> dict[str, bytes]:
    """A checkpoint over the same root, signed by the same key bytes under another name."""
    note = files["log/checkpoints/end.note"].decode().split("\n")
    other = ORIGIN.replace("acme", "umbrella")
    signed = sign_checkpoint(other, int(note[1]), b64decode(note[2]), signer_named(other))
    return files | {"log/checkpoints/end.note": signed.encode()}


def _smaller_head(files: dict[str, bytes]) -> dict[str, bytes]:
    """A genuine, older head: the entries behind it are not under it."""
    hashes = sample().leaf_hashes[:20]
    note = sign_checkpoint(ORIGIN, 20, tree_root(hashes), signer_named(ORIGIN))
    return files | {"log/checkpoints/end.note": note.encode()}


def _swapped_hash(files: dict[str, bytes]) -> dict[str, bytes]:
    name = "log/proofs/20.tlog-proof"
    proof = parse_proof(files[name])
    hashes = (proof.hashes[1], proof.hashes[0], *proof.hashes[2:])
    return files | {name: write_proof(replace(proof, hashes=hashes)).encode()}


def _without_entry(files: dict[str, bytes], number: int) -> dict[str, bytes]:
    lines = files["log/entries.jsonl"].splitlines(keepends=True)
    del lines[number]
    return files | {"log/entries.jsonl": b"".join(lines)}


def _statement_about(files: dict[str, bytes], commit: str, diff: bytes) -> dict[str, bytes]:
    subjects = pull_request_subjects(
        "acme/storefront", 7, commit=commit, tree=TREE, diff_sha256=sha256(diff).hexdigest()
    )
    line = sign_envelope(statement(subjects, "urn:countersign:x", {}), signer_named(ORIGIN))
    name = f"{FOLDER}/bundle.intoto.jsonl"
    return files | {name: files[name] + line + b"\n"}


def _resealed(files: dict[str, bytes], **changes: Any) -> bytes:
    """The pack with its envelope changed: payload and sig are given as bytes."""
    fields = json.loads(files["manifest.dsse.json"])
    changes = {
        name: b64encode(value).decode() if isinstance(value, bytes) else value
        for name, value in changes.items()
    }
    if "sig" in changes:
        fields["signatures"][0]["sig"] = changes.pop("sig")
    forged = canonical(fields | changes)
    assert forged != files["manifest.dsse.json"]
    return zipped(in_order(files | {"manifest.dsse.json": forged}))


def _payload_of(pack: bytes) -> bytes:
    return b64decode(json.loads(unpacked(pack)["manifest.dsse.json"])["payload"])


def _signed_as(payload_type: str, body: bytes) -> bytes:
    """The log's own signature over this, which its worker never makes."""
    return signer_named(ORIGIN).sign(pre_authentication(payload_type, body))


def _recorded_again(files: dict[str, bytes]) -> dict[str, bytes]:
    """Another review, with bundle and list made anew by the right key."""
    prefix = f"{FOLDER}/"
    artifacts = {
        name.removeprefix(prefix): content
        for name, content in files.items()
        if name.startswith(prefix) and name != _BUNDLE
    } | {"review.json": canonical({"comments": [], "verdict": "rejected"})}
    subjects = pull_request_subjects(
        "acme/storefront",
        7,
        commit=HEAD,
        tree=TREE,
        diff_sha256=sha256(files[_DIFF]).hexdigest(),
    )
    bundle, _ = signed_bundle(
        subjects, [Claim("urn:countersign:x", {})], artifacts, signer_named(ORIGIN)
    )
    return (
        files | {prefix + path: content for path, content in artifacts.items()} | {_BUNDLE: bundle}
    )


def _better_report(report: dict[str, Any]) -> None:
    report["checks"]["by_status"]["passed"] = 5


def _first(rows: str, **changes: Any) -> Callable[[Any], None]:
    def edit(fields: dict[str, Any]) -> None:
        fields[rows][0] |= changes

    return edit


_BUNDLE = f"{FOLDER}/bundle.intoto.jsonl"
_DIFF, _FILE = f"{FOLDER}/diff.patch", f"{FOLDER}/files/docs/stack/bom.md"
_APPROVALS, _CONTROLS = "access/approvals.json", "controls/coverage.json"
_STRANGER = signer_named(ORIGIN, seed=9)
_COUNTERSIGNATURE = 6  # its line among the sample's entries


def _emptied(files: dict[str, bytes], name: str, rows: str) -> bytes:
    return sealed(_edited(files, name, lambda fields: fields[rows].clear()))


def _with_population(
    files: dict[str, bytes], edit: Callable[[list[dict[str, Any]]], Any]
) -> dict[str, bytes]:
    rows = [json.loads(line) for line in files["population/prs.jsonl"].splitlines()]
    edit(rows)
    return files | {"population/prs.jsonl": b"".join(canonical(row) + b"\n" for row in rows)}


def _period_head(size: int, signer: KeySigner | None = None) -> bytes:
    root = tree_root(period_sample().leaf_hashes[:size])
    return sign_checkpoint(ORIGIN, size, root, signer or signer_named(ORIGIN)).encode()


def _foreign_leaf(leaf: bytes) -> bytes:
    return leaf.replace(str(TENANT).encode(), str(UUID(int=5)).encode())


FORGERIES = [
    # What anybody can do to a ZIP.
    Forgery(
        "trailing bytes",
        lambda files: zipped(in_order(files)) + b"\n",
        "container",
        "bytes follow the directory",
    ),
    Forgery(
        "second ZIP appended",
        lambda files: zipped(in_order(files)) + zipped([("report.json", b"{}")]),
        "container",
        "the directory does not lie where it should",
    ),
    Forgery(
        "cut off",
        lambda files: zipped(in_order(files))[:-30],
        "container",
        "it is cut off",
    ),
    Forgery(
        "bytes between the files",
        _gap_between_files,
        "container",
        "bytes that belong to no file",
    ),
    Forgery(
        "path traversal",
        lambda files: _renamed_in_zip(zipped(in_order(files)), "00-README.md", "../README.md"),
        "container",
        "leaves its folder",
    ),
    Forgery(
        "absolute path",
        lambda files: _renamed_in_zip(zipped(in_order(files)), "00-README.md", "/0-README.md"),
        "container",
        "leaves its folder",
    ),
    Forgery(
        "backslash path",
        lambda files: _renamed_in_zip(zipped(in_order(files)), "00-README.md", "00\\README.md"),
        "container",
        "systems read differently",
    ),
    Forgery(
        "symbolic link",
        lambda files: zipped(in_order(files), _link),
        "container",
        "not a plain file",
    ),
    Forgery(
        "decompression bomb",
        lambda files: sealed(files | {"prs/storefront-7/review.json": b" " * (30 << 20) + b"{}"}),
        "container",
        "unpacks to more than 200 times",
    ),
    Forgery(
        "understated size",
        lambda files: _patched(
            _patched(pack := zipped(in_order(files)), 22, struct.pack("<L", 10)),
            pack.index(b"PK\1\2") + 24,
            struct.pack("<L", 10),
        ),
        "container",
        "unpacks to more than it declares",
    ),
    Forgery(
        "same name twice",
        lambda files: _renamed_in_zip(
            zipped(in_order(files | {"00-READM2.md": b"another"})), "00-READM2.md", "00-README.md"
        ),
        "container",
        "two files have this name",
    ),
    Forgery(
        "file that is also a folder",
        lambda files: zipped(in_order(files | {"access": b""})),
        "container",
        "also a folder",
    ),
    Forgery(
        "headers that disagree",
        _flip_local_date,
        "container",
        "two headers disagree",
    ),
    Forgery(
        "date in a header",
        lambda files: zipped(in_order(files), _stamped),
        "container",
        "more than a name and sizes",
    ),
    Forgery(
        "extra field in a header",
        lambda files: zipped(in_order(files), _commented),
        "container",
        "more than a name and sizes",
    ),
    Forgery(
        "files out of order",
        lambda files: zipped(reversed(in_order(files))),
        "container",
        "not in order",
    ),
    Forgery(
        "offset to another file",
        lambda files: _patched(
            pack := zipped(in_order(files)), _second_central_header(pack) + 42, b"\0\0\0\0"
        ),
        "container",
        "do not follow those of the file before",
    ),
    # What anybody can do to the files.
    Forgery(
        "swapped file",
        lambda files: zipped(in_order(files | {"known-limits.md": b"There are none.\n"})),
        "digest",
        "not the bytes that were signed",
    ),
    Forgery(
        "entry edited in place",
        lambda files: zipped(
            in_order(_with_entry(files, 2, lambda row: row.update(payload=None, salt=None)))
        ),
        "digest",
        "not the bytes that were signed",
    ),
    Forgery(
        "unlisted file",
        lambda files: zipped(in_order(files | {"prs/storefront-7/extra.md": b"Trust me."})),
        "manifest",
        "in the pack, but not listed",
    ),
    Forgery(
        "removed file",
        lambda files: zipped(
            in_order({name: files[name] for name in files if not name.endswith("/review.json")})
        ),
        "manifest",
        "listed, but missing",
    ),
    Forgery(
        "manifest stripped of its signature",
        lambda files: zipped(
            in_order({name: files[name] for name in files if name != "manifest.dsse.json"})
        ),
        "manifest",
        "is missing",
    ),
    Forgery(
        "manifest and file changed together",
        lambda files: zipped(
            in_order(
                files
                | {"manifest.dsse.json": files["manifest.dsse.json"]}
                | {
                    name: content
                    for name, content in unpacked(
                        sealed(files | {"known-limits.md": b"There are none.\n"}, _STRANGER)
                    ).items()
                    if name in ("manifest.json", "known-limits.md")
                }
            )
        ),
        "signature",
        "not the manifest that was signed",
    ),
    Forgery(
        "key listed twice in the manifest",
        lambda files: zipped(
            in_order(
                files
                | {
                    "manifest.json": files["manifest.json"].replace(
                        b'{"files":{', b'{"files":{},"files":{', 1
                    )
                }
            )
        ),
        "json",
        "appears twice",
    ),
    Forgery(
        "envelope respelled",
        lambda files: zipped(
            in_order(files | {"manifest.dsse.json": files["manifest.dsse.json"] + b"\n"})
        ),
        "signature",
        "unusual spelling",
    ),
    # What anybody can do to an envelope that is signed whole, or by its digest.
    Forgery(
        "envelope declared to be signed by its digest",
        lambda files: _resealed(files, payloadType=DIGEST_TYPE),
        "signature",
        "manifest.dsse.json: the signature does not fit",
    ),
    Forgery(
        "envelope declared to be signed whole",
        lambda files: _resealed(files, payloadType=PAYLOAD_TYPE),
        "signature",
        "manifest.dsse.json: the signature does not fit",
        "digests",
    ),
    Forgery(
        "envelope of a type that nobody knows",
        lambda files: _resealed(files, payloadType="application/vnd.in-toto.sha512+json"),
        "signature",
        "manifest.dsse.json: an envelope of another type",
        "digests",
    ),
    Forgery(
        "envelope without a readable type",
        lambda files: _resealed(files, payloadType=[DIGEST_TYPE]),
        "signature",
        "manifest.dsse.json: an envelope of another type",
        "digests",
    ),
    Forgery(
        "another statement under a signed digest",
        lambda files: _resealed(files, payload=_payload_of(built("range"))),
        "signature",
        "manifest.dsse.json: the signature does not fit",
        "digests",
    ),
    Forgery(
        "statement under a signed digest cut off",
        lambda files: _resealed(files, payload=_payload_of(built("digests"))[:-1]),
        "signature",
        "manifest.dsse.json: the signature does not fit",
        "digests",
    ),
    Forgery(
        "the digest itself in place of the statement",
        lambda files: _resealed(files, payload=sha256(_payload_of(built("digests"))).digest()),
        "signature",
        "manifest.dsse.json: the signature does not fit",
        "digests",
    ),
    Forgery(
        "statement signed whole under the type for digests",
        lambda files: _resealed(files, sig=_signed_as(DIGEST_TYPE, _payload_of(built("digests")))),
        "signature",
        "manifest.dsse.json: the signature does not fit",
        "digests",
    ),
    Forgery(
        "digest signed under the type for whole statements",
        lambda files: _resealed(
            files, sig=_signed_as(PAYLOAD_TYPE, sha256(_payload_of(built())).digest())
        ),
        "signature",
        "manifest.dsse.json: the signature does not fit",
    ),
    Forgery(
        "line of a record declared to be signed whole",
        lambda files: sealed(
            files | {_BUNDLE: files[_BUNDLE].replace(DIGEST_TYPE.encode(), PAYLOAD_TYPE.encode())},
            short_signer(),
        ),
        "signature",
        "bundle.intoto.jsonl line 4: the signature does not fit",
        "digests",
    ),
    Forgery(
        "signed again by a stranger",
        lambda files: sealed(
            files
            | {"known-limits.md": b"There are none.\n"}
            | {"keys/log.vkey": f"{_STRANGER.vkey}\n".encode()},
            _STRANGER,
        ),
        "signature",
        "which is not the pinned one",
    ),
    Forgery(
        "stranger's signature under the right key id",
        lambda files: zipped(
            in_order(
                files
                | _edited(
                    files,
                    "manifest.dsse.json",
                    lambda row: row["signatures"][0].update(
                        sig=b64encode(_STRANGER.sign(b"anything")).decode()
                    ),
                )
            )
        ),
        "signature",
        "does not fit the contents",
    ),
    # What somebody can do who holds the key of the log: the contents must still agree.
    Forgery(
        "stranger's key listed as the log's",
        lambda files: sealed(files | {"keys/log.vkey": f"{_STRANGER.vkey}\n".encode()}),
        "signature",
        "is not the key that signed the pack",
    ),
    Forgery(
        "duplicated JSON key",
        lambda files: sealed(
            files
            | {
                _APPROVALS: files[_APPROVALS].replace(
                    b'{"approvals"', b'{"approvals":[],"approvals"'
                )
            }
        ),
        "json",
        "appears twice",
    ),
    Forgery(
        "integer that readers round differently",
        lambda files: sealed(files | {f"{FOLDER}/review.json": b'{"verdict":9007199254740993}'}),
        "json",
        "too wide",
    ),
    Forgery(
        "not a number",
        lambda files: sealed(files | {f"{FOLDER}/agent-run.jsonl": b'{"cost":NaN}\n'}),
        "json",
        "not a JSON number",
    ),
    Forgery(
        "lone surrogate",
        lambda files: sealed(files | {f"{FOLDER}/review.json": b'{"verdict":"\\ud800"}'}),
        "json",
        "surrogates not allowed",
    ),
    Forgery(
        "file without a place",
        lambda files: sealed(files | {"readme.exe": b"MZ"}),
        "manifest",
        "no place in a pack",
    ),
    Forgery(
        "checkpoint of another tenant",
        lambda files: sealed(_other_log(files)),
        "checkpoint",
        "is not signed by",
    ),
    Forgery(
        "checkpoint with another size",
        lambda files: sealed(
            files
            | {
                "log/checkpoints/end.note": files["log/checkpoints/end.note"].replace(
                    b"\n41\n", b"\n42\n"
                )
            }
        ),
        "checkpoint",
        "does not fit",
    ),
    Forgery(
        "scope of another tenant",
        lambda files: sealed(
            _edited(files, "scope.json", lambda row: row["tenant"].update(slug="umbrella"))
        ),
        "scope",
        "do not belong together",
    ),
    Forgery(
        "scope wider than its entries",
        lambda files: sealed(_edited(files, "scope.json", lambda row: row.update({"from": 0}))),
        "entries",
        "does not span",
    ),
    Forgery(
        "entry of another tenant",
        lambda files: sealed(_with_leaf(files, 1, _foreign_leaf)),
        "entries",
        "belongs to another tenant",
    ),
    Forgery(
        "changed leaf",
        lambda files: sealed(_with_leaf(files, 0, lambda leaf: leaf.replace(b"ada", b"bob"))),
        "inclusion",
        "does not lead to the root",
    ),
    Forgery(
        "leaf with a key twice",
        lambda files: sealed(
            _with_leaf(files, 0, lambda leaf: leaf.replace(b'"v":1', b'"v":1,"v":1'))
        ),
        "entries",
        "appears twice",
    ),
    Forgery(
        "leaf with a key twice, spaced so that a count of colons is right",
        lambda files: sealed(
            _with_leaf(files, 0, lambda leaf: leaf.replace(b'"v":1', b'"v" :1,"v":1'))
        ),
        "entries",
        "appears twice",
    ),
    Forgery(
        "leaf with one more field",
        lambda files: sealed(
            _with_leaf(files, 0, lambda leaf: leaf.replace(b'"v":1', b'"v":1,"w":1'))
        ),
        "entries",
        "other fields",
    ),
    Forgery(
        "leaf with an unknown phase",
        lambda files: sealed(
            _with_leaf(
                files, 0, lambda leaf: leaf.replace(b'"decision","policy"', b'"done","policy"')
            )
        ),
        "entries",
        "malformed: phase",
    ),
    Forgery(
        "leaf that is too long",
        lambda files: sealed(
            _with_leaf(files, 0, lambda leaf: leaf.replace(b"task.submit", b"x" * 65_535))
        ),
        "entries",
        "a leaf of",
    ),
    Forgery(
        "changed payload",
        lambda files: sealed(
            _with_entry(
                files, 0, lambda row: row.update(payload=b64encode(b'{"goal":"another"}').decode())
            )
        ),
        "entries",
        "not what it commits to",
    ),
    Forgery(
        "changed salt",
        lambda files: sealed(_with_entry(files, 0, lambda row: row.update(salt="00" * 32))),
        "entries",
        "not what it commits to",
    ),
    Forgery(
        "payload where there was none",
        lambda files: sealed(
            _with_entry(files, 1, lambda row: row.update(payload="e30=", salt="00" * 32))
        ),
        "entries",
        "a payload that its leaf does not name",
    ),
    Forgery(
        "payload without its salt",
        lambda files: sealed(_with_entry(files, 0, lambda row: row.update(salt=None))),
        "entries",
        "malformed",
    ),
    Forgery(
        "line with a fifth key",
        lambda files: sealed(_with_entry(files, 0, lambda row: row.update(note="x"))),
        "entries",
        "malformed",
    ),
    Forgery(
        "entries cut off in a line",
        lambda files: sealed(files | {"log/entries.jsonl": files["log/entries.jsonl"][:-9]}),
        "entries",
        "cut off",
    ),
    Forgery(
        "no entries",
        lambda files: sealed(files | {"log/entries.jsonl": b""}),
        "entries",
        "holds no entry",
    ),
    Forgery(
        "entries in another order",
        lambda files: sealed(
            files
            | {
                "log/entries.jsonl": b"".join(
                    reversed(files["log/entries.jsonl"].splitlines(keepends=True))
                )
            }
        ),
        "entries",
        "does not follow",
    ),
    Forgery(
        "removed entry",
        lambda files: sealed(_without_entry(files, 2)),
        "inclusion",
        "has a proof, but is absent",
    ),
    Forgery(
        "entry without a proof",
        lambda files: sealed(
            {name: files[name] for name in files if name != "log/proofs/17.tlog-proof"}
        ),
        "inclusion",
        "has no proof",
    ),
    Forgery(
        "changed proof",
        lambda files: sealed(_swapped_hash(files)),
        "inclusion",
        "does not lead to the root",
    ),
    Forgery(
        "proof of another entry",
        lambda files: sealed(
            files | {"log/proofs/20.tlog-proof": files["log/proofs/17.tlog-proof"]}
        ),
        "inclusion",
        "for another entry",
    ),
    Forgery(
        "older head that the entries are not under",
        lambda files: sealed(_smaller_head(files)),
        "inclusion",
        "another head",
    ),
    Forgery(
        "range with an entry removed",
        lambda files: sealed(_without_entry(files, 8)),
        "inclusion",
        "the head covers 41",
        "range",
    ),
    Forgery(
        "range with its end cut off",
        lambda files: sealed(
            _edited(_without_entry(files, 40), "scope.json", lambda row: row.update(to=39))
        ),
        "inclusion",
        "holds 40 entries",
        "range",
    ),
    Forgery(
        "range with an entry rewritten",
        lambda files: sealed(_with_leaf(files, 8, lambda leaf: leaf.replace(b"note", b"nope"))),
        "inclusion",
        "does not lead to the signed root",
        "range",
    ),
    Forgery(
        "mismatched diff",
        lambda files: sealed(files | {_DIFF: files[_DIFF].replace(b"18", b"17")}),
        "pull request",
        "is not the diff of this pull request",
    ),
    Forgery(
        "file of the pull request changed",
        lambda files: sealed(files | {_FILE: files[_FILE].replace(b"18", b"17")}),
        "pull request",
        "is not the file that the pull request lists",
    ),
    Forgery(
        "file and list changed, but not the diff",
        lambda files: sealed(
            _edited(
                files | {_FILE: b"# Nothing\n"},
                f"{FOLDER}/pull-request.json",
                lambda row: row["files"][1].update(
                    sha256=sha256(b"# Nothing\n").hexdigest(), size=10
                ),
            )
        ),
        "pull request",
        "is not what the diff leads to",
    ),
    Forgery(
        "file that no pull request lists",
        lambda files: sealed(files | {f"{FOLDER}/files/backdoor.py": b"import os\n"}),
        "pull request",
        "not in the pull request",
    ),
    Forgery(
        "file of the diff left out of the list",
        lambda files: sealed(
            _edited(
                {name: files[name] for name in files if name != _FILE},
                f"{FOLDER}/pull-request.json",
                lambda row: row["files"].pop(),
            )
        ),
        "pull request",
        "disagrees with the file list on docs/stack/bom.md",
    ),
    Forgery(
        "statement about another commit",
        lambda files: sealed(_statement_about(files, "ff" * 20, files[_DIFF])),
        "pull request",
        "another commit",
    ),
    Forgery(
        "statement about another diff",
        lambda files: sealed(_statement_about(files, HEAD, b"")),
        "pull request",
        "another diff",
    ),
    Forgery(
        "statement taken out of the record",
        lambda files: sealed(
            files | {_BUNDLE: b"".join(files[_BUNDLE].splitlines(keepends=True)[1:])}
        ),
        "pull request",
        "its list is not what lies here",
    ),
    Forgery(
        "record without its list",
        lambda files: sealed(
            files | {_BUNDLE: b"".join(files[_BUNDLE].splitlines(keepends=True)[:-1])}
        ),
        "pull request",
        "does not end with the list",
    ),
    Forgery(
        "file slipped into the pull request's folder",
        lambda files: sealed(files | {f"{FOLDER}/scans/clean.sarif": b"{}"}),
        "pull request",
        "its list is not what lies here",
    ),
    Forgery(
        "checks that were bettered after signing",
        lambda files: sealed(
            _edited(files, f"{FOLDER}/checks.json", _first("checks", summary="all fine"))
        ),
        "pull request",
        "its list is not what lies here",
    ),
    Forgery(
        "record signed again, of which the log knows nothing",
        lambda files: sealed(_recorded_again(files)),
        "pull request",
        "is in no entry of the log",
    ),
    Forgery(
        "statement by a stranger",
        lambda files: sealed(
            files
            | {
                f"{FOLDER}/bundle.intoto.jsonl": sign_envelope(
                    statement([Subject("x", {"sha256": "00"})], "urn:x", {}), _STRANGER
                )
                + b"\n"
            }
        ),
        "signature",
        "not the pinned one",
    ),
    Forgery(
        "countersignature that is not among the entries",
        lambda files: sealed(_edited(files, _APPROVALS, _first("approvals", entry=21))),
        "approvals",
        "not among the entries",
    ),
    Forgery(
        "countersignature of an agent",
        lambda files: sealed(_edited(files, _APPROVALS, _first("approvals", entry=9))),
        "approvals",
        "not made by a person",
    ),
    Forgery(
        "countersignature under another name",
        lambda files: sealed(
            _edited(files, _APPROVALS, _first("approvals", person={"id": "bo", "name": "Bo Peep"}))
        ),
        "approvals",
        "another person",
    ),
    Forgery(
        "countersignature at another time",
        lambda files: sealed(
            _edited(files, _APPROVALS, _first("approvals", at="2026-11-23T05:00:00.000000Z"))
        ),
        "approvals",
        "another time",
    ),
    Forgery(
        "countersignature of another diff",
        lambda files: sealed(
            _edited(files, _APPROVALS, _first("approvals", diff_sha256="00" * 32))
        ),
        "approvals",
        "another diff",
    ),
    Forgery(
        "refusal told of another diff than it was",
        lambda files: sealed(
            _edited(
                files, _APPROVALS, _first("approvals", decision="refused", diff_sha256="00" * 32)
            )
        ),
        "approvals",
        "was made on another diff",
    ),
    Forgery(
        "control that points to an entry elsewhere",
        lambda files: sealed(
            _edited(files, _CONTROLS, _first("controls", evidence=[{"entry": 4}]))
        ),
        "controls",
        "points to entry 4",
    ),
    Forgery(
        "control that points to a file elsewhere",
        lambda files: sealed(
            _edited(files, _CONTROLS, _first("controls", evidence=[{"file": "prs/x-1/y"}]))
        ),
        "controls",
        "points to file prs/x-1/y",
    ),
    Forgery(
        "control without evidence",
        lambda files: sealed(_edited(files, _CONTROLS, _first("controls", evidence=[]))),
        "controls",
        "without evidence",
    ),
    Forgery(
        "report with a better figure",
        lambda files: sealed(_edited(files, "report.json", _better_report)),
        "report",
        "report.json, checks: differs",
    ),
    Forgery(
        "report with a figure of another type",
        lambda files: sealed(
            files
            | {"report.json": files["report.json"].replace(b'"entries":8,', b'"entries":8.0,')}
        ),
        "report",
        "report.json, log: differs",
    ),
    Forgery(
        "report that leaves out an entry",
        lambda files: sealed(_edited(files, "report.json", lambda row: row["timeline"].pop())),
        "report",
        "report.json, timeline: differs",
    ),
    Forgery(
        "PDF of a better report",
        lambda files: sealed(files | {"00-report.pdf": _better_pdf(files)}),
        "report",
        "another report than report.json",
    ),
    Forgery(
        "PDF without its attachment",
        lambda files: sealed(
            files
            | {"00-report.pdf": files["00-report.pdf"].replace(b"EmbeddedFile", b"EmbeddedFolk")}
        ),
        "report",
        "carries 0 files",
    ),
    # Odder things that a holder of the key could try, one for each remaining guard.
    Forgery(
        "ZIP with a comment",
        lambda files: _patched(pack := zipped(in_order(files)), len(pack) - 2, b"\1\0") + b"!",
        "container",
        "bytes follow the directory",
    ),
    Forgery(
        "one directory entry less than announced",
        lambda files: _patched(
            pack := zipped(in_order(files)), len(pack) - 14, struct.pack("<H", 99)
        ),
        "container",
        "several volumes",
    ),
    Forgery(
        "another packing method",
        lambda files: zipped(in_order(files), _bzipped),
        "container",
        "packed by method 12",
    ),
    Forgery(
        "streamed entry",
        lambda files: _patched(
            _patched(pack := zipped(in_order(files)), 6, b"\x08"),
            pack.index(b"PK\1\2") + 8,
            b"\x08",
        ),
        "container",
        "an odd flag",
    ),
    Forgery(
        "another CRC",
        lambda files: _patched(
            _patched(pack := zipped(in_order(files)), 14, b"\0\0\0\0"),
            pack.index(b"PK\1\2") + 16,
            b"\0\0\0\0",
        ),
        "container",
        "the CRC differs",
    ),
    Forgery(
        "overstated size",
        lambda files: _patched(
            _patched(pack := zipped(in_order(files)), 22, struct.pack("<L", 9_999)),
            pack.index(b"PK\1\2") + 24,
            struct.pack("<L", 9_999),
        ),
        "container",
        "unpacks to less than it declares",
    ),
    Forgery(
        "stored file with two sizes",
        lambda files: _patched(
            _patched(pack := zipped(in_order(files), _stored), 22, struct.pack("<L", 9)),
            pack.index(b"PK\1\2") + 24,
            struct.pack("<L", 9),
        ),
        "container",
        "yet with two sizes",
    ),
    Forgery(
        "packed bytes that end early",
        lambda files: _with_packed_tail(files, b""),
        "container",
        "end early or late",
    ),
    Forgery(
        "packed bytes that go on",
        lambda files: _with_packed_tail(files, b"\3\0????"),
        "container",
        "end early or late",
    ),
    Forgery(
        "packed bytes that are none",
        lambda files: _patched(zipped(in_order(files)), 30 + len("00-README.md"), b"\xff" * 8),
        "container",
        "cannot be unpacked",
    ),
    Forgery(
        "manifest with another part",
        lambda files: zipped(
            in_order(_edited(files, "manifest.json", lambda row: row.update(note="")))
        ),
        "manifest",
        "other parts",
    ),
    Forgery(
        "manifest without digests",
        lambda files: zipped(
            in_order(
                _edited(
                    files, "manifest.json", lambda row: row["files"]["scope.json"].pop("sha256")
                )
            )
        ),
        "manifest",
        "without digest and size",
    ),
    Forgery(
        "pack without its limits",
        lambda files: sealed({name: files[name] for name in files if name != "known-limits.md"}),
        "manifest",
        "known-limits.md: is missing",
    ),
    Forgery(
        "signed for one file less",
        lambda files: sealed(files, said=lambda fields: fields["subject"].pop()),
        "signature",
        "but not both",
    ),
    Forgery(
        "signed for another digest",
        lambda files: sealed(
            files, said=lambda fields: fields["subject"][3]["digest"].update(sha256="00" * 32)
        ),
        "signature",
        "another digest than was signed",
    ),
    Forgery(
        "statement of another type",
        lambda files: sealed(files, said=lambda fields: fields.update(predicateType="urn:x")),
        "signature",
        "a statement of another type",
    ),
    Forgery(
        "no statement at all",
        lambda files: sealed(files, said=lambda fields: fields.update(_type="https://x")),
        "signature",
        "not an in-toto Statement",
    ),
    Forgery(
        "two subjects of one name",
        lambda files: sealed(
            files, said=lambda fields: fields["subject"].append(fields["subject"][0])
        ),
        "signature",
        "share a name",
    ),
    Forgery(
        "signed for another head",
        lambda files: sealed(files, said=lambda fields: fields["predicate"].update(size=40)),
        "scope",
        "another log or head",
    ),
    Forgery(
        "scope of another kind",
        lambda files: sealed(_edited(files, "scope.json", lambda row: row.update(kind="audit"))),
        "scope",
        "of another format or kind",
    ),
    Forgery(
        "scope that covers everything",
        lambda files: sealed(_edited(files, "scope.json", lambda row: row.update(coverage="all"))),
        "scope",
        "neither a selection nor a range",
    ),
    Forgery(
        "scope with another part",
        lambda files: sealed(_edited(files, "scope.json", lambda row: row.update(note=""))),
        "scope",
        "other parts",
    ),
    Forgery(
        "stray file in the log",
        lambda files: sealed(files | {"log/entries2.jsonl": b""}),
        "inclusion",
        "no place in the log's folder",
    ),
    Forgery(
        "proofs in a range",
        lambda files: sealed(
            files | {"log/proofs/20.tlog-proof": unpacked(built())["log/proofs/20.tlog-proof"]}
        ),
        "inclusion",
        "no place in a pack with every entry",
        "range",
    ),
    Forgery(
        "selection passed off as a range",
        lambda files: sealed(
            {
                name: content
                for name, content in _edited(
                    files, "scope.json", lambda row: row.update(coverage="range")
                ).items()
                if not name.startswith("log/proofs/")
            }
        ),
        "inclusion",
        "holds 8 entries",
    ),
    Forgery(
        "countersignature of a diff that is not here, its facts withheld",
        lambda files: sealed(
            _edited(
                _with_entry(
                    files, _COUNTERSIGNATURE, lambda row: row.update(payload=None, salt=None)
                ),
                _APPROVALS,
                _first("approvals", diff_sha256="00" * 32),
            )
        ),
        "approvals",
        "countersigns another diff than the pack's",
    ),
    Forgery(
        "pull request without statements",
        lambda files: sealed(files | {f"{FOLDER}/bundle.intoto.jsonl": b""}),
        "pull request",
        "holds no statement",
    ),
    Forgery(
        "pull request without its bundle",
        lambda files: sealed(
            {name: files[name] for name in files if not name.endswith("bundle.intoto.jsonl")}
        ),
        "pull request",
        "is missing",
    ),
    Forgery(
        "file listed twice",
        lambda files: sealed(
            _edited(
                files,
                f"{FOLDER}/pull-request.json",
                lambda row: row["files"].append(row["files"][0]),
            )
        ),
        "pull request",
        "listed twice",
    ),
    Forgery(
        "added file told as deleted",
        lambda files: sealed(
            _edited(
                {name: files[name] for name in files if name != _FILE},
                f"{FOLDER}/pull-request.json",
                lambda row: row["files"][1].update(status="deleted"),
            )
        ),
        "pull request",
        "disagrees on docs/stack/bom.md",
    ),
    Forgery(
        "report with another part",
        lambda files: sealed(_edited(files, "report.json", lambda row: row.update(verdict="good"))),
        "report",
        "other parts than a report",
    ),
    Forgery(
        "report whose story has another part",
        lambda files: sealed(
            _edited(files, "report.json", lambda row: row["story"].update(grade="A"))
        ),
        "report",
        "its story has other parts",
    ),
    *(
        Forgery(name, make, check, reason, "period")
        for name, make, check, reason in (
            (
                "open intent kept quiet",
                lambda files: _emptied(files, "gaps.json", "open_intents"),
                "completeness",
                "gaps.json: differs",
            ),
            (
                "gap kept quiet",
                lambda files: _emptied(files, "gaps.json", "gaps"),
                "completeness",
                "gaps.json: differs",
            ),
            (
                "change past the portal kept quiet",
                lambda files: _emptied(files, "access/exceptions.json", "bypasses"),
                "completeness",
                "is not the 1 times that the entries say",
            ),
            (
                "list of changes past the portal taken out",
                lambda files: sealed(
                    {name: files[name] for name in files if name != "access/exceptions.json"}
                ),
                "completeness",
                "is not the 1 times that the entries say",
            ),
            (
                "erasure kept quiet",
                lambda files: _emptied(files, "redactions.json", "redactions"),
                "completeness",
                "redactions.json: differs",
            ),
            (
                "break-glass left out of the access changes",
                lambda files: sealed(
                    _edited(files, "access/changes.json", lambda row: row["changes"].pop())
                ),
                "completeness",
                "access/changes.json: differs",
            ),
            (
                "role change with another name",
                lambda files: sealed(
                    _edited(files, "access/changes.json", _first("changes", by="Somebody else"))
                ),
                "completeness",
                "access/changes.json: differs",
            ),
            (
                "pull request left out of the population",
                lambda files: sealed(_with_population(files, lambda rows: rows.pop())),
                "completeness",
                f"leaves out proposal {OTHER}",
            ),
            (
                "pull request invented in the population",
                lambda files: sealed(
                    _with_population(
                        files, lambda rows: rows.append(rows[1] | {"proposal": "invented"})
                    )
                ),
                "completeness",
                "is not what the entries name",
            ),
            (
                "pull request twice in the population",
                lambda files: sealed(_with_population(files, lambda rows: rows.append(rows[1]))),
                "completeness",
                "lists a proposal twice",
            ),
            (
                "population in another order",
                lambda files: sealed(_with_population(files, lambda rows: rows.reverse())),
                "completeness",
                "not in the order of the log",
            ),
            (
                "population with other entries",
                lambda files: sealed(
                    _with_population(files, lambda rows: rows[0].update(entries=[21]))
                ),
                "completeness",
                "is not what the entries name",
            ),
            (
                "pull request left out without a reason",
                lambda files: sealed(
                    _with_population(files, lambda rows: rows[1].update(excluded=""))
                ),
                "completeness",
                "neither in the pack nor left out",
            ),
            (
                "population row with another part",
                lambda files: sealed(
                    _with_population(files, lambda rows: rows[1].update(note="x"))
                ),
                "completeness",
                "other parts than a pull request",
            ),
            (
                "population that names another head",
                lambda files: sealed(
                    _with_population(files, lambda rows: rows[0].update(head=BASE))
                ),
                "completeness",
                "its head differs",
            ),
            (
                "folder that the population does not list",
                lambda files: sealed(
                    _with_population(
                        files, lambda rows: rows[0].update(folder="", excluded="not drawn")
                    )
                ),
                "completeness",
                "is here, but not listed",
            ),
            (
                "draw with another nonce",
                lambda files: sealed(
                    _edited(files, "sample.json", lambda row: row.update(nonce="nonce-9"))
                ),
                "completeness",
                "was not recorded after",
            ),
            (
                "draw recorded before its head",
                lambda files: sealed(
                    _edited(files, "sample.json", lambda row: row.update(entry=22))
                ),
                "completeness",
                "was not recorded after",
            ),
            (
                "draw that falls elsewhere",
                lambda files: sealed(
                    _edited(files, "sample.json", lambda row: row.update(drawn=[OTHER]))
                ),
                "completeness",
                "not the draw that follows",
            ),
            (
                "draw of more than the pack holds",
                lambda files: sealed(
                    _edited(
                        files,
                        "sample.json",
                        lambda row: row.update(wanted=2, drawn=[PROPOSAL, OTHER]),
                    )
                ),
                "completeness",
                "was not what was put into the pack",
            ),
            (
                "population cut short by its head",
                lambda files: sealed(files | {"log/checkpoints/population.note": _period_head(44)}),
                "completeness",
                "is not the head over these entries",
            ),
            (
                "population's head signed by a stranger",
                lambda files: sealed(
                    files | {"log/checkpoints/population.note": _period_head(45, _STRANGER)}
                ),
                "completeness",
                "is not signed by",
            ),
            (
                "range that begins after a stranger's head",
                lambda files: sealed(
                    files | {"log/checkpoints/start.note": _period_head(16, _STRANGER)}
                ),
                "inclusion",
                "is not signed by",
            ),
            (
                "range that begins after another head",
                lambda files: sealed(files | {"log/checkpoints/start.note": _period_head(15)}),
                "inclusion",
                "not the head that the range begins after",
            ),
            (
                "range without its beginning",
                lambda files: sealed(
                    {name: files[name] for name in files if name != "log/checkpoints/start.note"}
                ),
                "inclusion",
                "is missing, or there without a frontier",
            ),
            (
                "frontier of another tree",
                lambda files: sealed(files | {"log/frontier.txt": b64encode(bytes(32)) + b"\n"}),
                "inclusion",
                "does not give the root that was signed",
            ),
            (
                "frontier cut off",
                lambda files: sealed(files | {"log/frontier.txt": files["log/frontier.txt"][:-1]}),
                "inclusion",
                "its last line is cut off",
            ),
            (
                "range that lost its first entry",
                lambda files: sealed(
                    _edited(
                        _without_entry(files, 0), "scope.json", lambda row: row.update({"from": 17})
                    )
                ),
                "inclusion",
                "holds 43 entries, the head covers 44",
            ),
            (
                "rewritten entry, signed by the right key",
                lambda files: sealed(
                    _with_leaf(files, 6, lambda leaf: leaf.replace(b"role.change", b"role.chance"))
                ),
                "inclusion",
                "does not lead to the signed root",
            ),
            (
                "consistency proofs in disorder",
                lambda files: sealed(
                    files | {"log/consistency.txt": files["log/consistency.txt"] * 2}
                ),
                "consistency",
                "not plain numbers in order",
            ),
            (
                "population figures that were bettered",
                lambda files: sealed(
                    _edited(
                        files,
                        "report.json",
                        lambda row: row["population"].update(in_pack=2, excluded={}),
                    )
                ),
                "report",
                "report.json, population",
            ),
            (
                "fewer gaps in the report",
                lambda files: sealed(
                    _edited(files, "report.json", lambda row: row["completeness"].update(gaps=0))
                ),
                "report",
                "report.json, completeness",
            ),
        )
    ),
    *(
        Forgery(
            f"leaf with a malformed {name}",
            lambda files, old=old, new=new: sealed(
                _with_leaf(files, 0, lambda leaf: leaf.replace(old, new, 1))
            ),
            "entries",
            f"malformed: {reason}",
        )
        for name, old, new, reason in (
            ("version", b'"v":1', b'"v":2', "v is not 1"),
            ("version of another type", b'"v":1', b'"v":true', "v is not 1"),
            ("actor", b'"type":"human"', b'"type":"ghost"', "actor"),
            ("object", b'"object":{', b'"object":{"name":"x",', "object"),
            ("policy", b'"policy":{', b'"policy":{"name":"x",', "policy"),
            ("action", b'"action":"task.submit"', b'"action":null', "a field that should be text"),
            ("trace", b'"trace":null', b'"trace":7', "on_behalf_of, run or trace"),
            ("time", b'.000003Z"', b'.0000030Z"', "ts is not a time"),
            ("time of another zone", b'.000003Z"', b'.000003+01:00"', "ts is not a time"),
            ("size", b'"size":', b'"size":0.', "payload"),
        )
    ),
]


def _bzipped(info: ZipInfo) -> None:
    info.compress_type = ZIP_BZIP2


def _stored(info: ZipInfo) -> None:
    info.compress_type = ZIP_STORED


def _with_packed_tail(files: dict[str, bytes], tail: bytes) -> bytes:
    """The first file's packed bytes cut in half or gone on with, and all sizes put right."""
    pack = zipped(in_order(files))
    start = 30 + len("00-README.md")
    packed = struct.unpack("<L", pack[18:22])[0]
    change = len(tail) or -(packed // 2)
    body = pack[start : start + packed] + tail if tail else pack[start : start + packed + change]
    moved = bytearray(pack[:start] + body + pack[start + packed :])
    moved[18:22] = struct.pack("<L", packed + change)
    at = directory = bytes(moved).index(b"PK\1\2")
    first = True
    while moved[at : at + 4] == b"PK\1\2":
        if first:
            moved[at + 20 : at + 24] = struct.pack("<L", packed + change)
        else:
            offset = struct.unpack("<L", moved[at + 42 : at + 46])[0]
            moved[at + 42 : at + 46] = struct.pack("<L", offset + change)
        first = False
        at += 46 + struct.unpack("<H", moved[at + 28 : at + 30])[0]
    moved[-6:-2] = struct.pack("<L", directory)
    return bytes(moved)


def _better_pdf(files: dict[str, bytes]) -> bytes:
    report = json.loads(files["report.json"])
    _better_report(report)
    return render_report(report, canonical(report))
