"""The people pages: members with their roles; joining, changing, leaving."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods

from authz import people
from authz.decisions import may, require
from authz.errors import BadRequest, Conflict
from authz.permissions import Permission
from authz.roles import PROJECT_ROLES, ROLES, TENANT_ROLES, Role
from portal.directory import human, members_seen_by, project_seen_by, projects_seen_by
from portal.http import PortalRequest
from portal.pages import words
from tenants.models import Project, User
from tenants.scope import current_tenant_id

SOURCES = {
    "admin": "added by an admin",
    "operator": "opened the tenant",
    "demo": "demo data",
    "scim": "directory (SCIM)",
    "sso": "single sign-on",
    "system": "created with the project",
}

# What a role is for, in a line; the matrix on the page says exactly what it may do.
GIST = {
    Role.TENANT_ADMIN: "Runs the tenant: its people, their roles, every proposal, the evidence.",
    Role.PROJECT_ADMIN: "Decides about proposals, registers repositories, gives project roles.",
    Role.DEVELOPER: "Asks for recommendations, follows them, cancels them.",
    Role.AUDITOR: "Reads everything, takes evidence packs away, changes nothing.",
}


@require_http_methods(["GET", "POST"])
def listing(request: PortalRequest) -> HttpResponse:
    """Members, agents, what each role may do. Posting admits a person."""
    if request.method == "POST":
        return _admit(request)
    return _list(request, QueryDict(), {})


@require_http_methods(["GET", "POST"])
def roles(request: PortalRequest, user_id: UUID) -> HttpResponse:
    """The roles of one person, tenant-wide or in a project. Posting replaces those of one place."""
    person = _person(request, user_id)
    if request.method == "GET":
        return _roles_page(request, person)
    project = project_seen_by(request.actor, _project_id(request.POST))
    try:
        people.change_roles(person, _roles_in(request.POST), project=project, by=request.actor)
    except BadRequest as refusal:
        return _roles_page(request, person, project, "; ".join(refusal.errors.values()), 422)
    except Conflict as refusal:
        return _roles_page(request, person, project, str(refusal), 409)
    where = project.name if project else "the whole tenant"
    messages.success(request, f"The roles of {person.name} in {where} are changed.")
    return redirect("people")


@require_http_methods(["GET", "POST"])
def remove(request: PortalRequest, user_id: UUID) -> HttpResponse:
    """Asks whether a person shall go, and what goes with them. Posting removes them."""
    person = _person(request, user_id)
    if request.method == "POST":
        try:
            people.remove(person, by=request.actor)
        except Conflict as refusal:
            context = {"person": person, "refusal": str(refusal)}
            return render(request, "people/remove.html", context, status=409)
        messages.success(request, f"{person.name} is not a member any more.")
        return redirect("people")
    require(request.actor, Permission.MEMBER_REMOVE, _tenant(request))
    return render(request, "people/remove.html", {"person": person})


@dataclass(frozen=True)
class Place:
    """Where roles can be given: one project, or (None) the whole tenant."""

    project: Project | None
    title: str
    choices: list[tuple[Role, str, bool]]  # the role, its gist, whether it is ticked
    refusal: str = ""


def _tenant(request: PortalRequest) -> people.AsTenant:
    return people.AsTenant(current_tenant_id())


def _person(request: PortalRequest, user_id: UUID) -> User:
    members = members_seen_by(request.actor, _tenant(request))
    return get_object_or_404(human(members), pk=user_id)


def _admit(request: PortalRequest) -> HttpResponse:
    typed = request.POST
    try:
        user = people.admit(
            typed.get("email", ""),
            typed.get("name", ""),
            _roles_in(typed),
            tenant=_tenant(request),
            project=project_seen_by(request.actor, _project_id(typed)),
            by=request.actor,
        )
    except BadRequest as refusal:
        return _list(request, typed, refusal.errors, status=422)
    except Conflict as refusal:
        return _list(request, typed, {"email": str(refusal)}, status=409)
    messages.success(request, f"{user.name} is a member now.")
    return redirect("people")


def _list(
    request: PortalRequest, typed: QueryDict, errors: dict[str, str], status: int = 200
) -> HttpResponse:
    tenant = _tenant(request)
    members = list(members_seen_by(request.actor, tenant))
    projects = list(projects_seen_by(request.actor))
    changes_roles = may(request.actor, Permission.ROLE_CHANGE, tenant) or any(
        may(request.actor, Permission.PROJECT_ROLE_CHANGE, project) for project in projects
    )
    context = {
        "people": [member for member in members if member.kind == User.Kind.HUMAN],
        "agents": [member for member in members if member.kind == User.Kind.AGENT],
        "sources": SOURCES,
        "projects": projects,
        "typed": typed,
        "ticked": typed.getlist("roles"),
        "errors": errors,
        "offered": [(role, GIST[role]) for role in TENANT_ROLES],
        "may_admit": may(request.actor, Permission.MEMBER_ADMIT, tenant),
        "may_change": changes_roles,
        "may_remove": may(request.actor, Permission.MEMBER_REMOVE, tenant),
        "columns": list(ROLES),
        "matrix": _matrix(),
    }
    return render(request, "people/list.html", context, status=status)


def _roles_page(
    request: PortalRequest,
    person: User,
    refused_at: Project | None = None,
    refusal: str = "",
    status: int = 200,
) -> HttpResponse:
    held = {(grant.role, grant.project_id) for grant in person.grants.all()}
    typed = request.POST.getlist("roles")

    def place(project: Project | None, title: str, roles: Iterable[Role]) -> Place:
        was_refused = bool(refusal) and refused_at == project
        at = project.pk if project else None
        choices = [
            (role, GIST[role], role.value in typed if was_refused else (role.value, at) in held)
            for role in roles
        ]
        return Place(project, title, choices, refusal if was_refused else "")

    places = []
    if may(request.actor, Permission.ROLE_CHANGE, _tenant(request)):
        places.append(place(None, "The whole tenant", TENANT_ROLES))
    limited = [role for role in TENANT_ROLES if role in PROJECT_ROLES]
    places += [
        place(project, project.name, limited)
        for project in projects_seen_by(request.actor)
        if may(request.actor, Permission.PROJECT_ROLE_CHANGE, project)
    ]
    if not places:
        require(request.actor, Permission.ROLE_CHANGE, _tenant(request))
    context = {"person": person, "places": places}
    return render(request, "people/roles.html", context, status=status)


def _matrix() -> list[tuple[Permission, str, list[bool]]]:
    return [
        (permission, words.may_do(permission), [permission in ROLES[role] for role in ROLES])
        for permission in Permission
    ]


def _roles_in(typed: QueryDict) -> list[Role]:
    try:
        return [Role(value) for value in typed.getlist("roles")]
    except ValueError as unknown:
        raise BadRequest({"roles": f"unknown: {unknown}"}) from unknown


def _project_id(typed: QueryDict) -> UUID | None:
    chosen = typed.get("project")
    try:
        return UUID(chosen) if chosen else None
    except ValueError as malformed:
        raise BadRequest({"project": "choose one from the list"}) from malformed
