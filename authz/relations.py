"""Who may do what by roles, teams and shares: one face, answered from memory or by PostgreSQL.

Strict: each question first reads the tenant's revision in PostgreSQL, then asks the graph in
memory brought up to that revision, so what is taken away bites at once. Decisions themselves are
never kept. Whatever goes wrong with the graph, PostgreSQL answers; when it cannot either, there is
no answer, and nobody lets anybody in without one.

What is not in here: tokens' scopes, what programs and the product itself may do, and conditions
such as a recent sign-in. authz.decisions puts those around it.
"""

import logging
import struct
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from threading import Lock
from typing import Any
from uuid import UUID, SafeUUID

import psycopg
from django.conf import settings
from django.db import connection
from django.db.models import BooleanField, F, Func, Q

from authz.graph import ALWAYS, Edge, Explanation, Graph, Ref, Rules
from authz.model import MODEL, AnyOf, Except, Expression, Has, Subject, Through
from authz.tuples import column_of
from evidence.ledger import Provided, Proviso
from tenants.backend import prepared
from tenants.backend.base import here
from tenants.scope import current_tenant_id

RULES = Rules(MODEL)
PATIENCE = 0.05  # seconds to wait for a graph that somebody else is loading
# With more revisions than this behind, the whole tenant is read anew.
LONG_BEHIND = 500

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Zookie:
    """A state of a tenant's tuples. epoch: which count `number` belongs to."""

    tenant_id: UUID
    epoch: UUID | None
    number: int

    def __str__(self) -> str:
        return _named(self.epoch, self.number)


def _named(epoch: UUID | None, number: int) -> str:
    return f"{epoch or '-'}/{number}"


# (held, type) to every object of the type that somebody holds it on.
Resolved = dict[tuple[str, str], list[UUID]]
# Given what was resolved for a subject: what that lets in, and what of it keeps out.
Confirm = Callable[[Ref, Resolved], tuple[Resolved, Resolved]]


@dataclass(frozen=True)
class Snapshot:
    """All tuples of a tenant at one moment. at: PostgreSQL's time, seconds since 1970."""

    graph: Graph
    at: float
    epoch: UUID | None
    number: int


@dataclass(frozen=True)
class Changes:
    """What became of every tuple that changed after a state; `epoch`, `number`: what it led to."""

    put: list[Edge]
    drop: list[Edge]
    at: float
    epoch: UUID | None
    number: int


class Unusable(Exception):
    """The graph cannot answer now."""


def person(user_id: UUID) -> Ref:
    """An account, as the one who asks."""
    return Ref("user", user_id.int)


def object_of(thing: Any) -> Ref:
    """What a decision about `thing` is about: itself, or else its project, or else the tenant."""
    name = thing._meta.model_name
    # What is about to be made has no tuples yet; what it will belong to has.
    made = not (hasattr(thing, "_state") and thing._state.adding)
    if made and name in MODEL and MODEL[name].permissions:
        return Ref(name, thing.pk.int)
    if project_id := getattr(thing, "project_id", None):
        return Ref("project", project_id.int)
    return Ref("tenant", current_tenant_id().int)


def revision() -> Zookie:
    """The newest state of the pinned tenant's tuples; inside a transaction, the last committed."""
    epoch, number, _ = _read_revision()
    return Zookie(current_tenant_id(), epoch, number)


def revision_in_memory() -> str:
    """The state that this process last answered from; "" when it asked PostgreSQL instead."""
    with _memory_lock:
        kept = _memory.get(current_tenant_id())
    return kept.graph.revision if kept else ""


def check(subject: Ref, held: str, on: Ref) -> bool:
    """Whether the subject holds a permission (or stands in a relation) on the object."""
    return check_many(subject, [(held, on)])[0]


