"""Raising a budget is an act of its own: of a task, and of what models may cost."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from agent import budget, lifecycle, model_setup
from agent.errors import IllegalMove
from agent.gateway import limits
from agent.models import ModelRules, Task
from authz import cedar, decisions
from authz.cedar import BadPolicies, with_tenant
from authz.errors import Conflict, Denied
from authz.hindsight import hindsight
from authz.models import Grant
from authz.policy_facts import MOST_PERCENT
from authz.roles import Role
from evidence.models import StagedEntry
from tenants.actor import Actor, SignedIn
from tests.at_browser import JUST_NOW
from tests.portal.standing import task_of

HAD = {"wall_s": 600, "steps": 60, "tokens": 1000, "usd": 1}
AT_MOST_TWICE = """@id("twice")
@reason("a budget is at most doubled")
forbid(principal, action == Action::"budget.raise", resource)
unless { context has raised_percent && context.raised_percent <= 200 };
"""


def by(company, name, **also):
    return replace(company.people[name].actor("page", signed_in=JUST_NOW), **also)


def newest():
    entry = StagedEntry.objects.order_by("-id").first()
    return json.loads(bytes(entry.leaf)), json.loads(bytes(entry.payload))


@pytest.fixture
def stopped(in_acme):
    """A repair that bo asked for and that ran out of budget."""
    task = task_of(in_acme.people["bo"], in_acme.project, Task.State.TIMED_OUT, budgets=HAD)
    Task.objects.filter(pk=task.pk).update(kind=Task.Kind.BUGFIX)
    task.refresh_from_db()
    return task


def test_more_of_anything_is_a_raise_and_less_or_the_same_is_none():
    raised = budget.raised(HAD, HAD | {"usd": 1.005, "steps": 10})

    assert raised is not None
    assert (raised.of, raised.raised_percent) == ("task", 101)
    assert raised.old == {"seconds": 600, "steps": 60, "tokens": 1000, "cents": 100}
    assert raised.new == {"seconds": 600, "steps": 10, "tokens": 1000, "cents": 101}
    assert budget.raised(HAD, HAD) is None
    assert budget.raised(HAD, HAD | {"wall_s": 1}) is None
    # What had no limit gets one; what had one has none any more.
    assert budget.raised({"wall_s": 600}, HAD) is None
    assert budget.raised(HAD, {"wall_s": 600, "steps": 60, "tokens": 1000}) is not None
    from_nothing = budget.raised(HAD | {"tokens": 0}, HAD | {"tokens": 1})
    assert from_nothing is not None
    assert from_nothing.raised_percent == MOST_PERCENT


@pytest.mark.parametrize("name", ["steps", "wall_s", "tokens", "usd"])
def test_more_takes_the_right_to_raise_budgets(in_acme, stopped, name, entries):
    more = {name: HAD[name] * 2}

    with pytest.raises(Denied, match="none of your roles here may raise a budget"):
        lifecycle.resume(stopped, by=by(in_acme, "bo"), budgets=more)

    stopped.refresh_from_db()
    assert (stopped.budgets, stopped.state) == (HAD, Task.State.TIMED_OUT)
    assert entries(in_acme)[-1] == ("budget.raise.denied", "denied")
    lifecycle.resume(stopped, by=by(in_acme, "ada"), budgets=more)
    stopped.refresh_from_db()
    assert (stopped.budgets, stopped.state) == (HAD | more, Task.State.QUEUED)
    leaf, facts = newest()
    assert (leaf["action"], facts["budgets_before"], facts["budgets"]) == (
        "budget.raise", HAD, HAD | more,
    )  # fmt: skip
    unit, times = budget.UNITS[name]
    said = facts["policy_facts"]
    assert (said["budget"], said["raised_percent"]) == ("task", 200)
    assert (said[f"old_{unit}"], said[f"new_{unit}"]) == (
        HAD[name] * times, HAD[name] * times * 2,
    )  # fmt: skip


@pytest.mark.parametrize("budgets", [None, HAD, HAD | {"steps": 20}])
def test_going_on_with_the_same_or_less_takes_no_more_than_before(
    in_acme, stopped, budgets, entries
):
    nobody_signed_in = by(in_acme, "bo", signed_in=None)

    lifecycle.resume(stopped, by=nobody_signed_in, budgets=budgets)

    assert entries(in_acme)[-1] == ("task.create", "ok")


def test_an_agent_a_token_and_an_old_sign_in_raise_nothing(in_acme, stopped):
    ada = in_acme.people["ada"]
    yesterday = SignedIn(timezone.now() - timedelta(hours=13), "oidc", ("otp",))
    as_agent = Actor("agent", str(ada.pk), "Agent", "job", user_id=ada.pk, signed_in=JUST_NOW)
    for actor, said in [
        (as_agent, "only a person may raise a budget"),
        (by(in_acme, "ada", only=frozenset({"budget.raise", "task.create"})), "token is not"),
        (by(in_acme, "ada", signed_in=yesterday), "older than 12 hours"),
        (by(in_acme, "ada", signed_in=None), "not known"),
    ]:
        with pytest.raises(Denied, match=said):
            lifecycle.resume(stopped, by=actor, budgets={"steps": 61})
    stopped.refresh_from_db()
    assert stopped.budgets == HAD


def test_a_tenants_rule_limits_by_how_much(in_acme, stopped, monkeypatch):
    own = with_tenant(AT_MOST_TWICE)
    monkeypatch.setattr(decisions, "active_policies", lambda: own)

    with pytest.raises(Denied, match="a budget is at most doubled"):
        lifecycle.resume(stopped, by=by(in_acme, "ada"), budgets={"steps": 121})

    assert newest()[1]["policies"] == ["tenant:twice"]
    lifecycle.resume(stopped, by=by(in_acme, "ada"), budgets={"steps": 120})


def test_what_a_rule_would_have_changed_is_tried_on_raises_of_the_last_days(in_acme, stopped):
    lifecycle.resume(stopped, by=by(in_acme, "ada"), budgets={"steps": 180})

    found = hindsight(with_tenant(AT_MOST_TWICE))

    ((decided, now),) = found.stopped
    assert (decided.permission, now.policies) == ("budget.raise", ("tenant:twice",))
    assert hindsight(cedar.platform()).stopped == []


def test_a_rule_about_amounts_has_to_ask_first_whether_they_are_known():
    with pytest.raises(BadPolicies, match="“new_cents” is not always known"):
        with_tenant(AT_MOST_TWICE.replace("unless {", "unless { context.new_cents < 5 &&"))


def test_whoever_may_not_file_work_is_told_that_first(in_acme, stopped):
    iris = by(in_acme, "iris")

    with pytest.raises(Denied, match="create a task"):
        lifecycle.resume(stopped, by=iris, budgets={"steps": 61})


def test_a_budget_that_was_changed_meanwhile_is_not_overwritten(in_acme, stopped):
    Task.objects.filter(pk=stopped.pk).update(budgets=HAD | {"steps": 10})

    with pytest.raises(Conflict, match="somebody else changed its budget"):
        lifecycle.resume(stopped, by=by(in_acme, "ada"), budgets={"steps": 61})

    stopped.refresh_from_db()
    assert stopped.budgets["steps"] == 10


def test_a_running_task_keeps_its_budget(in_acme, stopped):
    Task.objects.filter(pk=stopped.pk).update(state=Task.State.IN_PROGRESS)
    stopped.refresh_from_db()

    with pytest.raises(IllegalMove):
        lifecycle.resume(stopped, by=by(in_acme, "ada"), budgets={"steps": 61})

    stopped.refresh_from_db()
    assert stopped.budgets == HAD


def test_larger_limits_of_models_are_raises_and_smaller_ones_are_not(in_acme, entries):
    tomas, was = by(in_acme, "tomas"), limits.rules()
    yesterday = replace(tomas, signed_in=SignedIn(timezone.now() - timedelta(hours=13), "oidc"))

    with pytest.raises(Denied, match="older than 12 hours"):
        model_setup.change_rules({"task_usd": was.task_usd + 1}, by=yesterday)
    model_setup.change_rules({"task_usd": was.task_usd / 2, "keep_hours": 3}, by=yesterday)

    assert entries(in_acme)[-2:] == [("budget.raise.denied", "denied"), ("models.change", "ok")]
    model_setup.change_rules(
        {"task_usd": was.task_usd, "tenant_month_usd": was.tenant_month_usd + 1}, by=tomas
    )
    leaf, facts = newest()
    assert leaf["action"] == "budget.raise"
    said = facts["policy_facts"]
    assert (said["budget"], said["raised_percent"]) == ("models", 200)
    assert said["old_cents"] == was.tenant_month_usd * 100
    assert said["new_cents"] == was.tenant_month_usd * 100 + 100
    assert "new_tokens" not in said
    assert "new_steps" not in said


@pytest.mark.parametrize("name", limits.NAMES)
def test_every_limit_of_models_counts(name):
    before = dict.fromkeys(limits.NAMES, 10)

    assert limits.raised(before, before) is None
    assert limits.raised(before, before | {name: 9}) is None
    raised = limits.raised(before, before | {name: 15})
    assert raised is not None
    unit, times = ("cents", 100) if name.endswith("usd") else ("tokens", 1)
    assert (raised.raised_percent, raised.old, raised.new) == (
        150, {unit: 10 * times}, {unit: 15 * times},
    )  # fmt: skip


def test_a_project_admin_of_the_whole_tenant_raises_no_limits_of_models(in_acme, entries):
    """The right to raise budgets alone is not enough: it takes the one to change models, too."""
    Grant.objects.filter(user=in_acme.people["ada"]).update(project=None)
    assert Grant.objects.filter(user=in_acme.people["ada"], role=Role.PROJECT_ADMIN).exists()

    with pytest.raises(Denied):
        model_setup.change_rules({"task_usd": 99}, by=by(in_acme, "ada"))

    assert entries(in_acme)[-1] == ("models.change.denied", "denied")
    assert not ModelRules.objects.exists()


def test_limits_that_were_changed_meanwhile_are_not_overwritten(in_acme, monkeypatch):
    stale = limits.rules()
    model_setup.change_rules({"task_usd": 1}, by=by(in_acme, "tomas"))
    monkeypatch.setattr(limits, "rules", lambda: stale)

    with pytest.raises(Conflict, match="somebody else changed the limits"):
        model_setup.change_rules({"person_day_usd": 1}, by=by(in_acme, "tomas"))

    assert ModelRules.objects.get().task_usd == 1
