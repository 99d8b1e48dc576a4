"""Language models of a tenant: who offers them, what they may cost, what was asked."""

from typing import ClassVar

from django.db import models
from django.utils import timezone

from agent.models.repositories import Repository
from agent.models.tasks import Task
from tenants.models import Project, TenantScoped, User


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
