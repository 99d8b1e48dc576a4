"""A code host made of bare git repositories in one folder."""

import errno
import hashlib
import shutil
import stat
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from uuid import UUID

from agent.forge import (
    Arrivals,
    Change,
    Check,
    Commit,
    ForgeRefused,
    ForgeUnavailable,
    Person,
    PullRequest,
    PullRequestState,
    Repository,
    git,
    history,
    objects,
    policy,
    records,
)

READ_LIMIT = 50 * 1024 * 1024  # bytes of one file
ATTEMPTS = 50  # lost races before giving up
BUNDLE_TIME_LIMIT = 3600.0  # seconds to write a whole repository

# Written once per repository, below what `git init` writes.
_REPOSITORY_SETTINGS = """\
[receive]
\tdenyNonFastForwards = true
[transfer]
\thideRefs = refs/pull-keys
"""


@dataclass(frozen=True, slots=True)
class _Branches:
    default: str
    tips: Mapping[str, str]  # sha by name


class LocalForge:
    """Repositories at `<root>/<tenant id>/<name>.git`, written without a work tree.

    A pull request is a pair of refs in the repository itself: refs/pull/<n>/head names its
    commit, refs/pull/<n>/record a JSON blob. Every ref moves by compare-and-swap; objects are
    written aside, flushed to disk and only then moved in, so that a refusal, a full disk or a
    killed process leaves nothing that a reader could see.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root).resolve()

    # Repositories

    def create_repository(
        self,
        repo: Repository,
        *,
        default_branch: str = "main",
        files: Mapping[str, bytes],
        author: Person,
        when: datetime,
        message: str,
    ) -> str:
        """Make a repository with one commit, or find the one made by the same call before.

        Returns the sha of that first commit. Raises ForgeRefused when the name is taken by a
        repository that began differently.
        """
        policy.check_branch_name(default_branch)
        changes = [Change(path, content) for path, content in sorted(files.items())]
        for change in changes:
            policy.check_path(change.path)
        policy.check_changes(changes)
        text = policy.commit_message(message, None)
        signature = policy.signature_line(author, when)
        final = self._path(repo)
        with objects.disk_errors():
            final.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            self._require_plain_folder(final.parent)
            building = Path(tempfile.mkdtemp(prefix=".new-", dir=final.parent))
        try:
            git.run(
                building,
                *(
                    "init",
                    "--quiet",
                    "--bare",
                    "--template=",
                    f"--initial-branch={default_branch}",
                ),
            )
            with objects.disk_errors(), (building / "config").open("a") as config:
                config.write(_REPOSITORY_SETTINGS)
            commit, _ = objects.import_commit(
                building,
                None,
                changes,
                {},
                signature=signature,
                text=text,
                environment={},
            )
            git.run(building, "update-ref", "refs/heads/" + default_branch, commit)
            with objects.disk_errors():
                building.chmod(0o750)
                objects.flush_folders(building)
            try:
                building.rename(final)
            except OSError as error:
                # Renaming onto a repository fails, because that folder is not empty.
                if error.errno not in {errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR}:
                    raise ForgeUnavailable(f"the disk refused: {error.strerror}") from error
                self._require_same_beginning(repo, default_branch, commit)
            else:
                objects.flush_folder(final.parent)
        finally:
            shutil.rmtree(building, ignore_errors=True)
        return commit

    def clone_url(self, repo: Repository) -> str:
        return str(self._open(repo))

    # All of one tenant's

    def repositories(self, tenant_id: UUID) -> list[Repository]:
        """Every repository of a tenant, by name."""
        folder = self.root / str(tenant_id)
        names = sorted(path.stem for path in folder.glob("*.git")) if folder.is_dir() else []
        return [Repository(tenant_id=tenant_id, name=name) for name in names]

    def bundle(self, repo: Repository, target: Path) -> None:
        """Write the whole repository, pull requests too, as one file that git can clone."""
        git_dir = self._open(repo)
        git.run(
            git_dir,
            *("bundle", "create", "--quiet", str(target.resolve()), "--all"),
            time_limit=BUNDLE_TIME_LIMIT,
        )

    def erase(self, tenant_id: UUID) -> int:
        """Delete every repository of a tenant; returns how many those were."""
        count = len(self.repositories(tenant_id))
        folder = self.root / str(tenant_id)
        with objects.disk_errors():
            if folder.is_dir() and not folder.is_symlink():
                shutil.rmtree(folder)
                objects.flush_folder(self.root)
        return count

    # Reading

    def default_branch(self, repo: Repository) -> str:
        return self._branches(self._open(repo)).default

    def head(self, repo: Repository, branch: str) -> str:
        return self._tip(self._branches(self._open(repo)), branch)

    def arrivals(self, repo: Repository, branch: str, *, since: str) -> Arrivals:
        policy.check_sha(since)
        git_dir = self._open(repo)
        return history.arrivals(git_dir, since, self._tip(self._branches(git_dir), branch))

    def only_joins(self, repo: Repository, commit: Commit) -> bool:
        return history.only_joins(self._open(repo), commit.sha, commit.parents)

    def commit(self, repo: Repository, sha: str) -> bytes:
        policy.check_sha(sha)
        git_dir = self._open(repo)
        objects.require_commits(git_dir, sha)
        return git.run(git_dir, "cat-file", "commit", sha).output

    def tree(self, repo: Repository, sha: str) -> str:
        policy.check_sha(sha)
        git_dir = self._open(repo)
        objects.require_commits(git_dir, sha)
        return git.run(git_dir, "rev-parse", "--verify", f"{sha}^{{tree}}").output.decode().strip()

    def read(self, repo: Repository, ref: str, path: str) -> bytes | None:
        return self.read_files(repo, ref, [path]).get(path)

    def read_files(self, repo: Repository, ref: str, paths: Sequence[str]) -> dict[str, bytes]:
        git_dir = self._open(repo)
        for path in paths:
            policy.check_path(path)
        if not paths:
            return {}
        tree = objects.files_of_commit(git_dir, _revision(ref), paths)
        wanted = {path: tree[path] for path in paths if path in tree and _is_file(tree[path])}
        for path, entry in wanted.items():
            if entry.size > READ_LIMIT:
                raise ForgeRefused(f"{path!r} has more than {READ_LIMIT} bytes")
        contents = objects.blobs(git_dir, [entry.sha for entry in wanted.values()])
        return dict(zip(wanted, contents, strict=True))

    def list_files(self, repo: Repository, ref: str) -> list[str]:
        tree = objects.files_of_commit(self._open(repo), _revision(ref))
        return [path for path, entry in tree.items() if _is_file(entry) and _is_utf8(path)]

    def diff(self, repo: Repository, base_sha: str, head_sha: str) -> bytes:
        policy.check_sha(base_sha)
        policy.check_sha(head_sha)
        git_dir = self._open(repo)
        objects.require_commits(git_dir, base_sha, head_sha)
        return git.run(
            git_dir,
            *("diff-tree", "-r", "-p", "--full-index", "--no-color", "--no-ext-diff"),
            *("--no-textconv", "--find-renames=50%", "-l400", "--diff-algorithm=myers"),
            *("--indent-heuristic", "--unified=3", "--inter-hunk-context=0"),
            *(
                "--src-prefix=a/",
                "--dst-prefix=b/",
                "--end-of-options",
                base_sha,
                head_sha,
            ),
        ).output

    # Writing

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
        return self._commit(
            self._open(repo),
            [Change(path, content) for path, content in sorted(changes.items())],
            branch=branch,
            base_sha=base_sha,
            signature=policy.signature_line(author, when),
            text=policy.commit_message(message, co_author),
        )

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
        policy.check_sha(base_sha)
        if len(unified_diff) > policy.TOTAL_LIMIT:
            raise ForgeRefused(f"a patch of more than {policy.TOTAL_LIMIT} bytes")
        git_dir = self._open(repo)
        objects.require_commits(git_dir, base_sha)
        return self._commit(
            git_dir,
            objects.changes_of_patch(git_dir, base_sha, unified_diff),
            branch=branch,
            base_sha=base_sha,
            signature=policy.signature_line(author, when),
            text=policy.commit_message(message, co_author),
        )

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
        policy.check_title(title)
        policy.check_text(body)
        if not key:
            raise ForgeRefused("a pull request needs a key")
        git_dir = self._open(repo)
        key_ref = "refs/pull-keys/" + hashlib.sha256(key.encode()).hexdigest()
        for _ in range(ATTEMPTS):
            branches = self._branches(git_dir)
            if known := records.opened_before(git_dir, key_ref):
                if known.record.head_branch != branch or known.record.base_branch != base:
                    number = known.record.number
                    raise ForgeRefused(f"this key opened pull request {number} already")
                records.complete(git_dir, known)
                return self.pull_request(repo, known.record.number)
            head_sha, base_tip = self._tip(branches, branch), self._tip(branches, base)
            record = records.Record(
                number=records.last_number(git_dir) + 1,
                key=key,
                title=title,
                body=body,
                head_branch=branch,
                base_branch=base,
                head_sha=head_sha,
                base_sha=objects.fork_point(git_dir, base_tip, head_sha),
                draft=draft,
            )
            if record.base_sha == head_sha:
                raise ForgeRefused(f"branch {branch!r} holds nothing that {base!r} does not")
            blob = objects.store_blob(git_dir, record.to_bytes())
            # All or none; should git be killed half-way, the head has reserved the number and
            # the key leads to the record that is still to be written.
            moves = [
                (f"refs/pull/{record.number}/head", head_sha, None),
                (key_ref, blob, None),
                (f"refs/pull/{record.number}/record", blob, None),
            ]
            if records.try_moving_refs(git_dir, moves):
                return _pull_request(record, head_sha, "open")
        raise ForgeUnavailable("too many pull requests are being opened at once")

    def set_checks(
        self, repo: Repository, number: int, *, head_sha: str, checks: Sequence[Check]
    ) -> PullRequest:
        for check in checks:
            policy.check_title(check.name)
            policy.check_text(check.detail)

        def with_checks(record: records.Record, now: PullRequest) -> records.Record:
            if now.head_sha != head_sha:
                raise ForgeRefused(f"pull request {number} stands at another commit now")
            return replace(record, checks=tuple(checks))

        return self._rewrite(repo, number, with_checks)

    def mark_ready(self, repo: Repository, number: int) -> PullRequest:
        def ready(record: records.Record, now: PullRequest) -> records.Record:
            if now.state != "open":
                raise ForgeRefused(f"pull request {number} is {now.state}")
            return replace(record, draft=False)

        return self._rewrite(repo, number, ready)

    def close_pull_request(self, repo: Repository, number: int, *, reason: str) -> PullRequest:
        policy.check_text(reason)

        def closed(record: records.Record, now: PullRequest) -> records.Record:
            if now.state == "merged":
                raise ForgeRefused(f"pull request {number} is merged")
            if now.state == "closed":
                return record
            return replace(record, closed=True, closing_reason=reason)

        return self._rewrite(repo, number, closed)

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
        policy.check_sha(head_sha)
        text = policy.commit_message(message, None)
        signature = policy.signature_line(merger, when)
        git_dir = self._open(repo)
        for _ in range(ATTEMPTS):
            now = self._seen(git_dir, [records.stored(git_dir, number)])[0]
            branches = self._branches(git_dir)
            base_tip = self._tip(branches, now.base_branch)
            if now.head_sha != head_sha:
                raise ForgeRefused(f"pull request {number} stands at another commit now")
            if now.state == "merged":
                commit, parents = objects.brought_in_by(git_dir, head_sha, base_tip)
                if commit != head_sha and not history.only_joins(git_dir, commit, parents):
                    raise ForgeRefused(
                        f"pull request {number} was merged by others, with other files than its own"
                    )
                return commit
            _require_mergeable(now)
            with objects.staged_objects(git_dir) as staging:
                commit = objects.merge_commit(
                    git_dir,
                    base_tip,
                    head_sha,
                    signature=signature,
                    text=text,
                    environment=staging.environment,
                )
                staging.keep()
            moves = [("refs/heads/" + now.base_branch, commit, base_tip)]
            if now.head_branch in branches.tips:
                # Held in place too: what was checked is what comes in.
                moves.append(("refs/heads/" + now.head_branch, head_sha, head_sha))
            if records.try_moving_refs(git_dir, moves):
                return commit
        raise ForgeUnavailable(f"branch {now.base_branch!r} is changed by others all the time")

    def delete_branch(self, repo: Repository, branch: str, *, head_sha: str) -> None:
        policy.check_branch_name(branch)
        policy.check_sha(head_sha)
        git_dir = self._open(repo)
        branches = self._branches(git_dir)
        if branch.casefold() == branches.default.casefold():
            raise ForgeRefused(f"branch {branch!r} is protected: only people change it")
        if branch not in branches.tips:
            return
        gone = git.run(
            git_dir, "update-ref", "-d", f"refs/heads/{branch}", head_sha, expected=(0, 1, 128)
        )
        if gone.status:
            raise ForgeRefused(f"branch {branch!r} has moved on; it is left as it stands")

    def pull_request(self, repo: Repository, number: int) -> PullRequest:
        git_dir = self._open(repo)
        return self._seen(git_dir, [records.stored(git_dir, number)])[0]

    def pull_requests(self, repo: Repository) -> list[PullRequest]:
        git_dir = self._open(repo)
        return self._seen(git_dir, records.all_stored(git_dir))

    def _path(self, repo: Repository) -> Path:
        policy.check_repository_name(repo.name)
        return self.root / str(repo.tenant_id) / f"{repo.name}.git"

    def _open(self, repo: Repository) -> Path:
        git_dir = self._path(repo)
        self._require_plain_folder(git_dir.parent)
        self._require_plain_folder(git_dir)
        git.require_untampered(git_dir)
        return git_dir

    def _require_plain_folder(self, folder: Path) -> None:
        try:
            mode = folder.lstat().st_mode
        except FileNotFoundError:
            raise ForgeRefused("no such repository") from None
        # A link would let one tenant's name lead into another tenant's folder.
        if not stat.S_ISDIR(mode):
            raise ForgeRefused(f"{folder.name} is not a folder")

    def _require_same_beginning(self, repo: Repository, branch: str, commit: str) -> None:
        git_dir = self._open(repo)
        tip = self._branches(git_dir).tips.get(branch)
        if tip is None or not objects.is_ancestor(git_dir, commit, tip):
            raise ForgeRefused(f"another repository is called {repo.name!r}")

    def _branches(self, git_dir: Path) -> _Branches:
        listing = git.run(
            git_dir,
            "for-each-ref",
            "--format=%(HEAD)%(objectname) %(refname)",
            "refs/heads/",
        ).output.decode(errors="surrogateescape")
        default, tips = None, {}
        for line in listing.splitlines():
            sha, name = line[1:].split(" ", 1)
            name = name.removeprefix("refs/heads/")
            tips[name] = sha
            if line[0] == "*":
                default = name
        if default is None:
            raise ForgeRefused(f"repository {git_dir.name} has no default branch")
        return _Branches(default, tips)

    def _tip(self, branches: _Branches, branch: str) -> str:
        policy.check_branch_name(branch)
        if branch not in branches.tips:
            raise ForgeRefused(f"no such branch: {branch!r}")
        return branches.tips[branch]

    def _commit(
        self,
        git_dir: Path,
        changes: Sequence[Change],
        *,
        branch: str,
        base_sha: str,
        signature: bytes,
        text: bytes,
    ) -> str:
        policy.check_branch_name(branch)
        policy.check_sha(base_sha)
        for change in changes:
            policy.check_agent_path(change.path)
        policy.check_changes(changes)
        branches = self._branches(git_dir)
        _require_writable(branches, branch)
        tree = objects.files_of_commit(git_dir, f"{base_sha}^{{commit}}")
        modes = {path: entry.mode for path, entry in tree.items()}
        policy.check_against_tree(changes, modes)
        tip = branches.tips.get(branch)
        with objects.staged_objects(git_dir) as staging:
            commit, unchanged = objects.import_commit(
                git_dir,
                base_sha,
                changes,
                modes,
                signature=signature,
                text=text,
                environment=staging.environment,
            )
            if tip and objects.is_ancestor(git_dir, commit, tip):
                return commit
            if unchanged:
                raise ForgeRefused("the changes leave every file as it is")
            if tip not in {None, base_sha}:
                raise ForgeRefused(f"branch {branch!r} stands at another commit")
            staging.keep()
        if records.try_moving_refs(git_dir, [("refs/heads/" + branch, commit, tip)]):
            return commit
        # Somebody else moved the branch first; a resumed worker may meet its own earlier self.
        now = self._branches(git_dir).tips.get(branch)
        if now and objects.is_ancestor(git_dir, commit, now):
            return commit
        if now == tip:
            raise ForgeUnavailable(f"branch {branch!r} is locked by another process")
        raise ForgeRefused(f"branch {branch!r} stands at another commit")

    def _rewrite(
        self,
        repo: Repository,
        number: int,
        change: Callable[[records.Record, PullRequest], records.Record],
    ) -> PullRequest:
        git_dir = self._open(repo)
        for _ in range(ATTEMPTS):
            stored = records.stored(git_dir, number)
            now = self._seen(git_dir, [stored])[0]
            # The record follows the branch first, so that old checks never land on a new head.
            current = replace(stored.record, head_sha=now.head_sha, checks=now.checks)
            new = change(current, now)
            if new == stored.record:
                return now
            blob = objects.store_blob(git_dir, new.to_bytes())
            name = f"refs/pull/{number}"
            moves = [
                (name + "/head", new.head_sha, stored.record.head_sha),
                (name + "/record", blob, stored.blob),
            ]
            if records.try_moving_refs(git_dir, moves):
                return self._seen(git_dir, [records.Stored(new, blob)])[0]
        raise ForgeUnavailable(f"pull request {number} is changed by others all the time")

    def _seen(self, git_dir: Path, known: Sequence[records.Stored]) -> list[PullRequest]:
        """The records as a reader sees them: following their branches, knowing what was merged."""
        tips = self._branches(git_dir).tips
        merged: dict[str, set[str]] = {}
        found = []
        for record, _ in known:
            head_sha = record.head_sha
            state: PullRequestState = "closed"
            if not record.closed:
                head_sha = tips.get(record.head_branch, record.head_sha)
                state = "open"
                base = record.base_branch
                if base in tips:
                    if base not in merged:
                        merged[base] = objects.merged_shas(git_dir, base)
                    if head_sha in merged[base]:
                        state = "merged"
            found.append(_pull_request(record, head_sha, state))
        return found


def _revision(ref: str) -> str:
    try:
        policy.check_sha(ref)
    except ForgeRefused:
        policy.check_branch_name(ref)
        return f"refs/heads/{ref}^{{commit}}"
    return f"{ref}^{{commit}}"


def _is_file(entry: objects.TreeEntry) -> bool:
    return entry.mode in {policy.REGULAR, policy.EXECUTABLE}


def _is_utf8(path: str) -> bool:
    return not any("\udc80" <= character <= "\udcff" for character in path)


def _require_writable(branches: _Branches, branch: str) -> None:
    if branch.casefold() == branches.default.casefold():
        raise ForgeRefused(f"branch {branch!r} is protected: only people change it")
    for other in branches.tips:
        # Git keeps branches as files, so one name cannot be a folder of another.
        if other.startswith(branch + "/") or branch.startswith(other + "/"):
            raise ForgeRefused(f"branch {branch!r} cannot stand beside branch {other!r}")


def _require_mergeable(now: PullRequest) -> None:
    if now.state != "open" or now.draft:
        raise ForgeRefused(f"pull request {now.number} is {'a draft' if now.draft else now.state}")
    failing = [check.name for check in now.checks if not check.ok]
    if failing:
        raise ForgeRefused(f"{len(failing)} checks fail on this commit: {', '.join(failing[:5])}")
    if not now.checks:
        raise ForgeRefused("nobody has checked this commit")


def _pull_request(record: records.Record, head_sha: str, state: PullRequestState) -> PullRequest:
    return PullRequest(
        number=record.number,
        title=record.title,
        body=record.body,
        head_branch=record.head_branch,
        base_branch=record.base_branch,
        head_sha=head_sha,
        base_sha=record.base_sha,
        draft=record.draft,
        state=state,
        checks=record.checks if head_sha == record.head_sha else (),
        url="",
        closing_reason=record.closing_reason,
    )
