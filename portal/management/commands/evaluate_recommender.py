"""Ranks the options of published decisions, and says how often the teams decided the same."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from agent.places import catalogue
from agent.recommender.evaluation import evaluate, read_cases

TITLES = {
    "top_1": "top-1",
    "pairwise": "pairwise",
    "mrr": "MRR",
    "top_1_of_4_or_more": "top-1, n>=4",
    "top_3_of_4_or_more": "top-3, n>=4",
}


class Command(BaseCommand):
    """Needs no database. Options are shuffled, because the order of a record gives it away."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("cases", type=Path, help="JSON file with published decisions")
        parser.add_argument("--json", type=Path, metavar="OUT", help="write everything found here")
        parser.add_argument("--seeds", type=int, default=5, help="how many shuffles (default 5)")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            cases = read_cases(json.loads(options["cases"].read_bytes()))
        except (OSError, ValueError) as problem:
            raise CommandError(f"{options['cases']}: {problem}") from problem
        if options["seeds"] < 1:
            raise CommandError("--seeds: expected 1 or more")
        found = evaluate(cases, catalogue(), timezone.now().date(), seeds=options["seeds"])
        if options["json"]:
            options["json"].write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n")
        self._print(found)

    def _print(self, found: dict[str, Any]) -> None:
        say = self.stdout.write
        say(
            f"{found['cases_count']} decisions of {found['repositories']} repositories, options "
            f"shuffled {found['seeds']} times; catalogue {found['catalogue'][:12]}, "
            f"facts as of {found['as_of']}."
        )
        say(found["note"])
        say("Brackets: 95% interval over resampled repositories.\n")
        for method, measures in found["methods"].items():
            say(f"{method}")
            for name, title in TITLES.items():
                say(f"  {title:<13}{_figure(measures[name])}")
        same = "the same" if found["same_for_every_order"] else "NOT THE SAME"
        say(f"\nThe engine's ranking is {same} for every order of the options.")
        calibration = found["calibration"]
        say(
            f"Calibration error {calibration['error']:.1%}; believed "
            f"{calibration['mean_believed']:.1%} on average, seen {calibration['mean_seen']:.1%}"
        )
        for row in calibration["bins"]:
            say(
                f"  {row['from']:.0%} to {row['to']:.0%}: believed {row['believed']:.1%}, "
                f"seen {row['seen']:.1%} (n={row['n']})"
            )
        fitted = calibration["cross_validated"]
        if fitted["error"] is not None:
            say(
                f"  with beliefs changed by what the other repositories saw: {fitted['error']:.1%} "
                f"(temperature {fitted['temperature']:g} on all; below 1 is surer)"
            )
        coverage = found["coverage"]
        say(
            f"Coverage of {coverage['options']} options: {coverage['known']:.1%} in the catalogue, "
            f"{coverage['known_or_read']:.1%} with those read from their names"
        )
        say(f"  read from the name: {', '.join(coverage['read']) or 'none'}")
        say(f"  only the vendor is known: {', '.join(coverage['vendor_only']) or 'none'}")
        say(f"  unknown, ranked by the name alone: {', '.join(coverage['unknown']) or 'none'}")
        say("Per layer (top-1, pairwise)")
        for layer, measures in found["per_layer"].items():
            say(f"  {layer:<28}{_figure(measures['top_1'])}  {_figure(measures['pairwise'])}")


def _figure(measure: dict[str, Any]) -> str:
    if measure["value"] is None:
        return "no such case"
    return (
        f"{measure['value']:.1%} [{measure['low']:.1%}, {measure['high']:.1%}] (n={measure['n']})"
    )
