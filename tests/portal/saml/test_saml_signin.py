"""Signing in with SAML when everything is in order, and what leads up to it."""

import base64
import re
import zlib
from datetime import timedelta
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from lxml import etree
from onelogin.saml2.xml_utils import OneLogin_Saml2_XML
from saml_forge import EMAIL, Asked, KeyPair, encoded

from authz import certificates, providers
from authz.errors import BadRequest, Conflict
from tenants.models import IdentityProvider, Session
from tests.at_browser import JUST_NOW

MD = "{urn:oasis:names:tc:SAML:2.0:metadata}"


def _fields(page):
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page))


def test_a_sound_answer_signs_in_whom_it_names(sign):
    asked = sign.ask(next="/people/")

    answer = sign.hand_in(sign.forge.sound(asked), asked.relay_state)

    assert (answer.status_code, answer["Location"]) == (302, "/people/"), answer.content.decode()
    assert sign.signed_in() == "Ada"
    assert sign.browser.get("/").status_code == 200
    with sign.pinned():
        session = Session.objects.get(user=sign.company.people["ada"])
    assert (session.way, session.provider_session) == ("saml", "s-1")
    assert session.identity_id is not None


def test_it_is_on_record_who_signed_in_how(sign, entries):
    asked = sign.ask()
    sign.hand_in(sign.forge.sound(asked), asked.relay_state)

    assert ("session.open", "ok") in entries(sign.company)
    with sign.pinned():
        from evidence.models import StagedEntry

        payloads = [bytes(entry.payload).decode() for entry in StagedEntry.objects.all()]
    assert any('"way":"saml"' in payload for payload in payloads)


def test_an_answer_from_another_site_is_sent_on_by_a_page_of_ours(sign):
    """Browsers keep our cookie from a form of another site, so the first time it is missing."""
    asked = sign.ask()
    message = encoded(sign.forge.sound(asked))
    before = sign.last_entry()
    form = {"SAMLResponse": message, "RelayState": asked.relay_state, "other": "x"}

    page = sign.post(form, sign.new_browser())

    assert page.status_code == 200
    assert page.cookies == {}  # nothing that would replace the cookie that is to come
    assert sign.last_entry() == before
    assert 'method="post"' in page.content.decode()
    assert "action=" not in page.content.decode()
    assert "portal/onward.js" in page.content.decode()
    assert ">Continue</button>" in page.content.decode()
    sent_on = _fields(page.content.decode())
    assert sent_on == {"SAMLResponse": message, "RelayState": asked.relay_state, "again": "1"}
    answer = sign.post(sent_on)
    assert (answer.status_code, sign.signed_in()) == (302, "Ada")


def test_the_page_that_sends_on_comes_once_and_escapes_what_it_carries(sign):
    form = {"SAMLResponse": '"><script>alert(1)</script>', "RelayState": "'\"<"}

    page = sign.post(form, sign.new_browser())
    again = sign.post({**form, "again": "1"}, sign.new_browser())

    assert "<script>alert" not in page.content.decode()
    assert (page.status_code, again.status_code) == (200, 403)


def test_with_its_cookie_an_answer_is_taken_at_once(sign):
    """As from a provider on the same site."""
    asked = sign.ask()

    form = {"SAMLResponse": encoded(sign.forge.sound(asked)), "RelayState": asked.relay_state}

    assert sign.post(form).status_code == 302
    assert sign.signed_in() == "Ada"


def test_a_new_certificate_is_accepted_beside_the_old_one_and_without_it(sign):
    old, new, curve = sign.forge.pair, KeyPair.new(), KeyPair.new(curve=True)
    both = old.certificate + "\n" + new.certificate + curve.certificate

    def sign_in_by(pair, method=None):
        browser = sign.new_browser()
        asked = sign.ask(browser)
        how = {"method": method} if method else {}
        message = sign.forge.signed(sign.forge.answer(asked), by=pair, **how)
        return sign.hand_in(message, asked.relay_state, browser).status_code

    import xmlsec

    sign.change(certificates=both)
    assert (sign_in_by(old), sign_in_by(new)) == (302, 302)
    assert sign_in_by(curve, xmlsec.Transform.ECDSA_SHA256) == 302
    sign.change(certificates=new.certificate)
    assert (sign_in_by(old), sign_in_by(new)) == (403, 302)


def test_a_whole_answer_may_be_signed_besides(sign):
    asked = sign.ask()
    message = sign.forge.sound(asked)
    sign.forge.sign(message)

    assert sign.hand_in(message, asked.relay_state).status_code == 302
    asked = sign.ask()
    message = sign.forge.sound(asked)
    sign.forge.sign(message, by=KeyPair.new())
    assert sign.hand_in(message, asked.relay_state).status_code == 403


