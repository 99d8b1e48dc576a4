"""Tokens: secrets with which programs act as an account; service accounts to hang them on."""

import re
import secrets
from collections.abc import Iterable
from datetime import timedelta
from hashlib import sha256
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from authz.change import change
from authz.decisions import held_by
from authz.errors import BadRequest, Conflict
from authz.models import ApiToken, Grant
from authz.people import AsTenant
from authz.permissions import Permission
from authz.roles import ONLY_BY_PEOPLE, PROJECT_ROLES, ROLES, TENANT_ROLES, Role
from tenants import asked
from tenants.actor import Actor
from tenants.models import Membership, Project, User
from tenants.scope import current_tenant_id

# Recognisable, so that scanners find one that was committed by mistake.
PREFIX = "cst_"
HINT = len(PREFIX) + 6  # characters kept to tell tokens apart
LONGEST = 365  # days
TOUCHED_EVERY = timedelta(minutes=1)


class NewToken:
    """The account that a token is made for, as the object of the decision to make it."""

    class _meta:
        model_name = "apitoken"

    def __init__(self, user: User) -> None:
        self.pk = self.user_id = user.pk


def create_token(
    user: User, name: str, scopes: Iterable[Permission], *, days: int, by: Actor
) -> tuple[ApiToken, str]:
    """A token for `user`, with its secret, which is shown now and never again.

    Everybody may make tokens of their own; for service and agent accounts it takes the
    permission; nobody makes one that acts as another person. days: 1 to 365 until it expires.
    Raises Denied, BadRequest, or Conflict when the account is not active.
    """
    wanted = sorted(set(scopes))
    _check_token(user, name, wanted, days, by)
    with change(by, Permission.TOKEN_CREATE, on=NewToken(user)) as facts:
        if not user.is_active:
            raise Conflict(f"{user.name} is not active here, so cannot hold a token")
        secret = PREFIX + secrets.token_urlsafe(32)
        token = ApiToken.objects.create(
            user=user,
            name=name.strip(),
            digest=digest_of(secret),
            hint=secret[:HINT],
            scopes=wanted,
            made_by=by.id,
            expires_at=timezone.now() + timedelta(days=days),
        )
        facts.about = token
        facts.update(
            of=str(user.pk),
            name=token.name,
            hint=token.hint,
            scopes=wanted,
            expires_at=token.expires_at,
        )
    return token, secret


def revoke_token(token: ApiToken, *, by: Actor) -> None:
    """Let a token work no more. Raises Denied, or Conflict when it was revoked before."""
    with change(by, Permission.TOKEN_REVOKE, on=token) as facts:
        revoked = ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(
            revoked_at=timezone.now()
        )
        if not revoked:
            raise Conflict("this token was revoked before")
        facts.update(of=str(token.user_id), name=token.name, hint=token.hint)


@asked.without_asking(asked.Purpose.SIGN_IN)
def token_of(secret: str) -> ApiToken | None:
    """The token that `secret` is, as long as it is good and its account active."""
    if not secret.startswith(PREFIX):
        return None
    now = timezone.now()
    token: ApiToken | None = (
        ApiToken.objects.select_related("user")
        .filter(
            digest=digest_of(secret),
            revoked_at=None,
            expires_at__gt=now,
            user__membership__state=Membership.State.ACTIVE,
        )
        .first()
    )
    if token and (token.used_at is None or token.used_at < now - TOUCHED_EVERY):
        touch(token.pk, token.user_id)
    return token


def touch(token_id: UUID, user_id: UUID) -> None:
    """Remember, to the minute, that a token and its account are in use."""
    now = timezone.now()
    ApiToken.objects.filter(pk=token_id).update(used_at=now)
    Membership.objects.filter(user=user_id).update(seen_at=now)


def scopes_of(user: User) -> list[Permission]:
    """What a token of this account could be given: what its roles allow, if it needs no person."""
    held = {
        permission
        for role, _ in held_by(user.actor("page"))
        for permission in ROLES[role] - ONLY_BY_PEOPLE
    }
    return sorted(held)


def add_service(name: str, roles: Iterable[Role], *, project: Project | None, by: Actor) -> User:
    """An account for a program of the customer's; nobody signs in with it, only with its tokens.

    Raises Denied, BadRequest, or Conflict when there is one of that name.
    """
    wanted = sorted(set(roles))
    _check_service(name, wanted, project)
    with change(by, Permission.SERVICE_CREATE, on=AsTenant(current_tenant_id())) as facts:
        email = f"{_slug(name)}@service.invalid"
        if User.objects.filter(email=email).exists():
            raise Conflict(f"there is a service account called {name.strip()} already")
        service = User.objects.create(email=email, name=name.strip(), kind=User.Kind.SERVICE)
        service.set_unusable_password()
        service.save(update_fields=["password"])
        Membership.objects.create(user=service, source="admin")
        for role in wanted:
            Grant.objects.create(
                user=service, role=role, project=project if role in PROJECT_ROLES else None
            )
        facts.about = service
        facts.update(name=service.name, roles=wanted, project=project.slug if project else None)
    return service


def good_tokens() -> Q:
    """Tokens that would be accepted now, as far as the token itself decides."""
    return Q(revoked_at=None, expires_at__gt=timezone.now())


def _check_token(user: User, name: str, scopes: list[Permission], days: int, by: Actor) -> None:
    errors = {}
    if not name.strip():
        errors["name"] = "is empty; say what the token is for, such as “nightly export”"
    elif len(name.strip()) > 100:
        errors["name"] = "is longer than 100 characters"
    if not 1 <= days <= LONGEST:
        errors["days"] = f"must be 1 to {LONGEST}"
    if not scopes:
        errors["scopes"] = "choose at least one"
    elif beyond := [scope for scope in scopes if scope not in scopes_of(user)]:
        errors["scopes"] = f"go beyond what this account may do: {', '.join(beyond)}"
    if user.kind == User.Kind.HUMAN and user.pk != by.user_id:
        errors["user"] = "is a person; people make their tokens themselves"
    if errors:
        raise BadRequest(errors)


def _check_service(name: str, roles: list[Role], project: Project | None) -> None:
    errors = {}
    if not re.search(r"[a-z0-9]", name.lower()):
        errors["name"] = "needs at least one letter or digit, such as “ci-runner”"
    elif len(name) > 100:
        errors["name"] = "is longer than 100 characters"
    if not roles:
        errors["roles"] = "choose at least one"
    elif unknown := [role for role in roles if role not in TENANT_ROLES]:
        errors["roles"] = f"cannot be handed out by a tenant: {', '.join(unknown)}"
    elif project and (wide := [role for role in roles if role not in PROJECT_ROLES]):
        errors["roles"] = f"cover the whole tenant, not one project: {', '.join(wide)}"
    if errors:
        raise BadRequest(errors)


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60]


def digest_of(secret: str) -> str:
    """What the table knows a token by: its SHA-256, in hex."""
    return sha256(secret.encode()).hexdigest()
