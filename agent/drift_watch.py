"""Asks again, unbidden, where facts have left a countersigned choice behind."""

from collections.abc import Iterable
from functools import partial
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from agent import queue
from agent.lifecycle import WALL_SECONDS
from agent.models import Proposal, Task
from agent.outlook import Drift, watch
from agent.places import catalogue
from agent.recommender import Catalogue
from authz.change import change
from authz.permissions import Permission
from tenants.models import User

AGAIN = "Look again: "
TITLE_LIMIT = 120  # characters of a request's title


def again(title: str) -> str:
    """The title of a request that asks again what `title` asked."""
    return f"{AGAIN}{title.removeprefix(AGAIN)}"[:TITLE_LIMIT]


def news(proposal: Proposal, found: Iterable[Drift], known: Catalogue) -> dict[str, str]:
    """Fact id to value of what was not known yet when the proposal was asked for.

    Support that was about to end then is no news, and neither is what the task was raised for:
    people have countersigned with it before their eyes.
    """
    asked = proposal.created_at.date()
    told = proposal.task.raised_for.get("facts", {})
    fresh = {}
    for drift in found:
        fact = known.technologies[drift.technology].facts[drift.fact.split(".", 1)[1]]
        value = drift.sentence if drift.kind == "standard" else str(fact.value)
        old = drift.kind == "end of life" and fact.as_of <= asked and _near(drift, proposal, known)
        if not old and told.get(drift.fact) != value:
            fresh[drift.fact] = value
    return fresh


def left_behind() -> list[UUID]:
    """Countersigned recommendations of the pinned tenant about which there is news.

    What a task was raised for already, whatever became of it, is not news again.
    """
    known = catalogue()
    rows = Proposal.objects.filter(
        state__in=Proposal.SIGNED, task__recommendation__isnull=False
    ).select_related("task__recommendation")
    raised: dict[str, dict[str, str]] = {}
    for task in Task.objects.exclude(raised_for={}).only("raised_for"):
        raised.setdefault(task.raised_for["proposal"], {}).update(task.raised_for["facts"])
    return [
        proposal.pk
        for proposal, found in watch(rows, known, timezone.now().date())
        if not _covers(raised.get(str(proposal.pk), {}), news(proposal, found, known))
    ]


def raise_task(proposal_id: UUID) -> Task | None:
    """Ask again what a proposal answered, for whoever asked; None when there is no news any more.

    The agent works on it like on any request, and its result waits for a second person like any
    other. Safe to run twice.
    """
    known = catalogue()
    proposal = (
        Proposal.objects.filter(
            pk=proposal_id,
            state__in=Proposal.SIGNED,
            task__recommendation__isnull=False,
        )
        .select_related("task__recommendation", "task__owner", "repository")
        .first()
    )
    if proposal is None:
        return None
    agent = User.objects.filter(kind=User.Kind.AGENT, grants__project=proposal.project_id).first()
    found = watch([proposal], known, timezone.now().date())
    if agent is None or not found:
        return None
    with change(agent.actor("job"), Permission.TASK_RUN, on=proposal.repository) as facts:
        # Two workers may have seen the same; the second one finds what the first one raised.
        Proposal.objects.select_for_update(of=["self"]).get(pk=proposal_id)
        facts.about = proposal
        if proposal_id not in left_behind():
            facts["raised"] = ""
            return None
        before = proposal.task
        title = again(before.goal)
        task = Task(
            kind=Task.Kind.RECOMMENDATION,
            project_id=proposal.project_id,
            repository=proposal.repository,
            goal=title,
            constraints={**before.constraints, "title": title},
            budgets={"wall_s": WALL_SECONDS},
            owner=before.owner,
            raised_for={
                "proposal": str(proposal.pk),
                "facts": news(proposal, found[0][1], known),
                "sentences": [drift.sentence for drift in found[0][1]],
            },
        )
        task.branch = f"countersign/{task.short.lower()}"
        task.save(force_insert=True)
        facts.about = task
        facts.update(raised=task.raised_for, repository=proposal.repository.name)
        transaction.on_commit(partial(queue.advance_task, task.pk))
    return task


def _covers(raised: dict[str, str], fresh: dict[str, str]) -> bool:
    return all(raised.get(fact) == value for fact, value in fresh.items())


def _near(drift: Drift, proposal: Proposal, known: Catalogue) -> bool:
    """Whether the same would have been said on the day that the proposal was asked for."""
    then = watch([proposal], known, proposal.created_at.date())
    return any(one.fact == drift.fact for _, rows in then for one in rows)
