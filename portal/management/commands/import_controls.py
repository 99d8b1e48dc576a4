"""Brings a catalogue of controls, published as OSCAL, into one tenant's frameworks."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from agent.own_frameworks import import_framework
from authz.errors import BadRequest
from portal.operating import OPERATOR, OperatorCommand, scope_at
from tenants.scope import tenant_scope


class Command(OperatorCommand):
    """For an operator; people do the same on the page Control coverage."""

    help = __doc__
    role = "app"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("host", help="host of the tenant, such as acme.localhost")
        parser.add_argument("file", type=Path, help="an OSCAL catalogue in JSON, YAML or XML")
        parser.add_argument("--id", required=True, help="short name, such as nist-800-53")
        parser.add_argument(
            "--profile",
            type=Path,
            action="append",
            default=[],
            help="an OSCAL profile; the first one given is level 1, and so on",
        )

    def run(self, options: dict[str, Any]) -> None:
        paths = [options["file"], *options["profile"]]
        try:
            content, *profiles = [path.read_bytes() for path in paths]
        except OSError as fault:
            raise CommandError(f"{fault.filename}: {fault.strerror}") from fault
        with tenant_scope(scope_at(options["host"])) as scope:
            try:
                row = import_framework(
                    options["id"],
                    content,
                    profiles,
                    names=[path.name for path in paths],
                    by=OPERATOR,
                )
            except BadRequest as refusal:
                raise CommandError(str(refusal)) from refusal
        count = sum(len(group["controls"]) for group in row.groups)
        self.stdout.write(
            f"{scope.name} has {row.title}, version {row.version}: {count:,} controls in"
            f" {len(row.groups)} groups, as {row.framework_id}"
        )
