"""The transparency log: its keys, its checkpoints, its entries, what proves them."""

from base64 import b64encode
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from ninja import Path, Query, Router, Schema, Status
from pydantic import Field

from agent import log_check
from authz import retention
from authz.decisions import require
from authz.errors import Conflict
from authz.people import AsTenant
from authz.permissions import Permission
from evidence import history, ledger, witnessing
from evidence.models import Checkpoint, Entry, LogCheck, LogKey, Payload, Retention
from evidence.notes import InclusionProof, write_proof
from portal.api.fields import Text, one_of
from portal.api.paging import Page, Paging
from portal.api.problems import CHANGE, READ, READ_MANY, READ_ONE
from portal.http import PortalRequest
from tenants.scope import current_tenant_id

router = Router(tags=["Log"])

NOTE = {"text/plain": {"schema": {"type": "string"}}}
# Sizes and indexes as PostgreSQL keeps them.
Size = Annotated[int | None, Query(None, ge=1, lt=2**63)]
OldSize = Annotated[int, Query(..., ge=1, lt=2**63)]
Index = Annotated[int, Path(..., ge=0, lt=2**63)]
HeadSize = Annotated[int, Path(..., ge=1, lt=2**63)]
UNSEALED = "nothing has been sealed yet; the first checkpoint follows the first entry in seconds"


class KeyOut(Schema):
    """The key that signs the tenant's checkpoints. Pin it: keep it where we cannot change it."""

    origin: str
    vkey: str = Field(description="Verifier key as in C2SP signed-note.")
    valid_from: int = Field(description="Index of the first entry that it covers.")
    created_at: datetime


class CheckpointOut(Schema):
    """A signed head of the log."""

    size: int = Field(description="How many entries it covers.")
    root: str = Field(description="Base64.")
    signed_at: datetime
    state: str = Field(description="LOCAL, or WITNESSED when enough witnesses have cosigned it.")
    witnesses: list[str] = Field(description="Names of those who have cosigned it.")


class EntryOut(Schema):
    """One entry. The leaf is what the tree covers, byte for byte."""

    index: int
    leaf: str = Field(description="Base64.")
    leaf_hash: str = Field(description="SHA-256 over a zero byte with the leaf, hex.")
    payload: str | None = Field(description="Base64; empty when there was none or it was erased.")
    salt: str | None = Field(description="Hex; with it the payload fits the leaf's commitment.")
    said: dict[str, Any] = Field(description="The leaf, read as JSON.")


class Entries(Schema):
    """A part of the log, in its order."""

    items: list[EntryOut]
    after: int | None = Field(description="Ask again with this; empty at the end.")


class Part(Schema):
    """Which part of the log."""

    run: Text = Field("", max_length=36, description="Only entries of this task.")
    after: int = Field(-1, ge=-1, lt=2**62, description="Only entries with a higher index.")
    limit: int = Field(200, ge=1, le=1000)


@router.get("/key", response={200: KeyOut, **READ, 409: CHANGE[409]})
def read_log_key(request: PortalRequest) -> LogKey:
    """Origin and verifier key of the tenant's log. Answers 409 before the first checkpoint."""
    _require_view(request)
    key: LogKey | None = LogKey.objects.order_by("-valid_from").first()
    if key is None:
        raise Conflict(UNSEALED)
    return key


@router.get(
    "/checkpoint",
    response={200: None, **READ, 409: CHANGE[409]},
    openapi_extra={"responses": {200: {"content": NOTE}}},
)
def read_checkpoint(request: PortalRequest) -> HttpResponse:
    """The newest signed tree head, as a C2SP note. Answers 409 before the first one."""
    _require_view(request)
    return _text(witnessing.note_of(_head(None)))


@router.get("/keys", response={200: list[KeyOut], **READ})
def list_log_keys(request: PortalRequest) -> QuerySet[LogKey]:
    """Every key that ever signed the log, oldest first. A head over n entries is signed by the last
    one whose valid_from is below n."""
    _require_view(request)
    keys: QuerySet[LogKey] = LogKey.objects.order_by("valid_from")
    return keys


