"""The people pages: members with their roles; joining, changing, leaving."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import Q
from django.http import HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from authz import access, access_reviews, invitations, people
from authz.decisions import may, require
from authz.errors import BadRequest, Conflict
from authz.groups import TELLERS
from authz.permissions import Permission
from authz.roles import PROJECT_ROLES, ROLES, TENANT_ROLES, Role
from portal.directory import (
    human,
    known_members_seen_by,
    members_seen_by,
    project_seen_by,
    projects_seen_by,
)
from portal.http import PortalRequest
from portal.pages import lists, previews, words
from portal.pages.shown_once import Secret, show_secrets
from tenants.models import Membership, Project, User
from tenants.scope import current_tenant_id

COLUMNS = {"name": "name", "seen": "membership__seen_at"}
STATES = (Membership.State.ACTIVE, Membership.State.SUSPENDED)

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
    project = project_seen_by(request.actor, project_id_in(request.POST))
    if "preview" in request.POST:
        return _preview(request, person, project)
    try:
        people.change_roles(person, roles_in(request.POST), project=project, by=request.actor)
    except BadRequest as refusal:
        return _roles_page(request, person, project, "; ".join(refusal.errors.values()), 422)
    except Conflict as refusal:
        return _roles_page(request, person, project, str(refusal), 409)
    where = project.name if project else "the whole tenant"
    messages.success(request, f"The roles of {person.name} in {where} are changed.")
    return redirect("people")


def _preview(request: PortalRequest, person: User, project: Project | None) -> HttpResponse:
    """The roles page with what the ticked roles would change, and nothing changed."""
    if project:
        require(request.actor, Permission.PROJECT_ROLE_CHANGE, project)
    else:
        require(request.actor, Permission.ROLE_CHANGE, _tenant(request))
    edit = access.roles_edit(person, roles_in(request.POST), project)
    return _roles_page(request, person, project, preview=previews.shown(access.effects(edit)))


@require_http_methods(["GET", "POST"])
def remove(request: PortalRequest, user_id: UUID) -> HttpResponse:
    """Asks whether a person shall go, and what goes with them. Posting removes them."""
    known = known_members_seen_by(request.actor, _tenant(request))
    person = get_object_or_404(human(known), pk=user_id)
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


@require_POST
def invite(request: PortalRequest, user_id: UUID) -> HttpResponse:
    """A new invitation for a member, shown once; the one before works no more."""
    person = _person(request, user_id)
    return _invitation(request, person, f"{person.name} can come in by a link")


@dataclass(frozen=True)
class Place:
    """Where roles can be given: one project, or (None) the whole tenant."""

    project: Project | None
    title: str
    choices: list[tuple[Role, str, bool]]  # the role, its gist, whether it is ticked
    from_groups: list[str]  # titles of roles that groups give there, so that no form can take them
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
            roles_in(typed),
            tenant=_tenant(request),
            project=project_seen_by(request.actor, project_id_in(typed)),
            by=request.actor,
        )
    except BadRequest as refusal:
        return _list(request, typed, refusal.errors, status=422)
    except Conflict as refusal:
        return _list(request, typed, {"email": str(refusal)}, status=409)
    return _invitation(request, user, f"{user.name} is a member now")


def _invitation(request: PortalRequest, user: User, headline: str) -> HttpResponse:
    secret = invitations.invite(user, by=request.actor)
    link = request.build_absolute_uri(reverse("invitation", args=[secret]))
    until = timezone.now() + invitations.VALID_FOR
    return show_secrets(
        request,
        headline,
        [Secret(f"Invitation link for {user.name}", link)],
        back=(reverse("people"), "People"),
        advice=f"Send it to {user.email} and to nobody else: whoever opens it comes in as"
        f" {user.name}. It works once, until {until:%-d %B %Y}; links made earlier work no more.",
    )


def _list(
    request: PortalRequest, typed: QueryDict, errors: dict[str, str], status: int = 200
) -> HttpResponse:
    tenant = _tenant(request)
    known = known_members_seen_by(request.actor, tenant)
    # PostgreSQL cannot compare with a text that holds a zero character.
    wanted = {name: request.GET.get(name, "").replace("\0", "").strip() for name in ("q", "state")}
    shown = human(known)
    if wanted["q"]:
        shown = shown.filter(Q(name__icontains=wanted["q"]) | Q(email__icontains=wanted["q"]))
    if wanted["state"] in STATES:
        shown = shown.filter(membership__state=wanted["state"])
    projects = list(projects_seen_by(request.actor))
    changes_roles = may(request.actor, Permission.ROLE_CHANGE, tenant) or any(
        may(request.actor, Permission.PROJECT_ROLE_CHANGE, project) for project in projects
    )
    may_review = (
        may(request.actor, Permission.ACCESS_REVIEW_RUN, tenant)
        or may(request.actor, Permission.LEDGER_VIEW, tenant)
        or access_reviews.reviews_somewhere(request.actor)
    )
    context = {
        "members": human(known).count(),
        "agents": known.filter(kind=User.Kind.AGENT),
        "wanted": wanted,
        "states": STATES,
        **lists.page_of(request, shown, COLUMNS, first="name"),
        "projects": projects,
        "typed": typed,
        "ticked": typed.getlist("roles"),
        "errors": errors,
        "offered": [(role, GIST[role]) for role in TENANT_ROLES],
        "may_review": may_review,
        "review_due": may_review and access_reviews.is_waiting_for_start(),
        "may_see_teams": may(request.actor, Permission.MEMBER_VIEW, tenant),
        "may_admit": may(request.actor, Permission.MEMBER_ADMIT, tenant),
        "may_change": changes_roles,
        "may_remove": may(request.actor, Permission.MEMBER_REMOVE, tenant),
        "may_invite": may(request.actor, Permission.MEMBER_INVITE, tenant),
        "may_end": may(request.actor, Permission.SESSION_END, tenant),
        "columns": list(ROLES),
        "matrix": _matrix(),
    }
    return render(request, "people/list.html", context, status=status)


def _roles_page(
    request: PortalRequest,
    person: User,
    typed_at: Project | None = None,
    refusal: str = "",
    status: int = 200,
    preview: dict[str, Any] | None = None,
) -> HttpResponse:
    grants = list(person.grants.all())
    held = {(grant.role, grant.project_id) for grant in grants if grant.source not in TELLERS}
    typed = request.POST.getlist("roles")

    def place(project: Project | None, title: str, roles: Iterable[Role]) -> Place:
        was_typed = bool(refusal or preview) and typed_at == project
        at = project.pk if project else None
        choices = [
            (role, GIST[role], role.value in typed if was_typed else (role.value, at) in held)
            for role in roles
        ]
        told = {
            grant.get_role_display()
            for grant in grants
            if grant.source in TELLERS and grant.project_id == at
        }
        return Place(project, title, choices, sorted(told), refusal if was_typed else "")

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
    context = {"person": person, "places": places, "preview": preview}
    return render(request, "people/roles.html", context, status=status)


def _matrix() -> list[tuple[Permission, str, list[bool]]]:
    return [
        (permission, words.may_do(permission), [permission in ROLES[role] for role in ROLES])
        for permission in Permission
    ]


def roles_in(typed: QueryDict) -> list[Role]:
    """The roles ticked in a form. Raises BadRequest."""
    try:
        return [Role(value) for value in typed.getlist("roles")]
    except ValueError as unknown:
        raise BadRequest({"roles": f"unknown: {unknown}"}) from unknown


def project_id_in(typed: QueryDict) -> UUID | None:
    """The project chosen in a form; None for the whole tenant. Raises BadRequest."""
    chosen = typed.get("project")
    try:
        return UUID(chosen) if chosen else None
    except ValueError as malformed:
        raise BadRequest({"project": "choose one from the list"}) from malformed
