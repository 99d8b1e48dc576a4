"""Plans a recommendation without a language model: the same steps every time, in order."""

from agent.errors import NothingLeftToTry
from agent.loop import Action, Plan, PlannedStep, Work

STEPS = (
    PlannedStep("retrieve_evidence", "collect what is known about every candidate, with sources"),
    PlannedStep("eliminate_options", "drop what a hard constraint rules out, naming the fact"),
    PlannedStep("score_options", "rank what is left by the priorities given"),
    PlannedStep("render_documents", "write ADRs, BoM, control mapping, test plan, rollback note"),
    PlannedStep("check_files", "run every file through its own linter before anybody sees it"),
    PlannedStep("open_pr", "publish the branch with its pull request on the forge"),
)


class RecommendationPlanner:
    """The `loop.Model` for recommendation tasks."""

    def plan(self, work: Work) -> Plan:
        """Every step of STEPS; a person must countersign. Documents alone carry little risk."""
        return Plan(
            steps=STEPS,
            approvals=("countersign the proposal: one person other than the requester",),
            risk_score=0.1,
            compliance_targets=tuple(work.constraints["compliance"]),
        )

    def choose(self, work: Work) -> Action | None:
        """The first step that is not done. A step that failed would fail again, so it ends here."""
        if work.steps and not work.steps[-1].ok:
            failed = work.steps[-1]
            raise NothingLeftToTry(f"{failed.action.tool}: {failed.observation}")
        for step in STEPS:
            if not work.done(step.tool):
                return Action(step.tool)
        return None
