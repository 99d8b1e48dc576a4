"""Cells, the tenants in them, the hosts they answer to."""

import uuid

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django_tenants.models import TenantMixin

POOL = "pool"

cell_rule = RegexValidator(
    r"^(pool|silo_[a-z0-9_]{1,50})$",
    "Use pool, or silo_ with up to 50 lower-case letters, digits or underscores.",
)
slug_rule = RegexValidator(
    r"^[a-z][a-z0-9-]{1,38}[a-z0-9]$",
    "Use 3 to 40 lower-case letters, digits or hyphens, starting with a letter.",
)


class Cell(TenantMixin):  # type: ignore[misc]  # django-tenants ships no types
    """One PostgreSQL schema with a full set of walled tables.

    `pool` is shared by many tenants; `silo_x` holds one. The tables and their policies are the
    same in both, so nothing above this module knows the difference. Source: ADR 0003.
    """

    auto_create_schema = False  # bootstrap creates and migrates, so that one command does both


class Tenant(models.Model):
    """One customer."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    slug = models.CharField(max_length=40, unique=True, validators=[slug_rule])
    name = models.CharField(max_length=200)
    cell = models.ForeignKey(Cell, on_delete=models.PROTECT, related_name="tenants")
    created_at = models.DateTimeField(auto_now_add=True)
    suspended_at = models.DateTimeField(null=True, blank=True)  # every door is closed since then
    erased_at = models.DateTimeField(null=True, blank=True)  # nothing but its log is left

    def __str__(self) -> str:
        return self.slug

    def clean(self) -> None:
        """A silo holds one tenant: that is what makes it one."""
        if self.cell.schema_name != POOL and self.cell.tenants.exclude(pk=self.pk).exists():
            raise ValidationError({"cell": f"{self.cell.schema_name} holds another tenant already"})


class Domain(models.Model):
    """A host name that belongs to exactly one tenant."""

    host = models.CharField(max_length=253, unique=True)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="domains")

    def __str__(self) -> str:
        return self.host
