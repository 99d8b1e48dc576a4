"""Pure rules for what may be written to a repository."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime

from agent.forge import Change, ForgeRefused, Person

FILE_LIMIT = 5 * 1024 * 1024  # bytes
TOTAL_LIMIT = 25 * 1024 * 1024  # bytes of one commit
COUNT_LIMIT = 2_000  # files of one commit
PATH_LIMIT = 1_024  # bytes
TITLE_LIMIT = 256  # characters
TEXT_LIMIT = 65_536  # characters of a message, a body or a reason

REGULAR = b"100644"
EXECUTABLE = b"100755"
SYMBOLIC_LINK = b"120000"
GITLINK = b"160000"

_SHA = re.compile(r"[0-9a-f]{40}")
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")
_TRAILER = re.compile(r"[A-Za-z][A-Za-z-]*: \S.*")
# Who wrote a commit is said by the caller, so the text of a message may not claim it.
_CLAIM = re.compile(r"^\s*(co-authored-by|signed-off-by)\s*:", re.IGNORECASE | re.MULTILINE)
# NTFS reaches `.git` by this short name too.
_SHORT_NAME = re.compile(r"git~\d+")

# Files that run with the repository's own rights, or that decide who must approve. Lower case.
_GUARDED = (
    ".github/workflows",
    ".github/actions",
    ".github/codeowners",
    "docs/codeowners",
    "codeowners",
    ".countersign",
)


def check_sha(sha: str) -> None:
    """Raise ForgeRefused unless this is a full object id."""
    if not _SHA.fullmatch(sha):
        raise ForgeRefused(f"not a commit id: {sha!r}")


def check_repository_name(name: str) -> None:
    """Raise ForgeRefused for a name that is not one plain folder name."""
    if not _REPOSITORY.fullmatch(name) or ".." in name or name.endswith((".git", ".lock", ".")):
        raise ForgeRefused(f"not a repository name: {name!r}")


def check_branch_name(branch: str) -> None:
    """Raise ForgeRefused for a name that git, or a shell, could read as something else."""
    parts = branch.split("/")
    if (
        not _BRANCH.fullmatch(branch)
        or ".." in branch
        or any(not part or part.startswith(".") for part in parts)
        or any(part.endswith((".lock", ".")) for part in parts)
        or branch == "HEAD"
        or parts[0] == "refs"
        or _SHA.fullmatch(branch)
    ):
        raise ForgeRefused(f"not a branch name: {branch!r}")


def check_path(path: str) -> None:
    """Raise ForgeRefused unless this path stays inside the tree on every file system."""
    if not path or path.startswith("/") or "\\" in path:
        raise ForgeRefused(f"not a relative path: {path!r}")
    if any(unicodedata.category(character) in _INVISIBLE for character in path):
        raise ForgeRefused(f"a path with control characters: {path!r}")
    if len(path.encode()) > PATH_LIMIT:
        raise ForgeRefused(f"a path of more than {PATH_LIMIT} bytes: {path[:80]!r}...")
    for part in path.split("/"):
        if part in {"", ".", ".."} or part != part.rstrip(" ."):
            raise ForgeRefused(f"not a plain path: {path!r}")
        folded = _folded(part)
        if folded == ".git" or _SHORT_NAME.fullmatch(folded) or ":" in part:
            raise ForgeRefused(f"a path that git keeps for itself: {path!r}")


# Control, format (bidirectional marks, zero-width), surrogate, private, unassigned, separators.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def check_agent_path(path: str) -> None:
    """Raise ForgeRefused for a path that only people may change."""
    check_path(path)
    folded = _folded(path)
    if any(folded == guarded or folded.startswith(guarded + "/") for guarded in _GUARDED):
        raise ForgeRefused(f"only people may change {path!r}")
    for part in folded.split("/"):
        if part.startswith(".git") and part != ".github":
            raise ForgeRefused(f"only people may change git's own settings: {path!r}")


def check_changes(changes: Sequence[Change]) -> None:
    """Raise ForgeRefused for an empty, oversized or self-contradicting set of changes."""
    if not changes:
        raise ForgeRefused("no changes")
    if len(changes) > COUNT_LIMIT:
        raise ForgeRefused(f"more than {COUNT_LIMIT} files in one commit")
    sizes = {change.path: len(change.content or b"") for change in changes}
    for path, size in sizes.items():
        if size > FILE_LIMIT:
            raise ForgeRefused(f"{path!r} has more than {FILE_LIMIT} bytes")
    if sum(sizes.values()) > TOTAL_LIMIT:
        raise ForgeRefused(f"more than {TOTAL_LIMIT} bytes in one commit")
    written = {change.path for change in changes if change.content is not None}
    for path in written:
        if under := next((folder for folder in _folders(path) if folder in written), None):
            raise ForgeRefused(f"{under!r} cannot be a file and a folder")


def check_against_tree(changes: Sequence[Change], modes: Mapping[str, bytes]) -> None:
    """Raise ForgeRefused for changes that do not fit the commit they are made on.

    modes: git's file mode by path of everything in that commit.
    """
    deleted = {change.path for change in changes if change.content is None}
    folders = {folder for path in modes if path not in deleted for folder in _folders(path)}
    for change in changes:
        path = change.path
        if modes.get(path) in {SYMBOLIC_LINK, GITLINK}:
            raise ForgeRefused(f"{path!r} is a symbolic link or a submodule")
        if change.content is None and path not in modes:
            raise ForgeRefused(f"{path!r} cannot be deleted: there is no such file")
        if change.content is not None:
            under = next((f for f in _folders(path) if f in modes and f not in deleted), None)
            if under or path in folders:
                raise ForgeRefused(f"{under or path!r} cannot be a file and a folder")


def check_title(title: str) -> None:
    """Raise ForgeRefused unless a title is one line that hides nothing."""
    hidden = any(unicodedata.category(character) in _INVISIBLE for character in title)
    if not title.strip() or len(title) > TITLE_LIMIT or hidden:
        raise ForgeRefused(f"not a title of one line and at most {TITLE_LIMIT} characters")


def check_text(text: str) -> None:
    """Raise ForgeRefused for a text that is too long or holds control characters."""
    if len(text) > TEXT_LIMIT:
        raise ForgeRefused(f"a text of more than {TEXT_LIMIT} characters")
    if any(unicodedata.category(c) in {"Cc", "Cs"} and c not in "\n\t" for c in text):
        raise ForgeRefused("a text with control characters")


def commit_message(message: str, co_author: Person | None) -> bytes:
    """The text stored in a commit: `message`, then a trailer that names the co-author."""
    check_text(message)
    if not message.strip():
        raise ForgeRefused("a commit needs a message")
    if _CLAIM.search(message):
        raise ForgeRefused("a commit message may not name authors itself")
    text = message.strip() + "\n"
    if co_author is not None:
        paragraphs = text.strip().split("\n\n")
        # Git reads trailers from the last paragraph only, so ours must not open a second one.
        joins = len(paragraphs) > 1 and all(
            _TRAILER.fullmatch(line) for line in paragraphs[-1].splitlines()
        )
        text += ("" if joins else "\n") + f"Co-authored-by: {_signature(co_author)}\n"
    return text.encode()


def signature_line(person: Person, when: datetime) -> bytes:
    """Author line of a commit: name, address, seconds since 1970, always in UTC."""
    if when.tzinfo is None:
        raise ForgeRefused("a commit's time needs a time zone")
    return f"{_signature(person)} {int(when.timestamp())} +0000".encode()


def _signature(person: Person) -> str:
    for text in (person.name, person.email):
        hidden = any(unicodedata.category(character) in _INVISIBLE for character in text)
        if not text.strip() or hidden or "<" in text or ">" in text:
            raise ForgeRefused(f"not a name or an address for a commit: {text!r}")
    if " " in person.email:
        raise ForgeRefused(f"not an address for a commit: {person.email!r}")
    return f"{person.name.strip()} <{person.email}>"


def _folders(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]


def _folded(path: str) -> str:
    """A path as the most forgiving file system would compare it."""
    return unicodedata.normalize("NFKC", path).casefold()
