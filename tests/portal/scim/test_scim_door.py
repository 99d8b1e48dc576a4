"""Who is let in by the directory's door, what it forgives, and what an admin can read about it."""

import json
from base64 import b64encode
from datetime import timedelta

import pytest
from django.utils import timezone
from scim_peer import GROUP, PATCH, USER, let_in

from authz import directory
from authz.errors import BadRequest, Conflict, Denied
from tenants.models import DirectoryClient, DirectoryRequest
from tenants.scope import tenant_scope
from tests.at_browser import JUST_NOW


def access(entra, **also):
    said = {
        "grant_type": "client_credentials",
        "client_id": str(entra.client.pk),
        "client_secret": entra.secret,
    }
    return entra.http.post("/scim/oauth/token", {**said, **also})


def ask_with(entra, token, path="/Users", method="GET"):
    return entra.http.generic(
        method, f"/scim/v2{path}", headers={"Authorization": f"Bearer {token}"}
    )


def requests_of(entra, only_problems=False):
    with tenant_scope(entra.company.scope):
        rows = directory.last_requests(entra.client, only_problems)
        return [(row.method, row.path, row.status, row.problem) for row in rows]


def by_tomas(company):
    return company.people["tomas"].actor("page", signed_in=JUST_NOW)


def test_secrets_are_shown_once_and_kept_as_digests(entra, acme, facts):
    with tenant_scope(acme.scope):
        row = DirectoryClient.objects.get()

    assert entra.token.startswith("csd_")
    assert entra.secret.startswith("cso_")
    assert entra.token.startswith(row.token_hint)
    assert len(row.token_hint) == 10
    kept = json.dumps({name: str(value) for name, value in vars(row).items()})
    said = json.dumps(facts(acme, "directory.change"))
    for secret in (entra.token, entra.secret):
        assert secret not in kept + said


def test_only_an_admin_lets_a_directory_in_and_a_name_is_needed(in_acme, entries):
    for name in ("ada", "bo"):
        with pytest.raises(Denied):
            directory.add_client("Entra", by=in_acme.people[name].actor("page", signed_in=JUST_NOW))
    for wrong in ("  ", "x" * 101):
        with pytest.raises(BadRequest):
            directory.add_client(wrong, by=by_tomas(in_acme))

    assert not directory.clients().exists()
    assert entries(in_acme)[-2:] == [("directory.change.denied", "denied")] * 2


def test_a_revoked_directory_is_out_with_everything_it_was_given(entra, acme, entries):
    token = access(entra).json()["access_token"]
    assert ask_with(entra, entra.token).status_code == 200
    assert ask_with(entra, token).status_code == 200

    with tenant_scope(acme.scope):
        directory.revoke_client(entra.client, by=by_tomas(acme))
        with pytest.raises(Conflict):
            directory.revoke_client(entra.client, by=by_tomas(acme))
        with pytest.raises(Conflict):
            directory.renew_client(entra.client, by=by_tomas(acme))

    for secret in (entra.token, token):
        answer = ask_with(entra, secret)
        assert answer.status_code == 401
        assert "revoked" in answer.json()["detail"]
    assert access(entra).status_code == 401
    assert entries(acme)[-3:] == [("directory.sync.denied", "denied")] * 3
    assert "revoked" in requests_of(entra)[0][3]


def test_new_secrets_end_the_old_ones_at_once(entra, acme):
    token = access(entra).json()["access_token"]

    with tenant_scope(acme.scope):
        _, new_token, new_secret = directory.renew_client(entra.client, by=by_tomas(acme))

    assert ask_with(entra, entra.token).status_code == 401
    assert ask_with(entra, token).status_code == 401
    assert access(entra).status_code == 401
    assert ask_with(entra, new_token).status_code == 200
    assert access(entra, client_secret=new_secret).status_code == 200


def test_secrets_expire(entra, acme):
    token = access(entra).json()["access_token"]
    with tenant_scope(acme.scope):
        row = DirectoryClient.objects.get()
        assert timedelta(days=364) < row.expires_at - timezone.now() <= timedelta(days=365)
        DirectoryClient.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

    for secret in (entra.token, token):
        assert ask_with(entra, secret).status_code == 401
    assert access(entra).status_code == 401


