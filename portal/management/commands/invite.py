"""Makes a link that lets one person in once, for when their identity provider cannot."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from authz import invitations
from portal.operating import OPERATOR, OperatorCommand, invitation_link, scope_at
from tenants.models import User
from tenants.scope import tenant_scope


class Command(OperatorCommand):
    """For an operator; runs as the portal's own database role. Earlier links stop working."""

    help = __doc__
    role = "app"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("host", help="host of the tenant, such as acme.localhost")
        parser.add_argument("email", help="of a member")

    def run(self, options: dict[str, Any]) -> None:
        with tenant_scope(scope_at(options["host"])):
            person = User.objects.filter(email=options["email"].strip().lower()).first()
            if person is None:
                raise CommandError(f"nobody here has the address {options['email']}")
            secret = invitations.invite(person, by=OPERATOR)
        self.stdout.write(f"Works once, for {invitations.VALID_FOR.days} days, for {person.name}:")
        self.stdout.write(invitation_link(options["host"], secret))