def check_many(subject: Ref, wanted: Sequence[tuple[str, Ref]]) -> list[bool]:
    """check() for several, all of one moment; answers in the order of the questions."""

    def from_graph(graph: Graph, now: float) -> list[bool]:
        return [graph.check(subject, held, on, now) for held, on in wanted]

    return _answered(from_graph, lambda: _check_in_sql(subject, wanted))


def explain(subject: Ref, held: str, on: Ref) -> Explanation:
    """check() with the path that grants it, or the nearest reason why not."""

    def from_graph(graph: Graph, now: float) -> Explanation:
        return graph.explain(subject, held, on, now)

    return _answered(from_graph, lambda: from_graph(*_load_slice(subject, on)))


def remembered(subject: Ref, held: str, on: Ref) -> tuple[Explanation, Provided] | None:
    """explain() without asking PostgreSQL, when the graph in memory says yes.

    It counts for nothing by itself: only for an entry that is staged provided that the revision
    there is still the one that this was read from, and that nothing on the path has expired.
    """
    if settings.RELATIONS == "sql":
        return None
    with _memory_lock:
        kept = _memory.get(current_tenant_id())
    if kept is None or not kept.lock.acquire(timeout=PATIENCE):
        return None
    try:
        epoch, number = kept.epoch, kept.number
        # As of a moment that has passed for certain: what kept out then may only have ended since.
        found = kept.graph.explain(subject, held, on, kept.at)
    finally:
        kept.lock.release()
    if epoch is None or not found.allowed:
        return None
    ends = min(step.until for step in found.path)
    values = epoch.bytes, number.to_bytes(8, signed=True), _FLOAT8.pack(ends)
    return found, Provided(_UNCHANGED, values)


def subjects_with(held: str, on: Ref, type: str = "user") -> set[UUID]:
    """Everybody who holds it on the object."""

    def from_graph(graph: Graph, now: float) -> set[UUID]:
        return {UUID(int=id) for id in graph.subjects_with(held, on, type, now)}

    return _answered(from_graph, lambda: from_graph(*_load()[:2]))


def ask[A](question: Callable[[Graph, float], A]) -> A:
    """The answer to several questions at once, all of one moment: it is given the graph and the
    time. It must not change the graph, and be quick: others wait for it."""
    return _answered(question, lambda: question(*_load()[:2]))


def graph_of_ones_own() -> tuple[Graph, float]:
    """Everything of the pinned tenant, to change and ask again, with the time.

    Read from PostgreSQL each time; nobody else sees what is changed in it.
    """
    return _load()[:2]


def objects_with(subject: Ref, held: str, type: str) -> list[UUID]:
    """Ids of every object of a type that the subject holds it on, in no order."""
    return _objects_with_each(subject, [(held, type)])[0]


def list_filter(
    subject: Ref, held: str, type: str, path: str = "", confirm: Confirm | None = None
) -> Q:
    """The condition that leaves, of rows of a type's table, those that the subject holds it on.

    path: from the rows that are filtered to those of the type, such as "task__". Few projects and
    shares are resolved first; PostgreSQL then compares columns with those, which an index serves.
    confirm: who else has a say about what was resolved.
    """
    expression = RULES.expression(type, held)
    if expression is None:
        return _nothing(path)
    wanted = list(dict.fromkeys(_resolved_first(type, expression, subject)))
    ours = dict(zip(wanted, _objects_with_each(subject, wanted), strict=True))
    found, barred = confirm(subject, ours) if confirm else (ours, ours)
    return _condition(type, expression, subject, path, found, barred)


def snapshot() -> Snapshot:
    """Every tuple of the pinned tenant, read anew."""
    graph, now, (epoch, number) = _load()
    return Snapshot(graph, now, epoch, number)


