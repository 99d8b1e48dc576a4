"""Adds a repository with a README on the local forge to a tenant's project."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from agent import repositories
from tenants.actor import system_actor
from tenants.errors import Refused
from tenants.models import Project
from tenants.scope import scope_of_host, tenant_scope


class Command(BaseCommand):
    """For an operator; runs as the portal's own database role."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("host", help="host of the tenant, such as acme.localhost")
        parser.add_argument("project", help="slug of the project")
        parser.add_argument("name", help="name of the repository")

    def handle(self, *args: Any, **options: Any) -> None:
        scope = scope_of_host(options["host"])
        if scope is None:
            raise CommandError(f"no tenant answers to {options['host']}")
        with tenant_scope(scope):
            project = Project.objects.filter(slug=options["project"]).first()
            if project is None:
                known = ", ".join(Project.objects.values_list("slug", flat=True))
                raise CommandError(f"no project {options['project']!r}; there is: {known}")
            try:
                repositories.register(
                    options["name"],
                    project=project,
                    files={},
                    written=timezone.now(),
                    by=system_actor("operator", "cli"),
                )
            except Refused as refusal:
                raise CommandError(str(refusal)) from refusal
        self.stdout.write(f"{options['name']} is in project {project.name}")
