"""The members of the tenant, as far as the one who asks may know them."""

from uuid import UUID

from django.db.models import Prefetch, Q, QuerySet
from django.shortcuts import get_object_or_404

from authz.decisions import may, require, visible
from authz.errors import BadRequest
from authz.models import Grant, Team
from authz.people import AsTenant
from authz.permissions import Permission
from authz.roles import Role
from tenants.actor import Actor
from tenants.models import Membership, Project, User


def members_seen_by(actor: Actor, tenant: AsTenant) -> QuerySet[User]:
    """Active ones among known_members_seen_by()."""
    return known_members_seen_by(actor, tenant).filter(membership__state=Membership.State.ACTIVE)


def known_members_seen_by(actor: Actor, tenant: AsTenant) -> QuerySet[User]:
    """Active and suspended accounts by name, with membership and grants at hand.

    Somebody whose roles are for some projects sees those projects' people, besides those who
    hold roles for the whole tenant. Raises Denied (recorded) for somebody without any.
    """
    grants = Grant.objects.select_related("project").order_by("project__name", "role")
    everyone: QuerySet[User] = User.objects.exclude(membership__state=Membership.State.REMOVED)
    if not may(actor, Permission.MEMBER_VIEW, tenant):
        projects = list(projects_seen_by(actor))
        if not projects:
            require(actor, Permission.MEMBER_VIEW, tenant)
        grants = grants.filter(Q(project=None) | Q(project__in=projects))
        everyone = everyone.filter(pk__in=grants.order_by().values("user_id"))
    return (
        everyone.select_related("membership")
        .prefetch_related(Prefetch("grants", queryset=grants))
        .order_by("name", "pk")
    )


def human(members: QuerySet[User]) -> QuerySet[User]:
    """The people among `members`; agents are not hired or dismissed like people."""
    return members.filter(kind=User.Kind.HUMAN)


def projects_seen_by(actor: Actor) -> QuerySet[Project]:
    """Projects whose people the actor may see, by name."""
    return visible(actor, Permission.MEMBER_VIEW, Project.objects.order_by("name"))


def project_seen_by(actor: Actor, project_id: UUID | None) -> Project | None:
    """One of projects_seen_by(), or None when none is asked for. Raises Http404."""
    if project_id is None:
        return None
    return get_object_or_404(projects_seen_by(actor), pk=project_id)


def member_by_email(email: str) -> User:
    """The active person with that address, for those who may give them something.

    Raises BadRequest: for a typed address, the same for a stranger and for somebody who left.
    """
    found = User.objects.filter(
        email=email.strip().lower(),
        kind=User.Kind.HUMAN,
        membership__state=Membership.State.ACTIVE,
    ).first()
    if found is None:
        raise BadRequest({"email": f"nobody here has the address {email.strip()}"})
    return found


def person_or_team(email: str, slug: str) -> User | Team:
    """The one of both that was named, by address or by short name. Raises BadRequest."""
    if bool(email.strip()) == bool(slug.strip()):
        raise BadRequest({"email": "give a person's e-mail address or choose a team, one of both"})
    if email.strip():
        return member_by_email(email)
    found: Team | None = Team.objects.filter(slug=slug.strip()).first()
    if found is None:
        raise BadRequest({"team": "choose one from the list"})
    return found


def tenant_admins() -> QuerySet[User]:
    """Active people who can change roles here, by name."""
    return User.objects.filter(
        kind=User.Kind.HUMAN,
        membership__state=Membership.State.ACTIVE,
        grants__role=Role.TENANT_ADMIN,
    ).order_by("name")
