"""Answers that must not sign anybody in: each is refused for its reason, on record."""

import copy
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import xmlsec
from limits import parse
from lxml import etree
from saml_forge import (
    DS,
    SAML,
    SAMLP,
    TRANSIENT,
    Asked,
    Forge,
    KeyPair,
    as_somebody_else,
    assertion_of,
    encoded,
    reread,
    without_signature,
)

from portal import limits
from tests.at_browser import JUST_NOW

Make = Callable[[Forge, Asked], Any]

NOT_ONE = "it does not hold exactly one assertion"
NOT_SIGNED = "the assertion is not signed; switch that on at the provider"
BAD_SIGNATURE = "its signature was not made with a certificate that is set up here"
ELSEWHERE = "its signature is not about the part that it stands in"
OUTDATED = "it is signed by a method that is outdated or not known here"
OTHER_SERVICE = "the assertion is for another service"
OTHER_ADDRESS = "the answer is for another address"
OTHER_PROVIDER = "it comes from another provider"
OTHER_SIGN_IN = "it does not answer the sign-in that was begun in this browser"
MADE_FOR_OTHER = "the assertion was not made for the sign-in that was begun in this browser"
HAND_IN_ELSEWHERE = "the assertion is to be handed in elsewhere"
EXPIRED = "the assertion has expired"
TOO_EARLY = "the assertion is not valid yet"
NOBODY = "the assertion names nobody"
NOT_XML = "it is not XML"
DOCTYPE = "it defines a document type"
COMMENTS = "it holds comments or processing instructions"
NOT_ASKED = "no sign-in that this answers was begun in this browser"
UNSOUND = "the answer is not sound SAML 2.0"
NOT_BASE64 = "it is not encoded as SAML wants it"
TOO_LONG = "the answer is too long"


# Signature wrapping: the signed assertion is in there, and another one to be mistaken for it.
# Numbered as the paper that found them does, and as the tools for testing them do.


def _signed_twice(forge: Forge, asked: Asked) -> Any:
    answer = forge.sound(asked)
    forge.sign(answer)
    return reread(answer)


def xsw1(forge, asked):
    """The signed answer, inside the signature of a forged one."""
    signed = _signed_twice(forge, asked)
    evil = as_somebody_else(without_signature(signed))
    signature = copy.deepcopy(signed.find(DS + "Signature"))
    evil.insert(1, signature)
    original = copy.deepcopy(signed)
    original.remove(original.find(DS + "Signature"))
    signature.append(original)
    return evil


def xsw2(forge, asked):
    """The signed answer beside its own signature, which moved to a forged one."""
    signed = _signed_twice(forge, asked)
    evil = as_somebody_else(without_signature(signed))
    signature = copy.deepcopy(signed.find(DS + "Signature"))
    original = copy.deepcopy(signed)
    original.remove(original.find(DS + "Signature"))
    evil.insert(1, original)
    evil.insert(2, signature)
    return evil


def xsw3(forge, asked):
    """A forged assertion before the signed one."""
    answer = forge.sound(asked)
    evil = as_somebody_else(without_signature(assertion_of(answer)))
    answer.insert(list(answer).index(assertion_of(answer)), evil)
    return answer


def xsw4(forge, asked):
    """The signed assertion inside a forged one."""
    answer = forge.sound(asked)
    signed = assertion_of(answer)
    evil = as_somebody_else(without_signature(signed))
    answer.replace(signed, evil)
    evil.append(signed)
    return answer


def xsw5(forge, asked):
    """The assertion changed where it is, with the original at the end."""
    answer = forge.sound(asked)
    original = without_signature(assertion_of(answer))
    evil = as_somebody_else(assertion_of(answer))
    assert evil.find(DS + "Signature") is not None
    answer.append(original)
    return answer


def xsw6(forge, asked):
    """The assertion changed where it is, with the original inside of its signature."""
    answer = forge.sound(asked)
    original = without_signature(assertion_of(answer))
    as_somebody_else(assertion_of(answer)).find(DS + "Signature").append(original)
    return answer


