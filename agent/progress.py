"""How far a task has come: what it took, what it would change by now, how sure it is."""

import json
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256

from django.db.models import Sum
from django.utils import timezone

from agent import budget
from agent.models import Action, Artifact, Task
from agent.outputs import PATCH
from agent.places import artifact_store
from tenants.scope import current_tenant_id

DIFF_SHOWN = 40_000  # characters


@dataclass(frozen=True)
class SoFar:
    """What stands by now. diff: unified, empty while nothing is changed. confidence: 0 to 1 of the
    change that stands, None while there is none or nothing is known."""

    spent: budget.Spent
    diff: str = ""
    confidence: float | None = None


def spent_by(task: Task) -> budget.Spent:
    """What a task took so far."""
    rows = Action.objects.filter(task=task)
    sums = rows.aggregate(tokens=Sum("cost_tokens"), usd=Sum("cost_usd"))
    until = task.finished_at or timezone.now()
    working = until - task.started_at if task.started_at else timedelta()
    return budget.Spent(
        wall_s=round(working.total_seconds(), 1),
        steps=rows.exclude(status=Action.Status.STOPPED)
        .exclude(status=Action.Status.RUNNING)
        .count(),
        tokens=sums["tokens"] or 0,
        usd=float(sums["usd"] or 0),
    )


def stamp(task: Task, shown: str) -> str:
    """Changes whenever the page of a task would: a step, a state, what is printed.

    shown: what the running step has printed, as `live_log` gives it.
    """
    last = Action.objects.filter(task=task).order_by("-number").values_list("number", "status")
    said = [task.state, task.touched_at, task.cancel_asked_by, *last[:1], shown]
    return sha256(repr(said).encode()).hexdigest()[:16]


def so_far(task: Task) -> SoFar:
    """What a task has come to, also while it runs."""
    spent = spent_by(task)
    kept = Artifact.objects.filter(task=task, name=PATCH).first()
    patched = Action.objects.filter(task=task, tool="code_patch", status=Action.Status.DONE)
    if kept is None or not (task.kind in Task.CHANGES or patched.exists()):
        return SoFar(spent)
    parts = json.loads(artifact_store().get(current_tenant_id(), kept.sha256))["parts"]
    diff = "".join(part["unified_diff"] for part in parts)
    return SoFar(spent, diff[:DIFF_SHOWN], _confidence(task, parts[0]["unified_diff"]))


def _confidence(task: Task, first_part: str) -> float | None:
    """What the search said of the change that stands; only the engine's own changes are ranked."""
    searches = Action.objects.filter(task=task, tool="propose_repair", status=Action.Status.DONE)
    for search in searches.order_by("-number"):
        for patch in search.result.get("patches", []):
            if patch["parts"][0]["unified_diff"] == first_part:
                return float(patch["confidence"])
    return None
