"""Requests in the shapes that Microsoft Entra and Okta send, one after the other."""

import json
from typing import Any
from urllib.parse import quote

import pytest
from scim_peer import ENTERPRISE, GROUP, PATCH, USER, Directory, let_in

ADSCIM = "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"
ADA = {
    "schemas": [USER, ENTERPRISE],
    "externalId": "58342554-38d6-4ec8-948c-50044d0a33fd",
    "userName": "ada.l@acme.example",
    "active": True,
    "displayName": "Ada L",
    "emails": [{"primary": True, "type": "work", "value": "ada.l@acme.example"}],
    "meta": {"resourceType": "User"},
    "name": {"formatted": "Ada L", "familyName": "L", "givenName": "Ada"},
    "title": "Engineer",
    "roles": [],
    ENTERPRISE: {"department": "R&D", "employeeNumber": "7"},
}
OTHER = "9e6b5a4c-3a57-4a11-8f1d-0d3c7d0f6b2a"


def op(kind: str, path: str | None = None, value: Any = None) -> dict[str, Any]:
    said = {"op": kind, "path": path, "value": value}
    return {name: part for name, part in said.items() if part is not None}


def at(resource: dict[str, Any], path: str) -> Any:
    """What stands at a path such as emails/work/value: entries of lists go by their type."""
    found: Any = resource
    for step in path.split("/"):
        if isinstance(found, list):
            found = next((entry for entry in found if entry.get("type") == step), None)
        elif found is not None:
            found = found.get(step)
    return found


