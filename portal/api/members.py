"""Members: who is here, with which roles; joining, changing, leaving."""

from datetime import datetime
from uuid import UUID

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from ninja import Query, Router, Schema, Status
from pydantic import Field

from authz import people
from authz.roles import Role
from portal.api.fields import Text, one_of
from portal.api.paging import Page, Paging
from portal.api.problems import CHANGE, READ_MANY
from portal.directory import human, members_seen_by, project_seen_by
from portal.http import PortalRequest
from tenants.models import User
from tenants.scope import current_tenant_id

router = Router(tags=["Members"])


class ProjectOut(Schema):
    """A project."""

    id: UUID
    slug: str
    name: str


class GrantOut(Schema):
    """A role that somebody holds."""

    role: Role
    project: ProjectOut | None = Field(description="Empty: for the whole tenant.")
    source: str


class MemberOut(Schema):
    """An active account. Adding a field is safe; removing one is not."""

    id: UUID
    email: str
    name: str
    kind: str = one_of(User.Kind.values)
    source: str = Field(alias="membership.source", description="By which way they came.")
    since: datetime = Field(alias="membership.since")
    roles: list[GrantOut] = Field(alias="grants")


class MemberIn(Schema):
    """Somebody to admit."""

    email: Text = Field(
        max_length=254, examples=["ada@example.com"], json_schema_extra={"format": "email"}
    )
    name: Text = Field(max_length=200)
    roles: list[Role]
    project: UUID | None = Field(
        None, description="What project roles are given for; empty: for the whole tenant."
    )


class RolesIn(Schema):
    """Roles to hold from now on, in one project or (empty) in the whole tenant."""

    roles: list[Role]
    project: UUID | None = None


@router.get("", response={200: Page[MemberOut], **READ_MANY}, by_alias=False)
def list_members(request: PortalRequest, paging: Query[Paging]) -> dict[str, object]:
    """Active members by name, agents included, with their roles."""
    return paging.of(_seen_by(request))


@router.post("", response={201: MemberOut, **CHANGE}, by_alias=False)
def admit_member(request: PortalRequest, person: MemberIn) -> Status[User]:
    """Make a person a member. Answers 409 when they are one already."""
    user = people.admit(
        person.email,
        person.name,
        person.roles,
        tenant=people.AsTenant(current_tenant_id()),
        project=project_seen_by(request.actor, person.project),
        by=request.actor,
    )
    return Status(201, _seen_by(request).get(pk=user.pk))


@router.put("/{member_id}/roles", response={200: MemberOut, **CHANGE}, by_alias=False)
def change_roles(request: PortalRequest, member_id: UUID, wanted: RolesIn) -> User:
    """Replace a person's roles for one project, or for the whole tenant.

    Answers 409 when the tenant would be left without an admin.
    """
    people.change_roles(
        _person(request, member_id),
        wanted.roles,
        project=project_seen_by(request.actor, wanted.project),
        by=request.actor,
    )
    return get_object_or_404(_seen_by(request), pk=member_id)


@router.delete("/{member_id}", response={204: None, **CHANGE})
def remove_member(request: PortalRequest, member_id: UUID) -> Status[None]:
    """End a person's membership: roles are taken, open sessions end, the record stays."""
    people.remove(_person(request, member_id), by=request.actor)
    return Status(204, None)


def _seen_by(request: PortalRequest) -> QuerySet[User]:
    return members_seen_by(request.actor, people.AsTenant(current_tenant_id()))


def _person(request: PortalRequest, member_id: UUID) -> User:
    return get_object_or_404(human(_seen_by(request)), pk=member_id)
