"""Access reviews: people look at every role, share and team membership, and keep or end each."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.db.models import Count, Max, Q, QuerySet
from django.utils import timezone

from authz import access, people, relations, teams
from authz.change import change
from authz.decisions import may, may_somewhere, require, visible
from authz.errors import BadRequest, Conflict, OwnAccess
from authz.graph import Graph, Ref
from authz.groups import TELLERS
from authz.models import AccessReview, AccessReviewItem, Grant, Share, TeamMember, Tuple
from authz.permissions import Permission
from authz.roles import Role
from tenants.actor import Actor, system_actor
from tenants.models import Membership, Project, User
from tenants.scope import current_tenant_id

FORMAT = "countersign-access-review/1"
EVERY = timedelta(days=91)  # a quarter
DAYS = (1, 90)  # a review may take so many
LONGEST = 500  # characters of a reason or a note
Kind, Answer, State = AccessReviewItem.Kind, AccessReviewItem.Answer, AccessReview.State


def start(days: int, *, by: Actor) -> AccessReview:
    """Begin a review of everything that is held now, to be answered within so many days.

    Every role, share and team membership becomes an item with a reviewer: somebody who decides
    about that place, and never about their own. Raises Denied, BadRequest, or Conflict while
    another review is open.
    """
    if not DAYS[0] <= days <= DAYS[1]:
        raise BadRequest({"days": f"expected a number from {DAYS[0]} to {DAYS[1]}"})
    require(by, Permission.ACCESS_REVIEW_RUN, people.AsTenant(current_tenant_id()))
    reviewers = _Reviewers()
    with change(by, Permission.ACCESS_REVIEW_RUN, on=people.AsTenant(current_tenant_id())) as facts:
        if AccessReview.objects.filter(state=State.OPEN).exists():
            raise Conflict("a review is open already; close it first")
        now = timezone.now()
        review = AccessReview.objects.filter(state=State.DUE).first() or AccessReview(
            number=(AccessReview.objects.aggregate(last=Max("number"))["last"] or 0) + 1
        )
        review.state, review.started_at = State.OPEN, now
        review.due_at = now + timedelta(days=days)
        review.started_by, review.started_by_name = by.id, by.name
        review.revision = str(relations.revision())
        review.save()
        items = [*_roles(now), *_shares(now), *_memberships()]
        for item in items:
            item.review = review
            item.reviewer_id = reviewers.of(item)
        AccessReviewItem.objects.bulk_create(items, batch_size=1000)
        facts.about = review
        facts.update(step="started", items=len(items), due=review.due_at, revision=review.revision)
    return review


def answer(item: AccessReviewItem, keep: bool, reason: str, *, by: Actor) -> None:
    """Confirm one item, or end what it is about, with a reason.

    What a group of the directory gives cannot be ended here: the answer is kept, and the directory
    has to follow. Raises Denied; OwnAccess for what is one's own; BadRequest without a reason to
    end; Conflict when it was answered, or is gone, or the review is closed.
    """
    reason = reason.strip()
    if not keep and not reason:
        raise BadRequest({"reason": "say why it has to end; the record keeps it"})
    if len(reason) > LONGEST:
        raise BadRequest({"reason": f"expected {LONGEST} characters at most"})
    if not keep and item.kind == Kind.ROLE and item.role == Role.AGENT:
        raise BadRequest({"reason": "the agent comes and goes with its project"})
    own = is_own(item, by)
    told = is_told(item)
    if not keep and not told and not own and _open(item):
        # Each ending is a change of its own, under the permission that it takes anywhere else.
        _end(item, by)
    with change(by, permission_for(item), on=item) as facts:
        if own:
            raise OwnAccess("nobody reviews their own access; somebody else has to")
        said = Answer.CONFIRMED if keep else Answer.REPORTED if told else Answer.ENDED
        if keep and not stands(item):
            raise Conflict(f"{item} is gone already; there is nothing to confirm")
        if not _open(item, answer=said, reason=reason, by=by):
            raise Conflict(f"{item} was answered already, or the review is closed")
        facts.update(
            step=said.value,
            review=item.review.number,
            what=item.what,
            reason=reason,
            kind=item.kind,
        )
        facts["whose"] = item.user.email if item.user else item.holder


def assign(item: AccessReviewItem, reviewer: User, *, by: Actor) -> None:
    """Give an item to another reviewer. Raises Denied; Conflict for somebody who may not answer
    it or whose own it is."""
    with change(by, Permission.ACCESS_REVIEW_RUN, on=people.AsTenant(current_tenant_id())) as facts:
        facts.about = item
        facts.update(step="assigned", reviewer=reviewer.email, what=item.what)
        if reviewer.pk not in candidates_for(item):
            raise Conflict(f"{reviewer.name} cannot review this: it is theirs, or not their place")
        # What a closed review says is what its closing entry commits to.
        if not _open(item):
            raise Conflict(f"{item} was answered already, or the review is closed")
        AccessReviewItem.objects.filter(pk=item.pk).update(reviewer=reviewer)


def close(review: AccessReview, note: str, *, by: Actor) -> None:
    """End a review. What ended by itself meanwhile is marked so.

    Raises Denied; BadRequest when items wait and no note says why; Conflict when it is closed.
    """
    note = note.strip()
    with change(by, Permission.ACCESS_REVIEW_RUN, on=people.AsTenant(current_tenant_id())) as facts:
        facts.about = review
        waiting = list(review.items.filter(answer=Answer.WAITING))
        gone = [item.pk for item in waiting if not stands(item)]
        review.items.filter(pk__in=gone).update(answer=Answer.GONE, answered_at=timezone.now())
        left = len(waiting) - len(gone)
        if left and not note:
            raise BadRequest({"note": f"{left} wait for an answer; say why it is closed anyway"})
        closed = AccessReview.objects.filter(pk=review.pk, state=State.OPEN).update(
            state=State.CLOSED,
            closed_at=timezone.now(),
            closed_by=by.id,
            closed_by_name=by.name,
            note=note,
        )
        if not closed:
            raise Conflict("this review is not open")
        review.refresh_from_db()
        facts.update(step="closed", note=note, sha256=digest_of(evidence_of(review)))
        facts.update(progress(review))


def remind() -> None:
    """Note that a review is due when the last one was a quarter ago, or there never was one.

    Done once: the note waits until an admin starts the review. A job calls it for each tenant.
    """
    if not is_due():
        return
    by = system_actor("schedule", "job")
    tenant = people.AsTenant(current_tenant_id())
    with change(by, Permission.ACCESS_REVIEW_REMIND, on=tenant) as facts:
        last = AccessReview.objects.aggregate(last=Max("number"))["last"] or 0
        facts.about = AccessReview.objects.create(number=last + 1, state=State.DUE)
        facts["number"] = last + 1


def is_due() -> bool:
    """Whether nothing is open or due, and a quarter has passed since the last review began."""
    if AccessReview.objects.exclude(state=State.CLOSED).exists():
        return False
    last = AccessReview.objects.aggregate(at=Max("started_at"))["at"]
    since = (
        last or Grant.objects.order_by("created_at").values_list("created_at", flat=True).first()
    )
    return since is not None and since < timezone.now() - EVERY


def is_waiting_for_start() -> bool:
    """Whether the schedule, or who looks now, finds that a review has to be started."""
    return AccessReview.objects.filter(state=State.DUE).exists() or is_due()


def progress(review: AccessReview) -> dict[str, int]:
    """Numbers of items by answer, `items` altogether."""
    found = dict(review.items.order_by().values_list("answer").annotate(Count("pk")))
    return {"items": sum(found.values()), **{one.value: found.get(one, 0) for one in Answer}}


def stands(item: AccessReviewItem) -> bool:
    """Whether what the item is about is still there."""
    return _row(item) is not None


def is_own(item: AccessReviewItem, by: Actor) -> bool:
    """Whether it is the actor's own access, or that of a team they are in."""
    return by.user_id is not None and by.user_id in _whose(item)


