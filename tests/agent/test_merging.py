"""Merging what is countersigned: a person orders it, a worker carries it out, both are judged."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.utils import timezone

import agent
from agent import lifecycle, merging, repositories, upkeep
from agent.errors import IllegalMove, StaleDigest
from agent.forge import ForgeUnavailable, Person
from agent.forge.local import LocalForge
from agent.models import Proposal
from agent.places import forge_address, local_forge
from authz import decisions
from authz.cedar import with_tenant
from authz.errors import Denied
from authz.models import Grant
from evidence.models import StagedEntry
from tenants.actor import Actor, SignedIn, system_actor
from tenants.scope import tenants_with_work
from tests.agent.real_proposals import proposed
from tests.at_browser import JUST_NOW

WRITTEN = datetime(2026, 1, 5, tzinfo=UTC)
NEVER_NOW = """@id("closed")
@reason("nothing is merged right now")
forbid(principal, action == Action::"proposal.merge", resource);
"""


def by(company, name, **also):
    return replace(company.people[name].actor("page", signed_in=JUST_NOW), **also)


def newest(action):
    for entry in StagedEntry.objects.order_by("-id"):
        leaf = json.loads(bytes(entry.leaf))
        if leaf["action"] == action:
            return leaf, json.loads(bytes(entry.payload))
    raise AssertionError(action)


@pytest.fixture
def proposal(in_acme):
    """What came of a request of bo's, on the real forge, countersigned by lin."""
    repository = repositories.register(
        "desk",
        project=in_acme.project,
        files={"README.md": b"# Desk\n"},
        written=WRITTEN,
        by=system_actor("test", "cli"),
    )
    made = proposed(in_acme, repository)
    lifecycle.countersign(
        made, made.digest, reviewer=in_acme.people["lin"], by=by(in_acme, "lin"), comment="read"
    )
    made.refresh_from_db()
    return made


def main_of(proposal):
    return local_forge().head(forge_address(proposal.repository), "main")


def test_what_was_countersigned_is_merged_by_a_person(in_acme, proposal, entries):
    before = len(entries(in_acme))
    lifecycle.order_merge(proposal, proposal.digest, by=by(in_acme, "lin"))
    proposal.refresh_from_db()
    assert (proposal.is_being_merged, main_of(proposal)) == (True, proposal.base_sha)

    assert merging.carry_out(proposal.pk)

    proposal.refresh_from_db()
    assert (proposal.state, proposal.merge_sha) == (Proposal.State.MERGED, main_of(proposal))
    assert proposal.merged_at
    assert entries(in_acme)[before:] == [("proposal.merge", "ok")] * 3
    leaf, facts = newest("proposal.merge")
    assert (leaf["phase"], leaf["actor"]["name"], leaf["actor"]["type"]) == (
        "result", "Lin", "human",
    )  # fmt: skip
    assert (facts["merge_sha"], facts["head_sha"]) == (proposal.merge_sha, proposal.head_sha)
    assert facts["policy_facts"]["countersigned"] is True
    assert facts["policy_facts"]["countersigner"] == str(in_acme.people["lin"].pk)
    # Again changes nothing.
    assert not merging.carry_out(proposal.pk)
    with pytest.raises(IllegalMove, match="is merged"):
        lifecycle.order_merge(proposal, proposal.digest, by=by(in_acme, "lin"))


def test_the_requester_agents_tokens_developers_and_old_sign_ins_merge_nothing(in_acme, proposal):
    lin = in_acme.people["lin"]
    Grant.objects.create(user=in_acme.people["bo"], role="tenant_admin")
    as_agent = Actor("agent", str(lin.pk), "Agent", "job", user_id=lin.pk, signed_in=JUST_NOW)
    yesterday = SignedIn(timezone.now() - timedelta(hours=13), "oidc", ("otp",))
    for actor, said in [
        (by(in_acme, "bo"), "a second person must"),
        (as_agent, "only a person may merge a proposal"),
        (by(in_acme, "iris"), "none of your roles here may merge a proposal"),
        (by(in_acme, "lin", only=frozenset({"proposal.merge"})), "a token is not enough"),
        (by(in_acme, "lin", signed_in=yesterday), "older than 12 hours"),
        (by(in_acme, "lin", signed_in=None), "not known"),
    ]:
        with pytest.raises(Denied, match=said):
            lifecycle.order_merge(proposal, proposal.digest, by=actor)
    proposal.refresh_from_db()
    assert not proposal.is_being_merged


