"""Reads sources of the technology catalogue anew and shows what would change."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from agent import own_catalogue
from agent.recommender import reading
from agent.recommender.additions import Own
from agent.recommender.refresh import CONNECTORS, Difference, Origin, Unreachable, compare, read
from agent.recommender.refresh.reading import Reading, written
from authz.errors import Conflict
from tenants.actor import system_actor
from tenants.scope import scope_of_host, tenant_scope


class Command(BaseCommand):
    """Without --write nothing is changed; a tenant's reviewed refresh is on its catalogue page."""

    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("connector", choices=sorted(CONNECTORS))
        parser.add_argument(
            "--from", dest="place", default="", help="folder, file or address to read from"
        )
        parser.add_argument(
            "--for",
            dest="host",
            default="",
            help="host of a tenant: put the change to its people, who countersign it or not",
        )
        parser.add_argument("--write", action="store_true", help="write facts/<connector>.yaml")
        parser.add_argument(
            "--only", default="", help="ids of technologies to ask about, separated by commas"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        connector = CONNECTORS[options["connector"]]
        if connector.from_place and not options["place"]:
            raise CommandError(f"{connector.title} needs --from: a folder, a file or an address.")
        folder = Path(settings.CATALOGUE_DIR)
        files = reading.read_files(folder)
        before = reading.build(files)
        only = frozenset(filter(None, options["only"].split(",")))
        try:
            found = read(
                connector, Origin(options["place"]), before, timezone.now().date(), only=only
            )
        except Unreachable as problem:
            raise CommandError(
                f"{connector.title} is unreachable: {problem}. Nothing was changed; what the "
                "catalogue has from it keeps its age."
            ) from problem
        document = found.document(
            before=files.documents.get(f"facts/{connector.name}.yaml"), only=only
        )
        after = reading.build(files, Own(snapshots={connector.name: document}))
        self._show(compare(before, after))
        for technology, why in sorted(found.unanswered.items()):
            self.stdout.write(f"not believed {technology}: {why}; what is known keeps its age")
        self.stdout.write(f"canary: {found.canary}")
        if options["host"]:
            self._put_to(options["host"], connector.name, found)
        if options["write"]:
            path = folder / "facts" / f"{connector.name}.yaml"
            path.parent.mkdir(exist_ok=True)
            path.write_text(written(connector.name, document))
            self.stdout.write(f"written: {path}")

    def _put_to(self, host: str, connector: str, found: Reading) -> None:
        scope = scope_of_host(host)
        if scope is None:
            raise CommandError(f"no tenant answers to {host}")
        with tenant_scope(scope):
            try:
                refresh = own_catalogue.propose_refresh(
                    connector, found, by=system_actor("operator", "cli")
                )
            except Conflict as refusal:
                raise CommandError(str(refusal)) from refusal
        self.stdout.write(
            f"put to the people of {host}: {len(refresh.affected)} recommendations affected"
        )

    def _show(self, difference: Difference) -> None:
        for title, rows in (
            ("changed", difference.changed),
            ("added", difference.added),
            ("removed", difference.removed),
        ):
            for row in rows:
                self.stdout.write(f"{title} {row.fact}: {row.before or '-'} -> {row.after or '-'}")
        self.stdout.write(
            f"{len(difference.changed)} changed, {len(difference.added)} added, "
            f"{len(difference.removed)} removed, {difference.newer} only younger"
        )