def xsw7(forge, asked):
    """A forged assertion among the extensions, where anything may stand."""
    answer = forge.sound(asked)
    evil = as_somebody_else(without_signature(assertion_of(answer)))
    extensions = etree.Element(SAMLP + "Extensions")
    extensions.append(evil)
    answer.insert(1, extensions)
    return answer


def xsw8(forge, asked):
    """The original in an object of the signature, where anything may stand."""
    answer = forge.sound(asked)
    original = without_signature(assertion_of(answer))
    signature = as_somebody_else(assertion_of(answer)).find(DS + "Signature")
    etree.SubElement(signature, DS + "Object").append(original)
    return answer


# XML that wants more than to be read.


def _with_doctype(subset: str, entity: str = "") -> Make:
    def make(forge: Forge, asked: Asked) -> bytes:
        raw = etree.tostring(forge.sound(asked)).decode()
        if entity:
            raw = raw.replace(">ada-7<", f">{entity}<")
        return f"<!DOCTYPE r [{subset}]>{raw}".encode()

    return make


LAUGHS = '<!ENTITY a0 "ha">' + "".join(
    f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 10)
)


def _raw_change(before: str, after: str, **changes: Any) -> Make:
    """The signed message with `before` replaced, as text."""

    def make(forge: Forge, asked: Asked) -> bytes:
        raw = etree.tostring(forge.sound(asked, **changes)).decode()
        assert before in raw
        return raw.replace(before, after).encode()

    return make


def _said(**changes: Any) -> Make:
    """Soundly signed, but saying something else."""
    return lambda forge, asked: forge.sound(asked, **changes)


def _before_signing(change: Callable[[Any], None], **changes: Any) -> Make:
    def make(forge: Forge, asked: Asked) -> Any:
        answer = forge.answer(asked, **changes)
        change(answer)
        return forge.signed(answer)

    return make


def _after_signing(change: Callable[[Any], None]) -> Make:
    def make(forge: Forge, asked: Asked) -> Any:
        answer = forge.sound(asked)
        change(answer)
        return answer

    return make


def _signed(**how: Any) -> Make:
    return lambda forge, asked: forge.signed(forge.answer(asked), **how)


def _find(answer: Any, name: str) -> Any:
    return next(answer.iter(SAML + name))


def _drop(name: str) -> Callable[[Any], None]:
    return lambda answer: _find(answer, name).getparent().remove(_find(answer, name))


# Signatures.


def unsigned(forge, asked):
    return forge.answer(asked)


def signed_answer_unsigned_assertion(forge, asked):
    answer = forge.answer(asked)
    forge.sign(answer)
    return answer


def hmac_with_public_certificate(forge, asked):
    """A method that needs one secret for both sides, keyed with what everybody knows."""
    secret = xmlsec.Key.from_binary_data(xmlsec.KeyData.HMAC, forge.pair.certificate.encode())
    return forge.signed(
        forge.answer(asked),
        method=xmlsec.Transform.HMAC_SHA256,
        key=secret,
        shape=lambda template: template.remove(template[-1]),  # it has no certificate to show
    )


def hmac_renamed(forge, asked):
    """The same, under the name of a method that is allowed."""
    answer = hmac_with_public_certificate(forge, asked)
    next(answer.iter(DS + "SignatureMethod")).set(
        "Algorithm", "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
    )
    return answer


def _part(template: Any, name: str) -> Any:
    return template.xpath(f".//*[local-name()='{name}']")[0]


def _xpath_transform(template: Any) -> None:
    transform = etree.SubElement(
        _part(template, "Transforms"),
        DS + "Transform",
        Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116",
    )
    path = etree.SubElement(transform, DS + "XPath")
    path.text = "not(ancestor-or-self::*[local-name()='NameID'])"


def _second_reference(template: Any) -> None:
    reference = _part(template, "Reference")
    reference.addnext(copy.deepcopy(reference))


