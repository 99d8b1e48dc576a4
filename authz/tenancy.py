"""What operators do to a whole tenant: close its doors, open them, move it, erase it.

Run with the owner's database role: the portal's own cannot see the list of tenants.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.db import DatabaseError, OperationalError
from django.utils import timezone

from authz.change import change, entry
from authz.errors import BadRequest, Conflict
from authz.people import AsTenant
from authz.permissions import Permission
from evidence import ledger
from evidence.models import StagedEntry
from evidence.recount import LogBroken, Standing, recount
from tenants.actor import Actor
from tenants.cells import moving
from tenants.cells.models import Cell, Tenant
from tenants.cells.moving import CannotMove
from tenants.scope import Scope, looking_into, scope_of_tenant, tenant_scope

ATTEMPTS = 3  # to move, when somebody who is still writing stands in the way

# What erasing a tenant leaves: the leaves with what proves them. The facts (evidence_payload)
# are not among it, and without their salts a leaf's commitments to them say nothing.
KEPT = frozenset(
    {
        "evidence_entry",
        "evidence_checkpoint",
        "evidence_cosignature",
        "evidence_loghead",
        "evidence_logkey",
        "evidence_subtreeroot",
        "evidence_stagedentry",  # its facts go; the leaves have yet to be sealed
    }
)


@dataclass(frozen=True)
class Moved:
    """A finished move: how many rows of each table, and the log that arrived."""

    source: str
    target: str
    rows: dict[str, int]
    log: Standing


def tenant_called(slug: str) -> Tenant:
    """The tenant on the list. Raises BadRequest."""
    try:
        return Tenant.objects.select_related("cell").get(slug=slug)
    except Tenant.DoesNotExist:
        raise BadRequest({"slug": f"no tenant is called {slug!r}"}) from None


def suspend(tenant: Tenant, reason: str, *, by: Actor) -> None:
    """Close every door of a tenant; its jobs wait. Nothing is deleted, and sealing goes on.

    A request that is being answered is still finished. Raises Conflict when closed already.
    """
    with (
        tenant_scope(scope_of_tenant(tenant.pk)),
        change(by, Permission.TENANT_SUSPEND, on=AsTenant(tenant.pk)) as facts,
    ):
        facts.update(step="closed", reason=reason)
        open_still = Tenant.objects.filter(pk=tenant.pk, suspended_at=None)
        if not open_still.update(suspended_at=timezone.now()):
            raise Conflict(f"the doors of {tenant.slug} are closed already")


def resume(tenant: Tenant, reason: str, *, by: Actor) -> None:
    """Open the doors again. Raises Conflict when they are open, or the tenant is erased."""
    with (
        tenant_scope(scope_of_tenant(tenant.pk)),
        change(by, Permission.TENANT_SUSPEND, on=AsTenant(tenant.pk)) as facts,
    ):
        facts.update(step="opened", reason=reason)
        found = Tenant.objects.select_for_update().get(pk=tenant.pk)
        if found.erased_at:
            raise Conflict(f"{tenant.slug} is erased; there is nothing to open")
        if found.suspended_at is None:
            raise Conflict(f"the doors of {tenant.slug} are open")
        Tenant.objects.filter(pk=tenant.pk).update(suspended_at=None)


def move(tenant: Tenant, target: str, *, grace: float = 0, by: Actor) -> Moved:
    """Move a tenant to another cell, whole and proved, or not at all.

    Its doors are closed meanwhile and stand as before afterwards, whatever became of it. grace:
    seconds between closing them and moving, for requests and jobs that are under way; one that
    takes longer is refused at its next write, and jobs are then tried again in the new cell.
    Raises BadRequest or Conflict before anything is touched; CannotMove, LogBroken or
    DatabaseError when the tenant is where it was.
    """
    source = tenant.cell.schema_name
    _check_target(tenant, target)
    with _doors_closed(tenant, f"moving from {source} to {target}", by=by):
        time.sleep(grace)
        try:
            return _move_patiently(tenant, source, target, by=by)
        except (CannotMove, LogBroken, DatabaseError) as fault:
            said = {"source": source, "target": target, "problem": str(fault)}
            place = AsTenant(tenant.pk)
            with tenant_scope(scope_of_tenant(tenant.pk)):
                entry(by, Permission.TENANT_MOVE, on=place, facts=said, outcome="failed")
            raise


def erase_rows(tenant: Tenant, *, by: Actor) -> dict[str, int]:
    """Delete everything of a tenant in the database but its log; how many rows of each table.

    The doors stay closed for good and, of whoever got through before, nothing more is taken.
    Every proof over the log holds as before. Run again, it erases what little has come since.
    Raises LogBroken, with nothing erased, for a log that does not hold now.
    """
    if tenant.suspended_at is None:
        suspend(tenant, "about to be erased", by=by)
    scope = scope_of_tenant(tenant.pk)
    with (
        tenant_scope(scope),
        change(by, Permission.TENANT_ERASE, on=AsTenant(tenant.pk)) as facts,
    ):
        facts.phase = "redaction"
        ledger.lock_log()
        moving.hold_tenant()
        before = recount()
        Tenant.objects.filter(pk=tenant.pk).update(erased_at=timezone.now())
        erased = moving.delete_rows(scope.schema, keep=KEPT)
        with_facts = StagedEntry.objects.exclude(payload=None)
        erased["evidence_stagedentry"] = with_facts.update(payload=None, salt=None)
        if recount() != before:
            raise LogBroken("erasing would have changed the log")
        facts.update(rows=_some(erased), log=_said(before), kept=sorted(KEPT))
    moving.forget_deleted_rows(scope.schema)
    return _some(erased)


def _check_target(tenant: Tenant, target: str) -> None:
    if tenant.erased_at:
        raise Conflict(f"{tenant.slug} is erased; there is nothing to move")
    if tenant.cell.schema_name == target:
        raise Conflict(f"{tenant.slug} lives in {target} already")
    try:
        tenant.cell = Cell.objects.get(schema_name=target)
        tenant.clean()
    except Cell.DoesNotExist:
        raise BadRequest({"cell": f"there is no cell {target!r}"}) from None
    except ValidationError as error:
        raise BadRequest({"cell": " ".join(error.messages)}) from error


@contextmanager
def _doors_closed(tenant: Tenant, reason: str, *, by: Actor) -> Iterator[None]:
    """Closed while the block runs, then as they were, whatever became of it."""
    if tenant.suspended_at is not None:
        yield
        return
    suspend(tenant, reason, by=by)
    try:
        yield
    finally:
        resume(tenant, f"no longer {reason}", by=by)


def _move_patiently(tenant: Tenant, source: str, target: str, *, by: Actor) -> Moved:
    for _ in range(ATTEMPTS - 1):
        try:
            return _move(tenant, source, target, by=by)
        except OperationalError:
            # Somebody held a row that is to be moved and waited for us in turn: PostgreSQL has
            # ended one of the two, or we have waited long enough.
            continue
    return _move(tenant, source, target, by=by)


def _move(tenant: Tenant, source: str, target: str, *, by: Actor) -> Moved:
    scope = Scope(tenant.pk, tenant.slug, tenant.name, target, suspended=True)
    with tenant_scope(scope), change(by, Permission.TENANT_MOVE, on=AsTenant(tenant.pk)) as facts:
        # In this order, as the sequencer does it; the other way round they would block each other.
        ledger.lock_log()
        moving.hold_tenant()
        with looking_into(source):
            before = recount()
        Tenant.objects.filter(pk=tenant.pk).update(cell=Cell.objects.get(schema_name=target))
        counts = moving.move_rows(source, target)
        after = recount()
        if before != after:
            raise LogBroken(f"the log had {before}, it would have {after}")
        rows = _some({table: count.rows for table, count in counts.items()})
        facts.update(source=source, target=target, rows=rows, log=_said(after))
    return Moved(source, target, rows, after)


def _some(counts: dict[str, int]) -> dict[str, int]:
    return {table: count for table, count in counts.items() if count}


def _said(log: Standing) -> dict[str, object]:
    return {"size": log.size, "root": log.root.hex(), "checkpoints": log.checkpoints}
