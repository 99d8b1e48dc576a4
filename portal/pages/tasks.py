"""Tasks: asking for them, watching the agent, deciding about its plan, taking it back."""

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from agent import budget, lifecycle, progress
from agent.bugs import CODE_LIMIT, TEXT_LIMIT, TITLE_LIMIT
from agent.live import live_log
from agent.models import Action, ChangeReport, Fix, Plan, Proposal, Repository, Task
from agent.spending import spent_on
from authz.decisions import may, require, visible
from authz.errors import BadRequest
from authz.permissions import Permission
from portal.http import PortalRequest
from portal.pages import lists
from portal.pages.repairs import confidence_word

KINDS = {
    Task.Kind.BUGFIX: "Repair",
    Task.Kind.UPGRADE: "Upgrade",
    Task.Kind.REFACTORING: "Refactoring",
}
SPENT_EVERY_S = 10  # how old the time that a running task has spent may be on its page
_clock = time.time
COLUMNS = {
    "kind": "kind",
    "title": "goal",
    "state": "state",
    "who": "owner__name",
    "repository": "repository__name",
    "when": "created_at",
}
BUDGETS = {
    "wall_s": "Time at work",
    "steps": "Steps",
    "tokens": "Tokens of language models",
    "usd": "Cost of language models",
}
# All that the list shows; the rest of a task is not fetched for it.
SHOWN = ("goal", "kind", "state", "created_at", "owner__name", "repository__name")
HOWS = (
    ("find", "Find it: run the tests, repair what fails"),
    ("named", "I name the failing tests"),
    ("pasted", "I paste a failing test"),
)
REFACTORINGS = (
    ("rename", "Give a function, class or method another name"),
    ("move", "Move a function or class to another module"),
    ("extract", "Make a function of some lines"),
)
NOBODYS: dict[str, Any] = {"how": "find"}
LIMITS = {"title": TITLE_LIMIT, "text": TEXT_LIMIT, "code": CODE_LIMIT}


@require_GET
def listing(request: PortalRequest) -> HttpResponse:
    """Every repair, upgrade and refactoring that was asked for, newest first."""
    tasks = visible(
        request.actor,
        Permission.TASK_VIEW,
        Task.objects.exclude(kind=Task.Kind.RECOMMENDATION)
        .select_related("owner", "repository")
        .only(*SHOWN),
    )
    wanted = request.GET.get("state", "")
    if wanted in Task.State.values:
        tasks = tasks.filter(state=wanted)
    kind = request.GET.get("kind", "")
    if kind in KINDS:
        tasks = tasks.filter(kind=kind)
    context = {
        "wanted": wanted,
        "kind": kind,
        "kinds": KINDS,
        "states": Task.State,
        "may_ask": _repositories(request).exists(),
        **lists.page_of(request, tasks, COLUMNS, first="-when"),
    }
    return render(request, "tasks/list.html", context)


@require_http_methods(["GET", "POST"])
def new(request: PortalRequest) -> HttpResponse:
    """The form that files a bug. What was typed comes back with what is wrong with it."""
    return _filed(request, "tasks/new.html", lifecycle.file_bugfix, NOBODYS)


@require_http_methods(["GET", "POST"])
def new_upgrade(request: PortalRequest) -> HttpResponse:
    """The form that asks for another version of a package."""
    return _filed(request, "tasks/new_upgrade.html", lifecycle.file_upgrade, {})


@require_http_methods(["GET", "POST"])
def new_refactoring(request: PortalRequest) -> HttpResponse:
    """The form that asks for a refactoring."""
    first = {"how": "rename"}
    return _filed(request, "tasks/new_refactoring.html", lifecycle.file_refactoring, first)


def _filed(
    request: PortalRequest, template: str, file: Callable[..., Task], first: dict[str, Any]
) -> HttpResponse:
    repositories = list(_repositories(request))
    if not repositories:
        somewhere = visible(
            request.actor, Permission.REPOSITORY_VIEW, Repository.objects.all()
        ).first()
        if somewhere is not None:
            require(request.actor, Permission.TASK_CREATE, somewhere)
        return render(request, "recommendations/nowhere.html")
    if request.method == "GET":
        return _form(request, template, repositories, first, {})
    typed = request.POST.dict()
    chosen = next((one for one in repositories if str(one.pk) == typed.get("repository")), None)
    if chosen is None:
        wrong = {"repository": "choose one of these"}
        return _form(request, template, repositories, typed, wrong, 422)
    try:
        task = file(
            typed,
            repository=chosen,
            owner=request.user,
            by=request.actor,
            budgets={name: typed[name] for name in budget.DEFAULTS if typed.get(name)},
        )
    except BadRequest as refusal:
        return _form(request, template, repositories, typed, refusal.errors, 422)
    return redirect("task", task.pk)


@require_GET
def detail(request: PortalRequest, task_id: UUID) -> HttpResponse:
    """One task: its plan, its steps, what the running one prints, what came of it.

    A page that asks again and has seen all there is gets no content.
    """
    task = _found(request, task_id)
    if request.htmx and _has_seen(request.GET.get("seen", ""), task):
        return HttpResponse(status=204)
    return _page(request, task)


def _stamp(task: Task) -> str:
    return progress.stamp(task, live_log(task.pk) if task.is_running else "")


def _has_seen(seen: str, task: Task) -> bool:
    """Whether nothing changed since; the time that is spent may be some seconds old."""
    stamp, _, at = seen.partition("-")
    return at.isdecimal() and _clock() - int(at) < SPENT_EVERY_S and stamp == _stamp(task)


