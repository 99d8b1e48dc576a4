"""Sharing one project or request with a person or a team, until a day or for good."""

from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from authz import teams
from authz.decisions import require
from authz.errors import BadRequest, Conflict
from authz.models import Share, Team
from authz.permissions import Permission
from portal.directory import person_or_team
from portal.http import PortalRequest
from portal.things import Known, thing_seen_by

FIELDS = ("email", "team", "until")


@require_http_methods(["GET", "POST"])
def sharing(request: PortalRequest, kind: str, thing_id: UUID) -> HttpResponse:
    """With whom it is shared. Posting shares it, or changes until when."""
    known = _found(request, kind, thing_id)
    if request.method == "GET":
        require(request.actor, Permission.SHARE_CHANGE, known.thing)
        return _page(request, known, {}, {})
    typed = {name: request.POST.get(name, "").replace("\0", "").strip() for name in FIELDS}
    try:
        with_ = person_or_team(typed["email"], typed["team"])
        teams.share(known.thing, with_, until=_until(typed["until"]), by=request.actor)
    except BadRequest as refusal:
        return _page(request, known, typed, refusal.errors, 422)
    except Conflict as refusal:
        return _page(request, known, typed, {"email": str(refusal)}, 409)
    messages.success(request, f"{with_.name} can look at this {known.called} now.")
    return redirect("sharing", kind, thing_id)


@require_POST
def end(request: PortalRequest, kind: str, thing_id: UUID, share_id: UUID) -> HttpResponse:
    """Take one share back."""
    known = _found(request, kind, thing_id)
    require(request.actor, Permission.SHARE_CHANGE, known.thing)
    shares = Share.objects.filter(object_type=kind, object_id=thing_id)
    row: Share = get_object_or_404(shares.select_related("user", "team"), pk=share_id)
    with_ = row.user or row.team
    assert with_ is not None  # the table has a constraint: one of both
    teams.unshare(known.thing, with_, by=request.actor)
    messages.success(request, f"This {known.called} is not shared with {with_.name} any more.")
    return redirect("sharing", kind, thing_id)


def _found(request: PortalRequest, kind: str, thing_id: UUID) -> Known:
    if kind not in Share.ObjectType.values:
        raise Http404(kind)
    return thing_seen_by(request.actor, kind, thing_id)


def _until(typed: str) -> datetime | None:
    """The end (UTC) of the day that was typed; None for no day."""
    if not typed:
        return None
    try:
        day = date.fromisoformat(typed)
    except ValueError:
        raise BadRequest(
            {"until": f"“{typed}” is not a day; expected year-month-day, such as 2027-03-31"}
        ) from None
    if day == date.max:
        raise BadRequest({"until": "is too far away; leave it empty for no end"})
    return datetime.combine(day + timedelta(days=1), time(), UTC)


def _page(
    request: PortalRequest,
    known: Known,
    typed: dict[str, str],
    errors: dict[str, str],
    status: int = 200,
) -> HttpResponse:
    context = {
        "known": known,
        "shares": teams.shares_of(known.thing),
        "teams": Team.objects.all(),
        "typed": typed,
        "errors": errors,
    }
    return render(request, "sharing/sharing.html", context, status=status)
