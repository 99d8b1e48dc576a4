"""Runs the git command line on a bare repository without trusting its settings."""

import functools
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from agent.forge import ForgeRefused, ForgeUnavailable

TIME_LIMIT = 30.0  # seconds for one git process

# Every one of these could make git run a program, follow a link out of the repository, or show
# something other than the stored bytes. Settings on the command line win over the repository's.
_SETTINGS = (
    "core.bare=true",
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "core.alternateRefsCommand=",
    "core.sshCommand=false",
    "core.pager=cat",
    "core.quotePath=true",
    "core.protectHFS=true",
    "core.protectNTFS=true",
    "core.autocrlf=false",
    "core.logAllRefUpdates=false",
    "core.fsync=all",
    "core.fsyncMethod=fsync",
    "core.filesRefLockTimeout=2000",
    "core.packedRefsTimeout=2000",
    "apply.ignoreWhitespace=no",
    "commit.gpgSign=false",
    "diff.suppressBlankEmpty=false",
    "fastimport.unpackLimit=1",
    "gc.auto=0",
    "maintenance.auto=false",
    "safe.bareRepository=explicit",
)

# Git knows the empty tree by this id without storing it.
_EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"

_ENVIRONMENT: Mapping[str, str] = MappingProxyType(
    {
        "HOME": "/nonexistent",
        "XDG_CONFIG_HOME": "/nonexistent",
        "LC_ALL": "C",
        "TZ": "UTC",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_SYSTEM": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        # Newer gits read .gitattributes of the default branch, which could hide a file's diff.
        "GIT_ATTR_SOURCE": _EMPTY_TREE,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "false",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_DEFAULT_HASH": "sha1",
        # An empty list: no transport may start, not even to fetch a missing object.
        "GIT_ALLOW_PROTOCOL": "",
    }
)

# A repository that holds one of these borrows objects, history or settings from elsewhere.
_BORROWED = (
    "commondir",
    "config.worktree",
    "gitdir",
    "info/attributes",
    "info/grafts",
    "objects/info/alternates",
    "objects/info/http-alternates",
    "shallow",
)

_FULL = ("No space left on device", "Out of diskspace", "Disk quota exceeded", "File too large")


class Answer(NamedTuple):
    """What a git process left behind when its exit status was among the expected ones."""

    status: int
    output: bytes
    complaint: str


def run(
    git_dir: Path,
    *arguments: str,
    stdin: bytes = b"",
    extra_environment: Mapping[str, str] | None = None,
    expected: Sequence[int] = (0,),
    time_limit: float = TIME_LIMIT,
) -> Answer:
    """Run one git command on `git_dir`, which never has a work tree.

    Raises ForgeUnavailable when git is missing, out of time or space, stopped by a signal, or
    ends with a status that is not `expected`.
    """
    git = _git()
    settings = [word for setting in _SETTINGS for word in ("-c", setting)]
    command = [git, f"--git-dir={git_dir}", "--no-pager", *settings, *arguments]
    environment = {**_ENVIRONMENT, "PATH": f"{Path(git).parent}:/usr/bin:/bin"}
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=git_dir,
        env={**environment, **(extra_environment or {})},
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(stdin, timeout=time_limit)
    except subprocess.TimeoutExpired as expired:
        # Git's own children (index-pack and the like) share its session and must go too.
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise ForgeUnavailable(
            f"git {arguments[0]} took more than {time_limit} seconds"
        ) from expired
    # People read these words: where the folder lies on this machine is none of their business.
    complaint = errors.decode(errors="replace").strip().replace(str(git_dir), git_dir.name)
    full = any(words in complaint for words in _FULL)
    if process.returncode in expected and not full:
        return Answer(process.returncode, output, complaint)
    # The report names files of this machine, and nobody reads it.
    (git_dir / f"fast_import_crash_{process.pid}").unlink(missing_ok=True)
    raise ForgeUnavailable(f"git {arguments[0]}: {_reason(process.returncode, complaint)}")


def require_untampered(git_dir: Path) -> None:
    """Raise ForgeRefused when a repository is not the plain kind that this package makes."""
    for name in ("HEAD", "config", "objects", "refs"):
        entry = git_dir / name
        if entry.is_symlink() or not entry.exists():
            raise ForgeRefused(f"repository {git_dir.name} is damaged: {name}")
    for name in _BORROWED:
        if os.path.lexists(git_dir / name):
            raise ForgeRefused(f"repository {git_dir.name} was tampered with: {name}")


def _reason(status: int, complaint: str) -> str:
    if status == -signal.SIGXFSZ or any(words in complaint for words in _FULL):
        return "no space left to write; nothing was changed"
    if status < 0:
        return f"stopped by signal {-status}"
    last = complaint.splitlines()[-1] if complaint else "no message"
    return f"ended with status {status}: {last}"


@functools.cache
def _git() -> str:
    path = shutil.which("git")
    if path is None:
        raise ForgeUnavailable("git is not installed")
    return path
