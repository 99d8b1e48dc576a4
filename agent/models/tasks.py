"""What people ask for, and the steps by which the agent does it."""

import uuid
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.db import models
from django.utils import timezone

from agent.errors import IllegalMove
from agent.models.repositories import Repository
from authz.policy_facts import BudgetRaise
from tenants.models import Project, TenantScoped, User


class Task(TenantScoped):
    """One piece of work asked of the agent, from request to verified result."""

    class Kind(models.TextChoices):
        RECOMMENDATION = "recommendation"
        BUGFIX = "bugfix"
        UPGRADE = "upgrade"
        REFACTORING = "refactoring"

    # Neither documents nor repairs: judged by the tests before and after.
    CHANGES: ClassVar[frozenset[str]] = frozenset({"upgrade", "refactoring"})

    class State(models.TextChoices):
        QUEUED = "queued"
        IN_PROGRESS = "in_progress"
        WAITING_FOR_USER = "waiting_for_user"
        COMPLETED = "completed"
        FAILED = "failed"
        TIMED_OUT = "timed_out"
        CANCELLED = "cancelled"

    # The whole life of a task. Pages draw their buttons from this table too.
    MOVES: ClassVar[dict[str, set[str]]] = {
        State.QUEUED: {State.IN_PROGRESS, State.CANCELLED, State.FAILED},
        State.IN_PROGRESS: {
            State.WAITING_FOR_USER,
            State.COMPLETED,
            State.FAILED,
            State.TIMED_OUT,
            State.CANCELLED,
        },
        State.WAITING_FOR_USER: {State.IN_PROGRESS, State.CANCELLED},
        State.COMPLETED: set(),
        # Stopped work keeps its steps, so it can go on where it stopped.
        State.FAILED: {State.QUEUED},
        State.TIMED_OUT: {State.QUEUED},
        State.CANCELLED: set(),
    }
    RUNNING: ClassVar[set[str]] = {State.QUEUED, State.IN_PROGRESS}
    # What has not ended: messages and cancelling make sense.
    OPEN: ClassVar[set[str]] = RUNNING | {State.WAITING_FOR_USER}

    kind = models.CharField(max_length=20, choices=Kind)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="tasks")
    repository = models.ForeignKey(Repository, on_delete=models.PROTECT, related_name="tasks")
    branch = models.CharField(max_length=200, blank=True)  # where the result goes
    # Where the branch leaves its base; fixed, so that a resumed task makes the same commit.
    base_sha = models.CharField(max_length=64, blank=True)
    goal = models.TextField()
    constraints = models.JSONField(default=dict)
    # wall_s: seconds at work, steps: tool calls, tokens and usd: what models may take.
    # Of what is not named there is no limit.
    budgets = models.JSONField(default=dict)
    owner = models.ForeignKey(User, on_delete=models.PROTECT, related_name="tasks")
    state = models.CharField(max_length=16, choices=State, default=State.QUEUED)
    phase = models.CharField(max_length=6, default="plan")  # plan, act, verify, done
    reason = models.TextField(blank=True)  # why it ended as it did, in plain words
    cancel_asked_by = models.CharField(max_length=200, blank=True)
    # When nobody asked for it: the proposal that facts left behind, with these facts.
    raised_for = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    touched_at = models.DateTimeField(default=timezone.now)  # last sign of life

    # What somebody who wants more asks for; policies look at it, and nothing stores it.
    budget_raise: BudgetRaise | None = None

    class Meta(TenantScoped.Meta):
        ordering: ClassVar[list[str]] = ["-created_at"]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["tenant", "-created_at"], name="agent_task_newest"),
            models.Index(fields=["state", "touched_at"], name="agent_task_stalled"),
        ]

    def __str__(self) -> str:
        return self.goal

    @property
    def run_id(self) -> uuid.UUID:
        """Everything recorded about this task carries its id."""
        return self.pk

    @property
    def requester_id(self) -> uuid.UUID:
        """Who asked; may not countersign the result."""
        return self.owner_id

    @property
    def short(self) -> str:
        """How people refer to it."""
        return f"T-{str(self.pk)[:8]}"

    @property
    def is_running(self) -> bool:
        return self.state in self.RUNNING

    @property
    def can_resume(self) -> bool:
        return self.State.QUEUED in self.MOVES[self.state]

    @property
    def is_open(self) -> bool:
        return self.state in self.OPEN

    @property
    def can_undo(self) -> bool:
        """Whether there is a pull request to take back."""
        proposal = getattr(self, "proposal", None)
        return proposal is not None and bool(proposal.can_withdraw)

    @property
    def deadline(self) -> datetime | None:
        """When the time budget is spent, or None while it has not started."""
        if self.started_at is None:
            return None
        return self.started_at + timedelta(seconds=self.budgets["wall_s"])

    def move_to(self, new: str, **also: Any) -> None:
        """Change state with the columns in `also`, or raise IllegalMove.

        The update names the state it expects to leave, so of two racing workers one wins.
        """
        also["touched_at"] = timezone.now()
        legal = new in self.MOVES[self.state]
        if not (
            legal and Task.objects.filter(pk=self.pk, state=self.state).update(state=new, **also)
        ):
            raise IllegalMove(
                f"{self.short} is {self.get_state_display().lower()}; it cannot become {new}"
            )
        self.state = new
        for name, value in also.items():
            setattr(self, name, value)


