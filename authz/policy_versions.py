"""The tenant's own policies: proposed by one admin, approved by another, taken back if need be."""

from django.db import connection
from django.db.models import Max, QuerySet
from django.utils import timezone

from authz import cedar
from authz.change import change
from authz.errors import BadRequest, Conflict
from authz.in_force import active_version, digest_of
from authz.models import PolicyVersion
from authz.people import AsTenant
from authz.permissions import Permission
from tenants.actor import Actor
from tenants.scope import current_tenant_id

NOTE = 500  # characters at most
State = PolicyVersion.State

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"


def propose(text: str, note: str, *, by: Actor) -> PolicyVersion:
    """Put rules to the other admins, instead of those in force now. Empty text: no rules.

    Raises Denied, BadRequest (all faults of the text in one line each).
    """
    text = as_stored(text)
    errors = {}
    if faults := cedar.check(text):
        errors["text"] = "\n".join(f"line {fault.line}: {fault.said}" for fault in faults)
    if not note.strip():
        errors["note"] = "is empty; say what changes and why, for whoever approves it"
    elif len(note.strip()) > NOTE:
        errors["note"] = f"is longer than {NOTE} characters"
    if errors:
        raise BadRequest(errors)
    with change(by, Permission.POLICY_CHANGE, on=AsTenant(current_tenant_id())) as facts:
        _one_at_a_time()
        active = active_version()
        if text == (active.text if active else ""):
            raise BadRequest({"text": "is what is in force already"})
        last = versions().aggregate(last=Max("number"))["last"] or 0
        version: PolicyVersion = PolicyVersion.objects.create(
            number=last + 1,
            text=text,
            digest=digest_of(text),
            note=note.strip(),
            replaces=active,
            requester_id=by.id,
            requester_name=by.name,
        )
        facts.about = version
        facts.update(step="proposed", note=version.note, text=text, **_named(version))
    return version


def withdraw(version: PolicyVersion, *, by: Actor) -> None:
    """Take a proposal back. Raises Denied; Conflict when it is somebody else's, or was decided."""
    with change(by, Permission.POLICY_CHANGE, on=version) as facts:
        locked = _proposed(version)
        if locked.requester_id != by.id:
            raise Conflict("somebody else proposed these; refuse them instead")
        _decide(locked, State.REFUSED, by)
        facts.update(step="withdrawn", **_named(locked))


def approve(version: PolicyVersion, digest: str, *, by: Actor) -> None:
    """Put proposed rules in force. digest: of the text that was read.

    Raises Denied, also for whoever proposed them; Conflict when they were decided before, or
    others came into force since they were proposed.
    """
    with change(by, Permission.POLICY_APPROVE, on=version) as facts:
        locked = _proposed(version)
        if digest != locked.digest or locked.digest != digest_of(locked.text):
            raise Conflict("this is not the text that you read")
        active = active_version()
        if locked.replaces_id != (active.pk if active else None):
            raise Conflict(
                "other policies came into force since these were proposed; propose them again"
            )
        if cedar.check(locked.text):
            raise Conflict("these rules no longer fit what policies may ask; propose others")
        if active:
            _retire(active)
        _decide(locked, State.ACTIVE, by)
        facts.update(step="approved", replaces=_name(active), **_named(locked))


def refuse(version: PolicyVersion, why: str, *, by: Actor) -> None:
    """Turn proposed rules down.

    Raises Denied, BadRequest without a reason, Conflict when they were decided before.
    """
    if not why.strip():
        raise BadRequest({"why": "is empty; say why, so that the next proposal can be better"})
    with change(by, Permission.POLICY_APPROVE, on=version) as facts:
        locked = _proposed(version)
        _decide(locked, State.REFUSED, by)
        facts.update(step="refused", why=why.strip(), **_named(locked))


def restore_previous(version: PolicyVersion, *, by: Actor) -> None:
    """Take the version in force back: what it replaced holds again, at once, by one admin.

    One step only, and only to what held by approval before (or to no rules, where there were
    none): further back it takes a proposal and two people. No rule of the tenant can stop this.
    Raises Denied; Conflict when `version` is not in force any more, or was itself restored.
    """
    with change(by, Permission.POLICY_RESTORE, on=version) as facts:
        _one_at_a_time()
        locked = PolicyVersion.objects.select_for_update(of=("self",)).get(pk=version.pk)
        if reason := why_not_back(locked):
            raise Conflict(reason)
        before = locked.replaces
        _retire(locked)
        if before:
            before.state, before.restored = State.ACTIVE, True
            before.activated_at, before.retired_at = timezone.now(), None
            before.save()
        facts.update(step="restored", restored=_name(before), **_named(locked))


def as_stored(text: str) -> str:
    """A typed text as versions keep it; line numbers stay."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").rstrip()
    return f"{text}\n" if text else ""


def why_not_back(version: PolicyVersion) -> str:
    """Why restore_previous() would refuse to go back from `version`; empty when it would not."""
    if version.state != State.ACTIVE:
        return "this version is not in force any more"
    if version.restored:
        return (
            "this version came back by going one step back; going further takes a proposal that"
            " a second admin approves"
        )
    return ""


def versions() -> QuerySet[PolicyVersion]:
    """All of them, newest first, with what each replaces."""
    rows: QuerySet[PolicyVersion] = PolicyVersion.objects.select_related("replaces")
    return rows


def _one_at_a_time() -> None:
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, [f"policies of {current_tenant_id()}"])


def _proposed(version: PolicyVersion) -> PolicyVersion:
    _one_at_a_time()
    locked: PolicyVersion = versions().get(pk=version.pk)
    if locked.state != State.PROPOSED:
        raise Conflict(f"{locked} is {locked.get_state_display().lower()} already")
    return locked


def _decide(version: PolicyVersion, state: str, by: Actor) -> None:
    version.state, version.decided_by, version.decided_by_name = state, by.id, by.name
    version.decided_at = timezone.now()
    if state == State.ACTIVE:
        version.activated_at = version.decided_at
    version.save()


def _retire(version: PolicyVersion) -> None:
    version.state, version.retired_at, version.restored = State.RETIRED, timezone.now(), False
    version.save()


def _named(version: PolicyVersion) -> dict[str, int | str]:
    return {"version": version.number, "digest": version.digest}


def _name(version: PolicyVersion | None) -> dict[str, int | str] | None:
    return _named(version) if version else None
