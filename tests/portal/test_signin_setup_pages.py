"""Connecting single sign-on: drafts, our values, the test sign-in, switching on and off."""

import re
from uuid import uuid4

import pytest
from django.test import override_settings

from authz import groups, people, providers
from authz.identities import Claimed
from authz.roles import Role
from tenants.models import Identity, IdentityProvider
from tenants.scope import tenant_scope
from tests.at_browser import JUST_NOW

SECRET = "a-secret-of-the-customer"
OIDC = {
    "name": "Northwind ID",
    "discovery_url": "https://id.northwind.example/.well-known/openid-configuration",
    "client_id": "countersign",
    "client_secret": SECRET,
    "scopes": "openid email profile",
    "email_claim": "email",
    "name_claim": "name",
    "groups_claim": "groups",
    "directory_claim": "",
    "first_role": "",
}
METADATA = """<?xml version="1.0"?>
<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata"
    xmlns:ds="http://www.w3.org/2000/09/xmldsig#" entityID="https://id.northwind.example/saml">
  <md:IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">
    <md:KeyDescriptor use="signing"><ds:KeyInfo><ds:X509Data><ds:X509Certificate>
      {certificate}
    </ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>
    <md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
      Location="https://id.northwind.example/saml/sso"/>
  </md:IDPSSODescriptor>
</md:EntityDescriptor>"""


def begin(client, protocol="oidc", at="other"):
    """A draft, begun on the page; its address."""
    answer = client.post("/settings/sign-in/", {"protocol": protocol, "at": at})
    assert answer.status_code == 302, answer.content.decode()
    return answer.url


def provider_at(company, address):
    with tenant_scope(company.scope):
        return IdentityProvider.objects.get(pk=address.split("/")[3])


def claimed_by(company, who, **other):
    facts = {
        "issuer": "https://id.northwind.example",
        "subject": f"subject-of-{who}",
        "email": company.people[who].email,
        "email_verified": True,
        "name": who.capitalize(),
        "groups": ("Engineering", "Chess club"),
    } | other
    return Claimed(
        **facts, claims={"email": facts["email"], "acr": "mfa", "groups": list(facts["groups"])}
    )


def came_back(company, address, claimed, by="tomas"):
    """As if `by` had done a test sign-in that brought `claimed` back."""
    provider = provider_at(company, address)
    with tenant_scope(company.scope):
        providers.remember_test(
            provider, claimed, by=company.people[by].actor("page", signed_in=JUST_NOW)
        )


@pytest.fixture
def tomas(acme, sign_in):
    return sign_in(acme, "tomas")


@pytest.fixture
def draft(acme, tomas):
    """The address of a draft that is filled in."""
    address = begin(tomas)
    assert tomas.post(address, OIDC).status_code == 302
    return address


def test_a_new_draft_shows_our_values_and_the_steps_before_it_asks_for_theirs(acme, tomas, entries):
    address = begin(tomas, "oidc", "keycloak")

    page = tomas.get(address).content.decode()

    assert f">http://{acme.host}/signin/oidc/callback/</textarea>" in page
    assert f">http://{acme.host}/signin/oidc/logout/</textarea>" in page
    assert "Valid redirect URIs" in page
    assert "Still missing: Discovery URL, Client ID" in page
    assert "Test sign-in</a>" not in page
    assert 'value="groups"' in page
    assert entries(acme)[-1] == ("provider.change", "ok")


def test_a_saml_draft_has_addresses_of_its_own(acme, tomas):
    first, second = begin(tomas, "saml", "okta"), begin(tomas, "saml", "entra")

    page = tomas.get(first).content.decode()

    number = first.split("/")[3]
    assert f">http://{acme.host}/signin/saml/{number}/acs/</textarea>" in page
    assert f">http://{acme.host}/signin/saml/{number}/metadata/</textarea>" in page
    assert second.split("/")[3] not in page
    assert "identity/claims/objectidentifier" in tomas.get(second).content.decode()


def test_settings_are_saved_and_the_client_secret_is_never_shown_again(acme, tomas, draft):
    page = tomas.get(draft).content.decode()

    assert 'value="countersign"' in page
    assert "One is stored, encrypted" in page
    assert SECRET not in page
    provider = provider_at(acme, draft)
    assert provider.client_secret not in page
    assert SECRET not in provider.client_secret
    with tenant_scope(acme.scope):
        assert providers.secret_of(provider, "client_secret") == SECRET


def test_an_empty_secret_field_keeps_the_stored_one(acme, tomas, draft):
    tomas.post(draft, OIDC | {"client_secret": "", "name": "Renamed"})

    with tenant_scope(acme.scope):
        provider = IdentityProvider.objects.get()
        assert (provider.name, providers.secret_of(provider, "client_secret")) == (
            "Renamed",
            SECRET,
        )


