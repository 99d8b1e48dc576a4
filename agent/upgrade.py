"""Plans the upgrade of a package: what stands, the change, what stands then, a pull request."""

from agent import fetch_step
from agent.changes import UpgradeRequest
from agent.errors import NothingLeftToTry
from agent.loop import Action, Plan, PlannedStep, Step, Work

WHYS = {
    "baseline": ("run_tests", "see what passes and fails before anything is changed"),
    "bump_dependency": ("bump_dependency", "ask for the new version; change names that changed"),
    "suite": ("run_tests", "see what passes and fails with the new version installed"),
    "sast_scan": ("sast_scan", "look for weaknesses that the change brings in"),
    "secret_scan": ("secret_scan", "look for secrets that the change brings in"),
    "license_check": ("license_check", "see whether it brings in licences that may not be used"),
    "sbom_generate": ("sbom_generate", "write down what the repository depends on now"),
    "write_change": ("write_change", "judge the runs, write what it means for the reader"),
    "open_pr": ("open_pr", "publish the branch with its pull request on the forge"),
}
COUNTERSIGN = "countersign the proposal: one person other than the requester"
RISK = 0.4  # of letting the plan run, before anything is known of the new version
SCANS = ("sast_scan", "secret_scan", "license_check", "sbom_generate")


class UpgradePlanner:
    """The `loop.Model` for upgrades."""

    def plan(self, work: Work) -> Plan:
        """All steps in their order; a person must countersign what comes out."""
        return Plan(
            steps=(
                *fetch_step.planned(work),
                *(PlannedStep(tool, why) for tool, why in WHYS.values()),
            ),
            approvals=(COUNTERSIGN,),
            risk_score=RISK,
            compliance_targets=(),
        )

    def choose(self, work: Work) -> Action | None:
        """The next step of the flow. Tests that fail with the new version end nothing."""
        asked = UpgradeRequest.from_json(work.constraints)
        require_no_trouble(work)
        packages = asked.to_json()["packages"]
        if fetch := fetch_step.due(work, packages):
            return fetch
        if not ran(work, "baseline"):
            return tests("base", "baseline")
        if not work.done("bump_dependency"):
            return Action("bump_dependency", {"packages": packages})
        return finish(work)


def finish(work: Work) -> Action | None:
    """From the change to the pull request, the same for every change that is no repair."""
    if not ran(work, "suite"):
        return tests("patched", "suite")
    for tool in (*SCANS, "write_change", "open_pr"):
        if not work.done(tool):
            return Action(tool)
    return None


def require_no_trouble(work: Work) -> None:
    """Raise NothingLeftToTry when the last step leaves nothing to go on with."""
    if work.steps and not work.steps[-1].ok:
        last = work.steps[-1]
        # That the suite cannot even run with the change is a finding, and told as one.
        if not _is_run(last, "suite"):
            raise NothingLeftToTry(f"{last.action.tool}: {last.observation}")


def ran(work: Work, purpose: str) -> bool:
    """Whether the tests ran for that purpose, however they ended."""
    return any(_is_run(step, purpose) for step in work.steps)


def tests(on: str, purpose: str) -> Action:
    """All tests of one tree."""
    return Action("run_tests", {"target": [], "on": on, "purpose": purpose, "retries": 2})


def _is_run(step: Step, purpose: str) -> bool:
    same = step.action.tool == "run_tests" and step.action.params.get("purpose") == purpose
    return same and not step.refused
