"""Links that let one account in once: for a first sign-in, or when the provider is out of reach."""

import secrets
from datetime import timedelta
from hashlib import sha256

from django.utils import timezone

from authz.change import change
from authz.errors import Conflict
from authz.permissions import Permission
from tenants.actor import Actor
from tenants.models import Invitation, Membership, User

VALID_FOR = timedelta(days=7)


def invite(user: User, *, by: Actor, valid_for: timedelta = VALID_FOR) -> str:
    """A secret that lets `user` in once; earlier ones stop working. Shown now and never again.

    Raises Denied, or Conflict when they are no active person of the tenant.
    """
    with change(by, Permission.MEMBER_INVITE, on=user) as facts:
        if user.kind != User.Kind.HUMAN or not user.is_active:
            raise Conflict(f"{user.email} is not an active person here, so cannot be invited")
        Invitation.objects.filter(user=user, used_at=None).delete()
        secret = secrets.token_urlsafe(32)
        invitation = Invitation.objects.create(
            user=user,
            digest=digest_of(secret),
            made_by_name=by.name,
            expires_at=timezone.now() + valid_for,
        )
        facts.update(email=user.email, expires_at=invitation.expires_at)
    return secret


def invitation_of(secret: str) -> Invitation | None:
    """The invitation that `secret` opens, as long as it is good and its account active."""
    return invitation_by_digest(digest_of(secret))


def invitation_by_digest(digest: str) -> Invitation | None:
    """As invitation_of(), for a browser that opened it a moment ago."""
    found: Invitation | None = (
        Invitation.objects.select_related("user")
        .filter(
            digest=digest,
            used_at=None,
            expires_at__gt=timezone.now(),
            user__membership__state=Membership.State.ACTIVE,
        )
        .first()
    )
    return found


def use(invitation: Invitation) -> bool:
    """Spend it; False when somebody else was quicker.

    Not a change() of its own: the session or identity that it leads to is on record.
    """
    spent = Invitation.objects.filter(pk=invitation.pk, used_at=None)
    return bool(spent.update(used_at=timezone.now()))


def digest_of(secret: str) -> str:
    """What the table knows an invitation by."""
    return sha256(secret.encode()).hexdigest()
