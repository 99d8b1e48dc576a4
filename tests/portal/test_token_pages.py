"""Tokens and service accounts: made, shown once, listed, revoked."""

import re
from uuid import uuid4

import pytest

from authz.models import ApiToken, Grant
from authz.tokens import token_of
from tenants.models import User
from tenants.scope import tenant_scope

TOKEN = {"name": "nightly export", "days": "30", "scopes": ["task.view", "proposal.view"]}
SERVICE = {"name": "Releaser", "roles": ["developer"], "project": ""}


def secret_in(page):
    return re.search(r">(cst_[\w-]{43})</textarea>", page).group(1)


def service_of(company, client):
    """A service account, added on the page; its address."""
    return client.post("/settings/services/", SERVICE).url


def test_a_token_of_my_own_is_shown_once_and_works(acme, sign_in, entries):
    bo = sign_in(acme, "bo")

    answer = bo.post("/account/tokens/", TOKEN)
    secret = secret_in(answer.content.decode())

    assert answer.status_code == 200
    assert answer["Cache-Control"] == "no-store"
    assert "shown this once" in answer.content.decode()
    with tenant_scope(acme.scope):
        token = token_of(secret)
        assert token.user == acme.people["bo"]
        assert token.scopes == ["proposal.view", "task.view"]
    account = bo.get("/account/").content.decode()
    assert secret not in account
    assert secret[:10] in account
    assert "nightly export" in account
    assert entries(acme)[-1] == ("token.create", "ok")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": " "}, "is empty"),
        ({"days": "0"}, "must be 1 to 365"),
        ({"days": "366"}, "must be 1 to 365"),
        ({"days": "soon"}, "must be 1 to 365"),
        ({"scopes": []}, "choose at least one"),
        ({"scopes": ["emperor.crown"]}, "unknown"),
        ({"scopes": ["ledger.view"]}, "beyond what this account may do"),
        ({"scopes": ["proposal.countersign"]}, "beyond what this account may do"),
    ],
)
def test_a_token_that_cannot_be_made_says_which_field_and_keeps_what_was_typed(
    acme, sign_in, wrong, said
):
    answer = sign_in(acme, "bo").post("/account/tokens/", TOKEN | {"name": "export"} | wrong)

    page = answer.content.decode()
    assert answer.status_code == 422
    assert said in page
    assert "cst_" not in page
    if "name" not in wrong:
        assert 'value="export"' in page
    if "scopes" not in wrong:
        assert 'value="task.view" checked' in page
    with tenant_scope(acme.scope):
        assert not ApiToken.objects.exists()


def test_only_what_my_roles_allow_can_be_ticked(acme, sign_in):
    page = sign_in(acme, "iris").get("/account/").content.decode()

    assert 'value="ledger.view"' in page
    assert 'value="recommendation.create"' not in page
    assert 'value="proposal.countersign"' not in page


def test_a_revoked_token_works_no_more_and_stays_in_the_list(acme, sign_in, entries):
    bo = sign_in(acme, "bo")
    secret = secret_in(bo.post("/account/tokens/", TOKEN).content.decode())
    with tenant_scope(acme.scope):
        token = ApiToken.objects.get()

    page = bo.post(f"/tokens/{token.pk}/revoke/", follow=True).content.decode()
    again = bo.post(f"/tokens/{token.pk}/revoke/")

    assert "works no more" in page
    assert "Revoked" in page
    assert again.status_code == 409
    with tenant_scope(acme.scope):
        assert token_of(secret) is None
    assert entries(acme)[-2:] == [("token.revoke", "ok"), ("token.revoke.refused", "denied")]


def test_an_admin_adds_a_service_account_and_makes_its_token(acme, sign_in, entries):
    tomas = sign_in(acme, "tomas")

    address = service_of(acme, tomas)
    answer = tomas.post(address, TOKEN)
    listed = tomas.get("/settings/services/").content.decode()

    secret = secret_in(answer.content.decode())
    assert answer["Cache-Control"] == "no-store"
    with tenant_scope(acme.scope):
        service = User.objects.get(kind=User.Kind.SERVICE)
        assert token_of(secret).user == service
        assert Grant.objects.get(user=service).role == "developer"
    assert "Releaser" in listed
    assert secret not in listed + tomas.get(address).content.decode()
    assert [action for action, _ in entries(acme)][-2:] == ["service.create", "token.create"]


