"""The team pages: who is in which team, teams in teams, what a change would mean."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import Count, Q
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from authz import access, teams
from authz.decisions import may, require
from authz.errors import BadRequest, Conflict
from authz.models import Share, Team, TeamMember
from authz.people import AsTenant
from authz.permissions import Permission
from portal.directory import members_seen_by, person_or_team
from portal.http import PortalRequest
from portal.pages import lists, previews
from portal.things import CALLED, titles_seen_by
from tenants.models import User
from tenants.scope import current_tenant_id

COLUMNS = {"name": "name", "people": "people", "since": "created_at"}
PEOPLE_OFFERED = 200  # addresses that the browser completes


@require_http_methods(["GET", "POST"])
def listing(request: PortalRequest) -> HttpResponse:
    """Every team. Posting creates one."""
    if request.method == "GET":
        return _list(request, {}, {})
    typed = {name: request.POST.get(name, "").replace("\0", "") for name in ("name", "slug")}
    try:
        team = teams.create_team(typed["slug"], typed["name"], by=request.actor)
    except BadRequest as refusal:
        return _list(request, typed, refusal.errors, 422)
    messages.success(request, f"The team {team.name} is there; put people into it.")
    return redirect("team", team.pk)


@require_GET
def detail(request: PortalRequest, team_id: UUID) -> HttpResponse:
    """One team: its people and teams, what is shared with it."""
    return _page(request, _found(request, team_id))


@require_POST
def add(request: PortalRequest, team_id: UUID) -> HttpResponse:
    """Put a person (by e-mail) or a team into the team, or show what that would change."""
    team = _found(request, team_id)
    typed = {name: request.POST.get(name, "").replace("\0", "").strip() for name in ADDED}
    try:
        member = person_or_team(typed["email"], typed["team"])
        if "preview" in request.POST:
            require(request.actor, Permission.TEAM_CHANGE, AsTenant(current_tenant_id()))
            effects = access.effects(access.member_edit(team, member))
            return _page(request, team, typed, preview=previews.shown(effects))
        if isinstance(member, Team):
            teams.nest(member, team, by=request.actor)
        else:
            teams.add_member(team, member, by=request.actor)
    except BadRequest as refusal:
        return _page(request, team, typed, refusal.errors, status=422)
    except Conflict as refusal:
        field = "team" if typed["team"] else "email"
        return _page(request, team, typed, {field: str(refusal)}, status=409)
    messages.success(request, f"{member.name} is in {team.name} now.")
    return redirect("team", team.pk)


@require_POST
def take_out(request: PortalRequest, team_id: UUID, row_id: UUID) -> HttpResponse:
    """Take a person or a team out of the team."""
    team = _found(request, team_id)
    row = get_object_or_404(
        TeamMember.objects.filter(team=team).select_related("user", "nested"), pk=row_id
    )
    if row.nested:
        teams.unnest(row.nested, team, by=request.actor)
        messages.success(request, f"{row.nested.name} is not in {team.name} any more.")
    elif row.user:
        teams.remove_member(team, row.user, by=request.actor)
        messages.success(request, f"{row.user.name} is not in {team.name} any more.")
    return redirect("team", team.pk)


@require_http_methods(["GET", "POST"])
def remove(request: PortalRequest, team_id: UUID) -> HttpResponse:
    """Asks whether a team shall go, and what its people lose. Posting dissolves it."""
    team = _found(request, team_id)
    if request.method == "POST":
        teams.remove_team(team, by=request.actor)
        messages.success(request, f"The team {team.name} is dissolved.")
        return redirect("teams")
    require(request.actor, Permission.TEAM_CHANGE, AsTenant(current_tenant_id()))
    effects = access.effects(access.dissolve_edit(team))
    context = {"team": team, "preview": previews.shown(effects)}
    return render(request, "teams/remove.html", context)


ADDED = ("email", "team")


def _tenant(request: PortalRequest) -> AsTenant:
    """The tenant, for those who may see its people. Raises Denied, recorded."""
    tenant = AsTenant(current_tenant_id())
    require(request.actor, Permission.MEMBER_VIEW, tenant)
    return tenant


def _found(request: PortalRequest, team_id: UUID) -> Team:
    _tenant(request)
    team: Team = get_object_or_404(Team, pk=team_id)
    return team


def _list(
    request: PortalRequest, typed: dict[str, str], errors: dict[str, str], status: int = 200
) -> HttpResponse:
    tenant = _tenant(request)
    wanted = request.GET.get("q", "").replace("\0", "").strip()
    rows = Team.objects.annotate(
        people=Count("members", filter=Q(members__user__isnull=False), distinct=True),
        inside=Count("members", filter=Q(members__nested__isnull=False), distinct=True),
        shared=Count("shares", distinct=True),
    )
    if wanted:
        rows = rows.filter(Q(name__icontains=wanted) | Q(slug__icontains=wanted))
    context = {
        "wanted": wanted,
        "typed": typed,
        "errors": errors,
        "teams": Team.objects.count(),
        "may_change": may(request.actor, Permission.TEAM_CHANGE, tenant),
        **lists.page_of(request, rows, COLUMNS, first="name"),
    }
    return render(request, "teams/list.html", context, status=status)


def _page(
    request: PortalRequest,
    team: Team,
    typed: dict[str, str] | None = None,
    errors: dict[str, str] | None = None,
    preview: dict[str, Any] | None = None,
    status: int = 200,
) -> HttpResponse:
    tenant = AsTenant(current_tenant_id())
    rows = TeamMember.objects.filter(team=team).select_related("user__membership", "nested")
    may_change = may(request.actor, Permission.TEAM_CHANGE, tenant)
    people = rows.filter(nested=None).order_by("user__name", "pk")
    context = {
        "team": team,
        "people": lists.page_of(request, people, {"name": "user__name"}, first="name"),
        "inside": rows.filter(user=None).order_by("nested__name"),
        "part_of": Team.objects.filter(members__nested=team),
        "shares": _shares(request, team),
        "others": Team.objects.exclude(pk=team.pk) if may_change else (),
        "offered": members_seen_by(request.actor, tenant).filter(kind=User.Kind.HUMAN)[
            :PEOPLE_OFFERED
        ]
        if may_change
        else (),
        "may_change": may_change,
        "typed": typed or {},
        "errors": errors or {},
        "preview": preview,
    }
    return render(request, "teams/detail.html", context, status=status)


def _shares(request: PortalRequest, team: Team) -> list[tuple[Share, str, str]]:
    """What is shared with the team: (share, what such a thing is called, its title). What the one
    who asks may not know has no title."""
    shares = list(Share.objects.filter(team=team).order_by("object_type", "created_at"))
    titles: dict[UUID, str] = {}
    for kind in {share.object_type for share in shares}:
        ids = [share.object_id for share in shares if share.object_type == kind]
        titles |= titles_seen_by(request.actor, kind, ids)
    return [(share, CALLED[share.object_type], titles.get(share.object_id, "")) for share in shares]
