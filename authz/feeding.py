"""Keeps a server outside in step with a tenant's tuples, asks it, compares its answers.

The tuples here stay the truth. The server is told what has changed since the state it has; being
told twice is being told once, so whoever dies in between has lost nothing. Before it is asked, it
is brought up to the state of the question, expired tuples taken out. Nobody is let in by the
server alone: what it allows and the tuples here do not, or the other way round, is denied.
"""

import logging
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

from authz import outside
from authz.errors import Conflict
from authz.graph import Edge, Explanation, Ref
from authz.model import MODEL
from authz.models import OutsideEngine
from authz.outside import Engine, EngineFault, Place, Question
from authz.relations import Changes, Resolved, Snapshot, changes_since, revision, snapshot
from tenants.scope import current_tenant_id

COMPARED = 2_000  # questions, unless told otherwise
LISTS_COMPARED = 100  # each takes the server as long as many questions
LISTED_AT_MOST = 500  # objects of a list that the server has a say about
DECIDING = OutsideEngine.Mode.DECIDING

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Comparison:
    """So many questions were asked, so many lists read; `different` of both together had two
    answers, the first few of them in words."""

    asked: int
    allowed: int
    lists: int
    different: int
    examples: tuple[str, ...] = ()


def feed() -> OutsideEngine | None:
    """Bring the server up to now; None when the tenant has none. Raises EngineFault.

    Two at once wait for each other.
    """
    with transaction.atomic():
        known: OutsideEngine | None = OutsideEngine.objects.select_for_update().first()
        if known is None:
            return None
        _feed(known)
    return known


def check_many(
    questions: Sequence[tuple[Ref, str, Ref]], epoch: UUID | None, number: int
) -> list[bool]:
    """What the server says, at that state of the tuples or a later one. Raises EngineFault."""
    server, place, token = _brought_up_to(epoch, number)
    return server.check_many(place, [Question(*one) for one in questions], token)


def objects_with(
    subject: Ref, held: str, type: str, epoch: UUID | None, number: int
) -> set[UUID] | None:
    """What the server lists, at that state of the tuples or a later one; None when it is more than
    LISTED_AT_MOST or may be. Raises EngineFault."""
    server, place, token = _brought_up_to(epoch, number)
    return server.objects_with(place, subject, held, type, token, LISTED_AT_MOST)


def _brought_up_to(epoch: UUID | None, number: int) -> tuple[Engine, Place, str]:
    known = OutsideEngine.objects.get()
    now = datetime.now(UTC)
    behind = known.epoch != epoch or known.number < number
    if behind or (known.next_end is not None and known.next_end <= now):
        fed = feed()
        if fed is None:
            raise EngineFault("the server was stopped meanwhile")
        known = fed
    server = outside.engine_called(known.engine)
    return server, Place(current_tenant_id(), known.store), known.token


def confirmed(found: Explanation, subject: Ref, held: str, on: Ref) -> Explanation:
    """What was found here, unless a server that decides says otherwise: that is a no.

    When the server cannot be asked, the tuples here decide alone. So do they inside a transaction,
    whose changes no server knows yet.
    """
    if not _a_server_decides():
        return found
    now = revision()
    try:
        [said] = check_many([(subject, held, on)], now.epoch, now.number)
    except EngineFault as fault:
        log.warning("the server for relations was not asked: %s", fault)
        return found
    if said == found.allowed:
        return found
    log.error("the server for relations says %s about %s on %s", said, held, on)
    return found._replace(allowed=False, why="disputed")


def confirmed_lists(subject: Ref, ours: Resolved) -> tuple[Resolved, Resolved]:
    """authz.relations.Confirm: a server that decides has its say about lists as well.

    What lets somebody in is what both list; what keeps somebody out is what either lists. A list
    of more than LISTED_AT_MOST stays as the tuples here say, as all do while the server cannot be
    asked or inside a transaction: `compare` tells whether the two differ there.
    """
    if not _a_server_decides():
        return ours, ours
    now = revision()
    found, barred = dict(ours), dict(ours)
    try:
        for (held, type), ids in ours.items():
            if len(ids) > LISTED_AT_MOST:
                continue
            theirs = objects_with(subject, held, type, now.epoch, now.number)
            if theirs is None or theirs == set(ids):
                continue
            log.error("the server for relations lists other %s by %s for %s", type, held, subject)
            found[held, type] = [id for id in ids if id in theirs]
            barred[held, type] = list(theirs.union(ids))
    except EngineFault as fault:
        log.warning("the server for relations was not asked for lists: %s", fault)
        return ours, ours
    return found, barred


def is_set_up() -> bool:
    """Whether this portal knows of a server that some tenant may have decide."""
    return any(address for address, _ in settings.RELATIONS_SERVERS.values())


