"""Carries what processes have spooled into PostgreSQL: once each, in order, with gaps named."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from evidence import ledger
from evidence.models import DecisionStream
from evidence.spool import FIRST, Spooled, read_frames, rest_of, writer_is_gone
from tenants.actor import system_actor
from tenants.scope import scope_of_tenant, tenant_scope

LOT = 5_000  # records of one file in one transaction for each tenant
BATCH, GAP = "decision.batch", "decision.gap"
SHIPPER = system_actor("evidence worker", "job")

# COPY would be quicker still, but PostgreSQL refuses it for tables behind row security.
_INSERT = """
    INSERT INTO evidence_decisionrecord (id, tenant_id, writer, seq, at, actor_type, actor_id, door,
        action, object_type, object_id, outcome, policy_digest, relation_path, revision,
        latency_ms, trace, predicate, rows, body)
    SELECT (said->>'id')::uuid, %(tenant)s, said->>'writer', (said->>'seq')::bigint,
        (said->>'at')::timestamptz, said->>'actor_type', left(said->>'actor_id', 100),
        said->>'door', left(said->>'action', 100), left(said->>'object_type', 50),
        left(said->>'object_id', 100), said->>'outcome', said->>'policy_digest',
        said->'relation_path', left(said->>'revision', 64), (said->>'latency_ms')::float8,
        said->>'trace', coalesce(said->>'predicate', ''), (said->>'rows')::bigint, body
    FROM (
        SELECT convert_from(body, 'UTF8')::jsonb
            || jsonb_build_object('id', substr(encode(sha256(body), 'hex'), 1, 32)) AS said, body
        FROM unnest(%(bodies)s::bytea[]) AS body
    ) arrived
    ON CONFLICT (tenant_id, writer, seq) DO NOTHING
"""


@dataclass
class Shipped:
    """What one round brought: records that were new, gaps that were found, files that are done."""

    records: int = 0
    gaps: int = 0
    files: int = 0


@dataclass
class _Lot:
    """Records of one writer for one tenant that follow each other, and what is wrong with them."""

    writer: str
    next_seq: int
    head: str
    first: int = -1
    bodies: list[bytes] = field(default_factory=list)
    gaps: list[dict[str, Any]] = field(default_factory=list)

    def take(self, record: Spooled) -> None:
        said = record.said
        seq = said["seq"]
        if seq < self.next_seq:
            return  # it has arrived before
        if seq > self.next_seq:
            self._miss(self.next_seq, seq, "they were never on disk")
        elif said["prev"] != self.head:
            self._miss(seq, seq + 1, "what came before it is not what it names")
        if self.first < 0:
            self.first = seq
        self.bodies.append(record.body)
        self.next_seq, self.head = seq + 1, record.digest

    def _miss(self, start: int, end: int, why: str) -> None:
        self.gaps.append({"from": start, "to": end - 1, "reason": why})


def ship(folder: Path) -> Shipped:
    """Bring what lies in `folder` into the tables of the tenants it is about.

    Safe to run at any time, any number of times: a record is known by its writer and number, and
    where it is known already it is left out. Each lot is one transaction with an entry of the
    ledger that names the head of the writer's chain, so that nothing in it can be changed later;
    what is missing between two records is named in an entry of its own. Files whose writer is gone
    are deleted once everything in them has arrived; of one that is damaged, every tenant that it
    speaks of gets a gap, and the file is put aside as `.damaged`. Trouble with one file keeps no
    other waiting; it is raised at the end.
    """
    shipped, troubles = Shipped(), []
    for path in sorted(folder.glob("*.spool")):
        try:
            # Asked first: what the writer still wrote before it went is then read below.
            gone = writer_is_gone(path)
            end = _ship_file(path, shipped)
            if gone:
                _finish(path, end, shipped)
        except Exception as trouble:  # noqa: BLE001  # raised again below
            trouble.add_note(f"spool {path.name}")
            troubles.append(trouble)
    if troubles:
        raise ExceptionGroup(f"{len(troubles)} spools could not be shipped", troubles)
    return shipped


def _ship_file(path: Path, shipped: Shipped) -> int:
    cursor = _cursor(path)
    end = int(cursor.read_text()) if cursor.exists() else 0
    frames = read_frames(path, end)
    while lot := list(islice(frames, LOT)):
        for tenant, records in _by_tenant(lot).items():
            with tenant_scope(scope_of_tenant(tenant)):
                _arrive(records, shipped)
        end = lot[-1].end
        # Only spares reading again; were it lost, the same records would be left out again.
        written = cursor.with_suffix(".at-new")
        written.write_text(str(end))
        written.replace(cursor)
    return end


def _by_tenant(lot: Iterable[Spooled]) -> dict[UUID, list[Spooled]]:
    found: dict[UUID, list[Spooled]] = defaultdict(list)
    for record in lot:
        found[UUID(record.said["tenant"])].append(record)
    return found


def _finish(path: Path, end: int, shipped: Shipped) -> None:
    """Nobody will write here any more. A torn end is what a process was writing when it was killed:
    nobody had got an answer to that."""
    if rest_of(path, end) == "damaged":
        writer = path.stem.rpartition("-")[0]
        for tenant in _by_tenant(read_frames(path)):
            with tenant_scope(scope_of_tenant(tenant)):
                after = DecisionStream.objects.get(writer=writer).next_seq - 1
                _record_gap(writer, {"after": after, "reason": "the spool is damaged"})
            shipped.gaps += 1
        path.replace(path.with_suffix(".damaged"))
    else:
        path.unlink()
    _cursor(path).unlink(missing_ok=True)
    shipped.files += 1


def _record_gap(writer: str, facts: dict[str, Any]) -> None:
    on = ledger.Named("decisionwriter", writer)
    facts = {"writer": writer, **facts}
    ledger.record(GAP, by=SHIPPER, on=on, facts=facts, phase="gap", outcome="failed")


def _arrive(records: list[Spooled], shipped: Shipped) -> None:
    writer = records[0].said["writer"]
    with transaction.atomic():
        stream, _ = DecisionStream.objects.select_for_update().get_or_create(
            writer=writer, defaults={"head": FIRST}
        )
        lot = _Lot(writer, stream.next_seq, stream.head)
        for record in records:
            lot.take(record)
        if not lot.bodies:
            return
        with connection.cursor() as cursor:
            cursor.execute(_INSERT, {"tenant": stream.tenant_id, "bodies": lot.bodies})
        for gap in lot.gaps:
            _record_gap(writer, gap)
        ledger.record(
            BATCH,
            by=SHIPPER,
            on=ledger.Named("decisionwriter", writer),
            facts={
                "from": lot.first,
                "to": lot.next_seq - 1,
                "count": len(lot.bodies),
                "head": lot.head,
            },
        )
        DecisionStream.objects.filter(pk=stream.pk).update(next_seq=lot.next_seq, head=lot.head)
    shipped.records += len(lot.bodies)
    shipped.gaps += len(lot.gaps)


def _cursor(path: Path) -> Path:
    return path.with_suffix(".at")