def test_what_was_typed_stays_when_it_cannot_be_used(acme, tomas, draft):
    typed = OIDC | {"discovery_url": "not an address", "client_id": "other", "name": ""}

    answer = tomas.post(draft, typed)

    page = answer.content.decode()
    assert answer.status_code == 422
    assert 'value="not an address"' in page
    assert 'value="other"' in page
    assert "no web address" in page
    assert "is empty" in page
    assert SECRET not in page
    assert provider_at(acme, draft).client_id == "countersign"


def test_pasted_metadata_fills_in_the_provider_s_values(acme, tomas):
    address = begin(tomas, "saml")
    own = provider_at(acme, address).signing_certificate
    certificate = "".join(own.splitlines()[1:-1])
    typed = {"name": "Northwind", "email_claim": "email", "name_claim": "name"}

    answer = tomas.post(address, typed | {"metadata": METADATA.format(certificate=certificate)})
    wrong = tomas.post(address, typed | {"metadata": "<html>"})

    assert answer.status_code == 302
    provider = provider_at(acme, address)
    assert provider.entity_id == "https://id.northwind.example/saml"
    assert provider.sso_url == "https://id.northwind.example/saml/sso"
    assert "BEGIN CERTIFICATE" in provider.certificates
    assert wrong.status_code == 422
    assert "&lt;html&gt;" in wrong.content.decode()
    assert "is not XML" in wrong.content.decode()


def test_without_a_key_for_secrets_nothing_is_stored_and_the_page_says_why(acme, tomas, draft):
    with override_settings(SECRETS_KEYS=[]):
        answer = tomas.post(draft, OIDC | {"client_id": "typed"})
        saml = tomas.post("/settings/sign-in/", {"protocol": "saml", "at": "okta"})

    assert (answer.status_code, saml.status_code) == (503, 503)
    for page in (answer.content.decode(), saml.content.decode()):
        assert "SECRETS_KEYS" in page
    assert 'value="typed"' in answer.content.decode()


def test_a_test_sign_in_shows_what_came_whom_it_reaches_and_what_they_would_be(acme, tomas, draft):
    with tenant_scope(acme.scope):
        groups.map_group(
            "Engineering",
            [Role.DEVELOPER],
            project=acme.project,
            by=acme.people["tomas"].actor("page", signed_in=JUST_NOW),
        )
        Identity.objects.create(
            user=acme.people["lin"],
            issuer="https://id.northwind.example",
            subject="subject-of-lin",
        )
    came_back(acme, draft, claimed_by(acme, "lin"))

    page = tomas.get(draft).content.decode()

    assert "<strong>Lin</strong>" in page
    assert "connected to this identity" in page
    assert re.search(r"Engineering</a>: Developer in Platform", page)
    assert re.search(r"Chess club</a>: <span[^>]*>means nothing here yet", page)
    assert re.search(r"Project admin in Platform.*?held already, by hand", page)
    assert "subject-of-lin" in page
    assert re.search(r"<code>acr</code></th><td[^>]*>mfa</td>", page)
    assert re.search(r"Engineering, Chess club</td><td[^>]*>groups</td>", page)


def test_a_test_sign_in_that_would_be_refused_says_why(acme, tomas, draft, entries):
    came_back(acme, draft, claimed_by(acme, "tomas"))
    before = entries(acme)

    page = tomas.get(draft).content.decode()

    assert "because: “an account with your address exists" in page
    assert "connects this identity to <strong>your</strong> account" in page
    assert entries(acme) == before


def test_a_test_sign_in_shows_a_new_account_with_its_first_role(acme, tomas, draft):
    tomas.post(draft, OIDC | {"create_people": "on", "first_role": "auditor"})
    came_back(acme, draft, claimed_by(acme, "tomas", email="kim@example.com", name="Kim"))

    page = tomas.get(draft).content.decode()

    assert "<strong>new account</strong> for Kim (kim@example.com)" in page
    assert "Auditor of the whole tenant, as every new account" in page


def test_it_is_switched_on_only_after_a_test_by_this_very_admin(acme, tomas, draft, entries):
    untested = tomas.post(f"{draft}switch/", {"on": ""}, follow=True).content.decode()
    came_back(acme, draft, claimed_by(acme, "tomas"))
    ready = tomas.get(draft).content.decode()
    tomas.post(draft, OIDC | {"client_id": "changed"})
    stale = tomas.get(draft).content.decode()
    refused = tomas.post(f"{draft}switch/", {"on": ""}, follow=True).content.decode()
    came_back(acme, draft, claimed_by(acme, "tomas"))
    done = tomas.post(f"{draft}switch/", {"on": ""}, follow=True).content.decode()

    assert "Nothing was changed: do a test sign-in yourself first" in untested
    assert "Switch it on" in ready
    assert "Switch it on" not in stale
    assert "connection was changed since" in stale
    assert "Nothing was changed" in refused
    assert "From now on everybody signs in with Northwind ID" in done
    assert provider_at(acme, draft).state == "on"
    assert entries(acme)[-1] == ("provider.change", "ok")
    with tenant_scope(acme.scope):
        assert Identity.objects.get(subject="subject-of-tomas").user == acme.people["tomas"]


