"""Opens a tenant with its first admin and first project."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from authz import people
from authz.errors import BadRequest
from authz.roles import Role
from tenants.actor import system_actor
from tenants.cells.models import POOL
from tenants.scope import current_tenant_id, tenant_scope


class Command(BaseCommand):
    """Run as the owner (DATABASE_ROLE=owner)."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug", help="short name, such as acme")
        parser.add_argument("name", help="full name")
        parser.add_argument("--admin-email", required=True)
        parser.add_argument("--admin-name", required=True)
        parser.add_argument("--project", default="main", help="slug of the first project")
        parser.add_argument("--host", help="default: SLUG.BASE_DOMAIN")
        parser.add_argument("--cell", default=POOL)

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.DATABASE_ROLE != "owner":
            raise CommandError(
                "set DATABASE_ROLE=owner: the portal's role cannot see other tenants"
            )
        by = system_actor("operator", "cli")
        host = options["host"] or f"{options['slug']}.{settings.BASE_DOMAIN}"
        try:
            scope = people.open_tenant(
                options["slug"], options["name"], host, cell=options["cell"], by=by
            )
            with tenant_scope(scope):
                tenant = people.AsTenant(current_tenant_id())
                project = people.create_project(
                    options["project"], options["project"].capitalize(), tenant=tenant, by=by
                )
                people.add_agent("Countersign agent", project, tenant=tenant, by=by)
                people.admit(
                    options["admin_email"],
                    options["admin_name"],
                    [Role.TENANT_ADMIN],
                    tenant=tenant,
                    project=None,
                    by=by,
                    source="operator",
                )
        except BadRequest as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{scope.name} is open at {host}; {options['admin_email']} is its admin")
