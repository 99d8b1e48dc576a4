"""The rows that the agent's floor keeps, all of them walled by tenant."""

import uuid
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.contrib.postgres.search import SearchVector
from django.db import models
from django.utils import timezone

from agent.errors import IllegalMove
from agent.vectors import VectorField, WordsField
from tenants.models import Project, TenantScoped, User


class Repository(TenantScoped):
    """A repository on a forge that the tenant lets the agent propose changes to."""

    class Forge(models.TextChoices):
        LOCAL = "local"

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="repositories")
    name = models.SlugField(max_length=100)
    forge = models.CharField(max_length=10, choices=Forge, default=Forge.LOCAL)
    default_branch = models.CharField(max_length=100, default="main")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(TenantScoped.Meta):
        verbose_name_plural = "repositories"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *TenantScoped.Meta.constraints,
            models.UniqueConstraint(fields=["tenant", "name"], name="agent_repository_name"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def classification(self) -> str:
        """How sensitive the work in it is, as its project says."""
        return self.project.classification


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
        return proposal is not None and Proposal.State.WITHDRAWN in proposal.MOVES[proposal.state]

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


class Recommendation(TenantScoped):
    """The answer to a recommendation task: ranked options per layer with figures and reasons."""

    task = models.OneToOneField(Task, on_delete=models.CASCADE, related_name="recommendation")
    catalogue_digest = models.CharField(max_length=64)
    result = models.JSONField()  # agent.recommender.score()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(TenantScoped.Meta):
        pass


class Passage(TenantScoped):
    """A piece of a document of one repository, ready to be searched."""

    class Kind(models.TextChoices):
        ADR = "adr"
        DOCUMENT = "document"
        CODE = "code"

    repository = models.ForeignKey(Repository, on_delete=models.CASCADE, related_name="passages")
    path = models.CharField(max_length=500)
    content_sha256 = models.CharField(max_length=64)  # of the whole document
    kind = models.CharField(max_length=8, choices=Kind)
    status = models.CharField(max_length=20, blank=True)  # of a decision record, as it says
    document = models.CharField(max_length=300)  # first heading
    title = models.CharField(max_length=300)
    line = models.PositiveIntegerField()  # where it begins, from 1
    text = models.TextField()
    vector = VectorField(dimensions=384)  # agent.retrieval.embedding
    words = models.GeneratedField(
        expression=SearchVector("title", "text", config="english"),
        output_field=WordsField(),
        db_persist=True,
    )

    class Meta(TenantScoped.Meta):
        ordering: ClassVar[list[str]] = ["path", "line"]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["tenant", "repository", "path"], name="agent_passage_place"),
        ]

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


class CodeIndex(TenantScoped):
    """How far the code of one repository has been made ready to be searched."""

    class State(models.TextChoices):
        READING = "reading"
        READY = "ready"
        FAILED = "failed"

    repository = models.OneToOneField(
        Repository, on_delete=models.CASCADE, related_name="code_index"
    )
    state = models.CharField(max_length=7, choices=State, default=State.READING)
    commit = models.CharField(max_length=64, blank=True)  # all of which is searched; empty: none
    target = models.CharField(max_length=64)  # the commit that is being read, or was read last
    files = models.PositiveIntegerField(default=0)  # to read anew for the target
    files_done = models.PositiveIntegerField(default=0)
    pieces = models.PositiveIntegerField(default=0)
    reason = models.CharField(max_length=300, blank=True)  # why it failed
    started_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)

    class Meta(TenantScoped.Meta):
        pass

    @property
    def percent(self) -> int:
        """How much of the target is done, 0 to 100."""
        return 100 if not self.files else round(100 * self.files_done / self.files)


class CodePiece(TenantScoped):
    """A function, a class or another part of a source file, ready to be searched."""

    class Kind(models.TextChoices):
        FILE = "file"
        CLASS = "class"
        FUNCTION = "function"
        METHOD = "method"
        PART = "part"  # of a file whose structure is not read

    repository = models.ForeignKey(Repository, on_delete=models.CASCADE, related_name="code")
    path = models.CharField(max_length=500)
    content_sha256 = models.CharField(max_length=64)  # of the whole file
    kind = models.CharField(max_length=8, choices=Kind)
    name = models.CharField(max_length=500)  # qualified; the path for a file
    symbol = models.CharField(max_length=200)  # last part of the name, in small letters
    line = models.PositiveIntegerField()  # where it begins, from 1
    end_line = models.PositiveIntegerField()
    text = models.TextField()  # how it begins
    terms = models.TextField()  # each of its words once, names split
    meant_sha256 = models.CharField(max_length=64)  # of what the vector was made from
    vector = VectorField(dimensions=384)  # agent.retrieval.embedding
    words = models.GeneratedField(
        expression=SearchVector("terms", config="simple"),
        output_field=WordsField(),
        db_persist=True,
    )

    class Meta(TenantScoped.Meta):
        ordering: ClassVar[list[str]] = ["path", "line"]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["tenant", "repository", "path"], name="agent_codepiece_place"),
            models.Index(fields=["tenant", "repository", "symbol"], name="agent_codepiece_name"),
            models.Index(fields=["tenant", "meant_sha256"], name="agent_codepiece_meant"),
        ]

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