# (what is sent, to what on top of ADA, the operations, what then stands where)
PEOPLE = [
    ("Entra disables, in words", {}, [op("Replace", "active", "False")], {"active": False}),
    (
        "Entra enables, in words",
        {"active": False},
        [op("Replace", "active", "True")],
        {"active": True},
    ),
    ("Entra disables, as Boolean", {}, [op("Replace", "active", False)], {"active": False}),
    (
        "Okta disables, without a path",
        {},
        [op("replace", None, {"active": False})],
        {"active": False},
    ),
    (
        "Entra disables twice",
        {"active": False},
        [op("Replace", "active", "False")],
        {"active": False},
    ),
    (
        "Entra changes the work address",
        {},
        [op("Replace", 'emails[type eq "work"].value', "ada.new@acme.example")],
        {"emails/work/value": "ada.new@acme.example", "emails/work/primary": True},
    ),
    (
        "Entra adds the work address where there is none",
        {"emails": []},
        [op("Add", 'emails[type eq "work"].value', "ada.new@acme.example")],
        {"emails/work/value": "ada.new@acme.example"},
    ),
    (
        "Entra replaces the mobile number where there is none",
        {},
        [op("Replace", 'phoneNumbers[type eq "mobile"].value', "+49 1")],
        {"phoneNumbers/mobile/value": "+49 1"},
    ),
    (
        "Entra adds the mobile number where there is none",
        {},
        [op("Add", 'phoneNumbers[type eq "mobile"].value', "+49 1")],
        {"phoneNumbers/mobile/value": "+49 1"},
    ),
    (
        "Entra changes one number of two",
        {"phoneNumbers": [{"type": "work", "value": "1"}, {"type": "mobile", "value": "2"}]},
        [op("Replace", 'phoneNumbers[type eq "work"].value', "3")],
        {"phoneNumbers/work/value": "3", "phoneNumbers/mobile/value": "2"},
    ),
    (
        "Entra removes one number of two",
        {"phoneNumbers": [{"type": "work", "value": "1"}, {"type": "mobile", "value": "2"}]},
        [op("Remove", 'phoneNumbers[type eq "work"]')],
        {"phoneNumbers/work": None, "phoneNumbers/mobile/value": "2"},
    ),
    (
        "Entra sets parts of an address that is not there",
        {},
        [
            op("Add", 'addresses[type eq "work"].streetAddress', "Lane 1"),
            op("Add", 'addresses[type eq "work"].locality', "Ulm"),
        ],
        {"addresses/work/streetAddress": "Lane 1", "addresses/work/locality": "Ulm"},
    ),
    (
        "Entra changes a part of an address",
        {"addresses": [{"type": "work", "streetAddress": "Lane 1", "locality": "Ulm"}]},
        [op("Replace", 'addresses[type eq "work"].locality', "Bonn")],
        {"addresses/work/streetAddress": "Lane 1", "addresses/work/locality": "Bonn"},
    ),
    (
        "Entra replaces without a path, with dotted keys",
        {},
        [
            op(
                "Replace",
                None,
                {"displayName": "Ada N", "name.givenName": "A.", "name.familyName": "N"},
            )
        ],
        {"displayName": "Ada N", "name/givenName": "A.", "name/familyName": "N"},
    ),
    (
        "Entra replaces without a path, with URN keys",
        {},
        [op("Replace", None, {f"{ENTERPRISE}:department": "Sales", f"{USER}:title": "Lead"})],
        {f"{ENTERPRISE}/department": "Sales", "title": "Lead"},
    ),
    (
        "Entra adds without a path, with dotted and URN keys",
        {"title": None},
        [
            op(
                "Add",
                None,
                {"title": "Lead", "name.honorificPrefix": "Dr", f"{ENTERPRISE}:division": "West"},
            )
        ],
        {"title": "Lead", "name/honorificPrefix": "Dr", f"{ENTERPRISE}/division": "West"},
    ),
    (
        "Entra replaces without a path, with an extension as an object",
        {},
        [op("Replace", None, {ENTERPRISE: {"department": "Sales"}})],
        {f"{ENTERPRISE}/department": "Sales"},
    ),
    (
        "Entra sets the manager",
        {},
        [op("Add", f"{ENTERPRISE}:manager", OTHER)],
        {f"{ENTERPRISE}/manager/value": OTHER},
    ),
    (
        "Entra sets the manager, as a list",
        {},
        [op("Add", f"{ENTERPRISE}:manager", [{"$ref": "", "value": OTHER}])],
        {f"{ENTERPRISE}/manager/value": OTHER},
    ),
    (
        "Entra changes the manager",
        {ENTERPRISE: {"manager": {"value": "before"}}},
        [op("Replace", f"{ENTERPRISE}:manager", OTHER)],
        {f"{ENTERPRISE}/manager/value": OTHER},
    ),
    (
        "Entra changes the manager's value",
        {ENTERPRISE: {"manager": {"value": "before"}}},
        [op("Replace", f"{ENTERPRISE}:manager.value", OTHER)],
        {f"{ENTERPRISE}/manager/value": OTHER},
    ),
    (
        "Entra clears the manager",
        {ENTERPRISE: {"manager": {"value": "before"}}},
        [op("Replace", f"{ENTERPRISE}:manager", "")],
        {f"{ENTERPRISE}/manager/value": None},
    ),
    (
        "Entra removes the manager",
        {ENTERPRISE: {"manager": {"value": "before"}, "department": "R&D"}},
        [op("Remove", f"{ENTERPRISE}:manager")],
        {f"{ENTERPRISE}/manager": None, f"{ENTERPRISE}/department": "R&D"},
    ),
    (
        "Entra changes the department",
        {},
        [op("Replace", f"{ENTERPRISE}:department", "Sales")],
        {f"{ENTERPRISE}/department": "Sales", f"{ENTERPRISE}/employeeNumber": "7"},
    ),
    (
        "Entra adds an enterprise attribute to who had none",
        {ENTERPRISE: None, "schemas": [USER]},
        [op("Add", f"{ENTERPRISE}:employeeNumber", "8")],
        {f"{ENTERPRISE}/employeeNumber": "8"},
    ),
    ("Entra removes the title", {}, [op("Remove", "title")], {"title": None}),
    (
        "Entra changes a part of the name",
        {},
        [op("Replace", "name.familyName", "N")],
        {"name/familyName": "N"},
    ),
    (
        "Entra changes the userName",
        {},
        [op("Replace", "userName", "ada.n@acme.example")],
        {"userName": "ada.n@acme.example"},
    ),
    (
        "Entra changes the externalId",
        {},
        [op("Replace", "externalId", "x-1")],
        {"externalId": "x-1"},
    ),
    (
        "Entra gives an app role",
        {},
        [op("Add", 'roles[primary eq "True"].value', "Reader")],
        {"roles": [{"primary": True, "value": "Reader"}]},
    ),
    (
        "Entra replaces the primary address",
        {},
        [op("Replace", "emails[primary eq true].value", "ada.new@acme.example")],
        {"emails/work/value": "ada.new@acme.example"},
    ),
    (
        "Entra sends many changes at once, one of an attribute that nobody knows",
        {},
        [
            op("Replace", "displayName", "Ada N"),
            op("Replace", 'emails[type eq "work"].value', "ada.new@acme.example"),
            op("Add", "preferredLanguage", "de-DE"),
            op("Add", "urn:ietf:params:scim:schemas:extension:acme:2.0:User:badge", "9"),
            op("Replace", f"{ENTERPRISE}:costCenter", "12"),
        ],
        {
            "displayName": "Ada N",
            "emails/work/value": "ada.new@acme.example",
            "preferredLanguage": "de-DE",
            f"{ENTERPRISE}/costCenter": "12",
        },
    ),
    ("Somebody shouts", {}, [op("REPLACE", "DISPLAYNAME", "Ada N")], {"displayName": "Ada N"}),
]


