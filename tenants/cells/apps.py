"""Names the cells app to Django."""

from django.apps import AppConfig


class CellsConfig(AppConfig):
    """Tables that stand once, in the public schema; the portal's role cannot read them."""

    name = "tenants.cells"
    label = "cells"