@pytest.mark.parametrize(
    "changes",
    [
        {"not_before": timedelta(seconds=30)},
        {"until": timedelta(seconds=-10)},
        {"not_before": None, "until": None},
        {"attributes": {}},
        {"format": None},
        {"session_index": None},
    ],
)
def test_what_providers_may_leave_out_or_get_a_little_wrong(sign, changes):
    asked = sign.ask()

    assert sign.hand_in(sign.forge.sound(asked, **changes), asked.relay_state).status_code == 302


def test_unasked_answers_are_taken_where_the_tenant_wants_them(sign):
    sign.change(idp_initiated=True)

    answer = sign.hand_in(sign.forge.sound(sign.unasked()), browser=sign.new_browser())

    assert (answer.status_code, answer["Location"]) == (302, "/")


def _claims_of(sign, **changes):
    """What a test sign-in shows of an answer."""
    admin = sign.new_browser()
    with sign.pinned():
        admin.force_login(sign.company.people["tomas"])
    asked = Asked.by(admin.get(f"/settings/sign-in/{sign.provider.pk}/test/")["Location"])
    answer = sign.hand_in(sign.forge.sound(asked, **changes), asked.relay_state, admin)
    assert answer.status_code == 302, answer.content.decode()
    assert str(sign.provider.pk) in answer["Location"]
    assert sign.signed_in(admin) == "Tomas"
    with sign.pinned():
        return IdentityProvider.objects.get(pk=sign.provider.pk).tested_claims


def test_attributes_become_claims_by_their_name(sign):
    claims = _claims_of(
        sign,
        name_id="grace-1",
        attributes={
            "email": ["Grace@acme.example"],
            "name": ["Grace Hopper"],
            "groups": ["one", "two"],
            "groups ": ["not these"],
            "empty": [""],
        },
    )

    assert claims["issuer"] == sign.forge.entity_id
    assert claims["subject"] == "grace-1"
    assert (claims["email"], claims["email_verified"]) == ("Grace@acme.example", True)
    assert (claims["name"], claims["groups"]) == ("Grace Hopper", ["one", "two"])
    assert claims["claims"]["groups"] == ["one", "two"]


def test_attributes_become_claims_by_their_friendly_name_too(sign):
    claims = _claims_of(
        sign,
        attributes={},
        friendly=[
            ("urn:oid:0.9.2342.19200300.100.1.3", "email", "grace@acme.example"),
            ("urn:oid:1.3", "groups", "one"),
            ("urn:oid:1.3", "groups", "two"),
        ],
    )

    assert claims["email"] == "grace@acme.example"
    assert claims["groups"] == ["one", "two"]


def test_a_name_that_is_an_address_is_the_address_where_no_attribute_says_it(sign):
    claims = _claims_of(sign, name_id="grace@acme.example", format=EMAIL, attributes={})
    other = _claims_of(sign, name_id="grace@acme.example", attributes={})

    assert (claims["email"], claims["email_verified"]) == ("grace@acme.example", True)
    assert (other["email"], other["email_verified"]) == ("", False)


def test_the_question_is_signed_and_names_where_the_answer_goes(sign):
    address = sign.browser.get("/signin/start/")["Location"]
    assert address.startswith("https://idp.example/sso?tenant=1&from=here&SAMLRequest=")
    query = urlsplit(address).query
    said = parse_qs(query)
    request = etree.fromstring(zlib.decompress(base64.b64decode(said["SAMLRequest"][0]), -15))

    assert OneLogin_Saml2_XML.validate_xml(request, "saml-schema-protocol-2.0.xsd") is not None
    assert OneLogin_Saml2_XML.validate_xml(request, "saml-schema-protocol-2.0.xsd") != "invalid_xml"
    assert request.get("Destination") == "https://idp.example/sso?tenant=1&from=here"
    assert request.get("AssertionConsumerServiceURL").endswith(sign.address("acs"))
    assert "https" not in unquote(said["RelayState"][0])
    assert said["SigAlg"] == ["http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"]
    signed = re.search(r"(SAMLRequest=.*)&Signature=", query)[1]
    with sign.pinned():
        ours = x509.load_pem_x509_certificate(
            IdentityProvider.objects.get(pk=sign.provider.pk).signing_certificate.encode()
        )
    ours.public_key().verify(
        base64.b64decode(said["Signature"][0]), signed.encode(), padding.PKCS1v15(), hashes.SHA256()
    )


def test_our_metadata_says_what_a_provider_needs_and_nothing_more(sign):
    answer = sign.new_browser().get(sign.address("metadata"))
    root = etree.fromstring(answer.content)
    role = root[0]
    here = f"http://{sign.company.host}"

    assert answer["Content-Type"] == "application/samlmetadata+xml"
    assert OneLogin_Saml2_XML.validate_xml(root, "saml-schema-metadata-2.0.xsd") != "invalid_xml"
    assert dict(root.attrib) == {"entityID": here + sign.address("metadata")}
    assert (role.get("AuthnRequestsSigned"), role.get("WantAssertionsSigned")) == ("true", "true")
    assert [etree.QName(node).localname for node in role] == [
        "KeyDescriptor",
        "SingleLogoutService",
        "NameIDFormat",
        "AssertionConsumerService",
    ]
    assert [node.get("use") for node in role.iter(MD + "KeyDescriptor")] == ["signing"]
    assert role.find(MD + "AssertionConsumerService").get("Location") == here + sign.address("acs")
    assert role.find(MD + "SingleLogoutService").get("Location") == here + sign.address("logout")
    assert sign.company.people["tomas"].email not in answer.content.decode()


