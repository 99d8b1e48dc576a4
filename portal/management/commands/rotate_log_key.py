"""Makes a new signing key for a tenant's log; run where the keys are, as the evidence worker."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from authz import log_keys
from evidence.keys_here import NoKeysHere, keys_here
from evidence.signing import FileKeys, KeyFault
from portal.operating import scope_at
from tenants.actor import system_actor
from tenants.scope import tenant_scope


class Command(BaseCommand):
    """For an operator: once a year, or at once when a key may have been seen by somebody."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("host", help="host of the tenant, such as acme.localhost")
        parser.add_argument("--reason", required=True, help="kept in the log")
        parser.add_argument(
            "--from-files",
            type=Path,
            metavar="FOLDER",
            help="where the key in force lies, to move the log away from files",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        by = system_actor("operator", "cli")
        before = FileKeys(options["from_files"]) if options["from_files"] else None
        with tenant_scope(scope_at(options["host"])):
            try:
                key = log_keys.rotate(keys_here(), options["reason"], by=by, before=before)
            except (KeyFault, NoKeysHere) as fault:
                raise CommandError(str(fault)) from fault
        self.stdout.write(
            f"From entry {key.valid_from:,} on this key signs; auditors have to pin it too:\n"
            f"{key.vkey}"
        )
