"""A tenant's own part of the catalogue of technologies."""

from typing import ClassVar

from django.db import models

from tenants.models import TenantScoped, User


class CatalogueEntry(TenantScoped):
    """Something a tenant says beside the shared catalogue: a technology, a fact or a standard."""

    class Kind(models.TextChoices):
        TECHNOLOGY = "technology"
        FACT = "fact"
        STANDARD = "standard"

    kind = models.CharField(max_length=10, choices=Kind)
    technology = models.SlugField(max_length=80)  # id in the catalogue
    attribute = models.CharField(max_length=80, blank=True)  # of a fact
    content = models.JSONField()  # as recommender.additions.Own takes it
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
        REPLACED = "replaced"  # the source was read again before anybody had decided

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


class CatalogueSource(TenantScoped):
    """How a tenant has one source of facts read, and what came of it the last time."""

    class State(models.TextChoices):
        IDLE = "idle"
        QUEUED = "queued"
        RUNNING = "running"

    class Result(models.TextChoices):
        PROPOSED = "proposed"  # something changes, and waits for a person
        NOTHING_NEW = "nothing_new"
        CANARY_FAILED = "canary_failed"  # it answered, and is not believed
        UNREACHABLE = "unreachable"
        FAILED = "failed"  # our own fault, or nobody may read it any more

    connector = models.CharField(max_length=40)
    is_on = models.BooleanField()
    address = models.CharField(max_length=500, blank=True)  # empty: where the public keeps it
    every_days = models.PositiveSmallIntegerField(default=0)  # 0: only when somebody asks
    state = models.CharField(max_length=8, choices=State, default=State.IDLE)
    asked_at = models.DateTimeField(null=True)
    asked_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    touched_at = models.DateTimeField(null=True)
    done = models.PositiveIntegerField(default=0)  # questions asked so far
    total = models.PositiveIntegerField(default=0)
    # The last time that it was read to the end.
    finished_at = models.DateTimeField(null=True)
    result = models.CharField(max_length=13, choices=Result, blank=True)
    said = models.CharField(max_length=500, blank=True)
    canary = models.CharField(max_length=300, blank=True)  # what proved that it can be believed
    proposed = models.UUIDField(null=True)  # the refresh that waits for a person

    class Meta(TenantScoped.Meta):
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *TenantScoped.Meta.constraints,
            models.UniqueConstraint(
                fields=["tenant", "connector"], name="agent_cataloguesource_once"
            ),
        ]

    def __str__(self) -> str:
        return self.connector