def test_only_saml_providers_have_saml_addresses(sign):
    sign.change(protocol="oidc")

    assert sign.browser.get(sign.address("metadata")).status_code == 404
    assert sign.hand_in("x").status_code == 404
    assert sign.browser.get(sign.address("logout")).status_code == 404


def test_each_provider_gets_a_key_of_its_own_that_is_kept_sealed(sign):
    from evidence.models import StagedEntry

    given = KeyPair.new()
    with sign.pinned():
        other = providers.draft_provider(
            "saml",
            {
                "name": "Second",
                "entity_id": "https://second.example",
                "sso_url": "https://second.example/sso",
                "certificates": given.certificate,
                "signing_key": given.key,
                "signing_certificate": given.certificate,
            },
            by=sign.company.people["tomas"].actor("page", signed_in=JUST_NOW),
        )
        first = IdentityProvider.objects.get(pk=sign.provider.pk)
        keys = [providers.secret_of(one, "signing_key") for one in (first, other)]
        recorded = b"".join(bytes(entry.payload) for entry in StagedEntry.objects.all())

    assert keys[0] != keys[1]
    assert given.key not in keys
    for provider, key in zip((first, other), keys, strict=True):
        assert key.startswith("-----BEGIN PRIVATE KEY-----")
        assert "PRIVATE" not in provider.signing_key
        assert provider.signing_key.encode() not in recorded
        [certificate] = certificates.read(provider.signing_certificate)
        loaded = x509.load_pem_x509_certificate(certificate.encode())
        assert loaded.public_key().key_size >= 3072
        assert (loaded.not_valid_after_utc - loaded.not_valid_before_utc).days > 3000
    assert b"PRIVATE" not in recorded


@pytest.mark.parametrize(
    ("pasted", "said"),
    [
        ("nonsense", "is not a certificate"),
        (KeyPair.new(1024).certificate, "has an RSA key of 1024 bits; expected 2048 or more"),
        (KeyPair.new().certificate * 11, "holds 11 certificates; expected at most 10"),
    ],
)
def test_what_is_no_good_certificate_cannot_be_stored(sign, pasted, said):
    admin = sign.company.people["tomas"].actor("page", signed_in=JUST_NOW)
    with sign.pinned(), pytest.raises(BadRequest) as refusal:
        providers.draft_provider("saml", {"name": "x", "certificates": pasted}, by=admin)

    assert said in refusal.value.errors["certificates"]


def test_the_certificates_of_a_provider_in_use_change_one_by_one(sign):
    """A second draft would have other addresses, which the provider does not know."""
    admin = sign.company.people["tomas"].actor("page", signed_in=JUST_NOW)
    old, new = sign.forge.pair.certificate, KeyPair.new().certificate

    def store(pasted, **more):
        with sign.pinned():
            provider = IdentityProvider.objects.get(pk=sign.provider.pk)
            return providers.change_provider(provider, {"certificates": pasted, **more}, by=admin)

    for pasted, more in [(new, {}), ("", {}), ("nonsense", {}), (old + new, {"entity_id": "x"})]:
        with pytest.raises(Conflict, match="in use"):
            store(pasted, **more)
    store(old + new)
    assert store(new).certificates.strip() == new.strip()
    assert sign.last_entry()["facts"]["changed"] == ["certificates"]


def test_a_draft_that_is_not_complete_sends_nobody_anywhere(sign):
    sign.change(sso_url="")

    answer = sign.browser.get("/signin/start/")

    assert answer.status_code == 403
    assert "This provider is not set up completely yet" in answer.content.decode()
    assert sign.last_entry()["action"] == "session.open.denied"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"sso_url": "ftp:///nowhere at all"}, "The settings of this provider cannot be used"),
        ({"certificates": "gone"}, "The settings of this provider cannot be used"),
        ({"signing_key": ""}, "Our own key for this provider cannot be read"),
    ],
)
def test_a_set_up_that_cannot_work_is_said_to(sign, fields, said):
    asked = sign.ask()
    sign.change(**fields)

    start = sign.browser.get("/signin/start/")
    answer = sign.hand_in(sign.forge.sound(asked), asked.relay_state)
    logout = sign.browser.get(sign.forge.logout_address(asked))

    assert start.status_code == 403
    assert said in start.content.decode()
    assert (answer.status_code, logout.status_code) != (500, 500)
