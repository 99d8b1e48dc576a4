"""The provider signs somebody out: their sessions here end, and nobody else's."""

import base64
import zlib
from urllib.parse import parse_qs, quote_plus, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from lxml import etree
from saml_forge import SAML, SAMLP, KeyPair, moment, packed

from authz import certificates
from tenants.models import IdentityProvider, Session

SHA1 = "http://www.w3.org/2000/09/xmldsig#rsa-sha1"


def _signed_in(sign, name_id="ada-7", session_index="s-1"):
    browser = sign.new_browser()
    asked = sign.ask(browser)
    message = sign.forge.sound(asked, name_id=name_id, session_index=session_index)
    assert sign.hand_in(message, asked.relay_state, browser).status_code == 302
    return browser


def _open(sign):
    with sign.pinned():
        sessions = Session.objects.exclude(user=None).order_by("provider_session")
        return [(one.user.name, one.provider_session) for one in sessions]


def test_the_provider_ends_the_session_that_it_names(sign, entries):
    asked = sign.ask()
    browser, other = _signed_in(sign), _signed_in(sign, session_index="s-2")
    _signed_in(sign, name_id="tomas-1", session_index="s-1")

    # Without any cookie of ours: the request says itself whom it is about.
    answer = sign.new_browser().get(sign.forge.logout_address(asked))

    assert answer.status_code == 302
    assert _open(sign) == [("Tomas", "s-1"), ("Ada", "s-2")]
    assert browser.get("/").status_code == 302
    assert other.get("/").status_code == 200
    assert entries(sign.company)[-1] == ("session.end", "ok")
    assert sign.last_entry()["facts"]["why"] == "signed out at the provider"


def test_without_a_session_named_all_of_theirs_end(sign):
    asked = sign.ask()
    _signed_in(sign), _signed_in(sign, session_index="s-2")
    _signed_in(sign, name_id="tomas-1")

    sign.browser.get(sign.forge.logout_address(asked, sessions=[]))

    assert _open(sign) == [("Tomas", "s-1")]


def test_sessions_that_came_about_otherwise_stay(sign, sign_in):
    asked = sign.ask()
    by_hand = sign_in(sign.company, "ada")

    sign.browser.get(sign.forge.logout_address(asked, sessions=[]))

    assert by_hand.get("/").status_code == 200


def test_the_browser_goes_back_with_a_signed_answer(sign):
    asked = sign.ask()

    address = sign.browser.get(sign.forge.logout_address(asked, id="_q1"))["Location"]

    assert address.startswith("https://idp.example/slo?")
    query = urlsplit(address).query
    said = parse_qs(query)
    response = etree.fromstring(zlib.decompress(base64.b64decode(said["SAMLResponse"][0]), -15))
    assert response.tag == SAMLP + "LogoutResponse"
    assert response.get("InResponseTo") == "_q1"
    assert response.get("Destination") == "https://idp.example/slo"
    assert response.findtext(SAML + "Issuer") == asked.entity_id
    assert said["RelayState"] == ["back-there"]
    with sign.pinned():
        stored = IdentityProvider.objects.get(pk=sign.provider.pk).signing_certificate
    [ours] = certificates.read(stored)
    signed, _, signature = query.partition("&Signature=")
    assert signature
    x509.load_pem_x509_certificate(ours.encode()).public_key().verify(
        base64.b64decode(said["Signature"][0]), signed.encode(), padding.PKCS1v15(), hashes.SHA256()
    )


def test_a_provider_without_a_log_out_address_leads_to_our_sign_in(sign):
    asked = sign.ask()
    sign.change(slo_url="")
    _signed_in(sign)

    answer = sign.browser.get(sign.forge.logout_address(asked))

    assert (answer.status_code, answer["Location"]) == (302, "/signin/")
    assert _open(sign) == []


def test_certificates_that_replace_each_other_sign_requests_too(sign):
    asked, new = sign.ask(), KeyPair.new()
    _signed_in(sign)
    sign.change(certificates=sign.forge.pair.certificate + new.certificate)

    answer = sign.browser.get(sign.forge.logout_address(asked, by=new))

    assert answer.status_code == 302
    assert _open(sign) == []


def _altered(address, **parts):
    query = dict(part.split("=", 1) for part in urlsplit(address).query.split("&"))
    query |= parts
    return (
        address.partition("?")[0] + "?" + "&".join(f"{k}={v}" for k, v in query.items() if v != "")
    )


