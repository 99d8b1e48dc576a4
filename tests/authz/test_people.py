"""Joining, changing roles, leaving."""

import pytest

from authz import people
from authz.decisions import decide
from authz.errors import BadRequest, Conflict, Denied
from authz.models import Grant
from authz.permissions import Permission
from authz.roles import Role
from tenants.models import Membership, Session
from tests.at_browser import JUST_NOW


def _tenant(company):
    return people.AsTenant(company.scope.tenant_id)


def _actor(company, name):
    return company.people[name].actor("page", signed_in=JUST_NOW)


def _admit(company, by, email="kim@example.com", roles=(Role.DEVELOPER,)):
    return people.admit(
        email,
        "Kim",
        roles,
        tenant=_tenant(company),
        project=company.project,
        by=_actor(company, by),
    )


def test_an_admin_admits_somebody_with_a_role_for_a_project(in_acme, entries):
    kim = _admit(in_acme, "tomas")

    assert kim.is_active
    assert [(g.role, g.project) for g in kim.grants.all()] == [("developer", in_acme.project)]
    assert entries(in_acme)[-1] == ("member.admit", "ok")


@pytest.mark.parametrize("name", ["ada", "bo", "iris"])
def test_nobody_but_a_tenant_admin_admits_people(in_acme, entries, name):
    with pytest.raises(Denied):
        _admit(in_acme, name)

    assert entries(in_acme)[-1] == ("member.admit.denied", "denied")


@pytest.mark.parametrize(
    ("email", "roles", "field"),
    [
        ("not an address", [Role.DEVELOPER], "email"),
        ("kim@example.com", [], "roles"),
        ("kim@example.com", [Role.PLATFORM_ADMIN], "roles"),
        ("kim@example.com", [Role.AGENT], "roles"),
    ],
)
def test_bad_input_names_the_field(in_acme, email, roles, field):
    with pytest.raises(BadRequest) as refused:
        _admit(in_acme, "tomas", email, roles)

    assert list(refused.value.errors) == [field]


def test_admitting_twice_is_refused_and_changes_nothing(in_acme, entries):
    _admit(in_acme, "tomas")

    with pytest.raises(Conflict, match="member already"):
        _admit(in_acme, "tomas")

    assert entries(in_acme)[-1] == ("member.admit.refused", "denied")


def test_whoever_leaves_loses_roles_and_sessions_at_once(in_acme, sign_in, entries):
    bo = in_acme.people["bo"]
    Session.objects.create(
        session_key="s" * 32, session_data="", expire_date="2030-01-01T00:00Z", user=bo
    )

    people.remove(bo, by=_actor(in_acme, "tomas"))

    assert not bo.is_active
    assert not Grant.objects.filter(user=bo).exists()
    assert not Session.objects.filter(user=bo).exists()
    assert entries(in_acme)[-1] == ("member.remove", "ok")


def test_somebody_who_left_can_be_given_no_roles(in_acme, entries):
    bo = in_acme.people["bo"]
    people.remove(bo, by=_actor(in_acme, "tomas"))

    with pytest.raises(Conflict, match="not a member"):
        people.change_roles(
            bo, [Role.DEVELOPER], project=in_acme.project, by=_actor(in_acme, "tomas")
        )

    assert not bo.grants.exists()
    assert entries(in_acme)[-1] == ("project_role.change.refused", "denied")


def test_a_suspended_member_keeps_roles_that_are_worth_nothing(in_acme):
    Membership.objects.filter(user=in_acme.people["ada"]).update(state=Membership.State.SUSPENDED)

    assert in_acme.people["ada"].grants.exists()
    assert not decide(_actor(in_acme, "ada"), Permission.TASK_VIEW, in_acme.project).allowed


def test_whoever_comes_back_gets_the_same_account(in_acme):
    kim = _admit(in_acme, "tomas")
    people.remove(kim, by=_actor(in_acme, "tomas"))

    again = _admit(in_acme, "tomas")

    assert again.pk == kim.pk
    assert Membership.objects.get(user=kim).state == Membership.State.ACTIVE


def test_the_last_admin_can_neither_leave_nor_step_down(in_acme, entries):
    tomas = in_acme.people["tomas"]

    with pytest.raises(Conflict, match="without an admin"):
        people.remove(tomas, by=_actor(in_acme, "tomas"))
    with pytest.raises(Conflict, match="without an admin"):
        people.change_roles(tomas, [Role.AUDITOR], project=None, by=_actor(in_acme, "tomas"))

    assert tomas.is_active
    assert [grant.role for grant in tomas.grants.all()] == ["tenant_admin"]
    assert [action for action, _ in entries(in_acme)[-2:]] == [
        "member.remove.refused",
        "role.change.refused",
    ]


def test_a_project_admin_gives_roles_in_the_project_only(in_acme, entries):
    bo, ada = in_acme.people["bo"], _actor(in_acme, "ada")

    people.change_roles(bo, [Role.PROJECT_ADMIN], project=in_acme.project, by=ada)
    with pytest.raises(Denied):
        people.change_roles(bo, [Role.TENANT_ADMIN], project=None, by=ada)

    assert [grant.role for grant in bo.grants.all()] == ["project_admin"]
    assert [action for action, _ in entries(in_acme)[-2:]] == [
        "project_role.change",
        "role.change.denied",
    ]


def test_a_tenant_wide_role_cannot_be_given_for_one_project(in_acme):
    with pytest.raises(BadRequest, match="whole tenant"):
        people.change_roles(
            in_acme.people["bo"],
            [Role.TENANT_ADMIN],
            project=in_acme.project,
            by=_actor(in_acme, "ada"),
        )
