"""Builds a cell: a schema with every table, the wall around each."""

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import connection, transaction
from django.utils.module_loading import import_string
from psycopg import sql

from tenants import rls
from tenants.cells.models import Cell, cell_rule


class NotACell(ValueError):
    """A cell cannot be called so."""


def build_cell(name: str) -> list[str]:
    """Make the cell if it is missing, bring it up to date, and return its walled tables.

    As the owner, outside of any transaction and scope. The public schema must be up to date. The
    cell is on the list of cells only once it is whole, so nobody is ever put into half of one;
    run again after a failure, it goes on from there. Raises NotACell.
    """
    try:
        cell_rule(name)
    except ValidationError as error:
        raise NotACell(f"{name!r} cannot be a cell. {error.message}") from error
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(name)))
    call_command("migrate_schemas", schema_name=name, verbosity=0, interactive=False)
    connection.set_schema_to_public()  # type: ignore[attr-defined]  # our backend
    with transaction.atomic():
        tables = rls.sync(name)
        for part in settings.CELL_PARTS:
            import_string(part)(name)
        Cell.objects.get_or_create(schema_name=name)
    return tables
