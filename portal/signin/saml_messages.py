"""Judges what a SAML provider sends: whether to believe it, and what it says.

A message must be of the shape that sound providers send, so that a signature in it can only be
about the one assertion that is read. Then what the profile asks for is checked, with a reason in
plain words for whoever has to put it right. python3-saml, last, verifies the signature and checks
the profile once more. adr/0013-saml.md says what it alone would let through.
"""

import base64
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote_plus, urlsplit
from xml.sax.saxutils import quoteattr

from lxml import etree
from onelogin.saml2.constants import OneLogin_Saml2_Constants as Names
from onelogin.saml2.errors import OneLogin_Saml2_Error
from onelogin.saml2.errors import OneLogin_Saml2_ValidationError as Invalid
from onelogin.saml2.logout_request import OneLogin_Saml2_Logout_Request
from onelogin.saml2.response import OneLogin_Saml2_Response
from onelogin.saml2.settings import OneLogin_Saml2_Settings
from onelogin.saml2.utils import OneLogin_Saml2_Utils

from authz import certificates
from tenants.models import IdentityProvider

LONGEST = 256 * 1024  # bytes of XML; somebody in 1,000 groups has about a third of this
LEEWAY = timedelta(seconds=60)  # how far the provider's clock may be off
LONGEST_VALIDITY = timedelta(days=1)  # assertions are remembered until they expire
LOGOUT_VALID_FOR = timedelta(minutes=5)
LONGEST_SUBJECT = 255  # characters, as Identity.subject

SAMLP, SAML, DS = (f"{{{name}}}" for name in (Names.NS_SAMLP, Names.NS_SAML, Names.NS_DS))
_ECDSA = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha"
_C14N = "http://www.w3.org/2001/10/xml-exc-c14n#"
RSA_SIGNATURES = {Names.RSA_SHA256, Names.RSA_SHA384, Names.RSA_SHA512}
# What each part of a signature may use; whatever is not listed is refused before it is run.
ALGORITHMS = {
    "SignatureMethod": RSA_SIGNATURES | {_ECDSA + "256", _ECDSA + "384", _ECDSA + "512"},
    "DigestMethod": {Names.SHA256, Names.SHA384, Names.SHA512},
    "CanonicalizationMethod": {_C14N, "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"},
    "Transform": {_C14N, Names.NS_DS + "enveloped-signature"},
}
# A condition that is not understood makes the assertion worthless (SAML core, 2.5.1).
CONDITIONS = {SAML + name for name in ("AudienceRestriction", "OneTimeUse", "ProxyRestriction")}
# Formats of a NameID that do not name anybody.
NAMELESS = {
    Names.NAMEID_TRANSIENT: "for this one visit only; set a lasting name format at the provider",
    Names.NAMEID_ENTITY: "as a service, not as a person",
    Names.NAMEID_ENCRYPTED: "in encrypted form, which is not supported here",
}

NOT_SIGNED = "the assertion is not signed; switch that on at the provider"
NOT_PACKED = "it is not packed as SAML wants it: by DEFLATE"
UNSOUND = "the answer is not sound SAML 2.0"
OUTDATED = "it is signed by a method that is outdated or not known here; use RSA with SHA-256"
# What python3-saml finds that was not found before it ran.
REASONS = {
    Invalid.NO_SIGNED_ASSERTION: NOT_SIGNED,
    Invalid.NO_SIGNATURE_FOUND: NOT_SIGNED,
    Invalid.INVALID_SIGNATURE: (
        "its signature was not made with a certificate that is set up here, or it was altered"
    ),
    Invalid.SESSION_EXPIRED: "the session at the provider is over already",
    Invalid.WRONG_NUMBER_OF_AUTHSTATEMENTS: "the assertion does not say how they signed in",
}