def xslt_transform(forge, asked):
    answer = forge.sound(asked)
    transforms = next(answer.iter(DS + "Transforms"))
    transform = etree.SubElement(
        transforms, DS + "Transform", Algorithm="http://www.w3.org/TR/1999/REC-xslt-19991116"
    )
    transform.append(
        etree.fromstring(
            '<xsl:stylesheet xmlns:xsl="http://www.w3.org/1999/XSL/Transform" version="1.0"/>'
        )
    )
    return answer


def same_id_by_another_name(forge, asked):
    """Another part claims the ID that the signature is about, in a way every parser honours."""
    answer = forge.sound(asked)
    extensions = etree.Element(SAMLP + "Extensions")
    decoy = etree.SubElement(extensions, "{urn:evil}decoy")
    decoy.set("{http://www.w3.org/XML/1998/namespace}id", assertion_of(answer).get("ID"))
    answer.insert(1, extensions)
    return answer


def signed_decoy(forge, asked):
    """A good signature of the provider's about something that is not read."""
    answer = forge.sound(asked)
    extensions = etree.Element(SAMLP + "Extensions")
    answer.insert(1, extensions)
    decoy = etree.SubElement(extensions, "{urn:evil}decoy", ID="_decoy")
    forge.sign(decoy)
    return answer


def two_assertions(forge, asked):
    answer = forge.sound(asked)
    other = forge.sound(asked, name_id="tomas-1")
    answer.append(assertion_of(other))
    return answer


def no_assertion(forge, asked):
    answer = forge.answer(asked)
    answer.remove(assertion_of(answer))
    return answer


def encrypted(forge, asked):
    answer = forge.sound(asked)
    wrapped = etree.Element(SAML + "EncryptedAssertion")
    answer.replace(assertion_of(answer), wrapped)
    return answer


def encrypted_name(answer):
    name = _find(answer, "NameID")
    name.getparent().replace(name, etree.Element(SAML + "EncryptedID"))


def foreign_second_audience(answer):
    conditions = _find(answer, "Conditions")
    restriction = etree.SubElement(conditions, SAML + "AudienceRestriction")
    etree.SubElement(restriction, SAML + "Audience").text = "https://other.example"


def unknown_condition(answer):
    xsi = "{http://www.w3.org/2001/XMLSchema-instance}type"
    conditions = _find(answer, "Conditions")
    etree.SubElement(conditions, SAML + "Condition").set(xsi, "evil:OnlyOnSundays")


def unsigned_audience(answer):
    """Ours, added to an assertion that was made for another service."""
    etree.SubElement(_find(answer, "AudienceRestriction"), SAML + "Audience").text = answer.get(
        "Destination"
    ).replace("/acs/", "/metadata/")


def deep(forge, asked):
    return b"<a>" * 20_000 + b"</a>" * 20_000


def status_with_code(answer):
    code = next(answer.iter(SAMLP + "StatusCode"))
    etree.SubElement(
        code, SAMLP + "StatusCode", Value="urn:oasis:names:tc:SAML:2.0:status:AuthnFailed"
    )


STRANGER = KeyPair.new()
WEAK = KeyPair.new(1024)

