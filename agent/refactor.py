"""Plans a refactoring: what the code does is written down first, then changed, then seen again."""

from agent import fetch_step
from agent.changes import RefactorRequest
from agent.errors import NothingLeftToTry
from agent.loop import Action, Plan, PlannedStep, Work
from agent.upgrade import COUNTERSIGN, WHYS, finish, ran, require_no_trouble, tests

FIRST = (
    PlannedStep("characterise", "write down as tests what the function does, before it changes"),
    PlannedStep("run_tests", "see everything pass before anything is changed"),
    PlannedStep("refactor_code", "change it and whatever uses it; the old name stays reachable"),
)
RISK = 0.3


class RefactorPlanner:
    """The `loop.Model` for refactorings."""

    def plan(self, work: Work) -> Plan:
        """All steps in their order; a person must countersign what comes out."""
        after = [PlannedStep(*said) for name, said in WHYS.items() if name not in _OF_UPGRADES]
        return Plan(
            steps=(*fetch_step.planned(work), *FIRST, *after),
            approvals=(COUNTERSIGN,),
            risk_score=RISK,
            compliance_targets=(),
        )

    def choose(self, work: Work) -> Action | None:
        """The next step of the flow. Nothing is changed unless every test passes before."""
        asked = RefactorRequest.from_json(work.constraints)
        require_no_trouble(work)
        if fetch := fetch_step.due(work):
            return fetch
        if not work.done("characterise"):
            return Action("characterise", _where(asked))
        if not ran(work, "baseline"):
            return tests("base", "baseline")
        if not work.done("refactor_code"):
            _require_green(work)
            said = {name: value for name, value in asked.to_json().items() if value}
            return Action("refactor_code", said)
        return finish(work)


_OF_UPGRADES = ("baseline", "bump_dependency")


def _where(asked: RefactorRequest) -> dict[str, object]:
    if asked.how == "extract":
        return {"path": asked.path, "first": asked.first, "last": asked.last}
    return {"name": asked.name}


def _require_green(work: Work) -> None:
    baseline = next(s for s in reversed(work.steps) if s.action.tool == "run_tests")
    if failing := baseline.result["failing"]:
        raise NothingLeftToTry(
            f"{failing[0]['id']} fails before anything is changed ({failing[0]['reason']});"
            " repair it first, for a refactoring is judged by tests that pass"
        )
