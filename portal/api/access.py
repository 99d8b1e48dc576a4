"""Teams, shares, who may do what, access reviews: the same calls as behind their pages."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import Http404
from django.shortcuts import get_object_or_404
from ninja import Query, Router, Schema, Status
from pydantic import ConfigDict, Field

from authz import access, access_reviews, teams
from authz.decisions import require
from authz.models import AccessReview, AccessReviewItem, Share, Team
from authz.people import AsTenant
from authz.permissions import Permission
from authz.relations import object_of
from portal.api.fields import Named, Text, one_of
from portal.api.paging import Page, Paging
from portal.api.problems import CHANGE, READ_MANY, READ_ONE
from portal.directory import member_by_email, person_or_team
from portal.http import PortalRequest
from portal.things import KINDS, thing_seen_by
from tenants.models import Project, User
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


class ReviewIn(Schema):
    """A review to start."""

    days: int = Field(21, description="Within how many days it has to be answered, 1 to 90.")


class ItemsWanted(Schema):
    """Which items of a review."""

    answer: str = one_of(["", *AccessReviewItem.Answer.values], "Only those with it.", "")
    mine: bool = Field(False, description="Only those that wait for you, or did.")


class ReviewItemOut(Schema):
    """One role, share or team membership under review, as it was when the review began."""

    id: UUID
    kind: str = one_of(AccessReviewItem.Kind.values)
    what: str
    whose: str
    project: Named | None
    source: str
    given_at: datetime
    until: datetime | None = Field(description="Empty: for good.")
    reviewer: Named | None
    answer: str = one_of(AccessReviewItem.Answer.values)
    reason: str
    answered_by: str
    answered_at: datetime | None


class AnswerIn(Schema):
    """What a reviewer says of one item."""

    model_config = ConfigDict(extra="forbid")

    keep: bool = Field(description="False: end it.")
    reason: Text = Field("", max_length=500, description="Needed to end it.")


class ClosingIn(Schema):
    """How a review ends."""

    note: Text = Field("", max_length=500, description="Needed while items wait.")


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
    """Access reviews that were started, newest first, for those who review or audit anything."""
    access_reviews.items_seen_by(request.actor)
    return [_review(one) for one in access_reviews.started()]


@router.post("/reviews", response={201: ReviewOut, **CHANGE})
def start_review(request: PortalRequest, wanted: ReviewIn) -> Status[dict[str, Any]]:
    """Start a review of everything that is held now. Answers 409 while another one is open."""
    return Status(201, _review(access_reviews.start(wanted.days, by=request.actor)))


@router.get("/reviews/{review_id}", response={200: ReviewOut, **READ_ONE})
def read_review(request: PortalRequest, review_id: UUID) -> dict[str, Any]:
    """How far one review is."""
    return _review(_review_seen_by(request, review_id))


@router.get("/reviews/{review_id}/items", response={200: Page[ReviewItemOut], **READ_ONE})
def list_review_items(
    request: PortalRequest, review_id: UUID, paging: Query[Paging], wanted: Query[ItemsWanted]
) -> dict[str, Any]:
    """What a review asks about: all of it, or what is held in the projects that you review."""
    rows = _items_seen_by(request, review_id).order_by("what", "pk")
    if wanted.answer:
        rows = rows.filter(answer=wanted.answer)
    if wanted.mine:
        rows = rows.filter(reviewer=request.actor.user_id)
    found = paging.of(rows)
    return found | {"items": [_item(one) for one in found["items"]]}


@router.put("/reviews/{review_id}/items/{item_id}", response={200: ReviewItemOut, **CHANGE})
def answer_review_item(
    request: PortalRequest, review_id: UUID, item_id: UUID, said: AnswerIn
) -> dict[str, Any]:
    """Keep one item, or end what it is about with a reason.

    Answers 409 when it is your own, was answered already, or the review is closed.
    """
    items = _items_seen_by(request, review_id)
    item = get_object_or_404(items, pk=item_id)
    access_reviews.answer(item, said.keep, said.reason, by=request.actor)
    return _item(items.get(pk=item_id))


@router.put(
    "/reviews/{review_id}/items/{item_id}/reviewer", response={200: ReviewItemOut, **CHANGE}
)
def assign_review_item(
    request: PortalRequest, review_id: UUID, item_id: UUID, person: PersonIn
) -> dict[str, Any]:
    """Give one item to another reviewer. Answers 409 for somebody who may not answer it."""
    items = _items_seen_by(request, review_id)
    item = get_object_or_404(items, pk=item_id)
    access_reviews.assign(item, member_by_email(person.email), by=request.actor)
    return _item(items.get(pk=item_id))


@router.post("/reviews/{review_id}/close", response={200: ReviewOut, **CHANGE})
def close_review(request: PortalRequest, review_id: UUID, said: ClosingIn) -> dict[str, Any]:
    """End a review. While items wait, a note has to say why."""
    review = _review_seen_by(request, review_id)
    access_reviews.close(review, said.note, by=request.actor)
    review.refresh_from_db()
    return _review(review)


@router.get("/reviews/{review_id}/evidence", response={200: dict[str, Any], **READ_ONE})
def review_evidence(request: PortalRequest, review_id: UUID) -> dict[str, Any]:
    """One review in full, as schemas/access-review.schema.json describes it."""
    require(request.actor, Permission.LEDGER_VIEW, AsTenant(current_tenant_id()))
    return access_reviews.evidence_of(get_object_or_404(access_reviews.started(), pk=review_id))


def _review_seen_by(request: PortalRequest, review_id: UUID) -> AccessReview:
    access_reviews.items_seen_by(request.actor)
    review: AccessReview = get_object_or_404(access_reviews.started(), pk=review_id)
    return review


def _items_seen_by(request: PortalRequest, review_id: UUID) -> QuerySet[AccessReviewItem]:
    seen = access_reviews.items_seen_by(request.actor)
    review = get_object_or_404(access_reviews.started(), pk=review_id)
    return seen.filter(review=review).select_related("user", "project", "reviewer", "review")


def _team_seen_by(request: PortalRequest, team_id: UUID) -> Team:
    require(request.actor, Permission.MEMBER_VIEW, AsTenant(current_tenant_id()))
    team: Team = get_object_or_404(Team, pk=team_id)
    return team


def _shared(request: PortalRequest, kind: str, thing_id: UUID) -> Any:
    if kind not in Share.ObjectType.values:
        raise Http404(kind)
    return thing_seen_by(request.actor, kind, thing_id).thing


def _review(review: AccessReview) -> dict[str, Any]:
    return {
        "id": review.pk,
        "number": review.number,
        "state": review.state,
        "started_at": review.started_at,
        "due_at": review.due_at,
        "closed_at": review.closed_at,
        "counts": access_reviews.progress(review),
    }


def _item(item: AccessReviewItem) -> dict[str, Any]:
    return {
        "id": item.pk,
        "kind": item.kind,
        "what": item.what,
        "whose": item.user.name if item.user else item.holder,
        "project": _named(item.project) if item.project else None,
        "source": item.source,
        "given_at": item.given_at,
        "until": item.expires_at,
        "reviewer": _named(item.reviewer) if item.reviewer else None,
        "answer": item.answer,
        "reason": item.reason,
        "answered_by": item.answered_by_name,
        "answered_at": item.answered_at,
    }


def _named(one: User | Team | Project) -> dict[str, Any]:
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
