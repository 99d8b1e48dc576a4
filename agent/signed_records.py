"""The signed record of a proposal, to be read and taken away."""

from agent.models import Proposal
from agent.places import artifact_store
from authz.decisions import require
from authz.errors import Conflict
from authz.permissions import Permission
from evidence import ledger
from evidence.models import SignedRecord
from tenants.actor import Actor
from tenants.scope import current_tenant_id

BUNDLE = "bundle.intoto.jsonl"
MERGE, MERGE_COMMIT = "merge.json", "merge.commit"  # of what was merged from here


def newest_record(proposal: Proposal) -> SignedRecord | None:
    """The record that counts, or None while nothing was signed."""
    rows = SignedRecord.objects.filter(object_id=str(proposal.pk))
    newest: SignedRecord | None = rows.order_by("-created_at").first()
    return newest


def files_of(record: SignedRecord) -> dict[str, bytes]:
    """The record's files, path below the pull request's folder to bytes, each checked."""
    return {path: content_of(record, path) for path in record.files}


def folder_of(proposal: Proposal) -> str:
    """Where a proposal's files lie in a pack."""
    return f"prs/{proposal.repository.name}-{proposal.number}"


def take_record(proposal: Proposal, *, by: Actor) -> tuple[str, bytes]:
    """The newest record's statements, as `<head>.intoto.jsonl` with its bytes: a DSSE envelope a
    line, the manifest last. That somebody took it is an entry.

    Raises Denied; Conflict while nothing was signed; Missing or Damaged when the store lost it.
    """
    require(by, Permission.PACK_EXPORT, proposal)
    record = newest_record(proposal)
    if record is None:
        raise Conflict(
            "nothing is signed about this proposal yet; that happens when it is decided, or when a"
            " pack of it is built"
        )
    content = content_of(record, BUNDLE)
    ledger.record(
        "record.download",
        by=by,
        on=proposal,
        facts={
            "head_sha": record.head_sha,
            "sha256": record.files[BUNDLE]["sha256"],
            "size": record.files[BUNDLE]["size"],
            "manifest_sha256": record.manifest_sha256,
        },
    )
    return f"{record.head_sha}.intoto.jsonl", content


def content_of(record: SignedRecord, path: str) -> bytes:
    """One file of the record, checked. Raises Missing or Damaged."""
    stored = record.files[path]
    return artifact_store().get(current_tenant_id(), stored["sha256"], size=stored["size"])
