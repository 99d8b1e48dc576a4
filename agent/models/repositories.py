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
