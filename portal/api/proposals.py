"""Proposals: what is asked to be let through, what it changes, who decides."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from ninja import Query, Router, Schema, Status
from pydantic import Field

from agent import lifecycle, pack_orders
from agent.models import Proposal, Review
from agent.outputs import FILE
from agent.places import artifact_store
from agent.signed_records import take_record
from authz.decisions import decide, visible, who_may
from authz.permissions import Permission
from evidence.models import Pack
from portal.api.fields import Named, Text, one_of
from portal.api.packs import PackOut
from portal.api.paging import Page, Paging
from portal.api.problems import CHANGE, READ_MANY, READ_ONE
from portal.http import PortalRequest
from tenants.models import Project
from tenants.scope import current_tenant_id

router = Router(tags=["Proposals"])

TEXT = {"text/plain": {"schema": {"type": "string"}}}
DIFF = {"text/x-diff": {"schema": {"type": "string"}}}
LINES = {"application/jsonl": {"schema": {"type": "string"}}}


class ProposalOut(Schema):
    """A pull request that waits for a person. Adding a field is safe; removing one is not."""

    id: UUID
    number: int
    title: str
    state: str = one_of(Proposal.State.values)
    repository: Named
    requester: Named = Field(alias="task.owner")
    recommendation_id: UUID = Field(alias="task_id")
    branch: str
    base_branch: str
    base_sha: str
    head_sha: str
    digest: str = Field(description="SHA-256 over what a countersignature covers.")
    lines_added: int
    lines_removed: int
    risk_score: int | None = Field(description="0 to 100; empty for older proposals.")
    classification: str = one_of(Project.Classification.values, "Of its project.")
    failing_checks: int
    created_at: datetime
    merge_ordered_at: datetime | None = Field(description="Somebody ordered that it be merged.")
    merge_refused: str = Field(description="Why the last order came to nothing.")
    merge_sha: str = Field(description="The commit that brought it in; empty if made elsewhere.")
    merged_at: datetime | None

    @staticmethod
    def resolve_failing_checks(proposal: Proposal) -> int:
        return len(proposal.failing_checks)


class CheckOut(Schema):
    """One check that a file or the pull request passed or failed."""

    name: str
    path: str
    ok: bool
    detail: str


class RiskOut(Schema):
    """One part of the risk score."""

    points: int
    said: str


class FileOut(Schema):
    """A file of the pull request."""

    path: str
    sha256: str
    size: int = Field(description="Bytes.")


class LayerOut(Schema):
    """What is recommended for one layer of the stack."""

    layer: str
    title: str
    winner: str | None = Field(description="Empty when nothing met the constraints.")
    alternatives: list[str]


class ReviewOut(Schema):
    """A person's answer, bound to the digest of what they read."""

    reviewer: Named
    verdict: str = one_of(Review.Verdict.values)
    digest: str
    comment: str
    created_at: datetime


class OwnSay(Schema):
    """Whether the caller may countersign, with reasons in plain words."""

    may_countersign: bool
    reasons: list[str]


class ProposalDetail(ProposalOut):
    """A proposal with all that a person reads before deciding."""

    body: str
    url: str
    risk_reasons: list[RiskOut] = Field(description="What the score is made of.")
    checks: list[CheckOut]
    files: list[FileOut]
    result: list[LayerOut]
    reviews: list[ReviewOut]
    countersigners: list[Named] = Field(description="Who may countersign it.")
    you: OwnSay

    @staticmethod
    def resolve_files(proposal: Proposal) -> list[dict[str, Any]]:
        rows = proposal.task.artifacts.filter(name__startswith=FILE)
        return [
            {"path": row.name.removeprefix(FILE), "sha256": row.sha256, "size": row.size}
            for row in rows
        ]

    @staticmethod
    def resolve_result(proposal: Proposal) -> list[dict[str, Any]]:
        recommendation = getattr(proposal.task, "recommendation", None)
        return recommendation.result["layers"] if recommendation else []

    @staticmethod
    def resolve_reviews(proposal: Proposal) -> QuerySet[Review]:
        return proposal.reviews.select_related("reviewer")

    @staticmethod
    def resolve_countersigners(proposal: Proposal) -> list[dict[str, str]]:
        answers = who_may(Permission.PROPOSAL_COUNTERSIGN, proposal)
        return [{"id": id, "name": name} for id, name, decision in answers if decision.allowed]

    @staticmethod
    def resolve_you(proposal: Proposal, context: dict[str, Any]) -> dict[str, Any]:
        actor = context["request"].actor
        decision = decide(actor, Permission.PROPOSAL_COUNTERSIGN, proposal)
        return {"may_countersign": decision.allowed, "reasons": decision.reasons}


class AsRead(Schema):
    """Which state of a proposal somebody means."""

    digest: Text = Field(description="The proposal's digest as the reviewer read it.")


class Decided(AsRead):
    """An answer to a proposal."""

    comment: Text = Field("", max_length=4000)


class Rejected(Decided):
    """A rejection: it says why, so that the next attempt can be better."""

    comment: Text = Field(min_length=1, max_length=4000)


