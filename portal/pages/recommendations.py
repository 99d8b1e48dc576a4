"""Asking for a stack recommendation, then watching the agent work on it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import DurationField, ExpressionWrapper, F, Q
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from django_htmx.http import trigger_client_event

from agent import brief_by_model, elicitation, lifecycle, outlook, planner, recommender
from agent.forge import ForgeRefused, ForgeUnavailable
from agent.loop import VERIFY
from agent.models import Action, Draft, Plan, Proposal, Recommendation, Repository, Task
from agent.places import catalogue
from agent.recommender import BadConstraints, Catalogue, Constraints
from agent.recommender.brief import Reading
from agent.recommender.evidence import layers_in_scope
from authz.decisions import may, require, visible
from authz.errors import BadRequest
from authz.permissions import Permission
from portal.http import PortalRequest
from portal.pages import forms, lists

COLUMNS = {
    "title": "goal",
    "state": "state",
    "who": "owner__name",
    "repository": "repository__name",
    "when": "created_at",
    "took": "took",
}

TOOLS = {
    "retrieve_evidence": "Retrieve evidence",
    "eliminate_options": "Eliminate options",
    "score_options": "Score options",
    "render_documents": "Write the documents",
    "check_files": "Check every file",
    "open_pr": "Open the pull request",
    "verify_pull_request": "Verify the pull request",
}
VERIFY_WHY = "read everything back from the forge, check what really stands there"


@require_GET
def listing(request: PortalRequest) -> HttpResponse:
    """Every recommendation that was asked for, newest first."""
    tasks = visible(
        request.actor,
        Permission.TASK_VIEW,
        Task.objects.filter(kind=Task.Kind.RECOMMENDATION)
        .select_related("owner", "repository")
        .only("goal", "state", "created_at", "owner__name", "repository__name")
        .annotate(
            took=ExpressionWrapper(F("finished_at") - F("started_at"), output_field=DurationField())
        ),
    )
    wanted = {"state": request.GET.get("state", ""), "q": request.GET.get("q", "").strip()}
    if wanted["state"] in Task.State.values:
        tasks = tasks.filter(state=wanted["state"])
    if wanted["q"]:
        tasks = tasks.filter(Q(goal__icontains=wanted["q"]) | Q(owner__name__icontains=wanted["q"]))
    context = {
        "wanted": wanted,
        "states": Task.State,
        "may_ask": _repositories(request).exists(),
        **lists.page_of(request, tasks, COLUMNS, first="-when"),
    }
    return render(request, "recommendations/list.html", context)


@require_http_methods(["GET", "POST"])
def new(request: PortalRequest) -> HttpResponse:
    """The form. Posting it keeps a draft, moves a priority, or asks for the recommendation."""
    repositories = list(_repositories(request))
    if not repositories:
        somewhere = visible(
            request.actor, Permission.REPOSITORY_VIEW, Repository.objects.all()
        ).first()
        if somewhere is not None:
            require(request.actor, Permission.RECOMMENDATION_CREATE, somewhere)
        return render(request, "recommendations/nowhere.html")
    if request.method == "GET":
        return _form(request, repositories, _starting_point(request))
    typed = forms.typed_in(request.POST)
    if move := request.POST.get("move"):
        criterion, _, way = move.partition(":")
        typed = forms.moved(typed, criterion, -1 if way == "up" else 1)
    if "use_readings" in request.POST:
        typed = forms.with_readings(typed, request.POST.getlist("reading"))
    repository = _chosen(repositories, typed)
    _keep(request, typed, repository)
    if "read_brief" in request.POST or "scan" in request.POST:
        return _form(request, repositories, typed, readings=_readings(request, typed, repository))
    if "read_by_model" in request.POST:
        try:
            brief_by_model.ask_for_reading(
                typed["brief"], repository=repository, owner=request.user, by=request.actor
            )
        except BadRequest as refusal:
            return _form(request, repositories, typed, refusal.errors)
        messages.success(request, "A language model reads your brief. It takes up to a minute.")
        return redirect("recommendation-new")
    if "ask" not in request.POST:
        if request.htmx.target == "priorities":
            priorities = forms.priority_rows(typed, catalogue())
            fragment = render(
                request, "recommendations/new.html#priorities", {"priorities": priorities}
            )
            return trigger_client_event(fragment, "ranked")  # the summary follows
        if "use_readings" in request.POST:
            messages.success(request, "What you ticked stands in the form now. Check it below.")
        elif not request.POST.get("move"):
            messages.success(request, "Your draft is kept. It waits here until you send it.")
        return redirect("recommendation-new")
    try:
        task = lifecycle.file_recommendation(
            _fields(typed), repository=repository, owner=request.user, by=request.actor
        )
    except BadRequest as refusal:
        return _form(request, repositories, typed, refusal.errors)
    return redirect("recommendation", task.pk)


@require_POST
def draft(request: PortalRequest) -> HttpResponse:
    """Keep what has been typed so far; answers with what it means."""
    repositories = list(_repositories(request))
    typed = forms.typed_in(request.POST)
    if repositories:
        _keep(request, typed, _chosen(repositories, typed))
    return render(request, "recommendations/new.html#summary", _summary(typed))


@require_GET
def detail(request: PortalRequest, task_id: UUID) -> HttpResponse:
    """One request: where it stands, what was done so far, what is left."""
    task = _found(request, task_id)
    if task.kind != Task.Kind.RECOMMENDATION:
        return redirect("task", task.pk)
    plan = Plan.objects.filter(task=task).first()
    actions = list(Action.objects.filter(task=task))
    constraints = Constraints.from_json(task.constraints)
    context = {
        "task": task,
        "plan": plan,
        "phases": _phases(task),
        "steps": _steps(plan, actions),
        "used_s": _used(task).total_seconds(),
        "proposal": Proposal.objects.filter(task=task).first(),
        "may_see_people": may(request.actor, Permission.MEMBER_VIEW, task),
        "may_share": may(request.actor, Permission.SHARE_CHANGE, task),
        "may_cancel": task.is_running and may(request.actor, Permission.TASK_CANCEL, task),
        "may_resume": task.can_resume
        and may(request.actor, Permission.RECOMMENDATION_CREATE, task),
        "asked": forms.as_read(constraints, catalogue()),
        "building": constraints.building,
        "scope_layers": _layer_titles(constraints),
        "sources": _sources(task),
    }
    polled = request.htmx and request.htmx.target == "progress"
    template = "recommendations/detail.html"
    return render(request, f"{template}#progress" if polled else template, context)


@require_POST
def cancel(request: PortalRequest, task_id: UUID) -> HttpResponse:
    """Stop it before its next step."""
    lifecycle.cancel(_found(request, task_id), by=request.actor)
    return redirect("recommendation", task_id)


@require_POST
def resume(request: PortalRequest, task_id: UUID) -> HttpResponse:
    """Go on after the last finished step."""
    lifecycle.resume(_found(request, task_id), by=request.actor)
    return redirect("recommendation", task_id)


@dataclass(frozen=True)
class StepRow:
    """One line of the step list: done, running, or still to come (status empty)."""

    title: str
    why: str
    status: str = ""
    observation: str = ""
    started_at: datetime | None = None
    duration_ms: float | None = None


def _found(request: PortalRequest, task_id: UUID) -> Task:
    tasks = visible(request.actor, Permission.TASK_VIEW, Task.objects.all())
    task: Task = get_object_or_404(
        tasks.select_related("owner", "repository", "project"), pk=task_id
    )
    return task


def _repositories(request: PortalRequest) -> Any:
    return visible(
        request.actor, Permission.RECOMMENDATION_CREATE, Repository.objects.order_by("name")
    )


def _chosen(repositories: list[Repository], typed: forms.Typed) -> Repository:
    for repository in repositories:
        if str(repository.pk) == typed["repository"]:
            return repository
    return repositories[0]


def _fields(typed: forms.Typed) -> dict[str, Any]:
    try:
        return forms.read(typed, catalogue()).to_json()
    except BadConstraints as bad:
        raise BadRequest(bad.errors) from bad


def _starting_point(request: PortalRequest) -> forms.Typed:
    kept = _kept(request)
    examples = catalogue().examples
    number = request.GET.get("example", "")
    if number.isdecimal() and int(number) < len(examples):
        return {**forms.typed_as(examples[int(number)]), "example": number}
    if copied := request.GET.get("copy"):
        tasks = visible(request.actor, Permission.TASK_VIEW, Task.objects.all())
        task: Task = get_object_or_404(tasks, pk=_uuid(copied))
        return {**forms.typed_as(task.constraints), "repository": str(task.repository_id)}
    if "previous" in request.GET and kept.get("previous"):
        kept = kept["previous"]
    return {**forms.typed_as({"hosting": "any", "licence_policy": "any"}), **kept}


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as strange:
        raise Http404("no such request") from strange


def _kept(request: PortalRequest) -> forms.Typed:
    saved = Draft.objects.filter(user=request.user).first()
    return saved.fields if saved else {}


def _keep(request: PortalRequest, typed: forms.Typed, repository: Repository) -> None:
    kept = _kept(request)
    previous = kept.get("previous")
    if typed["example"] and kept and typed["example"] != kept.get("example"):
        # An example is about to take the place of something typed by hand: keep both.
        previous = {name: said for name, said in kept.items() if name != "previous"}
    fields = {**typed, "previous": previous} if previous else typed
    if fields != kept:
        lifecycle.save_draft(fields, owner=request.user, repository=repository, by=request.actor)


def _readings(request: PortalRequest, typed: forms.Typed, repository: Repository) -> dict[str, Any]:
    """What a pasted brief or the repository's files seem to say, for somebody to confirm."""
    if "scan" in request.POST:
        try:
            found = elicitation.from_repository(repository, by=request.actor)
        except (ForgeRefused, ForgeUnavailable) as trouble:
            return {"source": repository.name, "rows": [], "trouble": str(trouble)}
        return {"source": repository.name, "rows": forms.reading_rows(found, catalogue())}
    found = elicitation.from_brief(typed["brief"])
    return {"source": "your brief", "rows": forms.reading_rows(found, catalogue())}


