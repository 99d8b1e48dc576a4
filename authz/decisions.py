"""Decides who may do what: decide() for doing, may() for showing buttons, visible() for lists."""

from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from time import perf_counter, perf_counter_ns
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from django.db import connection
from django.db.models import Model, Q, QuerySet
from django.utils import timezone

from authz import cedar, feeding, onrecord, relations
from authz.errors import Denied
from authz.graph import Explanation, Ref
from authz.in_force import active_policies
from authz.model import MODEL
from authz.opened import opened_by
from authz.permissions import Permission
from authz.policy_facts import RECORDED_AS, facts_of
from authz.roles import (
    DIRECTORY,
    NOT_BY_REQUESTER,
    ONLY_BY_PEOPLE,
    OWN,
    POLICY_DIGEST,
    SYSTEM,
    Role,
)
from evidence import ledger
from tenants import asked
from tenants.actor import Actor
from tenants.models import Membership, User
from tenants.scope import current


class Thing(Protocol):
    """What a decision is about: an object of authz.model, or else its project_id, or else the
    tenant. A requester_id bars one person from letting their own request through; a user_id says
    whose own it is."""

    @property
    def pk(self) -> Any: ...


class Decision(NamedTuple):
    """Yes or no, with reasons in plain words."""

    permission: Permission
    allowed: bool
    reasons: list[str]
    policy_digest: str = POLICY_DIGEST
    # Of sensitive permissions: the policies that made it so, and what they were told.
    policies: tuple[str, ...] = ()
    policy_facts: Mapping[str, Any] = MappingProxyType({})
    # What roles, teams and shares said; None where they were not asked.
    explanation: Explanation | None = None
    latency_ms: float = 0

    @property
    def recorded(self) -> dict[str, Any]:
        """What the ledger keeps of it besides yes or no."""
        said: dict[str, Any] = {"reasons": self.reasons, "latency_ms": self.latency_ms}
        if self.explanation:
            path = [str(step) for step in self.explanation.path]
            said |= {"relations": path, "revision": self.explanation.revision}
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


@asked.without_asking(asked.Purpose.DECIDE)
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
    """Whether `by` may do `permission` to `on`. Denies unless a role, a team or a share allows it
    and, for what is sensitive, no policy of the platform or of the tenant forbids it."""
    started = perf_counter_ns()
    with asked.without_asking(asked.Purpose.DECIDE):
        said = _decide(by, permission, on, started)
        if permission in cedar.SENSITIVE:
            said = _by_policies(said, by, on)._replace(latency_ms=_milliseconds_since(started))
    if said.allowed:
        asked.opens(opened_by(permission))
    return said


def _by_policies(said: Decision, by: Actor, on: Thing) -> Decision:
    facts = facts_of(by, on, rebac=said.allowed, now=timezone.now())
    policies = active_policies()
    said = said._replace(
        policy_digest=sha256(f"{POLICY_DIGEST}{policies.digest}".encode()).hexdigest(),
        policy_facts=facts.recorded(),
    )
    if not said.allowed:
        return said
    judged = cedar.judge(said.permission, facts, policies)
    return said._replace(
        allowed=judged.allowed,
        reasons=said.reasons if judged.allowed else judged.reasons,
        policies=judged.policies,
    )


def may(by: Actor, permission: Permission, on: Thing) -> bool:
    """decide() for showing or hiding a button; leaves nothing in the ledger."""
    # Circumstances are left to change(): whoever they stop should be told why.
    with asked.without_asking(asked.Purpose.DECIDE):
        allowed = _decide(by, permission, on).allowed
    if allowed:
        asked.opens(opened_by(permission))
    return allowed


def may_somewhere(by: Actor, permission: Permission, type: str = "project") -> bool:
    """Whether there is a thing of that type that `by` may do it to; leaves no record."""
    if by.user_id is None or barred(by, permission):
        return False
    with asked.without_asking(asked.Purpose.DECIDE):
        somewhere = bool(relations.objects_with(relations.person(by.user_id), permission, type))
    if somewhere:
        asked.opens(opened_by(permission))
    return somewhere


