"""What the directory says becomes accounts, memberships, roles, and entries in the ledger."""

import threading

import pytest
from django.db import connection
from scim_peer import USER, let_in

from authz import groups
from authz.models import Grant
from authz.roles import Role
from tenants.models import DirectoryMember, DirectoryPerson, Session, User
from tenants.scope import tenant_scope
from tests.at_browser import JUST_NOW

ACTIVE, SUSPENDED, REMOVED = "active", "suspended", "removed"


def off(value=False):
    return {"op": "Replace", "path": "active", "value": str(value)}


def account(company, email):
    with tenant_scope(company.scope):
        user = User.objects.select_related("membership").get(email=email)
        roles = sorted(user.grants.values_list("role", "source"))
    return user, user.membership.state, roles


def map_group(company, group, *roles, project=False):
    with tenant_scope(company.scope):
        groups.map_group(
            group,
            roles,
            project=company.project if project else None,
            by=company.people["tomas"].actor("page", signed_in=JUST_NOW),
        )


def test_a_new_person_gets_an_account_with_the_name_and_address_of_the_directory(
    entra, acme, facts
):
    entra.add(
        "ada.l",
        name={"givenName": "Ada", "familyName": "Lovelace"},
        emails=[
            {"value": "home@else.example", "type": "home"},
            {"value": "Ada.L@ACME.example", "type": "work"},
        ],
    )

    user, state, roles = account(acme, "ada.l@acme.example")
    assert (user.name, user.kind, state, roles) == ("Ada Lovelace", "human", ACTIVE, [])
    assert user.membership.source == "scim"
    (entry,) = facts(acme)
    assert entry["object"] == {"type": "user", "id": str(user.pk)}
    assert entry["actor"]["id"] == f"directory:{entra.client.pk}"
    assert (entry["step"], entry["user_name"]) == ("person added", "ada.l")


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ({"displayName": "Shown", "name": {"formatted": "F", "givenName": "G"}}, "Shown"),
        ({"name": {"formatted": "Formatted", "givenName": "G"}}, "Formatted"),
        ({"name": {"givenName": "Given"}}, "Given"),
        ({"displayName": "  "}, "ada@acme.example"),
        ({}, "ada@acme.example"),
        ({"displayName": "x" * 250}, "x" * 200),
    ],
)
def test_the_name_is_the_best_that_the_directory_says(entra, acme, said, name):
    entra.add("ada@acme.example", **said)

    assert account(acme, "ada@acme.example")[0].name == name


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"emails": [{"value": "not an address"}]},
        {"emails": [{"value": "agent@platform.invalid"}]},
    ],
)
def test_somebody_without_an_address_gets_an_account_that_no_mail_reaches(entra, acme, said):
    person = entra.add("ada", **said)

    user, state, _ = account(acme, f"{person['id']}@directory.invalid")
    assert (user.name, user.kind, state) == ("ada", "human", ACTIVE)


def test_an_account_with_the_same_address_is_adopted_with_its_roles(entra, acme, facts):
    email = acme.people["bo"].email

    entra.add(email.upper(), displayName="Bo Berg")

    user, state, roles = account(acme, email)
    assert (user.pk, user.name, state) == (acme.people["bo"].pk, "Bo Berg", ACTIVE)
    assert roles == [("developer", "test")]
    (entry,) = facts(acme)
    assert entry["adopted"] is True
    assert entry["name"] == ["Bo", "Bo Berg"]


def test_an_account_is_adopted_once(entra, acme):
    email = acme.people["bo"].email
    entra.add("first", emails=[{"value": email}])

    answer = entra.ask(
        "POST",
        "/Users",
        {"schemas": [USER], "userName": "second", "emails": [{"value": email}]},
    )

    assert (answer.status_code, answer.json()["scimType"]) == (409, "uniqueness")


def test_an_agents_account_is_never_given_to_a_person(entra, acme, entries):
    with tenant_scope(acme.scope):
        User.objects.filter(kind="agent").update(email="agent@acme.example")

    answer = entra.ask("POST", "/Users", {"schemas": [USER], "userName": "agent@acme.example"})

    assert answer.status_code == 409
    with tenant_scope(acme.scope):
        assert not DirectoryPerson.objects.exists()
    assert ("directory.sync.refused", "denied") in entries(acme)


