"""Finds the member that a session belongs to, as long as they are one."""

from typing import Any
from uuid import UUID

from django.contrib.auth.backends import BaseBackend
from django.http import HttpRequest

from tenants import asked
from tenants.models import Membership, User


class MemberBackend(BaseBackend):
    """Loads active members of the pinned tenant only; anybody else is signed out on the spot."""

    def authenticate(self, request: HttpRequest | None, **credentials: Any) -> User | None:
        """Never by a password: people come through an identity provider or the demo page."""
        return None

    @asked.without_asking(asked.Purpose.SIGN_IN)
    def get_user(self, user_id: UUID) -> User | None:
        return User.objects.filter(pk=user_id, membership__state=Membership.State.ACTIVE).first()
