"""The API for sign-in, directory, groups, sessions, tokens: what the pages do, for programs."""

import json
from uuid import uuid4

import pytest
from django.test import Client

from authz import directory, providers
from authz.identities import Claimed
from authz.models import ApiToken, Grant, GroupRole
from authz.tokens import token_of
from tenants.models import DirectoryClient, Identity, IdentityProvider, Session, User
from tenants.scope import tenant_scope
from tests.at_browser import JUST_NOW

API = "/api/v1"
PROBLEM = "application/problem+json"
TOKEN = {"name": "export", "scopes": ["task.view"], "days": 30}
DRAFT = {
    "protocol": "oidc",
    "name": "Northwind ID",
    "discovery_url": "https://id.northwind.example/.well-known/openid-configuration",
    "client_id": "countersign",
    "client_secret": "a-secret-of-the-customer",
}


def call(client: Client, method: str, path: str, body: object = None, **headers: str):
    options = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
    return getattr(client, method)(API + path, headers=headers, **options)


@pytest.fixture
def tomas(acme, sign_in):
    return sign_in(acme, "tomas")


@pytest.fixture
def known(acme, tomas, sign_in):
    """One of everything, at acme: path names -> ids."""
    made = {
        "provider": call(tomas, "post", "/sign-in/providers", DRAFT).json()["id"],
        "client": call(tomas, "post", "/directory/clients", {"name": "Okta"}).json()["id"],
    }
    service = {"name": "runner", "roles": ["developer"]}
    made["account"] = call(tomas, "post", "/services", service).json()["id"]
    token = call(tomas, "post", "/tokens", TOKEN | {"account": made["account"]})
    made["token"] = token.json()["id"]
    sign_in(acme, "lin").get("/")
    with tenant_scope(acme.scope):
        made["session"] = str(Session.objects.get(user=acme.people["lin"]).handle)
    made["member"] = str(acme.people["lin"].pk)
    return made


def test_my_sessions_are_listed_and_can_be_ended(acme, sign_in, entries):
    here, there = sign_in(acme, "ada"), sign_in(acme, "ada")

    listed = call(here, "get", "/sessions").json()
    other = next(row for row in listed if not row["this_one"])
    ended = call(here, "delete", f"/sessions/{other['id']}")

    assert [row["this_one"] for row in listed].count(True) == 1
    assert ended.status_code == 204
    assert call(there, "get", "/me").status_code == 401
    sign_in(acme, "ada")
    assert call(here, "delete", "/sessions").json() == {"ended": 1}
    assert call(here, "get", "/me").status_code == 200
    assert entries(acme)[-2:] == [("session.end", "ok")] * 2


def test_an_admin_signs_somebody_out_everywhere(acme, tomas, sign_in):
    lin = sign_in(acme, "lin")

    ended = call(tomas, "delete", f"/members/{acme.people['lin'].pk}/sessions")

    assert ended.json() == {"ended": 1}
    assert lin.get("/").status_code == 302


def test_a_token_is_in_one_answer_only_and_acts_as_its_maker(acme, sign_in, entries):
    bo = sign_in(acme, "bo")

    made = call(bo, "post", "/tokens", TOKEN)
    secret = made.json()["secret"]
    listed = call(bo, "get", "/tokens")
    me = call(Client(headers={"host": acme.host}), "get", "/me", authorization=f"Bearer {secret}")
    revoked = call(bo, "delete", f"/tokens/{made.json()['id']}")

    assert (made.status_code, made["Cache-Control"]) == (201, "no-store")
    assert secret not in listed.content.decode()
    assert listed.json()["items"][0]["hint"] == secret[:10]
    assert me.json()["name"] == "Bo"
    assert revoked.status_code == 204
    with tenant_scope(acme.scope):
        assert token_of(secret) is None
    assert call(bo, "delete", f"/tokens/{made.json()['id']}").status_code == 409
    assert ("token.create", "ok") in entries(acme)


