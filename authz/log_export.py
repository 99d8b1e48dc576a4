"""Where a tenant's ledger is copied to: added, changed, removed by its admins."""

import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.db.models import QuerySet
from django.utils import timezone

from authz.change import change
from authz.errors import BadRequest, Conflict
from authz.models import LogDestination
from authz.people import AsTenant
from authz.permissions import Permission
from evidence.models import LogHead
from tenants.actor import Actor
from tenants.scope import current_tenant_id
from tenants.secrets import seal, unseal

PURPOSE = "log destination"
MOST = 5
LONGEST_PEM = 50_000  # characters
Kind = LogDestination.Kind


@dataclass(frozen=True)
class Said:
    """What an admin typed. secret: empty keeps what is there."""

    kind: str
    name: str
    address: str = ""
    secret: str = ""
    trusted: str = ""


def add(said: Said, *, from_now: bool = False, by: Actor) -> LogDestination:
    """Copy the ledger there too: all of it, or (from_now) what comes from now on.

    Raises Denied, or BadRequest naming the field.
    """
    _check(said, has_secret=False)
    with change(by, Permission.LOG_EXPORT_CHANGE, on=AsTenant(current_tenant_id())) as facts:
        if LogDestination.objects.count() >= MOST:
            raise Conflict(f"{MOST} destinations are the most; remove one first")
        destination = LogDestination(kind=said.kind, next_index=_newest() if from_now else 0)
        _take(destination, said)
        destination.save(force_insert=True)
        facts.about = destination
        facts.update(_told(destination), step="added", from_index=destination.next_index)
    return destination


def alter(destination: LogDestination, said: Said, *, by: Actor) -> None:
    """Change the address, the secret, the name. Raises Denied, BadRequest, Conflict."""
    _check(said, has_secret=bool(destination.secret))
    with change(by, Permission.LOG_EXPORT_CHANGE, on=destination) as facts:
        known = _locked(destination)
        if said.secret == "" and known.address != said.address and known.secret:
            # Or the secret of one place could be sent to another by whoever may not read it.
            raise BadRequest({"secret": "give it again: the address is another one"})
        _take(known, said)
        known.failures, known.problem = 0, ""
        known.save(update_fields=["name", "address", "secret", "trusted", "failures", "problem"])
        facts.update(_told(known), step="changed")


def remove(destination: LogDestination, *, by: Actor) -> None:
    """Copy nothing there any more; what is there stays there. Raises Denied, Conflict."""
    with change(by, Permission.LOG_EXPORT_CHANGE, on=destination) as facts:
        known = _locked(destination)
        facts.update(_told(known), step="removed", copied_up_to=known.next_index)
        known.delete()


def destinations() -> QuerySet[LogDestination]:
    """Of the pinned tenant, oldest first."""
    rows: QuerySet[LogDestination] = LogDestination.objects.order_by("created_at")
    return rows


def secret_of(destination: LogDestination) -> str:
    """HEC's token in the clear, empty where there is none. Raises SecretsUnavailable."""
    return unseal(destination.secret, PURPOSE) if destination.secret else ""


def note_sent(destination: LogDestination, *, up_to: int = 0, checkpoint: int = 0) -> None:
    """Remember that it has every entry before `up_to`, or the checkpoint of that size.

    No change that the ledger tells of, or each copy would make another entry to copy.
    """
    destination.sent_at = destination.tried_at = timezone.now()
    destination.failures, destination.problem = 0, ""
    columns = ["sent_at", "tried_at", "failures", "problem"]
    if up_to:
        destination.next_index = up_to
        columns.append("next_index")
    if checkpoint:
        destination.checkpoint_size, destination.checkpoint_at = checkpoint, destination.sent_at
        columns += ["checkpoint_size", "checkpoint_at"]
    destination.save(update_fields=columns)


def note_problem(destination: LogDestination, reason: str) -> None:
    """Remember that it could not be reached, and why, in words for its admins."""
    destination.failures += 1
    destination.problem = reason
    destination.tried_at = timezone.now()
    destination.save(update_fields=["failures", "problem", "tried_at"])


def _newest() -> int:
    head = LogHead.objects.first()
    return head.size if head else 0


def _locked(destination: LogDestination) -> LogDestination:
    known: LogDestination | None = (
        LogDestination.objects.select_for_update().filter(pk=destination.pk).first()
    )
    if known is None:
        raise Conflict("this destination was removed meanwhile")
    return known


def _take(destination: LogDestination, said: Said) -> None:
    destination.name = said.name.strip()
    destination.address = said.address.strip()
    destination.trusted = said.trusted.strip()
    if said.secret:
        destination.secret = seal(said.secret.strip(), PURPOSE)


def _told(destination: LogDestination) -> dict[str, str]:
    return {
        "kind": destination.kind,
        "name": destination.name,
        "address": destination.address,
    }


def _check(said: Said, *, has_secret: bool) -> None:
    errors = {}
    if said.kind not in Kind.values:
        errors["kind"] = f"{said.kind!r} is none of {', '.join(Kind.values)}"
    if not 0 < len(said.name.strip()) <= 100:
        errors["name"] = "give a name of at most 100 characters"
    if said.kind == Kind.HEC:
        parts = urlsplit(said.address.strip())
        if parts.scheme not in ("https", "http") or not parts.hostname:
            errors["address"] = (
                "expected the collector's address, such as"
                " https://splunk.example.com:8088/services/collector/event"
            )
        if not said.secret and not has_secret:
            errors["secret"] = "is empty; paste the collector's token"
    elif said.kind == Kind.SYSLOG:
        host, _, port = said.address.strip().rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65_536:
            errors["address"] = "expected host and port, such as syslog.example.com:6514"
    elif said.address:
        errors["address"] = "a file has none; the operator says where files are"
    if said.trusted.strip() and (fault := _pem_fault(said.trusted)):
        errors["trusted"] = fault
    if errors:
        raise BadRequest(errors)


def _pem_fault(text: str) -> str:
    if len(text) > LONGEST_PEM:
        return f"is longer than {LONGEST_PEM:,} characters"
    try:
        ssl.create_default_context(cadata=text)
    except (ssl.SSLError, ValueError):
        return "expected certificates in PEM, beginning with -----BEGIN CERTIFICATE-----"
    return ""
