"""Repositories that the agent may propose changes to."""

from datetime import datetime
from uuid import UUID

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone
from ninja import File, Form, Query, Router, Schema, Status
from ninja.files import UploadedFile
from pydantic import ConfigDict, Field

from agent import archives, repositories
from agent.models import Repository
from authz.decisions import require, visible
from authz.permissions import Permission
from portal.api.paging import Page, Paging
from portal.api.problems import CHANGE, READ_MANY
from portal.directory import projects_seen_by
from portal.http import PortalRequest

router = Router(tags=["Repositories"])


class RepositoryOut(Schema):
    """A repository on a forge."""

    id: UUID
    name: str
    project_id: UUID
    forge: str
    default_branch: str
    created_at: datetime


class RepositoryIn(Schema):
    """A repository to be."""

    model_config = ConfigDict(extra="forbid")

    project: UUID
    name: str = Field(description="Letters, digits, hyphens and underscores.")


@router.get("", response={200: Page[RepositoryOut], **READ_MANY})
def list_repositories(request: PortalRequest, paging: Query[Paging]) -> dict[str, object]:
    """Repositories that the caller may see, by name."""
    rows: QuerySet[Repository] = Repository.objects.order_by("name")
    return paging.of(visible(request.actor, Permission.REPOSITORY_VIEW, rows))


@router.post("", response={201: RepositoryOut, **CHANGE})
def add_repository(
    request: PortalRequest, said: Form[RepositoryIn], file: File[UploadedFile | None] = None
) -> Status[Repository]:
    """Add a repository to a project; `file` is a ZIP archive of what it begins with.

    Takes a person who is signed in. Without a file it begins with a README.md.
    """
    project = get_object_or_404(projects_seen_by(request.actor), pk=said.project)
    require(request.actor, Permission.REPOSITORY_REGISTER, project)
    archives.check_size(file.size if file else 0)
    repository = repositories.register(
        said.name,
        project=project,
        files=archives.files_of(file.read()) if file else {},
        written=timezone.now(),
        by=request.actor,
    )
    return Status(201, repository)