def changes_since(epoch: UUID, number: int) -> Changes | None:
    """What has changed since that state; None when the tuples were made anew since."""
    put: list[Edge] = []
    drop: list[Edge] = []
    now, newest = 0.0, number
    for type, id, relation, subject_type, subject_id, subject_relation, until in _rows(
        _CHANGES, [number]
    ):
        if type is None:
            if id != epoch:
                return None
            now, newest = until, int(subject_relation)
            continue
        edge = Edge(type, id.int, relation, subject_type, subject_id.int, subject_relation)
        (put if until > now else drop).append(edge)
    return Changes(put, drop, now, epoch, newest)


def forget() -> None:
    """Empty the memory of this process."""
    with _memory_lock:
        _memory.clear()


# From memory -------------------------------------------------------------------------------------


@dataclass
class _Kept:
    """A tenant's graph; the lock is held while it is asked or brought up to date."""

    lock: Lock = field(default_factory=Lock)
    graph: Graph = field(default_factory=lambda: Graph(RULES))
    epoch: UUID | None = None
    number: int = 0
    at: float = 0.0  # PostgreSQL's time when it was last asked; seconds since 1970


_memory: OrderedDict[UUID, _Kept] = OrderedDict()  # the tenant asked about last comes last
_memory_lock = Lock()


def _answered[A](from_graph: Callable[[Graph, float], A], in_sql: Callable[[], A]) -> A:
    # A transaction sees its own changes, which have no revision yet; the graph must not.
    if settings.RELATIONS == "sql" or here().in_atomic_block:
        return in_sql()
    try:
        epoch, number, now = _read_revision()
        with graph_at(epoch, number, now) as graph:
            return from_graph(graph, now)
    except Exception as fault:  # noqa: BLE001  # whatever it is, PostgreSQL decides
        log.warning("relations are answered in SQL: %s: %s", type(fault).__name__, fault)
        return in_sql()


@contextmanager
def graph_at(epoch: UUID | None, number: int, now: float) -> Iterator[Graph]:
    """The pinned tenant's graph, no older than that revision, which PostgreSQL has just said, with
    its time.

    Nobody else asks or changes it in the block. Raises Unusable when that takes too long to get.
    """
    kept = _kept(current_tenant_id())
    if not kept.lock.acquire(timeout=PATIENCE):
        raise Unusable("somebody else is reading this tenant's tuples")
    try:
        if kept.epoch != epoch or kept.number < number:
            _bring_up_to_date(kept, epoch, number)
        kept.at = now
        yield kept.graph
    finally:
        kept.lock.release()


def _kept(tenant_id: UUID) -> _Kept:
    with _memory_lock:
        if (kept := _memory.get(tenant_id)) is None:
            kept = _memory[tenant_id] = _Kept()
        _memory.move_to_end(tenant_id)
        return kept


def _bring_up_to_date(kept: _Kept, epoch: UUID | None, number: int) -> None:
    if kept.epoch is not None and kept.epoch == epoch and number - kept.number <= LONG_BEHIND:
        _apply_changes(kept)
    else:
        graph, _, (epoch, number) = _load()
        kept.graph, kept.epoch, kept.number = graph, epoch, number
    _make_room()


def _make_room() -> None:
    """Let go of the tenants that were asked about longest ago, when there are too many tuples."""
    with _memory_lock:
        size = sum(kept.graph.size for kept in _memory.values())
        while size > settings.RELATIONS_TUPLES and len(_memory) > 1:
            _, gone = _memory.popitem(last=False)
            size -= gone.graph.size


# From PostgreSQL ---------------------------------------------------------------------------------

_REVISION = prepared.Prepared(
    "read_revision",
    "SELECT r.id, r.number, extract(epoch FROM statement_timestamp())::float8"
    " FROM (SELECT) one LEFT JOIN authz_revision r ON true",
)
_UNCHANGED = Proviso(
    "relations_unchanged",
    "EXISTS (SELECT FROM authz_revision WHERE id = $1 AND number = $2)"
    " AND extract(epoch FROM statement_timestamp())::float8 < $3",
    (prepared.UUID, prepared.INT8, prepared.FLOAT8),
)
_FLOAT8 = struct.Struct(">d")
_KEY = "object_type, object_id, relation, subject_type, subject_id, subject_relation"
_UNTIL = "CASE WHEN expires_at IS NULL THEN NULL ELSE extract(epoch FROM expires_at)::float8 END"