@router.get("", response={200: Page[ProposalOut], **READ_MANY}, by_alias=False)
def list_proposals(
    request: PortalRequest,
    paging: Query[Paging],
    state: Literal["open", "countersigned", "rejected", "merged"] | None = None,
) -> dict[str, object]:
    """Proposals that the caller may see, newest first."""
    rows = _seen_by(request).defer("body", "task__constraints")
    return paging.of(rows.filter(state=state) if state else rows)


@router.get("/{proposal_id}", response={200: ProposalDetail, **READ_ONE}, by_alias=False)
def read_proposal(request: PortalRequest, proposal_id: UUID) -> Proposal:
    """One proposal with its digest, checks, files, result, who may countersign it."""
    return _found(request, proposal_id)


@router.get(
    "/{proposal_id}/diff",
    response={200: None, **READ_ONE},
    openapi_extra={"responses": {200: {"content": DIFF}}},
)
def read_diff(request: PortalRequest, proposal_id: UUID) -> HttpResponse:
    """The unified diff that a countersignature covers."""
    proposal = _found(request, proposal_id)
    diff = artifact_store().get(current_tenant_id(), proposal.diff_sha256)
    return HttpResponse(diff, content_type="text/x-diff; charset=utf-8")


@router.get(
    "/{proposal_id}/files/{path:path}",
    response={200: None, **READ_ONE},
    openapi_extra={"responses": {200: {"content": TEXT}}},
)
def read_file(request: PortalRequest, proposal_id: UUID, path: Text) -> HttpResponse:
    """One file of the pull request as the agent wrote it."""
    proposal = _found(request, proposal_id)
    row = get_object_or_404(proposal.task.artifacts, name=FILE + path)
    content = artifact_store().get(current_tenant_id(), row.sha256, size=row.size)
    # Whatever the agent wrote, a browser shall show it as text, never run it.
    return HttpResponse(content, content_type="text/plain; charset=utf-8")


@router.get(
    "/{proposal_id}/record",
    response={200: None, **READ_ONE, 409: CHANGE[409]},
    openapi_extra={"responses": {200: {"content": LINES}}},
)
def download_record(request: PortalRequest, proposal_id: UUID) -> HttpResponse:
    """The signed statements about a proposal: a DSSE envelope a line, the manifest last, whose
    digest is in the log (record.sign). The download is recorded. Answers 409 until it is signed."""
    name, content = take_record(_found(request, proposal_id), by=request.actor)
    return HttpResponse(
        content,
        content_type="application/jsonl",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@router.post("/{proposal_id}/countersignature", response={201: ReviewOut, **CHANGE}, by_alias=False)
def countersign_proposal(
    request: PortalRequest, proposal_id: UUID, decided: Decided
) -> Status[Review]:
    """Let a proposal through.

    Answers 409 when it has changed since it was read, was decided already, or fails a check; 403
    for whoever asked for it.
    """
    proposal = _found(request, proposal_id)
    lifecycle.countersign(
        proposal,
        decided.digest,
        reviewer=request.user,
        by=request.actor,
        comment=decided.comment,
    )
    return Status(201, _review(proposal, request))


@router.post("/{proposal_id}/rejection", response={201: ReviewOut, **CHANGE}, by_alias=False)
def reject_proposal(request: PortalRequest, proposal_id: UUID, decided: Rejected) -> Status[Review]:
    """Turn a proposal down; the comment says why and may not be empty.

    Answers 409 when it has changed since it was read, or was decided already.
    """
    proposal = _found(request, proposal_id)
    lifecycle.reject(
        proposal,
        decided.digest,
        reviewer=request.user,
        by=request.actor,
        comment=decided.comment,
    )
    return Status(201, _review(proposal, request))


@router.post("/{proposal_id}/merge", response={202: ProposalOut, **CHANGE}, by_alias=False)
def merge_proposal(request: PortalRequest, proposal_id: UUID, read: AsRead) -> Status[Proposal]:
    """Have a countersigned proposal merged; follow `state`, `merge_refused` until it is.

    Answers 409 when it has changed since it was read, is not countersigned, or is being merged
    already; 403 for whoever asked for it, for tokens, and where a policy forbids it now.
    """
    lifecycle.order_merge(_found(request, proposal_id), read.digest, by=request.actor)
    return Status(202, _found(request, proposal_id))


@router.post("/{proposal_id}/packs", response={202: PackOut, **CHANGE})
def export_pack(request: PortalRequest, proposal_id: UUID) -> Status[Pack]:
    """Ask for the proposal's evidence pack; follow it at /packs/{id} until it is ready."""
    return Status(202, pack_orders.export_pack(_found(request, proposal_id), by=request.actor))


def _seen_by(request: PortalRequest) -> QuerySet[Proposal]:
    rows = Proposal.objects.select_related("repository", "project", "task__owner")
    return visible(request.actor, Permission.PROPOSAL_VIEW, rows)


def _found(request: PortalRequest, proposal_id: UUID) -> Proposal:
    return get_object_or_404(_seen_by(request), pk=proposal_id)


def _review(proposal: Proposal, request: PortalRequest) -> Review:
    review: Review = proposal.reviews.select_related("reviewer").get(reviewer=request.user)
    return review
