"""Watching the agent repair something."""

from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from agent.live import live_log
from agent.models import Action, Fix, Plan, Proposal, Task
from authz.decisions import visible
from authz.permissions import Permission
from portal.http import PortalRequest


@require_GET
def detail(request: PortalRequest, task_id: UUID) -> HttpResponse:
    """One task: its plan, its steps, what the running one prints, what came of it."""
    tasks = visible(request.actor, Permission.TASK_VIEW, Task.objects.all())
    task: Task = get_object_or_404(tasks.select_related("owner", "repository"), pk=task_id)
    context = {
        "task": task,
        "plan": Plan.objects.filter(task=task).first(),
        "steps": Action.objects.filter(task=task),
        "messages_said": task.messages.select_related("author"),
        "fix": Fix.objects.filter(task=task).first(),
        "proposal": Proposal.objects.filter(task=task).first(),
        "live": live_log(task.pk) if task.is_running else "",
    }
    return render(request, "tasks/detail.html", context)