def is_told(item: AccessReviewItem) -> bool:
    """Whether a group of the directory gives it, so that only the directory can end it."""
    return item.source in TELLERS


def reviews_somewhere(by: Actor) -> bool:
    """Whether the actor may answer for at least one project."""
    return may_somewhere(by, Permission.ACCESS_REVIEW_ANSWER)


def sees_all(actor: Actor) -> bool:
    """Whether the actor may see every item of every review."""
    tenant = people.AsTenant(current_tenant_id())
    return may(actor, Permission.ACCESS_REVIEW_RUN, tenant) or may(
        actor, Permission.LEDGER_VIEW, tenant
    )


def items_seen_by(actor: Actor) -> QuerySet[AccessReviewItem]:
    """Items of all reviews: all of them, or those of the projects that the actor reviews.

    Raises Denied, recorded, for somebody who reviews nowhere.
    """
    rows: QuerySet[AccessReviewItem] = AccessReviewItem.objects.all()
    if sees_all(actor):
        return rows
    mine = visible(actor, Permission.ACCESS_REVIEW_ANSWER, rows)
    if not reviews_somewhere(actor):
        require(actor, Permission.ACCESS_REVIEW_RUN, people.AsTenant(current_tenant_id()))
    return mine


def started() -> QuerySet[AccessReview]:
    """Every review but one that is only due, newest first."""
    rows: QuerySet[AccessReview] = AccessReview.objects.exclude(state=State.DUE)
    return rows


