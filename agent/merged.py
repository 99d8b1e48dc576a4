"""Finds what a proposal's record says of its merge: the commit, the entry, who let it through."""

from typing import Any

import structlog

from agent.models import Proposal
from agent.places import forge_address, forge_of
from agent.signed_records import MERGE, MERGE_COMMIT, content_of
from authz.permissions import Permission
from evidence import ledger
from evidence.merges import MergeCommit, merge_file, read_commit
from evidence.models import Entry, Payload, SignedRecord
from evidence.records import RecordFault
from evidence.signing import Keys

log = structlog.get_logger(__name__)


def merge_files(
    proposal: Proposal, tree: str, newest: SignedRecord | None, keys: Keys
) -> dict[str, bytes]:
    """merge.json and the commit's bytes, for what was merged from here; nothing for the rest.

    tree: of the proposal's head. What the newest record says of the merge stays as it is: it
    cannot change, whatever becomes of the branch or of the facts behind the entry. The entry has
    to have its place in the log, so the log is sealed first.
    Raises ForgeUnavailable, ForgeRefused when the commit is gone, RecordFault when the log does
    not say what the proposal says.
    """
    if not proposal.merge_sha:
        return {}
    if newest is not None and MERGE in newest.files:
        return {path: content_of(newest, path) for path in (MERGE, MERGE_COMMIT)}
    content = forge_of(proposal.repository).commit(
        forge_address(proposal.repository), proposal.merge_sha
    )
    commit = read_commit(content)
    if not commit.brings_in(proposal.head_sha, tree, proposal.base_sha):
        # From before the code host refused to call that a merge of ours.
        log.warning("merge left out of the record", proposal=proposal.pk, commit=commit.id)
        return {}
    return {MERGE: _said(proposal, commit, keys), MERGE_COMMIT: content}


def _said(proposal: Proposal, commit: MergeCommit, keys: Keys) -> bytes:
    ledger.seal(keys)
    merged = _entries(proposal, Permission.PROPOSAL_MERGE)
    signed = _entries(proposal, Permission.PROPOSAL_COUNTERSIGN)
    if not merged or not signed:
        raise RecordFault("no entry says that this proposal was countersigned and merged")
    # The order is an entry too; the newest is what came of it, recorded with the proposal's state.
    entry = merged[-1]
    facts = _facts(entry)
    if facts and facts.get("merge_sha") != commit.id:
        raise RecordFault(f"entry {entry.index} does not name {commit.id} as the merge")
    return merge_file(
        commit,
        head=proposal.head_sha,
        branch=proposal.base_branch,
        entry=entry.index,
        leaf=entry.said,
        facts=facts,
        countersigned=[row.index for row in signed],
    )


def _entries(proposal: Proposal, action: Permission) -> list[Entry]:
    rows = Entry.objects.filter(action=action, object_id=str(proposal.pk), outcome="ok")
    return list(rows.order_by("index"))


def _facts(entry: Entry) -> dict[str, Any]:
    """The facts of an entry; nothing once they were erased."""
    payload = Payload.objects.filter(pk=entry.pk).first()
    return payload.facts if payload else {}