def test_an_access_token_is_good_for_an_hour(entra, monkeypatch):
    answer = access(entra)
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "no-store"
    assert (answer.json()["token_type"], answer.json()["expires_in"]) == ("Bearer", 3600)
    token = answer.json()["access_token"]
    assert ask_with(entra, token).status_code == 200

    monkeypatch.setattr(directory, "ACCESS_SECONDS", -1)
    assert ask_with(entra, token).status_code == 401


def test_oauth_credentials_come_in_the_header_or_the_body(entra):
    pair = b64encode(f"{entra.client.pk}:{entra.secret}".encode()).decode()

    by_header = entra.http.post(
        "/scim/oauth/token",
        {"grant_type": "client_credentials"},
        headers={"Authorization": f"Basic {pair}"},
    )

    assert by_header.status_code == access(entra).status_code == 200


@pytest.mark.parametrize(
    ("also", "status", "error"),
    [
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"grant_type": ""}, 400, "unsupported_grant_type"),
        ({"client_secret": "cso_wrong"}, 401, "invalid_client"),
        ({"client_secret": ""}, 401, "invalid_client"),
        ({"client_id": "nonsense"}, 401, "invalid_client"),
        ({"client_id": "00000000-0000-4000-8000-000000000000"}, 401, "invalid_client"),
    ],
)
def test_wrong_oauth_credentials_get_nothing(entra, acme, entries, also, status, error):
    answer = access(entra, **also)

    assert (answer.status_code, answer.json()) == (status, {"error": error})
    if status == 401:
        assert entries(acme)[-1] == ("directory.sync.denied", "denied")


def test_a_malformed_authorization_header_at_the_token_endpoint_is_refused(entra):
    for header in ("Basic", "Basic !!", "Basic /w==", "Bearer x"):
        answer = entra.http.post(
            "/scim/oauth/token",
            {"grant_type": "client_credentials"},
            headers={"Authorization": header},
        )
        assert answer.status_code == 401
        assert ("WWW-Authenticate" in answer) == header.startswith("Basic")
    assert entra.http.get("/scim/oauth/token").status_code == 405


def test_an_empty_secret_opens_nothing_even_where_none_is_kept(entra, acme):
    with tenant_scope(acme.scope):
        DirectoryClient.objects.update(token_digest="", secret_digest="")

    assert ask_with(entra, "").status_code == 401
    assert ask_with(entra, "csd_").status_code == 401
    assert access(entra, client_secret="").status_code == 401


def test_eves_secrets_are_noise_at_acmes_door(entra, globex, acme, entries):
    eves = let_in(globex)
    eves_access = access(eves).json()["access_token"]
    assert ask_with(eves, eves_access).status_code == 200

    answers = [ask_with(entra, secret) for secret in (eves.token, eves_access, "csd_nobodys")]

    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert (
        access(entra, client_id=str(eves.client.pk), client_secret=eves.secret).status_code == 401
    )
    assert entries(acme)[-4:] == [("directory.sync.denied", "denied")] * 4


def test_a_signed_in_admin_is_nobody_at_the_directorys_door(acme, sign_in):
    assert sign_in(acme, "tomas").get("/scim/v2/Users").status_code == 401


def test_guessing_is_slowed_down_and_work_is_not(entra, acme, entries, monkeypatch):
    from limits import parse

    from portal import limits

    monkeypatch.setitem(limits.ALLOWED, "token", parse("2/minute"))

    statuses = [ask_with(entra, "csd_guess").status_code for _ in range(4)]
    refused = ask_with(entra, "csd_guess")

    assert statuses == [401, 401, 429, 429]
    assert int(refused["Retry-After"]) > 0
    assert refused["Content-Type"] == "application/scim+json"
    assert access(entra).status_code == 429
    assert entries(acme).count(("directory.sync.denied", "denied")) == 2
    assert {ask_with(entra, entra.token).status_code for _ in range(5)} == {200}


