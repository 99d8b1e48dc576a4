"""change(): permitted, atomic, recorded; or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import transaction

from authz.decisions import Thing, decide, refuse
from authz.permissions import Permission
from evidence import ledger
from tenants.actor import Actor
from tenants.errors import Refused


class Facts(dict[str, Any]):
    """What the ledger will say of a change.

    about: the thing changed, when it is not `on`. phase: "intent" for something that is about to
    be done to the outside world. outcome: "failed" for the record of work that came to nothing.
    """

    about: Thing
    phase: str = "result"
    outcome: str = "ok"


@contextmanager
def change(by: Actor, permission: Permission, *, on: Thing) -> Iterator[Facts]:
    """Run the block in one transaction if `by` may, and leave a ledger entry either way.

    Yields a dict: what the block puts in it is stored with the entry. A block that creates
    something sets `facts.about` to it. Raises Denied before the block runs. An error inside the
    block undoes the block's writes with the entry; if it is a refusal (things have moved on),
    that is recorded too. Must be the outermost transaction, so that a
    recorded denial cannot be undone by somebody else's.
    """
    decision = decide(by, permission, on)
    if not decision.allowed:
        refuse(by, on, decision)
    facts = Facts()
    facts.about = on
    try:
        with transaction.atomic(durable=True):
            yield facts
            ledger.record(
                permission,
                by=by,
                on=facts.about,
                facts={**facts, **decision.recorded},
                phase=facts.phase,
                outcome=facts.outcome,
                policy=decision.policy,
            )
    except Refused as refusal:
        ledger.record(
            f"{permission}.refused",
            by=by,
            on=on,
            facts={**decision.recorded, "reasons": [str(refusal)]},
            outcome="denied",
            policy=decision.policy,
        )
        raise
