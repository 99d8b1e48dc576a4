"""The local forge keeps what it is given, once, in repositories that plain git can read."""

import inspect
import os
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from agent.forge import Check, Forge, ForgeRefused, ForgeUnavailable, Repository
from agent.forge.local import LocalForge

Publish = Callable[..., str]
Git = Callable[..., str]


@pytest.fixture
def opened(publish: Publish) -> dict[str, Any]:
    """How a pull request for branch t-1 is opened; the branch is there already."""
    publish({"docs/adr/1.md": b"decided\n"})
    return {
        "branch": "t-1",
        "base": "main",
        "title": "docs: decide",
        "body": "Why\n\nBecause.",
        "draft": True,
        "key": "T-1",
    }


def test_the_local_forge_has_the_signatures_of_the_protocol() -> None:
    names = [name for name in vars(Forge) if not name.startswith("_")]

    for name in names:
        assert inspect.signature(getattr(LocalForge, name)) == inspect.signature(
            getattr(Forge, name)
        )
    assert "publish" in names
    assert not [name for name in names if "merge" in name]


def test_a_published_branch_can_be_cloned_with_its_files_people_and_time(
    forge: LocalForge, acme: Repository, publish: Publish, git: Git, tmp_path: Path
) -> None:
    commit = publish({"docs/adr/1.md": "größer\n".encode(), "README.md": None})

    git("clone", "--branch", "t-1", forge.clone_url(acme), str(tmp_path / "clone"))

    assert git("rev-parse", "HEAD", cwd=tmp_path / "clone") == commit
    assert (tmp_path / "clone/docs/adr/1.md").read_text() == "größer\n"
    assert not (tmp_path / "clone/README.md").exists()
    shown = ["log", "-1", "--date=format:%FT%T%z", "--format=%an|%ae|%cn|%ad|%(trailers)"]
    assert git(*shown, cwd=tmp_path / "clone") == (
        "Countersign agent|agent@countersign.example|Countersign agent|2026-11-23T06:00:00+0000|"
        "Co-authored-by: Ada Lindqvist <ada@acme.example>"
    )
    assert git("fsck", "--full", "--strict") == ""


def test_trailers_of_the_message_stay_together_with_the_co_author(
    publish: Publish, git: Git
) -> None:
    publish({"a.md": b"a\n"}, message="docs: decide\n\nWhy.\n\nTask: T-1\nADR: 20261123-storage")

    assert git("log", "-1", "--format=%(trailers:key=Task)%(trailers:key=Co-authored-by)", "t-1")
    assert git("log", "-1", "--format=%(trailers:only,unfold)", "t-1").splitlines() == [
        "Task: T-1",
        "ADR: 20261123-storage",
        "Co-authored-by: Ada Lindqvist <ada@acme.example>",
    ]


def test_the_same_input_twice_gives_the_same_commit_once(publish: Publish, git: Git) -> None:
    first = publish({"a.md": b"a\n"})
    objects = git("count-objects", "-v")

    assert publish({"a.md": b"a\n"}) == first
    assert git("count-objects", "-v") == objects
    assert git("rev-list", "--count", "t-1") == "2"


def test_a_resumed_worker_gets_its_commit_although_the_branch_moved_on(publish: Publish) -> None:
    first = publish({"a.md": b"a\n"})
    publish({"b.md": b"b\n"}, base_sha=first)

    assert publish({"a.md": b"a\n"}) == first


def test_a_second_commit_goes_on_top_of_the_first(
    forge: LocalForge, acme: Repository, publish: Publish
) -> None:
    first = publish({"a.md": b"a\n", "run.sh": b"x\n"})

    second = publish({"a.md": None, "a.md/now-a-folder.md": b"b\n"}, base_sha=first)

    assert forge.head(acme, "t-1") == second
    assert "a.md/now-a-folder.md" in forge.list_files(acme, second)
    assert "a.md" not in forge.list_files(acme, second)


def test_a_branch_that_stands_elsewhere_is_never_forced(
    forge: LocalForge,
    acme: Repository,
    publish: Publish,
    everything: Callable[[], dict[str, bytes]],
) -> None:
    first = publish({"a.md": b"a\n"})
    before = everything()

    with pytest.raises(ForgeRefused, match="another commit"):
        publish({"a.md": b"other\n"})

    assert forge.head(acme, "t-1") == first
    assert everything() == before


