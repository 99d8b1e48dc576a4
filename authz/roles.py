"""RBAC: the six roles of the permission matrix, with what each may do."""

from enum import StrEnum
from hashlib import sha256
from typing import Any

import rfc8785

from authz.permissions import Permission as P


class Role(StrEnum):
    """A named set of permissions, given for a whole tenant or for one project."""

    PLATFORM_ADMIN = "platform_admin"
    TENANT_ADMIN = "tenant_admin"
    PROJECT_ADMIN = "project_admin"
    DEVELOPER = "developer"
    AUDITOR = "auditor"
    AGENT = "agent"

    @property
    def title(self) -> str:  # type: ignore[override]  # str.title() makes no sense of a role
        return self.value.replace("_", " ").capitalize()


_READ_WORK = {P.TASK_VIEW, P.PROPOSAL_VIEW, P.REPOSITORY_VIEW}
_FILE_WORK = {P.RECOMMENDATION_CREATE, P.TASK_CANCEL}
_DECIDE = {P.PROPOSAL_COUNTERSIGN, P.PROPOSAL_REJECT}
_RUN_PEOPLE = {P.MEMBER_VIEW, P.MEMBER_ADMIT, P.MEMBER_REMOVE, P.ROLE_CHANGE, P.PROJECT_ROLE_CHANGE}

# The permission matrix. Whoever is not listed here may do nothing.
ROLES: dict[Role, frozenset[P]] = {
    # Break-glass only: nobody holds it from day to day, and it does not read tenants' work.
    Role.PLATFORM_ADMIN: frozenset({P.TENANT_OPEN}),
    Role.TENANT_ADMIN: frozenset(
        _READ_WORK
        | _FILE_WORK
        | _DECIDE
        | _RUN_PEOPLE
        | {P.LEDGER_VIEW, P.PACK_EXPORT, P.PROJECT_CREATE, P.REPOSITORY_REGISTER}
    ),
    Role.PROJECT_ADMIN: frozenset(
        _READ_WORK
        | _FILE_WORK
        | _DECIDE
        | {P.MEMBER_VIEW, P.PROJECT_ROLE_CHANGE, P.REPOSITORY_REGISTER}
    ),
    Role.DEVELOPER: frozenset(_READ_WORK | _FILE_WORK | {P.MEMBER_VIEW}),
    Role.AUDITOR: frozenset(_READ_WORK | {P.MEMBER_VIEW, P.LEDGER_VIEW, P.PACK_EXPORT}),
    Role.AGENT: frozenset({P.TASK_VIEW, P.TASK_RUN, P.PULL_REQUEST_OPEN, P.REPOSITORY_VIEW}),
}

# Roles that may be given for one project; the others always cover the tenant.
PROJECT_ROLES = frozenset({Role.PROJECT_ADMIN, Role.DEVELOPER, Role.AGENT})
# Roles that a tenant hands out itself.
TENANT_ROLES = tuple(role for role in Role if role not in {Role.PLATFORM_ADMIN, Role.AGENT})

# What the product and its operators do by themselves, without an account.
SYSTEM: frozenset[P] = frozenset(
    {P.TENANT_OPEN, P.PROJECT_CREATE, P.REPOSITORY_REGISTER, P.MEMBER_ADMIT, P.PACK_BUILD}
)

# Whoever asked for a thing, or made it, cannot be the one who lets it through.
NOT_BY_REQUESTER = frozenset({P.PROPOSAL_COUNTERSIGN})
# Nothing but a person may do these, whatever roles it holds.
ONLY_BY_PEOPLE = frozenset({P.PROPOSAL_COUNTERSIGN, P.PROPOSAL_REJECT, *_RUN_PEOPLE})


def policy_digest() -> str:
    """SHA-256 (hex) of the rules above, so that a decision names the rules it was made by."""
    rules: dict[str, Any] = {
        "roles": {role.value: sorted(permissions) for role, permissions in ROLES.items()},
        "system": sorted(SYSTEM),
        "not_by_requester": sorted(NOT_BY_REQUESTER),
        "only_by_people": sorted(ONLY_BY_PEOPLE),
    }
    return sha256(rfc8785.dumps(rules)).hexdigest()


POLICY_DIGEST = policy_digest()
