"""Tokens of one's own and of programs; service accounts to hang them on."""

from datetime import datetime
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from ninja import Query, Router, Schema, Status
from pydantic import Field

from authz import tokens
from authz.decisions import require
from authz.models import ApiToken
from authz.people import AsTenant
from authz.permissions import Permission
from authz.roles import Role
from portal.accounts import programs, token_seen_by, tokens_of
from portal.api.fields import Text
from portal.api.members import MemberOut
from portal.api.paging import Page, Paging
from portal.api.problems import CHANGE, READ_MANY
from portal.directory import project_seen_by
from portal.http import PortalRequest
from tenants.models import User
from tenants.scope import current_tenant_id

router = Router(tags=["Tokens"])
services = Router(tags=["Tokens"])


class TokenOut(Schema):
    """A token, without its secret."""

    id: UUID
    account: UUID = Field(alias="user_id", description="Whom it acts as.")
    name: str
    hint: str = Field(description="Its first characters.")
    scopes: list[Permission]
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = Field(description="To the minute.")
    revoked_at: datetime | None


class NewTokenOut(TokenOut):
    """A token that was just made."""

    secret: str = Field(description="Shown now and never again.")


class TokenIn(Schema):
    """A token to make."""

    name: Text = Field(max_length=100, examples=["nightly export"])
    scopes: list[Permission]
    days: int = Field(90, description="1 to 365 until it expires.")
    account: UUID | None = Field(
        None, description="A service account or agent; empty: the caller's own."
    )


class ServiceIn(Schema):
    """A service account to add."""

    name: Text = Field(max_length=100, examples=["ci-runner"])
    roles: list[Role]
    project: UUID | None = Field(None, description="Empty: for the whole tenant.")


class Of(Schema):
    """Whose tokens."""

    account: UUID | None = Field(
        None, description="A service account or agent; empty: the caller's own."
    )


@router.get("", response={200: Page[TokenOut], **READ_MANY}, by_alias=False)
def list_tokens(request: PortalRequest, of: Query[Of], paging: Query[Paging]) -> dict[str, object]:
    """Tokens of one account, newest first, revoked and expired ones too."""
    account = _account(request, of.account)
    require(request.actor, Permission.TOKEN_REVOKE, tokens.NewToken(account))
    return paging.of(tokens_of(account))


@router.post("", response={201: NewTokenOut, **CHANGE}, by_alias=False)
def create_token(
    request: PortalRequest, wanted: TokenIn, response: HttpResponse
) -> Status[ApiToken]:
    """Make a token. Nobody makes one that acts as another person."""
    token, secret = tokens.create_token(
        _account(request, wanted.account),
        wanted.name,
        wanted.scopes,
        days=wanted.days,
        by=request.actor,
    )
    token.secret = secret  # type: ignore[attr-defined]  # for the answer alone
    response["Cache-Control"] = "no-store"
    return Status(201, token)


@router.delete("/{token_id}", response={204: None, **CHANGE})
def revoke_token(request: PortalRequest, token_id: UUID) -> Status[None]:
    """Let a token work no more. Answers 409 when it was revoked before."""
    tokens.revoke_token(token_seen_by(request.actor, token_id), by=request.actor)
    return Status(204, None)


@services.get("", response={200: Page[MemberOut], **READ_MANY}, by_alias=False)
def list_services(request: PortalRequest, paging: Query[Paging]) -> dict[str, object]:
    """Accounts that no person stands behind: service accounts, agents."""
    _require_services(request)
    return paging.of(programs())


@services.post("", response={201: MemberOut, **CHANGE}, by_alias=False)
def add_service(request: PortalRequest, wanted: ServiceIn) -> Status[User]:
    """Add a service account. Nobody signs in with it; make a token for it next."""
    service = tokens.add_service(
        wanted.name,
        wanted.roles,
        project=project_seen_by(request.actor, wanted.project),
        by=request.actor,
    )
    return Status(201, programs().get(pk=service.pk))


def _account(request: PortalRequest, account: UUID | None) -> User:
    if account is None or account == request.user.pk:
        return request.user
    _require_services(request)
    found: QuerySet[User] = programs()
    return get_object_or_404(found, pk=account)


def _require_services(request: PortalRequest) -> None:
    require(request.actor, Permission.SERVICE_CREATE, AsTenant(current_tenant_id()))
