"""Moves a tenant to another cell, whole and proved, or not at all."""

from argparse import ArgumentParser
from typing import Any

from django.core.management import call_command

from authz import tenancy
from portal.operating import OPERATOR, OperatorCommand
from tenants.cells.building import build_cell
from tenants.cells.models import POOL


class Command(OperatorCommand):
    """Run as the owner (DATABASE_ROLE=owner). A cell that is missing is built first."""

    help = __doc__
    role = "owner"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug", help="short name of the tenant")
        parser.add_argument("--to", required=True, help="pool, or silo_x for a schema of its own")
        parser.add_argument(
            "--grace", type=float, default=5.0, help="seconds for what is under way to end"
        )

    def run(self, options: dict[str, Any]) -> None:
        tenant = tenancy.tenant_called(options["slug"])
        if options["to"] != POOL:
            build_cell(options["to"])
            call_command("check_rls", stdout=self.stdout)
        moved = tenancy.move(tenant, options["to"], grace=options["grace"], by=OPERATOR)
        for table, rows in moved.rows.items():
            self.stdout.write(f"{rows:>9,}  {table}")
        self.stdout.write(
            f"{tenant.slug} moved from {moved.source} to {moved.target}:"
            f" {sum(moved.rows.values()):,} rows, every one as it was. Its log holds"
            f" {moved.log.size:,} entries under {moved.log.checkpoints:,} signed heads, with the"
            f" root {moved.log.root.hex()} before and after."
        )
