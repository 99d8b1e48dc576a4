"""Keeps tasks moving and proposals true to the forge."""

from datetime import timedelta
from uuid import UUID

import structlog
from django.db.models import Max
from django.utils import timezone

from agent import code_index, searching
from agent.digests import proposal_digest
from agent.errors import Busy
from agent.forge import Check, ForgeRefused, ForgeUnavailable
from agent.models import Artifact, CodeIndex, Plan, Proposal, Repository, Review, Task
from agent.places import artifact_store, forge_address, forge_of
from agent.risk import measure
from agent.signed_records import MERGE
from authz.change import answered, change, effect, entry
from authz.permissions import Permission
from evidence.models import Pack, SignedRecord
from tenants.actor import Actor
from tenants.models import User

log = structlog.get_logger(__name__)
STALLED_AFTER = timedelta(seconds=20)


def stalled_tasks() -> list[UUID]:
    """Unfinished tasks of the pinned tenant without a sign of life for STALLED_AFTER."""
    quiet = timezone.now() - STALLED_AFTER
    rows = Task.objects.filter(state__in=Task.RUNNING, touched_at__lt=quiet)
    return list(rows.values_list("pk", flat=True))


def stalled_packs() -> list[UUID]:
    """Packs of the pinned tenant that were asked for STALLED_AFTER ago and are not built."""
    quiet = timezone.now() - STALLED_AFTER
    rows = Pack.objects.filter(state__in=Pack.UNFINISHED, created_at__lt=quiet)
    return list(rows.values_list("pk", flat=True))


def delete_expired_packs(*, by: Actor) -> int:
    """Delete files of packs and exports that cannot be downloaded any more; returns how many.

    The intent is on record before each, what came of it after. A file that something else that is
    kept has the same bytes as stays. Safe to run twice, also after a death in between.
    """
    over = Pack.objects.filter(
        state=Pack.State.READY, expires_at__lt=timezone.now(), deleted_at=None
    )
    deleted = 0
    for pack in over.order_by("expires_at"):
        said = {"sha256": pack.sha256, "size": pack.size, "expired": pack.expires_at}
        intent = entry(by, Permission.RETENTION_APPLY, on=pack, facts=said, phase="intent").intent
        with answered(intent, by, Permission.RETENTION_APPLY, on=pack):
            gone = not _kept_elsewhere(pack) and artifact_store().delete(
                pack.tenant_id, pack.sha256
            )
        with change(by, Permission.RETENTION_APPLY, on=pack) as facts:
            facts.answers = intent
            facts.update(sha256=pack.sha256, file="deleted" if gone else "kept elsewhere, or gone")
            Pack.objects.filter(pk=pack.pk).update(deleted_at=timezone.now())
        deleted += gone
    return deleted


def _kept_elsewhere(pack: Pack) -> bool:
    """Whether another row that counts names the same bytes; files are stored by their digest."""
    packs = Pack.objects.filter(sha256=pack.sha256, deleted_at=None).exclude(pk=pack.pk)
    artifacts = Artifact.objects.filter(sha256=pack.sha256)
    return bool(packs.exists() or artifacts.exists())


def unsent_reviews() -> list[UUID]:
    """Proposals of the pinned tenant whose decision has not reached the code host for a while."""
    quiet = timezone.now() - STALLED_AFTER
    rows = Proposal.objects.filter(review_sent=False, reviews__created_at__lt=quiet)
    return list(rows.values_list("pk", flat=True).distinct())


def unsigned_records() -> list[UUID]:
    """Proposals of the pinned tenant that were decided or merged a while ago, and whose newest
    record does not say so."""
    quiet = timezone.now() - STALLED_AFTER
    decided = Proposal.objects.filter(reviews__created_at__lt=quiet)
    newest = dict(SignedRecord.objects.values_list("object_id").annotate(newest=Max("created_at")))
    rows = decided.annotate(at=Max("reviews__created_at")).values_list("pk", "at")
    unsigned = {pk for pk, at in rows if str(pk) not in newest or newest[str(pk)] < at}
    told = set(
        SignedRecord.objects.filter(files__has_key=MERGE).values_list("object_id", flat=True)
    )
    merged = Proposal.objects.filter(merged_at__lt=quiet).exclude(merge_sha="")
    unsigned |= {pk for pk in merged.values_list("pk", flat=True) if str(pk) not in told}
    return list(unsigned)


