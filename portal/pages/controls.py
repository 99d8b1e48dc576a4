"""Control coverage: what the ledger shows for which framework, down to the very entries."""

from collections import Counter
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from agent import own_frameworks
from agent.control_documents import open_controls
from agent.coverage import PROPOSALS, Standing, standing
from agent.own_frameworks import LARGEST
from authz.decisions import may, require
from authz.errors import BadRequest
from authz.people import AsTenant
from authz.permissions import Permission
from evidence.controls import STRENGTHS, Framework, rules, strongest_possible
from evidence.models import ControlDocument, OwnFramework
from portal.http import PortalRequest
from portal.pages.documents import shown_state
from portal.pages.heat_map import Square, draw
from tenants.scope import current_tenant_id


@require_GET
def overview(request: PortalRequest) -> HttpResponse:
    """Each framework with how many controls have evidence, by its strength."""
    _require_view(request)
    now = standing(_part(request))
    tallies = Counter((row["framework"], row["strength"]) for row in now.rows)
    own = {row.framework_id for row in OwnFramework.objects.only("framework_id")}
    known = [
        {
            "framework": framework,
            "own": framework.id in own,
            "total": len(framework.controls),
            "counts": [tallies[framework.title, strength] for strength in STRENGTHS],
            "picture": _picture(framework, now),
        }
        for framework in now.known.frameworks.values()
    ]
    context = {
        "known": known,
        "strengths": STRENGTHS,
        "now": now,
        "waiting": ControlDocument.objects.filter(state=ControlDocument.State.WAITING).count(),
        "may_import": may(request.actor, Permission.FRAMEWORK_CHANGE, _tenant()),
        **_around(now),
    }
    return render(request, "controls/overview.html", context)


@require_GET
def framework(request: PortalRequest, framework_id: str) -> HttpResponse:
    """One framework, control by control, each with the entries that show it."""
    _require_view(request)
    now = standing(_part(request))
    one = now.known.frameworks.get(framework_id)
    if one is None:
        raise Http404
    wanted = request.GET.get("strength", "")
    rows = [row for row in now.rows if row["framework"] == one.title]
    own = OwnFramework.objects.filter(framework_id=framework_id).first()
    context = {
        "framework": one,
        "own": own,
        "now": now,
        "strengths": STRENGTHS,
        "wanted": wanted,
        "groups": _groups(one, now, [row for row in rows if wanted in ("", row["strength"])]),
        "shown": sum(bool(row["evidence"]) for row in rows),
        "picture": _picture(one, now),
        "may_add": may(request.actor, Permission.DOCUMENT_ADD, _tenant()),
        "may_change": own and may(request.actor, Permission.FRAMEWORK_CHANGE, _tenant()),
        **_around(now),
    }
    return render(request, "controls/framework.html", context)


@require_http_methods(["GET", "POST"])
def control(request: PortalRequest, framework_id: str, control_id: str) -> HttpResponse:
    """One control: what shows it, which documents there are. Posting says which rules show it."""
    _require_view(request)
    own = OwnFramework.objects.filter(framework_id=framework_id).first()
    if request.method == "POST":
        if own is None:
            raise Http404
        named = request.POST.getlist("rules")
        own_frameworks.say_what_shows(own, control_id, named, by=request.actor)
        messages.success(request, f"Kept: {len(named)} rules show {control_id}.")
        return redirect("control", framework_id, control_id)
    now = standing(_part(request))
    one = now.known.frameworks.get(framework_id)
    known = {line.id: line for line in one.controls} if one else {}
    if one is None or control_id not in known:
        raise Http404
    found = known[control_id]
    row = next(row for row in now.rows if (row["framework"], row["id"]) == (one.title, control_id))
    documents = [
        (document, shown_state(document))
        for document in ControlDocument.objects.order_by("-created_at")
        if found.name in document.controls
    ]
    context = {
        "framework": one,
        "control": found,
        "row": row,
        "now": now,
        "possible": strongest_possible(now.known)[found.name],
        "shown_by": [rule for rule in now.known.rules if found.name in rule.controls],
        "documents": documents,
        "may_add": found.name in open_controls()
        and may(request.actor, Permission.DOCUMENT_ADD, _tenant()),
        "own": own,
        "rules": rules(),
        "chosen": own.rules.get(control_id, []) if own else [],
        "may_change": own and may(request.actor, Permission.FRAMEWORK_CHANGE, _tenant()),
        **_around(now),
    }
    return render(request, "controls/control.html", context)


