"""The transparency log: its key, its newest checkpoint, its entries."""

from base64 import b64encode
from datetime import datetime
from typing import Any

from django.http import HttpResponse
from ninja import Query, Router, Schema
from pydantic import Field

from authz.decisions import require
from authz.errors import Conflict
from authz.people import AsTenant
from authz.permissions import Permission
from evidence.models import Checkpoint, Entry, LogKey, Payload
from portal.api.fields import Text
from portal.api.problems import CHANGE, READ, READ_MANY
from portal.http import PortalRequest
from tenants.scope import current_tenant_id

router = Router(tags=["Log"])

NOTE = {"text/plain": {"schema": {"type": "string"}}}
UNSEALED = "nothing has been sealed yet; the first checkpoint follows the first entry in seconds"


class KeyOut(Schema):
    """The key that signs the tenant's checkpoints. Pin it: keep it where we cannot change it."""

    origin: str
    vkey: str = Field(description="Verifier key as in C2SP signed-note.")
    valid_from: int = Field(description="Index of the first entry that it covers.")
    created_at: datetime


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
    newest = Checkpoint.objects.order_by("-size").first()
    if newest is None:
        raise Conflict(UNSEALED)
    return HttpResponse(newest.note, content_type="text/plain; charset=utf-8")


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