@router.get("/checkpoints", response={200: Page[CheckpointOut], **READ_MANY})
def list_checkpoints(request: PortalRequest, paging: Query[Paging]) -> dict[str, object]:
    """Every signed head, the newest first."""
    _require_view(request)
    part = paging.of(Checkpoint.objects.order_by("-size"))
    return {"items": [_head_shown(head) for head in part["items"]], "count": part["count"]}


@router.get(
    "/checkpoints/{size}",
    response={200: None, **READ_ONE},
    openapi_extra={"responses": {200: {"content": NOTE}}},
)
def read_checkpoint_of(request: PortalRequest, size: HeadSize) -> HttpResponse:
    """The head signed over `size` entries, as a C2SP note with every cosignature there is."""
    _require_view(request)
    return _text(witnessing.note_of(get_object_or_404(Checkpoint, size=size)))


@router.get(
    "/entries/{index}/proof",
    response={200: None, **READ_ONE, 409: CHANGE[409]},
    openapi_extra={"responses": {200: {"content": NOTE}}},
)
def read_proof(request: PortalRequest, index: Index, size: Size = None) -> HttpResponse:
    """That an entry stands in the log, as a C2SP tlog-proof with the signed head it leads to.

    size: of the head, as listed under /log/checkpoints; the newest when it is left out.
    """
    _require_view(request)
    entry = get_object_or_404(Entry, index=index)
    head = _head(size)
    if entry.index >= head.size:
        raise Conflict(f"the head over {head.size} entries does not cover entry {index}")
    hashes = tuple(ledger.proof(entry, head))
    return _text(write_proof(InclusionProof(index, hashes, witnessing.note_of(head))))


@router.get(
    "/consistency",
    response={200: None, **READ_ONE, 409: CHANGE[409]},
    openapi_extra={"responses": {200: {"content": NOTE}}},
)
def read_consistency(request: PortalRequest, old: OldSize, size: Size = None) -> HttpResponse:
    """That the log of `old` entries is a beginning of the one under a head: the hashes of RFC 9162
    2.1.4 in base64, one a line, then an empty line and the head."""
    _require_view(request)
    head = _head(size)
    if old > head.size:
        raise Conflict(f"the log had not {old} entries under the head over {head.size}")
    lines = [b64encode(found).decode() for found in ledger.consistency(old, head)]
    return _text("".join(f"{line}\n" for line in lines) + "\n" + witnessing.note_of(head))


@router.get("/entries", response={200: Entries, **READ_MANY})
def list_entries(request: PortalRequest, part: Query[Part]) -> dict[str, object]:
    """Sealed entries in the log's order, for copying the log or one task's part of it."""
    _require_view(request)
    rows = Entry.objects.filter(index__gt=part.after).order_by("index")
    if part.run:
        rows = rows.filter(run=part.run)
    entries = list(rows[: part.limit])
    payloads = Payload.objects.in_bulk([entry.pk for entry in entries])
    return {
        "items": [_shown(entry, payloads.get(entry.pk)) for entry in entries],
        "after": entries[-1].index if len(entries) == part.limit else None,
    }


class WitnessOut(Schema):
    """Somebody outside who is asked to cosign heads."""

    name: str
    key_id: str
    address: str
    size: int | None = Field(description="Entries under the last head it cosigned; none yet: null.")
    at: datetime | None
    heads: int = Field(description="How many heads it has cosigned.")


class WitnessesOut(Schema):
    """Who is asked to cosign, and how far that is. Whoever runs the portal names them."""

    quorum: int = Field(description="How many have to cosign a head; 0: nobody is asked.")
    state: str = Field(description="Of the newest head: LOCAL or WITNESSED; empty before any.")
    witnesses: list[WitnessOut]


