"""Who the caller is here."""

from uuid import UUID

from ninja import Router, Schema
from pydantic import Field

from authz.decisions import held_by
from authz.permissions import Permission
from authz.roles import ROLES, Role
from portal.api.problems import Problem
from portal.http import PortalRequest
from tenants.scope import current

router = Router(tags=["Me"])


class TenantOut(Schema):
    """The workspace that answers at this host."""

    id: UUID = Field(alias="tenant_id")
    slug: str
    name: str


class RoleHeld(Schema):
    """A role, with the project it is limited to."""

    role: Role
    project_id: UUID | None = Field(description="Empty: for the whole tenant.")


class Me(Schema):
    """The signed-in member."""

    id: UUID
    name: str
    email: str
    tenant: TenantOut
    roles: list[RoleHeld]
    permissions: list[Permission] = Field(
        description="What the roles (and the token) allow, at least somewhere."
    )


@router.get("", response={200: Me, 401: Problem}, by_alias=False)
def read_me(request: PortalRequest) -> dict[str, object]:
    """The signed-in member with their roles."""
    held = held_by(request.actor)
    return {
        "id": request.user.pk,
        "name": request.user.name,
        "email": request.user.email,
        "tenant": current(),
        "roles": [{"role": role, "project_id": project_id} for role, project_id in held],
        "permissions": sorted(
            permission
            for permission in {permission for role, _ in held for permission in ROLES[role]}
            if request.actor.only is None or permission in request.actor.only
        ),
    }
