"""What groups of the customer's directory mean here: which roles their members hold."""

from collections.abc import Iterable
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
    return _replace(user, meaning(groups), teller)


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
        for teller, user_id, groups in _told():
            if group in groups:
                _replace(User.objects.get(pk=user_id), meaning(groups), teller)
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
    found: dict[UUID, tuple[set[Wanted], set[Wanted]]] = {}
    others: dict[UUID, set[Wanted]] = {}
    for teller, user_id, groups in _told():
        if group in groups:
            rest = {
                (Role(role), at)
                for role, at in GroupRole.objects.filter(group__in=groups)
                .exclude(group=group, project=project)
                .values_list("role", "project_id")
            }
            before = set(_held(user_id, teller))
            after = rest | {(role, place) for role in roles}
            earlier = found.setdefault(user_id, (set(), set()))
            found[user_id] = (earlier[0] | before, earlier[1] | after)
    for user_id in found:
        others[user_id] = {
            (Role(role), at)
            for role, at in Grant.objects.filter(user_id=user_id)
            .exclude(source__in=TELLERS)
            .values_list("role", "project_id")
        }
    people = User.objects.filter(pk__in=found).order_by("name")
    effects = []
    for user in people:
        before, after = found[user.pk]
        gains = sorted(after - before - others[user.pk], key=str)
        loses = sorted(before - after - others[user.pk], key=str)
        if gains or loses:
            effects.append(Effect(user, gains, loses))
    return effects


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


def _held(user_id: UUID, teller: Teller) -> list[Wanted]:
    rows = Grant.objects.filter(user_id=user_id, source=teller).values_list("role", "project_id")
    return [(Role(role), project_id) for role, project_id in rows]


def _replace(user: User, wanted: set[Wanted], teller: Teller) -> dict[str, Any]:
    held = set(_held(user.pk, teller))
    if held == wanted:
        return {}
    for role, project_id in held - wanted:
        Grant.objects.filter(user=user, role=role, project_id=project_id, source=teller).delete()
    for role, project_id in wanted - held:
        Grant.objects.create(user=user, role=role, project_id=project_id, source=teller)
    return {"before": _said(held), "after": _said(wanted), "told_by": teller}


def _said(roles: set[Wanted]) -> list[str]:
    return sorted(f"{role} for {project_id or 'the whole tenant'}" for role, project_id in roles)
