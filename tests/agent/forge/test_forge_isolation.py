"""No setting, link or name in a repository lets anything run or leave its tenant."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from agent.forge import Check, ForgeRefused, ForgeUnavailable, Repository
from agent.forge import git as forge_git
from agent.forge.local import LocalForge

Git = Callable[..., str]
Publish = Callable[..., str]

MISSING = "1234567890" * 4


@pytest.fixture
def fired(tmp_path: Path) -> Path:
    """The file that the trap leaves when it runs."""
    return tmp_path / "fired"


@pytest.fixture
def trap(tmp_path: Path, fired: Path) -> Path:
    script = tmp_path / "trap"
    script.write_text(f"#!/bin/sh\necho fired >> {fired}\n")
    script.chmod(0o755)
    return script


def use_every_door(
    forge: LocalForge, repo: Repository, publish: Publish, by_agent: dict[str, Any]
) -> None:
    base = forge.head(repo, "main")
    head = publish({"src/orders.py": b"changed\n", "a.md": b"a\n"})
    patch = forge.diff(repo, base, head)
    forge.apply_patch(repo, branch="t-2", base_sha=base, unified_diff=patch, **by_agent)
    forge.open_pull_request(
        repo, branch="t-1", base="main", title="x", body="", draft=True, key="k"
    )
    forge.set_checks(repo, 1, head_sha=head, checks=[Check("lint", True, "")])
    forge.mark_ready(repo, 1)
    forge.close_pull_request(repo, 1, reason="")
    forge.pull_requests(repo)
    forge.list_files(repo, "t-1")
    forge.read(repo, "t-1", "a.md")
    for ask in (
        lambda: forge.read(repo, MISSING, "a.md"),
        lambda: forge.diff(repo, base, MISSING),
        lambda: publish({"a.md": b"a\n"}, branch="t-3", base_sha=MISSING),
    ):
        with pytest.raises((ForgeRefused, ForgeUnavailable)):
            ask()


# What each setting makes a careless git run, and the careless command that shows it.
TRAPS: dict[str, tuple[dict[str, str], list[str]]] = {
    "hook": ({"core.hooksPath": "{folder}"}, ["update-ref", "refs/heads/x", "main"]),
    "fsmonitor": (
        {"core.fsmonitor": "{trap}"},
        ["-c", "core.bare=false", "--work-tree=.", "add", "--dry-run", "HEAD"],
    ),
    "lazy fetch": (
        {
            "core.repositoryFormatVersion": "1",
            "extensions.partialClone": "evil",
            "remote.evil.url": "{trap}",
            "remote.evil.promisor": "true",
            "remote.evil.uploadpack": "{trap}",
            "protocol.file.allow": "always",
        },
        ["cat-file", "-p", MISSING],
    ),
    "ssh": (
        {"core.sshCommand": "{trap}", "protocol.ssh.allow": "always"},
        ["ls-remote", "ssh://nowhere.example/x"],
    ),
    "external diff": ({"diff.external": "{trap}"}, ["diff", "main", "other"]),
    "signing": ({"gpg.program": "{trap}"}, ["commit-tree", "-S", "-m", "x", "main^{tree}"]),
}
# The last two are kept out by the commands that the forge chooses, the others by the runner.
GUARDED_BY_RUNNER = {"hook", "fsmonitor", "lazy fetch", "ssh"}


@pytest.mark.parametrize("name", TRAPS)
def test_a_hostile_setting_runs_nothing_though_a_careless_git_would_run_it(
    forge: LocalForge,
    acme: Repository,
    publish: Publish,
    by_agent: dict[str, Any],
    git: Git,
    trap: Path,
    fired: Path,
    tmp_path: Path,
    name: str,
) -> None:
    settings, careless = TRAPS[name]
    (tmp_path / "hooks").mkdir()
    (tmp_path / "hooks/reference-transaction").symlink_to(trap)
    publish({"README.md": b"other\n"}, branch="other")
    for setting, value in settings.items():
        git("config", setting, value.format(trap=trap, folder=tmp_path / "hooks"))
    fired.unlink(missing_ok=True)

    use_every_door(forge, acme, publish, by_agent)
    if name in GUARDED_BY_RUNNER:
        forge_git.run(Path(forge.clone_url(acme)), *careless, expected=range(256))
    ran_for_us = fired.exists()
    git("update-ref", "-d", "refs/heads/x")
    fired.unlink(missing_ok=True)
    git(*careless)

    assert not ran_for_us
    assert fired.exists(), "the trap is no trap: nothing was proved"


def test_a_hook_left_in_the_repository_does_not_run(
    forge: LocalForge,
    acme: Repository,
    publish: Publish,
    by_agent: dict[str, Any],
    git: Git,
    trap: Path,
    fired: Path,
) -> None:
    hooks = Path(forge.clone_url(acme)) / "hooks"
    hooks.mkdir()
    (hooks / "reference-transaction").symlink_to(trap)

    use_every_door(forge, acme, publish, by_agent)
    ran_for_us = fired.exists()
    git("update-ref", "refs/heads/x", "main")

    assert not ran_for_us
    assert fired.exists()


def test_settings_of_the_person_who_runs_the_worker_are_not_read(
    forge: LocalForge,
    acme: Repository,
    publish: Publish,
    by_agent: dict[str, Any],
    trap: Path,
    fired: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(f"[diff]\n\texternal = {trap}\n[core]\n\tbare = maybe\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    monkeypatch.setenv("GIT_INDEX_FILE", "/nonexistent")
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", "/nonexistent")
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", str(trap))

    use_every_door(forge, acme, publish, by_agent)

    assert not fired.exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("info/attributes", "* filter=evil diff=evil\n"),
        ("objects/info/alternates", "{globex}/objects\n"),
        ("info/grafts", ""),
        ("commondir", "{globex}\n"),
        ("shallow", ""),
    ],
)
def test_a_repository_that_borrows_from_elsewhere_is_refused(
    forge: LocalForge, acme: Repository, globex: Repository, name: str, content: str
) -> None:
    theirs = forge.clone_url(globex)
    sha = forge.head(globex, "main")
    planted = Path(forge.clone_url(acme)) / name
    planted.parent.mkdir(exist_ok=True)
    planted.write_text(content.format(globex=theirs))

    with pytest.raises(ForgeRefused, match="tampered"):
        forge.read(acme, sha, "secret.txt")


def test_replaced_objects_do_not_change_what_is_read(
    forge: LocalForge, acme: Repository, git: Git
) -> None:
    other = git("hash-object", "-w", "--stdin", stdin=b"forged\n")
    git("replace", git("rev-parse", "main:README.md"), other)

    assert git("show", "main:README.md") == "forged"
    assert forge.read(acme, "main", "README.md") == b"# Order desk\n"


def test_a_tenant_cannot_read_a_commit_of_another(
    forge: LocalForge, acme: Repository, globex: Repository, publish: Publish
) -> None:
    theirs = forge.head(globex, "main")

    assert forge.read(globex, theirs, "secret.txt") == b"of globex"
    for ask in (
        lambda: forge.read(acme, theirs, "secret.txt"),
        lambda: forge.list_files(acme, theirs),
        lambda: forge.diff(acme, forge.head(acme, "main"), theirs),
        lambda: publish({"a.md": b"a\n"}, base_sha=theirs),
        lambda: forge.head(Repository(acme.tenant_id, globex.name), "main"),
        lambda: forge.head(Repository(globex.tenant_id, acme.name), "main"),
    ):
        with pytest.raises(ForgeRefused):
            ask()


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "a/b", "/etc", "a\\b", "-x", "a b", "x.git", "a\x00", "a..b", "a\n",
     "../0195b4a0-0000-7000-8000-00000000910b/ledger-api", "x" * 200],
)  # fmt: skip
def test_a_name_cannot_lead_out_of_the_tenants_folder(
    forge: LocalForge, acme: Repository, start: dict[str, Any], name: str
) -> None:
    outside = Repository(acme.tenant_id, name)

    with pytest.raises(ForgeRefused, match="not a repository name"):
        forge.clone_url(outside)
    with pytest.raises(ForgeRefused, match="not a repository name"):
        forge.create_repository(outside, **start)


def test_a_linked_folder_is_not_followed(
    forge: LocalForge, acme: Repository, globex: Repository, start: dict[str, Any]
) -> None:
    theirs = Path(forge.clone_url(globex))
    (forge.root / str(acme.tenant_id) / "mine.git").symlink_to(theirs)
    tenant = UUID("0195b4a0-0000-7000-8000-00000000eeee")
    (forge.root / str(tenant)).symlink_to(theirs.parent)
    ours = Path(forge.clone_url(acme))
    (ours / "refs").rename(ours / "old-refs")
    (ours / "refs").symlink_to(theirs / "refs")

    for repo in (Repository(acme.tenant_id, "mine"), Repository(tenant, "ledger-api"), acme):
        with pytest.raises(ForgeRefused):
            forge.head(repo, "main")
    with pytest.raises(ForgeRefused):
        forge.create_repository(Repository(tenant, "new"), **start)
    assert not (theirs.parent / "new.git").exists()


def test_no_file_of_a_repository_is_ever_written_outside_its_objects(
    forge: LocalForge,
    acme: Repository,
    publish: Publish,
    by_agent: dict[str, Any],
    tmp_path: Path,
) -> None:
    use_every_door(forge, acme, publish, by_agent)

    git_dir = Path(forge.clone_url(acme))
    assert {path.name for path in git_dir.iterdir()} == {"HEAD", "config", "objects", "refs"}
    assert {path.name for path in tmp_path.rglob("*")}.isdisjoint(
        {"index", "README.md", "orders.py", "a.md", ".git"}
    )
    assert not list((git_dir / "objects").glob("tmp_*"))


def test_a_work_tree_in_the_settings_stays_empty(
    publish: Publish, git: Git, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    git("config", "core.worktree", str(tree))

    publish({"a.md": b"a\n"})
    ours = list(tree.iterdir())
    git("config", "core.bare", "false")
    git("checkout", "--force", "main")

    assert not ours
    assert (tree / "README.md").exists(), "the setting leads nowhere: nothing was proved"
