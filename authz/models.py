"""Which role an account holds, and for what."""

from typing import ClassVar

from django.db import models

from authz.roles import Role
from tenants.models import Project, TenantScoped, User


class Grant(TenantScoped):
    """One role of one account, for one project or (project empty) for the whole tenant."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="grants")
    role = models.CharField(max_length=20, choices=[(role.value, role.title) for role in Role])
    project = models.ForeignKey(Project, on_delete=models.CASCADE, null=True, related_name="grants")
    source = models.CharField(max_length=20, default="admin")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(TenantScoped.Meta):
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *TenantScoped.Meta.constraints,
            models.UniqueConstraint(
                fields=["tenant", "user", "role", "project"],
                name="authz_grant_once",
                nulls_distinct=False,
            ),
        ]
