"""Fetches the packages that a repository declares and that are not at hand, all at once.

It is the one step of a task with a way out, to the hosts of one registry. What it fetched is
written down with digests, and every later step takes these files and no others.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from agent import packages
from agent.errors import Interrupted
from agent.outputs import FETCHED
from agent.packages import CannotResolve
from agent.registry import Fetched, Offers, RegistryFault
from agent.tools.contract import (
    BadArguments,
    Bench,
    Cost,
    Observation,
    Tool,
    as_json,
    gives,
    listed,
    takes,
    text,
    whole,
)
from agent.tools.upgrading import ASKED, chosen
from authz.permissions import Permission

SHOWN = 20  # packages in a sentence


def fetch_packages(bench: Bench, arguments: Mapping[str, Any]) -> Observation:
    """Fetches wheels of what is declared, and of the versions that an upgrade goes to."""
    registry, said = bench.registry, arguments["registry"]
    if registry is None or registry.index != said:
        now = f"only {registry.index} may" if registry else "no registry may"
        return Observation(
            f"the task was filed to take packages from {said}; {now} be asked here now", ok=False
        )
    files = bench.tree("base")
    try:
        with Offers(
            registry,
            bench.sandbox(),
            known=packages.hashes(files),
            keep=bench.fetched,
            cancelled=bench.cancelled,
        ) as offers:
            shelf = bench.shelf(files, offers.wheels)
            missing = packages.resolved(files, shelf).missing
            if asked := arguments.get("packages"):
                missing = chosen(files, shelf, asked).after.missing
    except (RegistryFault, CannotResolve, BadArguments) as why:
        if bench.cancelled():
            raise Interrupted("fetching was stopped") from why
        return _refused(why, offers, arguments)
    left = [_left_out(name, offers.sources.get(name, ())) for name in missing]
    fetched = offers.fetched
    result = {
        "registry": said,
        "fetched": [one.to_json() for one in fetched],
        "left_out": left,
    }
    words = _words(registry.index, fetched)
    if left:
        words += f"; left out: {', '.join(left[:SHOWN])}"
    return Observation(words, {FETCHED: as_json(result)}, result=result)


def _refused(why: Exception, offers: Offers, arguments: Mapping[str, Any]) -> Observation:
    """Nothing to go on with; a person can put it right and let the task go on."""
    said = str(why)
    for one in arguments.get("packages", ()):
        if sources := offers.sources.get(one["package"]):
            said += f"; {_left_out(one['package'], sources)}"
    return Observation(said, ok=False, denied=isinstance(why, RegistryFault) and why.denied)


def _left_out(name: str, sources: Sequence[str]) -> str:
    if not sources:
        return f"{name} (the registry has no wheel of it)"
    more = f" and {len(sources) - 1} more" if len(sources) > 1 else ""
    return f"{name} is there as source alone ({sources[0]}{more}), which is not built here"


def _words(index: str, fetched: Sequence[Fetched]) -> str:
    if not fetched:
        return "nothing had to be fetched"
    names = ", ".join(f"{one.package} {one.version}" for one in fetched[:SHOWN])
    more = f" and {len(fetched) - SHOWN} more" if len(fetched) > SHOWN else ""
    size = sum(one.size for one in fetched)
    return f"{len(fetched)} wheels with {size:,} bytes from {index}: {names}{more}"


def _most(arguments: Mapping[str, Any]) -> Cost:
    return Cost(wall_s=600)


FETCH_PACKAGES = Tool(
    fetch_packages,
    Permission.TASK_RUN,
    says="Fetch the packages that are not at hand from the one registry that may be asked.",
    arguments=takes(
        ("registry",),
        registry=text("Address of its simple index, as the task names it."),
        packages=ASKED,
    ),
    result=gives(
        registry=text("Address of its simple index."),
        fetched=listed(
            gives(
                package=text("As the index writes it."),
                version=text("Version."),
                file=text("Name of the wheel."),
                sha256=text("Hex."),
                url=text("Where it came from."),
                size=whole("Bytes."),
            ),
            "Wheels that later steps take.",
        ),
        left_out=listed({"type": "string"}, "Packages that stay away, with the reason."),
    ),
    most=_most,
    records=frozenset({"registry", "packages", "fetched", "left_out"}),
)
