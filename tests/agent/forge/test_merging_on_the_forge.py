"""Merging on the local forge: exactly the commit that was meant, or nothing at all."""

import subprocess
from datetime import UTC, datetime

import pytest

from agent.forge import Check, Forge, ForgeRefused, Person

GREEN = [Check("tests", True, "")]
LIN = Person("Lin Chen", "lin@acme.example")
WHEN = datetime(2026, 11, 23, 7, tzinfo=UTC)


@pytest.fixture
def opened(forge, acme, publish):
    """A pull request with a passed check: its number and head."""
    head = publish({"docs/new.md": b"# New\n"})
    request = forge.open_pull_request(
        acme, branch="t-1", base="main", title="docs: new", body="x", draft=False, key="1"
    )
    forge.set_checks(acme, request.number, head_sha=head, checks=GREEN)
    return request.number, head


def merge(forge, repo, number, head):
    return forge.merge(repo, number, head_sha=head, message="Merge #1", merger=LIN, when=WHEN)


def git(forge, repo, *arguments, stdin=None):
    command = ["git", f"--git-dir={forge.clone_url(repo)}", *arguments]
    done = subprocess.run(command, capture_output=True, check=True, input=stdin)
    return done.stdout.decode().strip()


def test_a_merge_is_a_commit_of_two_parents_by_whoever_merged(forge, acme, base, opened):
    number, head = opened

    commit = merge(forge, acme, number, head)

    assert forge.head(acme, "main") == commit
    assert git(forge, acme, "show", "-s", "--format=%P|%an|%ae|%cn|%s", commit) == (
        f"{base} {head}|Lin Chen|lin@acme.example|Lin Chen|Merge #1"
    )
    assert forge.read(acme, "main", "docs/new.md") == b"# New\n"
    assert forge.pull_request(acme, number).state == "merged"
    assert git(forge, acme, "fsck", "--strict") == ""


def test_asked_twice_it_is_merged_once(forge, acme, opened):
    number, head = opened
    commit = merge(forge, acme, number, head)

    assert merge(forge, acme, number, head) == commit
    assert forge.head(acme, "main") == commit


def test_what_was_merged_by_hand_gives_the_commit_that_did_it(forge, acme, base, opened):
    number, head = opened
    git(forge, acme, "update-ref", "refs/heads/main", head, base)

    assert merge(forge, acme, number, head) == head


def test_what_others_brought_in_meanwhile_stays(forge, acme, opened, start):
    number, head = opened
    other = git(
        forge, acme, "-c", "user.name=x", "-c", "user.email=x@x.example", "commit-tree",
        "main^{tree}", "-p", "main", "-m", "meanwhile",
    )  # fmt: skip
    git(forge, acme, "update-ref", "refs/heads/main", other)

    commit = merge(forge, acme, number, head)

    assert git(forge, acme, "show", "-s", "--format=%P", commit) == f"{other} {head}"
    assert forge.read(acme, "main", "README.md") == start["files"]["README.md"]


def test_what_was_merged_by_hand_with_more_in_it_is_none_of_ours(forge, acme, base, opened):
    number, head = opened
    more = git(
        forge, acme, "-c", "user.name=x", "-c", "user.email=x@x.example", "commit-tree",
        "main^{tree}", "-p", "main", "-p", head, "-m", "without what was signed",
    )  # fmt: skip
    git(forge, acme, "update-ref", "refs/heads/main", more, base)

    refused(forge, acme, number, head, "was merged by others, with other files than its own")


def test_the_bytes_of_a_commit_are_those_that_git_names_it_by(forge, acme, opened):
    number, head = opened
    commit = merge(forge, acme, number, head)

    content = forge.commit(acme, commit)

    assert git(forge, acme, "hash-object", "-t", "commit", "--stdin", stdin=content) == commit
    with pytest.raises(ForgeRefused, match="no such commit"):
        forge.commit(acme, "0" * 40)


def refused(forge, repo, number, head, said):
    before = forge.head(repo, "main")
    with pytest.raises(ForgeRefused, match=said):
        merge(forge, repo, number, head)
    assert forge.head(repo, "main") == before


def test_a_head_that_has_moved_is_not_merged(forge, acme, opened, publish):
    number, head = opened
    newer = publish({"docs/new.md": b"# Other\n"}, base_sha=head)

    refused(forge, acme, number, head, "stands at another commit now")
    refused(forge, acme, number, newer, "nobody has checked this commit")


def test_failing_checks_drafts_and_closed_requests_are_not_merged(forge, acme, opened, publish):
    number, head = opened
    red = [Check("tests", True, ""), Check("lint", False, "")]
    forge.set_checks(acme, number, head_sha=head, checks=red)
    refused(forge, acme, number, head, "1 checks fail on this commit: lint")
    forge.set_checks(acme, number, head_sha=head, checks=GREEN)
    forge.close_pull_request(acme, number, reason="no")
    refused(forge, acme, number, head, "is closed")
    other = publish({"docs/more.md": b"# More\n"}, branch="t-2")
    draft = forge.open_pull_request(
        acme, branch="t-2", base="main", title="docs: more", body="x", draft=True, key="2"
    )
    forge.set_checks(acme, draft.number, head_sha=other, checks=GREEN)
    refused(forge, acme, draft.number, other, "is a draft")


def test_a_conflict_is_not_merged_and_names_the_files(forge, acme, opened, publish):
    number, _ = opened
    mine = publish({"src/orders.py": b"one\nTWO\nthree\n"}, branch="t-2")
    yours = publish({"src/orders.py": b"one\nzwei\nthree\n"}, branch="t-3")
    for branch, sha in (("t-2", mine), ("t-3", yours)):
        request = forge.open_pull_request(
            acme, branch=branch, base="main", title=branch, body="x", draft=False, key=branch
        )
        forge.set_checks(acme, request.number, head_sha=sha, checks=GREEN)
    merge(forge, acme, number + 1, mine)

    refused(
        forge, acme, number + 2, yours, "conflicts with the branch it goes to, in src/orders.py"
    )


def test_what_the_agent_holds_has_no_way_to_merge():
    assert "merge" not in vars(Forge)
