"""Answers questions of programs, those of many requests at once.

For all that wait together: one look at PostgreSQL says which tokens are good and which revision of
the relations is newest, in one snapshot, and one wait for the disk puts every answer on record. So
a token that was revoked, or a role that was taken away, counts at once, as it does everywhere else.

What takes more than roles, teams and shares (policies, own things, whoever asked for a thing), or a
server outside, is not for here: authz.decisions.decide() answers it.
"""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from django.conf import settings

from authz import cedar, feeding, onrecord, relations
from authz.decisions import Decision, barred, because
from authz.graph import Graph, Ref
from authz.model import MODEL
from authz.permissions import Permission
from authz.roles import NOT_BY_REQUESTER, OWN
from authz.tokens import PREFIX, digest_of, touch
from tenants.actor import Actor
from tenants.models import User
from tenants.models.people import ACTS_AS
from tenants.scope import Scope, scopes_of_hosts, tenant_scope
from tenants.trace import tracing

log = logging.getLogger(__name__)

# Roles, teams and shares alone decide about these.
PLAIN = frozenset(Permission) - cedar.SENSITIVE - OWN - NOT_BY_REQUESTER
NOTHING_HERE = "there is nothing here with this id"


@dataclass(frozen=True)
class Question:
    """Whether the caller may do `permission` to the thing; `view`: what it takes to know of it.

    type "tenant" stands for the whole tenant, and has neither id nor view.
    """

    permission: Permission
    type: str
    id: UUID | None = None
    view: Permission | None = None


@dataclass(frozen=True)
class Asking:
    """One request: the host that it asks, the secret of its token, its questions.

    parent: the traceparent that it came with.
    """

    host: str
    secret: str
    questions: tuple[Question, ...]
    parent: str | None = None


@dataclass(frozen=True)
class Answer:
    """Yes or no, why, and the state of the relations that it was read from."""

    allowed: bool
    reasons: list[str]
    revision: str


@dataclass(frozen=True)
class Answered:
    """What one request is told. Its answers are on disk."""

    tenant_id: UUID
    actor: Actor
    hint: str  # of the token
    trace: str
    answers: list[Answer]
    took_ms: float  # deciding alone


def can_be_asked(questions: Iterable[Question]) -> bool:
    """Whether all of it can be answered here."""
    if settings.RELATIONS == "sql":
        return False
    if feeding.is_set_up():
        return False
    return all(question.permission in PLAIN for question in questions)


def answer_all(askings: Sequence[Asking]) -> list[Answered | None]:
    """One for each; None for a request that has to be answered the long way, which says why.

    Raises NotRecorded when the answers cannot be put on disk: then nobody may have theirs.
    """
    said: list[Answered | None] = [None] * len(askings)
    by_host: dict[str, list[int]] = {}
    for place, asking in enumerate(askings):
        by_host.setdefault(asking.host, []).append(place)
    with onrecord.collected() as decisions:
        for host, scope in scopes_of_hosts(by_host).items():
            if scope.suspended:
                continue
            with tenant_scope(scope):
                for place, one in _of_tenant(scope, {p: askings[p] for p in by_host[host]}):
                    said[place] = one
        decisions.settle()
    return said


# Tokens and revision are of one snapshot: nobody is let in by a token that was revoked before the
# relations were read, or the other way round.
_TOKENS = """
    SELECT t.digest, t.id, t.scopes::text, t.hint, u.id, u.name, u.kind,
        t.used_at IS NULL OR t.used_at < statement_timestamp() - interval '1 minute',
        r.id, coalesce(r.number, 0), extract(epoch FROM statement_timestamp())::float8
    FROM authz_apitoken t
    JOIN tenants_user u ON u.tenant_id = t.tenant_id AND u.id = t.user_id
    JOIN tenants_membership m ON m.tenant_id = u.tenant_id AND m.user_id = u.id
    LEFT JOIN authz_revision r ON r.tenant_id = t.tenant_id
    WHERE t.digest = ANY (%s) AND t.revoked_at IS NULL
        AND t.expires_at > statement_timestamp() AND m.state = 'active'
"""


def _of_tenant(scope: Scope, askings: Mapping[int, Asking]) -> Iterable[tuple[int, Answered]]:
    digests = {
        place: digest_of(asking.secret)
        for place, asking in askings.items()
        if asking.secret.startswith(PREFIX)
    }
    rows = relations.prepared_rows(_TOKENS, [list(set(digests.values()))])
    if not rows:
        return []
    *_, epoch, number, now = rows[0]
    known = {row[0]: row for row in rows}
    for _, id, _, _, user_id, _, _, idle, *_ in rows:
        if idle:
            touch(id, user_id)
    found = []
    with relations.graph_at(epoch, number, now) as graph:
        for place, asking in askings.items():
            if row := known.get(digests.get(place, "")):
                found.append((place, _answered(scope, asking, row, graph, now)))
    return found


def _answered(
    scope: Scope, asking: Asking, row: Sequence[Any], graph: Graph, now: float
) -> Answered:
    started = perf_counter()
    _, _, scopes, hint, user_id, name, kind, *_ = row
    actor = Actor(
        type=ACTS_AS[User.Kind(kind)],
        id=str(user_id),
        name=name,
        door="api",
        user_id=user_id,
        only=frozenset(json.loads(scopes)),
    )
    with tracing(asking.parent) as trace:
        answers = [_answer(scope, actor, question, graph, now) for question in asking.questions]
    return Answered(
        scope.tenant_id, actor, hint, trace, answers, onrecord.milliseconds_since(started)
    )


def _answer(scope: Scope, actor: Actor, question: Question, graph: Graph, now: float) -> Answer:
    if question.type == "tenant":
        on = Ref("tenant", scope.tenant_id.int)
    else:
        assert question.id is not None
        assert question.view is not None
        on = Ref(question.type, question.id.int)
        seen = _decided(actor, question.view, on, graph, now)
        if not seen.allowed or not _is_there(graph, on):
            _note(actor, on, seen)
            return Answer(False, [NOTHING_HERE], "")
    decision = _decided(actor, question.permission, on, graph, now)
    _note(actor, on, decision)
    revision = decision.explanation.revision if decision.explanation else ""
    return Answer(decision.allowed, decision.reasons, revision)


def _decided(actor: Actor, permission: Permission, on: Ref, graph: Graph, now: float) -> Decision:
    started = perf_counter()
    if reason := barred(actor, permission):
        return Decision(permission, False, [reason])
    assert actor.user_id is not None
    found = graph.explain(relations.person(actor.user_id), permission, on, now)
    return Decision(
        permission,
        found.allowed,
        [because(found, permission)],
        explanation=found,
        latency_ms=onrecord.milliseconds_since(started),
    )


def _note(actor: Actor, on: Ref, decision: Decision) -> None:
    thing = SimpleNamespace(pk=UUID(int=on.id), _meta=SimpleNamespace(model_name=on.type))
    onrecord.decided(actor, thing, decision)


def _is_there(graph: Graph, on: Ref) -> bool:
    """Whether the object exists: each has a tuple that says where it belongs, as long as it does.

    A share alone does not make one: it may outlive what was shared.
    """
    return any(
        on.id in graph.edges[slot]
        for relation, subjects in MODEL[on.type].relations.items()
        if relation in _BELONGS
        for subject in subjects
        for slot in graph.rules.slots_of.get((on.type, relation), ())
        if not subject.relation
    )


_BELONGS = frozenset({"tenant", "project"})
