"""Sees to it that a tenant keeps somebody who can run it."""

from django.db.models import Q
from django.utils import timezone

from authz.errors import Conflict
from authz.models import Grant
from authz.roles import Role
from tenants.models import Membership, User


def has_admin() -> bool:
    """Whether an active person is admin of the pinned tenant, for good."""
    found: bool = Grant.objects.filter(
        Q(expires_at=None) | Q(expires_at__gt=timezone.now()),
        role=Role.TENANT_ADMIN,
        user__kind=User.Kind.HUMAN,
        user__membership__state=Membership.State.ACTIVE,
    ).exists()
    return found


def keep_an_admin() -> None:
    """Raises Conflict when there is none; called at the end of a change(), which it undoes.

    Not for what the customer's directory says: leavers must be out, whoever they are.
    """
    if not has_admin():
        raise Conflict("this would leave the tenant without an admin; name another one first")
