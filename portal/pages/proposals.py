"""Reading a proposal, then countersigning or rejecting it."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import structlog
from django.core.cache import cache
from django.db.models import Q
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST
from kombu.exceptions import OperationalError as QueueUnavailable
from redis.exceptions import RedisError

from agent import lifecycle, queue
from agent.forge import diff as unified
from agent.models import Artifact, Bypass, Fix, Proposal, Recommendation, Review
from agent.places import artifact_store, catalogue, forge_address, forge_of
from agent.signed_records import BUNDLE, MERGE, newest_record, take_record
from authz.decisions import may, visible, who_may
from authz.errors import BadRequest, Conflict
from authz.permissions import Permission
from evidence.models import Entry, Pack
from portal.http import PortalRequest
from portal.pages import lists, options, repairs, words
from portal.pages.markdown import front_matter, rendered
from tenants.scope import current

log = structlog.get_logger(__name__)

COLUMNS = {
    "title": "title",
    "state": "state",
    "who": "task__owner__name",
    "repository": "repository__name",
    "lines": "lines_added",
    "when": "created_at",
}
REFRESH_EVERY = 5  # seconds between two looks at the forge
ENTRIES_SHOWN = 200
FOLDED_ABOVE = 200_000  # bytes of one file's diff that are only laid out when asked for
_FILE_START = re.compile(rb"^(?=diff --git )", re.MULTILINE)


@require_GET
def listing(request: PortalRequest) -> HttpResponse:
    """Every proposal, newest first."""
    proposals = visible(
        request.actor,
        Permission.PROPOSAL_VIEW,
        Proposal.objects.select_related("task__owner", "repository").defer(
            "body", "task__constraints"
        ),
    )
    wanted = {
        "state": request.GET.get("state", ""),
        "q": request.GET.get("q", "").strip(),
        "waiting": "waiting" in request.GET,
    }
    if wanted["state"] in Proposal.State.values:
        proposals = proposals.filter(state=wanted["state"])
    if wanted["q"]:
        proposals = proposals.filter(
            Q(title__icontains=wanted["q"]) | Q(task__owner__name__icontains=wanted["q"])
        )
    waiting = waiting_for(request)
    if wanted["waiting"]:
        proposals = proposals.filter(pk__in=waiting.values("pk"))
    context = {
        "wanted": wanted,
        "states": Proposal.State,
        "waiting_count": waiting.count(),
        **lists.page_of(request, proposals, COLUMNS, first="-when"),
    }
    return render(request, "proposals/list.html", context)


def waiting_for(request: PortalRequest) -> Any:
    """Open proposals that the signed-in person may countersign."""
    return visible(
        request.actor,
        Permission.PROPOSAL_COUNTERSIGN,
        Proposal.objects.filter(state=Proposal.State.OPEN),
    )


@require_GET
def detail(request: PortalRequest, proposal_id: UUID) -> HttpResponse:
    """One proposal; ?tab= chooses what of it is shown below the countersign box."""
    proposal = _found(request, proposal_id)
    _look_at_forge_soon(proposal)
    return _page(request, proposal)


@require_POST
def countersign(request: PortalRequest, proposal_id: UUID) -> HttpResponse:
    """Let it through, bound to the digest that the form carried."""
    proposal = _found(request, proposal_id)
    comment = request.POST.get("comment", "")
    try:
        lifecycle.countersign(
            proposal,
            request.POST.get("digest", ""),
            reviewer=request.user,
            by=request.actor,
            comment=comment,
        )
    except Conflict as conflict:
        return _refused(request, proposal_id, comment, conflict)
    return redirect("proposal", proposal_id)


@require_POST
def reject(request: PortalRequest, proposal_id: UUID) -> HttpResponse:
    """Turn it down, with the reason."""
    proposal = _found(request, proposal_id)
    comment = request.POST.get("comment", "")
    try:
        lifecycle.reject(
            proposal,
            request.POST.get("digest", ""),
            reviewer=request.user,
            by=request.actor,
            comment=comment,
        )
    except BadRequest as bad:
        return _page(request, proposal, errors=bad.errors, comment=comment, status=422)
    except Conflict as conflict:
        return _refused(request, proposal_id, comment, conflict)
    return redirect("proposal", proposal_id)


@require_POST
def merge(request: PortalRequest, proposal_id: UUID) -> HttpResponse:
    """Have it merged by a worker, bound to the digest that the form carried."""
    proposal = _found(request, proposal_id)
    try:
        lifecycle.order_merge(proposal, request.POST.get("digest", ""), by=request.actor)
    except Conflict as conflict:
        return _refused(request, proposal_id, "", conflict, undone="merged")
    return redirect("proposal", proposal_id)


@require_GET
def download(request: PortalRequest, proposal_id: UUID, path: str) -> HttpResponse:
    """One of the proposal's files, as it stands at the proposed commit."""
    proposal = _found(request, proposal_id)
    if path not in {file.path for file in _files(current().tenant_id, proposal.diff_sha256)}:
        raise Http404
    content = forge_of(proposal.repository).read(
        forge_address(proposal.repository), proposal.head_sha, path
    )
    if content is None:
        raise Http404
    response = HttpResponse(content, content_type="application/octet-stream")
    response.headers["Content-Disposition"] = _attachment(path)
    return response


