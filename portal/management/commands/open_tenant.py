"""Opens a tenant with its first admin and first project."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import call_command

from authz import invitations, people
from authz.roles import Role
from portal.operating import OPERATOR, OperatorCommand, invitation_link
from tenants.cells.building import build_cell
from tenants.cells.models import POOL
from tenants.scope import current_tenant_id, tenant_scope


class Command(OperatorCommand):
    """Run as the owner (DATABASE_ROLE=owner). A cell that is missing is built first."""

    help = __doc__
    role = "owner"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug", help="short name, such as acme")
        parser.add_argument("name", help="full name")
        parser.add_argument("--admin-email", required=True)
        parser.add_argument("--admin-name", required=True)
        parser.add_argument("--project", default="main", help="slug of the first project")
        parser.add_argument("--host", help="default: SLUG.BASE_DOMAIN")
        parser.add_argument("--cell", default=POOL, help="pool, or silo_x for a schema of its own")

    def run(self, options: dict[str, Any]) -> None:
        by = OPERATOR
        host = options["host"] or f"{options['slug']}.{settings.BASE_DOMAIN}"
        people.check_person(options["admin_email"], options["admin_name"], [Role.TENANT_ADMIN])
        if options["cell"] != POOL:
            build_cell(options["cell"])
            call_command("check_rls", stdout=self.stdout)
        scope = people.open_tenant(
            options["slug"], options["name"], host, cell=options["cell"], by=by
        )
        with tenant_scope(scope):
            tenant = people.AsTenant(current_tenant_id())
            people.create_project(
                options["project"], options["project"].capitalize(), tenant=tenant, by=by
            )
            admin = people.admit(
                options["admin_email"],
                options["admin_name"],
                [Role.TENANT_ADMIN],
                tenant=tenant,
                project=None,
                by=by,
                source="operator",
            )
            secret = invitations.invite(admin, by=by)
        self.stdout.write(f"{scope.name} is open at {host}; {admin.email} is its admin")
        self.stdout.write(f"Send them this link. It works once, for {_days()} days:")
        self.stdout.write(invitation_link(host, secret))


def _days() -> int:
    return invitations.VALID_FOR.days
