"""What groups of the customer's directory mean here: which roles their members hold."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from django.db import connection

from authz.admins import keep_an_admin
from authz.change import change
from authz.errors import BadRequest
from authz.models import Grant, GroupRole
from authz.permissions import Permission
from authz.roles import PROJECT_ROLES, TENANT_ROLES, Role
from tenants.actor import Actor
from tenants.models import DirectoryMember, Identity, Membership, Project, User
from tenants.scope import current_tenant_id

# Who told us the groups: the directory over SCIM, or the claims of a sign-in.
Teller = Literal["directory", "sso"]
TELLERS: tuple[Teller, ...] = ("directory", "sso")

# Whoever says who is in which group, or what a group means, holds this lock of the tenant's:
# first number. A person who joins while the meaning changes would be overlooked otherwise.
DIRECTORY_LOCK = 0x64697265

# A role for one project or (None) for the whole tenant.
Wanted = tuple[Role, UUID | None]


@dataclass(frozen=True)
class Effect:
    """What a change of the mapping does to one person: roles as (role, project id)."""

    user: User
    gains: list[Wanted]
    loses: list[Wanted]


def meaning(groups: Iterable[str]) -> set[Wanted]:
    """Roles that members of all these groups together hold."""
    rows = GroupRole.objects.filter(group__in=list(groups)).values_list("role", "project_id")
    return {(Role(role), project_id) for role, project_id in rows}


def known_groups() -> dict[str, int]:
    """Name of every group that was ever told, with how many people are in it."""
    people: dict[str, set[UUID]] = {}
    for _, user_id, groups in _told():
        for group in groups:
            people.setdefault(group, set()).add(user_id)
    for group in GroupRole.objects.values_list("group", flat=True):
        people.setdefault(group, set())
    return {group: len(members) for group, members in sorted(people.items())}


def regrant(user: User, groups: Iterable[str], teller: Teller) -> dict[str, Any]:
    """Give `user` what these groups mean, and take what an earlier answer of `teller` gave.

    Only inside of a change(). Returns the facts for its entry: roles before and after, or
    nothing when they stay the same. Roles given by hand are left alone.
    """
    return regrant_all({user.pk: groups}, teller).get(user.pk, {})


def regrant_all(told: Mapping[UUID, Iterable[str]], teller: Teller) -> dict[UUID, dict[str, Any]]:
    """As regrant(), for many at once: groups of each account -> facts of those who changed."""
    means = _meanings()
    rows = Grant.objects.filter(user__in=list(told), source=teller)
    held: dict[UUID, dict[Wanted, UUID]] = {}
    for grant_id, user_id, role, place in rows.values_list("pk", "user_id", "role", "project_id"):
        held.setdefault(user_id, {})[Role(role), place] = grant_id
    changed: dict[UUID, dict[str, Any]] = {}
    taken: list[UUID] = []
    given: list[Grant] = []
    for user_id, groups in told.items():
        before = held.get(user_id, {})
        after = {wanted for group in groups for wanted in means.get(group, ())}
        if before.keys() == after:
            continue
        taken += [grant_id for wanted, grant_id in before.items() if wanted not in after]
        given += [
            Grant(user_id=user_id, role=role, project_id=place, source=teller)
            for role, place in after - before.keys()
        ]
        changed[user_id] = {
            "before": _said(set(before)),
            "after": _said(after),
            "told_by": teller,
        }
    Grant.objects.filter(pk__in=taken).delete()
    Grant.objects.bulk_create(given, batch_size=1000)
    return changed


def map_group(group: str, roles: Iterable[Role], *, project: Project | None, by: Actor) -> None:
    """Let members of `group` hold `roles` for one project, or (None) for the whole tenant.

    Replaces what the group meant there; no roles: it means nothing there any more. Everybody it
    concerns has the new roles when this returns. Raises Denied; BadRequest for a role that cannot
    be given there; Conflict when the tenant would be left without an admin.
    """
    wanted = sorted(set(roles))
    _check(group, wanted, project)
    with change(by, Permission.DIRECTORY_CHANGE, on=_AsMapping(group)) as facts:
        with connection.cursor() as cursor:
            lock = [DIRECTORY_LOCK, lock_number()]
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", lock)
        effects = _effects(group, wanted, project)
        held = GroupRole.objects.filter(group=group, project=project)
        facts["before"] = sorted(held.values_list("role", flat=True))
        held.delete()
        for role in wanted:
            GroupRole.objects.create(group=group, role=role, project=project)
        told = [each for each in _told() if group in each[2]]
        for teller in TELLERS:
            regrant_all({who: groups for by_whom, who, groups in told if by_whom == teller}, teller)
        keep_an_admin()
        facts.update(
            group=group,
            after=wanted,
            project=project.slug if project else None,
            people_changed=len(effects),
        )


def lock_number() -> int:
    """Second number of the pinned tenant's DIRECTORY_LOCK. Two tenants may share one, and wait."""
    return int.from_bytes(current_tenant_id().bytes[:4], signed=True)


