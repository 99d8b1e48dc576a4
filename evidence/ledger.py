"""The only writer of the ledger: record() stages an entry, seal() gives entries their places."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from types import SimpleNamespace
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import psycopg
from django.db import connection, transaction
from django.utils import timezone
from uuid6 import uuid7

from evidence import intents, notes, subtrees
from evidence.intents import Intent
from evidence.key_history import Handover, Term
from evidence.leaf import build_leaf, commitment, payload_bytes
from evidence.merkle import Frontier, consistency_path, inclusion_path
from evidence.models import Checkpoint, Entry, LogHead, LogKey
from evidence.signing import KeyExists, KeyFault, Keys, Signer, VerifierKey
from tenants.actor import Actor
from tenants.backend import prepared
from tenants.backend.base import here
from tenants.scope import Scope, current
from tenants.trace import current_trace

BATCH = 2_000  # entries given a place in one statement

# Every change and every denial waits for this one statement: alone it is a transaction by itself
# (_statement), at the end of a change's it is sent along with the COMMIT, anywhere else it is one
# among others.
_INTO = "INSERT INTO evidence_stagedentry (id, tenant_id, leaf, payload, salt)"
_BEGIN_AND_STAGE = f"{_INTO} VALUES (%s, %s, %s, %s, %s)"  # psycopg sends the BEGIN
_STAGE_AND_COMMIT = f"{_INTO} VALUES (%b); COMMIT".encode()
_ENTRY_TYPES = [prepared.UUID, prepared.UUID, prepared.BYTEA, prepared.BYTEA, prepared.BYTEA]

# One batch from the staging table into the log, hashed as RFC 9162 says. The server does it all,
# because carrying every entry to this process and back took ten times as long.
_MOVE = """
    WITH batch AS (
        SELECT id, tenant_id, leaf, payload, salt,
               convert_from(leaf, 'UTF8')::jsonb AS said,
               %(size)s + row_number() OVER (ORDER BY id) - 1 AS place
        FROM (SELECT * FROM evidence_stagedentry ORDER BY id LIMIT %(batch)s) waiting
    ), placed AS (
        INSERT INTO evidence_entry (id, tenant_id, index, leaf, leaf_hash, recorded_at, action,
            outcome, actor_id, actor_name, actor_type, object_type, object_id, run)
        SELECT id, tenant_id, place, leaf, sha256('\\x00'::bytea || leaf),
               (said->>'ts')::timestamptz, said->>'action', said->>'outcome',
               said->'actor'->>'id', said->'actor'->>'name', said->'actor'->>'type',
               said->'object'->>'type', said->'object'->>'id', coalesce(said->>'run', '')
        FROM batch
        RETURNING index, leaf_hash
    ), kept AS (
        INSERT INTO evidence_payload (id, tenant_id, body, salt)
        SELECT id, tenant_id, payload, salt FROM batch WHERE payload IS NOT NULL
    ), gone AS (
        DELETE FROM evidence_stagedentry staged USING batch WHERE staged.id = batch.id
    )
    SELECT leaf_hash FROM placed ORDER BY index