# name -> the message, the reason it must be refused for
VECTORS: dict[str, tuple[Make, str]] = {
    "XSW1": (xsw1, NOT_ONE),
    "XSW2": (xsw2, NOT_ONE),
    "XSW3": (xsw3, NOT_ONE),
    "XSW4": (xsw4, NOT_ONE),
    "XSW5": (xsw5, NOT_ONE),
    "XSW6": (xsw6, NOT_ONE),
    "XSW7": (xsw7, NOT_ONE),
    "XSW8": (xsw8, NOT_ONE),
    "two assertions, both signed": (two_assertions, NOT_ONE),
    "no assertion": (no_assertion, NOT_ONE),
    "two parts with one ID": (same_id_by_another_name, "two parts of it have the same ID"),
    "external entity": (
        _with_doctype('<!ENTITY x SYSTEM "file:///etc/hostname">', "&x;"),
        DOCTYPE,
    ),
    "billion laughs": (_with_doctype(LAUGHS, "&a9;"), NOT_XML),
    "document type alone": (_with_doctype(""), DOCTYPE),
    "external document type": (
        lambda f, a: b'<!DOCTYPE r SYSTEM "http://127.0.0.1:9/x.dtd">' + etree.tostring(f.sound(a)),
        DOCTYPE,
    ),
    "comment in the name": (
        _raw_change("tomas-1.evil", "tomas-1<!-- -->.evil", name_id="tomas-1.evil"),
        COMMENTS,
    ),
    "comment in an attribute": (
        _raw_change(
            "tomas@acme.evil", "tomas@acme<!---->.evil", attributes={"email": ["tomas@acme.evil"]}
        ),
        COMMENTS,
    ),
    "processing instruction in the name": (
        _raw_change("tomas-1.evil", "tomas-1<?x y?>.evil", name_id="tomas-1.evil"),
        COMMENTS,
    ),
    "deeply nested": (deep, NOT_XML),
    "SHA-1 signature": (_signed(method=xmlsec.Transform.RSA_SHA1), OUTDATED),
    "SHA-1 digest": (_signed(digest=xmlsec.Transform.SHA1), OUTDATED),
    "HMAC with the public certificate": (hmac_with_public_certificate, OUTDATED),
    "HMAC under RSA's name": (hmac_renamed, BAD_SIGNATURE),
    "XPath transform": (_signed(shape=_xpath_transform), OUTDATED),
    "XSLT transform": (xslt_transform, OUTDATED),
    "two references": (_signed(shape=_second_reference), ELSEWHERE),
    "signature of something else": (signed_decoy, ELSEWHERE),
    "object in the signature": (
        _after_signing(
            lambda m: etree.SubElement(next(m.iter(DS + "Signature")), DS + "Object") is None
        ),
        ELSEWHERE,
    ),
    "reference to the whole": (_signed(uri=""), ELSEWHERE),
    "unsigned": (unsigned, NOT_SIGNED),
    "signed answer, unsigned assertion": (signed_answer_unsigned_assertion, NOT_SIGNED),
    "another key, with its certificate": (_signed(by=STRANGER), BAD_SIGNATURE),
    "another key, with the provider's certificate": (
        lambda f, a: _signed(by=KeyPair(STRANGER.key, f.pair.certificate))(f, a),
        BAD_SIGNATURE,
    ),
    "name altered": (_raw_change("ada-7", "tomas-1"), BAD_SIGNATURE),
    "groups altered": (_raw_change("readers", "admins"), BAD_SIGNATURE),
    "signature emptied": (
        _after_signing(lambda m: setattr(next(m.iter(DS + "SignatureValue")), "text", "")),
        BAD_SIGNATURE,
    ),
    "expired": (
        _said(until=timedelta(minutes=-10), confirmed_until=timedelta(minutes=-10)),
        EXPIRED,
    ),
    "expired for handing in": (_said(confirmed_until=timedelta(seconds=-1)), EXPIRED),
    "not yet valid": (_said(not_before=timedelta(minutes=3)), TOO_EARLY),
    "handed in without an end": (
        _said(confirmed_until=None),
        "the assertion does not say how long it may be handed in",
    ),
    "valid for years": (
        _said(until=timedelta(days=900), confirmed_until=timedelta(days=900)),
        "the assertion is valid for more than a day",
    ),
    "time that is none": (_said(confirmed_until="soon"), "it holds a time that cannot be read"),
    "session over": (
        _said(session_until=timedelta(minutes=-1)),
        "the session at the provider is over already",
    ),
    "wrong audience": (_said(audience="https://other.example"), OTHER_SERVICE),
    "missing audience": (
        _said(audience=None),
        "the assertion does not say which service it is for",
    ),
    "a second, foreign audience": (_before_signing(foreign_second_audience), OTHER_SERVICE),
    "audience added": (
        lambda f, a: _after_signing(unsigned_audience)(_Other(f), a),
        BAD_SIGNATURE,
    ),
    "unknown condition": (
        _before_signing(unknown_condition),
        "the assertion has a condition that is not known here",
    ),
    "no conditions": (
        _before_signing(_drop("Conditions")),
        "the assertion does not say under which conditions it holds",
    ),
    "wrong recipient": (_said(recipient="https://other.example/acs"), HAND_IN_ELSEWHERE),
    "missing recipient": (_said(recipient=None), HAND_IN_ELSEWHERE),
    "recipient that quotes ours": (
        lambda f, a: f.sound(a, recipient=f"https://evil.example/?{a.acs}"),
        HAND_IN_ELSEWHERE,
    ),
    "not for a bearer": (
        _said(method="urn:oasis:names:tc:SAML:2.0:cm:holder-of-key"),
        "the assertion does not say that its bearer may hand it in",
    ),
    "no confirmation": (
        _before_signing(_drop("SubjectConfirmation")),
        "the assertion does not say that its bearer may hand it in",
    ),
    "wrong destination": (_said(destination="https://other.example/acs"), OTHER_ADDRESS),
    "destination that begins like ours": (
        lambda f, a: f.sound(a, destination=a.acs + ".evil.example/"),
        OTHER_ADDRESS,
    ),
    "missing destination": (_said(destination=None), OTHER_ADDRESS),
    "answers another question": (_said(in_response_to="_other"), OTHER_SIGN_IN),
    "answers no question": (_said(in_response_to=None, confirmed_for=None), OTHER_SIGN_IN),
    "stolen assertion for another question": (_said(confirmed_for="_other"), MADE_FOR_OTHER),
    "stolen assertion for no question": (_said(confirmed_for=None), MADE_FOR_OTHER),
    "wrong issuer": (
        _said(issuer="https://evil.example", response_issuer="https://evil.example"),
        OTHER_PROVIDER,
    ),
    "answer by another issuer": (_said(response_issuer="https://evil.example"), OTHER_PROVIDER),
    "assertion without issuer": (_said(issuer=None), OTHER_PROVIDER),
    "transient name": (
        _said(format=TRANSIENT),
        "the assertion names them for this one visit only",
    ),
    "entity as a name": (
        _said(format="urn:oasis:names:tc:SAML:2.0:nameid-format:entity"),
        "the assertion names them as a service",
    ),
    "empty name": (_said(name_id=""), NOBODY),
    "blank name": (_said(name_id=" \n "), NOBODY),
    "no name": (_before_signing(_drop("NameID")), NOBODY),
    "name too long": (_said(name_id="a" * 256), "the name is longer than 255 characters"),
    "name for another service": (
        _said(qualifiers={"SPNameQualifier": "https://other.example"}),
        "the name is one that others gave, or gave to others",
    ),
    "name by another provider": (
        _said(qualifiers={"NameQualifier": "https://other.example"}),
        "the name is one that others gave, or gave to others",
    ),
    "encrypted assertion": (encrypted, "it is encrypted, which is not supported here"),
    "encrypted name": (
        _before_signing(encrypted_name),
        "it is encrypted, which is not supported here",
    ),
    "status failure": (
        _said(status="urn:oasis:names:tc:SAML:2.0:status:Responder"),
        "the provider answered that it signed nobody in",
    ),
    "no sign-in statement": (
        _before_signing(_drop("AuthnStatement")),
        "the assertion does not say how they signed in",
    ),
    "SAML 1.1": (_said(version="1.1"), UNSOUND),
    "element that no schema knows": (
        _before_signing(lambda m: etree.SubElement(assertion_of(m), "{urn:evil}x") is None),
        UNSOUND,
    ),
    "another message": (
        lambda f, a: b'<samlp:LogoutResponse xmlns:samlp="%s"/>' % SAMLP[1:-1].encode(),
        "it is no answer to a sign-in",
    ),
    "too long": (lambda f, a: b"<" + b"a" * 256 * 1024 + b"/>", TOO_LONG),
    "far too long": (lambda f, a: "A" * 1_500_000, TOO_LONG),
    "bad base64": (lambda f, a: "%%%", NOT_BASE64),
    "not ASCII": (lambda f, a: "PHg-é", NOT_BASE64),
    "not XML": (lambda f, a: b"hello", NOT_XML),
    "zero bytes": (lambda f, a: b"\0\0\xff\xfe", NOT_XML),
    "nothing": (lambda f, a: "", NOT_XML),
}