@require_http_methods(["GET", "POST"])
def bring(request: PortalRequest) -> HttpResponse:
    """A form to bring along a framework that others publish as OSCAL."""
    require(request.actor, Permission.FRAMEWORK_CHANGE, _tenant())
    errors: dict[str, str] = {}
    if request.method == "POST":
        try:
            row = _imported(request)
        except BadRequest as refusal:
            errors = refusal.errors
        else:
            messages.success(request, f"{row.title} is among your frameworks.")
            return redirect("controls-framework", row.framework_id)
    context = {"errors": errors, "typed": request.POST.get("id", ""), "largest": LARGEST}
    return render(request, "controls/import.html", context, status=422 if errors else 200)


@require_POST
def remove(request: PortalRequest, framework_id: str) -> HttpResponse:
    """Take a framework that the tenant brought along out again."""
    _require_view(request)
    row: OwnFramework = get_object_or_404(OwnFramework, framework_id=framework_id)
    own_frameworks.remove_framework(row, by=request.actor)
    messages.success(request, f"{row.title} is gone. What the log says of it stays.")
    return redirect("controls")


def _imported(request: PortalRequest) -> OwnFramework:
    files = [request.FILES.get("file"), *request.FILES.getlist("profiles")]
    if any(file and (file.size or 0) > LARGEST for file in files):
        raise BadRequest({"file": f"has more than {LARGEST >> 20} MiB"})
    contents = [file.read() for file in files if file]
    names = [file.name or "" for file in files if file]
    if files[0] is None:
        raise BadRequest({"file": "choose an OSCAL catalogue in JSON, YAML or XML"})
    wanted = request.POST.get("id", "").strip()
    return own_frameworks.import_framework(
        wanted, contents[0], contents[1:], names=names, by=request.actor
    )


def _groups(one: Framework, now: Standing, rows: list[dict[str, Any]]) -> list[dict[str, object]]:
    by_id = {row["id"]: row for row in rows}
    possible = strongest_possible(now.known)
    groups: dict[str, list[dict[str, object]]] = {}
    for line in one.controls:
        if row := by_id.get(line.id):
            also = {"name": line.name, "level": line.level, "possible": possible[line.name]}
            groups.setdefault(line.group, []).append(row | also)
    return [{"title": title, "rows": found} for title, found in groups.items()]


def _picture(one: Framework, now: Standing) -> object:
    by_id = {row["id"]: row for row in now.rows if row["framework"] == one.title}
    groups: dict[str, list[Square]] = {}
    for line in one.controls:
        row = by_id[line.id]
        strength = STRENGTHS.index(row["strength"])
        title = f"{line.id}: {row['strength']}"
        groups.setdefault(line.group, []).append(Square(line.id, strength, title))
    shown = sum(bool(row["evidence"]) for row in by_id.values())
    said = f"{shown} of {len(by_id)} controls of {one.title} have evidence"
    return draw(list(groups.items()), one.id, said)


def _around(now: Standing) -> dict[str, object]:
    """Which proposals are looked at, and how to get to the others."""
    first = (now.part - 1) * PROPOSALS + 1
    return {
        "first": first,
        "last": first + now.proposals - 1,
        "newer": now.part - 1 if now.part > 1 else None,
        "older": now.part + 1 if now.part < now.parts else None,
    }


def _part(request: PortalRequest) -> int:
    text = request.GET.get("part", "")
    return int(text) if text.isdecimal() and len(text) < 9 else 1


def _tenant() -> AsTenant:
    return AsTenant(current_tenant_id())


def _require_view(request: PortalRequest) -> None:
    require(request.actor, Permission.LEDGER_VIEW, _tenant())
