"""The directory and its groups: who may tell us, what went wrong, what a group means."""

import re
from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from authz import directory
from authz.models import Grant, GroupRole
from authz.roles import Role
from tenants.models import (
    DirectoryClient,
    DirectoryGroup,
    DirectoryMember,
    DirectoryPerson,
    Identity,
)
from tenants.scope import tenant_scope

MEANING = "/settings/groups/meaning/"


@pytest.fixture
def tomas(acme, sign_in):
    return sign_in(acme, "tomas")


@pytest.fixture
def engineering(acme):
    """A group of the directory with Bo and Iris in it; Lin claims it at sign-in."""
    with tenant_scope(acme.scope):
        group = DirectoryGroup.objects.create(
            display_name="Engineering", display_name_key="engineering", resource={}
        )
        for name in ("bo", "iris"):
            person = DirectoryPerson.objects.create(
                user=acme.people[name], user_name=name, user_name_key=name, resource={}
            )
            DirectoryMember.objects.create(group=group, person=person)
        Identity.objects.create(
            user=acme.people["lin"], issuer="https://id", subject="lin", groups=["Engineering"]
        )
    return "Engineering"


def secrets_in(answer):
    page = answer.content.decode()
    return [
        re.search(rf">({prefix}_[\w-]{{43}})</textarea>", page).group(1)
        for prefix in ("csd", "cso")
    ]


def roles_of(company, name):
    with tenant_scope(company.scope):
        grants = Grant.objects.filter(user=company.people[name])
        return sorted(grants.values_list("role", "source"))


def test_a_directory_is_let_in_with_secrets_shown_once(acme, tomas, entries):
    answer = tomas.post("/settings/directory/", {"name": "Entra ID"})

    token, secret = secrets_in(answer)
    page = answer.content.decode()
    assert answer["Cache-Control"] == "no-store"
    assert f">http://{acme.host}/scim/v2</textarea>" in page
    with tenant_scope(acme.scope):
        client = DirectoryClient.objects.get()
        assert directory.client_of(token) == client
        assert directory.client_by_secret(str(client.pk), secret) == client
    assert str(client.pk) in page
    listed = tomas.get("/settings/directory/").content.decode()
    assert "Entra ID" in listed
    assert token[:10] in listed
    assert token not in listed
    assert secret not in listed
    assert entries(acme)[-1] == ("directory.change", "ok")


def test_a_directory_needs_a_name(tomas):
    answer = tomas.post("/settings/directory/", {"name": "n" * 101})

    assert answer.status_code == 422
    assert "longer than 100" in answer.content.decode()
    assert "n" * 101 in answer.content.decode()


def test_renewing_ends_the_old_secrets_and_revoking_ends_all(acme, tomas, entries):
    old, _ = secrets_in(tomas.post("/settings/directory/", {"name": "Okta"}))
    with tenant_scope(acme.scope):
        client = DirectoryClient.objects.get()

    renewed = tomas.post(f"/settings/directory/{client.pk}/renew/")
    new, _ = secrets_in(renewed)
    with tenant_scope(acme.scope):
        assert directory.client_of(old) is None
        assert directory.client_of(new) == client
    revoked = tomas.post(f"/settings/directory/{client.pk}/revoke/", follow=True).content.decode()
    again = tomas.post(f"/settings/directory/{client.pk}/revoke/")

    assert renewed["Cache-Control"] == "no-store"
    assert "is let in no more" in revoked
    assert "Revoked" in revoked
    assert "Renew" not in revoked
    assert again.status_code == 409
    assert entries(acme)[-2:] == [
        ("directory.change", "ok"),
        ("directory.change.refused", "denied"),
    ]


