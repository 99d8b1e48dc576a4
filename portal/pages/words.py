"""What permissions and ledger entries are called in plain words."""

from authz.permissions import Permission as P

# Permission -> what one may do, what somebody did.
DEEDS: dict[str, tuple[str, str]] = {
    P.RECOMMENDATION_CREATE: ("ask for a recommendation", "queued a recommendation"),
    P.TASK_VIEW: ("look at requests", "looked at a request"),
    P.TASK_CREATE: ("ask for a repair, upgrade or refactoring", "asked for a change of code"),
    P.TASK_MESSAGE: ("say something to a task", "said something to a task"),
    P.TASK_UNDO: ("undo a task", "undid a task"),
    P.BUDGET_RAISE: ("raise a budget", "raised a budget"),
    P.PLAN_APPROVE: ("decide about a plan", "decided about a plan"),
    P.PLAN_RULE_CHANGE: ("say which plans wait", "changed which plans wait for a person"),
    P.FLAKY_TEST_RELEASE: ("let a flaky test count again", "let a flaky test count again"),
    P.TASK_CANCEL: ("cancel a request", "asked to cancel a request"),
    P.TASK_RUN: ("work on a request", "worked on a request"),
    P.MODELS_CHANGE: ("set up language models", "changed how language models are used"),
    P.MODEL_ASK: ("ask a language model", "asked a language model"),
    P.SPEND_VIEW: ("see what models cost", "looked at what language models cost"),
    P.PULL_REQUEST_OPEN: ("write on the forge", "wrote on the forge"),
    P.PROPOSAL_VIEW: ("look at proposals", "looked at a proposal"),
    P.PROPOSAL_COUNTERSIGN: ("countersign a proposal", "countersigned a proposal"),
    P.PROPOSAL_MERGE: ("merge a proposal", "had a proposal merged"),
    P.PROPOSAL_REJECT: ("reject a proposal", "rejected a proposal"),
    P.REPOSITORY_VIEW: ("look at repositories", "looked at a repository"),
    P.REPOSITORY_REGISTER: ("register a repository", "registered a repository"),
    P.BRANCH_WATCH: ("watch default branches", "looked at what reached a default branch"),
    "branch.bypassed": (
        "note what came in past the portal",
        "found commits on a default branch that nobody countersigned",
    ),
    P.LEDGER_VIEW: ("read the ledger", "read the ledger"),
    P.LEDGER_EXPORT: ("take entries of the ledger away", "took entries of the ledger away"),
    P.LEDGER_VERIFY: ("have the log recounted", "had the log recounted"),
    P.DOCUMENT_ADD: ("add documents for controls", "added or withdrew a document for controls"),
    P.DOCUMENT_APPROVE: ("decide about documents", "decided about a document for controls"),
    P.FRAMEWORK_CHANGE: ("change frameworks", "changed a framework of controls"),
    P.PACK_EXPORT: ("take evidence packs away", "ordered an evidence pack"),
    P.MEMBER_VIEW: ("look at the members", "looked at the members"),
    P.MEMBER_ADMIT: ("admit a person", "admitted a person"),
    P.MEMBER_REMOVE: ("remove a person", "removed a person"),
    P.ROLE_CHANGE: ("change roles of the whole tenant", "changed roles of the whole tenant"),
    P.PROJECT_ROLE_CHANGE: ("change roles of a project", "changed roles of a project"),
    P.PROJECT_CREATE: ("create a project", "created a project"),
    P.PROJECT_CLASSIFY: (
        "say how sensitive a project is",
        "changed how sensitive a project is",
    ),
    P.TEAM_CHANGE: ("change teams", "changed a team"),
    P.LOG_EXPORT_CHANGE: (
        "change where the log is copied to",
        "changed where copies go",
    ),
    P.RELATIONS_ENGINE: ("change the server for relations", "changed the server for relations"),
    P.SHARE_CHANGE: ("share work", "changed whom work is shared with"),
    P.CATALOGUE_VIEW: ("read the catalogue", "read the catalogue"),
    P.CATALOGUE_CHANGE: ("change the catalogue", "changed the catalogue"),
    P.CATALOGUE_REFRESH: ("propose a refresh", "proposed a refresh of the catalogue"),
    P.CATALOGUE_APPROVE: ("decide about a refresh", "decided about a refresh of the catalogue"),
    P.ACCESS_REVIEW_RUN: ("run access reviews", "ran an access review"),
    P.ACCESS_REVIEW_ANSWER: ("review access in a project", "reviewed somebody's access"),
    P.ACCESS_REVIEW_REMIND: ("note that a review is due", "noted that an access review is due"),
    P.TENANT_OPEN: ("open a tenant", "opened the tenant"),
    P.RETENTION_CHANGE: ("say how long facts are kept", "said how long facts are kept"),
    P.RETENTION_APPLY: ("delete facts that are too old", "deleted facts that were too old"),
    P.LOG_KEY_ROTATE: ("have another key sign the log", "had another key sign the log"),
    P.RECORD_SIGN: ("sign the record of a proposal", "signed the record of a proposal"),
    P.PACK_BUILD: ("build an evidence pack", "worked on an evidence pack"),
    P.PACK_STAMP: ("have a pack time-stamped", "asked a time-stamping authority about a pack"),
    "document.download": ("download a document", "downloaded a document for controls"),
    "decision.batch": ("put answers on record", "put answers of the portal on record"),
    "configuration.snapshot": ("note the settings", "noted which settings are in force"),
    "decision.gap": ("note a gap", "noted that answers are missing from the record"),
    "record.download": ("download a signed record", "downloaded the signed record of a proposal"),
    "pack.download": ("download an evidence pack", "downloaded an evidence pack"),
    P.MEMBER_INVITE: ("make an invitation", "made an invitation"),
    P.SESSION_OPEN: ("sign in", "signed in"),
    P.SESSION_END: ("end a session", "ended a session"),
    "session.close": ("sign out", "signed out"),
    P.TOKEN_CREATE: ("create a token", "created a token"),
    P.TOKEN_REVOKE: ("revoke a token", "revoked a token"),
    P.SERVICE_CREATE: ("create a service account", "created a service account"),
    P.IDENTITY_LINK: ("connect an identity", "connected an identity"),
    P.PROVIDER_CHANGE: ("set up single sign-on", "changed single sign-on"),
    P.DIRECTORY_CHANGE: ("set up the directory", "changed what the directory may do or means"),
    P.DIRECTORY_SYNC: ("say who is here", "brought people or groups up to date"),
    P.POLICY_CHANGE: ("propose policies", "proposed policies, or took a proposal back"),
    P.POLICY_APPROVE: ("decide about policies", "decided about policies"),
    P.POLICY_RESTORE: ("restore earlier policies", "restored earlier policies"),
    P.EMERGENCY_REQUEST: ("ask for emergency access", "asked for emergency access"),
    P.EMERGENCY_APPROVE: ("decide about emergency access", "decided about emergency access"),
    P.EMERGENCY_END: ("end emergency access", "ended emergency access"),
    P.TENANT_MOVE: ("move a tenant", "moved the tenant"),
    P.TENANT_SUSPEND: ("close a tenant's doors", "closed or opened the tenant's doors"),
    P.EXPORT_ORDER: ("take everything of the tenant away", "ordered an export of the tenant"),
    P.TENANT_EXPORT: ("export the tenant", "exported the tenant"),
    "export.download": ("download an export", "downloaded an export of the tenant"),
    P.TENANT_ERASE: ("erase a tenant", "erased the tenant"),
}

# One permission may stand behind more than one deed; what it was done to tells them apart.
ON_OTHER_THINGS = {
    (P.ACCESS_REVIEW_RUN.value, "accessreviewitem"): "reviewed somebody's access",
    (P.RECOMMENDATION_CREATE.value, "draft"): "kept a draft of a request",
    (P.PROJECT_CREATE.value, "user"): "created the agent's account",
    (P.TENANT_ERASE.value, "user"): "erased who an account belonged to",
    (P.PULL_REQUEST_OPEN.value, "task"): "prepared to write on the forge",
}


def may_do(permission: str) -> str:
    """What the permission lets somebody do."""
    return DEEDS[permission][0] if permission in DEEDS else permission


def done(action: str, object_type: str) -> str:
    """What an entry says that somebody did, or was kept from."""
    deed, _, ending = action.rpartition(".")
    if ending == "denied":
        return f"was not allowed to {may_do(deed)}"
    if ending == "refused":
        return f"tried to {may_do(deed)}, but things had changed"
    if said := ON_OTHER_THINGS.get((action, object_type)):
        return said
    return DEEDS[action][1] if action in DEEDS else f"did “{action}”"