def test_a_token_makes_no_tokens_and_reads_no_sessions(acme, sign_in, entries):
    secret = call(sign_in(acme, "tomas"), "post", "/tokens", TOKEN).json()["secret"]
    program = Client(headers={"host": acme.host})

    answers = [
        call(program, method, path, body, authorization=f"Bearer {secret}")
        for method, path, body in (
            ("get", "/tokens", None),
            ("post", "/tokens", TOKEN),
            ("get", "/sessions", None),
            ("delete", "/sessions", None),
            ("get", "/sign-in/providers", None),
            ("post", "/directory/clients", {"name": "Mine"}),
        )
    ]

    assert [answer.status_code for answer in answers] == [403] * 6
    assert "without leave" in answers[0].json()["detail"]
    assert [outcome for _, outcome in entries(acme)][-6:] == ["denied"] * 6


def test_nobody_makes_a_token_for_somebody_else(acme, tomas):
    lin = str(acme.people["lin"].pk)

    assert call(tomas, "post", "/tokens", TOKEN | {"account": lin}).status_code == 404
    wrong = call(tomas, "post", "/tokens", TOKEN | {"days": 366, "scopes": []})
    assert (wrong.status_code, set(wrong.json()["errors"])) == (422, {"days", "scopes"})


def test_a_service_account_gets_a_token_of_its_own(acme, tomas, known):
    listed = call(tomas, "get", f"/tokens?account={known['account']}").json()
    services = call(tomas, "get", "/services").json()

    assert [row["id"] for row in listed["items"]] == [known["token"]]
    assert {row["kind"] for row in services["items"]} == {"service", "agent"}
    with tenant_scope(acme.scope):
        service = User.objects.get(kind=User.Kind.SERVICE)
        assert ApiToken.objects.get().user == service


def test_a_provider_is_drafted_changed_and_removed_and_its_secret_never_shown(acme, tomas):
    made = call(tomas, "post", "/sign-in/providers", DRAFT).json()
    path = f"/sign-in/providers/{made['id']}"
    changed = call(tomas, "patch", path, {"groups_claim": "groups"})
    wrong = call(tomas, "patch", path, {"discovery_url": "nonsense"})
    early = call(tomas, "put", f"{path}/activation")
    everything = made, changed.json(), call(tomas, "get", path).json()
    removed = call(tomas, "delete", path)

    assert made["ours"]["redirect_uri"] == f"http://{acme.host}/signin/oidc/callback/"
    assert (made["state"], made["tested"], made["missing"]) == ("draft", False, [])
    assert changed.json()["groups_claim"] == "groups"
    assert changed.json()["client_id"] == "countersign"
    assert (wrong.status_code, set(wrong.json()["errors"])) == (422, {"discovery_url"})
    assert early.status_code == 409
    assert DRAFT["client_secret"] not in json.dumps(everything)
    assert removed.status_code == 204
    assert call(tomas, "get", path).status_code == 404


def test_a_tested_provider_is_switched_on_and_off(acme, tomas, known, entries):
    with tenant_scope(acme.scope):
        provider = IdentityProvider.objects.get()
        by = acme.people["tomas"].actor("page", signed_in=JUST_NOW)
        providers.remember_test(provider, Claimed("https://id", "tomas"), by=by)
    path = f"/sign-in/providers/{known['provider']}"

    on = call(tomas, "put", f"{path}/activation")
    locked = call(tomas, "patch", path, {"client_id": "evil"})
    kept = call(tomas, "delete", path)
    off = call(tomas, "delete", f"{path}/activation")

    assert (on.status_code, on.json()["state"]) == (200, "on")
    assert (locked.status_code, kept.status_code) == (409, 409)
    assert off.json()["state"] == "draft"
    assert entries(acme)[-1] == ("provider.change", "ok")
    with tenant_scope(acme.scope):
        assert Identity.objects.get().user == acme.people["tomas"]


def test_directories_are_let_in_renewed_and_revoked(acme, tomas, known, entries):
    path = f"/directory/clients/{known['client']}"
    with tenant_scope(acme.scope):
        client = DirectoryClient.objects.get()
        directory.remember_request(client, "POST", "/scim/v2/Users", 409, "taken")
        directory.remember_request(client, "GET", "/scim/v2/Users", 200, "")

    renewed = call(tomas, "post", f"{path}/renewal")
    wrong = call(tomas, "get", f"{path}/requests?only_problems=true").json()
    every = call(tomas, "get", f"{path}/requests").json()
    revoked = call(tomas, "delete", path)

    assert renewed["Cache-Control"] == "no-store"
    with tenant_scope(acme.scope):
        assert directory.client_of(renewed.json()["token"]) == client
    assert [row["problem"] for row in wrong["items"]] == ["taken"]
    assert every["count"] == 2
    assert revoked.status_code == 204
    assert call(tomas, "post", f"{path}/renewal").status_code == 409
    assert renewed.json()["token"] not in call(tomas, "get", "/directory/clients").content.decode()