# name -> the address, from a sound one; why it is refused
VECTORS = {
    "not signed": (
        lambda f, a: _altered(f.logout_address(a), Signature=""),
        "The request is not signed",
    ),
    "signed with SHA-1": (
        lambda f, a: f.logout_address(a, algorithm=SHA1),
        "It is signed by a method that is outdated",
    ),
    "no method named": (
        lambda f, a: _altered(f.logout_address(a), SigAlg=""),
        "It is signed by a method that is outdated",
    ),
    "another key": (
        lambda f, a: f.logout_address(a, by=KeyPair.new()),
        "Its signature was not made with a certificate that is set up here",
    ),
    "request altered": (
        lambda f, a: _altered(f.logout_address(a), SAMLRequest=quote_plus(packed(b"<a/>"))),
        "Its signature was not made with a certificate that is set up here",
    ),
    "relay state altered": (
        lambda f, a: _altered(f.logout_address(a), RelayState="x"),
        "Its signature was not made with a certificate that is set up here",
    ),
    "signature that is none": (
        lambda f, a: _altered(f.logout_address(a), Signature="%21%21"),
        "It is not encoded as SAML wants it",
    ),
    "two requests": (
        lambda f, a: f.logout_address(a) + "&SAMLRequest=" + quote_plus(packed(b"<a/>")),
        "The request says the same thing twice",
    ),
    "another issuer": (
        lambda f, a: f.logout_address(a, issuer="https://evil.example"),
        "It comes from another provider",
    ),
    "for another service": (
        lambda f, a: f.logout_address(a, destination="https://other.example/slo"),
        "The request is for another address",
    ),
    "made long ago": (
        lambda f, a: f.logout_address(a, issued=moment(minutes=-6)),
        "The request was not made just now",
    ),
    "made in the future": (
        lambda f, a: f.logout_address(a, issued=moment(minutes=6)),
        "The request was not made just now",
    ),
    "expired": (
        lambda f, a: f.logout_address(a, until=moment(minutes=-1)),
        "The request is not sound SAML 2.0",
    ),
    "names nobody": (
        lambda f, a: f.logout_address(a, name_id=""),
        "The request names nobody",
    ),
    "another message": (
        lambda f, a: a.logout + "?SAMLResponse=x",
        "It is no request to sign out",
    ),
    "nothing": (lambda f, a: a.logout, "It is no request to sign out"),
    "not packed": (
        lambda f, a: f.logout_query(a, b"<a/>", pack=base64.b64encode),
        "It is not packed as SAML wants it",
    ),
    "not XML": (lambda f, a: f.logout_query(a, b"hello"), "It is not XML"),
    "document type": (
        lambda f, a: f.logout_query(a, b'<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>'),
        "It defines a document type",
    ),
    "no request to sign out": (
        lambda f, a: f.logout_query(a, b"<a/>"),
        "It is no request to sign out",
    ),
    "a bomb": (
        lambda f, a: f.logout_query(a, b"<a>" + b"a" * 50_000_000 + b"</a>"),
        "The request is too long",
    ),
}


def test_each_attack_on_log_out_is_refused_for_its_reason(sign, subtests, refused_attack):
    asked = sign.ask()
    ada = _signed_in(sign)
    for name, (make, reason) in VECTORS.items():
        with subtests.test(name):
            answer = sign.new_browser().get(make(sign.forge, asked))

            assert answer.status_code == 403
            assert reason in answer.content.decode()
            entry = sign.last_entry()
            assert (entry["action"], entry["outcome"]) == ("session.open.denied", "denied")
            assert ada.get("/").status_code == 200
            refused_attack(f"log-out: {name}")


def test_a_request_works_once(sign, refused_attack):
    asked = sign.ask()
    address = sign.forge.logout_address(asked)
    assert sign.browser.get(address).status_code == 302
    ada = _signed_in(sign)

    again = sign.browser.get(address)

    assert again.status_code == 403
    assert "The request was used already" in again.content.decode()
    assert ada.get("/").status_code == 200
    refused_attack("log-out: replayed")


def test_another_tenants_sessions_stay(sign, globex, forge, refused_attack):
    Sign = type(sign)

    theirs = Sign(globex, forge)
    asked = sign.ask()
    _signed_in(theirs)

    sign.browser.get(forge.logout_address(asked, sessions=[]))
    elsewhere = theirs.browser.get(
        forge.logout_address(asked).replace(str(sign.provider.pk), str(theirs.provider.pk)),
        headers={"host": globex.host},
    )

    assert elsewhere.status_code == 403
    assert _open(theirs) == [("Ada", "s-1")]
    refused_attack("log-out: another tenant")


@pytest.mark.parametrize("how", ["post", "put"])
def test_only_links_sign_out(sign, how):
    assert getattr(sign.browser, how)(sign.address("logout")).status_code in {403, 405}
