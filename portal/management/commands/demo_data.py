"""Loads the demo: two tenants with their people, each with a sample repository."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from agent import repositories
from authz import people
from authz.roles import Role
from deploy import demo_packages
from tenants.actor import Actor, system_actor
from tenants.cells.models import POOL, Tenant
from tenants.scope import current_tenant_id, tenant_scope

FOLDER = settings.BASE_DIR / "deploy" / "demo"
WRITTEN = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)  # the sample repositories' only commit


class Command(BaseCommand):
    """Run as the owner (DATABASE_ROLE=owner) with DEMO=1; adds only what is missing."""

    help = __doc__

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.DATABASE_ROLE != "owner" or not settings.DEMO:
            raise CommandError("set DATABASE_ROLE=owner and DEMO=1: this opens tenants for a demo")
        by = system_actor("demo", "cli")
        demo_packages.write(settings.PACKAGES_DIR)
        for said in yaml.safe_load((FOLDER / "people.yaml").read_text())["tenants"]:
            if not Tenant.objects.filter(slug=said["slug"]).exists():
                self._open(said, by)
            self.stdout.write(f"{said['name']}, at {said['slug']}.{settings.BASE_DOMAIN}")
            for person in said["people"]:
                self.stdout.write(f"  {person['name']}: {Role(person['role']).title}")

    def _open(self, said: dict[str, Any], by: Actor) -> None:
        host = f"{said['slug']}.{settings.BASE_DOMAIN}"
        scope = people.open_tenant(said["slug"], said["name"], host, cell=POOL, by=by)
        with tenant_scope(scope):
            tenant = people.AsTenant(current_tenant_id())
            for wanted in said["projects"]:
                project = people.create_project(
                    wanted["slug"], wanted["name"], tenant=tenant, by=by
                )
                for repository in wanted["repositories"]:
                    repositories.register(
                        repository["name"],
                        project=project,
                        files=_files_below(FOLDER / "repository" / repository["name"]),
                        written=WRITTEN,
                        by=by,
                    )
            for person in said["people"]:
                people.admit(
                    person["email"],
                    person["name"],
                    [Role(person["role"])],
                    tenant=tenant,
                    project=project,
                    by=by,
                    source="demo",
                )


def _files_below(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
