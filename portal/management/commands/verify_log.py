"""Hashes every entry of tenants' logs anew and compares each signed head with that."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from evidence.recount import LogBroken, recount
from portal.operating import scope_at
from tenants.cells.models import Tenant
from tenants.scope import Scope, scope_of_tenant, tenant_scope


class Command(BaseCommand):
    """For an operator, such as after a restore. Every log is looked at, whatever is found."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("host", nargs="?", help="host of one tenant, such as acme.localhost")
        parser.add_argument("--all", action="store_true", help="every tenant; as the owner")

    def handle(self, *args: Any, **options: Any) -> None:
        broken = []
        for scope in self._scopes(options):
            with tenant_scope(scope):
                try:
                    log = recount()
                except LogBroken as fault:
                    broken.append(f"the log of {scope.slug} does not hold: {fault}")
                else:
                    self.stdout.write(
                        f"The log of {scope.slug} holds: {log.size:,} entries,"
                        f" {log.checkpoints:,} signed heads, root {log.root.hex()}"
                    )
        if broken:
            raise CommandError("\n".join(broken))

    def _scopes(self, options: dict[str, Any]) -> list[Scope]:
        if bool(options["host"]) == options["all"]:
            raise CommandError("name a host, or say --all")
        if options["host"]:
            return [scope_at(options["host"])]
        if settings.DATABASE_ROLE != "owner":
            raise CommandError("set DATABASE_ROLE=owner: only the owner sees the list of tenants")
        tenants = Tenant.objects.order_by("slug").values_list("pk", flat=True)
        return [scope_of_tenant(pk) for pk in tenants]
