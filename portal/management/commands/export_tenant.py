"""Writes everything of one tenant into one ZIP file, for the tenant to keep."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from agent.export import export_tenant
from portal.operating import OPERATOR, OperatorCommand, scope_at
from tenants.scope import tenant_scope


class Command(OperatorCommand):
    """For an operator; runs as the portal's own database role, so it can hold nobody else's."""

    help = __doc__
    role = "app"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("host", help="host of the tenant, such as acme.localhost")
        parser.add_argument("file", type=Path, help="a new file, such as acme.zip")

    def run(self, options: dict[str, Any]) -> None:
        with tenant_scope(scope_at(options["host"])) as scope:
            made = export_tenant(options["file"], by=OPERATOR)
        held = made.written
        self.stdout.write(
            f"{made.path} holds all of {scope.name}: {sum(held.rows.values()):,} rows of"
            f" {len(held.rows)} tables, {held.artifacts:,} artifacts, {held.repositories:,}"
            f" repositories, {made.size:,} bytes, SHA-256 {made.sha256}"
        )
        for missing in held.missing:
            self.stderr.write(f"missing: {missing}")
