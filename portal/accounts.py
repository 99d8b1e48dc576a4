"""Sessions, tokens, groups of accounts, as far as the one who asks may know them."""

from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from django.utils import timezone

from authz.decisions import may, own
from authz.models import ApiToken, Grant, GroupRole
from authz.people import AsTenant
from authz.permissions import Permission
from tenants.actor import Actor
from tenants.models import DirectoryMember, Membership, Session, User
from tenants.scope import current_tenant_id


def session_here(request: HttpRequest) -> Session | None:
    """The session that this request came with; None for a token."""
    row: Session | None = getattr(request.session, "row", None)
    return row


def open_sessions_of(user: User) -> QuerySet[Session]:
    """Browsers that `user` is signed in with now, the one used last first."""
    now = timezone.now()
    rows: QuerySet[Session] = Session.objects.filter(
        user=user,
        expire_date__gt=now,
        seen_at__gt=now - timedelta(seconds=settings.SESSION_IDLE_SECONDS),
    )
    return rows.order_by("-seen_at", "-opened_at")


def session_seen_by(actor: Actor, handle: UUID) -> Session:
    """One's own session; for those who may end sessions, anybody's. Raises Http404."""
    rows: QuerySet[Session] = Session.objects.exclude(user=None).select_related("user")
    if not may(actor, Permission.SESSION_END, AsTenant(current_tenant_id())):
        rows = own(actor, rows)
    return get_object_or_404(rows, handle=handle)


def tokens_of(user: User) -> QuerySet[ApiToken]:
    """Every token that was made for `user`, newest first."""
    rows: QuerySet[ApiToken] = ApiToken.objects.filter(user=user)
    return rows.order_by("-created_at")


def token_seen_by(actor: Actor, token_id: UUID) -> ApiToken:
    """One's own token; for those who may revoke tokens, anybody's. Raises Http404."""
    rows: QuerySet[ApiToken] = ApiToken.objects.select_related("user")
    if not may(actor, Permission.TOKEN_REVOKE, AsTenant(current_tenant_id())):
        rows = own(actor, rows)
    return get_object_or_404(rows, pk=token_id)


def programs() -> QuerySet[User]:
    """Accounts that no person stands behind, services before agents, by name."""
    return (
        User.objects.filter(membership__state=Membership.State.ACTIVE)
        .filter(Q(kind=User.Kind.SERVICE) | Q(kind=User.Kind.AGENT))
        .select_related("membership")
        .prefetch_related("grants__project", "tokens")
        .order_by("-kind", "name", "pk")
    )


def groups_told_of(user: User) -> dict[str, list[str]]:
    """Groups that `user` is in: source of a grant -> names, as that source last told them."""
    directory = DirectoryMember.objects.filter(person__user=user)
    claimed = {group for identity in user.identities.all() for group in identity.groups}
    return {
        "directory": sorted(directory.values_list("group__display_name", flat=True)),
        "sso": sorted(claimed),
    }


def groups_behind(grant: Grant, told: dict[str, list[str]]) -> list[str]:
    """The groups among `told` that give `grant`; none for a role given by hand."""
    giving = GroupRole.objects.filter(
        group__in=told.get(grant.source, []), role=grant.role, project=grant.project_id
    )
    return sorted(giving.values_list("group", flat=True))