def test_the_agent_of_the_project_may_not_even_with_the_role(in_acme, proposal):
    agent_account = merging._agent_of(proposal)
    Grant.objects.create(user_id=agent_account.user_id, role="tenant_admin")

    with pytest.raises(Denied, match="only a person may merge"):
        lifecycle.order_merge(proposal, proposal.digest, by=agent_account)


def test_what_nobody_countersigned_or_fails_a_check_is_not_merged(in_acme, proposal):
    Proposal.objects.filter(pk=proposal.pk).update(state=Proposal.State.OPEN)
    proposal.refresh_from_db()
    with pytest.raises(Denied, match="only what a second person countersigned"):
        lifecycle.order_merge(proposal, proposal.digest, by=by(in_acme, "lin"))
    red = [{"name": "lint", "path": "x", "ok": False, "detail": ""}]
    for checks in (red, []):
        Proposal.objects.filter(pk=proposal.pk).update(state="countersigned", checks=checks)
        proposal.refresh_from_db()
        with pytest.raises(Denied, match="with every check passed"):
            lifecycle.order_merge(proposal, proposal.digest, by=by(in_acme, "lin"))


def test_what_changed_while_somebody_read_is_looked_at_under_the_lock(in_acme, proposal):
    read = proposal.digest
    Proposal.objects.filter(pk=proposal.pk).update(digest="0" * 64)
    with pytest.raises(StaleDigest, match="changed since you read it"):
        lifecycle.order_merge(proposal, read, by=by(in_acme, "lin"))
    stale = Proposal.objects.get(pk=proposal.pk)
    Proposal.objects.filter(pk=proposal.pk).update(digest=read, state=Proposal.State.WITHDRAWN)
    with pytest.raises(IllegalMove, match="withdrawn"):
        lifecycle.order_merge(stale, read, by=by(in_acme, "lin"))


def test_it_is_ordered_once_and_not_undone_meanwhile(in_acme, proposal):
    lifecycle.order_merge(proposal, proposal.digest, by=by(in_acme, "lin"))
    with pytest.raises(IllegalMove, match="being merged already"):
        lifecycle.order_merge(proposal, proposal.digest, by=by(in_acme, "tomas"))
    with pytest.raises(IllegalMove, match="is being merged right now"):
        lifecycle.undo(proposal.task, by=by(in_acme, "ada"))
    proposal.refresh_from_db()
    assert not proposal.can_withdraw


def taken_back(proposal, said):
    assert not merging.carry_out(proposal.pk)
    proposal.refresh_from_db()
    assert (proposal.state, proposal.is_being_merged) == (Proposal.State.COUNTERSIGNED, False)
    assert said in proposal.merge_refused
    assert main_of(proposal) == proposal.base_sha


def test_a_right_that_ended_since_the_order_stops_it(in_acme, proposal, entries):
    lifecycle.order_merge(proposal, proposal.digest, by=by(in_acme, "lin"))
    Grant.objects.filter(user=in_acme.people["lin"]).delete()

    taken_back(proposal, "none of your roles here may merge a proposal")

    assert ("proposal.merge.denied", "denied") in entries(in_acme)


def test_a_window_that_closed_since_the_order_stops_it_and_says_so(in_acme, proposal, monkeypatch):
    lifecycle.order_merge(proposal, proposal.digest, by=by(in_acme, "lin"))
    own = with_tenant(NEVER_NOW)
    monkeypatch.setattr(decisions, "active_policies", lambda: own)

    taken_back(proposal, "nothing is merged right now")

    # Once it is open again, it can be ordered again.
    monkeypatch.undo()
    lifecycle.order_merge(proposal, proposal.digest, by=by(in_acme, "lin"))
    assert merging.carry_out(proposal.pk)


