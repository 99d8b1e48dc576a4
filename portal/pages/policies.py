"""The policies: what holds, what is proposed, an editor that tries a text on past decisions."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from authz import cedar, policy_versions
from authz.decisions import may, require
from authz.errors import BadRequest
from authz.hindsight import DAYS, MOST, hindsight
from authz.in_force import active_policies, active_version
from authz.models import PolicyVersion
from authz.people import AsTenant
from authz.permissions import Permission
from portal.http import PortalRequest
from portal.pages import lists, words
from tenants.scope import current_tenant_id

COLUMNS = {"version": "number", "state": "state", "when": "created_at"}
SHOWN = 20  # decisions that would have come out otherwise


@require_GET
def listing(request: PortalRequest) -> HttpResponse:
    """What holds now, what waits for a second admin, every version so far."""
    tenant = _require_view(request)
    rows = policy_versions.versions().defer("text")
    active = active_version()
    in_force = active_policies()
    # The base policy stops nothing: it says that the others may.
    rules = [one for one in in_force.rules.values() if one.id != cedar.BASE]
    context = lists.page_of(request, rows, COLUMNS, first="-version") | {
        "active": active,
        "own": _stopping(one for one in rules if one.id.startswith("tenant:")),
        "problem": in_force.problem,
        "digest": in_force.digest,
        "envelope": _stopping(one for one in rules if not one.id.startswith("tenant:")),
        "waiting": rows.filter(state=PolicyVersion.State.PROPOSED),
        "may_change": may(request.actor, Permission.POLICY_CHANGE, tenant),
        "may_restore": active is not None
        and not policy_versions.why_not_back(active)
        and may(request.actor, Permission.POLICY_RESTORE, active),
    }
    return render(request, "settings/policies.html", context)


@require_http_methods(["GET", "POST"])
def edit(request: PortalRequest) -> HttpResponse:
    """The editor. Posting checks the text and shows what it would have changed, or proposes it.

    ?from=<version> starts with the text of an earlier version, to propose it again.
    """
    require(request.actor, Permission.POLICY_CHANGE, AsTenant(current_tenant_id()))
    if request.method == "GET":
        return _editor(request, _first_text(request), "")
    # What the database cannot hold is shown as a fault with its line, not swallowed.
    text = policy_versions.as_stored(request.POST.get("text", ""))
    note = request.POST.get("note", "").replace("\0", "")
    if "propose" not in request.POST:
        return _editor(request, text, note, checked=True)
    try:
        version = policy_versions.propose(text, note, by=request.actor)
    except BadRequest as refusal:
        return _editor(request, text, note, errors=refusal.errors)
    messages.success(
        request, f"Version {version.number} is proposed; it holds once another admin approves it."
    )
    return redirect("policy-version", version.pk)


@require_GET
def version(request: PortalRequest, version_id: UUID) -> HttpResponse:
    """One version: its text, what it would have changed, the buttons to decide about it."""
    _require_view(request)
    found: PolicyVersion = get_object_or_404(policy_versions.versions(), pk=version_id)
    return _version_page(request, found)


@require_POST
def decide(request: PortalRequest, version_id: UUID) -> HttpResponse:
    """Approve, refuse or take back a proposal; go back from the version in force."""
    _require_view(request)
    found: PolicyVersion = get_object_or_404(policy_versions.versions(), pk=version_id)
    match request.POST.get("answer", ""):
        case "approve":
            policy_versions.approve(found, request.POST.get("digest", ""), by=request.actor)
            said = f"Version {found.number} holds from now on."
        case "refuse":
            try:
                policy_versions.refuse(found, request.POST.get("why", ""), by=request.actor)
            except BadRequest as refusal:
                return _version_page(request, found, refusal.errors)
            said = f"Version {found.number} is refused."
        case "withdraw":
            policy_versions.withdraw(found, by=request.actor)
            said = f"Version {found.number} is taken back."
        case "restore":
            policy_versions.restore_previous(found, by=request.actor)
            before = found.replaces
            said = f"Version {before.number} holds again." if before else "No rules of yours hold."
        case _:
            raise BadRequest({"answer": "expected approve, refuse, withdraw or restore"})
    messages.success(request, said)
    return redirect("policies")


def _require_view(request: PortalRequest) -> AsTenant:
    """Whoever reads the audit log may read by which rules its decisions were made."""
    tenant = AsTenant(current_tenant_id())
    if not may(request.actor, Permission.LEDGER_VIEW, tenant):
        require(request.actor, Permission.POLICY_CHANGE, tenant)
    return tenant


def _first_text(request: PortalRequest) -> str:
    wanted = request.GET.get("from", "")
    try:
        earlier = get_object_or_404(PolicyVersion, pk=UUID(wanted)) if wanted else active_version()
    except ValueError:
        earlier = active_version()
    return earlier.text if earlier else cedar.EXAMPLES


def _editor(
    request: PortalRequest,
    text: str,
    note: str,
    *,
    checked: bool = False,
    errors: dict[str, str] | None = None,
) -> HttpResponse:
    faults = cedar.check(text) if checked or errors else []
    context: dict[str, Any] = {
        "text": text,
        "note": note,
        "checked": checked,
        "faults": faults,
        "lines": _numbered(text, faults) if faults else [],
        "errors": errors or {},
        "active": active_version(),
        "schema": cedar.SCHEMA,
        "examples": cedar.EXAMPLES,
    }
    if checked and not faults:
        context["rules"] = _stopping(cedar.rules_of(text))
        context |= _tried(text)
    return render(
        request, "settings/policy_edit.html", context, status=422 if errors or faults else 200
    )


def _version_page(
    request: PortalRequest, found: PolicyVersion, errors: dict[str, str] | None = None
) -> HttpResponse:
    active = active_version()
    proposed = found.state == PolicyVersion.State.PROPOSED
    mine = found.requester_id == request.actor.id
    outdated = proposed and found.replaces_id != (active.pk if active else None)
    faults = cedar.check(found.text)
    context: dict[str, Any] = {
        "version": found,
        "rules": [] if faults else _stopping(cedar.rules_of(found.text)),
        "lines": _numbered(found.text, faults),
        "faults": faults,
        "outdated": outdated,
        "errors": errors or {},
        "mine": mine,
        "may_decide": proposed and may(request.actor, Permission.POLICY_APPROVE, found),
        "may_change": may(request.actor, Permission.POLICY_CHANGE, AsTenant(current_tenant_id())),
        "may_restore": not policy_versions.why_not_back(found)
        and may(request.actor, Permission.POLICY_RESTORE, found),
        "why_not_back": policy_versions.why_not_back(found),
    }
    if proposed and not faults:
        context |= _tried(found.text)
    return render(request, "settings/policy.html", context, status=422 if errors else 200)


def _tried(text: str) -> dict[str, Any]:
    """What a text would have changed, for a template."""
    found = hindsight(cedar.with_tenant(text))

    def rows(those: list[Any]) -> list[tuple[Any, str, str]]:
        return [
            (decided, words.may_do(decided.permission), "; ".join(judgement.reasons))
            for decided, judgement in those[:SHOWN]
        ]

    return {
        "found": found,
        "stopped": rows(found.stopped),
        "let_through": rows(found.let_through),
        "days": DAYS,
        "most": MOST,
    }


def _numbered(text: str, faults: list[cedar.Fault]) -> list[tuple[int, str, list[str]]]:
    """The lines of a text with their numbers and what is wrong with each."""
    said: dict[int, list[str]] = {}
    for fault in faults:
        said.setdefault(fault.line, []).append(fault.said)
    lines = text.split("\n") if text else [""]
    return [(number, line, said.get(number, [])) for number, line in enumerate(lines, start=1)]


def _stopping(rules: Iterable[cedar.Rule]) -> list[tuple[cedar.Rule, list[str]]]:
    """Rules, each with what it can stop in plain words."""
    return [(rule, sorted(words.may_do(permission) for permission in rule.about)) for rule in rules]
