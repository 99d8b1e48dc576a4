"""Erases who an account belonged to, for somebody who has left and asks for it."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from agent.erasure import erase_person
from portal.operating import OPERATOR, OperatorCommand, scope_at
from tenants.models import User
from tenants.scope import tenant_scope


class Command(OperatorCommand):
    """For an operator; runs as the portal's own database role. It cannot be undone."""

    help = __doc__
    role = "app"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("host", help="host of the tenant, such as acme.localhost")
        parser.add_argument("email", help="of somebody who is no member any more")

    def run(self, options: dict[str, Any]) -> None:
        with tenant_scope(scope_at(options["host"])):
            person = User.objects.filter(email=options["email"].strip().lower()).first()
            if person is None:
                raise CommandError(f"nobody here has the address {options['email']}")
            erased = erase_person(person, by=OPERATOR)
        self.stdout.write(f"Account {person.pk} is nobody's any more. Erased with it:")
        for what, count in erased.items():
            self.stdout.write(f"  {count:>6}  {what.replace('_', ' ')}")
        self.stdout.write(
            "What stays: their name in the log's entries of what they did themselves, which"
            " cannot change without breaking every proof after it; texts that they wrote; packs,"
            " commits and exports that others hold; backups until they expire."
        )