def require(by: Actor, permission: Permission, on: Thing) -> None:
    """Let a read through, or leave the refusal in the ledger and raise Denied.

    Either way the answer is on record before it counts; raises NotRecorded when that cannot be.
    """
    decision = decide(by, permission, on)
    if not decision.allowed:
        refuse(by, on, decision)
    onrecord.decided(by, on, decision)


def note(by: Actor, on: Thing, decision: Decision) -> None:
    """Put on record what somebody was told who only asked. Raises NotRecorded."""
    onrecord.decided(by, on, decision)


def refuse(by: Actor, on: Thing, decision: Decision) -> None:
    """Record a denial, then raise it. Called outside of any transaction, so that it stays."""
    onrecord.decided(by, on, decision)
    entry = ledger.record(
        f"{decision.permission}.denied",
        by=by,
        on=on,
        facts=decision.recorded,
        outcome="denied",
        policy=decision.policy,
    )
    raise Denied(
        decision.permission,
        decision.reasons,
        record_id=entry.id,
        on=on,
        explanation=decision.explanation,
    )


def visible[M: Model](
    by: Actor, permission: Permission, among: QuerySet[M], of: str = "", path: str = ""
) -> QuerySet[M]:
    """The rows of `among` that the actor may see, filtered in the database.

    Rows that are no objects of authz.model go with the object they belong to: `of` names its
    type and `path` leads there ("task", "task__"); by itself that is the project they are in.
    Each query made of the rows is on record before they are handed on.
    """
    started = perf_counter()
    with asked.without_asking(asked.Purpose.DECIDE):
        rows = _visible(by, permission, among, of, path)
    asked.mark(rows)
    asked.opens(opened_by(permission))
    took = onrecord.milliseconds_since(started)
    revision = relations.revision_in_memory()
    return onrecord.listed(rows, onrecord.Listing(by, permission, POLICY_DIGEST, took, revision))


def own[M: Model](by: Actor, among: QuerySet[M], path: str = "user") -> QuerySet[M]:
    """The rows of `among` that are the actor's own, which takes no right. path: to the account."""
    rows = among.filter(**{path: by.user_id}) if by.user_id else among.none()
    asked.mark(rows)
    return rows


def _visible[M: Model](
    by: Actor, permission: Permission, among: QuerySet[M], of: str, path: str
) -> QuerySet[M]:
    if by.user_id is None or barred(by, permission):
        return among.none()
    if not of:
        of = str(among.model._meta.model_name)
        if of not in MODEL:
            of, path = "project", "project__"
    subject = relations.person(by.user_id)
    return among.filter(
        relations.list_filter(subject, permission, of, path, feeding.confirmed_lists)
    )


@asked.without_asking(asked.Purpose.DECIDE)
def who_may(permission: Permission, on: Thing) -> list[tuple[str, str, Decision]]:
    """Every active person who may or has a role as (id, name, decision), allowed ones first.

    By roles, teams, shares and by who asked; policies also look at the sign-in, which is not there
    to look at.
    """
    people = User.objects.filter(
        Q(grants__isnull=False)
        & (Q(grants__expires_at=None) | Q(grants__expires_at__gt=timezone.now()))
        | Q(pk__in=relations.subjects_with(permission, relations.object_of(on))),
        membership__state=Membership.State.ACTIVE,
        kind=User.Kind.HUMAN,
    )
    answers = []
    for user_id, name in people.order_by("name").values_list("pk", "name").distinct():
        person = Actor("human", str(user_id), name, "page", user_id)
        answers.append((str(user_id), name, _decide(person, permission, on)))
    return sorted(answers, key=lambda answer: not answer[2].allowed)