def test_last_requests_are_shown_with_what_went_wrong_in_plain_words(acme, tomas):
    tomas.post("/settings/directory/", {"name": "Entra ID"})
    with tenant_scope(acme.scope):
        client = DirectoryClient.objects.get()
        directory.remember_request(client, "GET", "/scim/v2/Users", 200, "")
        directory.remember_request(
            client, "POST", "/scim/v2/Users", 409, "another person has this user name"
        )

    page = tomas.get("/settings/directory/").content.decode()
    problems = tomas.get("/settings/directory/?only=problems").content.decode()
    overview = tomas.get("/settings/").content.decode()

    assert "<code>GET</code> /scim/v2/Users" in page
    assert "another person has this user name" in page
    assert "<code>GET</code>" not in problems
    assert "another person has this user name" in problems
    assert "1 of its requests went wrong within a day" in overview


def test_expired_secrets_are_shown_as_such(acme, tomas):
    tomas.post("/settings/directory/", {"name": "Okta"})
    with tenant_scope(acme.scope):
        DirectoryClient.objects.update(expires_at=timezone.now() - timedelta(days=1))

    page = tomas.get("/settings/directory/").content.decode()

    assert "Expired" in page
    assert "an admin can renew them" in page


def test_a_tenant_without_an_admin_is_warned(acme, sign_in):
    tomas, paths = sign_in(acme, "tomas"), ("/settings/", "/settings/directory/")
    before = [tomas.get(path).content.decode() for path in paths]

    with tenant_scope(acme.scope):
        # The directory took the last one out; an operator came in by emergency access.
        Grant.objects.filter(role=Role.TENANT_ADMIN).update(role=Role.PLATFORM_ADMIN)
    after = [tomas.get(path).content.decode() for path in paths]

    assert ["Nobody is tenant admin" in page for page in before] == [False, False]
    assert ["Nobody is tenant admin" in page for page in after] == [True, True]


def test_groups_are_listed_with_people_and_meaning(acme, tomas, engineering):
    with tenant_scope(acme.scope):
        GroupRole.objects.create(group="Engineering", role=Role.DEVELOPER, project=acme.project)
        GroupRole.objects.create(group="Nobody yet", role=Role.AUDITOR)

    page = tomas.get("/settings/groups/").content.decode()
    filtered = tomas.get("/settings/groups/?q=nobody").content.decode()

    row = page.split(">Engineering<")[1].split("</tr>")[0]
    assert '<td class="number">3</td>' in row
    assert "Developer" in row
    assert "in Platform" in row
    assert ">Nobody yet<" in filtered
    assert ">Engineering<" not in filtered


def test_a_preview_shows_who_would_change_and_changes_nothing(acme, tomas, engineering, entries):
    before = entries(acme)

    typed = {"group": engineering, "roles": ["auditor"], "preview": "1"}
    page = tomas.post(MEANING, typed).content.decode()

    preview = page.split('id="preview"')[1].split("</section>")[0]
    assert f"bo@{acme.slug}.example" in preview
    assert f"lin@{acme.slug}.example" in preview
    assert f"iris@{acme.slug}.example" not in preview  # is auditor by hand already
    assert "Auditor of the whole tenant" in preview
    assert "2 people change at once" in preview
    assert 'name="save"' in preview
    assert 'value="auditor" checked' in page
    with tenant_scope(acme.scope):
        assert not GroupRole.objects.exists()
    assert entries(acme) == before


def test_saving_gives_everybody_in_the_group_the_role_at_once(acme, tomas, engineering, entries):
    typed = {"group": engineering, "roles": ["auditor"], "save": "1"}

    page = tomas.post(MEANING, typed, follow=True).content.decode()

    assert "People whose roles changed: 2" in page
    assert 'value="auditor" checked' in page
    assert ("auditor", "directory") in roles_of(acme, "bo")
    assert ("auditor", "sso") in roles_of(acme, "lin")
    assert entries(acme)[-1] == ("directory.change", "ok")

    lost = tomas.post(MEANING, {"group": engineering, "preview": "1"}).content.decode()
    tomas.post(MEANING, {"group": engineering, "save": "1"})

    assert "ti-minus" in lost
    assert ("auditor", "directory") not in roles_of(acme, "bo")