@pytest.mark.parametrize("branch", ["main", "MAIN"])
def test_the_default_branch_is_protected(publish: Publish, branch: str) -> None:
    with pytest.raises(ForgeRefused, match="protected"):
        publish({"a.md": b"a\n"}, branch=branch)


@pytest.mark.parametrize("base_sha", ["0" * 40, "blob", "HEAD"])
def test_a_base_that_is_no_commit_is_refused(publish: Publish, git: Git, base_sha: str) -> None:
    if base_sha == "blob":
        base_sha = git("rev-parse", "main:README.md")

    with pytest.raises(ForgeRefused):
        publish({"a.md": b"a\n"}, base_sha=base_sha)


def test_changes_that_change_nothing_are_refused(
    publish: Publish, start: dict[str, Any], git: Git
) -> None:
    with pytest.raises(ForgeRefused, match="leave every file as it is"):
        publish({"README.md": start["files"]["README.md"]})

    assert git("branch", "--list", "t-1") == ""


def test_a_time_without_a_zone_is_refused(publish: Publish) -> None:
    with pytest.raises(ForgeRefused, match="time zone"):
        publish({"a.md": b"a\n"}, when=datetime(2026, 11, 23))  # noqa: DTZ001


def test_reading_gives_bytes_or_nothing(
    forge: LocalForge, acme: Repository, base: str, start: dict[str, Any]
) -> None:
    assert forge.default_branch(acme) == "main"
    assert forge.read(acme, "main", "README.md") == b"# Order desk\n"
    assert forge.read(acme, base, "no/such.md") is None
    assert forge.read(acme, base, "docs") is None
    assert forge.read_files(acme, base, list(start["files"])) == start["files"]
    assert forge.list_files(acme, "main") == sorted(start["files"])
    with pytest.raises(ForgeRefused):
        forge.read(acme, "no-such-branch", "README.md")


def test_a_symbolic_link_that_a_person_committed_is_not_read(
    forge: LocalForge, acme: Repository, git: Git, tmp_path: Path
) -> None:
    clone = tmp_path / "clone"
    git("clone", forge.clone_url(acme), str(clone))
    (clone / "link.md").symlink_to("/etc/passwd")
    git("add", "link.md", cwd=clone)
    git("commit", "-m", "link", cwd=clone)
    git("push", "origin", "HEAD:main", cwd=clone)

    assert "link.md" in git("ls-tree", "-r", "--name-only", "main")
    assert forge.read(acme, "main", "link.md") is None
    assert "link.md" not in forge.list_files(acme, "main")


def test_a_patch_gives_the_same_commit_as_the_files_it_makes(
    forge: LocalForge,
    acme: Repository,
    base: str,
    by_agent: dict[str, Any],
    publish: Publish,
) -> None:
    patch = (
        b"diff --git a/src/orders.py b/src/orders.py\n--- a/src/orders.py\n+++ b/src/orders.py\n"
        b"@@ -1,3 +1,3 @@\n one\n-two\n+zwei\n three\n"
        b"diff --git a/docs/old name.md b/docs/new.md\nsimilarity index 100%\n"
        b"rename from docs/old name.md\nrename to docs/new.md\n"
        b"diff --git a/run.sh b/run.sh\nnew file mode 100755\n--- /dev/null\n+++ b/run.sh\n"
        b"@@ -0,0 +1 @@\n+true\n"
    )

    commit = forge.apply_patch(acme, branch="t-2", base_sha=base, unified_diff=patch, **by_agent)

    assert commit == forge.apply_patch(
        acme, branch="t-2", base_sha=base, unified_diff=patch, **by_agent
    )
    assert forge.read(acme, "t-2", "src/orders.py") == b"one\nzwei\nthree\n"
    assert "docs/old name.md" not in forge.list_files(acme, "t-2")
    assert b"new file mode 100755" in forge.diff(acme, base, commit)
    changes = {"src/orders.py": b"one\nzwei\nthree\n", "a.md": b"a\n"}
    plain = publish(changes, branch="t-3")
    again = forge.diff(acme, base, plain)
    assert plain == forge.apply_patch(
        acme, branch="t-3", base_sha=base, unified_diff=again, **by_agent
    )


