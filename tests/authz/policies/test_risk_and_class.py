"""Risk and data class of a proposal as policies see them: they stop, and are replayed."""

import json

import pytest
from test_policy_versions import admins, by, in_effect  # noqa: F401

from agent import lifecycle, pack_orders
from agent.models import Proposal
from authz import cedar, people
from authz.errors import BadRequest, Denied
from authz.hindsight import hindsight
from authz.policy_facts import RECORDED_AS
from evidence.models import Pack, StagedEntry
from tenants.models import Project
from tests.portal.standing import proposal_of

RISK = """@id("too-risky")
@reason("too risky to countersign")
forbid(principal, action == Action::"proposal.countersign", resource)
when { context has risk && context.risk > 60 };
"""
RISK_KNOWN = """@id("risk-known")
@reason("the risk must be known and small")
forbid(principal, action == Action::"proposal.countersign", resource)
unless { context has risk && context.risk <= 60 };
"""
CLASS = """@id("restricted")
@reason("restricted work is frozen")
forbid(
  principal,
  action in [Action::"proposal.countersign", Action::"pack.export"],
  resource
)
when {
  context has classification && context.classification == Classification::"restricted"
};
"""


@pytest.fixture
def proposal(admins):  # noqa: F811
    return proposal_of(admins.people["bo"], admins.project, risk_score=70)


def countersign(company, proposal):
    fresh = Proposal.objects.get(pk=proposal.pk)
    lin = company.people["lin"]
    lifecycle.countersign(fresh, fresh.digest, reviewer=lin, by=by(company, "lin"))


def newest():
    entry = StagedEntry.objects.order_by("-id").first()
    return json.loads(bytes(entry.leaf)), json.loads(bytes(entry.payload))


def test_a_rule_about_risk_stops_the_countersign(admins, proposal):  # noqa: F811
    in_effect(admins, RISK)

    with pytest.raises(Denied, match="too risky"):
        countersign(admins, proposal)

    leaf, facts = newest()
    assert leaf["action"] == "proposal.countersign.denied"
    assert facts["policies"] == ["tenant:too-risky"]
    assert (facts[RECORDED_AS]["risk"], facts[RECORDED_AS]["classification"]) == (70, "internal")
    Proposal.objects.filter(pk=proposal.pk).update(risk_score=60)
    countersign(admins, proposal)
    assert newest()[1][RECORDED_AS]["risk"] == 60


def test_a_rule_about_the_data_class_stops_from_when_it_is_set(admins, proposal):  # noqa: F811
    in_effect(admins, CLASS)
    people.classify_project(admins.project, "restricted", by=by(admins, "tomas"))

    with pytest.raises(Denied, match="frozen"):
        countersign(admins, proposal)
    with pytest.raises(Denied, match="frozen"):
        pack_orders.export_pack(Proposal.objects.get(), by=by(admins, "tomas"))

    people.classify_project(admins.project, "confidential", by=by(admins, "tomas"))
    countersign(admins, proposal)
    proposal.refresh_from_db()
    assert proposal.state == Proposal.State.COUNTERSIGNED


@pytest.mark.parametrize("of_repository", [True, False])
def test_a_pack_of_many_is_as_sensitive_as_what_it_covers(admins, proposal, of_repository):  # noqa: F811
    in_effect(admins, CLASS)
    Project.objects.create(slug="open", name="Open", classification="public")
    kind = Pack.Kind.REPOSITORY if of_repository else Pack.Kind.PERIOD
    order = pack_orders.PackOrder(kind, proposal.repository if of_repository else None)
    pack_orders.order_pack(order, by=by(admins, "tomas"))
    people.classify_project(admins.project, "restricted", by=by(admins, "tomas"))
    proposal.repository.refresh_from_db()

    with pytest.raises(Denied, match="frozen"):
        pack_orders.order_pack(order, by=by(admins, "tomas"))


def test_hindsight_tries_rules_on_the_risk_and_class_of_then(admins, proposal):  # noqa: F811
    countersign(admins, proposal)
    # What was decided is not decided anew by what the project is now.
    people.classify_project(admins.project, "restricted", by=by(admins, "tomas"))

    stopped = hindsight(cedar.with_tenant(RISK)).stopped

    assert [(one.permission, now.policies) for one, now in stopped] == [
        ("proposal.countersign", ("tenant:too-risky",))
    ]
    assert hindsight(cedar.with_tenant(CLASS)).stopped == []


def test_what_was_not_known_then_is_not_known_now(admins, proposal):  # noqa: F811
    Proposal.objects.filter(pk=proposal.pk).update(risk_score=None)
    in_effect(admins, RISK)

    countersign(admins, proposal)

    assert "risk" not in newest()[1][RECORDED_AS]
    assert hindsight(cedar.with_tenant(RISK)).stopped == []
    stopped = hindsight(cedar.with_tenant(RISK_KNOWN)).stopped
    assert [now.policies for _, now in stopped] == [("tenant:risk-known",)]


def test_who_changes_the_data_class_is_on_record(admins, entries):  # noqa: F811
    people.classify_project(admins.project, "restricted", by=by(admins, "tomas"))

    leaf, facts = newest()
    assert (leaf["action"], leaf["object"]["id"]) == ("project.classify", str(admins.project.pk))
    assert (facts["before"], facts["after"]) == ("internal", "restricted")
    assert Project.objects.get(pk=admins.project.pk).classification == "restricted"
    with pytest.raises(BadRequest):
        people.classify_project(admins.project, "secret", by=by(admins, "tomas"))


@pytest.mark.parametrize("name", ["ada", "bo", "lin", "iris"])
def test_only_tenant_admins_change_the_data_class(admins, entries, name):  # noqa: F811
    with pytest.raises(Denied):
        people.classify_project(admins.project, "public", by=by(admins, name))

    assert entries(admins)[-1] == ("project.classify.denied", "denied")
    assert Project.objects.get(pk=admins.project.pk).classification == "internal"
