"""Break-glass: an operator of the platform comes into a tenant, for a while, seen by everybody.

An operator asks, with a reason; a second person lets them in: an admin of the tenant or, when
none can be reached, another operator. Then a link lets the operator in once, as platform admin,
until the time is over. Each step is in the tenant's ledger.
"""

from datetime import timedelta

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db.models import QuerySet
from django.utils import timezone

from authz import invitations
from authz.change import change
from authz.errors import BadRequest, Conflict
from authz.models import Emergency, Grant
from authz.people import AsTenant
from authz.permissions import Permission
from authz.roles import Role
from authz.sessions import drop_sessions
from tenants.actor import Actor, system_actor
from tenants.models import Membership, User
from tenants.scope import current_tenant_id

SHORTEST, LONGEST = 5, 240  # minutes
REASON = 20  # characters at least
OPEN_FOR = timedelta(hours=24)  # a request that nobody decides about lapses


def operator_actor(email: str, name: str) -> Actor:
    """An operator at the command line. Who they are is what their machine says."""
    return Actor(type="system", id=f"system:operator:{email.lower()}", name=name, door="cli")


def request_access(operator: str, email: str, reason: str, minutes: int, *, by: Actor) -> Emergency:
    """Ask to come in. Raises BadRequest; Conflict while another request is open."""
    _check(operator, email, reason, minutes)
    with change(by, Permission.EMERGENCY_REQUEST, on=AsTenant(current_tenant_id())) as facts:
        if open_emergencies().exists():
            raise Conflict("another emergency is open here; end it first")
        emergency: Emergency = Emergency.objects.create(
            operator=operator.strip(),
            operator_email=email.strip().lower(),
            reason=reason.strip(),
            minutes=minutes,
            requester_id=by.id,
        )
        facts.about = emergency
        facts.update(
            operator=emergency.operator,
            operator_email=emergency.operator_email,
            reason=emergency.reason,
            minutes=minutes,
        )
    return emergency


def approve(emergency: Emergency, *, by: Actor) -> None:
    """Let the operator in, from now on for the minutes asked for.

    Raises Denied, also for whoever asked; Conflict when it was decided before or has lapsed.
    """
    with change(by, Permission.EMERGENCY_APPROVE, on=emergency) as facts:
        locked = _requested(emergency)
        now = timezone.now()
        user, _ = User.objects.get_or_create(
            email=f"emergency.{locked.pk.hex[:12]}@platform.invalid",
            defaults={"name": f"{locked.operator} (platform)"},
        )
        user.set_unusable_password()
        user.save(update_fields=["password"])
        Membership.objects.create(user=user, source="emergency")
        locked.state, locked.user, locked.decided_by = Emergency.State.APPROVED, user, by.name
        locked.decided_at, locked.expires_at = now, now + timedelta(minutes=locked.minutes)
        locked.save()
        Grant.objects.create(
            user=user,
            role=Role.PLATFORM_ADMIN,
            source="emergency",
            expires_at=locked.expires_at,
        )
        facts.update(
            operator_email=locked.operator_email, reason=locked.reason, until=locked.expires_at
        )


def refuse_access(emergency: Emergency, *, by: Actor) -> None:
    """Do not let the operator in. Raises Denied, or Conflict when it was decided before."""
    with change(by, Permission.EMERGENCY_APPROVE, on=emergency) as facts:
        locked = _requested(emergency)
        locked.state, locked.decided_by = Emergency.State.REFUSED, by.name
        locked.decided_at = timezone.now()
        locked.save()
        facts["refused"] = True


def entry_secret(emergency: Emergency, *, by: Actor) -> str:
    """The invitation that lets the operator in, once; for the operator's own eyes.

    Raises Conflict unless the emergency is approved and not over.
    """
    emergency.refresh_from_db()
    if emergency.user is None or not _running(emergency):
        raise Conflict(f"this emergency is {emergency.get_state_display().lower()}")
    assert emergency.expires_at is not None
    left = emergency.expires_at - timezone.now()
    return invitations.invite(emergency.user, by=by, valid_for=left)


def end(emergency: Emergency, *, by: Actor, why: str) -> None:
    """Put the operator out: roles, sessions and account go at once. Ends an open request too.

    Raises Denied, or Conflict when it is over already.
    """
    with change(by, Permission.EMERGENCY_END, on=emergency) as facts:
        locked = Emergency.objects.select_for_update().get(pk=emergency.pk)
        if locked.state not in {Emergency.State.REQUESTED, Emergency.State.APPROVED}:
            raise Conflict("this emergency is over already")
        locked.state, locked.ended_at = Emergency.State.ENDED, timezone.now()
        locked.save()
        if locked.user is not None:
            locked.user.grants.all().delete()
            locked.user.invitations.all().delete()
            Membership.objects.filter(user=locked.user).update(
                state=Membership.State.REMOVED, ended_at=locked.ended_at
            )
            facts["sessions_ended"] = drop_sessions(locked.user)
        facts.update(why=why, operator_email=locked.operator_email)


def end_what_is_over() -> None:
    """Close emergencies of the pinned tenant whose time is over. Run by a schedule."""
    by = system_actor("schedule", "job")
    for emergency in Emergency.objects.filter(state=Emergency.State.APPROVED):
        if not _running(emergency):
            end(emergency, by=by, why="its time was over")
    for emergency in Emergency.objects.filter(
        state=Emergency.State.REQUESTED, requested_at__lt=timezone.now() - OPEN_FOR
    ):
        end(emergency, by=by, why="nobody decided about it for a day")


def open_emergencies() -> QuerySet[Emergency]:
    """Those that wait for a decision, or are running."""
    found: QuerySet[Emergency] = Emergency.objects.filter(
        state__in=[Emergency.State.REQUESTED, Emergency.State.APPROVED]
    )
    return found


def emergency_of(user: User) -> Emergency | None:
    """The running emergency that this account was made for; None for everybody else."""
    found: Emergency | None = Emergency.objects.filter(
        user=user, state=Emergency.State.APPROVED, expires_at__gt=timezone.now()
    ).first()
    return found


def _requested(emergency: Emergency) -> Emergency:
    locked: Emergency = Emergency.objects.select_for_update().get(pk=emergency.pk)
    if locked.state != Emergency.State.REQUESTED:
        raise Conflict(f"this emergency is {locked.get_state_display().lower()} already")
    if locked.requested_at < timezone.now() - OPEN_FOR:
        raise Conflict("this request is older than a day; the operator must ask again")
    return locked


def _running(emergency: Emergency) -> bool:
    return (
        emergency.state == Emergency.State.APPROVED
        and emergency.expires_at is not None
        and emergency.expires_at > timezone.now()
    )


def _check(operator: str, email: str, reason: str, minutes: int) -> None:
    errors = {}
    if not operator.strip():
        errors["operator"] = "is empty; give the operator's name"
    try:
        validate_email(email.strip())
    except ValidationError:
        errors["email"] = f"{email!r} is not an e-mail address"
    if len(reason.strip()) < REASON:
        errors["reason"] = f"say in at least {REASON} characters what is wrong and what you will do"
    if not SHORTEST <= minutes <= LONGEST:
        errors["minutes"] = f"must be {SHORTEST} to {LONGEST}"
    if errors:
        raise BadRequest(errors)
