"""What a person's signature under a proposal covers."""

from hashlib import sha256

import rfc8785

from agent.models import Proposal


def proposal_digest(proposal: Proposal) -> str:
    """SHA-256 (hex) over everything that is shown to the person who countersigns.

    The commit covers the files, the diff's digest covers what was displayed; title, body, checks
    are what else may sway the decision.
    """
    read = {
        "repository": proposal.repository.name,
        "number": proposal.number,
        "title": proposal.title,
        "body": proposal.body,
        "base_branch": proposal.base_branch,
        "base_sha": proposal.base_sha,
        "head_sha": proposal.head_sha,
        "diff_sha256": proposal.diff_sha256,
        "checks": proposal.checks,
    }
    return sha256(rfc8785.dumps(read)).hexdigest()
