"""Language models: who is asked, for what, at which price, within which limits; what they cost."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from agent import model_setup
from agent.gateway import limits
from agent.models import ModelProvider, ModelRules, OfferedModel
from agent.spending import Row, as_csv, spending
from authz.decisions import may, require
from authz.errors import BadRequest
from authz.people import AsTenant
from authz.permissions import Permission
from portal.http import PortalRequest
from tenants.scope import current_tenant_id

PROTOCOLS = (
    ("openai", "OpenAI"),
    ("anthropic", "Anthropic"),
    ("compatible", "A server that speaks like OpenAI’s (vLLM, llama.cpp, Ollama, others)"),
)
REGIONS = (
    ("own", "A server of our own"),
    ("eu", "European Union"),
    ("uk", "United Kingdom"),
    ("us", "United States"),
    ("other", "Somewhere else"),
)
CLASSES = (("public", "Public"), ("internal", "Internal"), ("confidential", "Confidential"))
SIZES = (("small", "Small: asked first"), ("large", "Large: asked when a small one fails"))
LIMITS = (
    ("tenant_month_usd", "Everybody, a month", "USD"),
    ("person_day_usd", "One person, a day", "USD"),
    ("task_usd", "One task", "USD"),
    ("tenant_month_tokens", "Everybody, a month", "tokens"),
    ("person_day_tokens", "One person, a day", "tokens"),
    ("task_tokens", "One task", "tokens"),
)
PERIODS = (7, 30, 90)  # days that the page about costs can show
GROUPS = (
    ("project", "By project", "No project"),
    ("task", "By task", "No task"),
    ("person", "By person", ""),
    ("model", "By model", ""),
    ("purpose", "By purpose", ""),
)
PURPOSES = {"repair": "Repairs", "brief": "Reading briefs", "test": "Tests by admins"}


@require_http_methods(["GET", "POST"])
def listing(request: PortalRequest) -> HttpResponse:
    """Providers with their models, and the rules. Posting adds a provider."""
    _require(request)
    if request.method == "GET":
        return _page(request)
    typed = _provider_typed(request)
    try:
        added = model_setup.add_provider(typed, by=request.actor)
    except BadRequest as refusal:
        return _page(request, typed=typed, errors=refusal.errors)
    messages.success(request, f"{added.name} is added. Name a model of it, then test it.")
    return redirect("model-provider", added.pk)


@require_POST
def rules(request: PortalRequest) -> HttpResponse:
    """Say what may be sent where, and how much may be spent."""
    _require(request)
    typed: dict[str, Any] = {name: request.POST.get(name, "") for name, _, _ in LIMITS}
    typed |= {name: request.POST.get(name, "") for name in ("code_class", "brief_class")}
    typed |= {name: name in request.POST for name in ("for_repairs", "for_briefs")}
    typed["regions"] = request.POST.getlist("regions")
    typed["keep_hours"] = request.POST.get("keep_hours", "")
    try:
        model_setup.change_rules(typed, by=request.actor)
    except BadRequest as refusal:
        return _page(request, rules_typed=typed, rules_errors=refusal.errors)
    messages.success(request, "The rules are changed and hold from now on.")
    return redirect("models")


@require_http_methods(["GET", "POST"])
def provider(request: PortalRequest, model_provider_id: UUID) -> HttpResponse:
    """One provider with its models. Posting changes what is known of it."""
    _require(request)
    known = _found(model_provider_id)
    if request.method == "GET":
        return _provider_page(request, known)
    typed = _provider_typed(request)
    try:
        model_setup.alter_provider(known, typed, by=request.actor)
    except BadRequest as refusal:
        return _provider_page(request, known, typed=typed, errors=refusal.errors)
    messages.success(request, f"{typed['name']} is changed.")
    return redirect("model-provider", known.pk)


@require_POST
def remove_provider(request: PortalRequest, model_provider_id: UUID) -> HttpResponse:
    """Ask it no more; forget its key."""
    _require(request)
    known = _found(model_provider_id)
    model_setup.remove_provider(known, by=request.actor)
    messages.success(request, f"{known.name} is removed with its key. Its cost stays on record.")
    return redirect("models")


@require_POST
def test(request: PortalRequest, model_provider_id: UUID) -> HttpResponse:
    """Have each of its models asked for a word."""
    _require(request)
    known = _found(model_provider_id)
    try:
        model_setup.ask_for_test(known, by=request.actor)
    except BadRequest as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, "The models are being asked. The answer is here within a minute.")
    return redirect("model-provider", known.pk)


@require_POST
def put_model(request: PortalRequest, model_provider_id: UUID) -> HttpResponse:
    """Offer a model of this provider, or change one (field `model`)."""
    _require(request)
    known = _found(model_provider_id)
    typed = {name: request.POST.get(name, "") for name in model_setup.OF_MODEL}
    changed = request.POST.get("model", "")
    model_id = next((row.pk for row in known.offered.all() if str(row.pk) == changed), None)
    try:
        model = model_setup.put_model(known, typed, by=request.actor, model_id=model_id)
    except BadRequest as refusal:
        return _provider_page(
            request, known, model_typed=typed, model_errors=refusal.errors, model_id=model_id
        )
    messages.success(request, f"{model.name} is set, at the prices of {model.price_on}.")
    return redirect("model-provider", known.pk)


@require_POST
def remove_model(request: PortalRequest, model_provider_id: UUID, model_id: UUID) -> HttpResponse:
    """Ask this model no more."""
    _require(request)
    known = _found(model_provider_id)
    model = get_object_or_404(OfferedModel, pk=model_id, provider=known)
    model_setup.remove_model(known, model.pk, by=request.actor)
    messages.success(request, f"{model.name} is asked no more.")
    return redirect("model-provider", known.pk)


@require_GET
def spend(request: PortalRequest) -> HttpResponse:
    """What models cost, by day, project, task, person, model, purpose."""
    days = _days(request)
    found = spending(request.actor, days=days)
    groups = [
        (title, _named(name, found.groups[name], nothing), name == "task")
        for name, title, nothing in GROUPS
    ]
    tenant = AsTenant(current_tenant_id())
    context = {
        "found": found,
        "days": days,
        "periods": PERIODS,
        "groups": groups,
        "chart": draw(found.days),
        "dearest": max(usd for _, usd in found.days),
        "limit": found.rules.tenant_month_usd,
        "may_set_up": may(request.actor, Permission.MODELS_CHANGE, tenant),
    }
    return render(request, "models/spend.html", context)


@require_GET
def spend_csv(request: PortalRequest) -> HttpResponse:
    """The same as CSV."""
    return HttpResponse(
        as_csv(spending(request.actor, days=_days(request))),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="model-costs.csv"'},
    )


def _days(request: PortalRequest) -> int:
    asked = request.GET.get("days", "")
    return int(asked) if asked.isdecimal() and int(asked) in PERIODS else 30


def draw(days: Sequence[tuple[date, Decimal]]) -> SafeString:
    """A bar for each day, as an SVG; empty when nothing was spent."""
    most = max((usd for _, usd in days), default=Decimal(0))
    if not most:
        return SafeString("")
    height, wide = 100, 720 / len(days)
    bars = []
    for n, (day, usd) in enumerate(days):
        tall = round(max(float(usd / most) * height, 1 if usd else 0), 2)
        words = f"{day}: {usd:.4f} US dollars"
        bars.append(
            (
                round(n * wide + wide * 0.1, 2),
                round(height - tall, 2),
                round(wide * 0.8, 2),
                tall,
                words,
            )
        )
    return format_html(
        '<svg class="chart" viewBox="0 0 720 {0}" preserveAspectRatio="none" role="img"'
        ' aria-label="US dollars a day from {1} to {2}; the table below has the same">{3}</svg>',
        height,
        days[0][0],
        days[-1][0],
        format_html_join(
            "",
            '<rect x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>',
            bars,
        ),
    )


def _named(group: str, rows: Sequence[Row], nothing: str) -> list[tuple[Row, str]]:
    if group == "purpose":
        return [(row, PURPOSES.get(row.name, row.name)) for row in rows]
    return [(row, row.name or nothing) for row in rows]


def _require(request: PortalRequest) -> None:
    require(request.actor, Permission.MODELS_CHANGE, AsTenant(current_tenant_id()))


def _found(provider_id: UUID) -> ModelProvider:
    found: ModelProvider = get_object_or_404(model_setup.providers(), pk=provider_id)
    return found


def _provider_typed(request: PortalRequest) -> dict[str, Any]:
    names = ("name", "protocol", "address", "key", "trusted", "region", "data_class", "position")
    return {name: request.POST.get(name, "") for name in names} | {"is_on": "is_on" in request.POST}


def _page(
    request: PortalRequest,
    *,
    typed: dict[str, Any] | None = None,
    errors: dict[str, str] | None = None,
    rules_typed: dict[str, Any] | None = None,
    rules_errors: dict[str, str] | None = None,
) -> HttpResponse:
    held = limits.rules()
    said = rules_typed or {name: getattr(held, name) for name in model_setup.OF_RULES}
    wrong = rules_errors or {}
    context = {
        "providers": [(one, _state(one)) for one in model_setup.providers()],
        "typed": _without_key(typed or {"position": 1, "data_class": "internal", "region": "eu"}),
        "errors": errors or {},
        "rules": said,
        "rules_errors": wrong,
        "rules_kept": not ModelRules.objects.exists(),
        "limits": [(n, words, unit, said[n], wrong.get(n, "")) for n, words, unit in LIMITS],
        "uses": (
            ("for_repairs", "code_class", "Repairs", "Files of the program and of its tests go out",
             said["for_repairs"], said["code_class"]),
            ("for_briefs", "brief_class", "Reading briefs", "The pasted text goes out",
             said["for_briefs"], said["brief_class"]),
        ),
        **_choices(),
    }  # fmt: skip
    return render(
        request, "models/list.html", context, status=422 if errors or rules_errors else 200
    )


def _provider_page(
    request: PortalRequest,
    known: ModelProvider,
    *,
    typed: dict[str, Any] | None = None,
    errors: dict[str, str] | None = None,
    model_typed: dict[str, Any] | None = None,
    model_errors: dict[str, str] | None = None,
    model_id: UUID | None = None,
) -> HttpResponse:
    said = typed or {name: getattr(known, name) for name in model_setup.OF_PROVIDER}
    models = list(known.offered.all())
    if model_typed is None:
        chosen = next((one for one in models if str(one.pk) == request.GET.get("model")), None)
        model_id = chosen.pk if chosen else None
        model_typed = {
            name: getattr(chosen, name) if chosen else "" for name in model_setup.OF_MODEL
        }
        if not chosen:
            model_typed |= {"price_on": timezone.now().date(), "most_in": 32_000, "most_out": 4_000}
    context = {
        "provider": known,
        "state": _state(known),
        "typed": _without_key(said),
        "errors": errors or {},
        "models": models,
        "model_typed": model_typed,
        "model_errors": model_errors or {},
        "model_id": model_id,
        "sizes": SIZES,
        **_choices(),
    }
    status = 422 if errors or model_errors else 200
    return render(request, "models/provider.html", context, status=status)


def _without_key(said: dict[str, Any]) -> dict[str, Any]:
    """What a form shows again: never a key."""
    return {name: value for name, value in said.items() if name != "key"}


def _choices() -> dict[str, Any]:
    return {"protocols": PROTOCOLS, "regions": REGIONS, "classes": CLASSES}


def _state(provider: ModelProvider) -> str:
    if not provider.is_on:
        return "off"
    resting = provider.open_until is not None and provider.open_until > timezone.now()
    return "resting" if resting else "on"
