"""What groups of the directory mean here: the list, one group, who a change would touch."""

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_GET, require_http_methods

from authz import groups
from authz.decisions import require
from authz.errors import BadRequest, Conflict
from authz.groups import Effect, Wanted
from authz.models import GroupRole
from authz.people import AsTenant
from authz.permissions import Permission
from authz.providers import provider_in_use
from authz.roles import PROJECT_ROLES, TENANT_ROLES, Role
from portal.directory import project_seen_by, projects_seen_by, tenant_admins
from portal.http import PortalRequest
from portal.pages.lists import ROWS
from portal.pages.people import GIST, project_id_in, roles_in
from tenants.models import DirectoryClient, Project
from tenants.scope import current_tenant_id


@require_GET
def listing(request: PortalRequest) -> HttpResponse:
    """Every group that was ever told, with how many people are in it and what it means."""
    _require(request)
    wanted = {"q": request.GET.get("q", "").strip(), "only": request.GET.get("only", "")}
    known = groups.known_groups()
    meanings: dict[str, list[GroupRole]] = {}
    for row in GroupRole.objects.select_related("project").order_by("project__name", "role"):
        meanings.setdefault(row.group, []).append(row)
    rows = [
        (group, people, meanings.get(group, []))
        for group, people in known.items()
        if wanted["q"].lower() in group.lower()
        and (wanted["only"] != "meaning" or group in meanings)
    ]
    context = {
        "page": Paginator(rows, ROWS).get_page(request.GET.get("page")),
        "wanted": wanted,
        "known": len(known),
        "provider": provider_in_use(),
        "clients": DirectoryClient.objects.filter(revoked_at=None).exists(),
    }
    return render(request, "settings/groups.html", context)


@require_http_methods(["GET", "POST"])
def meaning(request: PortalRequest) -> HttpResponse:
    """What one group means, place by place. Posting shows who a change would touch, or saves it."""
    _require(request)
    sent = request.GET if request.method == "GET" else request.POST
    group = sent.get("group", "").strip()
    if not group or "\0" in group:
        raise Http404
    if request.method == "GET":
        return _page(request, group)
    project = project_seen_by(request.actor, project_id_in(request.POST))
    try:
        wanted = roles_in(request.POST)
        if "save" not in request.POST:
            effects = groups.effects_of(group, wanted, project)
            return _page(request, group, _Asked(project, wanted, effects=effects))
        touched = len(groups.effects_of(group, wanted, project))
        groups.map_group(group, wanted, project=project, by=request.actor)
    except BadRequest as refusal:
        said = "; ".join(refusal.errors.values())
        return _page(request, group, _Asked(project, [], refusal=said), 422)
    except Conflict as refusal:
        return _page(request, group, _Asked(project, wanted, refusal=str(refusal)), 409)
    where = project.name if project else "the whole tenant"
    messages.success(
        request, f"What “{group}” means in {where} is saved. People whose roles changed: {touched}."
    )
    return redirect(f"{reverse('group-meaning')}?{urlencode({'group': group})}")


@dataclass(frozen=True)
class _Asked:
    """What was typed for one place, with the answer to it."""

    project: Project | None
    wanted: list[Role]
    effects: list[Effect] | None = None
    refusal: str = ""


def _require(request: PortalRequest) -> None:
    require(request.actor, Permission.DIRECTORY_CHANGE, AsTenant(current_tenant_id()))


def _page(
    request: PortalRequest, group: str, asked: _Asked | None = None, status: int = 200
) -> HttpResponse:
    projects = list(projects_seen_by(request.actor))
    held = {
        (role, project_id)
        for role, project_id in GroupRole.objects.filter(group=group).values_list(
            "role", "project_id"
        )
    }
    places = []
    for project in (None, *projects):
        here = asked if asked and asked.project == project else None
        at = project.pk if project else None
        places.append(
            {
                "project": project,
                "choices": [
                    (role, GIST[role], role in here.wanted if here else (role, at) in held)
                    for role in TENANT_ROLES
                    if project is None or role in PROJECT_ROLES
                ],
                "refusal": here.refusal if here else "",
                "open": bool(here) or any(place == at for _, place in held) or project is None,
            }
        )
    context = {"group": group, "people": groups.known_groups().get(group, 0), "places": places}
    if asked and asked.effects is not None:
        context["preview"] = _preview(asked, asked.effects, projects)
    return render(request, "settings/group.html", context, status=status)


def _preview(asked: _Asked, effects: list[Effect], projects: list[Project]) -> dict[str, Any]:
    names = {project.pk: project.name for project in projects}

    def said(roles: list[Wanted]) -> list[str]:
        return [
            f"{role.title} in {names[place]}" if place else f"{role.title} of the whole tenant"
            for role, place in roles
        ]

    admin = (Role.TENANT_ADMIN, None)
    losing = {effect.user.pk for effect in effects if admin in effect.loses}
    gaining = any(admin in effect.gains for effect in effects)
    left = set(tenant_admins().values_list("pk", flat=True)) - losing
    return {
        "project": asked.project,
        "roles": asked.wanted,
        "effects": [
            (effect.user, said(effect.gains), said(effect.loses)) for effect in effects[:200]
        ],
        "count": len(effects),
        "no_admin_left": not left and not gaining,
    }