"""


class Recorded(Protocol):
    """Anything an entry can be about: a model instance with a primary key."""

    @property
    def pk(self) -> Any: ...


@dataclass(frozen=True)
class Proviso:
    """A condition that PostgreSQL has to find true in the very statement that stages an entry.

    sql: its parameters are $1 and so on, of these types, in binary format. name: of its own.
    """

    name: str
    sql: str
    types: tuple[int, ...]


class Provided(NamedTuple):
    """A proviso with the values of its parameters."""

    proviso: Proviso
    values: tuple[bytes, ...]


class _Entry(NamedTuple):
    """What is about to be staged. intent: of one that has to be answered, what it is about."""

    id: UUID
    tenant_id: UUID
    leaf: bytes
    payload: bytes | None
    salt: bytes | None
    trace: str
    intent: intents.About | None

    @property
    def row(self) -> tuple[bytes, bytes, bytes, bytes | None, bytes | None]:
        return self.id.bytes, self.tenant_id.bytes, self.leaf, self.payload, self.salt


def record(
    action: str,
    *,
    by: Actor,
    on: Recorded,
    facts: Mapping[str, Any] | None = None,
    phase: str = "decision",
    outcome: str = "ok",
    policy: Mapping[str, str] | None = None,
    answers: Intent | None = None,
    last: bool = False,
) -> Intent:
    """Stage one entry of the pinned tenant's ledger; returns its id and trace.

    Committed or undone together with the transaction it is called in; outside of one it is
    committed at once. facts: JSON values; kept outside the tree under a salted commitment, so
    that they can be erased. phase: an "intent" has to be answered: hand what this returns to the
    entry that says what came of it (`answers`), which then carries the same trace. One that
    nobody answers becomes a gap (record_gaps()). last: nothing more is done in the transaction, so
    it may be committed along with the entry. Raises ValueError when the leaf would reach 65,535
    bytes.
    """
    trace = answers.trace if answers else current_trace()
    entry = _entry(action, by, on, facts or {}, phase, outcome, policy, trace)
    if answers:
        intents.end(answers)
    if entry.intent:
        intents.begin(entry.id, entry.tenant_id, entry.intent)
    _stage(entry, last=last)
    return Intent(entry.id, entry.trace)


def record_if(
    provided: Provided | None,
    action: str,
    *,
    by: Actor,
    on: Recorded,
    facts: Mapping[str, Any],
    phase: str,
    outcome: str,
    policy: Mapping[str, str],
) -> Intent | None:
    """record() by itself, in one statement that is a transaction of its own.

    None, and nothing is staged, where PostgreSQL finds that what was `provided` does not hold.
    Raises RuntimeError inside of a transaction, which might undo the entry.
    """
    entry = _entry(action, by, on, facts, phase, outcome, policy, current_trace())
    values = (*(provided.values if provided else ()), *entry.row)
    if entry.intent:
        values += tuple(said.encode() for said in entry.intent)
    statement = _statement(provided.proviso if provided else None, entry.intent is not None)
    database = here()
    with database.wrap_database_errors:
        session = database.bound_session()
        if database.in_atomic_block or prepared.begun(session):
            raise RuntimeError("an entry that stands alone must not be part of a transaction")
        staged = statement.run(session, values).command_tuples
    return Intent(entry.id, entry.trace) if staged else None


def _entry(
    action: str,
    by: Actor,
    on: Recorded,
    facts: Mapping[str, Any],
    phase: str,
    outcome: str,
    policy: Mapping[str, str] | None,
    trace: str | None,
) -> _Entry:
    tenant_id = current().tenant_id
    entry_id = uuid7()
    kind, object_id, run = on._meta.model_name, str(on.pk), _run_of(on)  # type: ignore[attr-defined]
    intent = None
    if phase == "intent":
        trace = intents.trace_of(trace, entry_id)
        intent = intents.About(action, kind, object_id, run or "", trace)
    payload = payload_bytes(facts) if facts else None
    salt = secrets.token_bytes(32) if payload else None
    leaf = build_leaf(
        entry_id=entry_id,
        recorded_at=datetime.now(UTC),
        tenant_id=tenant_id,
        actor={
            "type": by.type,
            "id": by.id,
            "name": by.name,
            "on_behalf_of": by.on_behalf_of,
        },
        door=by.door,
        action=action,
        object_type=kind,
        object_id=object_id,
        phase=phase,
        outcome=outcome,
        policy=dict(policy) if policy else None,
        payload=(commitment(salt, payload), len(payload)) if payload and salt else None,
        run=run,
        trace=trace,
    )
    return _Entry(entry_id, tenant_id, leaf, payload, salt, trace or "", intent)


@cache
def _statement(proviso: Proviso | None, opens: bool) -> prepared.Prepared:
    """Stages an entry if the proviso holds; opens: and remembers it as an intent that is open.

    Parameters: the proviso's, then those of the row, then those of the intent.
    """
    name, types, known, held = "stage_entry", list(_ENTRY_TYPES), 0, ""
    if proviso:
        name += f"_if_{proviso.name}"
        types = [*proviso.types, *types]
        known, held = len(proviso.types), f"WHERE {proviso.sql}"
    row = [f"${number}" for number in range(known + 1, known + 6)]
    if not opens:
        return prepared.Prepared(name, f"{_INTO} SELECT {', '.join(row)} {held}", types)
    said = [f"${number}" for number in range(known + 6, known + 11)]
    opening = intents.opening(*row[:2], *said, among="held")
    sql = f"WITH held AS (SELECT {held}), opened AS ({opening}) {_INTO} SELECT {', '.join(row)}"
    types += [prepared.TEXT] * len(said)
    return prepared.Prepared(f"{name}_of_intent", f"{sql} FROM held", types)


def _stage(entry: _Entry, *, last: bool) -> None:
    """Send the entry, past Django's cursor: that would send it as text, to be parsed and planned
    anew, with every byte of the leaf spelled out."""
    database = here()
    with database.wrap_database_errors:
        session = database.bound_session()
        # One block deep, so that committing it ends nobody else's, and not about to be undone.
        ends_here = last and len(database.atomic_blocks) == 1 and not database.needs_rollback
        begun = prepared.begun(session)
        if begun and ends_here:
            _stage_and_commit(session, entry)
        elif begun or ends_here or not database.in_atomic_block:
            # Where nothing was begun it is a transaction by itself, committed when this returns.
            _statement(None, False).run(session, entry.row)
        else:
            session.execute(
                _BEGIN_AND_STAGE,
                [entry.id, entry.tenant_id, entry.leaf, entry.payload, entry.salt],
            )


def _stage_and_commit(session: psycopg.Connection[Any], entry: _Entry) -> None:
    """Send the entry together with the COMMIT; one journey less of each change to the server.

    What fails here is raised before anything is committed, as if it had been sent by itself:
    PostgreSQL does not come to the COMMIT then. Django's own COMMIT, at the end of the block, finds
    nothing left to do. Nothing but hexadecimal digits and ids stands in the text.
    """
    ids, bodies = (entry.id, entry.tenant_id), (entry.leaf, entry.payload, entry.salt)
    values = b",".join(
        [b"'%b'" % str(one).encode() for one in ids]
        + [b"NULL" if one is None else b"'\\x%b'" % one.hex().encode() for one in bodies]
    )
    prepared.checked(session, session.pgconn.exec_(_STAGE_AND_COMMIT % values))
    if prepared.begun(session):
        raise psycopg.InterfaceError("the server did not commit")


@dataclass(frozen=True)
class Named:
    """A thing that an entry is about, known by its type and id alone."""

    type: str
    pk: str
    run_id: str = ""

    @property
    def _meta(self) -> SimpleNamespace:
        return SimpleNamespace(model_name=self.type)


def record_gaps(
    by: Actor,
    patience: float = intents.PATIENCE_SECONDS,
    longest: float = intents.LONGEST_SECONDS,
) -> int:
    """Say of every intent that was left without a result that nobody knows what came of it.

    Returns how many. patience, longest: see intents.take_lost(). Each gap is an entry with the
    trace of its intent, so that a reader finds both together, and is signed like any other.
    """
    with transaction.atomic():
        found = intents.take_lost(patience, longest)
        for one in found:
            record(
                one.action,
                by=by,
                on=Named(one.object_type, one.object_id, one.run),
                facts={"intent": one.intent.id, "since": one.opened_at, "reason": one.why},
                phase="gap",
                outcome="failed",
                answers=one.intent,
            )
    return len(found)


def origin_of(scope: Scope) -> str:
    """Name of a tenant's log, as its checkpoints carry it."""
    return f"countersign/{scope.slug}/{scope.tenant_id}"


