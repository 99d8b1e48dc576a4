"""What reaches a default branch past the portal: seen once, on record, shown, listed in packs."""

import json
import subprocess

import pytest
from django.conf import settings

from agent import branch_watch, dossier, lifecycle, merging, pack_orders, repositories
from agent.models import Bypass, Proposal, Repository
from agent.pack_orders import PackOrder
from agent.places import artifact_store, forge_address, local_forge
from evidence.completeness import BYPASSED
from evidence.models import Pack, StagedEntry
from evidence.ocsf import COMPLIANCE_FINDING, event
from evidence.signing import FileKeys
from tenants.actor import system_actor
from tests.agent.bug_cases import WRITTEN
from tests.agent.real_proposals import proposed
from tests.at_browser import JUST_NOW
from tests.evidence.verifier_corpus import unpacked, verified


@pytest.fixture
def desk(in_acme):
    return repositories.register(
        "desk",
        project=in_acme.project,
        files={"README.md": b"# Desk\n"},
        written=WRITTEN,
        by=system_actor("test", "cli"),
    )


@pytest.fixture
def git(desk):
    """Plain git in the bare repository, as somebody with access to the code host has it."""
    folder = local_forge().clone_url(forge_address(desk))

    def git(*arguments):
        who = ("-c", "user.name=Mallory", "-c", "user.email=m@x.example")
        command = ["git", *who, f"--git-dir={folder}", *arguments]
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()

    return git


@pytest.fixture
def proposal(in_acme, desk):
    """What came of a request of bo's: one commit on a branch of the real forge, open."""
    return proposed(in_acme, desk)


def by_hand(git, *parents, tree="main^{tree}", said="by hand"):
    """A commit on main that git alone made."""
    names = [word for parent in parents for word in ("-p", parent)]
    commit = git("commit-tree", tree, *names, "-m", said)
    git("update-ref", "refs/heads/main", commit)
    return commit


def countersign(in_acme, proposal):
    lin = in_acme.people["lin"]
    signed_in = lin.actor("page", signed_in=JUST_NOW)
    lifecycle.countersign(proposal, proposal.digest, reviewer=lin, by=signed_in, comment="read")
    proposal.refresh_from_db()


def bypassed():
    """Leaf and facts of every entry about a bypass."""
    found = []
    for entry in StagedEntry.objects.order_by("id"):
        leaf = json.loads(bytes(entry.leaf))
        if leaf["action"] == BYPASSED:
            found.append((bytes(entry.leaf), leaf, json.loads(bytes(entry.payload))))
    return found


def test_a_commit_by_hand_is_on_record_once_with_who_git_says_made_it(desk, git, entries, in_acme):
    first = git("rev-parse", "main")
    commit = by_hand(git, "main", said="quick fix")
    assert branch_watch.moved() == [desk.pk]

    assert branch_watch.look(desk.pk) == 1

    row = Bypass.objects.get()
    assert (row.before_sha, row.after_sha, row.proposal, row.rewritten) == (
        first, commit, None, False,
    )  # fmt: skip
    assert [(one["sha"], one["by"], one["said"]) for one in row.commits] == [
        (commit, "Mallory", "quick fix")
    ]
    ((raw, leaf, facts),) = bypassed()
    assert (leaf["object"], leaf["outcome"]) == (
        {"type": "repository", "id": str(desk.pk)}, "failed",
    )  # fmt: skip
    assert (facts["commits"], facts["branch"]) == ([commit], "main")
    finding = event(raw, origin="o", index=1, product_version="1")
    assert (finding["class_uid"], finding["compliance"]["status"]) == (COMPLIANCE_FINDING, "Fail")
    # Again finds nothing.
    assert branch_watch.moved() == []
    before = len(entries(in_acme))
    assert branch_watch.look(desk.pk) == 0
    assert (Bypass.objects.count(), len(entries(in_acme))) == (1, before)


def test_what_was_countersigned_and_merged_here_is_no_bypass(in_acme, proposal, desk):
    countersign(in_acme, proposal)
    lin = in_acme.people["lin"].actor("page", signed_in=JUST_NOW)
    lifecycle.order_merge(proposal, proposal.digest, by=lin)
    assert merging.carry_out(proposal.pk)

    assert branch_watch.look(desk.pk) == 0

    desk.refresh_from_db()
    assert desk.watched_sha == Proposal.objects.get(pk=proposal.pk).merge_sha
    assert not Bypass.objects.exists()


