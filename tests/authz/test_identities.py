"""Who comes in when a provider vouches for them, and as whom."""

import pytest

from authz import groups, identities, people
from authz.identities import Claimed, NotAdmitted
from authz.models import Grant
from authz.roles import Role
from tenants.models import DirectoryPerson, Identity, IdentityProvider, Membership, User
from tests.at_browser import JUST_NOW

ISSUER = "https://id.example"


def _provider(**settings):
    return IdentityProvider.objects.create(
        protocol="oidc", name="Corporate", state="on", **settings
    )


def _claimed(subject="s-1", **more):
    return Claimed(issuer=ISSUER, subject=subject, **more)


def _verified(company, name, subject="s-1", **more):
    email = company.people[name].email
    return _claimed(subject, email=email, email_verified=True, **more)


def test_a_known_identity_reaches_its_account_whatever_the_address_says(in_acme):
    bo, ada = in_acme.people["bo"], in_acme.people["ada"]
    Identity.objects.create(user=bo, issuer=ISSUER, subject="s-1")

    arrived = identities.arrive(_provider(link_by_email=True), _verified(in_acme, "ada"))

    assert arrived.user == bo
    assert arrived.used_at is None or arrived.used_at
    assert not ada.identities.exists()


def test_an_address_alone_opens_nothing(in_acme, entries):
    with pytest.raises(NotAdmitted, match="open your invitation"):
        identities.arrive(_provider(), _verified(in_acme, "bo"))

    assert entries(in_acme)[-1] == ("session.open.denied", "denied")
    assert not Identity.objects.exists()


def test_where_the_tenant_wants_it_a_verified_address_finds_an_account_once(in_acme, entries):
    provider = _provider(link_by_email=True)

    with pytest.raises(NotAdmitted, match="does not say that it verified"):
        identities.arrive(provider, _claimed(email=in_acme.people["bo"].email))
    first = identities.arrive(provider, _verified(in_acme, "bo"))
    with pytest.raises(NotAdmitted, match="connected to another identity"):
        identities.arrive(provider, _verified(in_acme, "bo", subject="somebody-else"))

    assert first.user == in_acme.people["bo"]
    assert ("identity.link", "ok") in entries(in_acme)
    assert Identity.objects.count() == 1


def test_the_directorys_own_id_finds_the_account(in_acme):
    DirectoryPerson.objects.create(
        user=in_acme.people["bo"],
        user_name="bo",
        user_name_key="bo",
        external_id="00u1",
        resource={},
    )

    arrived = identities.arrive(_provider(), _claimed(directory_id="00u1"))

    assert arrived.user == in_acme.people["bo"]


def test_an_invitation_connects_the_identity_that_signs_in_next(in_acme, entries):
    bo = in_acme.people["bo"]

    arrived = identities.arrive(_provider(), _claimed(), invited=bo)

    assert arrived.user == bo
    assert entries(in_acme)[-1] == ("identity.link", "ok")


def test_an_invitation_does_not_take_over_somebody_elses_identity(in_acme):
    Identity.objects.create(user=in_acme.people["ada"], issuer=ISSUER, subject="s-1")

    with pytest.raises(NotAdmitted, match="another account"):
        identities.arrive(_provider(), _claimed(), invited=in_acme.people["bo"])


def test_strangers_stay_out_unless_the_tenant_lets_them_in(in_acme, entries):
    stranger = _claimed(email="zoe@acme.example", email_verified=True, name="Zoe")

    with pytest.raises(NotAdmitted, match="no account here"):
        identities.arrive(_provider(), stranger)

    assert not User.objects.filter(email="zoe@acme.example").exists()
    assert entries(in_acme)[-1] == ("session.open.denied", "denied")


