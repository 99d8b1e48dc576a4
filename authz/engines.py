"""Begins and ends the use of a server for relations beside the database: for operators."""

from authz import outside
from authz.change import answered, change
from authz.errors import BadRequest, Conflict
from authz.feeding import COMPARED, DECIDING, Comparison, compare, feed
from authz.models import OutsideEngine
from authz.outside import EngineFault, Place
from authz.people import AsTenant
from authz.permissions import Permission
from tenants.actor import Actor
from tenants.scope import current_tenant_id


def start(engine: str, *, by: Actor) -> OutsideEngine:
    """Begin to feed a server, which decides nothing yet. Raises Denied, BadRequest, EngineFault."""
    if engine not in outside.ENGINES:
        raise BadRequest({"engine": f"{engine!r} is none of {', '.join(outside.ENGINES)}"})
    tenant = AsTenant(current_tenant_id())
    with change(by, Permission.RELATIONS_ENGINE, on=tenant) as facts:
        facts.phase = "intent"
        facts.update(step="started", engine=engine)
        if OutsideEngine.objects.exists():
            raise Conflict("a server is in use already; stop that one first")
    intent = facts.intent
    with answered(intent, by, Permission.RELATIONS_ENGINE, on=tenant):
        place = outside.engine_called(engine).prepare(tenant.pk)
    with change(by, Permission.RELATIONS_ENGINE, on=tenant) as facts:
        facts.answers = intent
        facts.update(step="started", engine=engine)
        OutsideEngine.objects.create(
            engine=engine, mode=OutsideEngine.Mode.SHADOW, store=place.store
        )
    fed = feed()
    if fed is None:
        raise Conflict("the server was stopped meanwhile")
    return fed


def let_decide(*, by: Actor, questions: int = COMPARED) -> Comparison:
    """Let the server decide, if it answers as we do now.

    Raises Denied; Conflict when it does not, or there is none; EngineFault.
    """
    feed()
    found = compare(questions)
    with change(by, Permission.RELATIONS_ENGINE, on=AsTenant(current_tenant_id())) as facts:
        known = _locked()
        facts.update(
            step="decides",
            engine=known.engine,
            asked=found.asked,
            lists=found.lists,
            different=found.different,
        )
        if found.different:
            raise Conflict(
                f"{found.different} of {found.asked + found.lists} answers differ, such as"
                f" {found.examples[0]}"
            )
        known.mode = DECIDING
        known.save(update_fields=["mode"])
    return found


def stop(*, by: Actor) -> None:
    """Ask the server no more, then let it forget this tenant. Raises Denied, Conflict.

    A server that cannot be reached keeps what it has; the entry says so.
    """
    tenant = AsTenant(current_tenant_id())
    with change(by, Permission.RELATIONS_ENGINE, on=tenant) as facts:
        known = _locked()
        facts.phase = "intent"
        facts.update(step="stopped", engine=known.engine)
        # First, so that nobody feeds it again meanwhile.
        OutsideEngine.objects.all().delete()
    intent, came = facts.intent, {}
    with answered(intent, by, Permission.RELATIONS_ENGINE, on=tenant):
        try:
            outside.engine_called(known.engine).clear(Place(tenant.pk, known.store))
        except EngineFault as fault:
            came["left_there"] = str(fault)
    with change(by, Permission.RELATIONS_ENGINE, on=tenant) as facts:
        facts.answers = intent
        facts.update(step="stopped", engine=known.engine, **came)


def _locked() -> OutsideEngine:
    known: OutsideEngine | None = OutsideEngine.objects.select_for_update().first()
    if known is None:
        raise Conflict("no server is in use")
    return known