def _read_by_model(
    request: PortalRequest, typed: forms.Typed, known: Catalogue
) -> dict[str, Any] | None:
    """What a language model read in this very brief; None when it was not asked to."""
    row = brief_by_model.reading_of(request.user)
    if row is None or row.text != typed["brief"]:
        return None
    said: dict[str, Any] = {"source": f"your brief, by {row.model}", "rows": []}
    if row.state == row.State.WAITING:
        return said | {"waiting": True, "overdue": brief_by_model.is_overdue(row)}
    if row.state == row.State.NOT_READ:
        return said | {"unread": row.reason}
    return said | {"rows": forms.reading_rows((Reading(**one) for one in row.readings), known)}


def _form(
    request: PortalRequest,
    repositories: list[Repository],
    typed: forms.Typed,
    errors: dict[str, str] | None = None,
    readings: dict[str, Any] | None = None,
) -> HttpResponse:
    known = catalogue()
    kept = _kept(request)
    context = {
        "typed": typed,
        "errors": errors or {},
        "readings": readings or _read_by_model(request, typed, known),
        "model_reads": brief_by_model.is_possible(),
        "repositories": repositories,
        "examples": [example["title"] for example in known.examples],
        "priorities": forms.priority_rows(typed, known),
        "usual_layers": [layer for layer in known.layers if layer.by_default],
        "more_layers": [layer for layer in known.layers if not layer.by_default],
        "targets": [(name, forms.WORDS[name]) for name in ("ssdf", "asvs_l2", "slsa_l3")],
        "hostings": _options("any", "managed", "self_hosted", "air_gapped"),
        "policies": _options("any", "permissive_only", "copyleft_ok", "osi_only"),
        "runners": [
            ("any", "Not decided yet"),
            *_options("nobody", "small_team", "dedicated_team"),
        ],
        "capabilities": known.capabilities.values(),
        "previous": kept.get("previous"),
        "has_draft": bool(kept),
        "usually_s": _usually(request),
        **_summary(typed),
    }
    return render(request, "recommendations/new.html", context, status=422 if errors else 200)


