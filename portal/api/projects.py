"""Projects, and how sensitive the work in them is."""

from datetime import datetime
from uuid import UUID

from django.shortcuts import get_object_or_404
from ninja import Query, Router, Schema, Status
from pydantic import ConfigDict, Field

from authz import people
from portal.api.fields import one_of
from portal.api.paging import Page, Paging
from portal.api.problems import CHANGE, READ_MANY, READ_ONE
from portal.directory import projects_seen_by
from portal.http import PortalRequest
from tenants.models import Project
from tenants.scope import current_tenant_id

router = Router(tags=["Projects"])

CLASSIFICATION = "How sensitive the work in it is; policies may look at it."


class ProjectOut(Schema):
    """A project."""

    id: UUID
    slug: str
    name: str
    classification: str = one_of(Project.Classification.values, CLASSIFICATION)
    created_at: datetime


class ProjectIn(Schema):
    """A project to be."""

    model_config = ConfigDict(extra="forbid")

    slug: str = Field(description="Small letters, digits and hyphens; it stands in records.")
    name: str


class ProjectChange(Schema):
    """What may be changed of a project."""

    model_config = ConfigDict(extra="forbid")

    classification: str = one_of(Project.Classification.values, CLASSIFICATION)


@router.get("", response={200: Page[ProjectOut], **READ_MANY})
def list_projects(request: PortalRequest, paging: Query[Paging]) -> dict[str, object]:
    """Projects whose people the caller may see, by name."""
    return paging.of(projects_seen_by(request.actor))


@router.post("", response={201: ProjectOut, **CHANGE})
def create_project(request: PortalRequest, wanted: ProjectIn) -> Status[Project]:
    """Create a project, with an account for the agent. Takes a person who is signed in."""
    tenant = people.AsTenant(current_tenant_id())
    project = people.create_project(wanted.slug, wanted.name, tenant=tenant, by=request.actor)
    return Status(201, project)


@router.get("/{project_id}", response={200: ProjectOut, **READ_ONE})
def read_project(request: PortalRequest, project_id: UUID) -> Project:
    """One project."""
    return _found(request, project_id)


@router.patch("/{project_id}", response={200: ProjectOut, **CHANGE})
def change_project(request: PortalRequest, project_id: UUID, wanted: ProjectChange) -> Project:
    """Say how sensitive the work in a project is. Takes a person who is signed in, no token."""
    project = _found(request, project_id)
    people.classify_project(project, wanted.classification, by=request.actor)
    return project


def _found(request: PortalRequest, project_id: UUID) -> Project:
    return get_object_or_404(projects_seen_by(request.actor), pk=project_id)