# Each is one statement, hence one snapshot: whoever sees revision n in it sees, of the tuples,
# just what n left. A first row says the revision and the time.
_HEAD = (
    "SELECT NULL, r.id, NULL, NULL, NULL, r.number::text,"
    " extract(epoch FROM statement_timestamp())::float8 FROM (SELECT) one"
    " LEFT JOIN authz_revision r ON true"
)
_ALL = f"{_HEAD} UNION ALL SELECT {_KEY}, {_UNTIL} FROM authz_tuple"  # noqa: S608
# What has changed is looked up as it is now: the log only says where to look.
_CHANGES = f"""
    WITH changed AS (SELECT DISTINCT {_KEY} FROM authz_tuplelog WHERE revision > %s)
    {_HEAD}
    UNION ALL SELECT {_KEY}, coalesce(max(until), '-infinity'::float8) FROM (
        SELECT c.*, CASE WHEN t.id IS NULL THEN NULL
            ELSE coalesce(extract(epoch FROM t.expires_at)::float8, 'infinity') END AS until
        FROM changed c LEFT JOIN authz_tuple t USING ({_KEY})
    ) found GROUP BY {_KEY}
"""  # noqa: S608
# What one question is about: the groups of the subject, the objects above the object, and what
# the groups are to those.
_SLICE = f"""
    WITH RECURSIVE mine (type, id, relation) AS (
        SELECT %s::text COLLATE "C", %s::uuid, '' COLLATE "C"
        UNION
        SELECT t.object_type::text, t.object_id, t.relation::text
        FROM mine m JOIN authz_tuple t ON t.subject_id = m.id
            AND t.subject_type = m.type AND t.subject_relation = m.relation
        WHERE (t.object_type, t.relation) IN {{groups}}
    ), above (type, id) AS (
        SELECT %s::text COLLATE "C", %s::uuid
        UNION
        SELECT t.subject_type::text, t.subject_id
        FROM above a JOIN authz_tuple t ON t.object_id = a.id AND t.object_type = a.type
        WHERE t.subject_relation = '' AND (t.object_type, t.relation) IN {{arrows}}
    )
    {_HEAD}
    UNION ALL SELECT {_KEY}, {_UNTIL} FROM authz_tuple
    WHERE (object_type, object_id) IN (SELECT type, id FROM above)
        AND ((object_type, relation) IN {{arrows}}
            OR (subject_type, subject_id, subject_relation)
                IN (SELECT type, id, relation FROM mine))
    UNION ALL SELECT {_KEY}, {_UNTIL} FROM authz_tuple
    WHERE (subject_type, subject_id, subject_relation) IN (SELECT type, id, relation FROM mine)
        AND (object_type, relation) IN {{groups}}
"""  # noqa: S608