def seal(keys: Keys) -> Checkpoint | None:
    """Give every staged entry of the pinned tenant its place, then sign the new tree head.

    Returns the newest checkpoint, or None when the log is empty. One sequencer a tenant: a
    second caller waits, then finds nothing to do. Everything happens in one transaction, so a
    crash leaves entries staged, never half in the log.
    """
    with transaction.atomic():
        lock_log()
        head, _ = LogHead.objects.get_or_create(tenant_id=current().tenant_id)
        frontier = Frontier.from_bytes(bytes(head.frontier)) if head.size else Frontier()
        while _place(frontier):
            pass
        newest: Checkpoint | None = Checkpoint.objects.order_by("-size").first()
        if frontier.size == 0 or (newest and newest.size == frontier.size):
            return newest
        LogHead.objects.filter(pk=head.pk).update(size=frontier.size, frontier=frontier.to_bytes())
        subtrees.keep_up(frontier.size)
        return _sign(frontier, signer(keys))


def proof(entry: Entry, checkpoint: Checkpoint) -> list[bytes]:
    """Inclusion proof of `entry` in the tree that `checkpoint` signed (RFC 9162, 2.1.3)."""
    return inclusion_path(entry.index, checkpoint.size, subtrees.reader())


def consistency(old_size: int, checkpoint: Checkpoint) -> list[bytes]:
    """Proof that the log of `old_size` entries is a beginning of the one that `checkpoint` signed
    (RFC 9162, 2.1.4). Raises ProofError for a size that it never had."""
    return consistency_path(old_size, checkpoint.size, subtrees.reader())