@pytest.mark.parametrize(
    ("given", "operations", "after"), [c[1:] for c in PEOPLE], ids=[c[0] for c in PEOPLE]
)
def test_a_patch_of_a_person_does_what_the_directory_meant(entra, given, operations, after):
    body = {name: value for name, value in (ADA | given).items() if value is not None}
    person = entra.ask("POST", "/Users", body).json()

    answer = entra.patch(f"/Users/{person['id']}", *operations)

    assert answer.status_code == 200, answer.content
    stands = entra.read(f"/Users/{person['id']}")
    assert answer.json() == stands
    assert {path: at(stands, path) for path in after} == after


# (what is sent, members before, the operations with {name} for an id, members after, new name)
GROUPS = [
    (
        "Entra adds a member",
        "",
        [op("Add", "members", [{"$ref": None, "value": "{ada}"}])],
        "ada",
        None,
    ),
    (
        "Entra adds a second member",
        "ada",
        [op("Add", "members", [{"value": "{bo}"}])],
        "ada bo",
        None,
    ),
    (
        "Entra removes one member of three and not all",
        "ada bo cy",
        [op("Remove", "members", [{"value": "{bo}"}])],
        "ada cy",
        None,
    ),
    (
        "Entra removes two members of three",
        "ada bo cy",
        [op("Remove", "members", [{"$ref": None, "value": "{bo}"}, {"value": "{cy}"}])],
        "ada",
        None,
    ),
    ("Okta removes a member", "ada bo", [op("remove", 'members[value eq "{bo}"]')], "ada", None),
    (
        "Okta adds several members, with their names",
        "ada",
        [
            op(
                "add",
                "members",
                [{"value": "{bo}", "display": "bo@x"}, {"value": "{cy}", "display": "cy"}],
            )
        ],
        "ada bo cy",
        None,
    ),
    (
        "Okta removes one and adds one",
        "ada bo",
        [op("remove", 'members[value eq "{bo}"]'), op("add", "members", [{"value": "{cy}"}])],
        "ada cy",
        None,
    ),
    (
        "Okta replaces all members",
        "ada bo",
        [op("replace", "members", [{"value": "{cy}", "display": "cy"}])],
        "cy",
        None,
    ),
    ("Okta replaces members by nobody", "ada bo", [op("replace", "members", [])], "", None),
    ("Somebody removes all members", "ada bo", [op("remove", "members")], "", None),
    ("A member is added again", "ada", [op("Add", "members", [{"value": "{ada}"}])], "ada", None),
    (
        "Who is no member is removed",
        "ada",
        [op("Remove", "members", [{"value": "{bo}"}])],
        "ada",
        None,
    ),
    ("Entra renames", "ada", [op("Replace", "displayName", "Leads")], "ada", "Leads"),
    (
        "Okta renames, without a path and with the id",
        "ada",
        [op("replace", None, {"id": "{group}", "displayName": "Leads"})],
        "ada",
        "Leads",
    ),
    (
        "Members without a path",
        "ada",
        [op("add", None, {"members": [{"value": "{bo}"}]})],
        "ada bo",
        None,
    ),
    (
        "A member and a new name at once",
        "ada bo",
        [op("Replace", "displayName", "Leads"), op("Remove", "members", [{"value": "{bo}"}])],
        "ada",
        "Leads",
    ),
]


@pytest.mark.parametrize(
    ("before", "operations", "after", "name"), [c[1:] for c in GROUPS], ids=[c[0] for c in GROUPS]
)
def test_a_patch_of_a_group_does_what_the_directory_meant(entra, before, operations, after, name):
    people = {each: entra.add(f"{each}@acme.example") for each in ("ada", "bo", "cy")}
    group = entra.add_group("Developers", *(people[each] for each in before.split()))
    text = json.dumps(operations).replace("{group}", group["id"])
    for each, person in people.items():
        text = text.replace("{" + each + "}", person["id"])

    answer = entra.patch(f"/Groups/{group['id']}", *json.loads(text))

    assert answer.status_code == 204, answer.content
    stands = entra.read(f"/Groups/{group['id']}")
    assert {member["value"] for member in stands.get("members", [])} == {
        people[each]["id"] for each in after.split()
    }
    assert stands["displayName"] == (name or "Developers")


