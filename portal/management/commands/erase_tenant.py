"""Erases a tenant for good; what stays is its log without any facts."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from agent.erasure import erase_tenant
from authz import tenancy
from portal.operating import OPERATOR, OperatorCommand


class Command(OperatorCommand):
    """Run as the owner (DATABASE_ROLE=owner), where DATA_DIR is. It cannot be undone."""

    help = __doc__
    role = "owner"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug", help="short name of the tenant")
        parser.add_argument(
            "--yes-erase", metavar="SLUG", help="the same again, to say you mean it"
        )

    def run(self, options: dict[str, Any]) -> None:
        if options["yes_erase"] != options["slug"]:
            raise CommandError(
                f"nothing was erased. This cannot be undone: export first if somebody may want it,"
                f" then add --yes-erase {options['slug']}"
            )
        erased = erase_tenant(tenancy.tenant_called(options["slug"]), by=OPERATOR)
        self.stdout.write(
            f"{options['slug']} is erased: {sum(erased.rows.values()):,} rows of"
            f" {len(erased.rows)} tables, {erased.artifacts:,} artifacts, {erased.repositories:,}"
            " repositories. Its log stays, without facts, so that every proof still verifies; the"
            " names of who did what stand in it. Backups hold the rest until they expire."
        )
