"""Brings the database to what this version needs: tables of every cell, the wall around them."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from tenants.cells.building import NotACell, build_cell
from tenants.cells.models import POOL, Cell


class Command(BaseCommand):
    """Run as the owner (DATABASE_ROLE=owner) at every deployment; harmless when up to date."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--cell", default=POOL, help="a cell to create if it is missing")

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.DATABASE_ROLE != "owner":
            raise CommandError("set DATABASE_ROLE=owner: only the owner may change tables")
        call_command("migrate_schemas", shared=True, verbosity=0, interactive=False)
        standing = Cell.objects.values_list("schema_name", flat=True)
        for cell in sorted({options["cell"], *standing}):
            try:
                tables = build_cell(cell)
            except NotACell as error:
                raise CommandError(str(error)) from error
            self.stdout.write(f"{cell}: {len(tables)} tables behind the wall")
        call_command("check_rls", stdout=self.stdout)