def test_a_group_can_mean_something_in_one_project(acme, tomas, engineering):
    typed = {"group": engineering, "roles": ["project_admin"], "project": str(acme.project.pk)}

    preview = tomas.post(MEANING, typed | {"preview": "1"}).content.decode()
    tomas.post(MEANING, typed | {"save": "1"})
    wide = tomas.post(MEANING, typed | {"roles": ["auditor"], "preview": "1"})

    assert "Project admin in Platform" in preview
    assert ("project_admin", "directory") in roles_of(acme, "bo")
    assert wide.status_code == 422
    assert "cover the whole tenant" in wide.content.decode()


@pytest.mark.parametrize("role", ["agent", "platform_admin", "emperor"])
def test_a_group_cannot_mean_what_a_tenant_cannot_give(acme, tomas, engineering, role):
    for button in ("preview", "save"):
        answer = tomas.post(MEANING, {"group": engineering, "roles": [role], button: "1"})
        assert answer.status_code == 422
        assert "Nothing was changed" in answer.content.decode()


def test_a_preview_warns_before_the_last_admin_is_lost(acme, tomas, engineering):
    with tenant_scope(acme.scope):
        GroupRole.objects.create(group="Engineering", role=Role.TENANT_ADMIN)
        Grant.objects.create(user=acme.people["bo"], role=Role.TENANT_ADMIN, source="directory")
        Grant.objects.filter(user=acme.people["tomas"]).update(role=Role.PLATFORM_ADMIN)

    page = tomas.post(MEANING, {"group": engineering, "preview": "1"}).content.decode()

    assert "would leave the tenant without an admin" in page


def test_a_group_needs_a_name(tomas):
    for group in ("", " ", "a\0b"):
        assert tomas.get(MEANING, {"group": group}).status_code == 404
    assert tomas.get(MEANING, {"group": "Not told yet & new"}).status_code == 200


@pytest.mark.parametrize("name", ["bo", "ada", "iris"])
def test_directory_and_groups_are_for_tenant_admins(acme, sign_in, tomas, entries, name):
    tomas.post("/settings/directory/", {"name": "Okta"})
    with tenant_scope(acme.scope):
        pk = DirectoryClient.objects.get().pk
    client = sign_in(acme, name)

    statuses = [
        client.get("/settings/directory/").status_code,
        client.post("/settings/directory/", {"name": "Mine"}).status_code,
        client.post(f"/settings/directory/{pk}/renew/").status_code,
        client.post(f"/settings/directory/{pk}/revoke/").status_code,
        client.get("/settings/groups/").status_code,
        client.get(MEANING, {"group": "Engineering"}).status_code,
        client.post(MEANING, {"group": "Engineering", "roles": "auditor", "save": "1"}).status_code,
    ]

    assert statuses == [403] * 7
    assert entries(acme)[-7:] == [("directory.change.denied", "denied")] * 7
    with tenant_scope(acme.scope):
        assert DirectoryClient.objects.get().revoked_at is None
        assert not GroupRole.objects.exists()


def test_directories_and_groups_of_another_tenant_do_not_exist(
    acme, globex, sign_in, tomas, engineering, entries
):
    tomas.post("/settings/directory/", {"name": "Okta of acme"})
    with tenant_scope(acme.scope):
        pk = DirectoryClient.objects.get().pk
    before, stranger = entries(acme), sign_in(globex, "tomas")

    for number in (pk, uuid4()):
        assert stranger.post(f"/settings/directory/{number}/renew/").status_code == 404
        assert stranger.post(f"/settings/directory/{number}/revoke/").status_code == 404
    assert "Okta of acme" not in stranger.get("/settings/directory/").content.decode()
    assert ">Engineering<" not in stranger.get("/settings/groups/").content.decode()
    group = stranger.get(MEANING, {"group": engineering}).content.decode()
    assert "0 people are in this group" in group
    foreign = {"group": engineering, "project": str(acme.project.pk), "save": "1"}
    assert stranger.post(MEANING, foreign).status_code == 404
    for client, status in ((sign_in(globex, "eve"), 403), (sign_in(globex), 302)):
        assert client.post(f"/settings/directory/{pk}/revoke/").status_code == status
    assert entries(acme) == before