class _Other:
    """A provider that makes assertions for another service."""

    def __init__(self, forge: Forge) -> None:
        self.forge = forge

    def sound(self, asked: Asked) -> Any:
        return self.forge.sound(asked, audience="https://other.example")


def _assert_refused(sign: Any, answer: Any, reason: str, browser: Any = None) -> None:
    page = answer.content.decode()
    assert answer.status_code == 403, page
    shown = reason[0].upper() + reason[1:]
    assert shown in page.replace("&#x27;", "'"), page
    assert sign.signed_in(browser) is None
    entry = sign.last_entry()
    assert (entry["action"], entry["outcome"]) == ("session.open.denied", "denied")
    assert entry["object"]["type"] == "identityprovider"
    assert entry["object"]["id"] == str(sign.provider.pk)
    assert entry["facts"]["reasons"][0].startswith(reason)


def test_each_attack_is_refused_for_its_reason(sign, subtests, refused_attack):
    for name, (make, reason) in VECTORS.items():
        with subtests.test(name):
            browser = sign.new_browser()
            asked = sign.ask(browser)

            answer = sign.hand_in(make(sign.forge, asked), asked.relay_state, browser)

            _assert_refused(sign, answer, reason, browser)
            refused_attack(name)


# Attacks that take more than one message.


