"""Closes every door of a tenant; nothing of it is deleted."""

from argparse import ArgumentParser
from typing import Any

from authz import tenancy
from portal.operating import OPERATOR, OperatorCommand


class Command(OperatorCommand):
    """Run as the owner (DATABASE_ROLE=owner)."""

    help = __doc__
    role = "owner"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug", help="short name of the tenant")
        parser.add_argument("--reason", default="", help="for the ledger")

    def run(self, options: dict[str, Any]) -> None:
        tenancy.suspend(tenancy.tenant_called(options["slug"]), options["reason"], by=OPERATOR)
        self.stdout.write(f"{options['slug']} is closed: pages, API and directory answer 503")