def test_a_window_that_closes_while_it_is_merged_loses_no_result(in_acme, proposal, monkeypatch):
    lifecycle.order_merge(proposal, proposal.digest, by=by(in_acme, "lin"))
    real, own = LocalForge.merge, with_tenant(NEVER_NOW)

    def and_close(*args, **kwargs):
        monkeypatch.setattr(decisions, "active_policies", lambda: own)
        return real(*args, **kwargs)

    monkeypatch.setattr(LocalForge, "merge", and_close)

    assert merging.carry_out(proposal.pk)

    leaf, facts = newest("proposal.merge")
    assert (leaf["phase"], leaf["outcome"]) == ("result", "ok")
    assert facts["merge_sha"] == main_of(proposal)


def test_a_branch_that_moved_since_it_was_signed_is_not_merged(in_acme, proposal, entries):
    local_forge().publish(
        forge_address(proposal.repository),
        branch="countersign/t-1",
        base_sha=proposal.head_sha,
        changes={"docs/extra.md": b"sneaked in\n"},
        message="more",
        author=Person("Mallory", "mallory@example.com"),
        co_author=None,
        when=WRITTEN,
    )
    lifecycle.order_merge(proposal, proposal.digest, by=by(in_acme, "lin"))

    taken_back(proposal, "stands at another commit now")

    assert ("proposal.merge", "failed") in entries(in_acme)


def test_a_code_host_that_is_away_is_asked_again(in_acme, proposal, monkeypatch):
    def away(*args, **kwargs):
        raise ForgeUnavailable("asleep")

    lifecycle.order_merge(proposal, proposal.digest, by=by(in_acme, "lin"))
    monkeypatch.setattr(LocalForge, "merge", away)
    with pytest.raises(ForgeUnavailable):
        merging.carry_out(proposal.pk)
    proposal.refresh_from_db()
    assert proposal.is_being_merged
    assert merging.unfinished() == []  # too fresh: its own job is at it
    monkeypatch.setattr(merging, "STALLED_AFTER", timedelta(0))
    assert merging.unfinished() == [proposal.pk]
    upkeep.publish_review(proposal.pk)
    assert in_acme.scope.tenant_id in tenants_with_work("stalled")
    monkeypatch.undo()

    assert merging.carry_out(proposal.pk)
    assert in_acme.scope.tenant_id not in tenants_with_work("stalled")


def test_a_worker_that_died_after_the_merge_is_made_up_for(in_acme, proposal, monkeypatch):
    lifecycle.order_merge(proposal, proposal.digest, by=by(in_acme, "lin"))

    def dies(*args):
        raise SystemExit

    monkeypatch.setattr(merging, "_merged", dies)
    with pytest.raises(SystemExit):
        merging.carry_out(proposal.pk)
    monkeypatch.undo()
    once = main_of(proposal)
    # Merged it is, whatever became of the right to.
    Grant.objects.filter(user=in_acme.people["lin"]).delete()

    assert merging.carry_out(proposal.pk)

    proposal.refresh_from_db()
    assert (proposal.state, main_of(proposal)) == (Proposal.State.MERGED, once)


def test_what_was_merged_by_hand_is_noticed(in_acme, proposal, entries):
    assert not merging.notice(proposal.pk)
    local_forge().merge(
        forge_address(proposal.repository),
        proposal.number,
        head_sha=proposal.head_sha,
        message="by hand",
        merger=Person("Lin", "lin@example.com"),
        when=WRITTEN,
    )

    assert merging.notice(proposal.pk)

    proposal.refresh_from_db()
    assert (proposal.state, proposal.merge_sha) == (Proposal.State.MERGED, "")
    assert entries(in_acme)[-1] == ("pull_request.open", "ok")
    assert newest("pull_request.open")[1]["step"] == "found merged"


def test_nothing_but_this_one_module_can_merge():
    """The agent's tools hold a Forge, which has no way to; only here is one asked for."""
    found = {
        path.stem
        for path in Path(agent.__file__).parent.rglob("*.py")
        if re.search(r"\bmerging_of\(|\.merge\(", path.read_text())
    }

    assert found == {"merging", "places"}
