"""Break-glass: an operator asks to enter a tenant, gets the link once somebody let them in."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from authz import emergency
from authz.models import Emergency
from portal.operating import invitation_link
from tenants.actor import Actor
from tenants.errors import Refused
from tenants.scope import Scope, scope_of_host, tenant_scope


class Command(BaseCommand):
    """For operators; runs as the portal's own database role.

    Who the operator is, is what this machine says: give operators accounts of their own on it.
    """

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("host", help="host of the tenant, such as acme.localhost")
        parser.add_argument("step", choices=["request", "approve", "refuse", "enter", "end"])
        parser.add_argument("--operator", required=True, help="your name")
        parser.add_argument("--email", required=True, help="your e-mail address")
        parser.add_argument("--reason", default="", help="request: what is wrong")
        parser.add_argument("--minutes", type=int, default=60, help="request: for how long")

    def handle(self, *args: Any, **options: Any) -> None:
        scope = scope_of_host(options["host"])
        if scope is None:
            raise CommandError(f"no tenant answers to {options['host']}")
        by = emergency.operator_actor(options["email"], options["operator"])
        with tenant_scope(scope):
            try:
                self.stdout.write(self._take(options, scope, by))
            except Refused as refusal:
                raise CommandError(str(refusal)) from refusal

    def _take(self, options: dict[str, Any], scope: Scope, by: Actor) -> str:
        if options["step"] == "request":
            emergency.request_access(
                options["operator"], options["email"], options["reason"], options["minutes"], by=by
            )
            return (
                f"An admin of {scope.name} now sees your request on every page. If none can be"
                " reached, another operator approves it with this command."
            )
        one = self._open()
        match options["step"]:
            case "approve":
                emergency.approve(one, by=by)
                return f"{one.operator} may enter {scope.name} now: break_glass HOST enter"
            case "refuse":
                emergency.refuse_access(one, by=by)
                return f"{one.operator} may not enter {scope.name}"
            case "end":
                emergency.end(one, by=by, why="ended by an operator")
                return f"{one.operator} is out of {scope.name}"
            case _:
                if one.requester_id != by.id:
                    raise CommandError("only the operator who asked may enter")
                link = invitation_link(options["host"], emergency.entry_secret(one, by=by))
                return f"Works once, for you alone: {link}"

    def _open(self) -> Emergency:
        found = emergency.open_emergencies().first()
        if found is None:
            raise CommandError("no emergency is open there; ask first: break_glass HOST request")
        return found
