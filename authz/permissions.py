"""Everything that can be permitted, as "subject.verb"."""

from enum import StrEnum


class Permission(StrEnum):
    """One thing that somebody may or may not do."""

    RECOMMENDATION_CREATE = "recommendation.create"
    TASK_VIEW = "task.view"
    TASK_CREATE = "task.create"  # ask the agent to repair something
    TASK_MESSAGE = "task.message"  # say something to a task that runs
    TASK_CANCEL = "task.cancel"
    TASK_UNDO = "task.undo"  # close the pull request, delete the branch
    BUDGET_RAISE = "budget.raise"  # more steps, time, tokens, money than was allowed before
    PLAN_APPROVE = "plan.approve"  # let the agent carry its plan out, or not
    PLAN_RULE_CHANGE = "plan_rule.change"  # which plans wait for a person
    FLAKY_TEST_RELEASE = "flaky_test.release"  # let a test that was set aside count again
    TASK_RUN = "task.run"  # the agent carries a task out
    MODELS_CHANGE = "models.change"  # providers, keys, prices, limits of language models
    MODEL_ASK = "model.ask"  # send something to a language model
    SPEND_VIEW = "spend.view"  # what language models cost, by project, task, person
    PULL_REQUEST_OPEN = "pull_request.open"
    PROPOSAL_VIEW = "proposal.view"
    PROPOSAL_COUNTERSIGN = "proposal.countersign"
    PROPOSAL_MERGE = "proposal.merge"  # bring what was countersigned into the protected branch
    PROPOSAL_REJECT = "proposal.reject"
    REPOSITORY_VIEW = "repository.view"
    REPOSITORY_REGISTER = "repository.register"
    BRANCH_WATCH = "branch.watch"  # compare a default branch with what people countersigned
    CATALOGUE_VIEW = "catalogue.view"
    CATALOGUE_CHANGE = "catalogue.change"  # technologies, facts and standards of the tenant
    CATALOGUE_REFRESH = "catalogue.refresh"  # put what a source says anew to the others
    CATALOGUE_APPROVE = "catalogue.approve"  # let it into the tenant's catalogue, or not
    LEDGER_VIEW = "ledger.view"
    LEDGER_EXPORT = "ledger.export"  # take entries away as a file
    LEDGER_VERIFY = "ledger.verify"  # have the whole log recounted
    DOCUMENT_ADD = "document.add"  # evidence that people bring for a control
    DOCUMENT_APPROVE = "document.approve"  # let it count, or not
    FRAMEWORK_CHANGE = "framework.change"  # controls of the tenant's own, and what shows them
    PACK_EXPORT = "pack.export"
    RECORD_SIGN = "record.sign"  # the evidence worker signs what is known of a proposal
    RETENTION_CHANGE = "retention.change"  # how long a tenant's facts and decisions are kept
    RETENTION_APPLY = "retention.apply"  # what is older goes; leaves never do
    LOG_KEY_ROTATE = "log_key.rotate"  # another key signs the tenant's log from now on
    PACK_BUILD = "pack.build"  # the evidence worker builds what was asked for
    PACK_STAMP = "pack.stamp"  # an authority outside is asked since when a pack's head was there
    MEMBER_VIEW = "member.view"
    MEMBER_ADMIT = "member.admit"
    MEMBER_REMOVE = "member.remove"
    ROLE_CHANGE = "role.change"  # roles that cover the whole tenant
    PROJECT_ROLE_CHANGE = "project_role.change"
    PROJECT_CREATE = "project.create"
    PROJECT_CLASSIFY = "project.classify"  # how sensitive its work is, which policies look at
    TEAM_CHANGE = "team.change"  # who is in which team
    LOG_EXPORT_CHANGE = "log_export.change"  # where the ledger is copied to
    RELATIONS_ENGINE = "relations.engine"  # which server answers questions about relations
    SHARE_CHANGE = "share.change"  # who may look at one project or task besides
    ACCESS_REVIEW_RUN = "access_review.run"  # start, assign, close; answer for the whole tenant
    ACCESS_REVIEW_ANSWER = "access_review.answer"  # keep or end what is held in a project
    ACCESS_REVIEW_REMIND = "access_review.remind"  # the schedule notes that one is due
    MEMBER_INVITE = "member.invite"  # a link that lets somebody in once
    SESSION_OPEN = "session.open"
    SESSION_END = "session.end"
    TOKEN_CREATE = "token.create"
    TOKEN_REVOKE = "token.revoke"
    SERVICE_CREATE = "service.create"  # an account for a program of the customer's
    IDENTITY_LINK = "identity.link"  # a provider's name for a person becomes an account's
    PROVIDER_CHANGE = "provider.change"
    DIRECTORY_CHANGE = "directory.change"  # its tokens, what its groups mean
    DIRECTORY_SYNC = "directory.sync"  # the directory says who is here
    POLICY_CHANGE = "policy.change"  # propose rules of the tenant, take a proposal back
    POLICY_APPROVE = "policy.approve"
    POLICY_RESTORE = "policy.restore"  # go back to the rules before
    EMERGENCY_REQUEST = "emergency.request"
    EMERGENCY_APPROVE = "emergency.approve"
    EMERGENCY_END = "emergency.end"
    TENANT_OPEN = "tenant.open"
    TENANT_MOVE = "tenant.move"
    TENANT_SUSPEND = "tenant.suspend"
    EXPORT_ORDER = "export.order"  # everything of the tenant as one file, to take away
    TENANT_EXPORT = "tenant.export"  # the product writes that file
    TENANT_ERASE = "tenant.erase"
