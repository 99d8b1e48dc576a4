"""The first page: what waits for me, what runs, what changed, how much there is."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import (
    Aggregate,
    BooleanField,
    Count,
    DurationField,
    ExpressionWrapper,
    F,
    Q,
    QuerySet,
)
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from agent.models import Proposal, Repository, Review, Task
from authz.decisions import visible
from authz.permissions import Permission
from portal.http import PortalRequest

SHOWN = 8  # rows of a list; the rest is one click away
DAY = timedelta(days=1)
MONTH = timedelta(days=30)


class Percentile95(Aggregate):
    """The value that 95 of 100 do not exceed."""

    function = "percentile_cont"
    template = "%(function)s(0.95) WITHIN GROUP (ORDER BY %(expressions)s)%(filter)s"
    output_field = DurationField()


@dataclass(frozen=True)
class Happening:
    """One line of what changed."""

    when: datetime
    who: str
    did: str
    title: str
    task: Task | None = None
    proposal: Proposal | None = None


@require_GET
def home(request: PortalRequest) -> HttpResponse:
    """What needs me first, then what goes on."""
    tasks = visible(request.actor, Permission.TASK_VIEW, Task.objects.defer("constraints"))
    proposals = visible(request.actor, Permission.PROPOSAL_VIEW, Proposal.objects.all())
    waiting = _waiting(request)
    repositories = visible(
        request.actor, Permission.RECOMMENDATION_CREATE, Repository.objects.all()
    )
    context = {
        "waiting": list(waiting[:SHOWN]),
        "waiting_count": waiting.count(),
        "running": list(
            tasks.filter(
                owner=request.user, state__in=[*Task.RUNNING, Task.State.WAITING_FOR_USER]
            ).select_related("repository")[:SHOWN]
        ),
        "happened": _happened(tasks, proposals),
        "figures": _figures(tasks, proposals),
        "may_ask": repositories.exists(),
    }
    return render(request, "home/home.html", context)


def _waiting(request: PortalRequest) -> QuerySet[Proposal]:
    rows = Proposal.objects.filter(state=Proposal.State.OPEN).order_by("created_at")
    rows = rows.select_related("repository", "task__owner").annotate(
        fails=ExpressionWrapper(Q(checks__contains=[{"ok": False}]), output_field=BooleanField())
    )
    rows = rows.only("number", "title", "created_at", "repository__name", "task__owner__name")
    return visible(request.actor, Permission.PROPOSAL_COUNTERSIGN, rows)


def _happened(tasks: QuerySet[Task], proposals: QuerySet[Proposal]) -> list[Happening]:
    since = timezone.now() - DAY
    reviews = Review.objects.filter(created_at__gte=since, proposal__in=proposals)
    reviews = reviews.select_related("reviewer", "proposal").only(
        "created_at", "verdict", "reviewer__name", "proposal__title"
    )
    ended = tasks.filter(finished_at__gte=since).select_related("proposal")
    ended = ended.only("goal", "state", "finished_at", "proposal__title")
    asked = tasks.filter(created_at__gte=since).select_related("owner")
    asked = asked.only("goal", "created_at", "owner__name")
    lines = [
        Happening(
            review.created_at,
            review.reviewer.name,
            review.get_verdict_display().lower(),
            review.proposal.title,
            proposal=review.proposal,
        )
        for review in reviews.order_by("-created_at")[:SHOWN]
    ]
    lines += [
        Happening(
            task.finished_at or since,
            "The agent",
            "proposed" if hasattr(task, "proposal") else f"ended ({_said(task)})",
            task.goal,
            task=task,
            proposal=getattr(task, "proposal", None),
        )
        for task in ended.order_by("-finished_at")[:SHOWN]
    ]
    lines += [
        Happening(task.created_at, task.owner.name, "asked for", task.goal, task=task)
        for task in asked.order_by("-created_at")[:SHOWN]
    ]
    return sorted(lines, key=lambda line: line.when, reverse=True)[:SHOWN]


def _said(task: Task) -> str:
    return task.get_state_display().lower()


def _figures(tasks: QuerySet[Task], proposals: QuerySet[Proposal]) -> dict[str, Any]:
    took = ExpressionWrapper(F("finished_at") - F("started_at"), output_field=DurationField())
    recent = tasks.order_by().filter(created_at__gte=timezone.now() - MONTH)
    return recent.aggregate(
        requests=Count("pk"),
        p95=Percentile95(took, filter=Q(state=Task.State.COMPLETED)),
    ) | {"open": proposals.filter(state=Proposal.State.OPEN).count()}
