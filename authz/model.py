"""The one table of types, relations, permissions: what everything else about rights is made from.

Read it like this: an object of a type stands in relations to subjects (people, or members of a
team); a permission on it is held by whoever the expression beside it says. Pure: no Django, no
database. The graph evaluator, the SQL functions, the SpiceDB schema, the matrix in docs, tests and
on a page are all made from MODEL.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from authz.permissions import Permission as P
from authz.roles import NOT_BY_REQUESTER, ROLES, Role

TypeName = Literal[
    "user",
    "team",
    "tenant",
    "project",
    "repository",
    "task",
    "proposal",
    "pack",
]


@dataclass(frozen=True)
class Has:
    """Whoever stands in `relation` to the object itself."""

    relation: str


@dataclass(frozen=True)
class Through:
    """Whoever holds `held` on the object that `relation` leads to: a permission or a relation."""

    relation: str
    held: str


@dataclass(frozen=True)
class AnyOf:
    """Whoever at least one of `terms` says."""

    terms: "tuple[Expression, ...]"


@dataclass(frozen=True)
class Except:
    """Whoever `base` says, besides whoever `without` says."""

    base: "Expression"
    without: "Expression"


Expression = Has | Through | AnyOf | Except


@dataclass(frozen=True)
class Subject:
    """What may stand in a relation: objects of a type, or (relation) whoever is that to them."""

    type: str
    relation: str = ""


# Active accounts only: a suspended person's roles are kept and count for nothing.
PEOPLE = (Subject("user", "active"), Subject("team", "member"))


@dataclass(frozen=True)
class ObjectType:
    """One kind of object: its relations, what they may lead to, its permissions."""

    relations: dict[str, tuple[Subject, ...]]
    permissions: Mapping[str, Expression] = field(default_factory=dict)


Model = Mapping[str, ObjectType]

# Looking at work, as somebody that one task or project was shared with may.
SHARED = frozenset({P.TASK_VIEW, P.PROPOSAL_VIEW, P.REPOSITORY_VIEW})
# Roles that can be held for one project alone; the others are held for the tenant.
IN_PROJECT = (Role.PROJECT_ADMIN, Role.DEVELOPER, Role.AGENT)


def _by_roles(permission: P, roles: tuple[Role, ...], *more: Expression) -> Expression | None:
    terms = [Has(role.value) for role in roles if permission in ROLES[role]]
    found = (*terms, *more)
    if not found:
        return None
    return found[0] if len(found) == 1 else AnyOf(found)


def _tenant() -> ObjectType:
    roles = tuple(Role)
    said = {permission: _by_roles(permission, roles) for permission in P}
    return ObjectType(
        relations={role.value: PEOPLE for role in roles},
        permissions={permission: one for permission, one in said.items() if one},
    )


def _project(tenant: ObjectType) -> ObjectType:
    permissions: dict[str, Expression] = {}
    for permission in P:
        more: list[Expression] = []
        if permission in SHARED:
            more.append(Has("viewer"))
        if permission in tenant.permissions:
            more.append(Through("tenant", permission))
        if one := _by_roles(permission, IN_PROJECT, *more):
            permissions[permission] = one
    return ObjectType(
        relations={
            "tenant": (Subject("tenant"),),
            **{role.value: PEOPLE for role in IN_PROJECT},
            "viewer": PEOPLE,
        },
        permissions=permissions,
    )


def _in_project(
    project: ObjectType,
    *,
    shared: bool = False,
    requested: bool = False,
    of: TypeName | None = None,
) -> ObjectType:
    """shared, requested: has a viewer, a requester; of: the thing whose viewer and requester
    count here too.
    """
    relations: dict[str, tuple[Subject, ...]] = {"project": (Subject("project"),)}
    viewers: list[Expression] = []
    requesters: list[Expression] = []
    if shared:
        relations["viewer"] = PEOPLE
        viewers.append(Has("viewer"))
    if requested:
        # Not only while active: whoever asked stays the one who asked.
        relations["requester"] = (Subject("user"),)
        requesters.append(Has("requester"))
    if of:
        relations[of] = (Subject(of),)
        viewers.append(Through(of, "viewer"))
        requesters.append(Through(of, "requester"))
    permissions: dict[str, Expression] = {}
    for permission in project.permissions:
        one: Expression = Through("project", permission)
        if viewers and permission in SHARED:
            one = AnyOf((one, *viewers))
        for requester in requesters if permission in NOT_BY_REQUESTER else ():
            one = Except(one, requester)
        permissions[permission] = one
    return ObjectType(relations, permissions)


def _model() -> Model:
    tenant = _tenant()
    project = _project(tenant)
    return {
        "user": ObjectType({"active": (Subject("user"),)}),
        "team": ObjectType({"member": PEOPLE}),
        "tenant": tenant,
        "project": project,
        "repository": _in_project(project),
        "task": _in_project(project, shared=True, requested=True),
        # What a task led to is seen by whoever the task was shared with, and let through by
        # anybody but who asked for it.
        "proposal": _in_project(project, of="task"),
        "pack": _in_project(project),
    }


MODEL = _model()
