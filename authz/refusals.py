"""Refusals as the ledger keeps them, and who can help somebody who was refused."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from authz import access, relations
from authz.graph import Explanation, Ref
from authz.model import MODEL
from authz.permissions import Permission
from evidence.models import Entry, Payload, StagedEntry
from tenants import asked
from tenants.models import User


@dataclass(frozen=True)
class Refusal:
    """One no that is on record. index: its place in the ledger; None until it is sealed."""

    record_id: UUID
    at: datetime
    actor_id: str
    actor_name: str
    action: str
    permission: Permission
    object_type: str
    object_id: str
    reasons: list[str]
    index: int | None
    by_policy: bool  # roles allowed it; a policy did not


@asked.without_asking(asked.Purpose.DECIDE)
def found(record_id: UUID) -> Refusal | None:
    """The denial with that id, sealed or not yet; None for anything else that is recorded."""
    entry = Entry.objects.filter(pk=record_id).first()
    if entry is not None:
        payload = Payload.objects.filter(pk=record_id).first()
        # Facts may have been erased; who, what and when stay.
        return _refusal(record_id, entry.said, payload.facts if payload else {}, entry.index)
    staged = StagedEntry.objects.filter(pk=record_id).first()
    if staged is None:
        return None
    facts = json.loads(bytes(staged.payload)) if staged.payload else {}
    return _refusal(record_id, json.loads(bytes(staged.leaf)), facts, None)


def helpers(refusal: Refusal) -> list[User]:
    """Who can help now; nobody when roles, teams and shares allow it by now."""
    on, account = _object(refusal), _account(refusal.actor_id)
    said: Explanation | None = None
    if account is not None:
        said = relations.explain(relations.person(account), refusal.permission, on)
        if said.allowed and not refusal.by_policy:
            return []
    return access.who_can_help(refusal.permission, said, on, account)


def _refusal(
    record_id: UUID, said: dict[str, Any], facts: dict[str, Any], index: int | None
) -> Refusal | None:
    subject, _, ending = said["action"].rpartition(".")
    if ending != "denied" or subject not in set(Permission):
        return None
    return Refusal(
        record_id,
        datetime.fromisoformat(said["ts"]),
        said["actor"]["id"],
        said["actor"]["name"],
        said["action"],
        Permission(subject),
        said["object"]["type"],
        said["object"]["id"],
        facts.get("reasons", []),
        index,
        bool(facts.get("policies")),
    )


def _object(refusal: Refusal) -> Ref:
    """What it was about, as far as the model knows such things; else the tenant."""
    kind = refusal.object_type
    if kind in MODEL and refusal.permission in MODEL[kind].permissions:
        return Ref(kind, UUID(refusal.object_id).int)
    return access.tenant_ref()


def _account(actor_id: str) -> UUID | None:
    try:
        return UUID(actor_id)
    except ValueError:
        return None  # the product itself, or a directory
