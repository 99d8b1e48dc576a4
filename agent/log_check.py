"""Recounts a tenant's whole log when somebody asks for it, and says on record what came of it."""

from datetime import timedelta
from functools import partial
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from agent import queue
from authz.change import change
from authz.people import AsTenant
from authz.permissions import Permission
from evidence.models import LogCheck, LogHead
from evidence.recount import LogBroken, recount
from tenants.actor import Actor, system_actor
from tenants.scope import current_tenant_id

State = LogCheck.State
UNFINISHED = (State.QUEUED, State.RUNNING)
STALE = timedelta(minutes=2)  # without progress: whoever counted is gone


def ask_for_check(*, by: Actor) -> LogCheck:
    """Have the log recounted; follow the row until it is finished.

    One at a time: while another one is under way, that one is given back. Raises Denied.
    """
    with change(by, Permission.LEDGER_VERIFY, on=AsTenant(current_tenant_id())) as facts:
        fresh = timezone.now() - STALE
        LogCheck.objects.filter(state__in=UNFINISHED, touched_at__lt=fresh).update(
            state=State.FAILED,
            problem="whoever counted is gone; ask again",
            finished_at=timezone.now(),
        )
        check: LogCheck | None = LogCheck.objects.filter(state__in=UNFINISHED).first()
        facts["step"] = "asked"
        if check is None:
            head = LogHead.objects.first()
            check = LogCheck.objects.create(
                requested_by=by.id,
                requested_by_name=by.name,
                entries_total=head.size if head else 0,
            )
            transaction.on_commit(partial(queue.check_log, check.pk))
        facts.about = check
        facts["entries"] = check.entries_total
    return check


def run_check(check_id: UUID) -> None:
    """Count, and record what came of it. Safe to run twice: a check that is finished stays so."""
    rows = LogCheck.objects.filter(pk=check_id, state=State.QUEUED)
    head = LogHead.objects.first()
    if not rows.update(
        state=State.RUNNING,
        entries_total=head.size if head else 0,
        touched_at=timezone.now(),
    ):
        return
    check = LogCheck.objects.get(pk=check_id)
    try:
        found = recount(partial(_tell, check))
    except LogBroken as fault:
        _finish(check, State.BROKEN, problem=str(fault))
    except Exception as bug:
        _finish(check, State.FAILED, problem=f"it could not be counted: {type(bug).__name__}")
        raise
    else:
        check.entries_done = check.entries_total = found.size
        check.heads, check.root = found.checkpoints, found.root.hex()
        _finish(check, State.HOLDS)


def _tell(check: LogCheck, entries: int, heads: int) -> None:
    """Progress, which the ledger need not know."""
    LogCheck.objects.filter(pk=check.pk).update(
        entries_done=entries, heads=heads, touched_at=timezone.now()
    )


def _finish(check: LogCheck, state: str, problem: str = "") -> None:
    by = system_actor("evidence worker", "job")
    with change(by, Permission.LEDGER_VERIFY, on=AsTenant(current_tenant_id())) as facts:
        facts.about, facts.phase = check, "result"
        facts.outcome = "ok" if state == State.HOLDS else "failed"
        check.state, check.problem, check.finished_at = state, problem, timezone.now()
        check.save()
        facts.update(
            step="counted",
            state=state,
            entries=check.entries_done,
            heads=check.heads,
            root=check.root,
            problem=problem,
        )
