"""Teams, and what is shared with people and teams besides what their roles let them see."""

from datetime import datetime
from types import SimpleNamespace
from typing import Any, ClassVar, Protocol
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import connection
from django.utils import timezone

from authz.change import change
from authz.errors import BadRequest, Conflict
from authz.models import Share, Team, TeamMember
from authz.people import AsTenant
from authz.permissions import Permission
from tenants.actor import Actor
from tenants.models import User
from tenants.scope import current_tenant_id

# Whoever puts a team into a team holds this lock of the tenant's: first number. Two who did so
# at the same moment, one each way, would otherwise make a circle that neither sees.
TEAM_LOCK = 0x7465616D

# Whether the first team is the second, or contains it.
_CONTAINS = """
    WITH RECURSIVE inside (id) AS (
        SELECT %s::uuid
        UNION
        SELECT m.nested_id FROM inside i JOIN authz_teammember m ON m.team_id = i.id
        WHERE m.nested_id IS NOT NULL
    )
    SELECT EXISTS (SELECT FROM inside WHERE id = %s)
"""


class Shared(Protocol):
    """A project or a task."""

    _meta: ClassVar[Any]

    @property
    def pk(self) -> UUID: ...

    @property
    def project_id(self) -> UUID: ...


def create_team(slug: str, name: str, *, by: Actor) -> Team:
    """Add a team without members. Raises Denied, or BadRequest for a slug that will not do."""
    team = Team(slug=slug, name=name.strip())
    with change(by, Permission.TEAM_CHANGE, on=_tenant()) as facts:
        try:
            team.full_clean(exclude=["tenant"])
        except ValidationError as error:
            raise BadRequest({k: " ".join(v) for k, v in error.message_dict.items()}) from error
        if Team.objects.filter(slug=team.slug).exists():
            raise BadRequest({"slug": f"{team.slug} is the short name of another team"})
        team.save(force_insert=True)
        facts.about = team
        facts.update(step="created", slug=team.slug, name=team.name)
    return team


def remove_team(team: Team, *, by: Actor) -> None:
    """Dissolve a team: nobody has anything through it any more. Raises Denied, or Conflict."""
    with change(by, Permission.TEAM_CHANGE, on=_tenant()) as facts:
        facts.about = team
        facts.update(step="removed", slug=team.slug, name=team.name)
        facts["members"] = team.members.count()
        facts["shares"] = team.shares.count()
        if not Team.objects.filter(pk=team.pk).delete()[0]:
            raise Conflict(f"the team {team.name} is gone already")


def add_member(team: Team, user: User, *, by: Actor) -> None:
    """Put an account into a team. Raises Denied; Conflict when it is in, or is no member here."""
    with change(by, Permission.TEAM_CHANGE, on=_tenant()) as facts:
        facts.about = team
        facts.update(step="member added", team=team.slug, email=user.email)
        if not user.is_active:
            raise Conflict(f"{user.email} is not a member any more")
        _, added = TeamMember.objects.get_or_create(team=_standing(team), user=user, nested=None)
        if not added:
            raise Conflict(f"{user.email} is in {team.name} already")


def remove_member(team: Team, user: User, *, by: Actor) -> None:
    """Take an account out of a team. Raises Denied, or Conflict when it is not in."""
    with change(by, Permission.TEAM_CHANGE, on=_tenant()) as facts:
        facts.about = team
        facts.update(step="member removed", team=team.slug, email=user.email)
        if not TeamMember.objects.filter(team=team, user=user).delete()[0]:
            raise Conflict(f"{user.email} is not in {team.name}")


def nest(inner: Team, outer: Team, *, by: Actor) -> None:
    """Make all members of `inner`, now and later, members of `outer`.

    Raises Denied; Conflict when they are already, or `outer` is in `inner`: a circle.
    """
    with change(by, Permission.TEAM_CHANGE, on=_tenant()) as facts:
        facts.about = outer
        facts.update(step="team added", team=outer.slug, nested=inner.slug)
        with connection.cursor() as cursor:
            lock = [TEAM_LOCK, int.from_bytes(current_tenant_id().bytes[:4], signed=True)]
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", lock)
            cursor.execute(_CONTAINS, [inner.pk, outer.pk])
            if cursor.fetchone()[0]:
                raise Conflict(
                    f"{outer.name} is in {inner.name}: each would contain the other"
                    if inner != outer
                    else f"{inner.name} cannot contain itself"
                )
        _, added = TeamMember.objects.get_or_create(
            team=_standing(outer), nested=_standing(inner), user=None
        )
        if not added:
            raise Conflict(f"{inner.name} is in {outer.name} already")


