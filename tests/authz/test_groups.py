"""What groups of the directory mean, and who a change of that would touch."""

import pytest

from authz import groups, people
from authz.errors import BadRequest, Conflict, Denied
from authz.models import Grant, GroupRole
from authz.roles import Role
from tenants.models import (
    DirectoryGroup,
    DirectoryMember,
    DirectoryPerson,
    Identity,
    Membership,
)
from tests.at_browser import JUST_NOW


def _in_group(company, group, *names):
    found, _ = DirectoryGroup.objects.get_or_create(
        display_name=group, defaults={"display_name_key": group.lower(), "resource": {}}
    )
    for name in names:
        person, _ = DirectoryPerson.objects.get_or_create(
            user=company.people[name],
            defaults={"user_name": name, "user_name_key": name, "resource": {}},
        )
        DirectoryMember.objects.create(group=found, person=person)


def _roles(company, name):
    rows = Grant.objects.filter(user=company.people[name])
    return {(grant.role, grant.source) for grant in rows}


def _by(company, name="tomas"):
    return company.people[name].actor("page", signed_in=JUST_NOW)


def test_mapping_a_group_gives_its_members_the_roles_at_once(in_acme, entries):
    _in_group(in_acme, "Audit team", "bo", "lin")

    groups.map_group("Audit team", [Role.AUDITOR], project=None, by=_by(in_acme))

    for name in ("bo", "lin"):
        assert ("auditor", "directory") in _roles(in_acme, name)
    assert ("auditor", "directory") not in _roles(in_acme, "ada")
    assert entries(in_acme)[-1] == ("directory.change", "ok")


def test_changing_the_mapping_takes_only_what_it_gave(in_acme):
    _in_group(in_acme, "Devs", "bo")
    groups.map_group("Devs", [Role.DEVELOPER], project=None, by=_by(in_acme))
    by_hand = {one for one in _roles(in_acme, "bo") if one[1] != "directory"}

    groups.map_group("Devs", [], project=None, by=_by(in_acme))

    assert _roles(in_acme, "bo") == by_hand
    assert not GroupRole.objects.exists()


def test_roles_of_two_groups_add_up_and_one_group_takes_back_its_own_only(in_acme):
    _in_group(in_acme, "One", "bo")
    _in_group(in_acme, "Two", "bo")
    groups.map_group("One", [Role.AUDITOR, Role.DEVELOPER], project=None, by=_by(in_acme))
    groups.map_group("Two", [Role.AUDITOR], project=None, by=_by(in_acme))

    groups.map_group("One", [], project=None, by=_by(in_acme))

    assert ("auditor", "directory") in _roles(in_acme, "bo")
    assert ("developer", "directory") not in _roles(in_acme, "bo")


def test_the_preview_says_who_would_change_and_changes_nothing(in_acme, entries):
    _in_group(in_acme, "Audit team", "bo", "iris")  # iris is an auditor by hand already
    before, ledger = _roles(in_acme, "bo"), entries(in_acme)

    effects = groups.effects_of("Audit team", [Role.AUDITOR], None)

    assert [(effect.user.name, effect.gains, effect.loses) for effect in effects] == [
        ("Bo", [(Role.AUDITOR, None)], [])
    ]
    assert _roles(in_acme, "bo") == before
    assert entries(in_acme) == ledger


def test_the_preview_is_what_then_happens(in_acme):
    _in_group(in_acme, "Audit team", "bo", "lin")
    groups.map_group("Audit team", [Role.AUDITOR], project=None, by=_by(in_acme))

    effects = groups.effects_of("Audit team", [], None)
    before = {name: _roles(in_acme, name) for name in ("bo", "lin")}
    groups.map_group("Audit team", [], project=None, by=_by(in_acme))

    assert {effect.user.name for effect in effects} == {"Bo", "Lin"}
    assert all(effect.loses == [(Role.AUDITOR, None)] for effect in effects)
    for name, roles in before.items():
        assert roles - _roles(in_acme, name) == {("auditor", "directory")}


def test_groups_that_came_with_a_sign_in_count_too(in_acme):
    Identity.objects.create(
        user=in_acme.people["bo"], issuer="https://id.example", subject="1", groups=["Audit team"]
    )

    assert groups.known_groups() == {"Audit team": 1}
    groups.map_group("Audit team", [Role.AUDITOR], project=None, by=_by(in_acme))

    assert ("auditor", "sso") in _roles(in_acme, "bo")


def test_by_hand_and_by_group_stand_side_by_side(in_acme):
    _in_group(in_acme, "Devs", "bo")
    groups.map_group("Devs", [Role.DEVELOPER], project=in_acme.project, by=_by(in_acme))
    assert {source for role, source in _roles(in_acme, "bo") if role == "developer"} == {
        "test",
        "directory",
    }

    people.change_roles(in_acme.people["bo"], [], project=in_acme.project, by=_by(in_acme))

    assert _roles(in_acme, "bo") == {("developer", "directory")}


@pytest.mark.parametrize("name", ["ada", "bo", "iris"])
def test_only_a_tenant_admin_says_what_groups_mean(in_acme, entries, name):
    with pytest.raises(Denied):
        groups.map_group("Devs", [Role.DEVELOPER], project=None, by=_by(in_acme, name))

    assert entries(in_acme)[-1] == ("directory.change.denied", "denied")
    assert not GroupRole.objects.exists()


@pytest.mark.parametrize(
    ("group", "roles", "in_project", "field"),
    [
        ("", [Role.DEVELOPER], False, "group"),
        ("x" * 256, [Role.DEVELOPER], False, "group"),
        ("Devs", [Role.PLATFORM_ADMIN], False, "roles"),
        ("Devs", [Role.AGENT], False, "roles"),
        ("Devs", [Role.AUDITOR], True, "roles"),
    ],
)
def test_a_meaning_that_cannot_be_is_refused(in_acme, group, roles, in_project, field):
    project = in_acme.project if in_project else None

    with pytest.raises(BadRequest) as refusal:
        groups.map_group(group, roles, project=project, by=_by(in_acme))

    assert list(refusal.value.errors) == [field]


def test_a_mapping_cannot_take_the_last_admin(in_acme):
    _in_group(in_acme, "Admins", "tomas")
    groups.map_group("Admins", [Role.TENANT_ADMIN], project=None, by=_by(in_acme))
    Grant.objects.filter(role="tenant_admin", source="test").delete()

    with pytest.raises(Conflict):
        groups.map_group("Admins", [], project=None, by=_by(in_acme))

    assert ("tenant_admin", "directory") in _roles(in_acme, "tomas")


def test_leavers_are_not_counted(in_acme):
    _in_group(in_acme, "Devs", "bo", "lin")
    Membership.objects.filter(user=in_acme.people["bo"]).update(state="removed")

    assert groups.known_groups() == {"Devs": 1}
