"""The objects that rights are about, as far as the one who asks may know them."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import Http404
from django.shortcuts import get_object_or_404
from django.urls import reverse

from agent.models import Proposal, Repository, Task
from authz.decisions import visible
from authz.permissions import Permission
from evidence.models import Pack
from tenants.actor import Actor
from tenants.models import Project

# Type of authz.model -> its rows, the permission by which somebody knows of one, its title.
KINDS: dict[str, tuple[type[Any], Permission, str]] = {
    "project": (Project, Permission.TASK_VIEW, "name"),
    "repository": (Repository, Permission.REPOSITORY_VIEW, "name"),
    "task": (Task, Permission.TASK_VIEW, "goal"),
    "proposal": (Proposal, Permission.PROPOSAL_VIEW, "title"),
    "pack": (Pack, Permission.PACK_EXPORT, "title"),
}
# What people call a thing of each type.
CALLED = {
    "tenant": "tenant",
    "project": "project",
    "repository": "repository",
    "task": "request",
    "proposal": "proposal",
    "pack": "evidence pack",
}
PAGES = {"project": "project", "task": "recommendation", "proposal": "proposal", "pack": "pack"}


@dataclass(frozen=True)
class Known:
    """One object that somebody may know. kind: its type in authz.model."""

    kind: str
    thing: Any
    title: str

    @property
    def called(self) -> str:
        return CALLED[self.kind]

    @property
    def address(self) -> str:
        """The page about it; a repository's is that of its project."""
        if self.kind == "repository":
            return reverse("project", args=[self.thing.project_id])
        return reverse(PAGES[self.kind], args=[self.thing.pk])


def thing_seen_by(actor: Actor, kind: str, id: UUID) -> Known:
    """One object. Raises Http404 for what is not there, or nobody told the actor of."""
    if kind not in KINDS:
        raise Http404(kind)
    _, _, title = KINDS[kind]
    thing = get_object_or_404(things_seen_by(actor, kind), pk=id)
    return Known(kind, thing, getattr(thing, title))


def things_seen_by(actor: Actor, kind: str) -> QuerySet[Any]:
    """All objects of a type that the actor may know. kind: one of KINDS."""
    model, permission, _ = KINDS[kind]
    return visible(actor, permission, model._default_manager.all())


def titles_seen_by(actor: Actor, kind: str, ids: list[UUID]) -> dict[UUID, str]:
    """Titles of those objects that the actor may know; the others are left out."""
    title = KINDS[kind][2]
    rows = things_seen_by(actor, kind).filter(pk__in=ids)
    return dict(rows.values_list("pk", title))