def _options(*names: str) -> list[tuple[str, str]]:
    return [(name, forms.WORDS[name]) for name in names]


def _usually(request: PortalRequest) -> float | None:
    """Median seconds from start to result of the newest finished requests."""
    finished = visible(
        request.actor, Permission.TASK_VIEW, Task.objects.filter(state=Task.State.COMPLETED)
    )
    times = finished.order_by("-created_at").values_list("started_at", "finished_at")[:20]
    took = [(end - start).total_seconds() for start, end in times if start and end]
    return median(took) if took else None


def _summary(typed: forms.Typed) -> dict[str, Any]:
    """The form as the recommender would read it now: constraints, scope, what falls out."""
    known = catalogue()
    constraints, wrong = forms.readable(typed, known)
    today = timezone.now().date()
    evidence = recommender.retrieve(constraints, known, today)
    sieved = recommender.eliminate(constraints, known, evidence, today)
    scope = [_layer_row(known, layer_id, sieve) for layer_id, sieve in sieved["layers"].items()]
    return {
        "read": forms.as_read(constraints, known),
        "wrong": [(name, forms.LABELS.get(name, name), said) for name, said in wrong.items()],
        "asked_for": [known.capabilities[row["capability"]].title for row in evidence["asked_for"]],
        "unrecognised": evidence["unrecognised"],
        "scope": scope,
        "candidates": sum(row["options"] for row in scope),
        "out": sum(len(row["eliminated"]) for row in scope),
    }


