"""Plans the fetching of packages: first of all, once, and only where the task names a registry."""

from collections.abc import Mapping, Sequence
from typing import Any

from agent.loop import Action, PlannedStep, Work

TOOL = "fetch_packages"
WHY = "fetch the packages that are not at hand from {}, and write down their digests"


def planned(work: Work) -> tuple[PlannedStep, ...]:
    """The step, where a plan has one."""
    registry = work.constraints.get("registry")
    return (PlannedStep(TOOL, WHY.format(registry)),) if registry else ()


def due(work: Work, packages: Sequence[Mapping[str, Any]] = ()) -> Action | None:
    """The call, while it has not been made. packages: those that an upgrade is about."""
    registry = work.constraints.get("registry")
    if not registry or work.done(TOOL):
        return None
    also = {"packages": list(packages)} if packages else {}
    return Action(TOOL, {"registry": registry, **also})