def _a_server_decides() -> bool:
    if not is_set_up():
        return False
    return not connection.in_atomic_block and OutsideEngine.objects.filter(mode=DECIDING).exists()


def compare(questions: int = COMPARED) -> Comparison:
    """Ask the server and the tuples here the same random questions, and for the same lists.

    Raises EngineFault; Conflict when there is no server.
    """
    known = OutsideEngine.objects.first()
    if known is None:
        raise Conflict("no server is in use")
    now = snapshot()
    asked = _questions(now, questions)
    ours = [now.graph.check(*one, now.at) for one in asked]
    theirs = check_many(asked, now.epoch, now.number)
    different = [
        f"{one.held} on {one.on.type}:{UUID(int=one.on.id)} for {UUID(int=one.subject.id)}:"
        f" {'yes' if here else 'no'} here, {'yes' if there else 'no'} there"
        for one, here, there in zip(asked, ours, theirs, strict=True)
        if here != there
    ]
    wanted = _lists(now, min(LISTS_COMPARED, questions))
    compared = 0
    for subject, held, type in wanted:
        here = {UUID(int=id) for id in now.graph.objects_with(held, type, subject, now.at)}
        there = objects_with(subject, held, type, now.epoch, now.number)
        if there is None and len(here) > LISTED_AT_MOST:
            continue  # neither of them is a list that the server has a say about
        compared += 1
        if here != there:
            counted = "too many" if there is None else len(there)
            different.append(
                f"list of {type} by {held} for {UUID(int=subject.id)}:"
                f" {len(here)} here, {counted} there"
            )
    return Comparison(len(asked), sum(ours), compared, len(different), tuple(different[:5]))


def _feed(known: OutsideEngine) -> None:
    server = outside.engine_called(known.engine)
    place = Place(current_tenant_id(), known.store)
    changed = None if known.epoch is None else changes_since(known.epoch, known.number)
    if changed is None:
        if known.epoch is not None:
            # The tuples were made anew, so nobody knows which of those there still hold.
            server.clear(place)
            place = server.prepare(place.tenant_id)
            known.store = place.store
        now = snapshot()
        changed = Changes(list(now.graph.edges_at(now.at)), [], now.at, now.epoch, now.number)
    drop = changed.drop + (_over(changed.at) if known.next_end else [])
    if changed.put or drop:
        known.token = server.write(place, changed.put, drop) or known.token
    known.epoch, known.number = changed.epoch, changed.number
    known.next_end = _next_end(changed.at)
    known.save(update_fields=["store", "epoch", "number", "token", "next_end"])


_OVER = """
    SELECT object_type, object_id, relation, subject_type, subject_id, subject_relation
    FROM authz_tuple
    GROUP BY 1, 2, 3, 4, 5, 6
    HAVING max(coalesce(expires_at, 'infinity')) <= to_timestamp(%s)
"""


def _over(at: float) -> list[Edge]:
    with connection.cursor() as cursor:
        cursor.execute(_OVER, [at])
        return [Edge(t, o.int, r, st, s.int, sr) for t, o, r, st, s, sr in cursor.fetchall()]


def _next_end(at: float) -> datetime | None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT min(expires_at) FROM authz_tuple WHERE expires_at > to_timestamp(%s)", [at]
        )
        ends: datetime | None = cursor.fetchone()[0]
    return ends


def _questions(now: Snapshot, most: int) -> list[Question]:
    """Every question about the people and things there are; of too many, random ones."""
    edges = list(now.graph.edges_at(now.at))
    people = _people(edges)
    things = sorted({Ref(edge.object_type, edge.object_id) for edge in edges})
    # Each of `kinds` stands for as many questions as there are people.
    kinds = [(on, held) for on in things for held in MODEL[on.type].permissions]
    every = range(len(people) * len(kinds))
    asked = every if len(every) <= most else random.SystemRandom().sample(every, most)
    return [
        Question(people[number % len(people)], held, on)
        for number in asked
        for on, held in [kinds[number // len(people)]]
    ]


def _lists(now: Snapshot, most: int) -> list[tuple[Ref, str, str]]:
    """What lists are made of, for everybody there is; of too many, random ones."""
    kinds = [
        (held, type) for type, one in MODEL.items() for held in (*one.relations, *one.permissions)
    ]
    every = [
        (who, held, type) for who in _people(now.graph.edges_at(now.at)) for held, type in kinds
    ]
    return every if len(every) <= most else random.SystemRandom().sample(every, most)


def _people(edges: Iterable[Edge]) -> list[Ref]:
    return sorted({Ref("user", edge.subject_id) for edge in edges if edge.subject_type == "user"})