def test_the_mode_of_an_executable_file_survives_new_content(
    forge: LocalForge, acme: Repository, base: str, by_agent: dict[str, Any], publish: Publish
) -> None:
    patch = (
        b"diff --git a/run.sh b/run.sh\nnew file mode 100755\n--- /dev/null\n+++ b/run.sh\n"
        b"@@ -0,0 +1 @@\n+true\n"
    )
    first = forge.apply_patch(acme, branch="t-1", base_sha=base, unified_diff=patch, **by_agent)

    second = publish({"run.sh": b"false\n"}, base_sha=first)

    assert b"mode" not in forge.diff(acme, first, second)


def test_a_patch_that_does_not_fit_is_refused_with_gits_reason(
    forge: LocalForge, acme: Repository, base: str, by_agent: dict[str, Any]
) -> None:
    patch = b"diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n"

    with pytest.raises(ForgeRefused, match="x: does not exist in index"):
        forge.apply_patch(acme, branch="t-1", base_sha=base, unified_diff=patch, **by_agent)


def test_a_pull_request_shows_what_it_was_opened_with(
    forge: LocalForge, acme: Repository, base: str, opened: dict[str, Any], git: Git
) -> None:
    pull_request = forge.open_pull_request(acme, **opened)

    assert (pull_request.number, pull_request.state, pull_request.draft) == (1, "open", True)
    assert (pull_request.title, pull_request.body) == ("docs: decide", "Why\n\nBecause.")
    assert (pull_request.base_sha, pull_request.head_sha) == (base, forge.head(acme, "t-1"))
    assert forge.pull_request(acme, 1) == pull_request
    assert forge.pull_requests(acme) == [pull_request]
    assert git("rev-parse", "refs/pull/1/head") == pull_request.head_sha
    assert b"+decided" in forge.diff(acme, pull_request.base_sha, pull_request.head_sha)


def test_the_same_key_opens_one_pull_request(
    forge: LocalForge, acme: Repository, publish: Publish, opened: dict[str, Any]
) -> None:
    first = forge.open_pull_request(acme, **opened)
    publish({"b.md": b"b\n"}, branch="t-2")

    assert forge.open_pull_request(acme, **(opened | {"title": "later"})) == first
    with pytest.raises(ForgeRefused, match="already"):
        forge.open_pull_request(acme, **(opened | {"branch": "t-2"}))
    assert forge.open_pull_request(acme, **(opened | {"branch": "t-2", "key": "T-2"})).number == 2


def test_an_opening_that_was_cut_short_after_its_key_is_completed(
    forge: LocalForge, acme: Repository, opened: dict[str, Any], git: Git
) -> None:
    first = forge.open_pull_request(acme, **opened)
    git("update-ref", "-d", "refs/pull/1/record")

    assert forge.open_pull_request(acme, **opened) == first
    assert forge.pull_requests(acme) == [first]


def test_a_number_that_was_taken_but_never_used_is_left_out(
    forge: LocalForge, acme: Repository, base: str, opened: dict[str, Any], git: Git
) -> None:
    git("update-ref", "refs/pull/1/head", base)

    assert forge.open_pull_request(acme, **opened).number == 2


def test_the_lock_of_a_killed_process_is_waited_out_once(
    forge: LocalForge, acme: Repository, publish: Publish
) -> None:
    lock = Path(forge.clone_url(acme)) / "refs/heads/t-1.lock"
    lock.touch()
    with pytest.raises(ForgeUnavailable):  # 2 s: it may belong to a living process
        publish({"a.md": b"a\n"})
    long_ago = time.time() - 3_600
    os.utime(lock, (long_ago, long_ago))

    commit = publish({"a.md": b"a\n"})

    assert forge.head(acme, "t-1") == commit


def test_a_pull_request_without_a_difference_is_refused(
    forge: LocalForge, acme: Repository, opened: dict[str, Any], git: Git
) -> None:
    git("branch", "same", "main")

    with pytest.raises(ForgeRefused, match="holds nothing"):
        forge.open_pull_request(acme, **(opened | {"branch": "same"}))