def test_an_admin_makes_a_token_for_an_agent(acme, sign_in):
    with tenant_scope(acme.scope):
        agent = User.objects.get(kind=User.Kind.AGENT)

    answer = sign_in(acme, "tomas").post(
        f"/settings/services/{agent.pk}/", TOKEN | {"scopes": ["task.view"]}
    )

    with tenant_scope(acme.scope):
        assert token_of(secret_in(answer.content.decode())).user == agent


@pytest.mark.parametrize(
    ("wrong", "status", "said"),
    [
        ({"name": "!"}, 422, "needs at least one letter"),
        ({"roles": []}, 422, "choose at least one"),
        ({"roles": ["agent"]}, 422, "cannot be handed out"),
        ({"name": "releaser"}, 409, "already"),
    ],
)
def test_a_service_account_that_cannot_be_added_keeps_what_was_typed(
    acme, sign_in, wrong, status, said
):
    tomas = sign_in(acme, "tomas")
    service_of(acme, tomas)

    answer = tomas.post("/settings/services/", SERVICE | {"name": "other"} | wrong)

    page = answer.content.decode()
    assert answer.status_code == status
    assert said in page
    assert f'value="{(SERVICE | {"name": "other"} | wrong)["name"]}"' in page


@pytest.mark.parametrize("name", ["bo", "ada", "iris"])
def test_programs_are_for_admins(acme, sign_in, entries, name):
    address = service_of(acme, sign_in(acme, "tomas"))
    sign_in(acme, "tomas").post(address, TOKEN)
    with tenant_scope(acme.scope):
        token = ApiToken.objects.get()
    client = sign_in(acme, name)

    statuses = [
        client.get("/settings/services/").status_code,
        client.post("/settings/services/", SERVICE | {"name": "mine"}).status_code,
        client.get(address).status_code,
        client.post(address, TOKEN).status_code,
    ]
    revoked = client.post(f"/tokens/{token.pk}/revoke/").status_code

    assert statuses == [403] * 4
    assert revoked == 404
    assert entries(acme)[-4:] == [("service.create.denied", "denied")] * 4
    with tenant_scope(acme.scope):
        assert ApiToken.objects.get().revoked_at is None


def test_a_token_of_a_colleague_cannot_be_revoked_by_another_but_by_an_admin(acme, sign_in):
    sign_in(acme, "bo").post("/account/tokens/", TOKEN)
    with tenant_scope(acme.scope):
        token = ApiToken.objects.get()

    assert sign_in(acme, "ada").post(f"/tokens/{token.pk}/revoke/").status_code == 404
    answer = sign_in(acme, "tomas").post(f"/tokens/{token.pk}/revoke/")
    assert answer.url == f"/people/{acme.people['bo'].pk}/sessions/"


def test_no_page_makes_a_token_that_acts_as_another_person(acme, sign_in):
    ada = acme.people["ada"].pk

    assert sign_in(acme, "tomas").get(f"/settings/services/{ada}/").status_code == 404
    assert sign_in(acme, "tomas").post(f"/settings/services/{ada}/", TOKEN).status_code == 404


def test_programs_and_tokens_of_another_tenant_do_not_exist(acme, globex, sign_in, entries):
    address = service_of(acme, sign_in(acme, "tomas"))
    sign_in(acme, "tomas").post(address, TOKEN)
    with tenant_scope(acme.scope):
        token = ApiToken.objects.get()
    before, stranger = entries(acme), sign_in(globex, "tomas")

    assert "Releaser" not in stranger.get("/settings/services/").content.decode()
    for answer in (
        stranger.get(address),
        stranger.post(address, TOKEN),
        stranger.post(f"/tokens/{token.pk}/revoke/"),
        sign_in(globex, "eve").post(f"/tokens/{token.pk}/revoke/"),
    ):
        assert answer.status_code == 404
    assert entries(acme) == before


def test_nobody_is_sent_to_sign_in_before_any_token(acme, sign_in):
    nobody = sign_in(acme)

    for path in ("/account/tokens/", "/settings/services/", f"/tokens/{uuid4()}/revoke/"):
        assert nobody.post(path, TOKEN).url.startswith("/signin/")