def effects_of(group: str, roles: Iterable[Role], project: Project | None) -> list[Effect]:
    """Who would gain or lose which roles if map_group() were called so, by name.

    Raises BadRequest as map_group() does.
    """
    wanted = sorted(set(roles))
    _check(group, wanted, project)
    return _effects(group, wanted, project)


class _AsMapping:
    """The meaning of a group as the object of a decision or entry; it is several rows."""

    class _meta:
        model_name = "group"

    def __init__(self, group: str) -> None:
        self.pk = group[:100]


def _check(group: str, roles: list[Role], project: Project | None) -> None:
    errors = {}
    if not group.strip():
        errors["group"] = "is empty; give the group's name as your directory writes it"
    elif len(group) > 255:
        errors["group"] = "is longer than 255 characters"
    if unknown := [role for role in roles if role not in TENANT_ROLES]:
        errors["roles"] = f"cannot be handed out by a tenant: {', '.join(unknown)}"
    elif project and (wide := [role for role in roles if role not in PROJECT_ROLES]):
        errors["roles"] = f"cover the whole tenant, not one project: {', '.join(wide)}"
    if errors:
        raise BadRequest(errors)


def _effects(group: str, roles: list[Role], project: Project | None) -> list[Effect]:
    place = project.pk if project else None
    means = _meanings()
    # What the group means elsewhere stays; what it means here is what is asked about.
    elsewhere = {(role, at) for role, at in means.get(group, ()) if at != place}
    means[group] = elsewhere | {(role, place) for role in roles}
    told = [each for each in _told() if group in each[2]]
    concerned = {user_id for _, user_id, _ in told}
    held: dict[tuple[UUID, str], set[Wanted]] = {}
    rows = Grant.objects.filter(user__in=concerned)
    for user_id, source, role, at in rows.values_list("user_id", "source", "role", "project_id"):
        by = source if source in TELLERS else "others"
        held.setdefault((user_id, by), set()).add((Role(role), at))
    found: dict[UUID, tuple[set[Wanted], set[Wanted]]] = {}
    for teller, user_id, groups in told:
        before, after = found.setdefault(user_id, (set(), set()))
        before |= held.get((user_id, teller), set())
        after |= {wanted for each in groups for wanted in means.get(each, ())}
    effects = []
    for user in User.objects.filter(pk__in=concerned).order_by("name"):
        before, after = found[user.pk]
        others = held.get((user.pk, "others"), set())
        gains = sorted(after - before - others, key=str)
        loses = sorted(before - after - others, key=str)
        if gains or loses:
            effects.append(Effect(user, gains, loses))
    return effects


def _meanings() -> dict[str, set[Wanted]]:
    means: dict[str, set[Wanted]] = {}
    for group, role, place in GroupRole.objects.values_list("group", "role", "project_id"):
        means.setdefault(group, set()).add((Role(role), place))
    return means


def _told() -> list[tuple[Teller, UUID, list[str]]]:
    """Everybody's groups as they were last told: (by whom, account, names)."""
    told: dict[tuple[Teller, UUID], set[str]] = {}
    members = DirectoryMember.objects.exclude(
        person__user__membership__state=Membership.State.REMOVED
    ).values_list("person__user_id", "group__display_name")
    for user_id, group in members:
        told.setdefault(("directory", user_id), set()).add(group)
    claimed = Identity.objects.exclude(groups=[]).values_list("user_id", "groups")
    for user_id, groups in claimed:
        told.setdefault(("sso", user_id), set()).update(groups)
    return [(teller, user_id, sorted(groups)) for (teller, user_id), groups in told.items()]


def _said(roles: set[Wanted]) -> list[str]:
    return sorted(f"{role} for {project_id or 'the whole tenant'}" for role, project_id in roles)