def test_checks_belong_to_one_head(
    forge: LocalForge, acme: Repository, publish: Publish, opened: dict[str, Any]
) -> None:
    old = forge.open_pull_request(acme, **opened).head_sha
    checks = [Check("lint", True, "12 files"), Check("sbom", False, "line 3:\nno such field")]

    assert forge.set_checks(acme, 1, head_sha=old, checks=checks).checks == tuple(checks)
    new = publish({"b.md": b"b\n"}, base_sha=old)

    assert forge.pull_request(acme, 1).head_sha == new
    assert forge.pull_request(acme, 1).checks == ()
    with pytest.raises(ForgeRefused, match="another commit"):
        forge.set_checks(acme, 1, head_sha=old, checks=checks)
    assert forge.mark_ready(acme, 1).checks == ()
    assert forge.set_checks(acme, 1, head_sha=new, checks=checks[:1]).checks == (checks[0],)


def test_a_pull_request_can_be_made_ready_then_closed_but_not_back(
    forge: LocalForge, acme: Repository, opened: dict[str, Any]
) -> None:
    draft = forge.open_pull_request(acme, **opened)

    assert forge.mark_ready(acme, 1) == replace(draft, draft=False)
    assert forge.mark_ready(acme, 1) == replace(draft, draft=False)
    closed = forge.close_pull_request(acme, 1, reason="cancelled by Ada")
    assert (closed.state, closed.closing_reason) == ("closed", "cancelled by Ada")
    assert forge.close_pull_request(acme, 1, reason="again") == closed
    with pytest.raises(ForgeRefused, match="closed"):
        forge.mark_ready(acme, 1)


def test_what_a_person_merged_is_seen_as_merged(
    forge: LocalForge, acme: Repository, opened: dict[str, Any], git: Git, tmp_path: Path
) -> None:
    forge.open_pull_request(acme, **opened)
    clone = tmp_path / "clone"

    git("clone", forge.clone_url(acme), str(clone))
    git("merge", "--no-ff", "-m", "merge", "origin/t-1", cwd=clone)
    git("push", "origin", "main", "--delete", "t-1", cwd=clone)
    git("push", "origin", "HEAD:main", cwd=clone)

    assert [found.state for found in forge.pull_requests(acme)] == ["merged"]
    with pytest.raises(ForgeRefused, match="merged"):
        forge.close_pull_request(acme, 1, reason="too late")


def test_a_missing_pull_request_is_refused(forge: LocalForge, acme: Repository) -> None:
    assert forge.pull_requests(acme) == []
    with pytest.raises(ForgeRefused, match="no such pull request"):
        forge.pull_request(acme, 7)


def test_a_repository_is_made_once(
    forge: LocalForge, acme: Repository, base: str, start: dict[str, Any]
) -> None:
    assert forge.create_repository(acme, **start) == base
    with pytest.raises(ForgeRefused, match="another repository"):
        forge.create_repository(acme, **(start | {"message": "chore: other start"}))
    assert forge.head(acme, "main") == base
    assert [path.name for path in (forge.root / str(acme.tenant_id)).iterdir()] == [
        "order-desk.git"
    ]


def test_the_same_two_commits_always_give_the_same_diff(
    forge: LocalForge, acme: Repository, publish: Publish, git: Git
) -> None:
    base = publish({"blank.md": b"one\n\nthree\n"})
    changes: dict[str, bytes | None] = {
        "docs/old name.md": None,
        "docs/new.md": b"".join(b"line %d\n" % number for number in range(1, 41)),
        "logo.png": b"\x89PNG\x00\x02\x03",
        "blank.md": b"one\n\nthird\n",
    }
    head = publish(changes, base_sha=base)
    before = forge.diff(acme, base, head)
    for setting in ("noPrefix true", "renames false", "suppressBlankEmpty true", "context 0"):
        git("config", *f"diff.{setting}".split())

    assert forge.diff(acme, base, head) == before
    assert b"rename from docs/old name.md" in before
    assert b"Binary files a/logo.png and b/logo.png differ" in before
