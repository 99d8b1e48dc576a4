"""Names the evidence app to Django."""

from django.apps import AppConfig


class EvidenceConfig(AppConfig):
    """The ledger of each tenant."""

    name = "evidence"
