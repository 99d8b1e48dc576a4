"""Proposals whose commits stand on a branch of the real forge."""

from typing import Any

from agent.digests import proposal_digest
from agent.forge import Check, Person
from agent.models import Proposal, Repository
from agent.places import artifact_store, forge_address, local_forge
from tests.agent.bug_cases import WRITTEN
from tests.portal.standing import proposal_of


def proposed(company: Any, repository: Repository) -> Proposal:
    """What came of a request of bo's: one commit, its pull request open, every check passed."""
    forge, address = local_forge(), forge_address(repository)
    base = forge.head(address, "main")
    head = forge.publish(
        address,
        branch="countersign/t-1",
        base_sha=base,
        changes={"docs/adr/one.md": b"# One\n"},
        message="docs: one",
        author=Person("Agent", "agent@example.com"),
        co_author=None,
        when=WRITTEN,
    )
    request = forge.open_pull_request(
        address, branch="countersign/t-1", base="main", title="One", body="x", draft=False, key="k"
    )
    forge.set_checks(address, request.number, head_sha=head, checks=[Check("lint: x", True, "")])
    made = proposal_of(company.people["bo"], company.project)
    made.repository, made.number, made.base_sha, made.head_sha = (
        repository, request.number, base, head,
    )  # fmt: skip
    diff = forge.diff(address, base, head)
    made.diff_sha256 = artifact_store().put(made.tenant_id, diff).sha256
    made.digest = proposal_digest(made)
    made.save()
    return made
