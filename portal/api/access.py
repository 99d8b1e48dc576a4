"""Teams, shares, who may do what, access reviews: the same calls as behind their pages."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.http import Http404
from django.shortcuts import get_object_or_404
from ninja import Query, Router, Schema, Status
from pydantic import Field

from authz import access, access_reviews, teams
from authz.decisions import require
from authz.models import AccessReview, Share, Team
from authz.people import AsTenant
from authz.permissions import Permission
from authz.relations import object_of
from portal.api.fields import Named, Text, one_of
from portal.api.paging import Page, Paging
from portal.api.problems import CHANGE, READ_MANY, READ_ONE
from portal.directory import member_by_email, person_or_team
from portal.http import PortalRequest
from portal.things import KINDS, thing_seen_by
from tenants.models import User
from tenants.scope import current_tenant_id

router = Router(tags=["Access"])


class TeamOut(Schema):
    """A team, with those who are in it directly."""

    id: UUID
    slug: str
    name: str
    people: list[Named]
    teams: list[Named] = Field(description="Teams inside, whose members count as its own.")


class TeamIn(Schema):
    """A team to create."""

    slug: Text = Field(max_length=60, examples=["payments-reviewers"])
    name: Text = Field(max_length=200)


class PersonIn(Schema):
    """An active person, by address."""

    email: Text = Field(max_length=254, examples=["ada@example.com"])


class ShareOut(Schema):
    """A project or request that a person or a team may look at."""

    id: UUID
    person: Named | None = None
    team: Named | None = None
    shared_by: str
    until: datetime | None = Field(None, description="Empty: for good.")


class ShareIn(Schema):
    """With whom to share: the person with an e-mail address, or the team with a short name."""

    email: Text = ""
    team: Text = ""
    until: datetime | None = None


class HoldersOut(Schema):
    """Who may do one thing. Policies look at the circumstances besides."""

    permission: str = one_of(Permission)
    accounts: list[Named] = Field(description="By name; programs too where they may.")


class ReviewOut(Schema):
    """An access review. counts: items altogether and by answer."""

    id: UUID
    number: int
    state: str = one_of(AccessReview.State.values)
    started_at: datetime
    due_at: datetime
    closed_at: datetime | None
    counts: dict[str, int]


@router.get("/teams", response={200: Page[TeamOut], **READ_MANY})
def list_teams(request: PortalRequest, paging: Query[Paging]) -> dict[str, Any]:
    """Every team by name."""
    require(request.actor, Permission.MEMBER_VIEW, AsTenant(current_tenant_id()))
    found = paging.of(Team.objects.prefetch_related("members__user", "members__nested"))
    return found | {"items": [_team(team) for team in found["items"]]}


@router.post("/teams", response={201: TeamOut, **CHANGE})
def create_team(request: PortalRequest, wanted: TeamIn) -> Status[dict[str, Any]]:
    """Create a team without members."""
    return Status(201, _team(teams.create_team(wanted.slug, wanted.name, by=request.actor)))


@router.delete("/teams/{team_id}", response={204: None, **CHANGE})
def dissolve_team(request: PortalRequest, team_id: UUID) -> Status[None]:
    """Dissolve a team: nobody has anything through it any more."""
    teams.remove_team(_team_seen_by(request, team_id), by=request.actor)
    return Status(204, None)


@router.put("/teams/{team_id}/people", response={200: TeamOut, **CHANGE})
def add_to_team(request: PortalRequest, team_id: UUID, person: PersonIn) -> dict[str, Any]:
    """Put a person into a team. Answers 409 when they are in."""
    team = _team_seen_by(request, team_id)
    teams.add_member(team, member_by_email(person.email), by=request.actor)
    return _team(team)


@router.delete("/teams/{team_id}/people/{member_id}", response={204: None, **CHANGE})
def take_out_of_team(request: PortalRequest, team_id: UUID, member_id: UUID) -> Status[None]:
    """Take a person out of a team."""
    team = _team_seen_by(request, team_id)
    inside = User.objects.filter(pk__in=team.members.values("user_id"))
    teams.remove_member(team, get_object_or_404(inside, pk=member_id), by=request.actor)
    return Status(204, None)


@router.get("/shares/{kind}/{thing_id}", response={200: list[ShareOut], **READ_ONE})
def list_shares(request: PortalRequest, kind: str, thing_id: UUID) -> list[dict[str, Any]]:
    """With whom a project or a task is shared."""
    thing = _shared(request, kind, thing_id)
    require(request.actor, Permission.SHARE_CHANGE, thing)
    return [_share(one) for one in teams.shares_of(thing)]


@router.put("/shares/{kind}/{thing_id}", response={200: ShareOut, **CHANGE})
def share(request: PortalRequest, kind: str, thing_id: UUID, wanted: ShareIn) -> dict[str, Any]:
    """Share a project or a task, or change until when."""
    thing = _shared(request, kind, thing_id)
    with_ = person_or_team(wanted.email, wanted.team)
    return _share(teams.share(thing, with_, until=wanted.until, by=request.actor))


@router.delete("/shares/{kind}/{thing_id}/{share_id}", response={204: None, **CHANGE})
def end_share(request: PortalRequest, kind: str, thing_id: UUID, share_id: UUID) -> Status[None]:
    """Take one share back."""
    thing = _shared(request, kind, thing_id)
    require(request.actor, Permission.SHARE_CHANGE, thing)
    found = Share.objects.filter(object_type=kind, object_id=thing_id)
    teams.end_share(get_object_or_404(found, pk=share_id), by=request.actor)
    return Status(204, None)


@router.get("/holders/{kind}/{thing_id}", response={200: list[HoldersOut], **READ_ONE})
def who_may(request: PortalRequest, kind: str, thing_id: UUID) -> list[dict[str, Any]]:
    """Everybody who may do what with a project, repository, task, proposal or pack."""
    if kind not in KINDS:
        raise Http404(kind)
    thing = thing_seen_by(request.actor, kind, thing_id).thing
    require(request.actor, Permission.MEMBER_VIEW, thing)
    found = access.holders(object_of(thing))
    users = User.objects.filter(pk__in=set().union(*found.values())).order_by("name", "pk")
    named = [_named(user) for user in users]
    return [
        {"permission": permission, "accounts": [one for one in named if one["id"] in ids]}
        for permission, ids in found.items()
    ]


@router.get("/reviews", response={200: list[ReviewOut], **READ_MANY})
def list_reviews(request: PortalRequest) -> list[dict[str, Any]]:
    """Access reviews that were started, newest first. For admins and auditors."""
    require(request.actor, Permission.LEDGER_VIEW, AsTenant(current_tenant_id()))
    started = AccessReview.objects.exclude(state=AccessReview.State.DUE)
    return [
        {
            "id": one.pk,
            "number": one.number,
            "state": one.state,
            "started_at": one.started_at,
            "due_at": one.due_at,
            "closed_at": one.closed_at,
            "counts": access_reviews.progress(one),
        }
        for one in started
    ]


@router.get("/reviews/{review_id}/evidence", response={200: dict[str, Any], **READ_ONE})
def review_evidence(request: PortalRequest, review_id: UUID) -> dict[str, Any]:
    """One review in full, as schemas/access-review.schema.json describes it."""
    require(request.actor, Permission.LEDGER_VIEW, AsTenant(current_tenant_id()))
    started = AccessReview.objects.exclude(state=AccessReview.State.DUE)
    return access_reviews.evidence_of(get_object_or_404(started, pk=review_id))


def _team_seen_by(request: PortalRequest, team_id: UUID) -> Team:
    require(request.actor, Permission.MEMBER_VIEW, AsTenant(current_tenant_id()))
    team: Team = get_object_or_404(Team, pk=team_id)
    return team


def _shared(request: PortalRequest, kind: str, thing_id: UUID) -> Any:
    if kind not in Share.ObjectType.values:
        raise Http404(kind)
    return thing_seen_by(request.actor, kind, thing_id).thing


def _named(one: User | Team) -> dict[str, Any]:
    return {"id": one.pk, "name": one.name}


def _team(team: Team) -> dict[str, Any]:
    members = list(team.members.all())
    return _named(team) | {
        "slug": team.slug,
        "people": [_named(row.user) for row in members if row.user],
        "teams": [_named(row.nested) for row in members if row.nested],
    }


def _share(share: Share) -> dict[str, Any]:
    return {
        "id": share.pk,
        "person": _named(share.user) if share.user else None,
        "team": _named(share.team) if share.team else None,
        "shared_by": share.shared_by,
        "until": share.expires_at,
    }
