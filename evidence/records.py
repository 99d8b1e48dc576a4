"""The signed record of one proposal: statements about one commit, then a list of them all."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from lxml import etree

from evidence.dsse import Subject, sign_envelope, statement
from evidence.signing import Signer

AGENT_RUN = "urn:countersign:agent-run:v1"
CODE_REVIEW = "urn:countersign:code-review:v1"
RED_GREEN = "urn:countersign:red-green:v1"
MANIFEST = "urn:countersign:record-manifest:v1"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
CYCLONEDX = "https://cyclonedx.org/bom"
PROVENANCE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:countersign:proposal:v1"
# What is honestly reached, and why not more; printed into the provenance itself.
SLSA_BUILD_LEVEL = 1
SLSA_NOT_HIGHER = (
    "level 2 asks for a hosted build platform that makes the provenance; this one was made by the "
    "control plane of the installation from what its worker reported, and who runs the "
    "installation is not attested"
)
PROOF_RUNS = ("baseline", "red", "green", "suite", "reverted")
JUNIT_LIMIT = 50_000_000  # bytes


class RecordFault(ValueError):
    """What was given cannot become a record; the message says why."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One statement before it is signed."""

    predicate_type: str
    predicate: Mapping[str, Any]
    also: tuple[Subject, ...] = ()  # what it is about besides the pull request


def junit_claim(name: str, content: bytes) -> Claim:
    """A test-result/v0.1 of one JUnit file, whose digest it names. Raises RecordFault."""
    if len(content) > JUNIT_LIMIT:
        raise RecordFault(f"{name} has {len(content)} bytes; at most {JUNIT_LIMIT} are read")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False)
    try:
        root = etree.fromstring(content, parser)
    except etree.XMLSyntaxError as fault:
        raise RecordFault(f"{name} is not well-formed XML: {fault}") from fault
    if root.tag not in ("testsuite", "testsuites"):
        raise RecordFault(f"{name} is no JUnit file: it begins with <{root.tag}>")
    outcomes: dict[str, list[str]] = {"passed": [], "failed": [], "skipped": []}
    for case in root.iter("testcase"):
        title = ".".join(filter(None, (case.get("classname"), case.get("name"))))
        children = {child.tag for child in case}
        if children & {"failure", "error"}:
            outcomes["failed"].append(title)
        elif "skipped" in children:
            outcomes["skipped"].append(title)
        else:
            outcomes["passed"].append(title)
    result = "FAILED" if outcomes["failed"] else "WARNED" if outcomes["skipped"] else "PASSED"
    return Claim(
        TEST_RESULT,
        {
            "result": result,
            "configuration": [{"name": name, "digest": {"sha256": sha256(content).hexdigest()}}],
            "passedTests": outcomes["passed"],
            "warnedTests": outcomes["skipped"],
            "failedTests": outcomes["failed"],
        },
    )


def checks_claim(checks: Iterable[tuple[str, bool]]) -> Claim:
    """A test-result/v0.1 of the control plane's own checks: name, whether it passed."""
    rows = list(checks)
    failed = [name for name, ok in rows if not ok]
    return Claim(
        TEST_RESULT,
        {
            "result": "FAILED" if failed else "PASSED",
            "configuration": [],
            "passedTests": [name for name, ok in rows if ok],
            "failedTests": failed,
        },
    )


def red_green_claim(proof: bytes) -> Claim:
    """The proof of a repair as a statement: the digest of its file, and what it says in short.

    The runs of a proof were on the trees that it names; the statement's subjects tie its patched
    tree to the commit through the digests of the changed files. Raises RecordFault.
    """
    try:
        said = json.loads(proof)
        return Claim(
            RED_GREEN,
            {
                "proof": {
                    "name": "red-green.json",
                    "digest": {"sha256": sha256(proof).hexdigest()},
                },
                "format": said["format"],
                "tests": said["tests"],
                "trees": said["trees"],
                "files": {
                    **{path: file["after"] for path, file in said["patch"]["files"].items()},
                    **said["written"],
                },
                "environment": {
                    "sandbox": said["tier"],
                    "digest": {"sha256": said["environment_digest"]},
                },
                "runs": {
                    name: [run["log_sha256"] for run in said[name]["runs"]] for name in PROOF_RUNS
                },
            },
        )
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise RecordFault(f"the red/green proof cannot be read: {fault!r}") from fault


def sarif_problem(content: bytes) -> str:
    """Why these bytes are not a SARIF 2.1.0 log, or nothing when they look like one."""
    try:
        fields = json.loads(content)
    except ValueError as fault:
        return f"not JSON: {fault}"
    if not isinstance(fields, dict) or fields.get("version") != "2.1.0":
        return "not SARIF 2.1.0"
    if not isinstance(fields.get("runs"), list):
        return "it holds no runs"
    return ""


def sbom_claim(sbom: bytes) -> Claim:
    """The bill of materials as a statement."""
    return Claim(CYCLONEDX, json.loads(sbom))


def provenance_claim(
    *,
    builder: str,
    invocation: str,
    repository: str,
    base_commit: str,
    parameters: Mapping[str, Any],
    tools: Sequence[str],
    started: str,
    finished: str,
) -> Claim:
    """How the proposal's commit came about, as SLSA provenance v1.

    started, finished: UTC, RFC 3339. The level that is reached is said in internalParameters.
    """
    return Claim(
        PROVENANCE,
        {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": dict(parameters),
                "internalParameters": {
                    "tools": list(tools),
                    "slsaBuildLevel": SLSA_BUILD_LEVEL,
                    "whyNotHigher": SLSA_NOT_HIGHER,
                },
                "resolvedDependencies": [
                    {"name": repository, "digest": {"gitCommit": base_commit}}
                ],
            },
            "runDetails": {
                "builder": {"id": builder},
                "metadata": {
                    "invocationId": invocation,
                    "startedOn": started,
                    "finishedOn": finished,
                },
            },
        },
    )


def fingerprint(claims: Sequence[Claim], artifacts: Mapping[str, bytes]) -> str:
    """SHA-256 (hex) of everything a record would say, so that the same is not signed twice."""
    said = [[claim.predicate_type, dict(claim.predicate)] for claim in claims]
    digests = {path: sha256(content).hexdigest() for path, content in artifacts.items()}
    return sha256(json.dumps([said, digests], sort_keys=True).encode()).hexdigest()


def signed_bundle(
    subjects: Sequence[Subject],
    claims: Sequence[Claim],
    artifacts: Mapping[str, bytes],
    signer: Signer,
) -> tuple[bytes, str]:
    """The lines of `<head>.intoto.jsonl`, and the digest of the manifest statement (hex).

    artifacts: path to bytes. The last line is the manifest: it lists the digest of every line
    before it and of every artifact, so that none can be taken out unseen. Its own digest goes
    into the ledger.
    """
    lines = [
        sign_envelope(
            statement([*subjects, *claim.also], claim.predicate_type, claim.predicate), signer
        )
        for claim in claims
    ]
    manifest = statement(
        subjects,
        MANIFEST,
        {
            "statements": [
                {"predicateType": claim.predicate_type, "sha256": sha256(line).hexdigest()}
                for claim, line in zip(claims, lines, strict=True)
            ],
            "artifacts": [
                {"path": path, "sha256": sha256(artifacts[path]).hexdigest()}
                for path in sorted(artifacts)
            ],
        },
    )
    lines.append(sign_envelope(manifest, signer))
    return b"".join(line + b"\n" for line in lines), sha256(manifest).hexdigest()
