"""Sign-in for trying the product out: pick a person from a list.

portal.signin.doors shows it with DEMO=1 alone, as long as no identity provider is switched on.
"""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from authz.roles import Role
from portal.signin.journey import safe_next
from portal.signin.sessions import open_session
from tenants.models import Membership, User


def signin(request: HttpRequest) -> HttpResponse:
    """The list of people; posting `person` signs that one in."""
    people = (
        User.objects.filter(membership__state=Membership.State.ACTIVE, kind=User.Kind.HUMAN)
        .prefetch_related("grants")
        .order_by("name")
    )
    if request.method == "POST":
        person = get_object_or_404(people, pk=request.POST.get("person"))
        open_session(request, person, "demo")
        return redirect(safe_next(request, request.POST.get("next")))
    listed = [
        (person, [Role(grant.role).title for grant in person.grants.all()]) for person in people
    ]
    return render(
        request,
        "signin/demo.html",
        {"people": listed, "next": safe_next(request, request.GET.get("next"))},
    )