@require_GET
def record(request: PortalRequest, proposal_id: UUID) -> HttpResponse:
    """The proposal's signed record by itself; the download is on record."""
    name, content = take_record(_found(request, proposal_id), by=request.actor)
    return HttpResponse(
        content,
        content_type="application/jsonl",
        headers={"Content-Disposition": _attachment(name)},
    )


@dataclass(frozen=True)
class ChangedFile:
    """One file of the diff. raw: its part of the diff, where that is shown."""

    path: str
    status: str
    added: int
    removed: int
    raw: str = ""

    @property
    def folder(self) -> str:
        return str(PurePosixPath(self.path).parent)

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name


def _found(request: PortalRequest, proposal_id: UUID) -> Proposal:
    proposals = visible(request.actor, Permission.PROPOSAL_VIEW, Proposal.objects.all())
    proposal: Proposal = get_object_or_404(
        proposals.select_related("task__owner", "repository", "merge_ordered_by").defer(
            "task__constraints"
        ),
        pk=proposal_id,
    )
    return proposal


def _look_at_forge_soon(proposal: Proposal) -> None:
    if proposal.state not in {Proposal.State.OPEN, Proposal.State.COUNTERSIGNED}:
        return
    try:
        if cache.add(f"looked-at-forge:{proposal.pk}", True, REFRESH_EVERY):
            queue.refresh_proposal(proposal.pk)
    except (RedisError, QueueUnavailable) as error:
        # Reading must go on without the queue; countersigning compares digests anyway.
        log.warning("forge not looked at", proposal=str(proposal.pk), error=str(error))


def _refused(
    request: PortalRequest,
    proposal_id: UUID,
    comment: str,
    conflict: Conflict,
    undone: str = "signed",
) -> HttpResponse:
    """The page as it stands now, with why nothing happened and with what was typed."""
    proposal = _found(request, proposal_id)
    problem = f"Nothing was {undone}: {conflict}"
    return _page(request, proposal, problem=problem, comment=comment, status=409)


def _page(
    request: PortalRequest,
    proposal: Proposal,
    *,
    problem: str = "",
    errors: dict[str, str] | None = None,
    comment: str = "",
    status: int = 200,
) -> HttpResponse:
    titles = _tab_titles(proposal)
    tab = request.GET.get("tab", "")
    if tab not in {name for name, _, _ in titles}:
        tab = titles[0][0]
    files = _files(current().tenant_id, proposal.diff_sha256)
    people = who_may(Permission.PROPOSAL_COUNTERSIGN, proposal)
    mine = next((said for who, _, said in people if who == request.actor.id), None)
    context = {
        "proposal": proposal,
        "body": rendered(proposal.body, beside=frozenset(file.path for file in files)),
        "files": files,
        "allowed": [name for _, name, said in people if said.allowed],
        "without_role": [
            name
            for who, name, said in people
            if not said.allowed and who != str(proposal.requester_id)
        ],
        "mine": mine,
        "may_see_people": may(request.actor, Permission.MEMBER_VIEW, proposal),
        "may_reject": may(request.actor, Permission.PROPOSAL_REJECT, proposal),
        **_merging(request, proposal),
        "reviews": Review.objects.filter(proposal=proposal).select_related("reviewer"),
        "bypasses": Bypass.objects.filter(proposal=proposal).select_related("repository"),
        "failing": len(proposal.failing_checks),
        "problem": problem,
        "errors": errors or {},
        "comment": comment,
        "tab": tab,
        "tabs": titles,
        **TABS[tab](request, proposal, files),
    }
    return render(request, "proposals/detail.html", context, status=status)


def _merging(request: PortalRequest, proposal: Proposal) -> dict[str, Any]:
    """Who may merge what is countersigned; policies are asked by whoever presses the button."""
    if proposal.state != Proposal.State.COUNTERSIGNED:
        return {}
    people = who_may(Permission.PROPOSAL_MERGE, proposal)
    mine = next((said for who, _, said in people if who == request.actor.id), None)
    return {
        "may_merge": mine is not None and mine.allowed,
        "why_not_merge": mine.reasons if mine else [],
        "mergers": [name for _, name, said in people if said.allowed],
    }


def _tab_titles(proposal: Proposal) -> tuple[tuple[str, str, str], ...]:
    """Name, title, icon of each tab. The first says why: options weighed, or a fault found."""
    repaired = Fix.objects.filter(task=proposal.task_id).exists()
    first = ("repair", "Repair", "bug") if repaired else ("options", "Options", "scale")
    return (first, *TAB_TITLES)


