"""Which tables a right opens to the request that asked for it."""

from functools import cache

from authz.permissions import Permission as P

_LOOK = {P.TASK_VIEW, P.PROPOSAL_VIEW}
_FILE = {P.TASK_CREATE, P.RECOMMENDATION_CREATE}
_ON_TASKS = {P.TASK_MESSAGE, P.TASK_CANCEL, P.TASK_UNDO, P.TASK_RUN, P.PLAN_APPROVE, P.BUDGET_RAISE}
_ON_PROPOSALS = {P.PROPOSAL_COUNTERSIGN, P.PROPOSAL_REJECT, P.PROPOSAL_MERGE, P.PULL_REQUEST_OPEN}
_WORK = _LOOK | _FILE | _ON_TASKS | _ON_PROPOSALS | {P.LEDGER_VIEW, P.PACK_EXPORT}
_CATALOGUE = {P.CATALOGUE_VIEW, P.CATALOGUE_CHANGE, P.CATALOGUE_REFRESH, P.CATALOGUE_APPROVE}
_PEOPLE = {P.MEMBER_VIEW, P.MEMBER_ADMIT, P.MEMBER_REMOVE, P.MEMBER_INVITE, P.ROLE_CHANGE}
_PEOPLE |= {P.PROJECT_ROLE_CHANGE, P.SERVICE_CREATE}
_TEAMS = {P.MEMBER_VIEW, P.TEAM_CHANGE, P.SHARE_CHANGE, P.TASK_VIEW}
_REVIEWS = {P.ACCESS_REVIEW_RUN, P.ACCESS_REVIEW_ANSWER, P.LEDGER_VIEW}
_SIGN_IN = {P.PROVIDER_CHANGE}
_DIRECTORY = {P.DIRECTORY_CHANGE, P.DIRECTORY_SYNC, P.PROVIDER_CHANGE}
_POLICIES = {P.POLICY_CHANGE, P.POLICY_APPROVE, P.POLICY_RESTORE}
_TOKENS = {P.TOKEN_CREATE, P.TOKEN_REVOKE, P.SERVICE_CREATE, P.PROVIDER_CHANGE, P.SESSION_END}
_LOG = {P.LEDGER_VIEW, P.LEDGER_VERIFY, P.LOG_EXPORT_CHANGE, P.PACK_EXPORT}
_CONTROLS = {P.LEDGER_VIEW, P.DOCUMENT_ADD, P.DOCUMENT_APPROVE, P.FRAMEWORK_CHANGE, P.PACK_EXPORT}
_MODELS = {P.MODELS_CHANGE, P.MODEL_ASK, P.SPEND_VIEW}
_EMERGENCIES = {P.EMERGENCY_APPROVE, P.EMERGENCY_END}

# Whoever may do anything at all reads names of people and projects: they stand on everything.
BY_ANY = frozenset({"tenants_user", "tenants_membership", "tenants_project"})

# Any one of the rights will do. A table that is not here no request ever reads outside of a change
# or a purpose of tenants.asked.
BY_RIGHT: dict[str, set[P]] = {
    "agent_task": _WORK,
    "agent_plan": _WORK,
    "agent_action": _WORK,
    "agent_message": _WORK,
    "agent_fix": _WORK,
    "agent_flakytest": _WORK | {P.FLAKY_TEST_RELEASE, P.REPOSITORY_VIEW},
    "agent_artifact": _WORK,
    "agent_recommendation": _WORK,
    "agent_passage": _WORK,
    "agent_proposal": _WORK,
    "agent_review": _WORK,
    "agent_bypass": _WORK | {P.REPOSITORY_VIEW},
    "agent_planrule": _WORK | {P.PLAN_RULE_CHANGE, P.MEMBER_VIEW},
    "agent_changereport": _WORK,
    "agent_briefreading": _FILE,
    "agent_modelprovider": _MODELS | _FILE | {P.PROVIDER_CHANGE},
    "agent_offeredmodel": _MODELS | _FILE | {P.PROVIDER_CHANGE},
    "agent_modelrules": _MODELS | _FILE,
    "agent_modelcall": _MODELS | _WORK,
    "agent_draft": _FILE,
    "agent_repository": _WORK | {P.REPOSITORY_VIEW, P.REPOSITORY_REGISTER},
    "agent_codeindex": _WORK | {P.REPOSITORY_VIEW},
    "agent_codepiece": _WORK | {P.REPOSITORY_VIEW},
    "agent_catalogueentry": _CATALOGUE | _WORK | {P.REPOSITORY_VIEW},
    "agent_cataloguesource": _CATALOGUE,
    "agent_cataloguerefresh": _CATALOGUE | _WORK | {P.REPOSITORY_VIEW},
    "authz_grant": _PEOPLE | _REVIEWS | _SIGN_IN | {P.DIRECTORY_CHANGE},
    "authz_grouprole": _DIRECTORY | {P.MEMBER_VIEW},
    "authz_apitoken": _TOKENS,
    "authz_emergency": _EMERGENCIES,
    "authz_policyversion": _POLICIES | {P.LEDGER_VIEW, P.PROVIDER_CHANGE},
    "authz_team": _TEAMS | _REVIEWS,
    "authz_teammember": _TEAMS | _REVIEWS,
    "authz_share": _TEAMS | _REVIEWS,
    "authz_accessreview": _REVIEWS,
    "authz_accessreviewitem": _REVIEWS,
    "authz_logdestination": {P.LOG_EXPORT_CHANGE, P.PROVIDER_CHANGE},
    "evidence_entry": _LOG | _CONTROLS | _POLICIES | _LOOK,
    "evidence_payload": _LOG | _CONTROLS | _POLICIES | _LOOK,
    "evidence_stagedentry": _LOG | _CONTROLS | _POLICIES | _LOOK,
    "evidence_loghead": _LOG | _CONTROLS,
    "evidence_logkey": _LOG,
    "evidence_checkpoint": _LOG | _CONTROLS,
    "evidence_cosignature": _LOG,
    "evidence_subtreeroot": _LOG,
    "evidence_logcheck": _LOG,
    "evidence_retention": {P.LEDGER_VIEW, P.RETENTION_CHANGE, P.PROVIDER_CHANGE},
    "evidence_controldocument": _CONTROLS,
    "evidence_ownframework": _CONTROLS,
    "evidence_pack": {P.PACK_EXPORT, P.EXPORT_ORDER} | _LOOK,
    "evidence_signedrecord": _LOG | _LOOK,
    "tenants_session": {P.SESSION_END, P.SESSION_OPEN, P.MEMBER_VIEW},
    "tenants_identity": _DIRECTORY | {P.MEMBER_VIEW},
    "tenants_identityprovider": _SIGN_IN | {P.DIRECTORY_CHANGE},
    "tenants_directoryclient": _DIRECTORY,
    "tenants_directoryperson": _DIRECTORY,
    "tenants_directorygroup": _DIRECTORY | {P.MEMBER_VIEW},
    "tenants_directorymember": _DIRECTORY | {P.MEMBER_VIEW},
    "tenants_directoryrequest": _DIRECTORY,
}


@cache
def opened_by(permission: str) -> frozenset[str]:
    """The tables that a request may read once somebody was told that they may do this."""
    return BY_ANY | {table for table, rights in BY_RIGHT.items() if permission in rights}