def overdue(items: QuerySet[AccessReviewItem]) -> QuerySet[AccessReviewItem]:
    """Those that wait though the review's time is over."""
    return items.filter(
        answer=Answer.WAITING, review__state=State.OPEN, review__due_at__lt=timezone.now()
    )


def evidence_of(review: AccessReview) -> dict[str, Any]:
    """A review as JSON values for a pack or an auditor: who looked at what, who said what.

    Each item names the entries of the ledger about it: those on the object with its id. Items are
    in the order of their ids, times are UTC. schemas/access-review.schema.json describes it.
    """
    items = review.items.select_related("user", "reviewer", "project").order_by("pk")
    return {
        "format": FORMAT,
        "review": str(review.pk),
        "number": review.number,
        "state": review.state,
        "revision": review.revision,
        "started_at": _time(review.started_at),
        "started_by": {"id": review.started_by, "name": review.started_by_name},
        "due_at": _time(review.due_at),
        "closed_at": _time(review.closed_at),
        "closed_by": {"id": review.closed_by, "name": review.closed_by_name},
        "note": review.note,
        "counts": progress(review),
        "items": [_item_as_evidence(item) for item in items],
    }


def digest_of(evidence: dict[str, Any]) -> str:
    """SHA-256 (hex) of a review as JSON with sorted keys and no spaces, without people's names.

    The closing entry carries it. Names may change, and a person's may be erased; ids do not.
    """
    spelled = json.dumps(
        _without_names(evidence), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    return sha256(spelled.encode()).hexdigest()


def _without_names(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: _without_names(part)
            for name, part in value.items()
            if name not in ("name", "whose")
        }
    return [_without_names(part) for part in value] if isinstance(value, list) else value


def _item_as_evidence(item: AccessReviewItem) -> dict[str, Any]:
    reviewer = item.reviewer
    return {
        "id": str(item.pk),
        "entries": {"object_type": "accessreviewitem", "object_id": str(item.pk)},
        "kind": item.kind,
        "what": item.what,
        "whose": item.user.name if item.user else item.holder,
        "whose_id": str(item.user_id or item.team_id),
        "project": item.project.slug if item.project else None,
        "source": item.source,
        "given_at": _time(item.given_at),
        "expires_at": _time(item.expires_at),
        "reviewer": {"id": str(reviewer.pk), "name": reviewer.name} if reviewer else None,
        "answer": item.answer,
        "reason": item.reason,
        "answered_by": {"id": item.answered_by, "name": item.answered_by_name},
        "answered_at": _time(item.answered_at),
    }


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


# What is held now --------------------------------------------------------------------------------


def _roles(now: datetime) -> Iterator[AccessReviewItem]:
    """Emergency access is left out: two people decided about it, for some minutes."""
    good = Q(expires_at=None) | Q(expires_at__gt=now)
    rows = Grant.objects.filter(good).exclude(source="emergency")
    rows = rows.exclude(user__membership__state=Membership.State.REMOVED)
    for grant in rows.select_related("project"):
        place = f"the project {grant.project.name}" if grant.project else "the whole tenant"
        yield AccessReviewItem(
            kind=Kind.ROLE,
            row_id=grant.pk,
            user_id=grant.user_id,
            role=grant.role,
            what=f"{Role(grant.role).title} of {place}",
            project_id=grant.project_id,
            source=grant.source,
            given_at=grant.created_at,
            expires_at=grant.expires_at,
        )


def _shares(now: datetime) -> Iterator[AccessReviewItem]:
    rows = Share.objects.filter(Q(expires_at=None) | Q(expires_at__gt=now)).select_related("team")
    tasks = dict(
        Tuple.objects.filter(object_type="task", relation="project").values_list(
            "object_id", "subject_id"
        )
    )
    names = dict(Project.objects.values_list("pk", "name"))
    for share in rows:
        is_project = share.object_type == Share.ObjectType.PROJECT
        project = share.object_id if is_project else tasks.get(share.object_id)
        if project not in names:
            continue  # of something that is gone: it counts for nothing
        request = f"the request T-{str(share.object_id)[:8]} in {names[project]}"
        yield AccessReviewItem(
            kind=Kind.SHARE,
            row_id=share.pk,
            user_id=share.user_id,
            team_id=share.team_id,
            holder=f"Team {share.team.name}" if share.team else "",
            what=f"May look at {f'the project {names[project]}' if is_project else request}",
            project_id=project,
            source=f"by {share.shared_by}"[:220],
            given_at=share.created_at,
            expires_at=share.expires_at,
        )


def _memberships() -> Iterator[AccessReviewItem]:
    for row in TeamMember.objects.select_related("team", "nested"):
        yield AccessReviewItem(
            kind=Kind.MEMBERSHIP,
            row_id=row.pk,
            user_id=row.user_id,
            team_id=row.nested_id,
            holder=f"Team {row.nested.name}" if row.nested else "",
            what=f"In the team {row.team.name}",
            source="admin",
            given_at=row.created_at,
        )


# Who reviews -------------------------------------------------------------------------------------


class _Reviewers:
    """Gives each item to one of those who decide about its place, evenly."""

    def __init__(self) -> None:
        projects = list(Project.objects.values_list("pk", flat=True))
        tenant = access.tenant_ref()

        def everybody(graph: Graph, now: float) -> list[set[int]]:
            wanted: list[tuple[str, Ref]] = [(Permission.ACCESS_REVIEW_RUN, tenant)]
            for place in (Ref("project", id.int) for id in projects):
                wanted.append((Role.PROJECT_ADMIN, place))
                wanted.append((Permission.ACCESS_REVIEW_ANSWER, place))
            return [graph.subjects_with(held, on, "user", now) for held, on in wanted]

        persons = set(User.objects.filter(kind=User.Kind.HUMAN).values_list("pk", flat=True))
        wide, *rest = (
            sorted({UUID(int=id) for id in found} & persons) for found in relations.ask(everybody)
        )
        # By project: its own admins first, then whoever else may.
        self.of_place: dict[UUID | None, list[list[UUID]]] = {None: [wide]}
        for number, project in enumerate(projects):
            self.of_place[project] = rest[2 * number : 2 * number + 2]
        self.given: dict[UUID, int] = {}

    def of(self, item: AccessReviewItem) -> UUID | None:
        """The reviewer with the least to do; None when there is nobody but whose own it is."""
        own = _whose(item)
        for candidates in self.of_place.get(item.project_id, []):
            if others := [one for one in candidates if one not in own]:
                chosen = min(others, key=lambda one: (self.given.get(one, 0), str(one)))
                self.given[chosen] = self.given.get(chosen, 0) + 1
                return chosen
        return None


def permission_for(item: AccessReviewItem) -> Permission:
    """What it takes to answer: project admins do so for their project, the rest is the tenant's."""
    return Permission.ACCESS_REVIEW_ANSWER if item.project_id else Permission.ACCESS_REVIEW_RUN


def candidates_for(item: AccessReviewItem) -> set[UUID]:
    """Accounts that may answer an item."""
    on = Ref("project", item.project_id.int) if item.project_id else access.tenant_ref()
    return relations.subjects_with(permission_for(item), on) - _whose(item)


def _whose(item: AccessReviewItem) -> set[UUID]:
    """Accounts whose own access it is."""
    if item.user_id is not None:
        return {item.user_id}
    return access.members_of(item.team_id) if item.team_id else set()


# One item ----------------------------------------------------------------------------------------


def _row(item: AccessReviewItem) -> Grant | Share | TeamMember | None:
    model: Any = {Kind.ROLE: Grant, Kind.SHARE: Share, Kind.MEMBERSHIP: TeamMember}[Kind(item.kind)]
    found: Grant | Share | TeamMember | None = model.objects.filter(pk=item.row_id).first()
    return found


def _open(
    item: AccessReviewItem, answer: Any = None, reason: str = "", by: Actor | None = None
) -> bool:
    """Whether the item waits in an open review; with an answer, it is given as well."""
    waiting = AccessReviewItem.objects.filter(
        pk=item.pk, answer=Answer.WAITING, review__state=State.OPEN
    )
    if answer is None or by is None:
        return bool(waiting.exists())
    return bool(
        waiting.update(
            answer=answer,
            reason=reason,
            answered_by=by.id,
            answered_by_name=by.name,
            answered_at=timezone.now(),
        )
    )


def _end(item: AccessReviewItem, by: Actor) -> None:
    match _row(item):
        case Grant() as grant:
            people.take_role(grant, by=by)
        case Share() as share:
            teams.end_share(share, by=by)
        case TeamMember(nested=None) as row if row.user:
            teams.remove_member(row.team, row.user, by=by)
        case TeamMember() as row if row.nested:
            teams.unnest(row.nested, row.team, by=by)
        case None:
            pass  # it ended by itself; the answer says that it should have
