"""The log's heads over time, who cosigned them; witnesses, quorum, and how long facts are kept."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from authz import retention
from authz.decisions import may, require
from authz.errors import BadRequest
from authz.people import AsTenant
from authz.permissions import Permission
from evidence import history, witnessing
from evidence.models import Checkpoint, Cosignature, LogKey, Retention
from evidence.signing import VerifierKey
from portal.http import PortalRequest
from portal.pages import words
from portal.pages.log_pictures import Mark, growth
from tenants.scope import current_tenant_id

ROWS = 25


@require_GET
def heads(request: PortalRequest) -> HttpResponse:
    """Every signed head, newest first, with the log's growth as a picture."""
    require(request.actor, Permission.LEDGER_VIEW, _tenant())
    asked = witnessing.witnesses()
    points = history.points(asked, settings.WITNESS_QUORUM)
    changes, missing = history.key_changes(), history.gaps()
    marks = [
        Mark("key", key.created_at, f"another key signs from entry {key.valid_from:,} on")
        for key in changes
    ] + [Mark("gap", entry.recorded_at, f"gap, entry {entry.index:,}") for entry in missing]
    signed = sum(point.heads for point in points)
    cosigned = sum(point.cosigned for point in points)
    said = f"{signed} signed heads, {cosigned} of them cosigned by the quorum"
    page = Paginator(Checkpoint.objects.order_by("-size"), ROWS).get_page(request.GET.get("page"))
    context = {
        "picture": growth(points, marks, said),
        "said": said,
        "page": page,
        "rows": _rows(list(page), {witness.key.name for witness in asked}),
        "keys": [
            (key, VerifierKey.parse(key.vkey).key_id)
            for key in LogKey.objects.order_by("-valid_from")
        ],
        "gaps": [(entry, words.done(entry.action, entry.object_type)) for entry in missing],
        "quorum": settings.WITNESS_QUORUM,
        "witnesses": asked,
    }
    return render(request, "ledger/heads.html", context)


@require_http_methods(["GET", "POST"])
def keeping(request: PortalRequest) -> HttpResponse:
    """Who witnesses the log, and for how long facts are kept. Posting changes the latter."""
    require(request.actor, Permission.LEDGER_VIEW, _tenant())
    errors: dict[str, str] = {}
    if request.method == "POST":
        try:
            _keep(request)
        except BadRequest as refusal:
            errors = refusal.errors
        else:
            messages.success(request, "Kept. What is older goes within the hour.")
            return redirect("log-keeping")
    head = history.newest_head()
    context: dict[str, Any] = {
        "witnesses": history.last_seen(witnessing.witnesses()),
        "quorum": settings.WITNESS_QUORUM,
        "head": head,
        "state": witnessing.state_of(head) if head else "",
        "days": retention.days_kept(),
        "set_at": Retention.objects.values_list("set_at", flat=True).first(),
        "least": Retention.LEAST_DAYS,
        "typed": request.POST,
        "errors": errors,
        "may_change": may(request.actor, Permission.RETENTION_CHANGE, _tenant()),
    }
    return render(request, "settings/log_keeping.html", context, status=422 if errors else 200)


def _keep(request: PortalRequest) -> None:
    text = request.POST.get("days", "").strip()
    if not text.isdecimal() or len(text) > 6:
        raise BadRequest({"days": f"is {text or 'empty'}; expected a number of days, such as 730"})
    reason = request.POST.get("reason", "").replace("\0", "").strip()
    retention.keep_for(int(text), reason, by=request.actor)


def _rows(page: list[Checkpoint], asked: set[str]) -> list[tuple[Checkpoint, list[str], str]]:
    """Heads with the witnesses that cosigned each, and LOCAL or WITNESSED."""
    found: dict[int, list[str]] = {}
    lines = Cosignature.objects.filter(size__in=[head.size for head in page], witness__in=asked)
    for size, name in lines.order_by("witness").values_list("size", "witness"):
        found.setdefault(size, []).append(name)
    quorum = settings.WITNESS_QUORUM
    return [
        (
            head,
            names,
            witnessing.WITNESSED if quorum and len(names) >= quorum else witnessing.LOCAL,
        )
        for head in page
        for names in [found.get(head.size, [])]
    ]


def _tenant() -> AsTenant:
    return AsTenant(current_tenant_id())
