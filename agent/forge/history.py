"""What came to a branch, commit by commit, read from a bare repository."""

from collections.abc import Sequence
from pathlib import Path

from agent.forge import Arrivals, Commit, ForgeRefused, git, objects

_FIELDS = "%x00%cI%x00%an%x00%s%x00"
TEXT_LIMIT = 200  # characters kept of what a commit's maker wrote


def arrivals(git_dir: Path, since: str, tip: str) -> Arrivals:
    """The commits between two, on the line of first parents; all of `tip` when `since` is gone."""
    wanted = ["--first-parent", "--reverse", f"--format={_FIELDS}", "--parents", tip]
    try:
        objects.require_commits(git_dir, since)
    except ForgeRefused:
        pass  # rewritten, and cleaned up since
    else:
        wanted.append(f"^{since}")
    parts = git.run(git_dir, "rev-list", *wanted).output.decode(errors="replace").split("\0")
    found = []
    for heading, at, author, subject in zip(*[iter(parts[:-1])] * 4, strict=True):
        _, sha, *parents = heading.split()
        found.append(Commit(sha, tuple(parents), at, author[:TEXT_LIMIT], subject[:TEXT_LIMIT]))
    return Arrivals(tip, tuple(found), objects.is_ancestor(git_dir, since, tip))


def only_joins(git_dir: Path, sha: str, parents: Sequence[str]) -> bool:
    """Whether a commit's tree is what git makes of its two parents by itself."""
    if len(parents) != 2:
        return False
    with objects.staged_objects(git_dir) as staging:
        merged = git.run(
            git_dir,
            *("merge-tree", "--write-tree", "--no-messages", "-z", *parents),
            extra_environment=staging.environment,
            expected=(0, 1),
        )
    held = git.run(git_dir, "rev-parse", "--verify", f"{sha}^{{tree}}").output.decode()
    return merged.status == 0 and merged.output.decode().split("\0")[0] == held.strip()
