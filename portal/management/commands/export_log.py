"""Copies ledgers to where their tenants want them: a file, Splunk, syslog."""

import signal
from argparse import ArgumentParser
from pathlib import Path
from threading import Event
from typing import Any

from portal.operating import OperatorCommand
from portal.siem.exporting import Sent, export_tenant
from tenants.scope import scope_of_tenant, tenant_scope, tenants_with_log_destinations

EVERY = 2.0  # seconds between rounds


class Command(OperatorCommand):
    """Runs as the portal's own database role, with SECRETS_KEYS, and holds no signing key."""

    help = __doc__
    role = "app"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--follow", action="store_true", help="go on until told to stop")
        parser.add_argument("--beat", type=Path, help="a file to touch after each round")

    def run(self, options: dict[str, Any]) -> None:
        stop = Event()
        if options["follow"]:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: stop.set())
        while True:
            sent = _round()
            if options["beat"]:
                options["beat"].touch()
            if not options["follow"]:
                self.stdout.write(f"{sent.events} events sent, {sent.problems} problems")
                return
            if stop.wait(EVERY):
                return


def _round() -> Sent:
    total = Sent()
    for tenant_id in tenants_with_log_destinations():
        with tenant_scope(scope_of_tenant(tenant_id)):
            sent = export_tenant()
        total.events += sent.events
        total.problems += sent.problems
    return total
