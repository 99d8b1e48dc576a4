"""Makes the signed record of one proposal: what was asked, done, checked, decided and merged."""

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import structlog
from django.db import connection

from agent.forge.diff import files as files_of_diff
from agent.merged import merge_files
from agent.models import Action, Artifact, Fix, Proposal, Review
from agent.outputs import JUNIT, PROOF
from agent.places import artifact_store, forge_address, forge_of
from agent.signed_records import BUNDLE, MERGE, newest_record
from authz.change import change
from authz.permissions import Permission
from evidence import ledger, records
from evidence.dsse import pull_request_subjects
from evidence.merges import merge_claim
from evidence.models import SignedRecord
from evidence.sbom import is_lock_file, repository_sbom, sbom_figures
from evidence.signing import Keys
from tenants.actor import system_actor
from tenants.scope import current, current_tenant_id

log = structlog.get_logger(__name__)
MOMENT = "%Y-%m-%dT%H:%M:%S.%fZ"
SARIF = ".sarif"  # what an artifact's name has to end in to be taken for a scan


def sign_record(proposal_id: UUID, keys: Keys) -> SignedRecord:
    """Sign what is known of a proposal now, unless the newest record says just that already.

    Raises ForgeUnavailable or ForgeRefused when the code host does not give its files, Missing or
    Damaged when the store lost something, KeyFault when the log's key changed meanwhile; nothing
    is recorded then.
    """
    related = Proposal.objects.select_related("task__owner", "repository")
    proposal = related.get(pk=proposal_id)
    with connection.cursor() as cursor:
        # Two workers would sign the same thing twice: harmless, but one record is enough.
        cursor.execute("SELECT pg_advisory_lock(%s)", [_lock_number(proposal)])
    try:
        return _sign(proposal, keys)
    finally:
        if connection.is_usable():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [_lock_number(proposal)])


def _lock_number(proposal: Proposal) -> int:
    return int.from_bytes(sha256(b"record " + proposal.pk.bytes).digest()[:8], signed=True)


def _sign(proposal: Proposal, keys: Keys) -> SignedRecord:
    signer, newest = ledger.signer(keys), newest_record(proposal)
    artifacts, claims = _said(proposal, newest, keys)
    print_of = records.fingerprint(claims, artifacts)
    if newest is not None and newest.fingerprint == print_of:
        return newest
    subjects = pull_request_subjects(
        proposal.repository.name,
        proposal.number,
        commit=proposal.head_sha,
        tree=json.loads(artifacts["pull-request.json"])["head"]["tree"],
        diff_sha256=proposal.diff_sha256,
    )
    bundle, manifest_sha256 = records.signed_bundle(subjects, claims, artifacts, signer)
    store, tenant_id = artifact_store(), current_tenant_id()
    kept = {
        path: store.put(tenant_id, content)
        for path, content in sorted({**artifacts, BUNDLE: bundle}.items())
    }
    with change(
        system_actor("evidence worker", "job"), Permission.RECORD_SIGN, on=proposal
    ) as facts:
        ledger.still_signs(signer)
        facts.update(
            head_sha=proposal.head_sha,
            manifest_sha256=manifest_sha256,
            bundle_sha256=kept[BUNDLE].sha256,
            statements=len(claims) + 1,
            sbom=sbom_figures(artifacts["sbom.cdx.json"]),
        )
        record: SignedRecord = SignedRecord.objects.create(
            object_id=str(proposal.pk),
            project_id=proposal.project_id,
            head_sha=proposal.head_sha,
            files={
                path: {"sha256": stored.sha256, "size": stored.size}
                for path, stored in kept.items()
            },
            manifest_sha256=manifest_sha256,
            fingerprint=print_of,
        )
    return record


def _said(
    proposal: Proposal, newest: SignedRecord | None, keys: Keys
) -> tuple[dict[str, bytes], list[records.Claim]]:
    """The files of a record but its bundle, and the statements before they are signed."""
    store, tenant_id = artifact_store(), current_tenant_id()
    forge, address = forge_of(proposal.repository), forge_address(proposal.repository)
    diff = store.get(tenant_id, proposal.diff_sha256)
    touched = [file.path for file in files_of_diff(diff) if file.status != "deleted"]
    contents = forge.read_files(address, proposal.head_sha, touched)
    tree = forge.tree(address, proposal.head_sha)
    locks = list(filter(is_lock_file, forge.list_files(address, proposal.head_sha)))
    sbom = repository_sbom(
        forge.read_files(address, proposal.head_sha, locks),
        name=proposal.repository.name,
        commit=proposal.head_sha,
        at=proposal.created_at,
    )
    reviews = [_review_said(row) for row in proposal.reviews.select_related("reviewer")]
    run = [_action_said(action) for action in proposal.task.actions.all()]
    artifacts = {
        "diff.patch": diff,
        "pull-request.json": _json(_pull_request(proposal, tree, diff, contents)),
        "checks.json": _json({"checks": [_check_said(check) for check in proposal.checks]}),
        "review.json": _json({"reviews": reviews}),
        "agent-run.jsonl": b"".join(_json(step) + b"\n" for step in run),
        "sbom.cdx.json": sbom,
        **{f"files/{path}": content for path, content in contents.items()},
    }
    claims = [
        records.Claim(records.AGENT_RUN, {"task": str(proposal.task_id), "steps": run}),
        records.Claim(records.CODE_REVIEW, {"digest": proposal.digest, "reviews": reviews}),
        records.checks_claim([(_check_name(check), check["ok"]) for check in proposal.checks]),
        records.sbom_claim(sbom),
        _provenance(proposal, run),
    ]
    if (proof := _proof(proposal)) is not None:
        artifacts[PROOF] = proof
        claims.append(records.red_green_claim(proof))
    if merge := merge_files(proposal, tree, newest, keys):
        artifacts |= merge
        claims.append(merge_claim(proposal.repository.name, merge[MERGE]))
    for name, content in _reports(proposal).items():
        artifacts[name] = content
        if name.startswith("tests/"):
            claims.append(records.junit_claim(name, content))
    return artifacts, claims


