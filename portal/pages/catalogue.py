"""The catalogue: technologies with their facts, what the tenant adds, refreshes, how good it is."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from agent import catalogue_sources, own_catalogue
from agent.models import CatalogueEntry, CatalogueRefresh
from agent.places import catalogue
from agent.recommender import lint
from agent.recommender.catalogue import KINDS, Catalogue, Technology
from authz.decisions import may, require
from authz.errors import BadRequest
from authz.people import AsTenant
from authz.permissions import Permission
from portal.http import PortalRequest
from tenants.scope import current_tenant_id

ROWS = 30
VERDICTS = {"approved": "Approved", "to_be_retired": "To be retired", "banned": "Banned"}
# Attributes by what they are about, as the page groups them.
GROUPS = (
    (
        "Licence and hosting",
        ("license", "hosting.", "vendor", "repository", "offerings", "compliance."),
    ),
    ("Support and releases", ("latest_", "supported_", "median_", "has_lts", "final_releases")),
    ("What it can do", ("capability.",)),
    ("Supply chain", ("assurance.", "advisories", "scorecard", "direct_runtime", "published_")),
    ("Judgement", ("operations_burden", "lock_in", "cost_level", "standing", "size_")),
)


@require_GET
def listing(request: PortalRequest) -> HttpResponse:
    """Search and filter all technologies; the address says by what."""
    _require_view(request)
    known = catalogue()
    words = request.GET.get("q", "").replace("\0", "").strip()[:80]
    layer, verdict = request.GET.get("layer", ""), request.GET.get("standard", "")
    rows = [
        tech
        for tech in known.technologies.values()
        if (not layer or layer in tech.layers)
        and (not verdict or _verdict(known, tech) == verdict)
        and _answers(tech, words)
    ]
    meant = known.find(words) if words else None
    if meant is not None and meant not in rows:
        rows.insert(0, meant)
    rows.sort(key=lambda tech: (tech is not meant, tech.name.casefold()))
    page = Paginator(rows, ROWS).get_page(request.GET.get("page"))
    titles = {one.id: one.title for one in known.layers}
    context = {
        "page": page,
        "shown": [
            {
                "technology": tech,
                "layers": [titles[one] for one in tech.layers],
                "licence": tech.facts["license"],
                "standard": VERDICTS.get(_verdict(known, tech), ""),
            }
            for tech in page
        ],
        "q": words,
        "layer": layer,
        "standard": verdict,
        "layers": known.layers,
        "verdicts": VERDICTS,
        "near": known.suggestions(words) if words and not rows else [],
        "known": known,
        "waiting": CatalogueRefresh.objects.filter(state="open").count(),
        "may_change": may(request.actor, Permission.CATALOGUE_CHANGE, _tenant()),
    }
    return render(request, "catalogue/list.html", context)


@require_http_methods(["GET", "POST"])
def technology(request: PortalRequest, technology_id: str) -> HttpResponse:
    """One technology: every fact with source, age and grade.

    Posting adds a fact or a standard, or takes back what the tenant added.
    """
    _require_view(request)
    found = catalogue().technologies.get(technology_id)
    if found is None:
        raise Http404
    errors: dict[str, str] = {}
    if request.method == "POST":
        try:
            if "remove" in request.POST:
                return _removed(request, found)
            if "verdict" in request.POST:
                own_catalogue.set_standard(technology_id, request.POST.dict(), by=request.actor)
                messages.success(request, f"The standard for {found.name} is kept.")
            else:
                own_catalogue.add_fact(technology_id, request.POST.dict(), by=request.actor)
                messages.success(request, "Your fact is kept, with grade J.")
            return redirect("technology", technology_id)
        except BadRequest as refusal:
            errors = refusal.errors
    return _technology_page(request, catalogue(), found, errors)


@require_http_methods(["GET", "POST"])
def new_technology(request: PortalRequest) -> HttpResponse:
    """A form for a technology of the tenant's own."""
    require(request.actor, Permission.CATALOGUE_CHANGE, _tenant())
    errors: dict[str, str] = {}
    if request.method == "POST":
        fields = {**request.POST.dict(), "layers": request.POST.getlist("layers")}
        try:
            entry = own_catalogue.add_technology(fields, by=request.actor)
        except BadRequest as refusal:
            errors = refusal.errors
        else:
            messages.success(request, "The technology is in your catalogue.")
            return redirect("technology", entry.technology)
    context = {
        "typed": request.POST,
        "chosen": request.POST.getlist("layers"),
        "errors": errors,
        "kinds": KINDS,
        "layers": catalogue().layers,
    }
    return render(request, "catalogue/new.html", context)


