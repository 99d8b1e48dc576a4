"""Counts what the technology catalogue knows, how old it is, and where it contradicts itself."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from agent.places import shared_catalogue
from agent.recommender.lint import ENOUGH, report


class Command(BaseCommand):
    """Fails when an option is thin, or when fewer facts than asked for are young enough."""

    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--within-ttl",
            type=float,
            default=95.0,
            help="least share, in percent, of facts within their age limit (default 95)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        catalogue = shared_catalogue()
        today = timezone.now().date()
        found = report(catalogue, today)
        say = self.stdout.write
        say(f"catalogue {catalogue.digest[:12]}, {today}")
        say(f"{found.technologies} technologies, {found.options} of them options of a layer")
        fewest, median, most = found.facts_per_option
        say(f"facts with a value: {found.known:,}; per option {fewest} to {most}, median {median}")
        for grade, count in found.grades.items():
            say(f"  grade {grade}: {count:,} ({count / found.known:.1%})")
        say(f"  of these entered by hand, not re-read: {found.by_hand:,}")
        for state, count in sorted(found.without_value.items()):
            say(f"without a value, {state}: {count:,}")
        say(f"options without a known licence: {len(found.without_licence)}")
        say(f"sources that contradict what stands: {len(found.disagreements)}")
        for snapshot in found.snapshots:
            say(
                f"  {snapshot.connector}: {snapshot.facts} facts as of {snapshot.as_of} "
                f"({(today - snapshot.as_of).days} days old); canary: {snapshot.canary}"
            )
        say(f"too old to count: {found.stale}; due to be read again: {found.due}")
        for attribute, count in list(found.due_by.items())[:10]:
            say(f"  due: {attribute} {count}")
        share = found.within_ttl * 100
        say(f"within their age limit: {share:.1f}% (asked for: {options['within_ttl']:g}%)")
        young = 1 - found.due_of_these / found.read_by_program
        say(f"of the {found.read_by_program:,} read by a program, of grade A or B: {young:.1%}")
        if found.thin:
            names = ", ".join(tech.id for tech in found.thin)
            raise CommandError(f"fewer than {ENOUGH} facts: {names}")
        if found.contested:
            raise CommandError(f"two technologies claim one name: {found.contested}")
        if share < options["within_ttl"]:
            raise CommandError(
                f"{share:.1f}% of the facts are within their age limit; "
                f"{options['within_ttl']:g}% were asked for"
            )