# (what is asked, address with {id} of ADA and {group} that she alone is in, how many are found)
SEARCHES = [
    ("Okta's probe", '/Users?filter=userName eq "ada.l@acme.example"&startIndex=1&count=100', 1),
    (
        "Okta's probe of nobody",
        '/Users?filter=userName eq "no@acme.example"&startIndex=1&count=100',
        0,
    ),
    ("Entra's probe, in capitals", '/Users?filter=userName eq "Ada.L@ACME.example"', 1),
    ("Entra's probe by externalId", f'/Users?filter=externalId eq "{ADA["externalId"]}"', 1),
    (
        "an externalId in capitals is another",
        f'/Users?filter=externalId eq "{ADA["externalId"].upper()}"',
        0,
    ),
    (
        "Entra's probe by work address",
        '/Users?filter=emails[type eq "work"].value eq "ada.l@acme.example"',
        1,
    ),
    (
        "a home address is no work address",
        '/Users?filter=emails[type eq "home"].value eq "ada.l@acme.example"',
        0,
    ),
    ("by any address", '/Users?filter=emails eq "ADA.L@acme.example"', 1),
    ("by name with URN", f'/Users?filter={USER}:displayName eq "ada l"', 1),
    ("by department", f'/Users?filter={ENTERPRISE}:department eq "R%26D"', 1),
    ("by two things", '/Users?filter=userName eq "ada.l@acme.example" and active eq true', 1),
    ("by either of two things", '/Users?filter=userName eq "no" or displayName eq "Ada L"', 1),
    (
        "Entra's probe of a group",
        '/Groups?excludedAttributes=members&filter=displayName eq "Developers"',
        1,
    ),
    (
        "Okta's probe of a group",
        '/Groups?filter=displayName eq "developers"&startIndex=1&count=100',
        1,
    ),
    (
        "Entra asks whether somebody is in a group",
        '/Groups?filter=id eq "{group}" and members eq "{id}"',
        1,
    ),
    (
        "Entra asks whether somebody else is",
        f'/Groups?filter=id eq "{{group}}" and members eq "{OTHER}"',
        0,
    ),
    ("by group", '/Users?filter=groups eq "{group}"', 1),
]


@pytest.mark.parametrize(
    ("address", "found"), [c[1:] for c in SEARCHES], ids=[c[0] for c in SEARCHES]
)
def test_a_search_finds_who_was_meant(entra, address, found):
    person = entra.ask("POST", "/Users", ADA).json()
    entra.add("somebody.else@acme.example", displayName="Else")
    group = entra.add_group("Developers", person)
    entra.add_group("Testers")
    path, _, query = (
        address.replace("{id}", person["id"]).replace("{group}", group["id"]).partition("?")
    )

    answer = entra.read(f"{path}?{quote(query, safe='=&%')}")

    assert answer["totalResults"] == len(answer.get("Resources", [])) == found
    assert "excludedAttributes=members" not in query or "members" not in answer["Resources"][0]


def test_entra_creates_a_person_with_everything_it_knows(entra):
    person = entra.ask("POST", "/Users", ADA)

    assert person.status_code == 201
    said = person.json()
    assert person["Location"] == said["meta"]["location"]
    assert person["Location"] == f"http://{entra.company.host}/scim/v2/Users/{said['id']}"
    assert person["ETag"] == said["meta"]["version"]
    assert said[ENTERPRISE] == ADA[ENTERPRISE]
    assert said["emails"] == ADA["emails"]


def test_okta_creates_a_person_with_a_password_that_is_kept_nowhere(entra, acme):
    from django.db import connection

    body = {
        "schemas": [USER],
        "userName": "okta@acme.example",
        "name": {"givenName": "Otto", "familyName": "K"},
        "emails": [{"primary": True, "value": "okta@acme.example", "type": "work"}],
        "displayName": "Otto K",
        "locale": "en-US",
        "externalId": "00ujl29u0le5T6Aj10h7",
        "groups": [],
        "password": "1mz050nq-unheard-of",
        "active": True,
    }

    answer = entra.ask("POST", "/Users", body)

    assert answer.status_code == 201
    assert b"1mz050nq" not in answer.content
    entra.patch(f"/Users/{answer.json()['id']}", op("replace", "password", "1mz050nq-too"))
    from tenants.scope import tenant_scope

    with tenant_scope(acme.scope), connection.cursor() as cursor:
        for table in ("tenants_directoryperson", "tenants_directoryrequest", "tenants_user"):
            cursor.execute(f"SELECT count(*) FROM {table} t WHERE t::text LIKE '%1mz050nq%'")
            assert cursor.fetchone() == (0,), table
        cursor.execute(
            "SELECT count(*) FROM evidence_stagedentry"
            " WHERE encode(payload, 'escape') LIKE '%1mz050nq%'"
        )
        assert cursor.fetchone() == (0,)


