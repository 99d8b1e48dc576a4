"""What policies forbid does not happen, and the record says by which text that was decided."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone
from test_policy_versions import LOCKED_OUT, MFA, admins, by, in_effect  # noqa: F401

from authz import people, tokens
from authz.errors import Denied
from authz.hindsight import hindsight
from authz.in_force import active_policies
from authz.policy_facts import RECORDED_AS, PolicyFacts
from authz.roles import Role
from evidence.models import StagedEntry
from tenants.actor import SignedIn
from tenants.models import Session
from tenants.scope import tenant_scope


def newest():
    entry = StagedEntry.objects.order_by("-id").first()
    return json.loads(bytes(entry.leaf)), json.loads(bytes(entry.payload))


def change_roles(company, actor):
    people.change_roles(company.people["bo"], [Role.AUDITOR], project=None, by=actor)


def test_a_rule_of_the_tenant_stops_a_change_at_once(admins):  # noqa: F811
    with_factor = by(admins, "tomas")
    without = replace(with_factor, signed_in=SignedIn(timezone.now(), "oidc", ("pwd",)))
    change_roles(admins, without)
    leaf, before = newest()
    in_effect(admins, MFA)

    with pytest.raises(Denied) as refusal:
        change_roles(admins, without)

    assert refusal.value.reasons == ["this takes a second factor"]
    denied, facts = newest()
    assert denied["action"] == "role.change.denied"
    assert facts["policies"] == ["tenant:second-factor"]
    assert PolicyFacts.of_record(facts[RECORDED_AS]).mfa is False
    assert denied["policy"]["digest"] != leaf["policy"]["digest"]
    assert before["policies"] == ["platform:base"]
    change_roles(admins, with_factor)
    assert newest()[0]["policy"]["decision"] == "allow"


def test_an_old_sign_in_is_told_to_sign_in_again(acme, sign_in, entries):
    browser = sign_in(acme, "tomas")
    with tenant_scope(acme.scope):
        Session.objects.update(opened_at=timezone.now() - timedelta(hours=12, minutes=1))
        bo = acme.people["bo"]

    answer = browser.post(f"/people/{bo.pk}/roles/", {"roles": ["auditor"]})

    assert answer.status_code == 403
    assert "sign in again" in answer.content.decode()
    assert entries(acme)[-1] == ("role.change.denied", "denied")


def test_who_acts_without_a_sign_in_administers_nothing(in_acme):
    nobody_knows = replace(by(in_acme, "tomas"), signed_in=None)

    with pytest.raises(Denied, match="not known"):
        change_roles(in_acme, nobody_knows)
    with pytest.raises(Denied, match="not known"):
        tokens.create_token(in_acme.people["tomas"], "x", ["task.view"], days=1, by=nobody_knows)


def test_a_locked_out_tenant_cannot_propose_its_way_out_but_go_back(admins):  # noqa: F811
    from authz import policy_versions

    version = in_effect(admins, LOCKED_OUT)
    with pytest.raises(Denied, match="nobody may do anything"):
        policy_versions.propose("", "out", by=by(admins, "tomas"))

    policy_versions.restore_previous(version, by=by(admins, "tomas"))

    policy_versions.propose(MFA, "in again", by=by(admins, "tomas"))


def test_decisions_can_be_replayed(admins):  # noqa: F811
    change_roles(admins, by(admins, "tomas"))

    found = hindsight(active_policies())

    assert (found.tried, found.untried) == (1, 0)
    assert found.stopped == []
