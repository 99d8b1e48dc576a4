"""Has another key sign a tenant's log."""

from authz.change import entry
from authz.people import AsTenant
from authz.permissions import Permission
from evidence import ledger
from evidence.models import LogKey
from evidence.signing import Keys, VerifierKey
from tenants.actor import Actor
from tenants.scope import current, current_tenant_id


def rotate(keys: Keys, reason: str, *, by: Actor, before: Keys | None = None) -> LogKey:
    """Make a new key in `keys` for the pinned tenant's log and let it sign from now on.

    before: where the key in force lies, if elsewhere; it is asked for the last time.

    An entry announces it first, and the key in force signs that entry, so whoever trusts the old
    key can follow to the new one. Run again after a failure: an announced key that never came into
    force signs nothing. Raises Denied, KeyFault.
    """
    tenant = AsTenant(current_tenant_id())
    until_now = before or keys
    signing = ledger.signer(until_now)
    made = keys.create_next(tenant.pk, ledger.origin_of(current()))
    # In the object, which is part of the leaf: facts can be erased, and this must stay.
    announced = ledger.Named("logkey", made.vkey.removeprefix(f"{made.name}+"))
    said = {
        "reason": reason,
        "vkey": made.vkey,
        "before": signing.vkey,
        "key_id": VerifierKey.parse(made.vkey).key_id,
    }
    entry(by, Permission.LOG_KEY_ROTATE, on=tenant, facts=said, about=announced)
    return ledger.hand_over(until_now, made)
