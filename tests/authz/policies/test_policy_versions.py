"""Policies of a tenant: one admin proposes, another approves, one can go one step back."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from django.conf import settings
from django.db import DatabaseError, IntegrityError, transaction
from django.utils import timezone

from authz import cedar, in_force, people, policy_versions
from authz.errors import BadRequest, Conflict, Denied
from authz.hindsight import hindsight
from authz.models import PolicyVersion
from authz.permissions import Permission as P
from authz.policy_facts import RECORDED_AS, PolicyFacts
from authz.roles import Role
from evidence import ledger
from evidence.models import Entry, Payload, StagedEntry
from evidence.signing import FileKeys
from tenants.actor import SignedIn, system_actor
from tenants.scope import tenant_scope
from tests.at_browser import JUST_NOW

MFA = """@id("second-factor")
@reason("this takes a second factor")
forbid(principal, action in Action::"administer", resource)
unless { context.mfa };
"""
FROZEN = """@id("frozen")
@reason("roles stay as they are")
forbid(principal, action == Action::"role.change", resource);
"""
LOCKED_OUT = """@id("nobody")
@reason("nobody may do anything")
forbid(principal, action, resource);
"""


@pytest.fixture
def admins(in_acme):
    """acme with a second tenant admin, Tara."""
    in_acme.people["tara"] = people.admit(
        "tara@acme.example",
        "Tara",
        [Role.TENANT_ADMIN],
        tenant=people.AsTenant(in_acme.scope.tenant_id),
        project=None,
        by=system_actor("test", "cli"),
    )
    return in_acme


def by(company, name):
    """Somebody who signed in just now, with a second factor."""
    signed_in = SignedIn(timezone.now(), "oidc", ("pwd", "mfa"))
    return replace(company.people[name].actor("page", signed_in=JUST_NOW), signed_in=signed_in)


def facts(company, **otherwise):
    scope = str(company.scope.tenant_id)
    known = PolicyFacts(
        rebac=True,
        actor="somebody",
        kind="human",
        tenant=scope,
        door="page",
        token=False,
        mfa=False,
        thing="tenant:1",
        thing_tenant=scope,
        at=datetime(2026, 11, 23, 12, tzinfo=UTC),
        signed_in_seconds=60,
    )
    return replace(known, **otherwise)


def allowed(company, permission=P.ROLE_CHANGE, **otherwise):
    return cedar.judge(permission, facts(company, **otherwise), in_force.active_policies()).allowed


def in_effect(company, text, proposer="tomas", approver="tara"):
    version = policy_versions.propose(text, "because", by=by(company, proposer))
    policy_versions.approve(version, version.digest, by=by(company, approver))
    version.refresh_from_db()
    return version


def said():
    """Facts of the newest entry."""
    return json.loads(bytes(StagedEntry.objects.order_by("-id").first().payload))


def test_rules_hold_once_a_second_admin_has_approved_them(admins, entries):
    version = policy_versions.propose(MFA, "a second factor", by=by(admins, "tomas"))

    assert (version.number, version.state) == (1, "proposed")
    assert {(name, value) for name, value in said().items() if isinstance(value, str | int)} >= {
        ("step", "proposed"),
        ("note", "a second factor"),
        ("text", MFA),
        ("version", 1),
        ("digest", in_force.digest_of(MFA)),
    }
    assert allowed(admins)
    before = in_force.active_policies().digest

    policy_versions.approve(version, version.digest, by=by(admins, "tara"))

    assert not allowed(admins)
    assert allowed(admins, mfa=True)
    assert in_force.active_policies().digest != before
    assert in_force.active_policies().version == version.pk
    assert entries(admins)[-2:] == [("policy.change", "ok"), ("policy.approve", "ok")]
    assert said()["step"] == "approved"
    assert said()["digest"] == version.digest
    version.refresh_from_db()
    assert (version.decided_by_name, version.state) == ("Tara", "active")


def test_nobody_approves_or_refuses_what_they_proposed(admins, entries):
    version = policy_versions.propose(MFA, "x", by=by(admins, "tomas"))

    for answer in (
        lambda: policy_versions.approve(version, version.digest, by=by(admins, "tomas")),
        lambda: policy_versions.refuse(version, "no", by=by(admins, "tomas")),
    ):
        with pytest.raises(Denied) as refusal:
            answer()
        assert "a second person must" in refusal.value.reasons[0]
        assert entries(admins)[-1] == ("policy.approve.denied", "denied")
    assert allowed(admins)


@pytest.mark.parametrize("name", ["ada", "bo", "iris"])
def test_only_tenant_admins_propose_approve_and_go_back(admins, entries, name):
    held = in_effect(admins, MFA)
    version = policy_versions.propose(FROZEN, "x", by=by(admins, "tomas"))

    for act in (
        lambda: policy_versions.propose("", "x", by=by(admins, name)),
        lambda: policy_versions.approve(version, version.digest, by=by(admins, name)),
        lambda: policy_versions.refuse(version, "x", by=by(admins, name)),
        lambda: policy_versions.withdraw(version, by=by(admins, name)),
        lambda: policy_versions.restore_previous(held, by=by(admins, name)),
    ):
        with pytest.raises(Denied):
            act()
        assert entries(admins)[-1][1] == "denied"
    assert in_force.active_version() == held


def test_an_agent_or_service_cannot_touch_policies_whatever_its_roles(admins):
    version = policy_versions.propose(MFA, "x", by=by(admins, "tomas"))
    robot = replace(by(admins, "tara"), type="robot")

    with pytest.raises(Denied):
        policy_versions.approve(version, version.digest, by=robot)


def test_what_is_approved_is_what_was_read(admins):
    version = policy_versions.propose(MFA, "x", by=by(admins, "tomas"))

    with pytest.raises(Conflict, match="not the text that you read"):
        policy_versions.approve(version, "0" * 64, by=by(admins, "tara"))
    PolicyVersion.objects.filter(pk=version.pk).update(text="")
    with pytest.raises(Conflict, match="not the text that you read"):
        policy_versions.approve(version, version.digest, by=by(admins, "tara"))


def test_a_proposal_is_decided_once(admins):
    version = in_effect(admins, MFA)

    for act in (
        lambda: policy_versions.approve(version, version.digest, by=by(admins, "tara")),
        lambda: policy_versions.refuse(version, "no", by=by(admins, "tara")),
        lambda: policy_versions.withdraw(version, by=by(admins, "tomas")),
    ):
        with pytest.raises(Conflict, match="active already"):
            act()


def test_two_proposals_do_not_overwrite_each_other(admins):
    one = policy_versions.propose(MFA, "x", by=by(admins, "tomas"))
    other = policy_versions.propose(FROZEN, "y", by=by(admins, "tomas"))
    policy_versions.approve(one, one.digest, by=by(admins, "tara"))

    with pytest.raises(Conflict, match="propose them again"):
        policy_versions.approve(other, other.digest, by=by(admins, "tara"))

    assert in_force.active_version() == one


def test_refused_and_withdrawn_proposals_stay_on_record(admins, entries):
    one = policy_versions.propose(MFA, "x", by=by(admins, "tomas"))
    with pytest.raises(BadRequest):
        policy_versions.refuse(one, " ", by=by(admins, "tara"))
    policy_versions.refuse(one, "too strict", by=by(admins, "tara"))
    assert said()["why"] == "too strict"
    other = policy_versions.propose(MFA, "y", by=by(admins, "tomas"))
    with pytest.raises(Conflict, match="somebody else proposed"):
        policy_versions.withdraw(other, by=by(admins, "tara"))
    policy_versions.withdraw(other, by=by(admins, "tomas"))

    states = list(PolicyVersion.objects.values_list("number", "state"))
    assert states == [(2, "refused"), (1, "refused")]
    assert said()["step"] == "withdrawn"
    assert allowed(admins)


def test_going_back_restores_what_was_replaced_at_once(admins, entries):
    first = in_effect(admins, MFA)
    second = in_effect(admins, FROZEN)
    assert not allowed(admins, mfa=True)

    policy_versions.restore_previous(second, by=by(admins, "tomas"))

    assert in_force.active_version() == first
    assert allowed(admins, mfa=True)
    assert not allowed(admins)
    assert entries(admins)[-1] == ("policy.restore", "ok")
    assert said()["restored"] == {"version": 1, "digest": first.digest}
    assert said()["version"] == 2


def test_one_admin_goes_one_step_back_and_no_further(admins):
    in_effect(admins, MFA)
    second = in_effect(admins, FROZEN)
    policy_versions.restore_previous(second, by=by(admins, "tomas"))
    active = in_force.active_version()

    for version in (active, second):
        with pytest.raises(Conflict):
            policy_versions.restore_previous(version, by=by(admins, "tomas"))

    assert in_force.active_version() == active
    third = in_effect(admins, FROZEN)
    assert third.replaces == active
    policy_versions.restore_previous(third, by=by(admins, "tomas"))
    assert in_force.active_version() == active


def test_the_first_rules_can_be_taken_back_to_none(admins):
    only = in_effect(admins, FROZEN)

    policy_versions.restore_previous(only, by=by(admins, "tomas"))

    assert in_force.active_version() is None
    assert in_force.active_policies() is cedar.platform()


def test_a_tenant_that_locked_itself_out_gets_out_by_one_click(admins):
    version = in_effect(admins, LOCKED_OUT)

    assert not allowed(admins, P.POLICY_CHANGE, mfa=True)
    assert not allowed(admins, P.POLICY_APPROVE, mfa=True)
    assert not allowed(admins, P.POLICY_RESTORE, kind="agent")
    policy_versions.restore_previous(version, by=by(admins, "tomas"))
    assert allowed(admins, P.POLICY_CHANGE)


def test_rules_are_switched_off_by_two_people_as_well(admins):
    in_effect(admins, MFA)

    nothing = in_effect(admins, " \r\n ")

    assert nothing.text == ""
    assert allowed(admins)


def test_a_text_with_faults_is_not_proposed_and_leaves_no_version(admins):
    bad = 'permit(principal, action, resource);\nforbid(principal, action == Action::"x", resource)'

    with pytest.raises(BadRequest) as refusal:
        policy_versions.propose(bad, " ", by=by(admins, "tomas"))

    assert "line 1: needs an @id" in refusal.value.errors["text"]
    assert "line 2: this rule is not finished" in refusal.value.errors["text"]
    assert "say what changes" in refusal.value.errors["note"]
    assert not PolicyVersion.objects.exists()


def test_the_same_text_again_is_no_proposal(admins):
    in_effect(admins, MFA)

    for text in (MFA, MFA.replace("\n", "\r\n") + "\r\n\r\n"):
        with pytest.raises(BadRequest, match="in force already"):
            policy_versions.propose(text, "x", by=by(admins, "tomas"))


def test_each_tenant_has_its_own(acme, globex):
    with tenant_scope(acme.scope):
        acme.people["tara"] = people.admit(
            "tara@acme.example",
            "Tara",
            [Role.TENANT_ADMIN],
            tenant=people.AsTenant(acme.scope.tenant_id),
            project=None,
            by=system_actor("test", "cli"),
        )
        mine = in_effect(acme, FROZEN)
        assert not allowed(acme)
    with tenant_scope(globex.scope):
        assert in_force.active_policies() is cedar.platform()
        assert allowed(globex)
        assert not PolicyVersion.objects.filter(pk=mine.pk).exists()
        with pytest.raises((PolicyVersion.DoesNotExist, Denied)):
            policy_versions.approve(mine, mine.digest, by=by(globex, "tomas"))


def test_at_most_one_is_active_and_none_is_ever_deleted(admins):
    version = in_effect(admins, MFA)

    with pytest.raises(IntegrityError), transaction.atomic():
        PolicyVersion.objects.create(
            number=9, state="active", note="x", requester_id="x", requester_name="x", digest="x"
        )
    with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
        version.delete()


def test_a_stored_text_that_was_tampered_with_denies_and_can_be_repaired(admins):
    version = in_effect(admins, MFA)
    PolicyVersion.objects.filter(pk=version.pk).update(text="")
    in_force._policies_of.cache_clear()

    assert not allowed(admins, mfa=True)
    assert "not the one that was approved" in in_force.active_policies().problem
    assert allowed(admins, P.POLICY_RESTORE)
    policy_versions.restore_previous(version, by=by(admins, "tomas"))
    assert allowed(admins)


def test_rules_that_a_new_release_no_longer_knows_deny_and_can_be_repaired(admins, monkeypatch):
    version = in_effect(admins, MFA)
    in_force._policies_of.cache_clear()
    fault = cedar.Fault(4, "there is no “mfa” in context")
    monkeypatch.setattr(cedar, "check", lambda text: [fault] if text else [])

    assert not allowed(admins, P.PACK_EXPORT, mfa=True)
    assert "line 4: there is no “mfa”" in in_force.active_policies().problem
    assert allowed(admins, P.POLICY_APPROVE)
    waiting = policy_versions.propose("", "repair", by=by(admins, "tomas"))
    policy_versions.approve(waiting, waiting.digest, by=by(admins, "tara"))
    assert allowed(admins, P.PACK_EXPORT)
    assert version.pk != in_force.active_policies().version


def test_what_a_version_says_is_read_once_and_which_one_holds_every_time(
    admins, django_assert_num_queries
):
    in_effect(admins, MFA)
    in_force.active_policies()

    with django_assert_num_queries(1):
        in_force.active_policies()


def test_what_fitted_when_proposed_must_still_fit_when_approved(admins, monkeypatch):
    version = policy_versions.propose(MFA, "x", by=by(admins, "tomas"))
    monkeypatch.setattr(cedar, "check", lambda text: [cedar.Fault(1, "odd")])

    with pytest.raises(Conflict, match="no longer fit"):
        policy_versions.approve(version, version.digest, by=by(admins, "tara"))


def recorded(company, action, outcome="ok", **otherwise):
    """An entry as change() leaves it."""
    ledger.record(
        action,
        by=by(company, "tomas"),
        on=people.AsTenant(company.scope.tenant_id),
        facts={RECORDED_AS: facts(company, **otherwise).recorded(), "reasons": []},
        outcome=outcome,
    )


def test_hindsight_tells_what_other_rules_would_have_stopped_and_let_through(admins):
    skipped = hindsight(cedar.platform()).untried  # how the company came about
    recorded(admins, "role.change")
    recorded(admins, "role.change", mfa=True)
    ledger.seal(FileKeys(settings.KEYS_DIR))
    recorded(admins, "provider.change")
    recorded(admins, "provider.change.refused")
    recorded(admins, "pack.export")
    recorded(admins, "role.change.denied", outcome="denied")
    recorded(admins, "role.change.denied", outcome="denied", rebac=False)
    recorded(admins, "task.view")

    found = hindsight(cedar.with_tenant(MFA))

    assert (found.tried, found.untried, found.cut) == (7, skipped, False)
    assert [one.permission for one, _ in found.stopped] == [
        P.PROVIDER_CHANGE,
        P.PROVIDER_CHANGE,
        P.ROLE_CHANGE,
    ]
    assert [one.index is None for one, _ in found.stopped] == [True, True, False]
    assert {why for _, now in found.stopped for why in now.reasons} == {
        "this takes a second factor"
    }
    assert found.let_through == []
    assert [one.permission for one, _ in hindsight(cedar.with_tenant("")).let_through] == [
        P.ROLE_CHANGE
    ]


def test_hindsight_says_what_it_cannot_know(admins):
    before = hindsight(cedar.platform()).untried
    recorded(admins, "role.change")
    ledger.record(
        "role.change",
        by=by(admins, "tomas"),
        on=people.AsTenant(admins.scope.tenant_id),
        facts={"reasons": ["x"]},
    )
    ledger.seal(FileKeys(settings.KEYS_DIR))
    assert (hindsight(cedar.platform()).tried, hindsight(cedar.platform()).untried) == (
        1,
        before + 1,
    )

    newest = Entry.objects.filter(action="role.change").order_by("index").first()
    Payload.objects.filter(pk=newest.pk).delete()

    found = hindsight(cedar.with_tenant(FROZEN))
    assert (found.tried, found.untried, found.stopped) == (0, before + 2, [])


def test_hindsight_stops_somewhere(admins, monkeypatch):
    monkeypatch.setattr("authz.hindsight.MOST", 3)
    for _ in range(4):
        recorded(admins, "role.change")

    found = hindsight(cedar.with_tenant(MFA))

    assert (found.tried, len(found.stopped), found.cut) == (3, 3, True)