@lru_cache(maxsize=512)
def _files(tenant_id: UUID, diff_sha256: str) -> tuple[ChangedFile, ...]:
    """The files of a diff, without their text. A digest never changes what it stands for."""
    return tuple(
        ChangedFile(file.path, file.status, file.added, file.removed)
        for part in _raw_parts(tenant_id, diff_sha256)
        for file in unified.files(part)
    )


def _raw_parts(tenant_id: UUID, diff_sha256: str) -> list[bytes]:
    """The diff in pieces, one a file."""
    diff = artifact_store().get(tenant_id, diff_sha256)
    return [part for part in _FILE_START.split(diff) if part]


def _options_tab(
    request: PortalRequest, proposal: Proposal, files: tuple[ChangedFile, ...]
) -> dict[str, Any]:
    recommendation = Recommendation.objects.filter(task_id=proposal.task_id).first()
    if recommendation is None:
        return {"layers": []}
    known = catalogue()
    context: dict[str, Any] = {
        "layers": options.overview(recommendation.result),
        "catalogue_moved_on": recommendation.catalogue_digest != known.digest,
    }
    wanted = request.GET.get("layer")
    for layer in recommendation.result["layers"]:
        if layer["layer"] == wanted:
            context["layer"] = options.layer_in_full(layer, known)
    return context


def _repair_tab(
    request: PortalRequest, proposal: Proposal, files: tuple[ChangedFile, ...]
) -> dict[str, Any]:
    return repairs.shown(Fix.objects.get(task=proposal.task_id))


def _files_tab(
    request: PortalRequest, proposal: Proposal, files: tuple[ChangedFile, ...]
) -> dict[str, Any]:
    if not files:
        return {}
    wanted = request.GET.get("file")
    file = next((file for file in files if file.path == wanted), files[0])
    text = _text_of(proposal, file)
    context: dict[str, Any] = {"file": file, "text": text}
    if text is not None and file.path.endswith(".md"):
        paths = frozenset(other.path for other in files)
        context |= {"front": front_matter(text), "html": rendered(text, file.path, paths)}
    return context


def _text_of(proposal: Proposal, file: ChangedFile) -> str | None:
    """What the file says at the proposed commit; None when it is not text or was deleted."""
    content = forge_of(proposal.repository).read(
        forge_address(proposal.repository), proposal.head_sha, file.path
    )
    if content is None or b"\0" in content:
        return None
    return content.decode(errors="replace")


def _diff_tab(
    request: PortalRequest, proposal: Proposal, files: tuple[ChangedFile, ...]
) -> dict[str, Any]:
    raw = _raw_parts(current().tenant_id, proposal.diff_sha256)
    shown = request.GET.getlist("show")
    return {
        "view": "split" if request.GET.get("view") == "split" else "unified",
        "parts": [
            file
            if len(part) > FOLDED_ABOVE and file.path not in shown
            else replace(file, raw=part.decode(errors="replace"))
            for file, part in zip(files, raw, strict=True)
        ],
    }


def _checks_tab(
    request: PortalRequest, proposal: Proposal, files: tuple[ChangedFile, ...]
) -> dict[str, Any]:
    return {"checks": sorted(proposal.checks, key=lambda check: (check["ok"], check["path"]))}


def _evidence_tab(
    request: PortalRequest, proposal: Proposal, files: tuple[ChangedFile, ...]
) -> dict[str, Any]:
    run = str(proposal.run_id)
    context: dict[str, Any] = {
        "artifacts": Artifact.objects.filter(task_id=proposal.task_id).exclude(
            kind=Artifact.Kind.STEP
        ),
        "may_export": may(request.actor, Permission.PACK_EXPORT, proposal),
        "may_read_ledger": may(request.actor, Permission.LEDGER_VIEW, proposal),
    }
    if context["may_read_ledger"]:
        entries = Entry.objects.filter(run=run)
        context["entry_count"] = entries.count()
        newest = entries.defer("leaf", "leaf_hash").order_by("-index")[:ENTRIES_SHOWN]
        context["entries"] = [
            (entry, words.done(entry.action, entry.object_type)) for entry in newest
        ]
    if context["may_export"]:
        context["record"] = signed = newest_record(proposal)
        context["bundle"] = signed.files[BUNDLE] if signed else None
        context["merge_told"] = signed is not None and MERGE in signed.files
        context["packs"] = Pack.objects.filter(object_type="proposal", object_id=str(proposal.pk))[
            :20
        ]
    return context


def _attachment(path: str) -> str:
    name = PurePosixPath(path).name
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    return f'attachment; filename="{plain}"'


Tab = Callable[[PortalRequest, Proposal, tuple[ChangedFile, ...]], dict[str, Any]]
TABS: dict[str, Tab] = {
    "options": _options_tab,
    "repair": _repair_tab,
    "files": _files_tab,
    "diff": _diff_tab,
    "checks": _checks_tab,
    "evidence": _evidence_tab,
}
TAB_TITLES = (
    ("files", "Files", "file-text"),
    ("diff", "Diff", "git-compare"),
    ("checks", "Checks", "list-check"),
    ("evidence", "Evidence", "shield-check"),
)
