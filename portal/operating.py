"""What operators' commands have in common: role, actor, errors, links to send to people."""

from typing import Any, ClassVar

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.urls import reverse

from agent.errors import ExportFault
from agent.forge import ForgeRefused, ForgeUnavailable
from evidence.recount import LogBroken
from evidence.store import StoreFault
from tenants.actor import system_actor
from tenants.cells.building import NotACell
from tenants.cells.moving import CannotMove
from tenants.errors import Refused
from tenants.scope import Scope, scope_of_host

OPERATOR = system_actor("operator", "cli")

# Ends of a command that its operator can understand without a traceback.
FORESEEN = (
    Refused,
    CannotMove,
    ExportFault,
    ForgeRefused,
    ForgeUnavailable,
    LogBroken,
    NotACell,
    StoreFault,
)

# Why a command wants the database role it wants.
WANTED = {
    "owner": "the portal's role cannot see the list of tenants",
    "app": "row security then keeps every other tenant out",
}


class OperatorCommand(BaseCommand):
    """A command of an operator: runs under one database role, tells what is wrong in a sentence."""

    role: ClassVar[str]

    def run(self, options: dict[str, Any]) -> None:
        """What the command does."""
        raise NotImplementedError

    def handle(self, *args: Any, **options: Any) -> None:
        if self.role != settings.DATABASE_ROLE:
            raise CommandError(f"set DATABASE_ROLE={self.role}: {WANTED[self.role]}")
        try:
            self.run(options)
        except FORESEEN as fault:
            raise CommandError(str(fault)) from fault


def scope_at(host: str) -> Scope:
    """The tenant that answers to `host`. Raises CommandError."""
    scope = scope_of_host(host)
    if scope is None:
        raise CommandError(f"no tenant answers to {host}")
    return scope


def invitation_link(host: str, secret: str) -> str:
    """The address that an invitation's secret opens."""
    port = f":{settings.PORTAL_PORT}" if settings.PORTAL_PORT and not settings.HTTPS else ""
    scheme = "https" if settings.HTTPS else "http"
    return f"{scheme}://{host}{port}{reverse('invitation', args=[secret])}"
