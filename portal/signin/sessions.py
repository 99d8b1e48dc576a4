"""Keeps sessions in the tenant's own table, with the person they belong to."""

from typing import Any

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore

from tenants.models import Session


class SessionStore(DatabaseStore):
    """Django's database sessions behind the tenant wall: a cookie is worth nothing elsewhere."""

    @classmethod
    def get_model_class(cls) -> type[Session]:
        return Session

    def create_model_instance(self, data: dict[str, Any]) -> Session:
        session = super().create_model_instance(data)
        assert isinstance(session, Session)
        session.user_id = data.get(SESSION_KEY)
        return session
