"""Carries out merges that people ordered: the one place that changes a protected branch."""

from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import structlog
from django.db import transaction
from django.utils import timezone

from agent import queue
from agent.forge import ForgeRefused, Person
from agent.models import Proposal, Review
from agent.places import forge_address, forge_of, merging_of
from authz.change import change, effect
from authz.errors import Denied
from authz.permissions import Permission
from tenants.actor import Actor, SignedIn
from tenants.models import User

log = structlog.get_logger(__name__)
STALLED_AFTER = timedelta(seconds=20)


def unfinished() -> list[UUID]:
    """Merges of the pinned tenant that were ordered a while ago and of which nothing came yet."""
    quiet = timezone.now() - STALLED_AFTER
    rows = Proposal.objects.filter(state=Proposal.State.COUNTERSIGNED, merge_ordered_at__lt=quiet)
    return list(rows.values_list("pk", flat=True))


def carry_out(proposal_id: UUID) -> bool:
    """Merge a proposal that somebody ordered merged; says whether it is. Safe to run twice.

    Whoever ordered it acts, and is judged again as they had signed in then: rights that ended
    since and a window that has closed stop it. What is refused, by us or by the code host, takes
    the order back with the reason. Raises ForgeUnavailable; the order then stands.
    """
    if notice(proposal_id):
        return True
    proposal = _read(proposal_id)
    person, ordered_at = proposal.merge_ordered_by, proposal.merge_ordered_at
    if not proposal.is_being_merged or person is None or ordered_at is None:
        return False
    by = person.actor("job", signed_in=_signed_in(proposal))
    said = {"step": "merge", "number": proposal.number, "head_sha": proposal.head_sha,
            "branch": proposal.base_branch, "digest": proposal.digest}  # fmt: skip
    try:
        with effect(by, Permission.PROPOSAL_MERGE, on=proposal, **said) as came:
            merge_sha = merging_of(proposal.repository).merge(
                forge_address(proposal.repository),
                proposal.number,
                head_sha=proposal.head_sha,
                message=_message(proposal),
                merger=Person(person.name, person.email),
                when=ordered_at,
            )
            came.update(step="merged", merge_sha=merge_sha, head_sha=proposal.head_sha)
            came.rows = partial(_merged, proposal, merge_sha)
    except (Denied, ForgeRefused) as refusal:
        _take_back(proposal, str(refusal))
        return False
    return True


def notice(proposal_id: UUID) -> bool:
    """Take over that a countersigned proposal was merged on the code host; says whether it was."""
    proposal = _read(proposal_id)
    if proposal.state != Proposal.State.COUNTERSIGNED:
        return False
    try:
        now = forge_of(proposal.repository).pull_request(
            forge_address(proposal.repository), proposal.number
        )
    except ForgeRefused as refusal:
        log.info("pull request not read", number=proposal.number, reason=str(refusal))
        return False
    if now.state != "merged":
        return False
    with change(_agent_of(proposal), Permission.PULL_REQUEST_OPEN, on=proposal) as facts:
        _merged(proposal, "")
        # By hand, or by us before we died: either way the branch holds this commit.
        facts.update(step="found merged", head_sha=now.head_sha, countersigned=proposal.head_sha)
    return True


def _merged(proposal: Proposal, merge_sha: str) -> None:
    held: Proposal = Proposal.objects.select_for_update().get(pk=proposal.pk)
    if held.state == Proposal.State.MERGED:
        return  # by a job that was delivered twice
    held.move_to(Proposal.State.MERGED)
    Proposal.objects.filter(pk=proposal.pk).update(merge_sha=merge_sha, merged_at=timezone.now())
    transaction.on_commit(partial(queue.watch_branch, proposal.repository_id))
    if merge_sha:
        transaction.on_commit(partial(queue.sign_record, proposal.pk))


def _take_back(proposal: Proposal, reason: str) -> None:
    with change(_agent_of(proposal), Permission.PULL_REQUEST_OPEN, on=proposal) as facts:
        Proposal.objects.filter(pk=proposal.pk, state=Proposal.State.COUNTERSIGNED).update(
            merge_ordered_at=None, merge_refused=reason[:500]
        )
        facts.update(step="merge given up", reason=reason)


def _read(proposal_id: UUID) -> Proposal:
    found: Proposal = Proposal.objects.select_related(
        "repository", "task", "project", "merge_ordered_by"
    ).get(pk=proposal_id)
    return found


def _signed_in(proposal: Proposal) -> SignedIn | None:
    """How whoever ordered it had signed in then."""
    said = proposal.merge_signed_in
    if not said:
        return None
    return SignedIn(datetime.fromisoformat(said["at"]), said["way"], tuple(said["methods"]))


def _message(proposal: Proposal) -> str:
    signed = Review.objects.filter(proposal=proposal, verdict=Review.Verdict.COUNTERSIGNED)
    names = ", ".join(signed.values_list("reviewer__name", flat=True))
    return (
        f"Merge pull request #{proposal.number}: {proposal.title}\n\n"
        f"Countersigned-by: {names}\nCountersigned-digest: {proposal.digest}"
    )


def _agent_of(proposal: Proposal) -> Actor:
    agent = User.objects.get(kind=User.Kind.AGENT, grants__project=proposal.project_id)
    return agent.actor("job")