def test_an_answer_to_nothing_is_refused(sign, refused_attack):
    answer = sign.hand_in(sign.forge.sound(sign.unasked()))

    _assert_refused(sign, answer, NOT_ASKED)
    refused_attack("unsolicited")


def test_an_answer_works_once(sign, refused_attack):
    asked = sign.ask()
    message = sign.forge.sound(asked)
    assert sign.hand_in(message, asked.relay_state).status_code == 302
    sign.browser.post("/signout/")

    answer = sign.hand_in(message, asked.relay_state)

    _assert_refused(sign, answer, NOT_ASKED)
    refused_attack("answer sent twice")


def test_an_assertion_works_once_where_nothing_was_asked_either(sign, refused_attack):
    sign.change(idp_initiated=True)
    message = sign.forge.sound(sign.unasked())
    assert sign.hand_in(message).status_code == 302
    thief = sign.new_browser()

    answer = sign.hand_in(message, browser=thief)

    _assert_refused(sign, answer, "the assertion was used already", thief)
    refused_attack("assertion replayed")


def test_an_assertion_for_a_question_is_no_answer_to_none(sign, refused_attack):
    """Stolen before its owner's browser handed it in, at a tenant that takes unasked answers."""
    sign.change(idp_initiated=True)
    asked = sign.ask()
    thief = sign.new_browser()

    as_it_is = sign.hand_in(sign.forge.sound(asked), asked.relay_state, thief)
    _assert_refused(sign, as_it_is, OTHER_SIGN_IN, thief)
    wrapped = sign.hand_in(sign.forge.sound(asked, in_response_to=None), browser=thief)
    _assert_refused(sign, wrapped, MADE_FOR_OTHER, thief)
    refused_attack("stolen assertion, unasked")


