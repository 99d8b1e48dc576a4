"""Names the portal app to Django."""

from django.apps import AppConfig


class PortalConfig(AppConfig):
    """Pages, API, sign-in."""

    name = "portal"