@pytest.mark.parametrize("way", ["moved onto", "merged"])
def test_what_was_countersigned_may_come_in_by_hand(in_acme, proposal, desk, git, way):
    countersign(in_acme, proposal)
    if way == "merged":
        by_hand(git, "main", proposal.head_sha, tree=f"{proposal.head_sha}^{{tree}}")
    else:
        git("update-ref", "refs/heads/main", proposal.head_sha)

    assert branch_watch.look(desk.pk) == 0


def test_a_merge_that_slips_something_in_is_not_what_was_countersigned(
    in_acme, proposal, desk, git
):
    countersign(in_acme, proposal)
    # The merge says that it brings the proposal in, and leaves its files out.
    commit = by_hand(git, "main", proposal.head_sha, tree="main^{tree}")

    assert branch_watch.look(desk.pk) == 1

    assert [one["sha"] for one in Bypass.objects.get().commits] == [commit]


@pytest.mark.parametrize("way", ["moved onto", "merged"])
def test_a_proposal_that_nobody_countersigned_is_named(proposal, desk, git, way):
    if way == "merged":
        by_hand(git, "main", proposal.head_sha, tree=f"{proposal.head_sha}^{{tree}}")
    else:
        git("update-ref", "refs/heads/main", proposal.head_sha)

    assert branch_watch.look(desk.pk) == 1

    assert Bypass.objects.get().proposal == proposal
    ((_, leaf, facts),) = bypassed()
    assert leaf["object"] == {"type": "proposal", "id": str(proposal.pk)}
    assert (leaf["run"], facts["proposal_state"]) == (str(proposal.task_id), "open")


def test_a_rewritten_branch_is_one_even_when_nothing_came(desk, git):
    first = git("rev-parse", "main")
    by_hand(git, "main")
    branch_watch.look(desk.pk)
    git("update-ref", "refs/heads/main", first)

    assert branch_watch.look(desk.pk) == 1

    row = Bypass.objects.first()
    assert (row.rewritten, row.commit_count, row.after_sha) == (True, 0, first)


def test_what_stood_there_before_it_was_watched_is_the_baseline(desk, git, entries, in_acme):
    Repository.objects.update(watched_sha="", watched_since=None)
    tip = by_hand(git, "main")

    assert branch_watch.look(desk.pk) == 0

    desk.refresh_from_db()
    assert desk.watched_sha == tip
    assert desk.watched_since
    assert entries(in_acme)[-1] == ("branch.watch", "ok")
    by_hand(git, "main")
    assert branch_watch.look(desk.pk) == 1


def test_an_import_by_hand_is_one_finding_however_many_commits(desk, git):
    for number in range(Bypass.LISTED + 3):
        by_hand(git, "main", said=f"import {number}")

    assert branch_watch.look(desk.pk) == 1

    row = Bypass.objects.get()
    assert (row.commit_count, len(row.commits), row.not_listed) == (23, 20, 3)


def test_a_pack_lists_it_and_names_the_proposal_that_got_in_by_it(
    in_acme, proposal, desk, git, tmp_path
):
    git("update-ref", "refs/heads/main", proposal.head_sha)
    assert branch_watch.look(desk.pk) == 1
    iris = in_acme.people["iris"].actor("page", signed_in=JUST_NOW)
    pack = pack_orders.order_pack(PackOrder(Pack.Kind.PERIOD), by=iris)

    dossier.build(pack.pk, FileKeys(settings.KEYS_DIR))

    pack.refresh_from_db()
    assert pack.state == Pack.State.READY, pack.problem
    content = artifact_store().get(pack.tenant_id, pack.sha256)
    files = unpacked(content)
    (row,) = json.loads(files["access/exceptions.json"])["bypasses"]
    assert row["action"] == BYPASSED
    population = [json.loads(line) for line in files["population/prs.jsonl"].splitlines()]
    assert [one["proposal"] for one in population] == [str(proposal.pk)]
    found = verified(content, tmp_path, keys=[dossier.log_key()])
    assert found.failure is None
    assert any("nobody countersigned: 1, all listed" in what for _, what in found.verified)
