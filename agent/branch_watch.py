"""Compares default branches with what people countersigned, and records what nobody did."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import structlog
from django.utils import timezone

from agent.forge import Arrivals, Commit, Forge, ForgeRefused, ForgeUnavailable
from agent.models import Bypass, Proposal, Repository
from agent.places import forge_address, forge_of
from authz.change import change
from authz.permissions import Permission
from evidence import ledger
from evidence.completeness import BYPASSED
from tenants.actor import system_actor

log = structlog.get_logger(__name__)


def moved() -> list[UUID]:
    """Repositories of the pinned tenant whose default branch is not where it was last looked at.

    What the code host refuses or cannot answer is left for the next time.
    """
    found = []
    for repository in Repository.objects.all():
        try:
            tip = forge_of(repository).head(forge_address(repository), repository.default_branch)
        except (ForgeRefused, ForgeUnavailable) as trouble:
            log.info("branch not watched", repository=repository.name, reason=str(trouble))
            continue
        if tip != repository.watched_sha:
            found.append(repository.pk)
    return found


def look(repository_id: UUID) -> int:
    """Account for every commit that a default branch got since it was last looked at.

    Countersigned is a commit that a countersigned proposal brought in: the proposal's own commits
    when the branch was moved onto its head, and a merge of that head which holds nothing besides.
    All others become one finding for each proposal that they brought in and one for the rest,
    each with an entry of the ledger; returns how many. A branch that was never looked at is
    taken as it stands: that is its baseline. Safe to run twice. Raises ForgeRefused,
    ForgeUnavailable; nothing is recorded then.
    """
    repository = Repository.objects.get(pk=repository_id)
    forge, address = forge_of(repository), forge_address(repository)
    since = repository.watched_sha
    if not since:
        _begin(repository, forge.head(address, repository.default_branch))
        return 0
    arrived = forge.arrivals(address, repository.default_branch, since=since)
    if arrived.tip == since:
        return 0
    groups = _uncountersigned(repository, forge, arrived)
    if not arrived.continues:
        groups.setdefault(None, [])
    by = system_actor("branch watch", "job")
    with change(by, Permission.BRANCH_WATCH, on=repository) as facts:
        facts.update(step="compared", branch=repository.default_branch, before=since)
        facts.update(after=arrived.tip, commits=len(arrived.commits), found=len(groups))
        # Locked, so that of two workers one finds and records.
        now = Repository.objects.select_for_update().get(pk=repository_id).watched_sha
        if now != since:
            facts["kept"] = "another worker has looked meanwhile"
            return 0
        Repository.objects.filter(pk=repository_id).update(watched_sha=arrived.tip)
        for proposal, commits in groups.items():
            row = Bypass.objects.create(
                repository=repository,
                proposal=proposal,
                before_sha=since,
                after_sha=arrived.tip,
                commits=[_said(commit) for commit in commits[: Bypass.LISTED]],
                commit_count=len(commits),
                rewritten=not arrived.continues,
            )
            ledger.record(
                BYPASSED,
                by=by,
                on=proposal or repository,
                facts={
                    "repository": repository.name,
                    "branch": repository.default_branch,
                    "before": since,
                    "after": arrived.tip,
                    "commits": [commit["sha"] for commit in row.commits],
                    "commit_count": row.commit_count,
                    "rewritten": row.rewritten,
                    "proposal_state": proposal.state if proposal else "",
                },
                outcome="failed",
            )
    return len(groups)


def _begin(repository: Repository, tip: str) -> None:
    """Take a branch as it stands: who answers for what is on it already is not ours to say."""
    by = system_actor("branch watch", "job")
    with change(by, Permission.BRANCH_WATCH, on=repository) as facts:
        Repository.objects.filter(pk=repository.pk, watched_sha="").update(
            watched_sha=tip, watched_since=timezone.now()
        )
        facts.update(step="baseline", branch=repository.default_branch, after=tip)


def _uncountersigned(
    repository: Repository, forge: Forge, arrived: Arrivals
) -> dict[Proposal | None, list[Commit]]:
    """Commits that nobody countersigned, by the proposal that they brought in; oldest first."""
    proposals = Proposal.objects.filter(
        repository=repository, base_branch=repository.default_branch
    )
    signed = {row.head_sha: row for row in proposals.filter(state__in=Proposal.SIGNED)}
    covered = _on_the_way_to(signed, arrived.commits)
    left = []
    for commit in arrived.commits:
        if commit.sha in covered:
            continue
        if set(commit.parents[1:]) & signed.keys() and forge.only_joins(
            forge_address(repository), commit
        ):
            continue
        left.append(commit)
    unsigned = {row.head_sha: row for row in proposals.exclude(state__in=Proposal.SIGNED)}
    owner = _on_the_way_to(unsigned, arrived.commits)
    groups: dict[Proposal | None, list[Commit]] = {}
    for commit in left:
        merged = next((unsigned[sha] for sha in commit.parents[1:] if sha in unsigned), None)
        groups.setdefault(merged or owner.get(commit.sha), []).append(commit)
    return groups


def _on_the_way_to(heads: Mapping[str, Proposal], line: Sequence[Commit]) -> dict[str, Proposal]:
    """The commits of a line that are a proposal's own: from its head back to where it began."""
    found: dict[str, Proposal] = {}
    current: Proposal | None = None
    for commit in reversed(line):
        if commit.sha in heads:
            current = heads[commit.sha]
        elif current is not None and commit.sha == current.base_sha:
            current = None
        if current is not None:
            found[commit.sha] = current
    return found


def _said(commit: Commit) -> dict[str, str]:
    return {"sha": commit.sha, "at": commit.at, "by": commit.author, "said": commit.subject}
