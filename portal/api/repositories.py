"""Repositories that the agent may propose changes to."""

from datetime import datetime
from uuid import UUID

from django.db.models import QuerySet
from ninja import Query, Router, Schema

from agent.models import Repository
from authz.decisions import visible
from authz.permissions import Permission
from portal.api.paging import Page, Paging
from portal.api.problems import READ_MANY
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


@router.get("", response={200: Page[RepositoryOut], **READ_MANY})
def list_repositories(request: PortalRequest, paging: Query[Paging]) -> dict[str, object]:
    """Repositories that the caller may see, by name."""
    rows: QuerySet[Repository] = Repository.objects.order_by("name")
    return paging.of(visible(request.actor, Permission.REPOSITORY_VIEW, rows))
