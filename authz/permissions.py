"""Everything that can be permitted, as "subject.verb"."""

from enum import StrEnum


class Permission(StrEnum):
    """One thing that somebody may or may not do."""

    RECOMMENDATION_CREATE = "recommendation.create"
    TASK_VIEW = "task.view"
    TASK_CANCEL = "task.cancel"
    TASK_RUN = "task.run"  # the agent carries a task out
    PULL_REQUEST_OPEN = "pull_request.open"
    PROPOSAL_VIEW = "proposal.view"
    PROPOSAL_COUNTERSIGN = "proposal.countersign"
    PROPOSAL_REJECT = "proposal.reject"
    REPOSITORY_VIEW = "repository.view"
    REPOSITORY_REGISTER = "repository.register"
    LEDGER_VIEW = "ledger.view"
    PACK_EXPORT = "pack.export"
    PACK_BUILD = "pack.build"  # the evidence worker builds what was asked for
    MEMBER_VIEW = "member.view"
    MEMBER_ADMIT = "member.admit"
    MEMBER_REMOVE = "member.remove"
    ROLE_CHANGE = "role.change"  # roles that cover the whole tenant
    PROJECT_ROLE_CHANGE = "project_role.change"
    PROJECT_CREATE = "project.create"
    TENANT_OPEN = "tenant.open"