def test_whoever_is_switched_off_is_out_at_once_and_keeps_the_roles_for_later(
    entra, acme, sign_in, facts
):
    person = entra.add(acme.people["bo"].email)
    browser = sign_in(acme, "bo")
    assert browser.get("/").status_code == 200

    answer = entra.patch(f"/Users/{person['id']}", off())

    assert (answer.status_code, answer.json()["active"]) == (200, False)
    assert browser.get("/")["Location"].startswith("/signin/")
    assert account(acme, acme.people["bo"].email)[1:] == (SUSPENDED, [("developer", "test")])
    entry = facts(acme)[-1]
    assert (entry["step"], entry["changed"]) == ("person changed", ["active"])
    assert (entry["membership"], entry["sessions_ended"]) == (SUSPENDED, 1)
    assert "without_admin" not in entry

    entra.patch(f"/Users/{person['id']}", off(True))
    assert account(acme, acme.people["bo"].email)[1:] == (ACTIVE, [("developer", "test")])
    assert browser.get("/")["Location"].startswith("/signin/")


def test_whoever_is_switched_off_has_no_use_of_their_tokens(entra, acme):
    from authz import tokens
    from authz.permissions import Permission

    bo = acme.people["bo"]
    with tenant_scope(acme.scope):
        _, secret = tokens.create_token(
            bo, "export", [Permission.TASK_VIEW], days=1, by=bo.actor("page", signed_in=JUST_NOW)
        )
    person = entra.add(bo.email)
    browser = entra.http
    headers = {"Authorization": f"Bearer {secret}"}
    assert browser.get("/api/v1/me", headers=headers).status_code == 200

    entra.patch(f"/Users/{person['id']}", off())
    assert browser.get("/api/v1/me", headers=headers).status_code == 401

    entra.ask("DELETE", f"/Users/{person['id']}")
    entra.add(bo.email)
    assert account(acme, bo.email)[1] == ACTIVE
    assert browser.get("/api/v1/me", headers=headers).status_code == 401


def test_somebody_who_arrives_switched_off_is_not_in(entra, acme):
    entra.add("ada.l@acme.example", active=False)
    entra.add(acme.people["bo"].email, active=False)

    assert account(acme, "ada.l@acme.example")[1] == SUSPENDED
    assert account(acme, acme.people["bo"].email)[1] == SUSPENDED


def test_other_news_of_somebody_whom_an_admin_removed_do_not_bring_them_back(entra, acme):
    from authz import people

    person = entra.add(acme.people["bo"].email)
    with tenant_scope(acme.scope):
        people.remove(acme.people["bo"], by=acme.people["tomas"].actor("page", signed_in=JUST_NOW))

    entra.patch(f"/Users/{person['id']}", {"op": "replace", "path": "title", "value": "Lead"})

    assert account(acme, acme.people["bo"].email)[1:] == (REMOVED, [])


def test_whoever_is_deleted_leaves_nothing_but_the_account(entra, acme, sign_in, facts):
    map_group(acme, "Auditors", Role.AUDITOR)
    person = entra.add(acme.people["bo"].email)
    group = entra.add_group("Auditors", person)
    version = entra.read(f"/Groups/{group['id']}")["meta"]["version"]
    browser = sign_in(acme, "bo")
    assert browser.get("/").status_code == 200

    entra.ask("DELETE", f"/Users/{person['id']}")

    assert account(acme, acme.people["bo"].email)[1:] == (REMOVED, [])
    assert browser.get("/")["Location"].startswith("/signin/")
    with tenant_scope(acme.scope):
        assert not DirectoryPerson.objects.exists()
        assert not DirectoryMember.objects.exists()
    entry = facts(acme)[-1]
    assert entry["step"] == "person removed"
    assert entry["object"] == {"type": "user", "id": str(acme.people["bo"].pk)}
    assert entry["roles"] == ["auditor", "developer"]
    assert entra.read(f"/Groups/{group['id']}")["meta"]["version"] != version


def test_whoever_was_deleted_comes_back_to_the_same_account_without_roles(entra, acme, facts):
    person = entra.add(acme.people["bo"].email)
    entra.ask("DELETE", f"/Users/{person['id']}")

    entra.add(acme.people["bo"].email)

    user, state, roles = account(acme, acme.people["bo"].email)
    assert (user.pk, state, roles) == (acme.people["bo"].pk, ACTIVE, [])
    assert facts(acme)[-1]["membership_before"] == REMOVED


