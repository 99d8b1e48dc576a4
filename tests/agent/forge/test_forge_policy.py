"""What the agent may not write is refused, and leaves nothing behind."""

from collections.abc import Callable
from typing import Any

import pytest

from agent.forge import ForgeRefused, Person, Repository
from agent.forge.local import LocalForge

Publish = Callable[..., str]
# As `git diff --binary` writes it: it would apply.
BINARY = b"""diff --git a/b.png b/b.png
new file mode 100644
index 0000000000000000000000000000000000000000..0f49c4ae77b43dff338093c78e009676e7e308ba
GIT binary patch
literal 9
QcmZQzWJ=1+ODw7c00^)Gi2wiq

literal 0
HcmV?d00001

"""


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "../outside",
        "a/../../outside",
        "a/./b",
        "a//b",
        "a/",
        "a\\b",
        "C:/x",
        "a\nb",
        "a\tb",
        "a\x00b",
        "a\x1b[2Jb",
        "evil\u202ecod.py",
        "zero\u200bwidth",
        "half\udc80",
        "x" * 2_000,
        ".git/config",
        ".GIT/hooks/x",
        "a/.git/config",
        "git~1/config",
        ".git ",
        ".git.",
        "folder /x",
        "file.",
        "\uff0egit/config",
        ".gitmodules",
        "a/.gitattributes",
        ".gitignore",
        ".github/workflows/release.yml",
        ".GitHub/Workflows/release.yml",
        ".github/actions/x/action.yml",
        ".github/CODEOWNERS",
        "CODEOWNERS",
        "docs/CODEOWNERS",
        ".countersign/config.yaml",
    ],
)
def test_a_forbidden_path_is_refused(
    publish: Publish, path: str, everything: Callable[[], dict[str, bytes]]
) -> None:
    before = everything()

    with pytest.raises(ForgeRefused):
        publish({"fine.md": b"fine\n", path: b"x\n"})

    assert everything() == before


@pytest.mark.parametrize(
    "path", ['quo"ted.md', "größe/日本.md", "-rf", "a b/c d.md", ".github/ISSUE.md"]
)
def test_an_unusual_path_is_stored_as_it_is_written(
    forge: LocalForge, acme: Repository, publish: Publish, path: str
) -> None:
    publish({path: b"x\n"})

    assert forge.read(acme, "t-1", path) == b"x\n"
    assert path in forge.list_files(acme, "t-1")


@pytest.mark.parametrize(
    "patch",
    [
        b"diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n"
        b"+/etc/passwd\n\\ No newline at end of file\n",
        b"diff --git a/s b/s\nnew file mode 160000\n--- /dev/null\n+++ b/s\n@@ -0,0 +1 @@\n"
        b"+Subproject commit " + b"1" * 40 + b"\n",
        b"diff --git a/.github/workflows/x.yml b/.github/workflows/x.yml\nnew file mode 100644\n"
        b"--- /dev/null\n+++ b/.github/workflows/x.yml\n@@ -0,0 +1 @@\n+on: push\n",
        b"diff --git a/../x b/../x\nnew file mode 100644\n--- /dev/null\n+++ b/../x\n"
        b"@@ -0,0 +1 @@\n+x\n",
        BINARY,
        b"no patch at all\n",
        b"",
    ],
    ids=["symbolic link", "submodule", "workflow", "outside", "binary", "nonsense", "empty"],
)
def test_a_patch_cannot_bring_in_what_publishing_refuses(
    forge: LocalForge,
    acme: Repository,
    base: str,
    by_agent: dict[str, Any],
    patch: bytes,
    everything: Callable[[], dict[str, bytes]],
) -> None:
    before = everything()

    with pytest.raises(ForgeRefused):
        forge.apply_patch(acme, branch="t-1", base_sha=base, unified_diff=patch, **by_agent)

    assert everything() == before


@pytest.mark.parametrize("mode", ["120000", "160000"])
def test_a_link_or_submodule_of_a_person_is_not_overwritten(
    publish: Publish, git: Callable[..., str], mode: str
) -> None:
    if mode == "120000":
        entry = "blob " + git("hash-object", "-w", "--stdin", stdin=b"README.md")
    else:
        entry = "commit " + git("rev-parse", "main")
    tree = git("mktree", stdin=f"{mode} {entry}\tx".encode())
    commit = git("commit-tree", "-m", "x", tree)

    with pytest.raises(ForgeRefused, match="symbolic link or a submodule"):
        publish({"x": b"y\n"}, base_sha=commit)
    with pytest.raises(ForgeRefused, match="file and a folder"):
        publish({"x/y": b"y\n"}, base_sha=commit)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"no/such/file.md": None},
        {"README.md/x": b"x"},
        {"src": b"x"},
        {"a": b"x", "a/b": b"x"},
        {"big.bin": b"x" * (5 * 1024 * 1024 + 1)},
        {f"{number}.bin": b"x" * (5 * 1024 * 1024) for number in range(6)},
        {f"{number}.md": b"x" for number in range(2_001)},
    ],
    ids=["none", "missing", "under a file", "over a folder", "both", "file", "total", "count"],
)
def test_changes_that_do_not_fit_are_refused(
    publish: Publish, changes: dict[str, bytes | None]
) -> None:
    with pytest.raises(ForgeRefused):
        publish(changes)


@pytest.mark.parametrize(
    "branch",
    ["", "-x", "a..b", "a/", "/a", "a//b", ".a", "a/.b", "a.lock", "a.lock/b", "a b", "a~1", "a:b",
     "a\nb", "HEAD", "refs/heads/main", "a" * 40, "a@{1}", "a" * 300, "main/below"],
)  # fmt: skip
def test_a_name_that_git_could_misread_is_no_branch(publish: Publish, branch: str) -> None:
    with pytest.raises(ForgeRefused):
        publish({"a.md": b"a\n"}, branch=branch)


@pytest.mark.parametrize(
    "other",
    [
        {"message": ""},
        {"message": "x\n\nCo-authored-by: Eve <eve@globex.example>"},
        {"message": "x\n\n  signed-off-BY : Eve <eve@globex.example>"},
        {"message": "x\x00y"},
        {"author": Person("Eve\nparent 0", "eve@globex.example")},
        {"author": Person("Eve <", "eve@globex.example")},
        {"co_author": Person("Eve", "eve@globex.example>\nSigned-off-by: x")},
        {"author": Person("", "eve@globex.example")},
    ],
)
def test_a_commit_cannot_claim_other_authors(publish: Publish, other: dict[str, Any]) -> None:
    with pytest.raises(ForgeRefused):
        publish({"a.md": b"a\n"}, **other)


@pytest.mark.parametrize("title", ["", "  ", "two\nlines", "x" * 300, "hidden\u202etext"])
def test_a_title_is_one_visible_line(
    forge: LocalForge, acme: Repository, publish: Publish, title: str
) -> None:
    publish({"a.md": b"a\n"})

    with pytest.raises(ForgeRefused):
        forge.open_pull_request(
            acme, branch="t-1", base="main", title=title, body="", draft=True, key="k"
        )