class Fix(TenantScoped):
    """The answer to a bugfix task: what was wrong, what was changed, the proof that it helps."""

    task = models.OneToOneField(Task, on_delete=models.CASCADE, related_name="fix")
    # agent.tools.proving: what was wrong, why this change, alternatives, what tests cannot tell
    explanation = models.JSONField()
    proof = models.JSONField()  # agent.proof: red, green, suite, reverted, with digests
    proof_sha256 = models.CharField(max_length=64)
    confidence = models.FloatField()  # 0 to 1
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(TenantScoped.Meta):
        pass


class ChangeReport(TenantScoped):
    """The answer to an upgrade or a refactoring: what was changed, what the tests say of it."""

    task = models.OneToOneField(Task, on_delete=models.CASCADE, related_name="change_report")
    report = models.JSONField()  # agent.changes
    report_sha256 = models.CharField(max_length=64)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(TenantScoped.Meta):
        pass


class Proposal(TenantScoped):
    """A pull request that waits for a person."""

    class State(models.TextChoices):
        OPEN = "open"
        COUNTERSIGNED = "countersigned"
        REJECTED = "rejected"
        WITHDRAWN = "withdrawn"  # undone by somebody; the pull request is closed

    MOVES: ClassVar[dict[str, set[str]]] = {
        State.OPEN: {State.COUNTERSIGNED, State.REJECTED, State.WITHDRAWN},
        State.COUNTERSIGNED: {State.WITHDRAWN},
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
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(TenantScoped.Meta):
        ordering: ClassVar[list[str]] = ["-created_at"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *TenantScoped.Meta.constraints,
            models.UniqueConstraint(
                fields=["tenant", "repository", "number"], name="agent_proposal_number"
            ),
        ]

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


class Draft(TenantScoped):
    """What somebody has typed into the recommendation form and not sent yet; one a person."""

    user = models.OneToOneField(User, on_delete=models.CASCADE, related_name="draft")
    fields = models.JSONField(default=dict)
    saved_at = models.DateTimeField(auto_now=True)

    class Meta(TenantScoped.Meta):
        pass


class ModelProvider(TenantScoped):
    """Somebody who answers questions with language models, as a tenant's admins set it up."""

    class Protocol(models.TextChoices):
        OPENAI = "openai"  # OpenAI itself
        COMPATIBLE = "compatible"  # servers that speak like it: vLLM, llama.cpp, Ollama, others
        ANTHROPIC = "anthropic"

    class DataClass(models.TextChoices):
        """How sensitive a text is; each may go wherever a more sensitive one may."""

        PUBLIC = "public"
        INTERNAL = "internal"
        CONFIDENTIAL = "confidential"

    class Region(models.TextChoices):
        OWN = "own"  # a server of the tenant's own
        EU = "eu"
        UK = "uk"
        US = "us"
        OTHER = "other"

    name = models.CharField(max_length=100)
    protocol = models.CharField(max_length=10, choices=Protocol)
    address = models.CharField(max_length=500)  # what stands before /chat/completions or /messages
    key = models.TextField(blank=True)  # sealed
    trusted = models.TextField(blank=True)  # certificates in PEM besides those of the machine
    region = models.CharField(max_length=5, choices=Region)
    data_class = models.CharField(max_length=12, choices=DataClass)  # the most that may go there
    position = models.PositiveIntegerField(default=1)  # the lowest is asked first
    is_on = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    # What the gateway notes. failures: in a row. open_until: nobody asks before that time.
    # probed_until: somebody tries just now whether it is back.
    failures = models.PositiveIntegerField(default=0)
    open_until = models.DateTimeField(null=True)
    probed_until = models.DateTimeField(null=True)
    problem = models.CharField(max_length=500, blank=True)
    # The last test, which a job does for whoever asked for it.
    test_asked_at = models.DateTimeField(null=True)
    test_asked_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    tested_at = models.DateTimeField(null=True)
    test_ok = models.BooleanField(default=False)
    test_said = models.CharField(max_length=500, blank=True)

    class Meta(TenantScoped.Meta):
        ordering: ClassVar[list[str]] = ["position", "created_at"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *TenantScoped.Meta.constraints,
            models.UniqueConstraint(fields=["tenant", "name"], name="agent_modelprovider_name"),
        ]

    def __str__(self) -> str:
        return self.name


class OfferedModel(TenantScoped):
    """One model of a provider, with what it costs. Prices: US dollars for a million tokens."""

    class Size(models.TextChoices):
        SMALL = "small"  # asked first
        LARGE = "large"  # asked when what a small one said cannot be used

    provider = models.ForeignKey(ModelProvider, on_delete=models.CASCADE, related_name="offered")
    name = models.CharField(max_length=200)  # as the provider calls it
    size = models.CharField(max_length=5, choices=Size)
    usd_in = models.DecimalField(max_digits=10, decimal_places=4)
    usd_out = models.DecimalField(max_digits=10, decimal_places=4)
    price_on = models.DateField()  # the day that the prices were looked up
    price_source = models.CharField(max_length=300)  # where they stand
    most_in = models.PositiveIntegerField(default=32_000)  # tokens of a question
    most_out = models.PositiveIntegerField(default=4_000)  # tokens of an answer

    class Meta(TenantScoped.Meta):
        ordering: ClassVar[list[str]] = ["name"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *TenantScoped.Meta.constraints,
            models.UniqueConstraint(
                fields=["tenant", "provider", "name"], name="agent_offeredmodel_name"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class ModelRules(TenantScoped):
    """What a tenant's texts may be sent where for, and how much may be spent; one row a tenant.

    Amounts in US dollars. Months and days are those of UTC.
    """

    code_class = models.CharField(
        max_length=12, choices=ModelProvider.DataClass, default=ModelProvider.DataClass.INTERNAL
    )
    brief_class = models.CharField(
        max_length=12, choices=ModelProvider.DataClass, default=ModelProvider.DataClass.INTERNAL
    )
    regions = models.JSONField(default=list)  # where texts may go; empty: anywhere
    for_repairs = models.BooleanField(default=True)
    for_briefs = models.BooleanField(default=True)
    keep_hours = models.PositiveIntegerField(default=24)  # answers, to give them again; 0: never
    tenant_month_usd = models.DecimalField(max_digits=10, decimal_places=2, default=100)
    tenant_month_tokens = models.BigIntegerField(default=50_000_000)
    person_day_usd = models.DecimalField(max_digits=10, decimal_places=2, default=10)
    person_day_tokens = models.BigIntegerField(default=5_000_000)
    task_usd = models.DecimalField(max_digits=10, decimal_places=2, default=2)
    task_tokens = models.BigIntegerField(default=1_000_000)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta(TenantScoped.Meta):
        verbose_name_plural = "model rules"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *TenantScoped.Meta.constraints,
            models.UniqueConstraint(fields=["tenant"], name="agent_modelrules_once"),
        ]


class ModelCall(TenantScoped):
    """One question to one model, with what it was allowed to cost and what it cost.

    tokens, usd: what counts against the limits, the worst case until the answer is there.
    """

    class Purpose(models.TextChoices):
        REPAIR = "repair"
        BRIEF = "brief"
        TEST = "test"

    class State(models.TextChoices):
        RESERVED = "reserved"  # on its way; for good if the worker died meanwhile
        ANSWERED = "answered"
        REFUSED = "refused"  # answered, with something that may not be used
        FAILED = "failed"  # sent, and no answer came: counts in full, as nobody knows
        UNSENT = "unsent"  # nothing left this machine: counts nothing
        KEPT = "kept"  # the answer to the same question was there already

    purpose = models.CharField(max_length=6, choices=Purpose)
    person = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")  # who asked for it
    project = models.ForeignKey(Project, null=True, on_delete=models.PROTECT, related_name="+")
    task = models.ForeignKey(Task, null=True, on_delete=models.CASCADE, related_name="model_calls")
    provider = models.CharField(max_length=100)  # by name, as it was called then
    model = models.CharField(max_length=200)
    question_sha256 = models.CharField(max_length=64)  # of all that was sent, redacted
    answer_sha256 = models.CharField(max_length=64, blank=True)
    state = models.CharField(max_length=8, choices=State, default=State.RESERVED)
    reserved_tokens = models.PositiveIntegerField(default=0)
    reserved_usd = models.DecimalField(max_digits=14, decimal_places=8, default=0)
    tokens = models.PositiveIntegerField(default=0)
    usd = models.DecimalField(max_digits=14, decimal_places=8, default=0)
    tokens_in = models.PositiveIntegerField(default=0)
    tokens_out = models.PositiveIntegerField(default=0)
    is_counted = models.BooleanField(default=False)  # the provider said how many tokens
    duration_ms = models.PositiveIntegerField(default=0)
    said = models.CharField(max_length=500, blank=True)  # why it could not be used
    created_at = models.DateTimeField(default=timezone.now)

    class Meta(TenantScoped.Meta):
        ordering: ClassVar[list[str]] = ["-created_at"]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["tenant", "created_at"], name="agent_modelcall_when"),
        ]