@require_GET
def quality(request: PortalRequest) -> HttpResponse:
    """What is thin, old or contradictory."""
    _require_view(request)
    known = catalogue()
    today = timezone.now().date()
    found = lint.report(known, today)
    context = {
        "report": found,
        "grades": [(grade, known.grades[grade], count) for grade, count in found.grades.items()],
        "share": found.within_ttl * 100,
        "snapshots": [(one, (today - one.as_of).days) for one in found.snapshots],
        "due": list(found.due_by.items())[:12],
        "known": known,
    }
    return render(request, "catalogue/quality.html", context)


@require_GET
def refreshes(request: PortalRequest) -> HttpResponse:
    """What sources said anew, newest first."""
    _require_view(request)
    page = Paginator(CatalogueRefresh.objects.defer("document"), ROWS).get_page(
        request.GET.get("page")
    )
    return render(request, "catalogue/refreshes.html", {"page": page})


@require_GET
def sources(request: PortalRequest) -> HttpResponse:
    """Where facts are read from anew, and how that went. htmx fetches the part that moves."""
    _require_view(request)
    context = _sources_context(request, {}, "")
    template = "catalogue/sources.html" + ("#standing" if request.htmx else "")
    return render(request, template, context)


@require_POST
def source(request: PortalRequest, connector: str) -> HttpResponse:
    """Set one source up."""
    _require_view(request)
    found = _source(connector)
    fields = {**request.POST.dict(), "is_on": "is_on" in request.POST}
    try:
        catalogue_sources.alter(connector, fields, by=request.actor)
    except BadRequest as refusal:
        context = _sources_context(request, refusal.errors, connector)
        return render(request, "catalogue/sources.html", context, status=400)
    messages.success(request, f"{found.connector.title} is set up.")
    return redirect("catalogue-sources")


@require_POST
def refresh_source(request: PortalRequest, connector: str) -> HttpResponse:
    """Have one source read anew."""
    _require_view(request)
    found = _source(connector)
    catalogue_sources.ask_for_refresh(connector, by=request.actor)
    messages.success(request, f"{found.connector.title} is being read.")
    return redirect("catalogue-sources")


def _source(connector: str) -> catalogue_sources.Source:
    found = catalogue_sources.source(connector)
    if found is None:
        raise Http404
    return found


def _sources_context(request: PortalRequest, errors: Any, wrong: str) -> dict[str, Any]:
    """errors: of the form of the source `wrong`, which then shows again what was typed."""
    today = timezone.now().date()
    found = catalogue_sources.sources()
    return {
        "sources": [
            {
                "source": one,
                "days": (today - one.as_of).days if one.as_of else None,
                "typed": request.POST if one.name == wrong else None,
                "errors": errors if one.name == wrong else {},
            }
            for one in found
        ],
        "unfinished": any(one.is_unfinished for one in found),
        "rhythms": catalogue_sources.EVERY_DAYS.items(),
        "may_change": may(request.actor, Permission.CATALOGUE_CHANGE, _tenant()),
        "may_refresh": may(request.actor, Permission.CATALOGUE_REFRESH, _tenant()),
    }


@require_http_methods(["GET", "POST"])
def refresh(request: PortalRequest, refresh_id: UUID) -> HttpResponse:
    """What one refresh would change; posting lets it in or not."""
    _require_view(request)
    found: CatalogueRefresh = get_object_or_404(CatalogueRefresh, pk=refresh_id)
    errors: dict[str, str] = {}
    if request.method == "POST":
        try:
            return _decided(request, found)
        except BadRequest as refusal:
            errors = refusal.errors
    context = {
        "refresh": found,
        "kinds": [
            (title, found.difference[key], found.difference[f"{key}_altogether"])
            for key, title in (("changed", "Changed"), ("added", "New"), ("removed", "Gone"))
        ],
        "errors": errors,
        "may_decide": found.state == "open"
        and may(request.actor, Permission.CATALOGUE_APPROVE, found),
    }
    return render(request, "catalogue/refresh.html", context)


