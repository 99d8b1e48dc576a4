"""Fills a request in from what is there already: a repository's files, a pasted brief."""

from agent.models import Repository
from agent.places import catalogue, forge_address, forge_of
from agent.recommender.brief import Reading, read_brief
from agent.recommender.scan import MAXIMUM_FILES, is_worth_reading, read_repository
from authz.decisions import require
from authz.permissions import Permission
from tenants.actor import Actor


def from_repository(repository: Repository, *, by: Actor) -> list[Reading]:
    """What the newest commit of the default branch says is known and in use.

    Nothing is written. Raises Denied, ForgeRefused, ForgeUnavailable.
    """
    require(by, Permission.REPOSITORY_VIEW, repository)
    forge, address = forge_of(repository), forge_address(repository)
    commit = forge.head(address, repository.default_branch)
    paths = [path for path in forge.list_files(address, commit) if is_worth_reading(path)]
    files = forge.read_files(address, commit, sorted(paths)[:MAXIMUM_FILES])
    return read_repository(files, catalogue())


def from_brief(text: str) -> list[Reading]:
    """What a pasted brief seems to ask for."""
    return read_brief(text, catalogue())