def unnest(inner: Team, outer: Team, *, by: Actor) -> None:
    """Take a team out of a team. Raises Denied, or Conflict when it is not in."""
    with change(by, Permission.TEAM_CHANGE, on=_tenant()) as facts:
        facts.about = outer
        facts.update(step="team removed", team=outer.slug, nested=inner.slug)
        if not TeamMember.objects.filter(team=outer, nested=inner).delete()[0]:
            raise Conflict(f"{inner.name} is not in {outer.name}")


def share(thing: Shared, with_: User | Team, *, until: datetime | None = None, by: Actor) -> Share:
    """Let a person or a team look at one project or task, until a moment or for good.

    Shared already: the moment is changed. Raises Denied; BadRequest for a moment that has passed
    or a thing that cannot be shared; Conflict when the person or team is gone.
    """
    kind = _kind(thing)
    if until is not None and until <= timezone.now():
        raise BadRequest({"until": "has passed; give a moment in the future, or none"})
    with change(by, Permission.SHARE_CHANGE, on=thing) as facts:
        facts.update(step="shared", until=until, **_whom(with_))
        if isinstance(with_, User) and not with_.is_active:
            raise Conflict(f"{with_.email} is not a member any more")
        if isinstance(with_, Team):
            _standing(with_)
        shared: Share = Share.objects.update_or_create(
            object_type=kind,
            object_id=thing.pk,
            user=with_ if isinstance(with_, User) else None,
            team=with_ if isinstance(with_, Team) else None,
            defaults={"expires_at": until, "shared_by": by.name},
        )[0]
    return shared


def unshare(thing: Shared, with_: User | Team, *, by: Actor) -> None:
    """Take a share back. Raises Denied, BadRequest, or Conflict when there is none."""
    kind = _kind(thing)
    with change(by, Permission.SHARE_CHANGE, on=thing) as facts:
        facts.update(step="unshared", **_whom(with_))
        gone = Share.objects.filter(
            object_type=kind,
            object_id=thing.pk,
            user=with_ if isinstance(with_, User) else None,
            team=with_ if isinstance(with_, Team) else None,
        ).delete()
        if not gone[0]:
            raise Conflict(f"it is not shared with {with_}")


class _AsShared:
    """What a share is of, for those who have only the share: this floor knows no tasks."""

    def __init__(self, share: Share) -> None:
        self._meta = SimpleNamespace(model_name=share.object_type)
        self.pk = share.object_id


def end_share(share: Share, *, by: Actor) -> None:
    """Take one share back. Raises Denied, or Conflict when it is gone."""
    with change(by, Permission.SHARE_CHANGE, on=_AsShared(share)) as facts:
        with_ = share.user or share.team
        if with_ is None or not Share.objects.filter(pk=share.pk).delete()[0]:
            raise Conflict("it is not shared with them any more")
        facts.update(step="unshared", **_whom(with_))


def shares_of(thing: Shared) -> list[Share]:
    """With whom a project or task is shared, those whose time is over left out."""
    rows = Share.objects.select_related("user", "team").filter(
        object_type=_kind(thing), object_id=thing.pk
    )
    now = timezone.now()
    return [one for one in rows if one.expires_at is None or one.expires_at > now]


def _tenant() -> AsTenant:
    return AsTenant(current_tenant_id())


def _standing(team: Team) -> Team:
    try:
        standing: Team = Team.objects.select_for_update().get(pk=team.pk)
    except Team.DoesNotExist:
        raise Conflict(f"the team {team.name} is gone") from None
    return standing


def _kind(thing: Shared) -> str:
    kind: str = thing._meta.model_name
    if kind not in Share.ObjectType.values:
        raise BadRequest({"thing": f"a {kind} cannot be shared; expected a project or a task"})
    return kind


def _whom(with_: User | Team) -> dict[str, str]:
    return {"email": with_.email} if isinstance(with_, User) else {"team": with_.slug}
