"""Ending sessions: one's own from the account page, somebody else's from the page about theirs."""

from uuid import UUID

from django.contrib import messages
from django.contrib.auth import logout
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from authz import sessions
from authz.decisions import may, require
from authz.people import AsTenant
from authz.permissions import Permission
from portal.accounts import open_sessions_of, session_here, session_seen_by
from portal.directory import human, known_members_seen_by
from portal.http import PortalRequest
from portal.pages import tokens
from tenants.scope import current_tenant_id


@require_POST
def end(request: PortalRequest, handle: UUID) -> HttpResponse:
    """Sign one browser out."""
    session = session_seen_by(request.actor, handle)
    here = session_here(request)
    sessions.end_session(session, by=request.actor, why="ended on the page")
    if here is not None and here.handle == handle:
        logout(request)
        return redirect("signin")
    messages.success(request, "That session is over.")
    if session.user_id == request.user.pk:
        return redirect("account")
    return redirect("person-sessions", session.user_id)


@require_POST
def end_others(request: PortalRequest) -> HttpResponse:
    """Sign all of one's own browsers out but this one."""
    ended = sessions.end_sessions_of(
        request.user, by=request.actor, why="all others ended", besides=session_here(request)
    )
    messages.success(request, f"You are signed out everywhere else; sessions ended: {ended}.")
    return redirect("account")


@require_http_methods(["GET", "POST"])
def of_person(request: PortalRequest, user_id: UUID) -> HttpResponse:
    """Where a person is signed in, which tokens act as them. Posting ends all their sessions."""
    tenant = AsTenant(current_tenant_id())
    person = get_object_or_404(human(known_members_seen_by(request.actor, tenant)), pk=user_id)
    if request.method == "POST":
        ended = sessions.end_sessions_of(
            person, by=request.actor, why="all ended by an admin", besides=session_here(request)
        )
        messages.success(
            request, f"{person.name} is signed out everywhere; sessions ended: {ended}."
        )
        return redirect("person-sessions", person.pk)
    require(request.actor, Permission.SESSION_END, person)
    here = session_here(request)
    context = {
        "person": person,
        "here": here.handle if here else None,
        "sessions": open_sessions_of(person),
        "tokens": tokens.rows_of(person),
        "may_revoke": may(request.actor, Permission.TOKEN_REVOKE, tenant),
    }
    return render(request, "people/sessions.html", context)
