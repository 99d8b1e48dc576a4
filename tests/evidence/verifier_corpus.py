"""A sample evidence pack, built by the product, for tests to verify or to forge."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha1, sha256
from typing import Any
from uuid import UUID

import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from evidence.dsse import pull_request_subjects, sign_envelope, statement
from evidence.leaf import build_leaf, commitment, payload_bytes
from evidence.merkle import leaf_hash, tree_root
from evidence.notes import sign_checkpoint
from evidence.pack import PackEntry, Scope, build_pack
from evidence.signing import KeySigner

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
        )


def entry(
    index: int,
    action: str,
    *,
    actor: Mapping[str, str | None] = SYSTEM,
    facts: Mapping[str, Any] | None = None,
    phase: str = "decision",
    object_id: str = PROPOSAL,
    tenant_id: UUID = TENANT,
) -> PackEntry:
    """An entry whose id, time and salt follow from its index."""
    payload = payload_bytes(facts) if facts is not None else None
    salt = sha256(b"salt %d" % index).digest() if payload is not None else None
    leaf = build_leaf(
        entry_id=UUID(int=(0x018F2F60_0000_7000_9000 << 48) + index),
        recorded_at=START + timedelta(seconds=7 * index, microseconds=index),
        tenant_id=tenant_id,
        actor=actor,
        door="page" if actor["type"] == "human" else "job",
        action=action,
        object_type="proposal",
        object_id=object_id,
        phase=phase,
        outcome="ok",
        policy={"digest": "ab" * 32, "decision": "allow"} if phase == "decision" else None,
        payload=(commitment(salt, payload), len(payload)) if payload and salt else None,
        run="018f2f60-0000-7000-8000-0000000000bb",
    )
    return PackEntry(index, leaf, payload, salt)


def sample(coverage: str = "selection") -> Sample:
    """One countersigned proposal with one pull request, in a log of 41 entries."""
    diff = (
        added_file("docs/adr/20261123-database.md", ADR) + added_file("docs/stack/bom.md", BOM)
    ).encode()
    diff_sha256 = sha256(diff).hexdigest()
    log = [entry(index, "task.note", object_id="other") for index in range(41)]
    story_of = {
        3: ("task.submit", ADA, {"goal": "Choose a stack for the storefront"}, "decision"),
        5: ("recommendation.start", AGENT, None, "intent"),
        6: ("recommendation.finish", AGENT, {"layers": 3}, "result"),
        9: ("proposal.open", AGENT, {"diff_sha256": diff_sha256, "head": HEAD}, "decision"),
        17: ("check.run", SYSTEM, {"passed": 4, "failed": 0}, "result"),
        20: ("proposal.countersign", ADA, {"diff_sha256": diff_sha256}, "decision"),
        38: ("proposal.merge", SYSTEM, {"head": HEAD}, "result"),
    }
    for index, (action, actor, facts, phase) in story_of.items():
        log[index] = entry(index, action, actor=actor, facts=facts, phase=phase)
    # An erased payload: the commitment stays in the leaf, the facts are gone.
    log[38] = PackEntry(38, log[38].leaf)
    signer = signer_named(ORIGIN)
    return Sample(
        entries=log if coverage == "range" else [log[index] for index in sorted(story_of)],
        leaf_hashes=[leaf_hash(row.leaf) for row in log],
        files=_files(diff, log, signer),
        story=_story(),
        signer=signer,
        scope=Scope(
            tenant_id=TENANT,
            tenant_slug="acme",
            tenant_name="Acme GmbH",
            object_id=PROPOSAL,
            created_at=START + timedelta(minutes=10),
            coverage=coverage,
            tool_versions={"countersign": "0.1.0"},
        ),
        log=log,
    )


@cache
def built(coverage: str = "selection") -> bytes:
    """The sample pack, built once a session."""
    return sample(coverage).build()


def _files(diff: bytes, log: list[PackEntry], signer: KeySigner) -> dict[str, bytes]:
    diff_sha256 = sha256(diff).hexdigest()
    contents = {"docs/adr/20261123-database.md": ADR, "docs/stack/bom.md": BOM}
    subjects = pull_request_subjects(
        "acme/storefront", 7, commit=HEAD, tree=TREE, diff_sha256=diff_sha256
    )
    bundle = b"".join(
        sign_envelope(statement(subjects, kind, predicate), signer) + b"\n"
        for kind, predicate in (
            ("urn:countersign:agent-run:v1", {"steps": 2}),
            ("urn:countersign:code-review:v1", {"verdict": "approved"}),
            ("https://in-toto.io/attestation/test-result/v0.1", {"result": "PASSED"}),
        )
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
        ("Markdown lint", "pymarkdown", "0.9.41", "7 files, no findings"),
        ("Secret scan", "gitleaks", "8.30.0", "no secrets in the diff"),
        ("Bill of materials", "cyclonedx", "1.6", "23 components, schema valid"),
        ("Links", "countersign", "0.1.0", "14 links, all relative ones resolve"),
    ]
    countersigned = json.loads(log[20].leaf)
    return {
        f"{FOLDER}/diff.patch": diff,
        f"{FOLDER}/pull-request.json": _json(described),
        f"{FOLDER}/review.json": _json({"comments": [], "verdict": "approved"}),
        f"{FOLDER}/checks.json": _json(
            {
                "checks": [
                    {"name": name, "tool": tool, "version": v, "status": "passed", "summary": said}
                    for name, tool, v, said in checks
                ]
            }
        ),
        f"{FOLDER}/agent-run.jsonl": b"".join(
            _json({"step": step, "tool": tool}) + b"\n"
            for step, tool in enumerate(("catalogue.search", "proposal.write"))
        ),
        f"{FOLDER}/bundle.intoto.jsonl": bundle,
        **{f"{FOLDER}/files/{path}": content for path, content in contents.items()},
        "access/approvals.json": _json(
            {
                "approvals": [
                    {
                        "entry": 20,
                        "decision": "countersigned",
                        "person": {"id": "ada", "name": "Ada Lovelace"},
                        "at": countersigned["ts"],
                        "note": "Read all three records; the rollback plan is sound.",
                        "diff_sha256": diff_sha256,
                        "stands": True,
                    }
                ]
            }
        ),
        "controls/coverage.json": _json({"controls": _controls()}),
    }


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


def _json(fields: Mapping[str, Any]) -> bytes:
    return rfc8785.dumps(dict(fields))