def _decided(request: PortalRequest, found: CatalogueRefresh) -> HttpResponse:
    match request.POST.get("answer", ""):
        case "accept":
            own_catalogue.accept_refresh(found, request.POST.get("digest", ""), by=request.actor)
            messages.success(request, "Countersigned: the catalogue has the new facts.")
        case "reject":
            own_catalogue.reject_refresh(found, request.POST.get("why", ""), by=request.actor)
            messages.success(request, "Refused: the catalogue stays as it is.")
        case _:
            raise BadRequest({"answer": "expected accept or reject"})
    return redirect("catalogue-refreshes")


def _removed(request: PortalRequest, found: Technology) -> HttpResponse:
    """Take out the fact that the button names, or with an empty name the whole technology."""
    attribute = request.POST["remove"]
    if attribute:
        own_catalogue.remove_fact(found.id, attribute, by=request.actor)
        messages.success(request, "Your fact is gone; the ledger keeps that it was there.")
        return redirect("technology", found.id)
    own_catalogue.remove_technology(found.id, by=request.actor)
    messages.success(request, f"{found.name} is out of your catalogue.")
    return redirect("catalogue")


def _technology_page(
    request: PortalRequest, known: Catalogue, found: Technology, errors: dict[str, str]
) -> HttpResponse:
    today = timezone.now().date()
    titles = {layer.id: layer.title for layer in known.layers}
    context: dict[str, Any] = {
        "technology": found,
        "layers": [titles[one] for one in found.layers],
        "groups": _grouped(found, today),
        "rules": known.rules_of(found.id),
        "standard": known.standards.get(found.id),
        "standard_words": VERDICTS.get(_verdict(known, found), ""),
        "verdicts": VERDICTS,
        "own_facts": CatalogueEntry.objects.filter(
            technology=found.id, kind=CatalogueEntry.Kind.FACT
        ),
        "disagreements": [
            (kept, other) for kept, other in known.disagreements if kept.technology == found.id
        ],
        "errors": errors,
        "typed": request.POST,
        "today": today,
        "may_change": may(request.actor, Permission.CATALOGUE_CHANGE, _tenant()),
    }
    return render(request, "catalogue/technology.html", context, status=400 if errors else 200)


def _grouped(found: Technology, today: Any) -> list[tuple[str, list[dict[str, Any]]]]:
    """Facts under headings: those with a value first, then what nobody has read."""
    left = dict(found.facts)
    groups = []
    for title, prefixes in GROUPS:
        names = [name for name in left if name.startswith(prefixes)]
        if names:
            groups.append((title, [_shown(left.pop(name), today) for name in names]))
    groups.append(("About", [_shown(fact, today) for fact in left.values()]))
    for _, rows in groups:
        rows.sort(key=lambda row: (row["fact"].state != "known", row["fact"].label))
    return groups


def _shown(fact: Any, today: Any) -> dict[str, Any]:
    age = "too old to count" if fact.is_stale(today) else "due" if fact.is_due(today) else ""
    return {"fact": fact, "age": age if fact.state == "known" else ""}


def _answers(found: Technology, words: str) -> bool:
    text = " ".join((found.id, found.name, found.vendor, *found.aliases)).casefold()
    return all(word in text for word in words.casefold().split())


def _verdict(known: Catalogue, found: Technology) -> str:
    standard = known.standards.get(found.id)
    return standard.verdict if standard else ""


def _tenant() -> AsTenant:
    return AsTenant(current_tenant_id())


def _require_view(request: PortalRequest) -> None:
    seen = own_catalogue.CatalogueAsSeen(request.actor)
    require(request.actor, Permission.CATALOGUE_VIEW, seen)