def test_okta_disables_by_reading_changing_and_putting_back(entra):
    person = entra.ask("POST", "/Users", ADA).json()

    answer = entra.ask("PUT", f"/Users/{person['id']}", person | {"active": False})

    assert answer.status_code == 200
    assert answer.json()["active"] is False
    assert answer.json()[ENTERPRISE] == ADA[ENTERPRISE]


def test_okta_puts_a_group_with_another_name_and_other_members(entra):
    ada, bo = entra.add("ada@acme.example"), entra.add("bo@acme.example")
    group = entra.add_group("Developers", ada)

    answer = entra.ask(
        "PUT",
        f"/Groups/{group['id']}",
        {
            "schemas": [GROUP],
            "id": group["id"],
            "displayName": "Leads",
            "members": [{"value": bo["id"], "display": "bo@acme.example"}],
        },
    )

    assert answer.status_code == 200
    assert answer.json()["displayName"] == "Leads"
    assert [member["value"] for member in answer.json()["members"]] == [bo["id"]]


def test_entra_creates_a_group_with_its_own_schema_beside(entra):
    answer = entra.ask(
        "POST",
        "/Groups",
        {
            "schemas": [GROUP, ADSCIM],
            "externalId": "8aa1a0c0-c4c3-4bc0-b4a5-2ef676900159",
            "displayName": "Developers",
            "meta": {"resourceType": "Group"},
            "members": [],
        },
    )

    assert answer.status_code == 201
    assert answer.json()["displayName"] == "Developers"


def test_a_name_is_taken_whatever_its_case_and_so_is_an_external_id(entra):
    entra.ask("POST", "/Users", ADA)

    for body in (
        ADA | {"externalId": "other", "emails": []},
        ADA | {"externalId": "other", "userName": "ADA.L@acme.example", "emails": []},
        ADA | {"userName": "other", "emails": []},
        {"schemas": [USER], "userName": "other", "emails": ADA["emails"]},
    ):
        answer = entra.ask("POST", "/Users", body)
        assert (answer.status_code, answer.json()["scimType"]) == (409, "uniqueness")


def test_pages_of_five_hold_everybody_once_the_disabled_too(entra):
    names = {f"person{number:02}@acme.example" for number in range(12)}
    for name in sorted(names):
        entra.add(name, active=not name.startswith("person03"))

    pages = [entra.read(f"/Users?startIndex={start}&count=5") for start in (1, 6, 11)]

    assert [page["itemsPerPage"] for page in pages] == [5, 5, 2]
    assert {page["totalResults"] for page in pages} == {12}
    listed = pages[0]["Resources"][0]
    assert listed == entra.read(f"/Users/{listed['id']}")  # which takes another way
    assert [page["startIndex"] for page in pages] == [1, 6, 11]
    found = [person["userName"] for page in pages for person in page["Resources"]]
    assert len(found) == 12
    assert set(found) == names
    assert not entra.read("/Users?filter=" + quote('userName sw "person03"'))["Resources"][0][
        "active"
    ]


def test_sorting_goes_both_ways(entra):
    for name in ("cy", "ada", "Bo"):
        entra.add(name)

    up = entra.read("/Users?sortBy=userName")["Resources"]
    down = entra.read("/Users?sortBy=userName&sortOrder=descending")["Resources"]

    assert [person["userName"] for person in up] == ["ada", "Bo", "cy"]
    assert up == down[::-1]


def test_a_search_over_people_and_groups_together(entra):
    person = entra.add("ada@acme.example", displayName="Platform")
    group = entra.add_group("Platform", person)

    answer = entra.ask(
        "POST",
        "/.search",
        {
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],
            "filter": 'displayName eq "platform"',
        },
    )

    assert {found["id"] for found in answer.json()["Resources"]} == {person["id"], group["id"]}


