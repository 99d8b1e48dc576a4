"""Brings the database to what this version needs: tables of every cell, the wall around them."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection, transaction
from psycopg import sql

from tenants import rls
from tenants.cells.models import POOL, Cell


class Command(BaseCommand):
    """Run as the owner (DATABASE_ROLE=owner) at every deployment; harmless when up to date."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--cell", default=POOL, help="a cell to create if it is missing")

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.DATABASE_ROLE != "owner":
            raise CommandError("set DATABASE_ROLE=owner: only the owner may change tables")
        quiet = max(options["verbosity"] - 1, 0)
        call_command("migrate_schemas", shared=True, verbosity=quiet, interactive=False)
        cell, _ = Cell.objects.get_or_create(schema_name=options["cell"])
        with connection.cursor() as cursor:
            cursor.execute(
                sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(cell.schema_name))
            )
        call_command("migrate_schemas", tenant=True, verbosity=quiet, interactive=False)
        connection.set_schema_to_public()  # type: ignore[attr-defined]  # our backend
        with transaction.atomic():
            for schema in Cell.objects.values_list("schema_name", flat=True):
                tables = rls.sync(schema)
                self.stdout.write(f"{schema}: {len(tables)} tables behind the wall")
