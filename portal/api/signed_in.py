"""Lets members in, by the cookie of their browser or by a token; nobody else."""

import structlog
from django.conf import settings
from django.http import HttpRequest
from ninja.security import APIKeyCookie, HttpBearer

from authz.tokens import token_of
from portal import limits
from tenants.models import User


class SessionCookie(APIKeyCookie):
    """The cookie of a signed-in browser, with a CSRF token for everything that changes data."""

    param_name = settings.SESSION_COOKIE_NAME

    def __call__(self, request: HttpRequest) -> User | None:
        # Asked before the token is: somebody without a session needs 401, not advice on tokens.
        if not isinstance(request.user, User):
            return None
        super().__call__(request)
        return request.user

    def authenticate(self, request: HttpRequest, key: str | None) -> User | None:
        """Already done by the middleware, which also asks whether the membership still stands."""
        return request.user if isinstance(request.user, User) else None


class ApiToken(HttpBearer):
    """A token of an account: a person's own, a service's, an agent's."""

    def authenticate(self, request: HttpRequest, token: str) -> User | None:
        """The account, acting within the token's scopes. Raises TooMany after many wrong ones."""
        found = token_of(token)
        if found is None:
            limits.check("token", request)
            return None
        request.user = found.user
        request.actor = found.user.actor("api", only=frozenset(found.scopes))  # type: ignore[attr-defined]
        structlog.contextvars.bind_contextvars(
            actor_type=found.user.kind, actor_id=str(found.user.pk), token=found.hint
        )
        return found.user