def test_a_new_address_and_name_reach_the_account_unless_somebody_has_the_address(
    entra, acme, facts
):
    person = entra.add("ada.l@acme.example", displayName="Ada L")
    path = f"/Users/{person['id']}"

    entra.patch(
        path,
        {"op": "replace", "path": "userName", "value": "ada.n@acme.example"},
        {"op": "replace", "path": "displayName", "value": "Ada N"},
    )
    taken = entra.patch(
        path, {"op": "replace", "path": "userName", "value": acme.people["bo"].email}
    )

    assert account(acme, "ada.n@acme.example")[0].name == "Ada N"
    changed = facts(acme)[-1]
    assert changed["email"] == ["ada.l@acme.example", "ada.n@acme.example"]
    assert changed["name"] == ["Ada L", "Ada N"]
    assert changed["changed"] == ["displayName", "userName"]
    assert (taken.status_code, taken.json()["scimType"]) == (409, "uniqueness")
    assert entra.read(path)["userName"] == "ada.n@acme.example"


def test_what_changes_nothing_leaves_no_entry_and_no_new_version(entra, acme, entries):
    person = entra.add("ada.l@acme.example", displayName="Ada L")
    group = entra.add_group("Developers", person)
    before = entries(acme)

    for _ in range(3):
        entra.patch(f"/Users/{person['id']}", off(True))
        entra.patch(
            f"/Users/{person['id']}", {"op": "Replace", "path": "displayName", "value": "Ada L"}
        )
        entra.patch(
            f"/Groups/{group['id']}",
            {"op": "Add", "path": "members", "value": [{"value": person["id"]}]},
        )
        assert entra.ask("PUT", f"/Users/{person['id']}", person).status_code == 200

    assert entries(acme) == before
    assert entra.read(f"/Users/{person['id']}")["meta"] == person["meta"]
    assert entra.read(f"/Groups/{group['id']}")["meta"] == group["meta"]


def test_a_change_that_fails_half_way_changes_nothing(entra, acme, monkeypatch):
    person = entra.add(acme.people["bo"].email)

    def broken(user, **_):
        raise RuntimeError("the database is on fire")

    monkeypatch.setattr("authz.provisioning.drop_sessions", broken)
    with pytest.raises(RuntimeError):
        entra.patch(f"/Users/{person['id']}", off())

    assert account(acme, acme.people["bo"].email)[1] == ACTIVE
    stands = entra.read(f"/Users/{person['id']}")
    assert stands["active"] is True
    assert stands["meta"]["version"] == person["meta"]["version"]


def test_the_last_admin_goes_when_the_directory_says_so_and_the_ledger_says_it(
    entra, acme, sign_in, facts
):
    person = entra.add(acme.people["tomas"].email)
    browser = sign_in(acme, "tomas")

    entra.patch(f"/Users/{person['id']}", off())

    assert browser.get("/")["Location"].startswith("/signin/")
    assert facts(acme)[-1]["without_admin"] is True


def test_groups_give_roles_and_take_them_and_leave_roles_by_hand_alone(entra, acme, facts):
    map_group(acme, "Developers", Role.DEVELOPER, project=True)
    map_group(acme, "Auditors", Role.AUDITOR)
    ada, bo = entra.add("ada.l@acme.example"), entra.add(acme.people["bo"].email)
    group = entra.add_group("Developers", ada, bo)
    by_hand = ("developer", "test")

    assert account(acme, "ada.l@acme.example")[2] == [("developer", "directory")]
    assert account(acme, acme.people["bo"].email)[2] == [("developer", "directory"), by_hand]
    assert facts(acme)[-1]["roles_changed"] == 2
    assert facts(acme)[-1]["joined"] == ["ada.l@acme.example", acme.people["bo"].email]

    path = f"/Groups/{group['id']}"
    entra.patch(path, {"op": "Remove", "path": "members", "value": [{"value": ada["id"]}]})
    assert account(acme, "ada.l@acme.example")[2] == []
    entry = facts(acme)[-1]
    assert entry["left"] == ["ada.l@acme.example"]
    assert list(entry["roles"]) == ["ada.l@acme.example"]
    assert entry["roles"]["ada.l@acme.example"]["after"] == []

    entra.patch(path, {"op": "Replace", "path": "displayName", "value": "Auditors"})
    assert account(acme, acme.people["bo"].email)[2] == [("auditor", "directory"), by_hand]
    assert facts(acme)[-1]["name"] == ["Developers", "Auditors"]

    entra.ask("DELETE", path)
    assert account(acme, acme.people["bo"].email)[2] == [by_hand]
    assert facts(acme)[-1]["object"]["type"] == "directorygroup"