# What nobody should send, and everybody can. (method, path, body)
MALFORMED = [
    ("POST", "/Users", b""),
    ("POST", "/Users", b"{"),
    ("POST", "/Users", b"\xff\xfe"),
    ("POST", "/Users", b"null"),
    ("POST", "/Users", b"[]"),
    ("POST", "/Users", b"[" * 100_000),
    ("POST", "/Users", b'{"schemas": ["' + USER.encode() + b'"], "userName": "\\ud800"}'),
    ("POST", "/Users", {"schemas": [USER]}),
    ("POST", "/Users", {"schemas": [USER], "userName": ""}),
    ("POST", "/Users", {"schemas": [USER], "userName": None}),
    ("POST", "/Users", {"schemas": [USER], "userName": "a\x00b"}),
    ("POST", "/Users", {"schemas": [USER], "userName": "a", "title": "a\x00b"}),
    ("POST", "/Users", {"schemas": [USER], "userName": "x" * 300}),
    ("POST", "/Users", {"schemas": [USER], "userName": "x", "externalId": "y" * 300}),
    ("POST", "/Users", {"schemas": [USER], "userName": "x", "displayName": "y" * 300}),
    ("POST", "/Users", {"schemas": [USER], "userName": ["x"]}),
    ("POST", "/Users", {"schemas": [USER], "userName": "x", "emails": "y"}),
    ("POST", "/Users", {"schemas": [USER], "userName": "x", "emails": [1]}),
    ("POST", "/Users", {"schemas": [USER], "userName": "x", "active": "perhaps"}),
    ("POST", "/Users", {"schemas": [USER], "userName": "x", "name": []}),
    ("POST", "/Groups", {"schemas": [GROUP]}),
    ("POST", "/Groups", {"schemas": [GROUP], "displayName": " "}),
    ("POST", "/Groups", {"schemas": [GROUP], "displayName": "g", "members": [{}]}),
    ("POST", "/Groups", {"schemas": [GROUP], "displayName": "g", "members": [{"value": "x"}]}),
    ("POST", "/Groups", {"schemas": [GROUP], "displayName": "g", "members": "all"}),
    ("POST", "/Groups", {"schemas": [GROUP], "displayName": "g" * 300}),
    ("PUT", "/Users/{id}", b"{"),
    ("PUT", "/Users/{id}", {"schemas": [USER]}),
    ("PATCH", "/Users/{id}", b"{"),
    ("PATCH", "/Users/{id}", b"[" * 100_000),
    ("PATCH", "/Users/{id}", {}),
    ("PATCH", "/Users/{id}", {"schemas": [PATCH]}),
    ("PATCH", "/Users/{id}", {"schemas": [PATCH], "Operations": "x"}),
    ("PATCH", "/Users/{id}", {"schemas": [PATCH], "Operations": [1]}),
    ("PATCH", "/Users/{id}", {"schemas": [PATCH], "Operations": [{"op": "melt"}]}),
    ("PATCH", "/Users/{id}", {"schemas": [PATCH], "Operations": [{"op": "add", "path": "]["}]}),
    ("PATCH", "/Users/{id}", {"schemas": [PATCH], "Operations": [{"op": "remove"}]}),
    (
        "PATCH",
        "/Users/{id}",
        {"schemas": [PATCH], "Operations": [{"op": "replace", "path": "active", "value": "maybe"}]},
    ),
    (
        "PATCH",
        "/Users/{id}",
        {"schemas": [PATCH], "Operations": [{"op": "remove", "path": "userName"}]},
    ),
    (
        "PATCH",
        "/Groups/{group}",
        {"schemas": [PATCH], "Operations": [{"op": "add", "path": "members", "value": [None]}]},
    ),
    (
        "PATCH",
        "/Groups/{group}",
        {
            "schemas": [PATCH],
            "Operations": [{"op": "add", "path": "members", "value": [{"value": "{id}0"}]}],
        },
    ),
    ("GET", "/Users?filter=userName", None),
    ("GET", "/Users?filter=" + "(" * 5000, None),
    ("GET", '/Users?filter=nothing eq "x"', None),
    ("GET", "/Users?sortBy=nothing", None),
    ("GET", "/Users?startIndex=x", None),
    ("GET", "/Users?count=99999999999999999999999", None),
    ("GET", "/Users?startIndex=99999999999999999999999", None),
    ("GET", "/Users?startIndex=9223372036854775807&count=5", None),
    ("GET", "/Users/not-an-id", None),
    ("GET", "/Users/{group}", None),
    ("GET", "/Nothing", None),
    ("GET", "/Me", None),
    ("POST", "/Bulk", {"schemas": [], "Operations": []}),
    ("DELETE", "/Users", None),
    ("PUT", "/Users/", {"schemas": [USER], "userName": "x"}),
    ("MELT", "/Users", None),
    ("POST", "/.search", b"{"),
]


