"""What permissions and ledger entries are called in plain words."""

from authz.permissions import Permission as P

# Permission -> what one may do, what somebody did.
DEEDS: dict[str, tuple[str, str]] = {
    P.RECOMMENDATION_CREATE: ("ask for a recommendation", "queued a recommendation"),
    P.TASK_VIEW: ("look at requests", "looked at a request"),
    P.TASK_CANCEL: ("cancel a request", "asked to cancel a request"),
    P.TASK_RUN: ("work on a request", "worked on a request"),
    P.PULL_REQUEST_OPEN: ("write on the forge", "wrote on the forge"),
    P.PROPOSAL_VIEW: ("look at proposals", "looked at a proposal"),
    P.PROPOSAL_COUNTERSIGN: ("countersign a proposal", "countersigned a proposal"),
    P.PROPOSAL_REJECT: ("reject a proposal", "rejected a proposal"),
    P.REPOSITORY_VIEW: ("look at repositories", "looked at a repository"),
    P.REPOSITORY_REGISTER: ("register a repository", "registered a repository"),
    P.LEDGER_VIEW: ("read the ledger", "read the ledger"),
    P.PACK_EXPORT: ("take evidence packs away", "ordered an evidence pack"),
    P.MEMBER_VIEW: ("look at the members", "looked at the members"),
    P.MEMBER_ADMIT: ("admit a person", "admitted a person"),
    P.MEMBER_REMOVE: ("remove a person", "removed a person"),
    P.ROLE_CHANGE: ("change roles of the whole tenant", "changed roles of the whole tenant"),
    P.PROJECT_ROLE_CHANGE: ("change roles of a project", "changed roles of a project"),
    P.PROJECT_CREATE: ("create a project", "created a project"),
    P.TENANT_OPEN: ("open a tenant", "opened the tenant"),
    P.PACK_BUILD: ("build an evidence pack", "worked on an evidence pack"),
    "pack.download": ("download an evidence pack", "downloaded an evidence pack"),
    "session.open": ("sign in", "signed in"),
    "session.close": ("sign out", "signed out"),
}

# One permission may stand behind more than one deed; what it was done to tells them apart.
ON_OTHER_THINGS = {
    (P.RECOMMENDATION_CREATE.value, "draft"): "kept a draft of a request",
    (P.PROJECT_CREATE.value, "user"): "created the agent's account",
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