class ModelAnswer(TenantScoped):
    """An answer that is given again when the same question is put to the same model."""

    question_sha256 = models.CharField(max_length=64)
    model = models.CharField(max_length=300)  # its provider's id and its name
    text = models.TextField()  # with the placeholders that stand for what was redacted
    tokens_in = models.PositiveIntegerField(default=0)
    tokens_out = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now)
    good_until = models.DateTimeField()

    class Meta(TenantScoped.Meta):
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *TenantScoped.Meta.constraints,
            models.UniqueConstraint(
                fields=["tenant", "question_sha256", "model"], name="agent_modelanswer_once"
            ),
        ]


class BriefReading(TenantScoped):
    """A brief that somebody wants a model to read, and what it read; one a person."""

    class State(models.TextChoices):
        WAITING = "waiting"
        READ = "read"
        NOT_READ = "not_read"

    user = models.OneToOneField(User, on_delete=models.CASCADE, related_name="brief_reading")
    repository = models.ForeignKey(Repository, on_delete=models.CASCADE, related_name="+")
    text = models.TextField()
    state = models.CharField(max_length=8, choices=State, default=State.WAITING)
    readings = models.JSONField(default=list)  # [{"field", "value", "words", "sentence"}]
    model = models.CharField(max_length=300, blank=True)
    reason = models.CharField(max_length=500, blank=True)  # why no model read it
    asked_at = models.DateTimeField(default=timezone.now)

    class Meta(TenantScoped.Meta):
        pass