def test_a_group_is_previewed_then_mapped(acme, tomas, entries):
    with tenant_scope(acme.scope):
        Identity.objects.create(
            user=acme.people["bo"], issuer="https://id", subject="bo", groups=["Engineering"]
        )
    wanted = {"group": "Engineering", "roles": ["auditor"]}

    effects = call(tomas, "post", "/directory/groups/effects", wanted).json()
    with tenant_scope(acme.scope):
        assert not GroupRole.objects.exists()
    saved = call(tomas, "put", "/directory/groups/meaning", wanted)
    listed = call(tomas, "get", "/directory/groups").json()
    wide = call(
        tomas,
        "put",
        "/directory/groups/meaning",
        wanted | {"project": str(acme.project.pk)},
    )

    assert [effect["person"]["name"] for effect in effects] == ["Bo"]
    assert effects[0]["gains"] == [{"role": "auditor", "project_id": None}]
    assert saved.status_code == 204
    assert listed == [
        {"group": "Engineering", "people": 1, "roles": [{"role": "auditor", "project": None}]}
    ]
    assert wide.status_code == 422
    with tenant_scope(acme.scope):
        assert Grant.objects.get(user=acme.people["bo"], role="auditor").source == "sso"


DOORS = [
    ("get", "/sign-in/providers", None),
    ("post", "/sign-in/providers", DRAFT),
    ("get", "/sign-in/providers/{provider}", None),
    ("patch", "/sign-in/providers/{provider}", {"name": "Evil"}),
    ("delete", "/sign-in/providers/{provider}", None),
    ("put", "/sign-in/providers/{provider}/activation", None),
    ("delete", "/sign-in/providers/{provider}/activation", None),
    ("get", "/directory/clients", None),
    ("post", "/directory/clients", {"name": "Mine"}),
    ("post", "/directory/clients/{client}/renewal", None),
    ("delete", "/directory/clients/{client}", None),
    ("get", "/directory/clients/{client}/requests", None),
    ("get", "/directory/groups", None),
    ("post", "/directory/groups/effects", {"group": "All", "roles": ["auditor"]}),
    ("put", "/directory/groups/meaning", {"group": "All", "roles": ["auditor"]}),
    ("get", "/services", None),
    ("post", "/services", {"name": "mine", "roles": ["auditor"]}),
    ("get", "/tokens?account={account}", None),
    ("post", "/tokens", TOKEN | {"account": "{account}"}),
    ("delete", "/members/{member}/sessions", None),
    ("delete", "/tokens/{token}", None),
    ("delete", "/sessions/{session}", None),
]
# Of these, others may not even know that they are there.
UNKNOWN = {"/tokens/{token}", "/sessions/{session}"}


def filled(body, known):
    return json.loads(json.dumps(body).replace("{account}", known["account"]))


@pytest.mark.parametrize(("method", "path", "body"), DOORS)
def test_only_an_admin_of_this_tenant_gets_through(
    acme, globex, sign_in, known, entries, method, path, body
):
    before, absent = entries(acme), {name: str(uuid4()) for name in known}

    for name in ("bo", "iris"):
        answer = call(sign_in(acme, name), method, path.format(**known), filled(body, known))
        assert answer.status_code == (404 if path in UNKNOWN else 403)
        assert answer["Content-Type"] == PROBLEM
        if path not in UNKNOWN:
            assert entries(acme)[-1][1] == "denied"
    nobody = call(sign_in(acme), method, path.format(**known), filled(body, known))
    assert (nobody.status_code, nobody["Content-Type"]) == (401, PROBLEM)
    after = entries(acme)
    assert {outcome for _, outcome in after[len(before) :]} <= {"denied"}
    if "{" in path or "{" in json.dumps(body)[1:]:
        stranger = sign_in(globex, "tomas")
        theirs = call(stranger, method, path.format(**known), filled(body, known))
        missing = call(stranger, method, path.format(**absent), filled(body, absent))
        assert theirs.status_code == missing.status_code == 404
        assert theirs.json() | {"instance": ""} == missing.json() | {"instance": ""}
    assert entries(acme) == after
