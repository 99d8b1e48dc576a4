"""The customer's directory: who may tell us who is here, what its groups mean."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from ninja import Query, Router, Schema, Status
from pydantic import Field

from authz import directory, groups
from authz.decisions import require
from authz.models import GroupRole
from authz.people import AsTenant
from authz.permissions import Permission
from authz.roles import Role
from portal.api.fields import Named, Text
from portal.api.members import ProjectOut
from portal.api.paging import Page, Paging
from portal.api.problems import CHANGE, READ, READ_ONE
from portal.directory import project_seen_by
from portal.http import PortalRequest
from tenants.models import DirectoryClient
from tenants.scope import current_tenant_id

router = Router(tags=["Directory"])


class ClientOut(Schema):
    """A directory that may write here over SCIM, without its secrets."""

    id: UUID = Field(description="Its OAuth client id too.")
    name: str
    token_hint: str = Field(description="First characters of its token.")
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    used_at: datetime | None


class NewClientOut(ClientOut):
    """A directory with the secrets that were just made; they are never shown again."""

    token: str = Field(description="For directories that send a bearer token.")
    client_secret: str = Field(description="For directories that use OAuth client credentials.")


class ClientIn(Schema):
    """A directory to let in."""

    name: Text = Field(max_length=100, examples=["Entra ID"])


class RequestOut(Schema):
    """One request of a directory."""

    at: datetime
    method: str
    path: str
    status: int
    problem: str = Field(description="In plain words; empty when it went well.")


class Which(Schema):
    """Which requests."""

    only_problems: bool = False


class MeaningOut(Schema):
    """A role that members of a group hold."""

    role: Role
    project: ProjectOut | None = Field(description="Empty: for the whole tenant.")


class GroupOut(Schema):
    """A group that was told by the directory or at a sign-in, or that has a meaning."""

    group: str
    people: int
    roles: list[MeaningOut]


class MeaningIn(Schema):
    """What a group shall mean in one project or (empty) the whole tenant."""

    group: Text = Field(max_length=255, examples=["Engineering"])
    roles: list[Role]
    project: UUID | None = None


class PlacedRole(Schema):
    """A role with the project it is limited to."""

    role: Role
    project_id: UUID | None = Field(description="Empty: for the whole tenant.")


class EffectOut(Schema):
    """What a mapping would do to one person."""

    person: Named
    gains: list[PlacedRole]
    loses: list[PlacedRole]


@router.get("/clients", response={200: list[ClientOut], **READ})
def list_directory_clients(request: PortalRequest) -> Any:
    """Every directory that was ever let in, oldest first."""
    _require(request)
    return directory.clients()


@router.post("/clients", response={201: NewClientOut, **CHANGE})
def add_directory_client(
    request: PortalRequest, wanted: ClientIn, response: HttpResponse
) -> Status[DirectoryClient]:
    """Let a directory in. Its secrets are in this answer and nowhere else."""
    return Status(
        201, _with_secrets(response, *directory.add_client(wanted.name, by=request.actor))
    )


@router.post("/clients/{client_id}/renewal", response={200: NewClientOut, **CHANGE})
def renew_directory_client(
    request: PortalRequest, client_id: UUID, response: HttpResponse
) -> DirectoryClient:
    """New secrets; the old ones stop working at once. Answers 409 for a revoked one."""
    client = _client(request, client_id)
    return _with_secrets(response, *directory.renew_client(client, by=request.actor))


@router.delete("/clients/{client_id}", response={204: None, **CHANGE})
def revoke_directory_client(request: PortalRequest, client_id: UUID) -> Status[None]:
    """Let a directory in no more; its people and groups stay as they are."""
    directory.revoke_client(_client(request, client_id), by=request.actor)
    return Status(204, None)


@router.get("/clients/{client_id}/requests", response={200: Page[RequestOut], **READ_ONE})
def list_directory_requests(
    request: PortalRequest, client_id: UUID, which: Query[Which], paging: Query[Paging]
) -> dict[str, object]:
    """What a directory asked lately, newest first."""
    client = _client(request, client_id)
    return paging.of(directory.last_requests(client, which.only_problems))


@router.get("/groups", response={200: list[GroupOut], **READ}, by_alias=False)
def list_groups(request: PortalRequest) -> list[dict[str, Any]]:
    """Every known group by name, with how many people are in it and what it means."""
    _require(request)
    meanings: dict[str, list[GroupRole]] = {}
    for row in GroupRole.objects.select_related("project"):
        meanings.setdefault(row.group, []).append(row)
    return [
        {"group": group, "people": people, "roles": meanings.get(group, [])}
        for group, people in groups.known_groups().items()
    ]


@router.post("/groups/effects", response={200: list[EffectOut], **CHANGE})
def preview_group_meaning(request: PortalRequest, wanted: MeaningIn) -> list[dict[str, Any]]:
    """Who would gain or lose which roles if the group meant this. Changes nothing."""
    _require(request)
    project = project_seen_by(request.actor, wanted.project)
    return [
        {
            "person": effect.user,
            "gains": [{"role": role, "project_id": place} for role, place in effect.gains],
            "loses": [{"role": role, "project_id": place} for role, place in effect.loses],
        }
        for effect in groups.effects_of(wanted.group, wanted.roles, project)
    ]


@router.put("/groups/meaning", response={204: None, **CHANGE})
def change_group_meaning(request: PortalRequest, wanted: MeaningIn) -> Status[None]:
    """Replace what a group means in one place; everybody it concerns changes at once."""
    _require(request)
    project = project_seen_by(request.actor, wanted.project)
    groups.map_group(wanted.group, wanted.roles, project=project, by=request.actor)
    return Status(204, None)


def _require(request: PortalRequest) -> None:
    require(request.actor, Permission.DIRECTORY_CHANGE, AsTenant(current_tenant_id()))


def _client(request: PortalRequest, client_id: UUID) -> DirectoryClient:
    _require(request)
    return get_object_or_404(directory.clients(), pk=client_id)


def _with_secrets(
    response: HttpResponse, client: DirectoryClient, token: str, secret: str
) -> DirectoryClient:
    # For the answer alone; the row holds digests.
    client.token, client.client_secret = token, secret  # type: ignore[attr-defined]
    response["Cache-Control"] = "no-store"
    return client
