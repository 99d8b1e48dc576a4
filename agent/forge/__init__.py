"""What the agent may ask of a code host, whichever one it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

PullRequestState = Literal["open", "closed", "merged"]


class ForgeRefused(Exception):
    """The code host's answer is no; asking again with the same words gets the same answer."""


class ForgeUnavailable(Exception):
    """The code host cannot answer now; nothing was changed, so asking again later is safe."""


@dataclass(frozen=True, slots=True)
class Repository:
    """One repository of one tenant."""

    tenant_id: UUID
    name: str


@dataclass(frozen=True, slots=True)
class Person:
    """Whoever a commit names as its author or co-author."""

    name: str
    email: str


@dataclass(frozen=True, slots=True)
class Change:
    """The new content of one file; content None deletes it, executable None keeps its mode."""

    path: str
    content: bytes | None
    executable: bool | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check on a pull request's head commit."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A pull request as the code host knows it at the moment of asking.

    base_sha is the commit where the branch left its base, so base_sha..head_sha is the diff.
    checks belong to head_sha: they are empty again once the branch has moved.
    url is where a person can look at it; empty when the code host has no pages of its own.
    """

    number: int
    title: str
    body: str
    head_branch: str
    base_branch: str
    head_sha: str
    base_sha: str
    draft: bool
    state: PullRequestState
    checks: tuple[Check, ...]
    url: str
    closing_reason: str = ""


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit as git says it was made: author and moment are whatever its maker wrote."""

    sha: str
    parents: tuple[str, ...]
    at: str  # when it was committed, ISO 8601
    author: str
    subject: str


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What a branch holds that it did not hold before.

    commits: on the branch's own line (first parents), oldest first. continues: whether the branch
    still holds the commit it was compared with; otherwise somebody rewrote it.
    """

    tip: str
    commits: tuple[Commit, ...]
    continues: bool


class Forge(Protocol):
    """A code host, as far as the agent may use it.

    There is no way to merge here: only people change a protected branch, through Merging.
    Every method raises ForgeRefused or ForgeUnavailable and nothing else of its own. Shas are
    40 hexadecimal digits; a `ref` is a sha or the name of a branch.
    """

    def default_branch(self, repo: Repository) -> str:
        """Name of the branch that pull requests are aimed at."""
        ...

    def head(self, repo: Repository, branch: str) -> str:
        """Sha of a branch's newest commit. Raises ForgeRefused when there is no such branch."""
        ...

    def arrivals(self, repo: Repository, branch: str, *, since: str) -> Arrivals:
        """What came to a branch since it stood at `since`, a sha."""
        ...

    def only_joins(self, repo: Repository, commit: Commit) -> bool:
        """Whether a commit of two parents holds what these two give, and nothing besides."""
        ...

    def commit(self, repo: Repository, sha: str) -> bytes:
        """The bytes that a commit's id is the digest of. Raises ForgeRefused when it is gone."""
        ...

    def tree(self, repo: Repository, sha: str) -> str:
        """Sha of the tree of a commit: what the files are, apart from how they came about."""
        ...

    def read(self, repo: Repository, ref: str, path: str) -> bytes | None:
        """Content of one regular file, or None when there is none (symbolic links are not read)."""
        ...

    def read_files(self, repo: Repository, ref: str, paths: Sequence[str]) -> dict[str, bytes]:
        """Contents of many files in one call; paths that are no regular files are left out."""
        ...

    def list_files(self, repo: Repository, ref: str) -> list[str]:
        """Paths of all regular files in byte order; names that are not UTF-8 are left out."""
        ...

    def publish(
        self,
        repo: Repository,
        *,
        branch: str,
        base_sha: str,
        changes: Mapping[str, bytes | None],
        message: str,
        author: Person,
        co_author: Person | None,
        when: datetime,
    ) -> str:
        """Put one commit with `changes` on top of `base_sha` and let `branch` point to it.

        The branch must be new or stand at `base_sha`. The same input twice gives the same
        commit once, also when the branch has moved on from it since. `when` needs a time zone;
        it is the commit's only clock.
        Raises ForgeRefused for a protected branch, a branch that stands elsewhere, a forbidden
        path, or changes that change nothing; the repository is then as it was.
        """
        ...

    def apply_patch(
        self,
        repo: Repository,
        *,
        branch: str,
        base_sha: str,
        unified_diff: bytes,
        message: str,
        author: Person,
        co_author: Person | None,
        when: datetime,
    ) -> str:
        """Publish what a unified diff in git's format makes of `base_sha`; rules as for publish."""
        ...

    def diff(self, repo: Repository, base_sha: str, head_sha: str) -> bytes:
        """Unified diff between two commits: renames found, three lines around, full object ids.

        The same two commits always give the same bytes, whatever the repository's own settings.
        """
        ...

    def open_pull_request(
        self,
        repo: Repository,
        *,
        branch: str,
        base: str,
        title: str,
        body: str,
        draft: bool,
        key: str,
    ) -> PullRequest:
        """Open a pull request, or give back the one that was opened with the same `key` before.

        Raises ForgeRefused when the key was used for another branch or there is no difference.
        """
        ...

    def set_checks(
        self, repo: Repository, number: int, *, head_sha: str, checks: Sequence[Check]
    ) -> PullRequest:
        """Replace the checks. Raises ForgeRefused when `head_sha` is no longer the head."""
        ...

    def mark_ready(self, repo: Repository, number: int) -> PullRequest:
        """Turn a draft into a pull request that asks for review; harmless when it is one."""
        ...

    def close_pull_request(self, repo: Repository, number: int, *, reason: str) -> PullRequest:
        """Close without merging; harmless when it is closed. The branch stays."""
        ...

    def delete_branch(self, repo: Repository, branch: str, *, head_sha: str) -> None:
        """Take a branch away that still stands at `head_sha`; harmless when it is gone.

        What a pull request pointed at stays readable. Raises ForgeRefused for a protected branch
        and for one that has moved on.
        """
        ...

    def pull_request(self, repo: Repository, number: int) -> PullRequest:
        """One pull request. Raises ForgeRefused when there is no such number."""
        ...

    def pull_requests(self, repo: Repository) -> list[PullRequest]:
        """All pull requests, lowest number first."""
        ...

    def clone_url(self, repo: Repository) -> str:
        """What to hand to `git clone`."""
        ...


class Merging(Protocol):
    """The one thing that a code host does for people only; whatever the agent holds has it not."""

    def merge(
        self,
        repo: Repository,
        number: int,
        *,
        head_sha: str,
        message: str,
        merger: Person,
        when: datetime,
    ) -> str:
        """Merge a pull request that stands at `head_sha`; returns the commit on its base branch.

        The commit has two parents, and `merger` as its author. One that is merged at `head_sha`
        already gives the commit that brought it in. Raises ForgeRefused when it is closed or a
        draft, stands elsewhere, has no checks or failing ones on that commit, conflicts with its
        base, or was brought in by others with other files than the two sides give; nothing is
        changed then.
        """
        ...
