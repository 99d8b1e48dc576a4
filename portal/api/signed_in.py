"""Lets signed-in members in, nobody else."""

from django.conf import settings
from django.http import HttpRequest
from ninja.security import APIKeyCookie

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
