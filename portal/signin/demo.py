"""Sign-in for trying the product out: pick a person from a list. Only with DEMO=1."""

from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from authz.roles import Role
from authz.sessions import end_session
from portal.http import PortalRequest
from portal.signin.sessions import open_session, session_of
from tenants.models import Membership, User


@login_not_required
def signin(request: HttpRequest) -> HttpResponse:
    """The list of people; posting `person` signs that one in."""
    if not settings.DEMO:
        # Identity providers are connected per tenant; until one is, nobody can sign in.
        return render(request, "signin/closed.html", status=503)
    people = (
        User.objects.filter(membership__state=Membership.State.ACTIVE, kind=User.Kind.HUMAN)
        .prefetch_related("grants")
        .order_by("name")
    )
    if request.method == "POST":
        person = get_object_or_404(people, pk=request.POST.get("person"))
        open_session(request, person, "demo")
        return HttpResponseRedirect(_next(request))
    listed = [
        (person, [Role(grant.role).title for grant in person.grants.all()]) for person in people
    ]
    return render(request, "signin/demo.html", {"people": listed, "next": _next(request)})


@require_POST
def signout(request: PortalRequest) -> HttpResponse:
    """Ends this session."""
    row = session_of(request)
    if row is None:
        raise PermissionDenied
    end_session(row, by=request.actor, why="signed out")
    logout(request)
    return redirect("signin")


def _next(request: HttpRequest) -> str:
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    if url_has_allowed_host_and_scheme(wanted, allowed_hosts={request.get_host()}):
        return wanted
    return "/"