def index(repository_id: UUID) -> None:
    """Make the documents of a repository ready to be searched. Safe to run twice.

    A project without an agent has nobody who may read for it, and a repository without a commit
    has nothing to read; both are left alone.
    """
    repository = Repository.objects.get(pk=repository_id)
    agent = User.objects.filter(kind=User.Kind.AGENT, grants__project=repository.project_id).first()
    if agent is None:
        return
    try:
        found = searching.index_repository(repository, by=agent.actor("job"))
    except ForgeRefused as refusal:
        log.warning("documents not read", repository=repository.name, reason=str(refusal))
        return
    log.info("documents read", repository=repository.name, passages=found.passages)


def moved_repositories() -> list[UUID]:
    """Repositories of the pinned tenant whose code is not searched as it stands now.

    What the code host refuses or cannot answer is left for the next time.
    """
    rows = Repository.objects.filter(project__grants__user__kind=User.Kind.AGENT).distinct()
    known = dict(CodeIndex.objects.values_list("repository", "commit"))
    given_up = dict(
        CodeIndex.objects.filter(state=CodeIndex.State.FAILED).values_list("repository", "target")
    )
    moved = []
    for repository in rows:
        try:
            head = code_index.head_of(repository)
        except (ForgeRefused, ForgeUnavailable) as trouble:
            log.info("branch not read", repository=repository.name, reason=str(trouble))
            continue
        if head not in {known.get(repository.pk), given_up.get(repository.pk)}:
            moved.append(repository.pk)
    return moved


def read_code(repository_id: UUID) -> bool:
    """Read on in a repository's code; says whether more is left. Safe to run twice.

    What another worker reads already, or nobody may read for the project, is left alone.
    """
    repository = Repository.objects.get(pk=repository_id)
    agent = User.objects.filter(kind=User.Kind.AGENT, grants__project=repository.project_id).first()
    if agent is None:
        return False
    try:
        return code_index.read_on(repository, by=agent.actor("job"))
    except Busy:
        return False


def unfinished_undoing() -> list[UUID]:
    """Withdrawn proposals of the pinned tenant whose branch still stands."""
    rows = Proposal.objects.filter(state=Proposal.State.WITHDRAWN, branch_gone=False)
    return list(rows.values_list("pk", flat=True))


def withdraw(proposal_id: UUID) -> None:
    """Close the pull request of an undone task and delete its branch; the record keeps both.

    What the code host refuses (merged already, moved on since) is not asked again; the refusal is
    in the ledger. Safe to run twice.
    """
    proposal = Proposal.objects.select_related("repository", "task").get(pk=proposal_id)
    if proposal.branch_gone or proposal.state != Proposal.State.WITHDRAWN:
        return
    by = _agent_of(proposal)
    reason = f"{proposal.withdrawn_by} took it back"
    forge, address = forge_of(proposal.repository), forge_address(proposal.repository)
    said = {"close": proposal.number, "delete": proposal.branch, "reason": reason}
    with effect(by, Permission.PULL_REQUEST_OPEN, on=proposal, **said) as facts:
        refused = ""
        try:
            forge.close_pull_request(address, proposal.number, reason=reason)
            forge.delete_branch(address, proposal.branch, head_sha=proposal.head_sha)
        except ForgeRefused as refusal:
            refused = str(refusal)
        facts.update(head_sha=proposal.head_sha, refused=refused)
    with change(by, Permission.PULL_REQUEST_OPEN, on=proposal) as facts:
        Proposal.objects.filter(pk=proposal.pk).update(branch_gone=True)
        facts["branch_gone"] = proposal.branch


