"""The policies in force for the pinned tenant."""

from functools import lru_cache
from hashlib import sha256
from uuid import UUID

from django.db import connection

from authz import cedar
from authz.models import PolicyVersion
from tenants.scope import current

# Plain SQL, as for grants: this runs before every sensitive change.
_ACTIVE = "SELECT id FROM authz_policyversion WHERE state = 'active'"


def active_policies() -> cedar.PolicySet:
    """What to judge by. Always asked afresh, because a new version must bite at once; only what
    a version says is remembered, because it never changes."""
    current()
    with connection.cursor() as cursor:
        cursor.execute(_ACTIVE)
        row = cursor.fetchone()
    if row is None:
        return cedar.platform()
    try:
        return _policies_of(row[0])
    except cedar.BadPolicies as bad:
        return cedar.unusable(row[0], str(bad))


def active_version() -> PolicyVersion | None:
    """The version in force, if the tenant has rules of its own."""
    found: PolicyVersion | None = PolicyVersion.objects.filter(
        state=PolicyVersion.State.ACTIVE
    ).first()
    return found


def digest_of(text: str) -> str:
    """SHA-256 (hex) by which a version's text is known."""
    return sha256(text.encode()).hexdigest()


@lru_cache(maxsize=256)
def _policies_of(version_id: UUID) -> cedar.PolicySet:
    version = PolicyVersion.objects.get(pk=version_id)
    if version.digest != digest_of(version.text):
        fault = cedar.Fault(1, "the stored text is not the one that was approved")
        raise cedar.BadPolicies([fault])
    return cedar.with_tenant(version.text, version.pk)
