"""Names the tenants app to Django."""

from django.apps import AppConfig


class TenantsConfig(AppConfig):
    """Tables that stand in every cell: people, projects, sessions."""

    name = "tenants"
    label = "tenants"
