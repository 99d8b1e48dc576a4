"""Races, full disks and stuck processes leave a repository whole."""

import multiprocessing
import resource
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.forge import ForgeRefused, ForgeUnavailable, Repository
from agent.forge import git as forge_git
from agent.forge.local import LocalForge

WORKERS = 6
Publish = Callable[..., str]
Everything = Callable[[], dict[str, bytes]]


def at_once(work: Callable[[int], object]) -> list[object]:
    """Results of `work(0)`..`work(n)`, each in a process of its own, all starting together."""
    context = multiprocessing.get_context("fork")
    gate, results = context.Barrier(WORKERS), context.Queue()

    def run(number: int) -> None:
        gate.wait()
        try:
            results.put(work(number))
        except (ForgeRefused, ForgeUnavailable) as error:
            results.put(error)

    processes = [context.Process(target=run, args=(number,)) for number in range(WORKERS)]
    for process in processes:
        process.start()
    found = [results.get(timeout=30) for _ in processes]
    for process in processes:
        process.join()
    return found


def test_pull_requests_opened_at_once_get_different_numbers(
    forge: LocalForge, acme: Repository, publish: Publish
) -> None:
    publish({"a.md": b"a\n"})

    numbers = at_once(
        lambda number: (
            forge.open_pull_request(
                acme, branch="t-1", base="main", title="x", body="", draft=True, key=f"T-{number}"
            ).number
        )
    )

    assert sorted(map(str, numbers)) == [str(number + 1) for number in range(WORKERS)]
    assert [found.number for found in forge.pull_requests(acme)] == [*range(1, WORKERS + 1)]


def test_one_key_used_at_once_opens_one_pull_request(
    forge: LocalForge, acme: Repository, publish: Publish
) -> None:
    publish({"a.md": b"a\n"})

    numbers = at_once(
        lambda _: (
            forge.open_pull_request(
                acme, branch="t-1", base="main", title="x", body="", draft=True, key="T-1"
            ).number
        )
    )

    assert numbers == [1] * WORKERS
    assert len(forge.pull_requests(acme)) == 1


def test_the_same_commit_published_at_once_is_one_commit(
    forge: LocalForge, acme: Repository, publish: Publish
) -> None:
    commits = at_once(lambda _: publish({"a.md": b"a\n" * 1_000}))

    assert set(commits) == {forge.head(acme, "t-1")}


def test_of_different_commits_published_at_once_one_wins(
    forge: LocalForge, acme: Repository, publish: Publish
) -> None:
    outcomes = at_once(lambda number: publish({"a.md": b"%d\n" % number}))

    assert [found for found in outcomes if isinstance(found, str)] == [forge.head(acme, "t-1")]
    assert sum(isinstance(found, ForgeRefused) for found in outcomes) == WORKERS - 1


def test_a_repository_made_at_once_is_made_once(
    forge: LocalForge, acme: Repository, start: dict[str, Any]
) -> None:
    new = Repository(acme.tenant_id, "new")

    commits = at_once(lambda _: forge.create_repository(new, **start))

    assert set(commits) == {forge.head(new, "main")}


def test_a_full_quota_is_a_clear_error_that_leaves_nothing_behind(
    forge: LocalForge, acme: Repository, publish: Publish, everything: Everything
) -> None:
    before = everything()
    noise = b"".join(b"%d\n" % (number * 7_919 % 104_729) for number in range(60_000))

    def within_quota(_: int) -> str:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        return publish({"big.txt": noise})

    outcomes = at_once(within_quota)

    assert {str(found) for found in outcomes} == {
        "git fast-import: no space left to write; nothing was changed"
    }
    assert everything() == before
    assert publish({"big.txt": noise}) == forge.head(acme, "t-1")


def test_a_full_disk_is_a_clear_error_that_leaves_nothing_behind(tmp_path: Path) -> None:
    if subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        pytest.skip("only root may mount a small disk")
    story = """
        import random, subprocess, sys, uuid
        from datetime import UTC, datetime
        from pathlib import Path
        from agent.forge import ForgeUnavailable, Person, Repository
        from agent.forge.local import LocalForge

        disk = Path(sys.argv[1])
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", disk], check=True)
        forge, repo = LocalForge(disk), Repository(uuid.uuid4(), "small")
        ada, when = Person("Ada", "ada@acme.example"), datetime(2026, 11, 23, tzinfo=UTC)
        facts = {"message": "x", "author": ada, "when": when}
        base = forge.create_repository(repo, files={"a": b"a"}, **facts)

        def publish(number, size):
            noise = random.Random(number)  # nothing that compresses away
            changes = {f"{part}.bin": noise.randbytes(size) for part in range(3)}
            branch = f"t-{number}"
            facts_here = facts | {"branch": branch, "base_sha": base, "co_author": None}
            forge.publish(repo, changes=changes, **facts_here)
            forge.open_pull_request(repo, branch=branch, base="main", title="x", body="",
                                    draft=True, key=branch)

        def files():
            found = (path for path in disk.rglob("*") if path.is_file())
            return {path: path.read_bytes() for path in found}

        def seen():
            return forge.pull_requests(repo), forge.list_files(repo, "main")

        publish(0, 100)
        before, seen_before = files(), seen()
        try:
            publish(1, 400_000)
        except ForgeUnavailable as error:
            print("large:", error)
        assert files() == before

        # Fill the disk to the last byte: even the smallest write must fail cleanly.
        with (disk / "filler").open("wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(4096))
            except OSError:
                pass
        for number in (2, 3):
            try:
                publish(number, 100)
            except ForgeUnavailable as error:
                print("small:", error)
        assert seen() == seen_before, "something half-made can be seen"
        (disk / "filler").unlink()
        assert files() == before
        publish(2, 100)
        assert [found.number for found in forge.pull_requests(repo)] == [1, 2]
        subprocess.run(["git", "-C", forge.clone_url(repo), "fsck", "--strict"], check=True)
        """

    done = subprocess.run(
        ["unshare", "--mount", sys.executable, "-c", textwrap.dedent(story), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == ["large", "small", "small"]
    assert all("no space left" in line.lower() for line in lines), lines


def test_a_git_that_hangs_is_ended_in_time(
    forge: LocalForge, acme: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    slow = tmp_path / "git"
    slow.write_text("#!/bin/sh\nsleep 60 & wait\n")
    slow.chmod(0o755)
    monkeypatch.setattr(forge_git, "_git", lambda: str(slow))

    started = time.monotonic()

    with pytest.raises(ForgeUnavailable, match="took more than"):
        forge_git.run(Path(forge.clone_url(acme)), "status", time_limit=0.2)

    # The child that git had started is gone too: it would have held the pipe open for a minute.
    assert time.monotonic() - started < 10
