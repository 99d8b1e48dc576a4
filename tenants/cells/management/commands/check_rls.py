"""Inspects the wall between tenants in PostgreSQL's catalogue; fails when it has a hole."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection, transaction

from tenants import inspection


class Command(BaseCommand):
    """Changes nothing; runs as any of the database roles, after every `bootstrap` by itself."""

    help = __doc__

    def handle(self, *args: Any, **options: Any) -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            found = inspection.findings(cursor)
        if found:
            lines = [f"  {finding}" for finding in found]
            raise CommandError("\n".join([f"the wall has {len(found)} faults:", *lines]))
        self.stdout.write(f"the wall stands: {len(inspection.RULES)} rules, nothing found")