def test_groups_that_mean_the_same_role_are_both_to_be_left_before_it_goes(entra, acme):
    map_group(acme, "Auditors", Role.AUDITOR)
    map_group(acme, "Revision", Role.AUDITOR)
    ada = entra.add("ada.l@acme.example")
    first, second = entra.add_group("Auditors", ada), entra.add_group("Revision", ada)

    entra.ask("DELETE", f"/Groups/{first['id']}")
    assert account(acme, "ada.l@acme.example")[2] == [("auditor", "directory")]

    entra.ask("DELETE", f"/Groups/{second['id']}")
    assert account(acme, "ada.l@acme.example")[2] == []


def test_whoever_is_off_while_groups_change_comes_back_to_what_they_mean_then(entra, acme):
    map_group(acme, "Auditors", Role.AUDITOR)
    ada = entra.add("ada.l@acme.example")
    entra.patch(f"/Users/{ada['id']}", off())
    group = entra.add_group("Auditors", ada)

    entra.patch(f"/Users/{ada['id']}", off(True))
    assert account(acme, "ada.l@acme.example")[1:] == (ACTIVE, [("auditor", "directory")])

    entra.ask("DELETE", f"/Groups/{group['id']}")
    assert account(acme, "ada.l@acme.example")[2] == []


def test_an_admin_by_group_who_leaves_the_group_is_no_admin_any_more(entra, acme, facts):
    map_group(acme, "Admins", Role.TENANT_ADMIN)
    ada = entra.add("ada.l@acme.example")
    group = entra.add_group("Admins", ada)
    with tenant_scope(acme.scope):
        Grant.objects.filter(user=acme.people["tomas"]).delete()

    entra.patch(
        f"/Groups/{group['id']}",
        {"op": "Remove", "path": "members", "value": [{"value": ada["id"]}]},
    )

    assert account(acme, "ada.l@acme.example")[2] == []
    assert facts(acme)[-1]["without_admin"] is True


def test_patches_of_one_group_at_the_same_time_lose_nobody(entra, acme):
    people = [entra.add(f"person{number}@acme.example") for number in range(12)]
    group = entra.add_group("Developers", *people[:4])
    start = threading.Barrier(4)
    statuses = []

    def work(number):
        directory = let_in_again(entra)
        try:
            start.wait()
            for person in people[number::4]:
                kind = "Remove" if person in people[:4] else "Add"
                answer = directory.patch(
                    f"/Groups/{group['id']}",
                    {"op": kind, "path": "members", "value": [{"value": person["id"]}]},
                )
                statuses.append(answer.status_code)
                # Once more as a whole, which reads all members and writes all of them back.
                answer = directory.patch(
                    f"/Groups/{group['id']}",
                    {"op": "replace", "path": "externalId", "value": f"x{person['id']}"},
                    {"op": kind, "path": "members", "value": [{"value": person["id"]}]},
                )
                statuses.append(answer.status_code)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert set(statuses) == {204}
    members = {member["value"] for member in entra.read(f"/Groups/{group['id']}")["members"]}
    assert members == {person["id"] for person in people[4:]}


def let_in_again(directory):
    """The same client over a connection of its own, for another thread."""
    from scim_peer import Directory

    return Directory(directory.company, directory.client, directory.token, directory.secret)


def test_one_person_created_twice_at_the_same_time_is_one_person(entra, acme):
    start = threading.Barrier(3)
    statuses = []

    def work():
        directory = let_in_again(entra)
        try:
            start.wait()
            body = {"schemas": [USER], "userName": "ada.l@acme.example"}
            statuses.append(directory.ask("POST", "/Users", body).status_code)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(statuses) == [201, 409, 409]


def test_a_second_workspace_keeps_its_own_accounts(entra, globex, acme):
    eves = let_in(globex)
    entra.add("shared@both.example", displayName="At acme")

    eves.add("shared@both.example", displayName="At globex", active=False)

    assert account(acme, "shared@both.example")[0].name == "At acme"
    assert account(acme, "shared@both.example")[1] == ACTIVE
    assert account(globex, "shared@both.example")[1] == SUSPENDED


def test_only_the_sessions_of_whoever_is_switched_off_end(entra, acme, sign_in):
    person = entra.add(acme.people["bo"].email)
    sign_in(acme, "bo").get("/")
    sign_in(acme, "ada").get("/")

    entra.patch(f"/Users/{person['id']}", off())

    with tenant_scope(acme.scope):
        assert not Session.objects.filter(user=acme.people["bo"]).exists()
        assert Session.objects.filter(user=acme.people["ada"]).exists()
