"""Writes the API's description to schemas/openapi.json."""

import difflib
import json
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from portal.api import api

FILE = settings.BASE_DIR / "schemas" / "openapi.json"


class Command(BaseCommand):
    """With --check nothing is written: a difference is shown, and the command fails."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true", help="only compare")

    def handle(self, *args: Any, **options: Any) -> None:
        described = json.dumps(api.get_openapi_schema(), indent=2, sort_keys=True) + "\n"
        if not options["check"]:
            FILE.write_text(described)
            return
        written = FILE.read_text() if FILE.exists() else ""
        if written != described:
            changes = difflib.unified_diff(
                written.splitlines(), described.splitlines(), "written", "now", lineterm=""
            )
            self.stderr.write("\n".join(list(changes)[:60]))
            raise CommandError("schemas/openapi.json is not what the API is: run write_openapi")
