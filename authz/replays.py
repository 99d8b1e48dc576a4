"""Remembers which assertions and log-out tokens were used, so that none works twice."""

from datetime import datetime
from hashlib import sha256

from tenants.models import Replay


def first_use(kind: str, issuer: str, message_id: str, *, until: datetime) -> bool:
    """Whether this message is new here; it is not from now on. Safe against a race.

    kind: assertion or logout. until: when the message expires by itself; authz.jobs forgets it
    then. Bookkeeping that no entry speaks of: what the message causes leaves its own.
    """
    digest = sha256(f"{len(issuer)}:{issuer}:{message_id}".encode()).hexdigest()
    _, is_new = Replay.objects.get_or_create(
        kind=kind, digest=digest, defaults={"expires_at": until}
    )
    return bool(is_new)