def test_an_answer_belongs_to_the_browser_that_asked(sign, refused_attack):
    """Log-in CSRF: a victim's browser hands in the attacker's own sound answer."""
    attacker, victim = sign.browser, sign.new_browser()
    asked = sign.ask(attacker)
    sign.ask(victim)

    answer = sign.hand_in(sign.forge.sound(asked), asked.relay_state, victim)

    _assert_refused(sign, answer, NOT_ASKED, victim)
    refused_attack("log-in CSRF")


def test_what_belongs_to_another_sign_in_of_the_same_browser_is_refused(sign, refused_attack):
    first, second = sign.ask(), sign.ask()

    answer = sign.hand_in(sign.forge.sound(first), second.relay_state)

    _assert_refused(sign, answer, OTHER_SIGN_IN)
    refused_attack("two sign-ins mixed up")


@pytest.mark.parametrize(
    "relay_state", ["https://evil.example/", "//evil.example", "/people/", "\0", "x" * 5000]
)
def test_a_relay_state_is_no_address(sign, relay_state, refused_attack):
    asked = sign.ask()

    answer = sign.hand_in(sign.forge.sound(asked), relay_state)

    _assert_refused(sign, answer, NOT_ASKED)
    refused_attack(f"RelayState {relay_state[:20]}")


def test_an_unasked_answer_leads_home_whatever_it_says(sign, refused_attack):
    sign.change(idp_initiated=True)

    answer = sign.hand_in(sign.forge.sound(sign.unasked()), "https://evil.example/")

    assert (answer.status_code, answer["Location"]) == (302, "/")
    refused_attack("open redirect, unasked")


def test_a_sign_in_does_not_wait_for_ever(sign, monkeypatch, refused_attack):
    asked = sign.ask()
    monkeypatch.setattr("portal.signin.journey.VALID_FOR", -1)

    answer = sign.hand_in(sign.forge.sound(asked), asked.relay_state)

    _assert_refused(sign, answer, NOT_ASKED)
    refused_attack("sign-in begun too long ago")


def test_an_assertion_for_one_tenant_is_worth_nothing_at_another(
    sign, globex, forge, refused_attack
):
    """Both have the same provider; eve hands in at globex what it made for acme."""
    Sign = type(sign)

    theirs = Sign(globex, forge)
    at_acme, at_globex = sign.ask(), theirs.ask()

    made_for_acme = theirs.hand_in(forge.sound(at_acme), at_globex.relay_state)
    _assert_refused(theirs, made_for_acme, OTHER_ADDRESS)
    at_globex = theirs.ask()
    wrapped = theirs.hand_in(
        forge.sound(at_globex, audience=at_acme.entity_id), at_globex.relay_state
    )
    _assert_refused(theirs, wrapped, OTHER_SERVICE)
    refused_attack("another tenant's assertion")


def test_a_used_assertion_is_not_taken_at_another_tenant(sign, globex, forge, refused_attack):
    Sign = type(sign)

    sign.change(idp_initiated=True)
    theirs = Sign(globex, forge)
    theirs.change(idp_initiated=True)
    message = forge.sound(sign.unasked())
    assert sign.hand_in(message).status_code == 302
    theirs.unasked()

    _assert_refused(theirs, theirs.hand_in(message), OTHER_ADDRESS)
    refused_attack("replayed at another tenant")


def test_another_tenants_provider_is_not_there(sign, globex, forge, refused_attack):
    Sign = type(sign)

    theirs = Sign(globex, forge)
    asked = sign.ask()
    entries_before = theirs.last_entry()

    answers = [
        theirs.browser.post(sign.address("acs"), {"SAMLResponse": encoded(forge.sound(asked))}),
        theirs.browser.get(sign.address("metadata")),
        theirs.browser.get(sign.address("logout")),
    ]

    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert theirs.last_entry() == entries_before
    refused_attack("another tenant's provider")


