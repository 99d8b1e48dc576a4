"""Floor 4: the doors."""

from portal.celery import app as celery_app

__all__ = ["celery_app"]
