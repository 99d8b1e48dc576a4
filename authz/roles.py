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


_READ_WORK = {P.CATALOGUE_VIEW, P.TASK_VIEW, P.PROPOSAL_VIEW, P.REPOSITORY_VIEW}
_FILE_WORK = {
    P.RECOMMENDATION_CREATE,
    P.TASK_CREATE,
    P.TASK_MESSAGE,
    P.TASK_CANCEL,
    P.TASK_UNDO,
    P.MODEL_ASK,
    P.FLAKY_TEST_RELEASE,
}
_DECIDE = {P.PROPOSAL_COUNTERSIGN, P.PROPOSAL_REJECT, P.PROPOSAL_MERGE, P.PLAN_APPROVE}
_RUN_PEOPLE = {
    P.MEMBER_VIEW,
    P.MEMBER_ADMIT,
    P.MEMBER_REMOVE,
    P.MEMBER_INVITE,
    P.ROLE_CHANGE,
    P.PROJECT_ROLE_CHANGE,
    P.TEAM_CHANGE,
    P.SHARE_CHANGE,
    P.SESSION_END,
}
_RUN_SIGN_IN = {
    P.LOG_EXPORT_CHANGE,
    P.PROVIDER_CHANGE,
    P.DIRECTORY_CHANGE,
    P.SERVICE_CREATE,
    P.TOKEN_CREATE,
    P.TOKEN_REVOKE,
}

_RUN_CATALOGUE = {P.CATALOGUE_CHANGE, P.CATALOGUE_REFRESH, P.CATALOGUE_APPROVE}
_RUN_POLICIES = {P.POLICY_CHANGE, P.POLICY_APPROVE, P.POLICY_RESTORE}

# Evidence for auditors. Whoever brings a document is not who lets it count, whatever their roles.
_ASSURE = {P.LEDGER_EXPORT, P.LEDGER_VERIFY, P.DOCUMENT_ADD, P.DOCUMENT_APPROVE}

_REVIEW_ACCESS = {P.ACCESS_REVIEW_RUN, P.ACCESS_REVIEW_ANSWER}

# The permission matrix. Whoever is not listed here may do nothing.
ROLES: dict[Role, frozenset[P]] = {
    # Break-glass only: authz.emergency gives it for an hour or so. It repairs; it never decides.
    Role.PLATFORM_ADMIN: frozenset(
        _READ_WORK | _RUN_PEOPLE | _RUN_SIGN_IN | {P.LEDGER_VIEW, P.EMERGENCY_END}
    ),
    Role.TENANT_ADMIN: frozenset(
        _READ_WORK
        | _FILE_WORK
        | _DECIDE
        | _RUN_CATALOGUE
        | _RUN_PEOPLE
        | _RUN_SIGN_IN
        | {P.LEDGER_VIEW, P.PACK_EXPORT, P.PROJECT_CREATE, P.PROJECT_CLASSIFY}
        | {P.REPOSITORY_REGISTER}
        | _ASSURE
        | {P.FRAMEWORK_CHANGE, P.RETENTION_CHANGE}
        | {P.PLAN_RULE_CHANGE, P.MODELS_CHANGE, P.SPEND_VIEW, P.BUDGET_RAISE}
        | {P.EMERGENCY_APPROVE, P.EMERGENCY_END, P.EXPORT_ORDER}
        | _RUN_POLICIES
        | _REVIEW_ACCESS
    ),
    Role.PROJECT_ADMIN: frozenset(
        _READ_WORK
        | _FILE_WORK
        | _RUN_CATALOGUE
        | _DECIDE
        | {P.MEMBER_VIEW, P.PROJECT_ROLE_CHANGE, P.SHARE_CHANGE, P.REPOSITORY_REGISTER}
        | {P.ACCESS_REVIEW_ANSWER}
        | {P.PLAN_RULE_CHANGE, P.SPEND_VIEW, P.BUDGET_RAISE}
    ),
    Role.DEVELOPER: frozenset(_READ_WORK | _FILE_WORK | {P.MEMBER_VIEW}),
    Role.AUDITOR: frozenset(
        _READ_WORK | {P.MEMBER_VIEW, P.LEDGER_VIEW, P.PACK_EXPORT, P.SPEND_VIEW} | _ASSURE
    ),
    Role.AGENT: frozenset(
        {P.TASK_VIEW, P.TASK_RUN, P.PULL_REQUEST_OPEN, P.REPOSITORY_VIEW, P.MODEL_ASK}
    ),
}