class Plan(TenantScoped):
    """What the agent set out to do."""

    task = models.OneToOneField(Task, on_delete=models.CASCADE, related_name="plan")
    steps = models.JSONField(default=list)  # [{"tool", "why"}], in order
    tools = models.JSONField(default=list)
    approvals = models.JSONField(default=list)  # what people must do before the result counts
    risk_score = models.FloatField(default=0)  # 0 to 1
    compliance_targets = models.JSONField(default=list)
    digest = models.CharField(max_length=64)  # sha256, hex
    waits_because = models.CharField(max_length=200, blank=True)  # empty: it waits for nobody
    approved_by = models.CharField(max_length=200, blank=True)
    approved_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(TenantScoped.Meta):
        pass


class Action(TenantScoped):
    """One tool call with what came back. Appended, never edited once it is done."""

    class Status(models.TextChoices):
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        STOPPED = "stopped"  # did not finish; taken again when the task resumes
        REFUSED = "refused"  # never ran: the tool's contract says no to these arguments

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="actions")
    number = models.PositiveIntegerField()
    tool = models.CharField(max_length=50)
    params = models.JSONField(default=dict)
    observation = models.TextField(blank=True)
    outputs = models.JSONField(default=dict)  # name -> sha256 of an artifact
    result = models.JSONField(default=dict)  # as the tool's contract describes it
    cost_tokens = models.PositiveIntegerField(default=0)
    cost_usd = models.DecimalField(max_digits=12, decimal_places=6, default=0)
    # What was set aside of the budgets before it began: the most that it could take.
    reserved = models.JSONField(default=dict)
    duration_ms = models.PositiveIntegerField(default=0)
    status = models.CharField(max_length=7, choices=Status, default=Status.RUNNING)
    started_at = models.DateTimeField(default=timezone.now)

    class Meta(TenantScoped.Meta):
        ordering: ClassVar[list[str]] = ["number"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *TenantScoped.Meta.constraints,
            models.UniqueConstraint(
                fields=["tenant", "task", "number"], name="agent_action_number"
            ),
        ]


class Message(TenantScoped):
    """What a person said to a task. The agent reads it before its next step."""

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="messages")
    author = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    text = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)
    read_before = models.PositiveIntegerField(null=True)  # number of the step it was read for

    class Meta(TenantScoped.Meta):
        ordering: ClassVar[list[str]] = ["created_at"]


class PlanRule(TenantScoped):
    """Which plans of a project wait for a second person before anything is done."""

    class Ask(models.TextChoices):
        ALWAYS = "always"
        RISKY = "risky"  # from a risk score on
        NEVER = "never"

    project = models.OneToOneField(Project, on_delete=models.CASCADE, related_name="plan_rule")
    ask = models.CharField(max_length=6, choices=Ask, default=Ask.RISKY)
    risk_from = models.FloatField(default=0.5)  # 0 to 1

    class Meta(TenantScoped.Meta):
        pass

    @classmethod
    def of(cls, project: Project) -> "PlanRule":
        """The rule that holds in a project, also when nobody made one yet."""
        found: PlanRule | None = cls.objects.filter(project=project).first()
        return found or cls(project=project)

    @property
    def said(self) -> str:
        """In words."""
        match self.ask:
            case self.Ask.ALWAYS:
                return "every plan of this project waits for a second person"
            case self.Ask.NEVER:
                return "no plan of this project waits for a person"
            case _:
                return f"plans from a risk of {self.risk_from:g} on wait for a second person"

    def asks_for(self, risk_score: float) -> bool:
        """Whether a plan of that risk waits."""
        return self.ask == self.Ask.ALWAYS or (
            self.ask == self.Ask.RISKY and risk_score >= self.risk_from
        )


class FlakyTest(TenantScoped):
    """A test that was seen to pass and to fail on the same code; it counts for nothing."""

    repository = models.ForeignKey(Repository, on_delete=models.CASCADE, related_name="flaky_tests")
    test = models.CharField(max_length=500)  # its node id
    seen_by = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="+")
    first_seen = models.DateTimeField(auto_now_add=True)

    class Meta(TenantScoped.Meta):
        ordering: ClassVar[list[str]] = ["test"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *TenantScoped.Meta.constraints,
            models.UniqueConstraint(
                fields=["tenant", "repository", "test"], name="agent_flakytest_once"
            ),
        ]

    def __str__(self) -> str:
        return self.test


class Artifact(TenantScoped):
    """A file that the work left: bytes in the content-addressed store, found by their digest."""

    class Kind(models.TextChoices):
        PR = "PR"
        SBOM = "SBOM"
        TEST_LOG = "TEST_LOG"
        REPORT = "REPORT"
        DIFF = "DIFF"
        FILE = "FILE"  # one file of the pull request
        STEP = "STEP"  # what one step hands to the next

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="artifacts")
    kind = models.CharField(max_length=8, choices=Kind)
    name = models.CharField(max_length=300)
    sha256 = models.CharField(max_length=64)
    size = models.BigIntegerField()  # bytes
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(TenantScoped.Meta):
        ordering: ClassVar[list[str]] = ["name"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *TenantScoped.Meta.constraints,
            models.UniqueConstraint(fields=["tenant", "task", "name"], name="agent_artifact_name"),
        ]

    @property
    def uri(self) -> str:
        """Where it is, independent of the machine."""
        return f"sha256:{self.sha256}"


class Draft(TenantScoped):
    """What somebody has typed into the recommendation form and not sent yet; one a person."""

    user = models.OneToOneField(User, on_delete=models.CASCADE, related_name="draft")
    fields = models.JSONField(default=dict)
    saved_at = models.DateTimeField(auto_now=True)

    class Meta(TenantScoped.Meta):
        pass
