"""Floor 4: the doors."""

from portal.celery import app as celery_app

__all__ = ["VERSION", "celery_app"]

VERSION = "0.1.0"  # of the product, as in pyproject.toml