def publish_review(proposal_id: UUID) -> None:
    """Write a person's decision on the pull request, bound to the commit that was read.

    A rejected pull request is closed. A code host that refuses, because the branch has moved
    since, is not asked again; the refusal is in the ledger. Safe to run twice.
    """
    proposal = Proposal.objects.select_related("repository", "task").get(pk=proposal_id)
    if proposal.review_sent:
        return
    by = _agent_of(proposal)
    checks = _checks_with_reviews(proposal)
    said = {"checks": len(checks), "head_sha": proposal.head_sha}
    intent = entry(by, Permission.PULL_REQUEST_OPEN, on=proposal, facts=said, phase="intent").intent
    forge, address = forge_of(proposal.repository), forge_address(proposal.repository)
    refused = ""
    with answered(intent, by, Permission.PULL_REQUEST_OPEN, on=proposal):
        try:
            forge.set_checks(address, proposal.number, head_sha=proposal.head_sha, checks=checks)
            if proposal.state == Proposal.State.REJECTED:
                forge.close_pull_request(address, proposal.number, reason="rejected by a reviewer")
        except ForgeRefused as refusal:
            refused = str(refusal)
    with change(by, Permission.PULL_REQUEST_OPEN, on=proposal) as facts:
        facts.answers = intent
        Proposal.objects.filter(pk=proposal.pk).update(review_sent=True)
        facts.update(head_sha=proposal.head_sha, refused=refused)


def refresh(proposal_id: UUID) -> bool:
    """Take over what the pull request is now, if it changed; says whether it did.

    The digest changes with it, so nobody can countersign what they have not read.
    """
    proposal = Proposal.objects.select_related("repository", "task").get(pk=proposal_id)
    if proposal.state != Proposal.State.OPEN:
        return False
    forge, address = forge_of(proposal.repository), forge_address(proposal.repository)
    now = forge.pull_request(address, proposal.number)
    if (now.head_sha, now.title, now.body) == (proposal.head_sha, proposal.title, proposal.body):
        return False
    diff = forge.diff(address, now.base_sha, now.head_sha)
    kept = artifact_store().put(proposal.tenant_id, diff)
    with change(_agent_of(proposal), Permission.PULL_REQUEST_OPEN, on=proposal) as facts:
        # Somebody may have decided since the forge was asked; locked, so that nobody does now.
        proposal = Proposal.objects.select_for_update(of=["self"]).get(pk=proposal_id)
        if proposal.state != Proposal.State.OPEN:
            facts["kept"] = f"{proposal.state} before the change was noticed"
            return False
        facts.update(before=proposal.digest, head_before=proposal.head_sha, head=now.head_sha)
        if now.head_sha != proposal.head_sha:
            proposal.checks = [
                {
                    "name": "checked on this commit",
                    "path": proposal.branch,
                    "ok": False,
                    "detail": "somebody moved the branch after the agent's checks",
                }
            ]
        proposal.title, proposal.body = now.title, now.body
        proposal.head_sha, proposal.base_sha = now.head_sha, now.base_sha
        proposal.diff_sha256 = kept.sha256
        # What policies look at belongs to the commit that would be countersigned, not to an older.
        measure(proposal, diff, Plan.objects.filter(task=proposal.task_id).first())
        proposal.digest = proposal_digest(proposal)
        proposal.save()
        facts.update(after=proposal.digest, risk=proposal.risk_score)
        facts["risk_reasons"] = proposal.risk_reasons
    return True


def _checks_with_reviews(proposal: Proposal) -> list[Check]:
    reviews = Review.objects.filter(proposal=proposal).select_related("reviewer")
    return [
        Check(f"{check['name']}: {check['path']}", check["ok"], check["detail"])
        for check in proposal.checks
    ] + [
        Check(
            name=f"countersign: {review.reviewer.name}",
            ok=review.verdict == Review.Verdict.COUNTERSIGNED,
            detail=f"read digest {review.digest}",
        )
        for review in reviews
    ]


def _agent_of(proposal: Proposal) -> Actor:
    agent = User.objects.get(kind=User.Kind.AGENT, grants__project=proposal.project_id)
    return agent.actor("job")
