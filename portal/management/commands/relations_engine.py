"""Says which server answers a tenant's questions about relations besides the database."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from authz import engines, feeding
from authz.outside import ENGINES, EngineFault
from portal.operating import OPERATOR, OperatorCommand, scope_at
from tenants.scope import tenant_scope


class Command(OperatorCommand):
    """Runs as the portal's own database role. `decide` is refused while answers differ."""

    help = __doc__
    role = "app"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("host", help="address of the tenant")
        parser.add_argument("step", choices=["start", "feed", "compare", "decide", "stop"])
        parser.add_argument("--engine", choices=sorted(ENGINES), help="for start")
        parser.add_argument("--questions", type=int, default=feeding.COMPARED)

    def run(self, options: dict[str, Any]) -> None:
        with tenant_scope(scope_at(options["host"])):
            try:
                self.stdout.write(self._taken(options))
            except EngineFault as fault:
                raise CommandError(f"the server did not do it: {fault}") from fault

    def _taken(self, options: dict[str, Any]) -> str:
        match options["step"]:
            case "start":
                if not options["engine"]:
                    raise CommandError("say which: --engine spicedb, or --engine openfga")
                started = engines.start(options["engine"], by=OPERATOR)
                return (
                    f"{started.engine} is fed up to revision {started.number}; it decides nothing"
                )
            case "feed":
                known = feeding.feed()
                return f"fed up to revision {known.number}" if known else "no server is in use"
            case "compare":
                return _said(feeding.compare(options["questions"]))
            case "decide":
                found = engines.let_decide(by=OPERATOR, questions=options["questions"])
                return f"{_said(found)}; it decides from now on"
            case _:
                engines.stop(by=OPERATOR)
                return "the server is asked no more"


def _said(found: feeding.Comparison) -> str:
    lines = [
        f"{found.asked} questions, {found.allowed} allowed here; {found.lists} lists;"
        f" {found.different} differ"
    ]
    return "\n  ".join((*lines, *found.examples))