def _proof(proposal: Proposal) -> bytes | None:
    """The red/green proof of a repair, as it was judged; None for what repairs nothing."""
    fix = Fix.objects.filter(task=proposal.task_id).first()
    return artifact_store().get(current_tenant_id(), fix.proof_sha256) if fix else None


def _reports(proposal: Proposal) -> dict[str, bytes]:
    """Test results and scans that the work left, as paths of the record.

    One that cannot be read is left out with a warning in the log of the worker: a record must not
    fail because a tool wrote nonsense, nor call nonsense a result.
    """
    store, tenant_id = artifact_store(), current_tenant_id()
    reports: dict[str, bytes] = {}
    for artifact in Artifact.objects.filter(task=proposal.task_id).order_by("name"):
        base = PurePosixPath(artifact.name).name
        if not base.endswith((JUNIT, SARIF)):
            continue
        content = store.get(tenant_id, artifact.sha256, size=artifact.size)
        if base.endswith(SARIF):
            path, problem = f"scans/{base}", records.sarif_problem(content)
        else:
            path, problem = f"tests/{base}", _junit_problem(base, content)
        if problem or path in reports:
            log.warning("report left out", name=artifact.name, problem=problem or "twice")
        else:
            reports[path] = content
    return reports


def _junit_problem(name: str, content: bytes) -> str:
    try:
        records.junit_claim(name, content)
    except records.RecordFault as fault:
        return str(fault)
    return ""


def _provenance(proposal: Proposal, run: list[dict[str, Any]]) -> records.Claim:
    task = proposal.task
    started, finished = task.started_at or task.created_at, task.finished_at or task.created_at
    return records.provenance_claim(
        builder=f"urn:countersign:tenant:{current().tenant_id}",
        invocation=f"urn:countersign:task:{task.pk}",
        repository=proposal.repository.name,
        base_commit=proposal.base_sha,
        parameters={"goal": task.goal, "constraints": task.constraints},
        tools=[step["tool"] for step in run],
        started=started.strftime(MOMENT),
        finished=finished.strftime(MOMENT),
    )


def _pull_request(
    proposal: Proposal, tree: str, diff: bytes, contents: Mapping[str, bytes]
) -> dict[str, Any]:
    files = []
    for file in files_of_diff(diff):
        row: dict[str, Any] = {"path": file.path, "status": file.status}
        if file.path in contents:
            content = contents[file.path]
            row |= {"sha256": sha256(content).hexdigest(), "size": len(content)}
        files.append(row)
    return {
        "repo": proposal.repository.name,
        "number": proposal.number,
        "title": proposal.title,
        "body": proposal.body,
        "base": {"branch": proposal.base_branch, "commit": proposal.base_sha},
        "head": {"branch": proposal.branch, "commit": proposal.head_sha, "tree": tree},
        "diff": {"sha256": proposal.diff_sha256, "size": len(diff)},
        "files": files,
    }


def _review_said(review: Review) -> dict[str, Any]:
    return {
        "reviewer": {"id": str(review.reviewer_id), "name": review.reviewer.name},
        "verdict": review.verdict,
        "digest": review.digest,
        "comment": review.comment,
        "at": review.created_at.strftime(MOMENT),
    }


def _action_said(action: Action) -> dict[str, Any]:
    return {
        "number": action.number,
        "tool": action.tool,
        "params": action.params,
        "status": action.status,
        "observation": action.observation,
        "outputs": action.outputs,
        "started_at": action.started_at.strftime(MOMENT),
        "duration_ms": action.duration_ms,
        "cost_tokens": action.cost_tokens,
    }


def _check_said(check: Mapping[str, Any]) -> dict[str, str]:
    return {
        "name": _check_name(check),
        "tool": check["name"],
        "version": "",
        "status": "passed" if check["ok"] else "failed",
        "summary": check["detail"],
    }


def _check_name(check: Mapping[str, Any]) -> str:
    return f"{check['name']}: {check['path']}"


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False).encode()