def _layer_row(known: Catalogue, layer_id: str, sieve: dict[str, Any]) -> dict[str, Any]:
    out: dict[str, list[str]] = {}
    for finding in sieve["eliminated"]:
        name = known.technologies[finding["technology"]].name
        out.setdefault(name, []).append(finding["sentence"])
    return {
        "title": known.layer(layer_id).title,
        "left": len(sieve["kept"]),
        "options": len(sieve["kept"]) + len(out),
        "eliminated": [(name, " ".join(reasons)) for name, reasons in out.items()],
    }


def _sources(task: Task) -> list[tuple[str, list[tuple[str, list[dict[str, Any]]]]]]:
    """(layer, [(option, [what a public source says of it: source, locator, as_of, text])])."""
    if task.state != Task.State.COMPLETED:
        return []
    # Nothing else of the result, which holds every option with its figures.
    answers = Recommendation.objects.filter(task=task)
    found = answers.values_list("result__references", flat=True).first() or {}
    known = catalogue()
    titles = {layer.id: layer.title for layer in known.layers}
    said = []
    for layer, rows in sorted(found.items(), key=lambda row: [*titles, row[0]].index(row[0])):
        by_option: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            by_option.setdefault(outlook.name_of(known, row["technology"]), []).append(row)
        if by_option:
            said.append((titles.get(layer, layer), list(by_option.items())))
    return said


def _layer_titles(constraints: Constraints) -> list[str]:
    return [layer.title for layer in layers_in_scope(constraints, catalogue())]


def _phases(task: Task) -> list[tuple[str, str]]:
    """(phase, "done" | "now" | "") for plan, act, verify."""
    order = ["plan", "act", "verify", "done"]
    now = order.index(task.phase)
    ended_well = task.state == Task.State.COMPLETED
    return [
        (phase, "done" if place < now or ended_well else "now" if place == now else "")
        for place, phase in enumerate(order[:3])
    ]


def _used(task: Task) -> timedelta:
    if task.started_at is None:
        return timedelta()
    return (task.finished_at or timezone.now()) - task.started_at


def _steps(plan: Plan | None, actions: list[Action]) -> list[StepRow]:
    """What was done in its order, then what the plan still foresees."""
    planned = {step.tool: step.why for step in planner.STEPS}
    if plan is not None:
        planned = {step["tool"]: step["why"] for step in plan.steps}
    planned[VERIFY.tool] = VERIFY_WHY
    rows = [
        StepRow(
            title=TOOLS.get(action.tool, action.tool),
            why=planned.get(action.tool, ""),
            status=action.status,
            observation=action.observation,
            started_at=action.started_at,
            duration_ms=_length(action),
        )
        for action in actions
    ]
    taken = {action.tool for action in actions}
    rows += [
        StepRow(title=TOOLS.get(tool, tool), why=why)
        for tool, why in planned.items()
        if tool not in taken
    ]
    return rows


def _length(action: Action) -> float | None:
    if action.status == Action.Status.RUNNING:
        return (timezone.now() - action.started_at).total_seconds() * 1000
    if action.status == Action.Status.STOPPED:
        return None
    return action.duration_ms
