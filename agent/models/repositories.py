"""The repositories that the agent works on."""

from typing import ClassVar

from django.db import models

from tenants.models import Project, TenantScoped


class Repository(TenantScoped):
    """A repository on a forge that the tenant lets the agent propose changes to."""

    class Forge(models.TextChoices):
        LOCAL = "local"

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="repositories")
    name = models.SlugField(max_length=100)
    forge = models.CharField(max_length=10, choices=Forge, default=Forge.LOCAL)
    default_branch = models.CharField(max_length=100, default="main")
    # The default branch up to which every commit was compared with what people countersigned, and
    # since when that is done. What stood there before is the baseline. Empty: not looked at yet.
    watched_sha = models.CharField(max_length=64, blank=True)
    watched_since = models.DateTimeField(null=True, blank=True)
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