def prepared_rows(query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Rows of the pinned tenant by a statement that PostgreSQL plans once a session."""
    return _rows(query, values)


def _rows(query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Rows of a prepared statement: PostgreSQL plans it once a session, not at each question."""
    # Django's cursor is what binds the session to the pinned tenant.
    with connection.cursor(), connection.wrap_database_errors:
        session: psycopg.Connection[Any] = connection.connection
        return psycopg.Cursor(session).execute(query, values or None, prepare=True).fetchall()


def _read_revision() -> tuple[UUID | None, int, float]:
    current_tenant_id()
    database = here()
    with database.wrap_database_errors:
        answer = _REVISION.run(database.bound_session())
    epoch, number, now = (answer.get_value(0, column) for column in range(3))
    return (
        _epoch(epoch) if epoch else None,
        int.from_bytes(number) if number else 0,
        _FLOAT8.unpack(now or b"")[0],
    )


@lru_cache(maxsize=1_000)
def _epoch(id: bytes) -> UUID:
    return UUID(bytes=id)


def _load() -> tuple[Graph, float, tuple[UUID | None, int]]:
    """Everything of the pinned tenant, with the time and the revision that it is of."""
    return _read(_rows(_ALL))


def _load_slice(subject: Ref, on: Ref) -> tuple[Graph, float]:
    """As much of the pinned tenant as one question is about."""
    query = _SLICE.format(groups=_groups(), arrows=_arrows())
    values = [subject.type, UUID(int=subject.id), on.type, UUID(int=on.id)]
    return _read(_rows(query, values))[:2]


def _read(rows: Iterable[tuple[Any, ...]]) -> tuple[Graph, float, tuple[UUID | None, int]]:
    graph = Graph(RULES)
    ending: dict[Edge, float] = {}
    now, epoch, number = 0.0, None, 0
    for type, id, relation, subject_type, subject_id, subject_relation, until in rows:
        if type is None:
            epoch, number, now = id, int(subject_relation or 0), until
            continue
        edge = Edge(type, id.int, relation, subject_type, subject_id.int, subject_relation)
        if until is None:
            graph.put(edge)
        else:
            ending[edge] = max(until, ending.get(edge, until))
    # Two rows may say the same, such as a role by hand and by a group; the longest counts.
    for edge, until in ending.items():
        if edge not in graph:
            graph.put(edge, until)
    graph.revision = _named(epoch, number)
    return graph, now, (epoch, number)


def _apply_changes(kept: _Kept) -> None:
    for type, id, relation, subject_type, subject_id, subject_relation, until in _rows(
        _CHANGES, [kept.number]
    ):
        if type is None:
            if id != kept.epoch:
                raise Unusable("the tuples were made anew meanwhile")
            number = int(subject_relation)
            continue
        edge = Edge(type, id.int, relation, subject_type, subject_id.int, subject_relation)
        if until == -ALWAYS:
            kept.graph.drop(edge)
        else:
            kept.graph.put(edge, until)
    kept.number = number
    kept.graph.revision = _named(kept.epoch, number)


def _check_in_sql(subject: Ref, wanted: Sequence[tuple[str, Ref]]) -> list[bool]:
    if not wanted:
        return []
    rows = _rows(
        "SELECT authz_check(%s, %s, w.held, w.type, w.id)"
        " FROM unnest(%s::text[], %s::text[], %s::uuid[]) WITH ORDINALITY w (held, type, id, place)"
        " ORDER BY w.place",
        [
            subject.type,
            UUID(int=subject.id),
            [str(held) for held, _ in wanted],
            [on.type for _, on in wanted],
            [UUID(int=on.id) for _, on in wanted],
        ],
    )
    return [row[0] for row in rows]


def _objects_in_sql(subject: Ref, wanted: Sequence[tuple[str, str]]) -> list[list[UUID]]:
    return [
        [
            row[0]
            for row in _rows(
                "SELECT authz_objects(%s, %s, %s, %s)",
                [subject.type, UUID(int=subject.id), str(held), type],
            )
        ]
        for held, type in wanted
    ]


def _objects_with_each(subject: Ref, wanted: Sequence[tuple[str, str]]) -> list[list[UUID]]:
    def from_graph(graph: Graph, now: float) -> list[list[UUID]]:
        return [_uuids(graph.objects_with(held, type, subject, now)) for held, type in wanted]

    return _answered(from_graph, lambda: _objects_in_sql(subject, wanted))


# What UUID(int=...) does besides checking what it was given; that took most of a long list's time.
_SET_INT, _SET_SAFE = UUID.__dict__["int"].__set__, UUID.__dict__["is_safe"].__set__


def _uuids(ids: Iterable[int]) -> list[UUID]:
    """UUIDs of numbers that were UUIDs before."""
    found = []
    for id in ids:
        one = UUID.__new__(UUID)
        _SET_INT(one, id)
        _SET_SAFE(one, SafeUUID.unknown)
        found.append(one)
    return found


def _groups() -> str:
    """Relations whose members stand in other relations, as a list in SQL."""
    return _listed(
        (name, relation)
        for name, one in MODEL.items()
        for relation in one.relations
        if Subject(name, relation) in RULES.kinds
    )


def _arrows() -> str:
    """Relations that lead to objects, as a list in SQL."""
    return _listed(
        (name, relation)
        for name, one in MODEL.items()
        for relation, subjects in one.relations.items()
        if any(not subject.relation and subject.type != "user" for subject in subjects)
    )


def _listed(pairs: Iterable[tuple[str, str]]) -> str:
    return "({})".format(", ".join(f"('{type}', '{relation}')" for type, relation in pairs))


# Conditions for lists ----------------------------------------------------------------------------


class Among(Func):
    """Whether a column is one of many ids: one parameter, however many they are."""

    output_field = BooleanField()

    def __init__(self, column: str, ids: list[UUID]) -> None:
        super().__init__(F(column))
        self.ids = ids

    def as_sql(self, compiler: Any, connection: Any, *_: Any, **__: Any) -> tuple[str, Any]:
        said, values = compiler.compile(self.source_expressions[0])
        return f"{said} = ANY (%s::uuid[])", (*values, self.ids)


def _resolved_first(type: str, expression: Expression, subject: Ref) -> Iterator[tuple[str, str]]:
    """What has to be known to write the condition: (held, type) whose objects it names."""
    match expression:
        case Has(relation):
            if _own_column(type, relation, subject) is None:
                yield relation, type
        case Through(relation, held):
            for target in _targets(type, relation, held):
                yield held, target
        case AnyOf(terms):
            for term in terms:
                yield from _resolved_first(type, term, subject)
        case Except(base, without):
            yield from _resolved_first(type, base, subject)
            yield from _resolved_first(type, without, subject)


def _condition(
    type: str,
    expression: Expression,
    subject: Ref,
    path: str,
    found: Resolved,
    barred: Resolved,
) -> Q:
    match expression:
        case Has(relation):
            if column := _own_column(type, relation, subject):
                return Q(**{path + column: UUID(int=subject.id)})
            return Q(Among(f"{path}id", found[relation, type]))
        case Through(relation, held):
            column = column_of(type, relation)
            if column is None:
                raise Unusable(f"no column of its own says what {type}.{relation} leads to")
            said = _nothing(path)
            for target in _targets(type, relation, held):
                said |= Q(Among(path + column, found[held, target]))
            return said
        case AnyOf(terms):
            said = _nothing(path)
            ids: set[UUID] = set()
            for term in terms:
                if isinstance(term, Has) and _own_column(type, term.relation, subject) is None:
                    ids.update(found[term.relation, type])
                else:
                    said |= _condition(type, term, subject, path, found, barred)
            return said | Q(Among(f"{path}id", list(ids))) if ids else said
        case Except(base, without):
            # What is taken away from what is taken away lets in again, so the two change places.
            return _condition(type, base, subject, path, found, barred) & ~_condition(
                type, without, subject, path, barred, found
            )


def _nothing(path: str) -> Q:
    # An empty Q would leave every row.
    return Q(**{f"{path}id__in": []})


def _own_column(type: str, relation: str, subject: Ref) -> str | None:
    """The column that names the subject itself in a relation, if only such may stand in it."""
    if MODEL[type].relations[relation] == (Subject(subject.type),):
        return column_of(type, relation)
    return None


def _targets(type: str, relation: str, held: str) -> list[str]:
    return [target for _, target in RULES.arrows(type, relation) if RULES.expression(target, held)]