def test_an_answer_of_one_provider_is_none_to_a_question_to_another(sign, refused_attack):
    from authz import providers

    asked = sign.ask()
    with sign.pinned():
        other = providers.draft_provider(
            "saml",
            {
                "name": "Second",
                "entity_id": sign.forge.entity_id,
                "sso_url": "https://second.example/sso",
                "certificates": sign.forge.pair.certificate,
            },
            by=sign.company.people["tomas"].actor("page", signed_in=JUST_NOW),
        )
    elsewhere = Asked(
        asked.acs.replace(str(sign.provider.pk), str(other.pk)),
        asked.entity_id.replace(str(sign.provider.pk), str(other.pk)),
        asked.request_id,
    )
    sign.provider = other

    answer = sign.hand_in(sign.forge.sound(elsewhere), asked.relay_state)

    _assert_refused(sign, answer, "the sign-in was begun with another provider")
    refused_attack("provider mix-up")


def test_a_provider_that_was_switched_off_meanwhile_signs_nobody_in(sign, refused_attack):
    asked = sign.ask()
    sign.change(state="draft")

    answer = sign.hand_in(sign.forge.sound(asked), asked.relay_state)

    _assert_refused(sign, answer, "this identity provider is not switched on")
    refused_attack("provider switched off")


@pytest.mark.parametrize(
    ("body", "kind", "reason"),
    [
        (b"--x\r\n", "multipart/form-data; boundary=x", "the answer was not sent as a form"),
        (b"{}", "application/json", "the answer was not sent as a form"),
        (b"", "", "the answer was not sent as a form"),
        (b"a=1&" * 2000, "application/x-www-form-urlencoded", "the form that was sent cannot"),
        (b"again=1", "application/x-www-form-urlencoded; charset=utf-7", "the form that was"),
        (b"SAMLResponse=%ff%00&again=1", "application/x-www-form-urlencoded", NOT_ASKED),
    ],
)
def test_what_is_no_form_is_refused(sign, body, kind, reason, refused_attack):
    sign.ask()

    answer = sign.browser.post(sign.address("acs"), body, content_type=kind)

    _assert_refused(sign, answer, reason)
    refused_attack(f"no form: {kind or 'nothing'} {body[:10]!r}")


def test_too_many_answers_are_not_even_read(sign, monkeypatch):
    monkeypatch.setitem(limits.ALLOWED, "signin", parse("4/hour"))
    sign.ask()

    answers = [sign.hand_in("nonsense") for _ in range(6)]

    assert [answer.status_code for answer in answers] == [403, 403, 403, 429, 429, 429]
    assert int(answers[-1]["Retry-After"]) > 0


def test_the_page_does_not_repeat_what_the_message_says(sign):
    asked = sign.ask()

    answer = sign.hand_in(
        sign.forge.sound(asked, issuer="<script>alert(1)</script>"), asked.relay_state
    )

    assert "alert(1)" not in answer.content.decode()
    assert "alert(1)" in sign.last_entry()["facts"]["found"]


def test_no_bytes_break_it(sign):
    """A sound message with bytes changed at random is refused, or says what it said before."""
    sign.change(idp_initiated=True)
    dice = random.Random(7)
    seen = set()
    for _ in range(150):
        raw = bytearray(etree.tostring(sign.forge.sound(sign.unasked())))
        for _ in range(dice.choice([1, 1, 2, 5])):
            at = dice.randrange(len(raw))
            kind = dice.randrange(4)
            if kind == 0:
                raw[at] = dice.randrange(256)
            elif kind == 1:
                del raw[at : at + dice.randrange(1, 200)]
            elif kind == 2:
                raw[at:at] = raw[dice.randrange(len(raw)) :][: dice.randrange(1, 200)]
            else:
                raw[at:at] = dice.choice([b"<!---->", b"&lt;", b"&#0;", b"<a>", b'"', b"\0"])
        browser = sign.new_browser()
        answer = sign.hand_in(bytes(raw), browser=browser)
        assert answer.status_code in {302, 403}, bytes(raw)
        assert sign.signed_in(browser) in ({None} if answer.status_code == 403 else {"Ada"})
        seen.add(answer.status_code)
    assert 403 in seen
