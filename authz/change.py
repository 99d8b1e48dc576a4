"""change(): permitted, atomic, recorded; or not at all."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction

from authz import onrecord
from authz.decisions import Decision, Thing, decide, refuse, remembered
from authz.opened import opened_by
from authz.permissions import Permission
from evidence import ledger
from evidence.intents import Intent
from tenants import asked
from tenants.actor import Actor
from tenants.errors import Refused


class Facts(dict[str, Any]):
    """What the ledger will say of a change.

    about: the thing changed, when it is not `on`. phase: "intent" for something that is about to
    be done to the outside world; `intent` is then what the change that says what came of it has to
    name in `answers`. outcome: "failed" for the record of work that came to nothing.
    """

    about: Thing
    phase: str = "result"
    outcome: str = "ok"
    intent: Intent
    answers: Intent | None = None
    decision: Decision
    # Of an effect: writes the rows that go with the result, in its transaction.
    rows: Callable[[], None] | None = None


@contextmanager
def change(by: Actor, permission: Permission, *, on: Thing) -> Iterator[Facts]:
    """Run the block in one transaction if `by` may, and leave a ledger entry either way.

    Yields a dict: what the block puts in it is stored with the entry. A block that creates
    something sets `facts.about` to it. Raises Denied before the block runs. An error inside the
    block undoes the block's writes with the entry; if it is a refusal (things have moved on),
    that is recorded too. Must be the outermost transaction, so that a
    recorded denial cannot be undone by somebody else's.
    """
    # What was read on the way here, before anything is done with it.
    onrecord.settle()
    decision = decide(by, permission, on)
    if not decision.allowed:
        refuse(by, on, decision)
    with _recorded(by, decision, on) as facts:
        yield facts


def entry(
    by: Actor,
    permission: Permission,
    *,
    on: Thing,
    facts: Mapping[str, Any],
    about: Thing | None = None,
    phase: str = "result",
    outcome: str = "ok",
) -> Facts:
    """change() that writes nothing but its entry, and answers no intent: a journey to PostgreSQL
    less. phase and the like as in Facts; returns what change() would have yielded.

    What this process remembers of the relations decides, and PostgreSQL takes the entry only if
    that is still how they are. If they are not, if that says no, or if more than relations decide,
    change() does it.
    """
    said = Facts(facts)
    said.about, said.phase, said.outcome = about or on, phase, outcome
    onrecord.settle()
    known = None if connection.in_atomic_block else remembered(by, permission, on)
    if known is not None:
        said.decision, provided = known
        intent = ledger.record_if(
            provided,
            permission,
            by=by,
            on=said.about,
            facts={**said, **said.decision.recorded},
            phase=phase,
            outcome=outcome,
            policy=said.decision.policy,
        )
        if intent is not None:
            said.intent = intent
            asked.opens(opened_by(permission))
            return said
    with change(by, permission, on=on) as said:
        said.update(facts)
        said.about, said.phase, said.outcome = about or on, phase, outcome
    return said


@contextmanager
def _recorded(by: Actor, decision: Decision, on: Thing) -> Iterator[Facts]:
    """Run the block in one transaction with the entry of what was allowed."""
    permission = decision.permission
    facts = Facts()
    facts.about, facts.decision = on, decision
    try:
        with asked.without_asking(asked.Purpose.CHANGE), transaction.atomic(durable=True):
            yield facts
            facts.intent = ledger.record(
                permission,
                by=by,
                on=facts.about,
                facts={**facts, **decision.recorded},
                phase=facts.phase,
                outcome=facts.outcome,
                policy=decision.policy,
                answers=facts.answers,
                last=True,
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


@contextmanager
def effect(by: Actor, permission: Permission, *, on: Thing, **said: Any) -> Iterator[Facts]:
    """Do something to the outside world in the block: the intent is on record before it begins,
    what came of it after it ended.

    said: facts of the intent. What the block puts into the dict goes with the result, and what
    it sets as `rows` is called in the result's transaction. Holds no transaction meanwhile. What
    was allowed when it began is recorded when it ended, whatever rights and hours have become
    meanwhile. An error is recorded as a failed result, then raised; where even that is not
    possible, or the process dies, the intent becomes a gap.
    """
    intended = entry(by, permission, on=on, facts=said, phase="intent")
    came = Facts()
    with answered(intended.intent, by, permission, on=on):
        yield came
    onrecord.settle()
    with _recorded(by, intended.decision, on) as facts:
        facts.answers, facts.outcome = intended.intent, came.outcome
        facts.update(came)
        if came.rows:
            came.rows()


@contextmanager
def answered(intent: Intent, by: Actor, permission: Permission, *, on: Thing) -> Iterator[None]:
    """Record an error in the block as the result of `intent`, then raise it.

    When there is no error the caller records the result, together with the rows it changes.
    """
    try:
        yield
    except Exception as error:
        ledger.record(
            permission,
            by=by,
            on=on,
            facts={"reasons": [f"{type(error).__name__}: {error}"]},
            phase="result",
            outcome="failed",
            answers=intent,
        )
        raise
