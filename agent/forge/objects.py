"""Git objects of a bare repository, written aside before a reader can see them."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from agent.forge import Change, ForgeRefused, ForgeUnavailable, git, policy

_NO_MODE = b"000000"  # what git lists for a file that is not there


class TreeEntry(NamedTuple):
    mode: bytes
    sha: str
    size: int  # bytes; 0 for a submodule


class Staging:
    """A folder for new objects that no reader of the repository looks into."""

    def __init__(self, git_dir: Path, folder: Path) -> None:
        self._objects = git_dir / "objects"
        self.folder = folder
        quoted = str(self._objects).replace("\\", "\\\\").replace('"', '\\"')
        self.environment = {
            "GIT_OBJECT_DIRECTORY": str(folder),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": f'"{quoted}"',
        }

    def keep(self) -> None:
        """Move the objects into the repository; an index comes last, after what it describes."""
        order = {".pack": 0, ".rev": 1, ".idx": 2}
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        with disk_errors():
            for path in sorted(files, key=lambda path: (order.get(path.suffix, 0), path.name)):
                target = self._objects / path.relative_to(self.folder)
                if not target.parent.exists():
                    target.parent.mkdir(exist_ok=True)
                    flush_folder(self._objects)
                path.replace(target)
            for folder in {self._objects / path.relative_to(self.folder).parent for path in files}:
                flush_folder(folder)


@contextmanager
def staged_objects(git_dir: Path) -> Iterator[Staging]:
    # Git's own clean-up knows this prefix, should a killed process leave a folder behind.
    with disk_errors():
        folder = Path(tempfile.mkdtemp(prefix="tmp_objdir-", dir=git_dir / "objects"))
    try:
        yield Staging(git_dir, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ForgeUnavailable(f"the disk refused: {error.strerror}") from error


def flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_folders(folder: Path) -> None:
    for path, _, names in os.walk(folder):
        for name in names:
            if name in {"config", "HEAD"}:
                with (Path(path) / name).open("rb") as file:
                    os.fsync(file.fileno())
        flush_folder(Path(path))


def files_of_commit(
    git_dir: Path, revision: str, paths: Sequence[str] = ()
) -> dict[str, TreeEntry]:
    """Everything in a commit but folders, by path; bytes that are not UTF-8 are kept escaped."""
    answer = git.run(
        git_dir,
        *(
            "ls-tree",
            "-r",
            "-z",
            "--long",
            "--full-tree",
            "--end-of-options",
            revision,
            *paths,
        ),
        expected=(0, 128),
    )
    if answer.status == 128:
        raise ForgeRefused(f"no such commit: {revision.partition('^')[0]}")
    tree = {}
    for line in answer.output.split(b"\0")[:-1]:
        facts, path = line.split(b"\t", 1)
        mode, _, sha, size = facts.split()
        length = 0 if size == b"-" else int(size)
        tree[path.decode(errors="surrogateescape")] = TreeEntry(mode, sha.decode(), length)
    return tree


def blobs(
    git_dir: Path, shas: Sequence[str], environment: Mapping[str, str] | None = None
) -> list[bytes]:
    request = "".join(f"{sha}\n" for sha in shas).encode()
    output = git.run(
        git_dir, "cat-file", "--batch", stdin=request, extra_environment=environment
    ).output
    contents, position = [], 0
    for sha in shas:
        end = output.index(b"\n", position)
        name, kind, *size = output[position:end].split()
        if name.decode() != sha or kind != b"blob":
            raise ForgeUnavailable(f"object {sha} cannot be read")
        position = end + 1 + int(size[0]) + 1
        contents.append(output[end + 1 : position - 1])
    return contents


def store_blob(git_dir: Path, content: bytes) -> str:
    with staged_objects(git_dir) as staging:
        answer = git.run(
            git_dir,
            *("hash-object", "-w", "--stdin", "--no-filters"),
            stdin=content,
            extra_environment=staging.environment,
        )
        staging.keep()
    return answer.output.decode().strip()


def import_commit(
    git_dir: Path,
    base_sha: str | None,
    changes: Sequence[Change],
    modes: Mapping[str, bytes],
    *,
    signature: bytes,
    text: bytes,
    environment: Mapping[str, str],
) -> tuple[str, bool]:
    """Write blobs, trees and one commit in a single process, without moving any ref.

    Returns the commit's sha, and whether its tree is its parent's.
    """
    stream = [
        b"feature done\ncommit refs/heads/import\nmark :1\n",
        b"author %b\ncommitter %b\ndata %d\n%b\n" % (signature, signature, len(text), text),
    ]
    if base_sha:
        stream.append(f"from {base_sha}\n".encode())
    # Deletions first: a file may take the place of a deleted folder.
    for change in sorted(changes, key=lambda change: change.content is not None):
        path = '"{}"'.format(change.path.replace("\\", "\\\\").replace('"', '\\"')).encode()
        if change.content is None:
            stream.append(b"D %b\n" % path)
            continue
        mode = modes.get(change.path, policy.REGULAR)
        if change.executable is not None:
            mode = policy.EXECUTABLE if change.executable else policy.REGULAR
        stream.append(b"M %b inline %b\ndata %d\n" % (mode, path, len(change.content)))
        stream += [change.content, b"\n"]
    stream.append(b'get-mark :1\nls :1 ""\n')
    if base_sha:
        stream.append(f'ls {base_sha} ""\n'.encode())
    # A branch that is reset to nothing is forgotten when the import ends: no ref is written.
    stream.append(b"reset refs/heads/import\n\ndone\n")
    output = git.run(
        git_dir,
        *("fast-import", "--quiet", "--date-format=raw"),
        stdin=b"".join(stream),
        extra_environment=environment,
    ).output
    commit, *trees = output.splitlines()
    return commit.decode(), len(trees) == 2 and trees[0] == trees[1]


def changes_of_patch(git_dir: Path, base_sha: str, unified_diff: bytes) -> list[Change]:
    """What a patch makes of a commit, tried out in an index and objects that are thrown away."""
    # Only git's own heading can start a line with this word; its content could inflate endlessly.
    if any(line.startswith(b"GIT binary patch") for line in unified_diff.split(b"\n")):
        raise ForgeRefused("a binary patch: publish the file's content instead")
    with staged_objects(git_dir) as staging:
        environment = {
            **staging.environment,
            "GIT_INDEX_FILE": str(staging.folder / "index"),
        }
        git.run(git_dir, "read-tree", base_sha, extra_environment=environment)
        applied = git.run(
            git_dir,
            *("apply", "--cached", "--whitespace=nowarn", "-p1", "-"),
            stdin=unified_diff,
            extra_environment=environment,
            expected=(0, 1, 128),
        )
        if applied.status:
            raise ForgeRefused(f"the patch does not apply: {applied.complaint[:500]}")
        listing = git.run(
            git_dir,
            *(
                "diff-index",
                "--cached",
                "--raw",
                "-r",
                "-z",
                "--no-renames",
                "--full-index",
            ),
            base_sha,
            extra_environment=environment,
        ).output.split(b"\0")[:-1]
        changes, shas = [], []
        for facts, name in zip(listing[::2], listing[1::2], strict=True):
            old_mode, new_mode, _, sha, _ = facts.removeprefix(b":").split()
            path = name.decode(errors="surrogateescape")
            if {old_mode, new_mode} & {policy.SYMBOLIC_LINK, policy.GITLINK}:
                raise ForgeRefused(f"{path!r} is a symbolic link or a submodule")
            kept = new_mode != _NO_MODE
            changes.append(Change(path, b"" if kept else None, new_mode == policy.EXECUTABLE))
            if kept:
                shas.append(sha.decode())
        contents = iter(blobs(git_dir, shas, staging.environment))
        return [
            change if change.content is None else replace(change, content=next(contents))
            for change in changes
        ]


def require_commits(git_dir: Path, *shas: str) -> None:
    request = "".join(f"{sha}\n" for sha in shas).encode()
    listing = git.run(
        git_dir, "cat-file", "--batch-check=%(objectname) %(objecttype)", stdin=request
    ).output.decode()
    for sha, line in zip(shas, listing.splitlines(), strict=True):
        if line != f"{sha} commit":
            raise ForgeRefused(f"no such commit: {sha}")


def is_ancestor(git_dir: Path, older: str, newer: str) -> bool:
    answer = git.run(git_dir, "merge-base", "--is-ancestor", older, newer, expected=(0, 1, 128))
    return answer.status == 0


def fork_point(git_dir: Path, base_tip: str, head_sha: str) -> str:
    answer = git.run(git_dir, "merge-base", base_tip, head_sha, expected=(0, 1))
    if answer.status:
        raise ForgeRefused("the two branches have no commit in common")
    return answer.output.decode().split()[0]


def merged_shas(git_dir: Path, base: str) -> set[str]:
    """Heads of branches and pull requests that `base` contains."""
    listing = git.run(
        git_dir,
        *("for-each-ref", f"--merged=refs/heads/{base}", "--format=%(objectname)"),
        *("refs/heads/", "refs/pull/*/head"),
    ).output
    return set(listing.decode().split())


def merge_commit(
    git_dir: Path,
    base_tip: str,
    head_sha: str,
    *,
    signature: bytes,
    text: bytes,
    environment: Mapping[str, str],
) -> str:
    """Write the commit that merges a head into a base, without moving any ref; returns its sha."""
    merged = git.run(
        git_dir,
        *("merge-tree", "--write-tree", "--name-only", "--no-messages", "-z", base_tip, head_sha),
        extra_environment=environment,
        expected=(0, 1),
    )
    tree, *conflicts = merged.output.decode(errors="replace").split("\0")
    if merged.status:
        names = ", ".join(dict.fromkeys(name for name in conflicts if name))
        raise ForgeRefused(f"it conflicts with the branch it goes to, in {names}")
    head = f"tree {tree}\nparent {base_tip}\nparent {head_sha}\n".encode()
    commit = git.run(
        git_dir,
        *("hash-object", "-t", "commit", "-w", "--stdin"),
        stdin=head + b"author %b\ncommitter %b\n\n%b" % (signature, signature, text),
        extra_environment=environment,
    )
    return commit.output.decode().strip()


def brought_in_by(git_dir: Path, head_sha: str, base_tip: str) -> tuple[str, list[str]]:
    """The commit on the base's own line by which a head came in, with its parents; the head alone
    where the base was moved on to it."""
    answer = git.run(
        git_dir, "rev-list", "--first-parent", "--parents", f"^{head_sha}", base_tip
    ).output.decode()
    for line in answer.splitlines():
        commit, *parents = line.split()
        if head_sha in parents[1:]:
            return commit, parents
    return head_sha, []
