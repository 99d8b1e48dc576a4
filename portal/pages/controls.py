"""Control coverage: what the ledger shows for which framework, down to the very entries."""

from collections import Counter

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from agent.coverage import standing
from authz.decisions import require
from authz.people import AsTenant
from authz.permissions import Permission
from evidence.controls import STRENGTHS, Framework, frameworks, strongest_possible
from portal.http import PortalRequest
from tenants.scope import current_tenant_id


@require_GET
def overview(request: PortalRequest) -> HttpResponse:
    """Each framework with how many controls have evidence, by its strength."""
    _require_view(request)
    now = standing()
    tallies = Counter((row["framework"], row["strength"]) for row in now.rows)
    known = [
        {
            "framework": framework,
            "total": len(framework.controls),
            "counts": [tallies[framework.title, strength] for strength in STRENGTHS],
        }
        for framework in frameworks().values()
    ]
    context = {"known": known, "strengths": STRENGTHS, "now": now}
    return render(request, "controls/overview.html", context)


@require_GET
def framework(request: PortalRequest, framework_id: str) -> HttpResponse:
    """One framework, control by control, each with the entries that show it."""
    _require_view(request)
    one = frameworks().get(framework_id)
    if one is None:
        raise Http404
    now = standing()
    wanted = request.GET.get("strength", "")
    rows = [row for row in now.rows if row["framework"] == one.title]
    context = {
        "framework": one,
        "now": now,
        "strengths": STRENGTHS,
        "wanted": wanted,
        "groups": _groups(one, [row for row in rows if wanted in ("", row["strength"])]),
        "shown": sum(bool(row["evidence"]) for row in rows),
    }
    return render(request, "controls/framework.html", context)


def _groups(one: Framework, rows: list[dict[str, object]]) -> list[dict[str, object]]:
    by_id = {row["id"]: row for row in rows}
    possible = strongest_possible()
    groups: dict[str, list[dict[str, object]]] = {}
    for control in one.controls:
        if row := by_id.get(control.id):
            also = {"level": control.level, "possible": possible[control.name]}
            groups.setdefault(control.group, []).append(row | also)
    return [{"title": title, "rows": found} for title, found in groups.items()]


def _require_view(request: PortalRequest) -> None:
    require(request.actor, Permission.LEDGER_VIEW, AsTenant(current_tenant_id()))
