"""Pull requests that wait for people, and what these say of them."""

import uuid
from typing import Any, ClassVar

from django.db import models

from agent.errors import IllegalMove
from agent.models.repositories import Repository
from agent.models.tasks import Task
from tenants.models import Project, TenantScoped, User


class Proposal(TenantScoped):
    """A pull request that waits for a person."""

    class State(models.TextChoices):
        OPEN = "open"
        COUNTERSIGNED = "countersigned"
        REJECTED = "rejected"
        MERGED = "merged"  # after it was countersigned
        WITHDRAWN = "withdrawn"  # undone by somebody; the pull request is closed

    # A second person let it through.
    SIGNED: ClassVar[frozenset[str]] = frozenset({State.COUNTERSIGNED, State.MERGED})
    MOVES: ClassVar[dict[str, set[str]]] = {
        State.OPEN: {State.COUNTERSIGNED, State.REJECTED, State.WITHDRAWN},
        State.COUNTERSIGNED: {State.MERGED, State.WITHDRAWN},
        State.MERGED: set(),
        State.REJECTED: set(),
        State.WITHDRAWN: set(),
    }

    task = models.OneToOneField(Task, on_delete=models.PROTECT, related_name="proposal")
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="proposals")
    repository = models.ForeignKey(Repository, on_delete=models.PROTECT, related_name="proposals")
    number = models.PositiveIntegerField()
    title = models.CharField(max_length=200)
    body = models.TextField()
    branch = models.CharField(max_length=200)
    base_branch = models.CharField(max_length=100)
    base_sha = models.CharField(max_length=64)
    head_sha = models.CharField(max_length=64)
    diff_sha256 = models.CharField(max_length=64)
    lines_added = models.PositiveIntegerField(default=0)
    lines_removed = models.PositiveIntegerField(default=0)
    # agent.risk.risk_of: 0 to 100, and [{"points", "said"}]. None: made before there were scores.
    risk_score = models.PositiveSmallIntegerField(null=True)
    risk_reasons = models.JSONField(default=list)
    checks = models.JSONField(default=list)  # [{"name", "path", "ok", "detail"}]
    url = models.CharField(max_length=500)
    # SHA-256 over everything that a person reads before countersigning: digests.proposal_digest.
    digest = models.CharField(max_length=64)
    state = models.CharField(max_length=13, choices=State, default=State.OPEN)
    review_sent = models.BooleanField(default=False)  # the code host knows what was decided
    withdrawn_by = models.CharField(max_length=200, blank=True)
    branch_gone = models.BooleanField(default=False)  # closed and deleted on the code host
    # Who wants it merged, since when, and how they had signed in: {"at", "way", "methods"}.
    merge_ordered_by = models.ForeignKey(
        User, null=True, on_delete=models.PROTECT, related_name="+"
    )
    merge_ordered_at = models.DateTimeField(null=True)
    merge_signed_in = models.JSONField(default=dict)
    merge_refused = models.CharField(
        max_length=500, blank=True
    )  # why the last order came to nothing
    merge_sha = models.CharField(max_length=64, blank=True)  # empty: merged, but not from here
    merged_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(TenantScoped.Meta):
        ordering: ClassVar[list[str]] = ["-created_at"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *TenantScoped.Meta.constraints,
            models.UniqueConstraint(
                fields=["tenant", "repository", "number"], name="agent_proposal_number"
            ),
        ]

    @property
    def can_withdraw(self) -> bool:
        """Whether it can still be taken back."""
        return self.State.WITHDRAWN in self.MOVES[self.state] and not self.is_being_merged

    @property
    def is_being_merged(self) -> bool:
        """Whether somebody ordered it and nothing has come of that yet."""
        return self.state == self.State.COUNTERSIGNED and self.merge_ordered_at is not None

    def __str__(self) -> str:
        return self.title

    @property
    def run_id(self) -> uuid.UUID:
        return self.task_id

    @property
    def diff_lines(self) -> int:
        """Lines added and removed, which policies may look at."""
        return self.lines_added + self.lines_removed

    @property
    def classification(self) -> str:
        """How sensitive the project is, which policies may look at."""
        return self.project.classification

    @property
    def requester_id(self) -> uuid.UUID:
        return self.task.owner_id

    @property
    def countersigned(self) -> bool:
        """Whether a second person let it through, which policies may look at."""
        return self.state in self.SIGNED

    @property
    def countersigner_id(self) -> uuid.UUID | None:
        """Who let it through, which policies may look at."""
        if not self.countersigned:
            return None
        signed = self.reviews.filter(verdict=Review.Verdict.COUNTERSIGNED)
        found: uuid.UUID | None = signed.values_list("reviewer", flat=True).first()
        return found

    @property
    def checks_passed(self) -> bool:
        """Whether it was checked and no check fails, which policies may look at."""
        return bool(self.checks) and not self.failing_checks

    @property
    def failing_checks(self) -> list[dict[str, Any]]:
        return [check for check in self.checks if not check["ok"]]

    def move_to(self, new: str) -> None:
        """Change state, or raise IllegalMove when it was decided already."""
        legal = new in self.MOVES[self.state]
        if not (legal and Proposal.objects.filter(pk=self.pk, state=self.state).update(state=new)):
            raise IllegalMove(f"this proposal is {self.get_state_display().lower()} already")
        self.state = new


class Review(TenantScoped):
    """One person's answer to a proposal, bound to the digest of what that person read."""

    class Verdict(models.TextChoices):
        COUNTERSIGNED = "countersigned"
        REJECTED = "rejected"

    proposal = models.ForeignKey(Proposal, on_delete=models.PROTECT, related_name="reviews")
    reviewer = models.ForeignKey(User, on_delete=models.PROTECT, related_name="reviews")
    verdict = models.CharField(max_length=13, choices=Verdict)
    digest = models.CharField(max_length=64)
    comment = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    app_privileges: ClassVar[tuple[str, ...]] = ("SELECT", "INSERT")

    class Meta(TenantScoped.Meta):
        ordering: ClassVar[list[str]] = ["created_at"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *TenantScoped.Meta.constraints,
            models.UniqueConstraint(
                fields=["tenant", "proposal", "reviewer"], name="agent_review_once"
            ),
        ]


class Bypass(TenantScoped):
    """Commits that reached a default branch without a countersigned proposal; it stays for good."""

    repository = models.ForeignKey(Repository, on_delete=models.PROTECT, related_name="bypasses")
    # What was brought in, where that is a proposal: open, rejected or withdrawn at that time.
    proposal = models.ForeignKey(
        Proposal, null=True, on_delete=models.PROTECT, related_name="bypasses"
    )
    before_sha = models.CharField(max_length=64)  # where the branch stood when last looked at
    after_sha = models.CharField(max_length=64)
    # The first LISTED on the branch's own line, oldest first: [{"sha", "at", "by", "said"}], as
    # git says them. Whoever pushes writes these words.
    commits = models.JSONField(default=list)
    commit_count = models.PositiveIntegerField()
    rewritten = models.BooleanField(default=False)  # the branch no longer holds before_sha
    created_at = models.DateTimeField(auto_now_add=True)

    LISTED: ClassVar[int] = 20
    app_privileges: ClassVar[tuple[str, ...]] = ("SELECT", "INSERT")

    class Meta(TenantScoped.Meta):
        verbose_name_plural = "bypasses"
        ordering: ClassVar[list[str]] = ["-created_at"]

    @property
    def not_listed(self) -> int:
        """Commits besides those that are listed."""
        return self.commit_count - len(self.commits)