class NotBelieved(Exception):
    """The message is refused, for a reason in plain words. found: what it said, for the record."""

    def __init__(self, reason: str, found: object = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.found = None if found is None else str(found)[:200]


@dataclass(frozen=True)
class Addresses:
    """What we are called and where we are reached, as one provider knows it."""

    entity_id: str
    acs: str
    logout: str


@dataclass(frozen=True)
class Assertion:
    """What a believed assertion says. attributes: by Name; friendly: by FriendlyName."""

    id: str
    subject: str
    subject_is_email: bool
    session_index: str
    expires_at: datetime
    attributes: dict[str, list[str]]
    friendly: dict[str, list[str]]


@dataclass(frozen=True)
class LogoutRequest:
    """A believed wish to sign somebody out: of these sessions, or (none named) of all."""

    id: str
    subject: str
    session_indexes: list[str]
    relay_state: str | None
    expires_at: datetime


def toolkit(
    provider: IdentityProvider, ours: Addresses, *, key: str = ""
) -> OneLogin_Saml2_Settings:
    """The settings of python3-saml for one provider. key: ours, where something is to be signed.

    Raises NotBelieved when it cannot work with what is set up.
    """
    try:
        return OneLogin_Saml2_Settings(
            {
                "strict": True,
                "sp": {
                    "entityId": ours.entity_id,
                    "assertionConsumerService": {"url": ours.acs},
                    "singleLogoutService": {"url": ours.logout},
                    "x509cert": provider.signing_certificate,
                    "privateKey": key,
                },
                "idp": {
                    "entityId": provider.entity_id,
                    # Escaped, because it writes them into XML as they are.
                    "singleSignOnService": {"url": quoteattr(provider.sso_url)[1:-1]},
                    "singleLogoutService": {"url": quoteattr(provider.slo_url)[1:-1]},
                    "x509certMulti": {"signing": certificates.read(provider.certificates)},
                },
                "security": {
                    "wantAssertionsSigned": True,
                    "rejectDeprecatedAlgorithm": True,
                    "wantAttributeStatement": False,
                    # Some providers send an attribute of its own for each group.
                    "allowRepeatAttributeName": True,
                    # How people sign in at the provider is for the provider to decide.
                    "requestedAuthnContext": False,
                    "allowSingleLabelDomains": True,
                },
            }
        )
    except (ValueError, OneLogin_Saml2_Error) as error:
        raise NotBelieved("the settings of this provider cannot be used", error) from error


def read_answer(
    message: str, provider: IdentityProvider, ours: Addresses, request_id: str | None
) -> Assertion:
    """What the SAMLResponse `message` says, if everything about it is in order.

    request_id: of the question it must answer; None when it must answer none.
    Raises NotBelieved.
    """
    raw = _decoded(message)
    answer = _parsed(raw)
    assertion = _only_assertion(answer)
    _check_route(answer, assertion, provider, ours, request_id)
    _check_conditions(assertion, ours)
    expires_at = _check_confirmation(assertion, ours, request_id)
    # From here on, the tree whose signature was verified is the only one that is read.
    assertion = _verified(raw, toolkit(provider, ours), ours, request_id)
    subject, is_email = _subject(assertion, provider, ours)
    return Assertion(
        id=assertion.get("ID"),
        subject=subject,
        subject_is_email=is_email,
        session_index=assertion.find(SAML + "AuthnStatement").get("SessionIndex", ""),
        expires_at=expires_at,
        attributes=_attributes(assertion, "Name"),
        friendly=_attributes(assertion, "FriendlyName"),
    )


def read_logout(query: str, provider: IdentityProvider, ours: Addresses) -> LogoutRequest:
    """What a signed LogoutRequest in the query string `query` says. Raises NotBelieved."""
    settings = toolkit(provider, ours)
    sent = _signed_query(query, provider)
    raw = _inflated(_base64(sent["SAMLRequest"]))
    request = _parsed(raw)
    if request.tag != SAMLP + "LogoutRequest":
        raise NotBelieved("it is no request to sign out", request.tag)
    if request.get("Destination") != ours.logout:
        raise NotBelieved("the request is for another address", request.get("Destination"))
    if _texts(request, SAML + "Issuer") != [provider.entity_id]:
        raise NotBelieved("it comes from another provider than the one set up here")
    now, issued_at = datetime.now(UTC), _moment(request.get("IssueInstant", ""))
    expires_at = issued_at + LOGOUT_VALID_FOR
    if not issued_at - LEEWAY <= now < expires_at:
        raise NotBelieved("the request was not made just now; are both clocks right?")
    packed = OneLogin_Saml2_Utils.deflate_and_base64_encode(raw)
    try:
        OneLogin_Saml2_Logout_Request(settings, packed).is_valid(
            _as_asked(ours.logout), raise_exceptions=True
        )
    except Exception as error:
        raise NotBelieved("the request is not sound SAML 2.0", error) from error
    names = _texts(request, SAML + "NameID")
    if not any(names):
        raise NotBelieved("the request names nobody")
    return LogoutRequest(
        id=request.get("ID"),
        subject=names[0],
        session_indexes=_texts(request, SAMLP + "SessionIndex"),
        relay_state=sent.get("RelayState"),
        expires_at=expires_at,
    )


# Reading ---------------------------------------------------------------------------------------


def _decoded(message: str) -> bytes:
    if len(message) > LONGEST * 4 // 3 + 4:
        raise NotBelieved(f"the answer is too long; at most {LONGEST // 1024} KiB are read")
    return _base64(message)


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except ValueError as error:
        raise NotBelieved("it is not encoded as SAML wants it: in base64") from error


def _inflated(packed: bytes) -> bytes:
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        raw = unpacker.decompress(packed, LONGEST + 1)
    except zlib.error as error:
        raise NotBelieved(NOT_PACKED) from error
    if len(raw) > LONGEST:
        raise NotBelieved(f"the request is too long; at most {LONGEST // 1024} KiB are read")
    if not unpacker.eof:
        raise NotBelieved(NOT_PACKED)
    return raw


def _parsed(raw: bytes) -> Any:
    # Nothing is fetched and nothing is expanded, whatever the message asks for.
    parser = etree.XMLParser(
        resolve_entities=False, load_dtd=False, no_network=True, huge_tree=False
    )
    try:
        root = etree.fromstring(raw, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise NotBelieved("it is not XML") from error
    tree = root.getroottree()
    if tree.docinfo.doctype:
        raise NotBelieved("it defines a document type, which SAML has no use for")
    if next(tree.iter(etree.Comment, etree.ProcessingInstruction), None) is not None:
        # Readers disagree on what a name is that has one of these in the middle.
        raise NotBelieved("it holds comments or processing instructions, which can cut names short")
    return root


def _texts(node: Any, path: str) -> list[str]:
    return ["".join(found.itertext()).strip() for found in node.iterfind(path)]


def _moment(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise NotBelieved("it holds a time that cannot be read", text) from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)


# Judging an answer -----------------------------------------------------------------------------


def _only_assertion(answer: Any) -> Any:
    """The one assertion of an answer whose signatures, if good, are about it or the whole."""
    if answer.tag != SAMLP + "Response":
        raise NotBelieved("it is no answer to a sign-in", answer.tag)
    codes = [code.get("Value") for code in answer.iterfind(f"{SAMLP}Status//{SAMLP}StatusCode")]
    if codes[:1] != [Names.STATUS_SUCCESS]:
        raise NotBelieved("the provider answered that it signed nobody in", codes)
    encrypted = (SAML + "EncryptedAssertion", SAML + "EncryptedID", SAML + "EncryptedAttribute")
    if next(answer.iter(*encrypted), None) is not None:
        raise NotBelieved(
            "it is encrypted, which is not supported here; switch that off at the provider"
        )
    assertions = list(answer.iter(SAML + "Assertion"))
    if len(assertions) != 1 or assertions[0].getparent() is not answer:
        raise NotBelieved("it does not hold exactly one assertion", len(assertions))
    ids = [
        value
        for node in answer.iter()
        for name, value in node.attrib.items()
        if etree.QName(name).localname.lower() == "id"
    ]
    if len(set(ids)) != len(ids):
        raise NotBelieved("two parts of it have the same ID")
    for signature in answer.iter(DS + "Signature"):
        _check_signature(signature, (answer, assertions[0]))
    return assertions[0]


def _check_signature(signature: Any, may_be_signed: tuple[Any, Any]) -> None:
    signed = signature.getparent()
    references = list(signature.iter(DS + "Reference"))
    if (
        signed not in may_be_signed
        or [one.get("URI") for one in references] != [f"#{signed.get('ID')}"]
        or next(signature.iter(DS + "Object"), None) is not None
    ):
        raise NotBelieved("its signature is not about the part that it stands in")
    for part, known in ALGORITHMS.items():
        used = {node.get("Algorithm") for node in signature.iter(DS + part)}
        if not used <= known:
            raise NotBelieved(OUTDATED, sorted(used - known, key=str))


def _check_route(
    answer: Any, assertion: Any, provider: IdentityProvider, ours: Addresses, request_id: str | None
) -> None:
    """From the provider to us, about this sign-in."""
    issuers = _texts(answer, SAML + "Issuer") + _texts(assertion, SAML + "Issuer")
    if not _texts(assertion, SAML + "Issuer") or set(issuers) != {provider.entity_id}:
        raise NotBelieved("it comes from another provider than the one set up here", issuers)
    if answer.get("Destination") != ours.acs:
        raise NotBelieved("the answer is for another address", answer.get("Destination"))
    if answer.get("InResponseTo") != request_id:
        raise NotBelieved(
            "it does not answer the sign-in that was begun in this browser",
            answer.get("InResponseTo"),
        )


def _check_conditions(assertion: Any, ours: Addresses) -> None:
    now = datetime.now(UTC)
    conditions = assertion.findall(SAML + "Conditions")
    if len(conditions) != 1:
        raise NotBelieved("the assertion does not say under which conditions it holds")
    if unknown := {node.tag for node in conditions[0]} - CONDITIONS:
        raise NotBelieved("the assertion has a condition that is not known here", sorted(unknown))
    since, until = (conditions[0].get(name) for name in ("NotBefore", "NotOnOrAfter"))
    if since and _moment(since) > now + LEEWAY:
        raise NotBelieved("the assertion is not valid yet; are both clocks right?", since)
    if until and _moment(until) <= now - LEEWAY:
        raise NotBelieved("the assertion has expired; are both clocks right?", until)
    restrictions = [
        _texts(node, SAML + "Audience")
        for node in conditions[0].iterfind(SAML + "AudienceRestriction")
    ]
    if not restrictions:
        raise NotBelieved("the assertion does not say which service it is for")
    if not all(ours.entity_id in audiences for audiences in restrictions):
        raise NotBelieved("the assertion is for another service", restrictions)


def _check_confirmation(assertion: Any, ours: Addresses, request_id: str | None) -> datetime:
    """Until when the assertion can be handed in here, by whoever bears it."""
    problem = NotBelieved("the assertion does not say that its bearer may hand it in")
    for confirmation in assertion.iterfind(f"{SAML}Subject/{SAML}SubjectConfirmation"):
        data = confirmation.find(SAML + "SubjectConfirmationData")
        if confirmation.get("Method") != Names.CM_BEARER or data is None:
            continue
        try:
            return _until(data, ours, request_id)
        except NotBelieved as refusal:
            problem = refusal
    raise problem


def _until(data: Any, ours: Addresses, request_id: str | None) -> datetime:
    now = datetime.now(UTC)
    if data.get("Recipient") != ours.acs:
        raise NotBelieved("the assertion is to be handed in elsewhere", data.get("Recipient"))
    if data.get("InResponseTo") != request_id:
        raise NotBelieved(
            "the assertion was not made for the sign-in that was begun in this browser",
            data.get("InResponseTo"),
        )
    if (since := data.get("NotBefore")) and _moment(since) > now + LEEWAY:
        raise NotBelieved("the assertion is not valid yet; are both clocks right?", since)
    until = data.get("NotOnOrAfter")
    if until is None:
        raise NotBelieved("the assertion does not say how long it may be handed in")
    if (ends := _moment(until)) <= now:
        raise NotBelieved("the assertion has expired; are both clocks right?", until)
    if ends > now + LONGEST_VALIDITY:
        raise NotBelieved("the assertion is valid for more than a day", until)
    return ends


def _verified(
    raw: bytes, settings: OneLogin_Saml2_Settings, ours: Addresses, request_id: str | None
) -> Any:
    """The assertion, once python3-saml finds nothing wrong with the answer or its signatures."""
    try:
        response = OneLogin_Saml2_Response(settings, base64.b64encode(raw))
        response.is_valid(_as_asked(ours.acs), request_id, raise_exceptions=True)
    except Invalid as error:
        raise NotBelieved(REASONS.get(error.code, UNSOUND), error) from error
    # It lets through what lxml, xmlsec and its own haste raise: whatever it is, it is a no.
    except Exception as error:
        raise NotBelieved(UNSOUND, error) from error
    return response.document.find(SAML + "Assertion")


def _as_asked(address: str) -> dict[str, Any]:
    """A request to `address` as python3-saml wants it described."""
    parts = urlsplit(address)
    return {
        "https": "on" if parts.scheme == "https" else "off",
        "http_host": parts.netloc,
        "script_name": parts.path,
        "get_data": {},
    }


def _subject(assertion: Any, provider: IdentityProvider, ours: Addresses) -> tuple[str, bool]:
    """What the provider calls the person, and whether that is an e-mail address."""
    names = assertion.findall(f"{SAML}Subject/{SAML}NameID")
    subject = "".join(names[0].itertext()).strip() if names else ""
    if not subject:
        raise NotBelieved("the assertion names nobody; map a NameID at the provider")
    if len(subject) > LONGEST_SUBJECT:
        raise NotBelieved(f"the name is longer than {LONGEST_SUBJECT} characters")
    form = names[0].get("Format")
    if form in NAMELESS:
        raise NotBelieved(f"the assertion names them {NAMELESS[form]}")
    for qualifier, expected in (
        ("SPNameQualifier", ours.entity_id),
        ("NameQualifier", provider.entity_id),
    ):
        # A persistent name means somebody only together with these (SAML core, 8.3.7).
        said = names[0].get(qualifier, expected)
        if form == Names.NAMEID_PERSISTENT and said != expected:
            raise NotBelieved("the name is one that others gave, or gave to others", said)
    return subject, form == Names.NAMEID_EMAIL_ADDRESS


def _attributes(assertion: Any, key: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for attribute in assertion.iterfind(f"{SAML}AttributeStatement/{SAML}Attribute"):
        if name := attribute.get(key):
            values = _texts(attribute, SAML + "AttributeValue")
            found.setdefault(name, []).extend(value for value in values if value)
    return found


# Judging a request to sign out -----------------------------------------------------------------


def _signed_query(query: str, provider: IdentityProvider) -> dict[str, str]:
    """The values of a query string, once its signature is found good (SAML bindings, 3.4.4.1).

    What is signed are the parts as they were sent: encoders differ, so they are not written anew.
    """
    parts: dict[str, str] = {}
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if name in parts:
            raise NotBelieved("the request says the same thing twice", name)
        parts[name] = value
    sent = {name: unquote_plus(value) for name, value in parts.items()}
    if not sent.get("SAMLRequest"):
        raise NotBelieved("it is no request to sign out")
    if not sent.get("Signature"):
        raise NotBelieved("the request is not signed; switch that on at the provider")
    if sent.get("SigAlg") not in RSA_SIGNATURES:
        raise NotBelieved(OUTDATED, sent.get("SigAlg"))
    signed = "&".join(
        f"{name}={parts[name]}" for name in ("SAMLRequest", "RelayState", "SigAlg") if name in parts
    )
    signature = _base64(sent["Signature"])
    if not any(
        OneLogin_Saml2_Utils.validate_binary_sign(signed, signature, trusted, sent["SigAlg"])
        for trusted in certificates.read(provider.certificates)
    ):
        raise NotBelieved(REASONS[Invalid.INVALID_SIGNATURE])
    return sent
