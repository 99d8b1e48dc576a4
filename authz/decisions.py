"""Decides who may do what: decide() for doing, may() for showing buttons, visible() for lists."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, Protocol
from uuid import UUID

from django.db import connection
from django.db.models import Model, Q, QuerySet
from django.utils import timezone

from authz import cedar
from authz.errors import Denied
from authz.in_force import active_policies
from authz.models import Grant
from authz.permissions import Permission
from authz.policy_facts import RECORDED_AS, facts_of
from authz.roles import (
    DIRECTORY,
    NOT_BY_REQUESTER,
    ONLY_BY_PEOPLE,
    OWN,
    POLICY_DIGEST,
    ROLES,
    SYSTEM,
    Role,
)
from evidence import ledger
from tenants.actor import Actor
from tenants.models import Membership
from tenants.scope import current


class Thing(Protocol):
    """What a decision is about. A project_id narrows which grants count; a requester_id bars one
    person from letting their own request through; a user_id says whose own it is."""

    @property
    def pk(self) -> Any: ...


@dataclass(frozen=True)
class Decision:
    """Yes or no, with reasons in plain words."""

    permission: Permission
    allowed: bool
    reasons: list[str]
    policy_digest: str = POLICY_DIGEST
    # Of sensitive permissions: the policies that made it so, and what they were told.
    policies: tuple[str, ...] = ()
    policy_facts: dict[str, Any] = field(default_factory=dict)

    @property
    def recorded(self) -> dict[str, Any]:
        """What the ledger keeps of it besides yes or no."""
        said: dict[str, Any] = {"reasons": self.reasons}
        if self.policy_facts:
            said |= {"policies": list(self.policies), RECORDED_AS: self.policy_facts}
        return said

    @property
    def policy(self) -> dict[str, str]:
        """As the ledger records it."""
        return {"digest": self.policy_digest, "decision": "allow" if self.allowed else "deny"}


_HELD = """
    SELECT g.role, g.project_id
    FROM authz_grant g
    JOIN tenants_membership m ON m.tenant_id = g.tenant_id AND m.user_id = g.user_id
    WHERE g.user_id = %s AND m.state = 'active'
        AND (g.expires_at IS NULL OR g.expires_at > now())
"""

# A grant as far as decisions care: the role, and the project it is limited to.
Held = tuple[Role, UUID | None]


def held_by(actor: Actor) -> list[Held]:
    """Roles that the actor holds now. Always read afresh: a removed grant must bite at once."""
    if actor.user_id is None:
        return []
    # Plain SQL: this runs before every change, and building the query took longer than running it.
    current()
    with connection.cursor() as cursor:
        cursor.execute(_HELD, [actor.user_id])
        return [(Role(role), project_id) for role, project_id in cursor.fetchall()]


def decide(by: Actor, permission: Permission, on: Thing) -> Decision:
    """Whether `by` may do `permission` to `on`. Denies unless a role allows it and, for what is
    sensitive, no policy of the platform or of the tenant forbids it."""
    said = _decide(by, permission, on, held_by(by))
    if permission not in cedar.SENSITIVE:
        return said
    facts = facts_of(by, on, rebac=said.allowed, now=timezone.now())
    policies = active_policies()
    said = replace(
        said,
        policy_digest=sha256(f"{POLICY_DIGEST}{policies.digest}".encode()).hexdigest(),
        policy_facts=facts.recorded(),
    )
    if not said.allowed:
        return said
    judged = cedar.judge(permission, facts, policies)
    return replace(
        said,
        allowed=judged.allowed,
        reasons=said.reasons if judged.allowed else judged.reasons,
        policies=judged.policies,
    )


def may(by: Actor, permission: Permission, on: Thing) -> bool:
    """decide() for showing or hiding a button; leaves nothing in the ledger."""
    # Circumstances are left to change(): whoever they stop should be told why.
    return _decide(by, permission, on, held_by(by)).allowed


def require(by: Actor, permission: Permission, on: Thing) -> None:
    """Let a read through, or leave the refusal in the ledger and raise Denied."""
    decision = decide(by, permission, on)
    if not decision.allowed:
        refuse(by, on, decision)


def refuse(by: Actor, on: Thing, decision: Decision) -> None:
    """Record a denial, then raise it. Called outside of any transaction, so that it stays."""
    ledger.record(
        f"{decision.permission}.denied",
        by=by,
        on=on,
        facts=decision.recorded,
        outcome="denied",
        policy=decision.policy,
    )
    raise Denied(decision.permission, decision.reasons)


def visible[M: Model](
    by: Actor, permission: Permission, among: QuerySet[M], project: str = "project_id"
) -> QuerySet[M]:
    """The rows of `among` that the actor may see, filtered in the database.

    project: path from the row to the id of its project.
    """
    projects: set[UUID] = set()
    if by.only is not None and permission not in by.only:
        return among.none()
    for role, project_id in held_by(by):
        if permission in ROLES[role]:
            if project_id is None:
                return among
            projects.add(project_id)
    return among.filter(**{f"{project}__in": projects}) if projects else among.none()


def who_may(permission: Permission, on: Thing) -> list[tuple[str, str, Decision]]:
    """Every active person as (id, name, decision about them), allowed ones first.

    By roles and by who asked; policies also look at the sign-in, which is not there to look at.
    """
    grants: dict[UUID, tuple[str, list[Held]]] = {}
    rows = Grant.objects.filter(
        Q(expires_at=None) | Q(expires_at__gt=timezone.now()),
        user__membership__state=Membership.State.ACTIVE,
        user__kind="human",
    ).values_list("user_id", "user__name", "role", "project_id")
    for user_id, name, role, project_id in rows.order_by("user__name"):
        grants.setdefault(user_id, (name, []))[1].append((Role(role), project_id))
    answers = []
    for user_id, (name, held) in grants.items():
        person = Actor("human", str(user_id), name, "page", user_id)
        answers.append((str(user_id), name, _decide(person, permission, on, held)))
    return sorted(answers, key=lambda answer: not answer[2].allowed)


def _decide(by: Actor, permission: Permission, on: Thing, held: Iterable[Held]) -> Decision:
    def no(reason: str) -> Decision:
        return Decision(permission, False, [reason])

    if permission in NOT_BY_REQUESTER and str(getattr(on, "requester_id", None)) == by.id:
        return no("whoever asked for it cannot countersign it: a second person must")
    if by.type == "system":
        if permission in SYSTEM:
            return Decision(permission, True, ["the product itself may do this"])
        return no(f"the product itself may not {_said(permission)}")
    if by.type == "robot" and by.user_id is None:
        if permission in DIRECTORY:
            return Decision(permission, True, ["the tenant's directory may do this"])
        return no(f"a directory may not {_said(permission)}")
    if by.only is not None and permission not in by.only:
        return no(f"this token was made without leave to {_said(permission)}")
    if permission in ONLY_BY_PEOPLE and by.type != "human":
        return no(f"only a person may {_said(permission)}")
    if permission in OWN and by.user_id and getattr(on, "user_id", None) == by.user_id:
        return Decision(permission, True, [f"everybody may {_said(permission)} of their own"])
    project = getattr(on, "project_id", None)
    for role, limited_to in held:
        if permission in ROLES[role] and limited_to in (None, project):
            where = "the whole tenant" if limited_to is None else "this project"
            return Decision(permission, True, [f"{role.title} of {where} may {_said(permission)}"])
    return no(f"none of your roles here may {_said(permission)}")


def _said(permission: Permission) -> str:
    subject, verb = permission.split(".")
    return f"{verb} a {subject.replace('_', ' ')}"
