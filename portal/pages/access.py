"""Who can see or do this; what somebody can do; why somebody was refused; the matrix of rights."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.core.paginator import Paginator
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from authz import access, refusals
from authz.decisions import may, require
from authz.graph import Explanation, Ref
from authz.matrix import HELD_AS, TYPES, cells
from authz.people import AsTenant
from authz.permissions import Permission
from authz.relations import object_of
from authz.roles import NOT_BY_REQUESTER, ONLY_BY_PEOPLE, SYSTEM, Role
from portal.directory import known_members_seen_by, projects_seen_by
from portal.http import PortalRequest
from portal.pages import words
from portal.pages.lists import ROWS
from portal.pages.path_graph import draw
from portal.pages.paths import Names, Way, ways_of
from portal.things import CALLED, KINDS, thing_seen_by, titles_seen_by
from tenants import asked
from tenants.models import Membership, Project, User
from tenants.scope import current_tenant_id

DRAWN = 12  # people in one picture
SHARED_SHOWN = 50
# First words of the permissions that people look for on a thing of a type; the rest comes after.
ABOUT: dict[str, tuple[str, ...]] = {
    "repository": ("repository", "recommendation", "pull_request"),
    "task": ("task", "plan", "recommendation", "share"),
    "proposal": ("proposal", "pull_request", "pack"),
    "pack": ("pack", "ledger"),
}


@dataclass(frozen=True)
class Asked:
    """One permission in the list beside the answer."""

    permission: Permission
    said: str
    people: int


@require_GET
def who_may(request: PortalRequest, kind: str, thing_id: UUID) -> HttpResponse:
    """Everybody who may do what with one object, with the way to it; ?permission= chooses."""
    known = thing_seen_by(request.actor, kind, thing_id)
    require(request.actor, Permission.MEMBER_VIEW, known.thing)
    on = object_of(known.thing)
    found = access.holders(on)
    about = ABOUT.get(kind)
    first = [one for one in found if about is None or one.split(".")[0] in about]
    wanted = request.GET.get("permission", "")
    permission = Permission(wanted) if wanted in found else KINDS[kind][1]
    query = request.GET.get("q", "").replace("\0", "").strip()
    people = User.objects.filter(pk__in=found[permission]).order_by("kind", "name", "pk")
    if query:
        people = people.filter(name__icontains=query)
    page = Paginator(people, ROWS).get_page(request.GET.get("page"))
    shown = list(page)
    said = access.ways([user.pk for user in shown], permission, on)
    rows = list(zip(shown, ways_of(said, {on: known.title}), strict=True))
    context = {
        "known": known,
        "permission": permission,
        "may_do": words.may_do(permission),
        "asked": [_asked(one, found) for one in first],
        "rest": [_asked(one, found) for one in found if one not in first],
        "page": page,
        "rows": rows,
        "query": query,
        "picture": draw(
            [way.chain for _, way in rows[:DRAWN]],
            f"Who may {words.may_do(permission)}; the table below says the same",
        ),
        "drawn": min(len(rows), DRAWN),
        "barred": _barred(known.thing, permission, on),
        "product_too": permission in SYSTEM,
        "only_people": permission in ONLY_BY_PEOPLE,
        "may_share": kind in {"project", "task"}
        and may(request.actor, Permission.SHARE_CHANGE, known.thing),
    }
    return render(request, "access/who.html", context)


@require_GET
def of_person(request: PortalRequest, user_id: UUID) -> HttpResponse:
    """What one account can do in the whole tenant and in each project, and why."""
    person, projects = _person_seen(request, user_id)
    places: list[tuple[Ref, str, Project | None]] = [
        (access.tenant_ref(), "The whole tenant", None),
        *((Ref("project", one.pk.int), one.name, one) for one in projects),
    ]
    rights = access.rights_of(person.pk, [ref for ref, _, _ in places])
    barred = ONLY_BY_PEOPLE if person.kind != User.Kind.HUMAN else frozenset()
    names = Names(why.path for said in rights.values() for why in said.values())
    cards = [
        {"title": title, "project": project, **_card(rights[ref], names, barred)}
        for ref, title, project in places
    ]
    context = {
        "person": person,
        "suspended": person.membership.state != Membership.State.ACTIVE,
        "cards": [card for card in cards if card["ways"] or card["inherited"]],
        "without": [card["title"] for card in cards if not card["ways"] and not card["inherited"]],
        "shared": _shared_with(request, person),
        "is_me": person.pk == request.actor.user_id,
    }
    return render(request, "access/person.html", context)


@require_GET
def refusal(request: PortalRequest, record_id: UUID) -> HttpResponse:
    """One refusal as it was recorded: to whoever was refused, and to those who read the ledger."""
    reads = may(request.actor, Permission.LEDGER_VIEW, AsTenant(current_tenant_id()))
    found = refusals.found(record_id)
    if found is None or not (reads or found.actor_id == request.actor.id):
        raise Http404
    context = {
        "refusal": found,
        "did": words.done(found.action, found.object_type),
        "may_do": words.may_do(found.permission),
        "called": CALLED.get(found.object_type, found.object_type),
        "helpers": refusals.helpers(found),
        "is_me": found.actor_id == request.actor.id,
    }
    return render(request, "access/refusal.html", context)


@require_GET
def matrix(request: PortalRequest) -> HttpResponse:
    """What each role, held where, may do to which things: as the decisions are made."""
    return render(request, "access/matrix.html", _matrix())


def _asked(permission: Permission, found: dict[Permission, set[UUID]]) -> Asked:
    return Asked(permission, words.may_do(permission), len(found[permission]))


def _barred(thing: Any, permission: Permission, on: Ref) -> str:
    """The name of whoever asked for the thing, when that is what keeps them from it."""
    asker = getattr(thing, "requester_id", None)
    if permission not in NOT_BY_REQUESTER or asker is None:
        return ""
    said = access.ways([asker], permission, on)[0]
    return User.objects.get(pk=asker).name if said.why == "excluded" else ""


def _person_seen(request: PortalRequest, user_id: UUID) -> tuple[User, list[Project]]:
    """The account and the projects that the one who asks may know of; everybody knows their own."""
    if user_id == request.actor.user_id:
        mine = access.projects_of(user_id)
        with asked.without_asking(asked.Purpose.OWN):
            person = User.objects.select_related("membership").get(pk=user_id)
            return person, list(Project.objects.filter(pk__in=mine).order_by("name"))
    known = known_members_seen_by(request.actor, AsTenant(current_tenant_id()))
    person = get_object_or_404(known, pk=user_id)
    return person, list(projects_seen_by(request.actor))


def _card(
    said: dict[Permission, Explanation], names: Names, barred: frozenset[Permission]
) -> dict[str, Any]:
    """Permissions of one place by the way that grants them; what the tenant gives only counted."""
    ways: dict[str, tuple[Way, list[str]]] = {}
    inherited = 0
    for permission, why in said.items():
        if permission in barred:
            continue
        if why.path[0].edge.relation == "tenant":
            inherited += 1
            continue
        way = names.way(why)
        ways.setdefault(way.said, (way, []))[1].append(words.may_do(permission))
    rows = list(ways.values())
    return {
        "ways": rows,
        "inherited": inherited,
        "picture": draw([way.chain for way, _ in rows], "How the rights below are held"),
    }


def _shared_with(request: PortalRequest, person: User) -> list[tuple[UUID, str]]:
    """Requests that were shared with somebody, as far as the one who asks may see them."""
    ids = access.shared_tasks(person.pk)
    return sorted(titles_seen_by(request.actor, "task", ids).items(), key=lambda one: one[1])[
        :SHARED_SHOWN
    ]


@lru_cache(maxsize=1)
def _matrix() -> dict[str, Any]:
    """Rows and columns for the template; the same for everybody until the next release."""
    reached: dict[Permission, dict[tuple[Role | str, str], list[str]]] = {}
    for cell in cells():
        row = reached.setdefault(cell.permission, {})
        row.setdefault(cell.held_as, []).extend([cell.type] * cell.allowed)
    heads = [
        (relation.title if isinstance(relation, Role) else "Shared with", CALLED[place])
        for relation, place in HELD_AS
    ]
    rows = []
    for permission, row in reached.items():
        values = [_reach(row[held], held[1]) for held in HELD_AS]
        if any(values):
            rows.append((permission, words.may_do(permission), values))
    others = [
        (permission, words.may_do(permission))
        for permission, row in reached.items()
        if not any(row.values())
    ]
    return {"heads": heads, "rows": rows, "others": others}


def _reach(types: list[str], place: str) -> str:
    """Empty for nothing, "yes" for all that is at or below the place, else what it is."""
    below = {"tenant": TYPES, "project": TYPES[1:]}.get(place, ())
    if not types or tuple(types) == below:
        return "yes" if types else ""
    return ", ".join(CALLED[type] for type in types)