def leaf_hashes(size: int) -> list[bytes]:
    """Hashes of the first `size` entries, in ledger order."""
    rows = Entry.objects.filter(index__lt=size).order_by("index")
    return [bytes(value) for value in rows.values_list("leaf_hash", flat=True)]


def signer(keys: Keys) -> Signer:
    """The signer of the pinned tenant's log; makes and registers its first key.

    Raises KeyLost when the log has a key already and its file is gone.
    """
    scope = current()
    origin = origin_of(scope)
    known = LogKey.objects.order_by("-valid_from").first()
    if known is not None:
        return keys.signer_for(scope.tenant_id, known.vkey)
    try:
        made = keys.create(scope.tenant_id, origin)
    except KeyExists:
        made = keys.adopt(scope.tenant_id, origin)
    LogKey.objects.create(origin=origin, vkey=made.vkey, valid_from=0)
    return made


def hand_over(keys: Keys, made: Signer) -> LogKey:
    """Let `made` sign from the next entry on; all that is recorded so far gets its last head from
    the key before it. Returns the key as it is now on record.

    The head of a log of n entries is signed by the newest key with valid_from < n. An entry has to
    announce `made` first, so that the old key has signed for the new one.
    """
    with transaction.atomic():
        last = seal(keys)
        if last is None:
            raise KeyFault("an empty log has nothing that its key could hand over")
        on_record: LogKey = LogKey.objects.create(
            origin=made.name, vkey=made.vkey, valid_from=last.size
        )
        return on_record


def key_terms(head: Checkpoint) -> list[Term]:
    """Every key that signed for an entry below `head`, oldest first.

    Raises KeyFault when an entry, head or key is missing that should be on record.
    """
    found = [
        Term(key.vkey, key.valid_from, _handover(key, head) if key.valid_from else None)
        for key in LogKey.objects.filter(valid_from__lt=head.size).order_by("valid_from")
    ]
    if not found or found[0].handover:
        raise KeyFault("no key is on record for the beginning of this log")
    return found


def _handover(key: LogKey, head: Checkpoint) -> Handover:
    made = VerifierKey.parse(key.vkey)
    last = Checkpoint.objects.filter(size=key.valid_from).first()
    entry = Entry.objects.filter(
        object_type="logkey",
        object_id=key.vkey.removeprefix(f"{made.name}+"),
        outcome="ok",
        index__lt=key.valid_from,
    ).first()
    if last is None or entry is None:
        raise KeyFault(f"nothing on record announces key {made.key_id}")
    return Handover(
        entry.index,
        bytes(entry.leaf),
        last.note,
        tuple(proof(entry, last)),
        tuple(consistency(last.size, head)),
    )


def still_signs(signer: Signer) -> None:
    """Keep the pinned tenant's log from being handed over until this transaction ends.

    What `signer` signed and this transaction records then lies before the next key's time. Raises
    KeyFault when another key has come into force already.
    """
    with connection.cursor() as cursor:
        number = _lock_number(current().tenant_id)
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [number])
    newest = LogKey.objects.order_by("-valid_from").first()
    if newest is None or newest.vkey != signer.vkey:
        raise KeyFault("the log's key changed meanwhile; whatever was signed has to be signed anew")


def lock_log() -> None:
    """Keep sequencers away from the pinned tenant's log until this transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_lock_number(current().tenant_id)])


def _lock_number(tenant_id: UUID) -> int:
    return int.from_bytes(tenant_id.bytes[:8], signed=True)


def _place(frontier: Frontier) -> bool:
    """Give the next batch its places; says whether there was one."""
    with connection.cursor() as cursor:
        cursor.execute(_MOVE, {"batch": BATCH, "size": frontier.size})
        hashes = [bytes(row[0]) for row in cursor.fetchall()]
    frontier.extend(hashes)
    return bool(hashes)


def _sign(frontier: Frontier, signer: Signer) -> Checkpoint:
    root = frontier.root()
    checkpoint: Checkpoint = Checkpoint.objects.create(
        size=frontier.size,
        root=root,
        note=notes.sign_checkpoint(origin_of(current()), frontier.size, root, signer),
        signed_at=timezone.now(),
    )
    return checkpoint


def _run_of(on: Recorded) -> str | None:
    run = getattr(on, "run_id", None)
    return str(run) if run else None
