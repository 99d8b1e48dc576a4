"""What other policies would have decided about what was decided lately."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from authz import cedar
from authz.permissions import Permission
from authz.policy_facts import RECORDED_AS, PolicyFacts
from evidence.models import Entry, Payload, StagedEntry

DAYS = 30
MOST = 5_000  # decisions looked at, the newest
# How an entry of the ledger says what was decided. "refused": allowed, then things had changed.
_ALLOWED = {"": True, ".refused": True, ".denied": False}
_ACTIONS = {
    f"{permission}{ending}": (permission, allowed)
    for permission in cedar.SENSITIVE
    for ending, allowed in _ALLOWED.items()
}


@dataclass(frozen=True)
class Decided:
    """One decision on record. index: its place in the ledger; None while it has none."""

    index: int | None
    at: datetime
    who: str
    permission: Permission
    allowed: bool
    facts: PolicyFacts | None  # None: they were not recorded, or erased since


@dataclass(frozen=True)
class Hindsight:
    """How decisions would have come out otherwise.

    stopped: were allowed. let_through: were denied. Each with the judgement that they would get.
    """

    tried: int
    untried: int  # could not be replayed: the facts are not on record
    stopped: list[tuple[Decided, cedar.Judgement]]
    let_through: list[tuple[Decided, cedar.Judgement]]
    cut: bool  # there were more than MOST


def hindsight(policies: cedar.PolicySet) -> Hindsight:
    """Try `policies` on the sensitive decisions of the last DAYS days, newest first."""
    decisions = list(_decided(timezone.now() - timedelta(days=DAYS)))
    known = [(one, one.facts) for one in decisions[:MOST] if one.facts]
    judged = [(one, cedar.judge(one.permission, facts, policies)) for one, facts in known]
    return Hindsight(
        tried=len(judged),
        untried=len(decisions[:MOST]) - len(judged),
        stopped=[(one, now) for one, now in judged if one.allowed and not now.allowed],
        let_through=[(one, now) for one, now in judged if now.allowed and not one.allowed],
        cut=len(decisions) > MOST,
    )


def _decided(since: datetime) -> Iterator[Decided]:
    """The newest first, at most one more than MOST."""
    found = 0
    for staged in StagedEntry.objects.order_by("-id")[: MOST + 1]:
        said = json.loads(bytes(staged.leaf))
        if said["action"] in _ACTIONS:
            found += 1
            facts = json.loads(bytes(staged.payload)) if staged.payload else {}
            at = datetime.fromisoformat(said["ts"])
            yield _one(None, at, said["actor"]["name"], said["action"], facts)
    rows = Entry.objects.filter(action__in=_ACTIONS, recorded_at__gte=since).order_by("-index")
    sealed = list(rows.defer("leaf", "leaf_hash")[: MOST + 1 - found])
    payloads = Payload.objects.in_bulk([entry.pk for entry in sealed])
    for entry in sealed:
        payload = payloads.get(entry.pk)
        facts = payload.facts if payload else {}
        yield _one(entry.index, entry.recorded_at, entry.actor_name, entry.action, facts)


def _one(index: int | None, at: datetime, who: str, action: str, facts: dict[str, Any]) -> Decided:
    permission, allowed = _ACTIONS[action]
    known = PolicyFacts.of_record(facts.get(RECORDED_AS))
    return Decided(index, at, who, permission, allowed, known)