def test_just_in_time_people_get_the_roles_of_their_groups(in_acme, entries):
    by = in_acme.people["tomas"].actor("page", signed_in=JUST_NOW)
    groups.map_group("devs", [Role.DEVELOPER], project=in_acme.project, by=by)
    provider = _provider(create_people=True, groups_claim="groups")

    arrived = identities.arrive(
        provider,
        _claimed(
            email="Zoe@acme.example", email_verified=True, name="Zoe", groups=("devs", "yoga")
        ),
    )

    zoe = User.objects.get(email="zoe@acme.example")
    assert arrived.user == zoe
    assert Membership.objects.get(user=zoe).source == "sso"
    grant = Grant.objects.get(user=zoe)
    assert (grant.role, grant.project, grant.source) == ("developer", in_acme.project, "sso")
    assert [action for action, _ in entries(in_acme)[-2:]] == ["member.admit", "directory.sync"]


def test_a_newcomer_without_a_verified_address_is_not_created(in_acme):
    provider = _provider(create_people=True)

    for claimed in (_claimed(), _claimed(email="x"), _claimed(email="zoe@acme.example")):
        with pytest.raises(NotAdmitted):
            identities.arrive(provider, claimed)

    assert not User.objects.filter(membership__source="sso").exists()


def test_a_first_role_is_given_once(in_acme):
    provider = _provider(create_people=True, first_role="developer")
    zoe = _claimed(email="zoe@acme.example", email_verified=True)
    user = identities.arrive(provider, zoe).user
    assert [grant.role for grant in user.grants.all()] == ["developer"]

    people.change_roles(
        user, [], project=None, by=in_acme.people["tomas"].actor("page", signed_in=JUST_NOW)
    )
    identities.arrive(provider, zoe)

    assert not user.grants.exists()


def test_roles_follow_the_groups_of_each_sign_in(in_acme):
    by = in_acme.people["tomas"].actor("page", signed_in=JUST_NOW)
    groups.map_group("devs", [Role.DEVELOPER], project=None, by=by)
    groups.map_group("audit", [Role.AUDITOR], project=None, by=by)
    provider = _provider(groups_claim="groups")
    Identity.objects.create(user=in_acme.people["bo"], issuer=ISSUER, subject="s-1")
    bo = in_acme.people["bo"]

    def told():
        return sorted(Grant.objects.filter(user=bo, source="sso").values_list("role", flat=True))

    identities.arrive(provider, _claimed(groups=("devs",)))
    assert told() == ["developer"]
    identities.arrive(provider, _claimed(groups=("audit",)))
    assert told() == ["auditor"]
    identities.arrive(provider, _claimed())
    assert told() == []
    assert Grant.objects.filter(user=bo, source="admin").count() == 0
    assert Grant.objects.filter(user=bo).exclude(source="sso").exists()  # by hand, untouched


def test_a_sign_in_that_changes_nothing_writes_nothing(in_acme, entries):
    provider = _provider(groups_claim="groups")
    Identity.objects.create(user=in_acme.people["bo"], issuer=ISSUER, subject="s-1")
    before = len(entries(in_acme))

    identities.arrive(provider, _claimed())

    assert len(entries(in_acme)) == before


@pytest.mark.parametrize("state", ["suspended", "removed"])
def test_whoever_is_switched_off_stays_out_with_a_good_identity(in_acme, state):
    bo = in_acme.people["bo"]
    Identity.objects.create(user=bo, issuer=ISSUER, subject="s-1")
    Membership.objects.filter(user=bo).update(state=state)

    with pytest.raises(NotAdmitted, match=state):
        identities.arrive(_provider(create_people=True, link_by_email=True), _claimed())


def test_the_account_of_an_agent_is_never_reached_by_its_address(in_acme):
    agent = User.objects.get(kind="agent")
    provider = _provider(link_by_email=True, create_people=True)

    with pytest.raises(NotAdmitted):
        identities.arrive(provider, _claimed(email=agent.email, email_verified=True))

    assert not agent.identities.exists()


def test_a_removed_member_who_comes_back_is_not_found_by_the_old_identity(in_acme):
    bo = in_acme.people["bo"]
    Identity.objects.create(user=bo, issuer=ISSUER, subject="s-1")

    people.remove(bo, by=in_acme.people["tomas"].actor("page", signed_in=JUST_NOW))

    assert not Identity.objects.exists()


def test_receive_without_record_leaves_none(in_acme, entries):
    before = entries(in_acme)

    with pytest.raises(NotAdmitted):
        identities.receive(_provider(), _claimed(), record=False)

    assert entries(in_acme) == before
