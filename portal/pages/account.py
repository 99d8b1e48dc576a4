"""The page about oneself: roles and why, browsers signed in, tokens of one's own."""

from django.http import HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from authz.errors import BadRequest
from authz.models import Grant
from portal.accounts import groups_behind, groups_told_of, open_sessions_of, session_here
from portal.http import PortalRequest
from portal.pages import tokens
from tenants import asked
from tenants.models import Membership


@require_GET
def account(request: PortalRequest) -> HttpResponse:
    """Who I am here, where I am signed in, which of my tokens work."""
    return _page(request, QueryDict(), {})


@require_POST
def create_token(request: PortalRequest) -> HttpResponse:
    """A token of my own, shown once."""
    try:
        return tokens.made(request, request.user, back=(reverse("account"), "Your account"))
    except BadRequest as refusal:
        return _page(request, request.POST, refusal.errors, 422)


def _page(
    request: PortalRequest, typed: QueryDict, errors: dict[str, str], status: int = 200
) -> HttpResponse:
    with asked.without_asking(asked.Purpose.OWN):
        membership = Membership.objects.get(user=request.user)
        grants = Grant.objects.filter(user=request.user).select_related("project")
        told = groups_told_of(request.user)
        by_groups = [
            (grant, groups_behind(grant, told))
            for grant in grants.order_by("project__name", "role")
        ]
        sessions = list(open_sessions_of(request.user))
        own_tokens = tokens.rows_of(request.user)
    here = session_here(request)
    context = {
        "membership": membership,
        "grants": by_groups,
        "here": here.handle if here else None,
        "sessions": sessions,
        "tokens": own_tokens,
        "may_revoke": True,
        **tokens.form_of(request.user, typed, errors),
    }
    return render(request, "settings/account.html", context, status=status)