def remembered(
    by: Actor, permission: Permission, on: Thing
) -> tuple[Decision, ledger.Provided | None] | None:
    """A yes by what this process remembers of roles, teams and shares, without asking PostgreSQL.

    It counts only if the entry of what it allows is staged with what is returned beside it. None
    for all else, of which decide() says more.
    """
    started = perf_counter_ns()
    if permission in cedar.SENSITIVE or feeding.is_set_up():
        return None
    if plain := _without_relations(by, permission, on):
        allowed, reason = plain
        said = Decision(permission, allowed, [reason], latency_ms=_milliseconds_since(started))
        return (said, None) if allowed else None
    found = relations.remembered(*_question(by, permission, on))
    if found is None:
        return None
    explanation, provided = found
    return _explained(permission, explanation, started), provided


def _decide(by: Actor, permission: Permission, on: Thing, started: int | None = None) -> Decision:
    """What roles, teams, shares say. started: when the question came, by perf_counter_ns(); None
    where nobody writes down how long the answer took."""
    if plain := _without_relations(by, permission, on):
        allowed, reason = plain
        took = 0.0 if started is None else _milliseconds_since(started)
        return Decision(permission, allowed, [reason], latency_ms=took)
    asked = _question(by, permission, on)
    return _explained(permission, feeding.confirmed(relations.explain(*asked), *asked), started)


def _without_relations(by: Actor, permission: Permission, on: Thing) -> tuple[bool, str] | None:
    """Yes or no with the reason, where neither role, team nor share has a say in it."""
    if permission in NOT_BY_REQUESTER and str(getattr(on, "requester_id", None)) == by.id:
        return False, _OWN_REQUEST
    if by.type == "system":
        if permission in SYSTEM:
            return True, "the product itself may do this"
        return False, f"the product itself may not {_said(permission)}"
    if by.user_id is None:
        if by.type == "robot" and permission in DIRECTORY:
            return True, "the tenant's directory may do this"
        return False, f"a directory may not {_said(permission)}"
    if reason := barred(by, permission):
        return False, reason
    if permission in OWN and getattr(on, "user_id", None) == by.user_id:
        return True, f"everybody may {_said(permission)} of their own"
    return None


def _question(by: Actor, permission: Permission, on: Thing) -> tuple[Ref, Permission, Ref]:
    assert by.user_id is not None  # of others _without_relations() knows
    return relations.person(by.user_id), permission, relations.object_of(on)


def _explained(permission: Permission, found: Explanation, started: int | None) -> Decision:
    took = 0.0 if started is None else _milliseconds_since(started)
    reasons = [because(found, permission)]
    return Decision(permission, found.allowed, reasons, explanation=found, latency_ms=took)


def _milliseconds_since(started: int) -> float:
    return (perf_counter_ns() - started) // 1_000 / 1_000


def barred(by: Actor, permission: Permission) -> str:
    """Why the actor may not, whatever their roles say; empty if nothing bars them."""
    if by.only is not None and permission not in by.only:
        return f"this token was made without leave to {_said(permission)}"
    if permission in ONLY_BY_PEOPLE and by.type != "human":
        return f"only a person may {_said(permission)}"
    return ""


_OWN_REQUEST = "whoever asked for it cannot let it through: a second person must"


def because(found: Explanation, permission: Permission) -> str:
    """What roles, teams and shares say, in plain words."""
    if found.why == "excluded":
        return _OWN_REQUEST
    if found.why == "disputed":
        return f"two engines disagree whether you may {_said(permission)}; tell the operator"
    if not found.path:
        return f"none of your roles here may {_said(permission)}"
    # The path leads over objects to the one that somebody holds something on, then over teams.
    edge = next(step.edge for step in found.path if step.edge.subject_relation)
    team = " through a team" if edge.subject_type == "team" else ""
    if edge.relation == "viewer":
        who = f"whoever this {edge.object_type} is shared with{team}"
    else:
        where = "the whole tenant" if edge.object_type == "tenant" else "this project"
        who = f"{_title(edge.relation)} of {where}{team}"
    if found.why == "expired":
        return f"{who} may {_said(permission)}, but the time given has passed"
    return f"{who} may {_said(permission)}"


@cache
def _said(permission: Permission) -> str:
    subject, verb = permission.split(".")
    return f"{verb} a {subject.replace('_', ' ')}"


@cache
def _title(role: str) -> str:
    return Role(role).title
