"""How long a tenant's facts and decisions are kept, and what goes when that is over."""

from datetime import datetime, timedelta

from django.utils import timezone

from authz.change import change
from authz.errors import BadRequest
from authz.people import AsTenant
from authz.permissions import Permission
from evidence import ledger
from evidence.models import DecisionRecord, Entry, OpenIntent, Payload, Retention
from tenants.actor import Actor
from tenants.scope import current_tenant_id

MOST_DAYS = 36_500
REASON_LIMIT = 500
LOT = 5_000  # facts deleted in one change, so that nobody waits for long

# What a decision was about stays as long as its leaf: without it nobody could say what was
# countersigned, and no pack could show it.
KEPT = ("proposal.countersign", "proposal.reject", "proposal.open", "log_key.rotate")


def days_kept() -> int:
    """For how many days the pinned tenant keeps facts and decisions."""
    found = Retention.objects.first()
    return found.days if found else Retention.DEFAULT_DAYS


def keep_for(days: int, reason: str, *, by: Actor) -> None:
    """Say how long from now on. reason: kept with the entry, at most REASON_LIMIT characters.

    Raises Denied, or BadRequest: below the least that is allowed, more than MOST_DAYS, no reason.
    """
    problems = {}
    if not Retention.LEAST_DAYS <= days <= MOST_DAYS:
        least = Retention.LEAST_DAYS
        problems["days"] = f"is {days}; it must be {least} at least and {MOST_DAYS} at most"
    if not reason.strip():
        problems["reason"] = "is empty; say why in a sentence"
    elif len(reason) > REASON_LIMIT:
        problems["reason"] = f"has {len(reason)} characters; at most {REASON_LIMIT} are kept"
    if problems:
        raise BadRequest(problems)
    with change(by, Permission.RETENTION_CHANGE, on=AsTenant(current_tenant_id())) as facts:
        facts.update(before=days_kept(), days=days, reason=reason)
        Retention.objects.update_or_create(defaults={"days": days})


def apply(*, by: Actor) -> int:
    """Delete facts with their salts, and decisions, that are older than the tenant keeps them.

    Returns how many. Each lot leaves a redaction in the ledger. No leaf is touched, so every proof
    holds as before; a reader sees that there were facts, how many bytes, and that they are gone.
    """
    before = timezone.now() - timedelta(days=days_kept())
    deleted = 0
    while lot := _apply_once(before, by):
        deleted += lot
    return deleted


def _apply_once(before: datetime, by: Actor) -> int:
    old = Entry.objects.filter(recorded_at__lt=before).exclude(action__in=KEPT)
    with_facts = old.filter(pk__in=Payload.objects.values("pk"))
    # What is still open will be answered by its intent's facts.
    rows = with_facts.exclude(pk__in=OpenIntent.objects.values("pk")).order_by("index")
    found = list(rows.values_list("pk", "index")[:LOT])
    records = DecisionRecord.objects.filter(at__lt=before).order_by("at")
    decisions = list(records.values_list("pk", flat=True)[:LOT])
    if not found and not decisions:
        return 0
    with change(by, Permission.RETENTION_APPLY, on=AsTenant(current_tenant_id())) as facts:
        facts.phase = "redaction"
        # Nothing may move while facts go, as when a person is erased.
        ledger.lock_log()
        gone = Payload.objects.filter(pk__in=[pk for pk, _ in found]).delete()[0]
        read = DecisionRecord.objects.filter(pk__in=decisions).delete()[0]
        indexes = [index for _, index in found]
        facts.update(
            facts=gone,
            decisions=read,
            days=days_kept(),
            older_than=before,
            first=min(indexes, default=None),
            last=max(indexes, default=None),
        )
    return int(gone + read)