@pytest.mark.parametrize(("method", "path", "body"), MALFORMED)
def test_what_makes_no_sense_is_refused_and_changes_nothing(entra, method, path, body):
    person, group = entra.add("ada.l@acme.example"), entra.add_group("Developers")
    path = path.replace("{id}", person["id"]).replace("{group}", group["id"])

    answer = entra.ask(method, path, body)

    # A page beyond the last one is empty, however far beyond.
    assert answer.status_code in {400, 404, 405, 501} or "=9" in path
    if answer.status_code >= 400:
        assert answer.json()["status"] == str(answer.status_code)
        assert requests_of(entra)[0][3]
    assert entra.read(f"/Users/{person['id']}") == person
    assert entra.read("/Users")["totalResults"] == entra.read("/Groups")["totalResults"] == 1


def test_more_than_anybody_needs_is_refused_at_the_door(entra):
    answer = entra.ask("POST", "/Users", b" " * (8 * 2**20 + 1))

    assert answer.status_code == 413


def test_a_group_larger_than_a_form_may_be_is_accepted(entra):
    body = {"schemas": [GROUP], "displayName": "Everybody", "unknown": "x" * (3 * 2**20)}

    assert entra.ask("POST", "/Groups", body).status_code == 201


def test_another_type_of_content_is_refused(entra):
    answer = entra.http.post(
        "/scim/v2/Users",
        {"userName": "x"},
        headers={"Authorization": f"Bearer {entra.token}"},
    )

    assert answer.status_code == 415


def test_an_admin_reads_what_went_wrong_in_plain_words(entra):
    entra.add("ada.l@acme.example")
    entra.ask("POST", "/Users", {"schemas": [USER], "userName": "ADA.L@acme.example"})
    entra.ask("GET", '/Users?filter=userName eq "nobody"')

    assert requests_of(entra) == [
        ("GET", '/Users?filter=userName eq "nobody"', 200, ""),
        (
            "POST",
            "/Users",
            409,
            "Somebody else has this name, address or id already:"
            " there is another person with the userName ADA.L@acme.example",
        ),
        ("POST", "/Users", 201, ""),
    ]
    assert len(requests_of(entra, only_problems=True)) == 1


def test_a_bug_of_ours_is_among_the_problems_too(entra, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("on fire")

    monkeypatch.setattr("authz.provisioning.add_person", broken)
    with pytest.raises(RuntimeError):
        entra.add("ada.l@acme.example")

    assert requests_of(entra)[0][2:] == (500, "Something broke on our side")


def test_old_requests_are_forgotten_the_ones_that_failed_later_than_the_others(
    entra, acme, monkeypatch
):
    monkeypatch.setattr(directory, "KEPT", 3)
    entra.ask("GET", "/Users/nobody")
    for _ in range(6):
        entra.read("/Groups")

    assert [status for _, _, status, _ in requests_of(entra)] == [200, 200, 200, 404]
    for _ in range(4):
        entra.ask("GET", "/Users/nobody")
    assert [status for _, _, status, _ in requests_of(entra)] == [404, 404, 404, 200, 200, 200]
    with tenant_scope(acme.scope):
        assert DirectoryRequest.objects.count() == 6


def test_use_is_remembered_to_the_minute(entra, acme):
    def used_at():
        with tenant_scope(acme.scope):
            return DirectoryClient.objects.get().used_at

    assert used_at() is None
    entra.read("/Users")
    first = used_at()
    entra.read("/Users")
    assert used_at() == first is not None

    with tenant_scope(acme.scope):
        DirectoryClient.objects.update(used_at=first - timedelta(minutes=2))
    entra.read("/Users")
    assert used_at() >= first


def test_a_suspended_workspace_is_closed_for_its_directory_too(entra, acme):
    import os

    import psycopg

    with psycopg.connect(os.environ["DATABASE_OWNER_URL"]) as owner:
        owner.execute(
            "UPDATE public.cells_tenant SET suspended_at = now() WHERE slug = %s", [acme.slug]
        )

    assert entra.ask("GET", "/Users").status_code == 503
    assert access(entra).status_code == 503


def test_a_new_person_is_told_to_be_active_and_a_group_of_many_is_listed_without_its_members(
    entra, django_assert_max_num_queries
):
    people = [entra.add(f"person{number}@acme.example") for number in range(3)]
    entra.add_group("Everybody", *people)

    assert {person["active"] for person in people} == {True}
    assert "members" not in entra.read("/Groups?attributes=displayName")["Resources"][0]
    assert "members" not in entra.read("/Groups?excludedAttributes=members")["Resources"][0]
    assert len(entra.read("/Groups?attributes=members")["Resources"][0]["members"]) == 3
    with django_assert_max_num_queries(10):
        entra.read("/Users?count=100")
