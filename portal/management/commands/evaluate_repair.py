"""Repairs every case of a folder in the sandbox and judges the first patch by hidden tests."""

import json
import statistics
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from agent.repair import Ended, evaluation
from agent.sandbox import engine


class Command(BaseCommand):
    """For whoever wants to know how far the offline engine reaches; changes nothing."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path, help="one folder for each case, with a case.json")
        parser.add_argument("--json", type=Path, help="write every figure here, too")
        parser.add_argument("--seconds", type=float, default=60.0, help="for each case")
        parser.add_argument("--only", nargs="*", default=[], help="names of cases")

    def handle(self, *args: Any, **options: Any) -> None:
        found = sorted(path.parent for path in options["folder"].glob("*/case.json"))
        found = [case for case in found if not options["only"] or case.name in options["only"]]
        if not found:
            raise CommandError(f"no case.json in any folder of {options['folder']}")
        sandbox = engine()
        judged = []
        for folder in found:
            try:
                case = evaluation.read(folder)
            except evaluation.BadCase as bad:
                raise CommandError(str(bad)) from bad
            verdict = evaluation.judged(case, engine=sandbox, seconds=options["seconds"])
            judged.append(verdict)
            self.stdout.write(_line(verdict))
            self.stdout.flush()
        self.stdout.write(_summary(judged, sandbox.tier))
        if options["json"]:
            told = {
                "tier": sandbox.tier,
                "seconds": options["seconds"],
                "cases": [verdict.as_json() for verdict in judged],
                **evaluation.totals(judged),
            }
            options["json"].write_text(json.dumps(told, indent=2) + "\n")


def _line(verdict: evaluation.Verdict) -> str:
    first = "-" if verdict.first_after is None else f"{verdict.first_after:.2f} s"
    if verdict.ended != Ended.REPAIRED:
        said = f"{verdict.ended}: {verdict.reason}"
    elif verdict.correct is None:
        said = "plausible, no hidden tests"
    else:
        said = "correct" if verdict.correct else "plausible, wrong by hidden tests"
    return (
        f"{verdict.name:32} first {first:>8}  {verdict.tried:>6} tried "
        f"{verdict.per_second:>6.0f}/s  in all {verdict.seconds:5.1f} s  {said}"
    )


def _summary(judged: list[evaluation.Verdict], tier: str) -> str:
    told = evaluation.totals(judged)
    firsts = [v.first_after for v in judged if v.first_after is not None]
    spread = (
        f"median {statistics.median(firsts):.2f} s, most {max(firsts):.1f} s" if firsts else "none"
    )
    return (
        f"\n{told['count']} cases, sandbox {tier}\n"
        f"plausible:            {told['plausible']}\n"
        f"first-ranked correct: {told['correct']} of {told['with_hidden_tests']} with hidden ones\n"
        f"time to first:        {spread}\n"
        f"candidates a second:  median {told['median_per_second']:.0f}"
    )