@require_POST
def approve(request: PortalRequest, task_id: UUID) -> HttpResponse:
    """Let the plan that was read run."""
    task = _found(request, task_id)
    lifecycle.approve_plan(task, request.POST.get("digest", ""), by=request.actor)
    messages.success(request, "The plan runs; your name is on it.")
    return redirect("task", task_id)


@require_POST
def refuse(request: PortalRequest, task_id: UUID) -> HttpResponse:
    """Do not let the plan run, with a reason."""
    task = _found(request, task_id)
    comment = request.POST.get("comment", "")
    try:
        lifecycle.refuse_plan(
            task, request.POST.get("digest", ""), by=request.actor, comment=comment
        )
    except BadRequest as refusal:
        return _page(request, task, {"comment": comment}, refusal.errors, 422)
    return redirect("task", task_id)


@require_POST
def say(request: PortalRequest, task_id: UUID) -> HttpResponse:
    """Tell the agent something before its next step."""
    task = _found(request, task_id)
    text = request.POST.get("text", "")
    try:
        lifecycle.say(task, text, author=request.user, by=request.actor)
    except BadRequest as refusal:
        return _page(request, task, {"text": text}, refusal.errors, 422)
    return redirect("task", task_id)


@require_POST
def cancel(request: PortalRequest, task_id: UUID) -> HttpResponse:
    """Stop it, also in the middle of a step."""
    lifecycle.cancel(_found(request, task_id), by=request.actor)
    return redirect("task", task_id)


@require_POST
def resume(request: PortalRequest, task_id: UUID) -> HttpResponse:
    """Go on after the last finished step, with another budget if one is given."""
    task = _found(request, task_id)
    typed = {name: request.POST[name] for name in budget.DEFAULTS if name in request.POST}
    try:
        lifecycle.resume(task, by=request.actor, budgets=typed)
    except BadRequest as refusal:
        return _page(request, task, typed, refusal.errors, 422)
    return redirect("task", task_id)


@require_POST
def undo(request: PortalRequest, task_id: UUID) -> HttpResponse:
    """Close its pull request, delete its branch; the record stays."""
    lifecycle.undo(_found(request, task_id), by=request.actor)
    messages.success(request, "Taken back: the pull request is closed within seconds.")
    return redirect("task", task_id)


def _page(
    request: PortalRequest,
    task: Task,
    typed: dict[str, str] | None = None,
    errors: dict[str, str] | None = None,
    status: int = 200,
) -> HttpResponse:
    proposal = Proposal.objects.filter(task=task).first()
    plan = Plan.objects.filter(task=task).first()
    waits = task.state == Task.State.WAITING_FOR_USER
    is_open = task.is_running or waits
    so_far = progress.so_far(task)
    said, wrong = typed or {}, errors or {}
    context = {
        "seen": f"{_stamp(task)}-{int(_clock())}",
        "so_far": so_far,
        "confidence_word": confidence_word(so_far.confidence or 0),
        "spent": [
            (budget.WORDS[name], so_far.spent.of(name), limit)
            for name, limit in task.budgets.items()
            if limit
        ],
        "task": task,
        "plan": plan,
        "steps": Action.objects.filter(task=task),
        "said": task.messages.select_related("author"),
        "fix": Fix.objects.filter(task=task).first(),
        "change": ChangeReport.objects.filter(task=task).first(),
        "proposal": proposal,
        "models": spent_on(task),
        "live": live_log(task.pk) if task.is_running else "",
        "waits": waits,
        "may_approve": waits and may(request.actor, Permission.PLAN_APPROVE, task),
        "may_say": is_open and may(request.actor, Permission.TASK_MESSAGE, task),
        "may_cancel": is_open and may(request.actor, Permission.TASK_CANCEL, task),
        "may_resume": task.can_resume and may(request.actor, Permission.TASK_CREATE, task),
        "budgets": [
            (name, BUDGETS[name], budget.WORDS[name], said.get(name, limit), wrong.get(name, ""))
            for name, limit in task.budgets.items()
        ]
        if task.can_resume and may(request.actor, Permission.BUDGET_RAISE, task)
        else [],
        "may_undo": proposal is not None
        and proposal.state == Proposal.State.OPEN
        and may(request.actor, Permission.TASK_UNDO, task),
        "may_see_rules": may(request.actor, Permission.MEMBER_VIEW, task.project),
        "typed": said,
        "errors": wrong,
    }
    name = "tasks/detail.html#progress" if request.htmx else "tasks/detail.html"
    return render(request, name, context, status=status)


def _form(
    request: PortalRequest,
    template: str,
    repositories: list[Repository],
    typed: dict[str, Any],
    errors: dict[str, str],
    status: int = 200,
) -> HttpResponse:
    context = {
        "repositories": repositories,
        "typed": typed,
        "errors": errors,
        "hows": HOWS,
        "refactorings": REFACTORINGS,
        "limits": LIMITS,
        "defaults": budget.DEFAULTS,
        "registry": urlsplit(settings.PACKAGE_REGISTRY).hostname,
        "registry_hosts": settings.PACKAGE_REGISTRY_HOSTS,
    }
    return render(request, template, context, status=status)


def _found(request: PortalRequest, task_id: UUID) -> Task:
    tasks = visible(request.actor, Permission.TASK_VIEW, Task.objects.all())
    task: Task = get_object_or_404(
        tasks.select_related("owner", "project", "repository"), pk=task_id
    )
    return task


def _repositories(request: PortalRequest) -> Any:
    return visible(request.actor, Permission.TASK_CREATE, Repository.objects.order_by("name"))
