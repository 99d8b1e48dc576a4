"""What a repair shows of itself: why, the proof as a table, what else was considered, the risk."""

from collections.abc import Mapping
from typing import Any

from agent import proof
from agent.models import Action, Fix, Plan

# Which run of the proof shows what, on which tree.
RUNS = {
    "baseline": ("All tests before the change", "base"),
    "red": ("The failing tests without the change", "base"),
    "green": ("The same tests with the change", "patched"),
    "suite": ("All tests with the change", "patched"),
    "reverted": ("The failing tests with the change taken back", "base"),
}


def shown(fix: Fix) -> dict[str, Any]:
    """The context of templates/proposals/repair.html."""
    plan = Plan.objects.filter(task=fix.task_id).first()
    patches = Action.objects.filter(
        task=fix.task_id, tool="code_patch", status=Action.Status.DONE
    ).order_by("-number")
    standing = patches.first()
    return {
        "fix": fix,
        "points": proof.judged(fix.proof),
        "runs": [_run(fix.proof, name) for name in proof.RUNS],
        "confidence_word": confidence_word(fix.confidence),
        "risk_of_plan": plan.risk_score if plan else None,
        "risk_of_change": standing.result.get("risk_level", "") if standing else "",
    }


def confidence_word(confidence: float) -> str:
    """How sure to be, in a word, as the pull request says it too."""
    return "high" if confidence >= 0.75 else "fair" if confidence >= 0.5 else "low"


def _run(kept: Mapping[str, Any], name: str) -> dict[str, Any]:
    title, tree = RUNS[name]
    runs = kept[name]["runs"]
    return {
        "title": title,
        "tree": tree,
        "tree_digest": kept["trees"][tree],
        "times": len(runs),
        "passed": len(runs[0]["passed"]),
        "failed": len(runs[0]["failing"]),
        "reasons": sorted({row["reason"] for row in runs[0]["failing"]})[:3],
        "log_digest": runs[0]["log_sha256"],
        "aside": sorted({*kept[name]["flaky"], *kept[name]["quarantined"]}),
    }
