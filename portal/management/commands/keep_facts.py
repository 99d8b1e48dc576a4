"""Says for how many days a tenant keeps facts and decisions; leaves and proofs stay for good."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from authz import retention
from authz.errors import BadRequest
from portal.operating import scope_at
from tenants.actor import system_actor
from tenants.scope import tenant_scope


class Command(BaseCommand):
    """For an operator, as the tenant's contract says."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("host", help="host of the tenant, such as acme.localhost")
        parser.add_argument("--days", type=int, help="90 at least; says how many when left out")
        parser.add_argument("--reason", default="", help="why; needed with --days, kept in the log")

    def handle(self, *args: Any, **options: Any) -> None:
        with tenant_scope(scope_at(options["host"])):
            if options["days"] is not None:
                by = system_actor("operator", "cli")
                try:
                    retention.keep_for(options["days"], options["reason"], by=by)
                except BadRequest as refusal:
                    raise CommandError(str(refusal)) from refusal
            self.stdout.write(f"Facts and decisions are kept for {retention.days_kept()} days.")
