"""A tenant's own part of the catalogue of technologies."""

from typing import ClassVar

from django.db import models

from tenants.models import TenantScoped


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
