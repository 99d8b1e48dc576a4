"""Recommendations seen again: other weights, two side by side, the radar, what has drifted."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods

from agent import drift_watch, lifecycle, outlook
from agent.models import Proposal, Recommendation, Task
from agent.places import catalogue
from agent.recommender import Constraints
from authz.decisions import may, visible
from authz.permissions import Permission
from portal.http import PortalRequest
from portal.pages.forms import LABELS

HEAVIEST = 10  # of one weight on the page
SHOWN = 5  # options of a layer


@require_GET
def weights(request: PortalRequest, task_id: UUID) -> HttpResponse:
    """The ranking of a request with the weights of the page, without keeping anything."""
    answered = _tasks(request).filter(recommendation__isnull=False)
    task = get_object_or_404(answered.select_related("recommendation"), pk=task_id)
    constraints = Constraints.from_json(task.constraints)
    known = catalogue()
    stated = {
        criterion: number
        for criterion in known.criteria
        if (number := _weight(request.GET.get(f"w_{criterion}", ""))) is not None
    }
    today = timezone.now().date()
    chosen = outlook.reweighed(constraints, stated if any(stated.values()) else None, today)
    first = {layer["layer"]: layer["winner"] for layer in task.recommendation.result["layers"]}
    context = {
        "task": task,
        "criteria": [
            {
                "id": criterion.id,
                "title": criterion.title,
                "question": criterion.question,
                "weight": f"{stated[criterion.id]:g}" if criterion.id in stated else "",
            }
            for criterion in known.criteria.values()
        ],
        "heaviest": HEAVIEST,
        "rows": [
            {
                "title": layer["title"],
                "changed": layer["winner"] != first.get(layer["layer"]),
                "usual": outlook.name_of(known, first.get(layer["layer"])),
                "confidence": layer["confidence"],
                "ranked": layer["ranked"][:SHOWN],
            }
            for layer in chosen["layers"]
        ],
    }
    partial = request.htmx and request.htmx.target == "ranking"
    template = "recommendations/weights.html"
    return render(request, f"{template}#ranking" if partial else template, context)


@require_GET
def compare(request: PortalRequest) -> HttpResponse:
    """Two requests side by side: what was asked differently, what was chosen differently."""
    tasks = _tasks(request).filter(recommendation__isnull=False).select_related("recommendation")
    pair = [_picked(tasks, request.GET.get(name, "")) for name in ("one", "other")]
    one, other = pair
    context: dict[str, Any] = {"tasks": tasks[:100], "one": one, "other": other}
    if one is not None and other is not None:
        rows = outlook.side_by_side(
            one.recommendation.result, other.recommendation.result, catalogue()
        )
        asked = outlook.changed_constraints(
            Constraints.from_json(one.constraints), Constraints.from_json(other.constraints)
        )
        context |= {
            "rows": rows,
            "different": sum(not row["same"] for row in rows),
            "asked": [(LABELS.get(name, name), left, right) for name, left, right in asked],
        }
    return render(request, "recommendations/compare.html", context)


@require_GET
def radar(request: PortalRequest) -> HttpResponse:
    """What the organisation has chosen, tries, looks at and leaves."""
    blips = outlook.radar(_proposals(request), catalogue())
    context = {
        "rings": [
            {
                "title": title,
                "why": why,
                "quadrants": [
                    (name, found)
                    for key, name, _ in outlook.QUADRANTS
                    if (found := [b for b in blips if b.ring == ring and b.quadrant == key])
                ],
            }
            for ring, title, why in outlook.RINGS
        ],
        "count": len(blips),
    }
    return render(request, "recommendations/radar.html", context)


@require_GET
def radar_json(request: PortalRequest) -> HttpResponse:
    """The same radar as Backstage's tech-radar plugin reads it."""
    return JsonResponse(outlook.backstage(outlook.radar(_proposals(request), catalogue())))


@require_http_methods(["GET", "POST"])
def drift(request: PortalRequest) -> HttpResponse:
    """Countersigned choices that facts have left behind. Posting one asks for it again."""
    proposals = _proposals(request)
    if request.method == "POST":
        proposal = get_object_or_404(proposals, pk=_uuid(request.POST.get("proposal", "")))
        title = drift_watch.again(proposal.task.goal)
        waiting = _tasks(request).filter(goal=title, state__in=Task.RUNNING).first()
        if waiting is not None:
            messages.info(request, "That question waits already.")
            return redirect("recommendation", waiting.pk)
        task = lifecycle.file_recommendation(
            {**proposal.task.constraints, "title": title},
            repository=proposal.repository,
            owner=request.user,
            by=request.actor,
        )
        return redirect("recommendation", task.pk)
    found = outlook.watch(proposals, catalogue(), timezone.now().date())
    raised: dict[str, Task] = {}
    for task in _tasks(request).exclude(raised_for={}).order_by("created_at"):
        raised[task.raised_for["proposal"]] = task
    context = {
        "rows": [
            {
                "proposal": proposal,
                "drifts": drifts,
                "raised": raised.get(str(proposal.pk)),
                "may_ask": may(
                    request.actor, Permission.RECOMMENDATION_CREATE, proposal.repository
                ),
            }
            for proposal, drifts in found
        ]
    }
    return render(request, "recommendations/drift.html", context)


def _tasks(request: PortalRequest) -> QuerySet[Task]:
    tasks = Task.objects.filter(kind=Task.Kind.RECOMMENDATION).select_related("repository")
    return visible(request.actor, Permission.TASK_VIEW, tasks)


def _proposals(request: PortalRequest) -> QuerySet[Proposal]:
    answered = Proposal.objects.filter(task__in=Recommendation.objects.values("task"))
    return visible(
        request.actor,
        Permission.PROPOSAL_VIEW,
        answered.select_related("task__recommendation", "repository"),
    )


def _picked(tasks: QuerySet[Task], text: str) -> Task | None:
    return get_object_or_404(tasks, pk=_uuid(text)) if text else None


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as strange:
        raise Http404("no such thing") from strange


def _weight(text: str) -> float | None:
    """A weight as typed, within what the page offers; None for nothing or nonsense."""
    try:
        number = float(text)
    except ValueError:
        return None
    return min(max(number, 0.0), float(HEAVIEST)) if number == number else None
