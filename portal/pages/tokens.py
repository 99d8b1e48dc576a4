"""Tokens of programs: service accounts and agents, what their tokens may do, revoking any token."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from authz.decisions import require
from authz.errors import BadRequest, Conflict
from authz.models import ApiToken
from authz.people import AsTenant
from authz.permissions import Permission
from authz.roles import TENANT_ROLES
from authz.tokens import LONGEST, add_service, create_token, revoke_token, scopes_of
from portal.accounts import programs, token_seen_by, tokens_of
from portal.directory import project_seen_by, projects_seen_by
from portal.http import PortalRequest
from portal.pages import words
from portal.pages.people import GIST, project_id_in, roles_in
from portal.pages.shown_once import Secret, show_secrets
from tenants.models import User
from tenants.scope import current_tenant_id

DAYS = 90  # offered at first
SOON = timedelta(days=14)  # before a token expires, it is said so


@require_http_methods(["GET", "POST"])
def services(request: PortalRequest) -> HttpResponse:
    """Accounts of programs. Posting adds a service account."""
    require(request.actor, Permission.SERVICE_CREATE, AsTenant(current_tenant_id()))
    if request.method == "GET":
        return _services_page(request, QueryDict(), {})
    typed = request.POST
    try:
        service = add_service(
            typed.get("name", ""),
            roles_in(typed),
            project=project_seen_by(request.actor, project_id_in(typed)),
            by=request.actor,
        )
    except BadRequest as refusal:
        return _services_page(request, typed, refusal.errors, 422)
    except Conflict as refusal:
        return _services_page(request, typed, {"name": str(refusal)}, 409)
    messages.success(request, f"{service.name} is there now. Make its first token below.")
    return redirect("service", service.pk)


@require_http_methods(["GET", "POST"])
def service(request: PortalRequest, user_id: UUID) -> HttpResponse:
    """One program with its tokens. Posting makes a token, which is shown once."""
    require(request.actor, Permission.SERVICE_CREATE, AsTenant(current_tenant_id()))
    program = get_object_or_404(programs(), pk=user_id)
    if request.method == "GET":
        return _service_page(request, program, QueryDict(), {})
    try:
        return made(request, program, back=(reverse("service", args=[user_id]), program.name))
    except BadRequest as refusal:
        return _service_page(request, program, request.POST, refusal.errors, 422)


@require_POST
def revoke(request: PortalRequest, token_id: UUID) -> HttpResponse:
    """Let a token work no more."""
    token = token_seen_by(request.actor, token_id)
    revoke_token(token, by=request.actor)
    messages.success(request, f"The token “{token.name}” works no more.")
    if token.user_id == request.user.pk:
        return redirect("account")
    if token.user.kind == User.Kind.HUMAN:
        return redirect("person-sessions", token.user_id)
    return redirect("service", token.user_id)


def made(request: PortalRequest, user: User, *, back: tuple[str, str]) -> HttpResponse:
    """Make the token that was typed in for `user`; show its secret. Raises BadRequest, Denied."""
    typed = request.POST
    days = typed.get("days", "")
    try:
        scopes = [Permission(value) for value in typed.getlist("scopes")]
    except ValueError as unknown:
        raise BadRequest({"scopes": f"unknown: {unknown}"}) from unknown
    token, secret = create_token(
        user,
        typed.get("name", ""),
        scopes,
        days=int(days) if days.isdecimal() and len(days) < 5 else 0,
        by=request.actor,
    )
    until = f"Valid until {token.expires_at:%-d %B %Y}. Programs send it with every request, as "
    return show_secrets(
        request,
        f"The token “{token.name}”",
        [Secret("Token", secret)],
        back=back,
        advice=f"{until}“Authorization: Bearer {token.hint}…”.",
    )


def form_of(user: User, typed: QueryDict, errors: dict[str, str]) -> dict[str, Any]:
    """What the form for a new token of `user` shows."""
    return {
        "token_typed": typed if errors else {"days": DAYS},
        "token_errors": errors,
        "scopes": [
            (scope, words.may_do(scope), scope.value in typed.getlist("scopes"))
            for scope in scopes_of(user)
        ],
        "longest": LONGEST,
    }


def rows_of(user: User) -> list[tuple[ApiToken, str]]:
    """Tokens of `user` with the state of each: good, soon (about to expire), expired, revoked."""
    return [(token, state_of(token)) for token in tokens_of(user)]


def state_of(token: ApiToken) -> str:
    """Whether a token is good, about to expire (soon), expired or revoked."""
    left = token.expires_at - timezone.now()
    if token.revoked_at is not None:
        return "revoked"
    if left <= timedelta(0):
        return "expired"
    return "soon" if left < SOON else "good"


def _services_page(
    request: PortalRequest, typed: QueryDict, errors: dict[str, str], status: int = 200
) -> HttpResponse:
    rows = []
    for program in programs():
        good = [token for token in program.tokens.all() if state_of(token) in {"good", "soon"}]
        used = [token.used_at for token in program.tokens.all() if token.used_at]
        rows.append((program, len(good), max(used, default=None)))
    context = {
        "programs": rows,
        "typed": typed,
        "errors": errors,
        "ticked": typed.getlist("roles"),
        "offered": [(role, GIST[role]) for role in TENANT_ROLES],
        "projects": projects_seen_by(request.actor),
    }
    return render(request, "settings/services.html", context, status=status)


def _service_page(
    request: PortalRequest,
    program: User,
    typed: QueryDict,
    errors: dict[str, str],
    status: int = 200,
) -> HttpResponse:
    context = {
        "member": program,
        "tokens": rows_of(program),
        "may_revoke": True,
        **form_of(program, typed, errors),
    }
    return render(request, "settings/service.html", context, status=status)
