"""Names the authz app to Django."""

from django.apps import AppConfig


class AuthzConfig(AppConfig):
    """Grants of roles."""

    name = "authz"