# Roles that may be given for one project; the others always cover the tenant.
PROJECT_ROLES = frozenset({Role.PROJECT_ADMIN, Role.DEVELOPER, Role.AGENT})
# Roles that a tenant hands out itself.
TENANT_ROLES = tuple(role for role in Role if role not in {Role.PLATFORM_ADMIN, Role.AGENT})

# What the product and its operators do by themselves, without an account.
SYSTEM: frozenset[P] = frozenset(
    {P.TENANT_OPEN, P.TENANT_MOVE, P.TENANT_SUSPEND, P.TENANT_EXPORT, P.TENANT_ERASE}
    | {P.RELATIONS_ENGINE, P.RECORD_SIGN, P.TASK_RUN}
    | {P.PROJECT_CREATE, P.REPOSITORY_REGISTER, P.PACK_BUILD, P.PACK_STAMP}
    | {P.LOG_KEY_ROTATE, P.BRANCH_WATCH}
    | {P.CATALOGUE_REFRESH}
    | {P.RETENTION_CHANGE, P.RETENTION_APPLY, P.FRAMEWORK_CHANGE, P.LEDGER_VERIFY}
    | {P.MEMBER_ADMIT, P.MEMBER_INVITE, P.IDENTITY_LINK, P.DIRECTORY_SYNC}
    | {P.ACCESS_REVIEW_REMIND}
    | {P.SESSION_OPEN, P.SESSION_END}
    | {P.EMERGENCY_REQUEST, P.EMERGENCY_APPROVE, P.EMERGENCY_END}
)
# What a customer's directory does over SCIM.
DIRECTORY: frozenset[P] = frozenset({P.DIRECTORY_SYNC})
# What everybody may do to what is their own: the thing's user_id is theirs.
OWN: frozenset[P] = frozenset({P.SESSION_OPEN, P.SESSION_END, P.TOKEN_CREATE, P.TOKEN_REVOKE})

# Whoever asked for a thing, or made it, cannot be the one who lets it through.
NOT_BY_REQUESTER = frozenset(
    {P.CATALOGUE_APPROVE, P.PROPOSAL_COUNTERSIGN, P.PLAN_APPROVE, P.DOCUMENT_APPROVE}
    | {P.EMERGENCY_APPROVE, P.POLICY_APPROVE, P.PROPOSAL_MERGE}
)
# Nothing but a person may do these, whatever roles it holds.
ONLY_BY_PEOPLE = frozenset(
    {
        P.CATALOGUE_CHANGE,
        P.CATALOGUE_APPROVE,
        P.DOCUMENT_APPROVE,
        P.PROPOSAL_COUNTERSIGN,
        P.PROPOSAL_REJECT,
        P.PROPOSAL_MERGE,
        P.PLAN_APPROVE,
        P.MODELS_CHANGE,
        P.BUDGET_RAISE,
        P.PROJECT_CLASSIFY,
        P.EXPORT_ORDER,
    }
    | {P.EMERGENCY_APPROVE, P.EMERGENCY_END}
    | _RUN_PEOPLE
    | _RUN_SIGN_IN
    | _RUN_POLICIES
    | _REVIEW_ACCESS
)


def policy_digest() -> str:
    """SHA-256 (hex) of the rules above, so that a decision names the rules it was made by."""
    rules: dict[str, Any] = {
        "roles": {role.value: sorted(permissions) for role, permissions in ROLES.items()},
        "system": sorted(SYSTEM),
        "directory": sorted(DIRECTORY),
        "own": sorted(OWN),
        "not_by_requester": sorted(NOT_BY_REQUESTER),
        "only_by_people": sorted(ONLY_BY_PEOPLE),
    }
    return sha256(rfc8785.dumps(rules)).hexdigest()


POLICY_DIGEST = policy_digest()