def test_the_test_of_another_admin_is_not_enough(acme, sign_in, tomas, draft):
    with tenant_scope(acme.scope):
        people.change_roles(
            acme.people["iris"],
            [Role.TENANT_ADMIN],
            project=None,
            by=acme.people["tomas"].actor("page", signed_in=JUST_NOW),
        )
    came_back(acme, draft, claimed_by(acme, "tomas"))
    iris = sign_in(acme, "iris")

    page = iris.get(draft).content.decode()
    refused = iris.post(f"{draft}switch/", {"on": ""}, follow=True).content.decode()

    assert "Switch it on" not in page
    assert "Tomas did the last one" in page
    assert "Nothing was changed" in refused


def test_while_it_is_on_its_connection_cannot_be_changed_but_what_claims_mean_can(
    acme, tomas, draft
):
    came_back(acme, draft, claimed_by(acme, "tomas"))
    tomas.post(f"{draft}switch/", {"on": ""})

    page = tomas.get(draft).content.decode()
    saved = tomas.post(draft, OIDC | {"client_id": "evil", "groups_claim": "teams"})
    removed = tomas.post(f"{draft}remove/", follow=True).content.decode()

    assert 'name="client_id"' not in page
    assert saved.status_code == 302
    provider = provider_at(acme, draft)
    assert (provider.client_id, provider.groups_claim) == ("countersign", "teams")
    assert "Nothing was changed" in removed


def test_switching_off_and_removing_leave_no_way_in(acme, tomas, draft, entries):
    came_back(acme, draft, claimed_by(acme, "tomas"))
    tomas.post(f"{draft}switch/", {"on": ""})

    off = tomas.post(f"{draft}switch/", {"off": ""}, follow=True).content.decode()
    gone = tomas.post(f"{draft}remove/", follow=True).content.decode()

    assert "Nobody signs in with Northwind ID any more" in off
    assert "is removed" in gone
    assert tomas.get(draft).status_code == 404
    assert entries(acme)[-2:] == [("provider.change", "ok")] * 2


def test_the_list_and_the_overview_say_what_is_on(acme, tomas, draft):
    came_back(acme, draft, claimed_by(acme, "tomas"))
    before = tomas.get("/settings/").content.decode()
    tomas.post(f"{draft}switch/", {"on": ""})

    assert "1 draft." in before
    assert "everybody signs in with Northwind ID" in tomas.get("/settings/").content.decode()
    assert (
        "Everybody signs in with Northwind ID" in tomas.get("/settings/sign-in/").content.decode()
    )


@pytest.mark.parametrize("name", ["bo", "ada", "iris"])
def test_setting_up_sign_in_is_for_tenant_admins(acme, sign_in, draft, entries, name):
    client = sign_in(acme, name)

    statuses = [
        client.get("/settings/").status_code,
        client.get("/settings/sign-in/").status_code,
        client.post("/settings/sign-in/", {"protocol": "oidc"}).status_code,
        client.get(draft).status_code,
        client.post(draft, OIDC | {"name": "Evil"}).status_code,
        client.post(f"{draft}switch/", {"on": ""}).status_code,
        client.post(f"{draft}remove/").status_code,
    ]

    assert statuses == [403] * 7
    assert entries(acme)[-7:] == [("provider.change.denied", "denied")] * 7
    assert provider_at(acme, draft).name == "Northwind ID"
    assert 'href="/settings/"' not in client.get("/account/").content.decode()


def test_a_provider_of_another_tenant_does_not_exist(acme, globex, sign_in, draft, entries):
    before, stranger, absent = (
        entries(acme),
        sign_in(globex, "tomas"),
        f"/settings/sign-in/{uuid4()}/",
    )

    for path in (draft, absent):
        assert stranger.get(path).status_code == 404
        assert stranger.post(path, OIDC).status_code == 404
        assert stranger.post(f"{path}switch/", {"on": ""}).status_code == 404
        assert stranger.post(f"{path}remove/").status_code == 404
    assert sign_in(globex, "eve").get(draft).status_code == 403
    assert "Northwind" not in stranger.get("/settings/sign-in/").content.decode()
    assert entries(acme) == before


def test_nobody_is_sent_to_sign_in(acme, sign_in, draft):
    for path in ("/settings/", "/settings/sign-in/", draft):
        assert sign_in(acme).get(path).url.startswith("/signin/")