def test_a_version_guards_against_overwriting_and_saves_reading(entra):
    person = entra.ask("POST", "/Users", ADA).json()
    path, old = f"/Users/{person['id']}", person["meta"]["version"]

    unchanged = entra.ask("GET", path, **{"If-None-Match": old})
    first = entra.patch(path, op("replace", "title", "Lead"), **{"If-Match": old})
    second = entra.patch(path, op("replace", "title", "Boss"), **{"If-Match": old})
    gone = entra.ask("DELETE", path, **{"If-Match": old})

    assert unchanged.status_code == 304
    assert first.status_code == 200
    assert first["ETag"] != old
    assert (second.status_code, gone.status_code) == (412, 412)
    assert entra.read(path)["title"] == "Lead"


def test_what_is_deleted_is_gone(entra):
    person = entra.add("ada@acme.example")
    group = entra.add_group("Developers", person)

    assert entra.ask("DELETE", f"/Users/{person['id']}").status_code == 204
    assert entra.ask("GET", f"/Users/{person['id']}").status_code == 404
    assert entra.ask("DELETE", f"/Users/{person['id']}").status_code == 404
    assert "members" not in entra.read(f"/Groups/{group['id']}")
    assert entra.ask("DELETE", f"/Groups/{group['id']}").status_code == 204
    assert entra.ask("GET", f"/Groups/{group['id']}").status_code == 404


def test_what_we_say_of_ourselves(entra):
    config = entra.read("/ServiceProviderConfig")
    schemas = {schema["id"]: schema for schema in entra.read("/Schemas")["Resources"]}
    types = {each["id"]: each for each in entra.read("/ResourceTypes")["Resources"]}

    assert config["patch"]["supported"]
    assert config["filter"] == {"supported": True, "maxResults": 200}
    assert not config["bulk"]["supported"]
    assert set(schemas) == {USER, GROUP, ENTERPRISE}
    assert set(types) == {"User", "Group"}
    assert "password" not in {attribute["name"] for attribute in schemas[USER]["attributes"]}


def test_a_request_without_a_good_token_is_answered_in_the_protocols_words(entra):
    for authorization in (
        None,
        "Bearer",
        "Bearer nonsense",
        "Basic YTpi",
        f"Bearer {entra.token}x",
    ):
        headers = {"Authorization": authorization} if authorization else {}
        answer = entra.http.get("/scim/v2/Users", headers=headers)

        assert answer.status_code == 401
        assert answer["Content-Type"] == "application/scim+json"
        assert answer["WWW-Authenticate"].startswith("Bearer")
        assert answer.json()["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
        assert answer.json()["status"] == "401"


@pytest.fixture
def eves(globex) -> Directory:
    """globex's directory, which must never reach anything of acme's."""
    return let_in(globex)


def test_another_workspaces_people_and_groups_are_as_unknown_as_nobodys(entra, eves):
    person = entra.ask("POST", "/Users", ADA).json()
    group = entra.add_group("Developers", person)
    own = eves.add_group("Developers")

    def same(method: str, path: str, body: Any = None) -> int:
        theirs = eves.ask(method, path.format(person["id"]), body)
        nobodys = eves.ask(method, path.format(OTHER), body)
        assert theirs.status_code == nobodys.status_code
        assert theirs.content.replace(person["id"].encode(), OTHER.encode()) == nobodys.content
        return theirs.status_code

    change = {"schemas": [PATCH], "Operations": [op("replace", "active", False)]}
    assert same("GET", "/Users/{}") == 404
    assert same("PUT", "/Users/{}", ADA) == 404
    assert same("PATCH", "/Users/{}", change) == 404
    assert same("DELETE", "/Users/{}") == 404
    joins = {"schemas": [PATCH], "Operations": [op("add", "members", [{"value": person["id"]}])]}
    answer = eves.ask("PATCH", f"/Groups/{own['id']}", joins)
    assert (answer.status_code, answer.json()["scimType"]) == (400, "invalidValue")
    assert eves.ask("GET", f"/Groups/{group['id']}").status_code == 404
    assert eves.read("/Users")["totalResults"] == 0
    assert (
        eves.read("/Users?filter=" + quote('userName eq "ada.l@acme.example"'))["totalResults"] == 0
    )
    assert entra.read(f"/Users/{person['id']}") == person | {
        "groups": entra.read(f"/Users/{person['id']}")["groups"]
    }
    # The same person may well be in both directories.
    assert eves.ask("POST", "/Users", ADA).status_code == 201