@router.get("/witnesses", response={200: WitnessesOut, **READ})
def list_witnesses(request: PortalRequest) -> dict[str, Any]:
    """Witnesses of the log with the last cosignature of each."""
    _require_view(request)
    head = history.newest_head()
    return {
        "quorum": settings.WITNESS_QUORUM,
        "state": witnessing.state_of(head) if head else "",
        "witnesses": history.last_seen(witnessing.witnesses()),
    }


class RetentionOut(Schema):
    """For how long facts of entries and decisions are kept. Entries themselves stay for good."""

    days: int
    set_at: datetime | None = Field(description="Null while nobody has said.")
    least_days: int


class RetentionIn(Schema):
    """Another number of days, with the reason, which stands in the ledger."""

    days: int = Field(examples=[730])
    reason: Text = Field(examples=["as our contract says"])


@router.get("/retention", response={200: RetentionOut, **READ})
def read_retention(request: PortalRequest) -> dict[str, Any]:
    """For how long facts are kept."""
    _require_view(request)
    return {
        "days": retention.days_kept(),
        "set_at": Retention.objects.values_list("set_at", flat=True).first(),
        "least_days": Retention.LEAST_DAYS,
    }


@router.put("/retention", response={200: RetentionOut, **CHANGE})
def change_retention(request: PortalRequest, wanted: RetentionIn) -> dict[str, Any]:
    """Say for how long facts are kept, 90 days at least. What is older goes within the hour."""
    retention.keep_for(wanted.days, wanted.reason, by=request.actor)
    return read_retention(request)


class LogCheckOut(Schema):
    """One count of the whole log."""

    id: UUID
    state: str = one_of(LogCheck.State.values)
    requested_by_name: str
    created_at: datetime
    finished_at: datetime | None
    entries_done: int
    entries_total: int
    heads: int = Field(description="Signed heads that agree.")
    root: str = Field(description="Hex; of all entries that were counted.")
    problem: str = Field(description="What does not hold, or why it could not be counted.")


@router.get("/checks", response={200: Page[LogCheckOut], **READ_MANY})
def list_log_checks(request: PortalRequest, paging: Query[Paging]) -> dict[str, object]:
    """When the whole log was counted, newest first."""
    _require_view(request)
    return paging.of(LogCheck.objects.order_by("-created_at", "pk"))


@router.post("/checks", response={202: LogCheckOut, **CHANGE})
def start_log_check(request: PortalRequest) -> Status[LogCheck]:
    """Have the whole log counted again; while that is under way already, that count is given."""
    return Status(202, log_check.ask_for_check(by=request.actor))


@router.get("/checks/{check_id}", response={200: LogCheckOut, **READ_ONE})
def read_log_check(request: PortalRequest, check_id: UUID) -> LogCheck:
    """How far one count is, and what came of it."""
    _require_view(request)
    found: LogCheck = get_object_or_404(LogCheck, pk=check_id)
    return found


def _head(size: int | None) -> Checkpoint:
    if size is not None:
        return get_object_or_404(Checkpoint, size=size)
    newest: Checkpoint | None = Checkpoint.objects.order_by("-size").first()
    if newest is None:
        raise Conflict(UNSEALED)
    return newest


def _head_shown(head: Checkpoint) -> dict[str, object]:
    return {
        "size": head.size,
        "root": b64encode(bytes(head.root)).decode(),
        "signed_at": head.signed_at,
        "state": witnessing.state_of(head),
        "witnesses": witnessing.who_cosigned(head),
    }


def _text(content: str) -> HttpResponse:
    return HttpResponse(content, content_type="text/plain; charset=utf-8")


def _require_view(request: PortalRequest) -> None:
    require(request.actor, Permission.LEDGER_VIEW, AsTenant(current_tenant_id()))


def _shown(entry: Entry, payload: Payload | None) -> dict[str, object]:
    return {
        "index": entry.index,
        "leaf": b64encode(bytes(entry.leaf)).decode(),
        "leaf_hash": bytes(entry.leaf_hash).hex(),
        "payload": b64encode(bytes(payload.body)).decode() if payload else None,
        "salt": bytes(payload.salt).hex() if payload else None,
        "said": entry.said,
    }