class CatalogueEntry(TenantScoped):
    """Something a tenant says beside the shared catalogue: a technology, a fact or a standard."""

    class Kind(models.TextChoices):
        TECHNOLOGY = "technology"
        FACT = "fact"
        STANDARD = "standard"

    kind = models.CharField(max_length=10, choices=Kind)
    technology = models.SlugField(max_length=80)  # id in the catalogue
    attribute = models.CharField(max_length=80, blank=True)  # of a fact
    content = models.JSONField()  # as recommender.reading.Own takes it
    author_name = models.CharField(max_length=200)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta(TenantScoped.Meta):
        ordering: ClassVar[list[str]] = ["technology", "attribute"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *TenantScoped.Meta.constraints,
            models.UniqueConstraint(
                fields=["tenant", "kind", "technology", "attribute"], name="agent_catalogue_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.technology}"


class CatalogueRefresh(TenantScoped):
    """What a source says anew, waiting for a person to let it into the tenant's catalogue."""

    class State(models.TextChoices):
        OPEN = "open"
        ACCEPTED = "accepted"
        REJECTED = "rejected"

    connector = models.CharField(max_length=40)
    document = models.JSONField()  # as facts/<connector>.yaml, dates as text
    difference = models.JSONField()  # recommender.refresh.Difference.to_json()
    affected = models.JSONField(default=list)  # past recommendations that would end otherwise
    base_digest = models.CharField(max_length=64)  # of the catalogue it was compared with
    digest = models.CharField(max_length=64)  # sha256 over document and difference
    state = models.CharField(max_length=8, choices=State, default=State.OPEN)
    requester_id = models.CharField(max_length=200)  # who asked for it; may not let it through
    requester_name = models.CharField(max_length=200)
    decided_by_name = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    decided_at = models.DateTimeField(null=True)

    class Meta(TenantScoped.Meta):
        ordering: ClassVar[list[str]] = ["-created_at"]

    def __str__(self) -> str:
        return f"refresh of {self.connector}"
