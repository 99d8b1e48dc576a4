"""Frameworks of controls, what shows each control, and documents that people bring."""

import datetime as dt
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404
from ninja import File, Form, Query, Router, Schema, Status
from ninja.files import UploadedFile
from pydantic import Field

from agent import control_documents
from agent.control_documents import LARGEST, State
from agent.coverage import standing
from authz.decisions import require
from authz.errors import BadRequest
from authz.people import AsTenant
from authz.permissions import Permission
from evidence.models import ControlDocument
from portal.api.fields import one_of
from portal.api.paging import Page, Paging
from portal.api.problems import CHANGE, READ, READ_MANY, READ_ONE
from portal.http import PortalRequest
from tenants.scope import current_tenant_id

router = Router(tags=["Controls"])
documents = Router(tags=["Controls"])

FILE = {"application/octet-stream": {"schema": {"type": "string", "contentMediaType": "*/*"}}}


class FrameworkOut(Schema):
    """A framework of controls. Nothing here says that a control is met."""

    id: str = Field(examples=["ssdf-1.1"])
    title: str
    version: str
    controls: int
    by_strength: dict[str, int] = Field(description="How many controls have which evidence.")


class ControlOut(Schema):
    """One control with the strongest evidence there is."""

    id: str
    title: str
    group: str
    level: int
    strength: str
    note: str
    evidence: list[dict[str, Any]] = Field(
        description="Each an entry of the log, a file of a record, or a document."
    )


class DocumentOut(Schema):
    """A document that people added for controls. It counts once accepted, until its last day."""

    id: UUID
    series: UUID = Field(description="The same for every version.")
    version: int
    state: str = one_of(State.values)
    title: str
    owner: str = Field(alias="owner_name")
    note: str
    controls: list[str]
    filename: str
    sha256: str
    size: int = Field(description="Bytes.")
    valid_until: dt.date
    added_by: str = Field(alias="requester_name")
    decided_by: str = Field(alias="decided_by_name")
    reason: str
    created_at: dt.datetime
    decided_at: dt.datetime | None


class DocumentIn(Schema):
    """What a document is about; sent as a form beside the file."""

    title: str = Field(max_length=200)
    owner: str = Field(max_length=200, description="Who answers for it.")
    valid_until: dt.date = Field(description="The last day on which it counts, UTC.")
    controls: str = Field(description="Names, with commas between them: ssdf-1.1:PO.1.1")
    note: str = ""
    replaces: UUID | None = Field(None, description="An earlier version of it.")


class DocumentAnswer(Schema):
    """The answer to a document. sha256: of the file that was read, needed to accept."""

    answer: str = one_of(["accept", "refuse", "withdraw"])
    sha256: str = Field("", max_length=64)
    reason: str = Field("", max_length=500, description="Needed to refuse or withdraw.")


class Part(Schema):
    """Which proposals are looked at: fifty each, 1 for the newest."""

    part: int = Field(1, ge=1, le=1_000_000)


@router.get("", response={200: list[FrameworkOut], **READ})
def list_frameworks(request: PortalRequest) -> list[dict[str, Any]]:
    """Every framework, with how many controls have evidence by the newest fifty proposals."""
    _require_view(request)
    now = standing()
    counts: dict[str, dict[str, int]] = {}
    for row in now.rows:
        tally = counts.setdefault(row["framework"], {})
        tally[row["strength"]] = tally.get(row["strength"], 0) + 1
    return [
        {
            "id": one.id,
            "title": one.title,
            "version": one.version,
            "controls": len(one.controls),
            "by_strength": counts.get(one.title, {}),
        }
        for one in now.known.frameworks.values()
    ]


@router.get("/{framework_id}", response={200: list[ControlOut], **READ_ONE})
def list_controls(
    request: PortalRequest, framework_id: str, asked: Query[Part]
) -> list[dict[str, Any]]:
    """Every control of a framework with its evidence, down to the entries."""
    _require_view(request)
    now = standing(asked.part)
    one = now.known.frameworks.get(framework_id)
    if one is None:
        raise Http404
    rows = {row["id"]: row for row in now.rows if row["framework"] == one.title}
    return [
        {**rows[control.id], "group": control.group, "level": control.level}
        for control in one.controls
    ]


@documents.get("", response={200: Page[DocumentOut], **READ_MANY})
def list_documents(request: PortalRequest, paging: Query[Paging]) -> dict[str, object]:
    """Documents for controls, newest first."""
    _require_view(request)
    rows: QuerySet[ControlDocument] = ControlDocument.objects.order_by("-created_at", "pk")
    return paging.of(rows)


@documents.post("", response={201: DocumentOut, **CHANGE})
def add_document(
    request: PortalRequest,
    file: File[UploadedFile],
    said: Form[DocumentIn],
) -> Status[ControlDocument]:
    """Add a document, or a newer version of one; it waits for a second person."""
    require(request.actor, Permission.DOCUMENT_ADD, _tenant())
    if (file.size or 0) > LARGEST:
        raise BadRequest({"file": f"has {file.size:,} bytes; at most {LARGEST >> 20} MiB are kept"})
    replaces = get_object_or_404(ControlDocument, pk=said.replaces) if said.replaces else None
    fields = {
        **said.dict(),
        "controls": [name for part in said.controls.split(",") if (name := part.strip())],
    }
    row = control_documents.add_document(
        fields, file.read(), file.name or "", replaces=replaces, by=request.actor
    )
    return Status(201, row)


@documents.get("/{document_id}", response={200: DocumentOut, **READ_ONE})
def read_document(request: PortalRequest, document_id: UUID) -> ControlDocument:
    """One document."""
    _require_view(request)
    return get_object_or_404(ControlDocument, pk=document_id)


@documents.get(
    "/{document_id}/file",
    response={200: None, **READ_ONE},
    openapi_extra={"responses": {200: {"content": FILE}}},
)
def download_document(request: PortalRequest, document_id: UUID) -> HttpResponse:
    """The file itself. The download is recorded."""
    _require_view(request)
    row = get_object_or_404(ControlDocument, pk=document_id)
    return HttpResponse(
        control_documents.content_of(row, by=request.actor),
        content_type="application/octet-stream",
        headers={"Content-Disposition": f'attachment; filename="{row.filename}"'},
    )


@documents.post("/{document_id}/answer", response={200: DocumentOut, **CHANGE})
def answer_document(
    request: PortalRequest, document_id: UUID, said: DocumentAnswer
) -> ControlDocument:
    """Accept, refuse or withdraw a document. Whoever added it cannot be who accepts it."""
    _require_view(request)
    row = get_object_or_404(ControlDocument, pk=document_id)
    match said.answer:
        case "accept":
            control_documents.accept_document(row, said.sha256, by=request.actor)
        case "refuse":
            control_documents.refuse_document(row, said.reason, by=request.actor)
        case "withdraw":
            control_documents.withdraw_document(row, said.reason, by=request.actor)
        case _:
            raise BadRequest({"answer": "expected accept, refuse or withdraw"})
    row.refresh_from_db()
    return row


def _tenant() -> AsTenant:
    return AsTenant(current_tenant_id())


def _require_view(request: PortalRequest) -> None:
    require(request.actor, Permission.LEDGER_VIEW, _tenant())
