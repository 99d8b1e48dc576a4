"""Writes SAML messages as a sound provider would, and as attackers do."""

import base64
import copy
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, quote_plus, urlencode, urlsplit
from uuid import uuid4

import xmlsec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID
from lxml import etree

SAMLP = "{urn:oasis:names:tc:SAML:2.0:protocol}"
SAML = "{urn:oasis:names:tc:SAML:2.0:assertion}"
DS = "{http://www.w3.org/2000/09/xmldsig#}"
PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
EMAIL = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
TRANSIENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
SUCCESS = "urn:oasis:names:tc:SAML:2.0:status:Success"
RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
PASSWORD = "urn:oasis:names:tc:SAML:2.0:ac:classes:Password"

Element = Any


def moment(**later: float) -> str:
    return _at(timedelta(**later))


def _at(later: timedelta) -> str:
    return (datetime.now(UTC) + later).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class KeyPair:
    """A key with a certificate, both as PEM."""

    key: str
    certificate: str

    @classmethod
    def new(cls, bits: int = 2048, *, curve: bool = False) -> "KeyPair":
        key = (
            ec.generate_private_key(ec.SECP256R1())
            if curve
            else rsa.generate_private_key(public_exponent=65537, key_size=bits)
        )
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "idp.example")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=2))
            .not_valid_after(now - timedelta(days=1))  # expired, which must not matter
            .sign(key, hashes.SHA256())
        )
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return cls(pem.decode(), certificate.public_bytes(serialization.Encoding.PEM).decode())


@dataclass
class Asked:
    """What a browser was sent to the provider with; unsolicited when there is no request id."""

    acs: str
    entity_id: str
    request_id: str | None = None
    relay_state: str = ""
    logout: str = ""

    @classmethod
    def by(cls, address: str) -> "Asked":
        query = parse_qs(urlsplit(address).query)
        packed = base64.b64decode(query["SAMLRequest"][0])
        request = etree.fromstring(zlib.decompress(packed, -15))
        return cls(
            acs=request.get("AssertionConsumerServiceURL"),
            entity_id=request.findtext(SAML + "Issuer"),
            request_id=request.get("ID"),
            relay_state=query["RelayState"][0],
        )


@dataclass
class Forge:
    """An identity provider that says whatever a test wants it to say."""

    entity_id: str = "https://idp.example/metadata"
    pair: KeyPair = field(default_factory=KeyPair.new)

    def answer(self, asked: Asked, **changes: Any) -> Element:
        """A sound answer that is not signed yet.

        changes: what it says instead; times as timedelta from the moment it is made.
        """
        said = {
            "issuer": self.entity_id,
            "response_issuer": self.entity_id,
            "destination": asked.acs,
            "in_response_to": asked.request_id,
            "confirmed_for": asked.request_id,
            "recipient": asked.acs,
            "audience": asked.entity_id,
            "not_before": moment(minutes=-1),
            "until": moment(minutes=5),
            "confirmed_until": moment(minutes=5),
            "method": BEARER,
            "name_id": "ada-7",
            "format": PERSISTENT,
            "qualifiers": {},
            "session_index": "s-1",
            "session_until": None,
            "status": SUCCESS,
            "version": "2.0",
            "id": "_a" + uuid4().hex,
            "friendly": [],
            "attributes": {"email": ["ada@acme.example"], "groups": ["builders", "readers"]},
            **{
                name: _at(said) if isinstance(said, timedelta) else said
                for name, said in changes.items()
            },
        }
        answer = etree.Element(
            SAMLP + "Response",
            nsmap={"samlp": SAMLP[1:-1], "saml": SAML[1:-1]},
            **_given(
                ID="_r" + uuid4().hex,
                Version=said["version"],
                IssueInstant=moment(),
                Destination=said["destination"],
                InResponseTo=said["in_response_to"],
            ),
        )
        _add(answer, SAML + "Issuer", said["response_issuer"])
        _add(_add(answer, SAMLP + "Status"), SAMLP + "StatusCode", Value=said["status"])
        assertion = _add(
            answer, SAML + "Assertion", "", ID=said["id"], Version="2.0", IssueInstant=moment()
        )
        _add(assertion, SAML + "Issuer", said["issuer"])
        subject = _add(assertion, SAML + "Subject", "")
        _add(subject, SAML + "NameID", said["name_id"], Format=said["format"], **said["qualifiers"])
        confirmation = _add(subject, SAML + "SubjectConfirmation", "", Method=said["method"])
        _add(
            confirmation,
            SAML + "SubjectConfirmationData",
            "",
            Recipient=said["recipient"],
            NotOnOrAfter=said["confirmed_until"],
            InResponseTo=said["confirmed_for"],
        )
        conditions = _add(
            assertion,
            SAML + "Conditions",
            "",
            NotBefore=said["not_before"],
            NotOnOrAfter=said["until"],
        )
        if said["audience"] is not None:
            _add(
                _add(conditions, SAML + "AudienceRestriction", ""),
                SAML + "Audience",
                said["audience"],
            )
        statement = _add(
            assertion,
            SAML + "AuthnStatement",
            "",
            AuthnInstant=moment(),
            SessionIndex=said["session_index"],
            SessionNotOnOrAfter=said["session_until"],
        )
        _add(_add(statement, SAML + "AuthnContext", ""), SAML + "AuthnContextClassRef", PASSWORD)
        told = etree.Element(SAML + "AttributeStatement")
        for name, values in said["attributes"].items():
            attribute = _add(told, SAML + "Attribute", Name=name)
            for value in values:
                _add(attribute, SAML + "AttributeValue", value)
        for name, friendly, value in said["friendly"]:
            attribute = _add(told, SAML + "Attribute", Name=name, FriendlyName=friendly)
            _add(attribute, SAML + "AttributeValue", value)
        if len(told):
            assertion.append(told)
        return answer

    def sound(self, asked: Asked, **changes: Any) -> Element:
        """A sound answer, signed."""
        return self.signed(self.answer(asked, **changes))

    def signed(self, answer: Element, **how: Any) -> Element:
        """The answer with its assertion signed."""
        self.sign(assertion_of(answer), **how)
        return reread(answer)

    def sign(
        self,
        node: Element,
        *,
        by: KeyPair | None = None,
        method: Any = xmlsec.Transform.RSA_SHA256,
        digest: Any = xmlsec.Transform.SHA256,
        key: Any = None,
        uri: str | None = None,
        shape: Callable[[Element], None] = lambda template: None,
    ) -> None:
        """Sign `node` inside of itself, after its Issuer. shape: changes the template before."""
        by = by or self.pair
        template = xmlsec.template.create(node, xmlsec.Transform.EXCL_C14N, method, ns="ds")
        node.insert(1, template)
        reference = xmlsec.template.add_reference(
            template, digest, uri=f"#{node.get('ID')}" if uri is None else uri
        )
        xmlsec.template.add_transform(reference, xmlsec.Transform.ENVELOPED)
        xmlsec.template.add_transform(reference, xmlsec.Transform.EXCL_C14N)
        xmlsec.template.add_x509_data(xmlsec.template.ensure_key_info(template))
        shape(template)
        xmlsec.tree.add_ids(node.getroottree().getroot(), ["ID"])
        context = xmlsec.SignatureContext()
        if key is None:
            key = xmlsec.Key.from_memory(by.key, xmlsec.KeyFormat.PEM)
            key.load_cert_from_memory(by.certificate, xmlsec.KeyFormat.PEM)
        context.key = key
        context.sign(template)

    def logout_address(
        self,
        asked: Asked,
        *,
        algorithm: str = RSA_SHA256,
        by: KeyPair | None = None,
        **changes: Any,
    ) -> str:
        """Where the provider sends a browser to sign `name_id` out here, signed."""
        said = {
            "issuer": self.entity_id,
            "destination": asked.logout,
            "issued": moment(),
            "until": moment(minutes=5),
            "name_id": "ada-7",
            "sessions": ["s-1"],
            "id": "_l" + uuid4().hex,
            "relay_state": "back-there",
            **changes,
        }
        request = etree.Element(
            SAMLP + "LogoutRequest",
            nsmap={"samlp": SAMLP[1:-1], "saml": SAML[1:-1]},
            **_given(
                ID=said["id"],
                Version="2.0",
                IssueInstant=said["issued"],
                NotOnOrAfter=said["until"],
                Destination=said["destination"],
            ),
        )
        _add(request, SAML + "Issuer", said["issuer"])
        _add(request, SAML + "NameID", said["name_id"])
        for index in said["sessions"]:
            _add(request, SAMLP + "SessionIndex", index)
        return self.logout_query(
            asked,
            etree.tostring(request),
            relay_state=said["relay_state"],
            algorithm=algorithm,
            by=by,
        )

    def logout_query(
        self,
        asked: Asked,
        xml: bytes,
        *,
        relay_state: str = "x",
        algorithm: str = RSA_SHA256,
        by: KeyPair | None = None,
        pack: Callable[[bytes], Any] | None = None,
    ) -> str:
        """Where the provider sends a browser with `xml` as a signed request."""
        query = urlencode(
            {
                "SAMLRequest": (pack or packed)(xml),
                "RelayState": relay_state,
                "SigAlg": algorithm,
            }
        )
        key = serialization.load_pem_private_key((by or self.pair).key.encode(), None)
        digest = hashes.SHA1() if algorithm.endswith("sha1") else hashes.SHA256()
        signature = key.sign(query.encode(), padding.PKCS1v15(), digest)
        return f"{asked.logout}?{query}&Signature={quote_plus(base64.b64encode(signature))}"


def reread(node: Element) -> Element:
    """The same again. What xmlsec adds to a tree is not found in it by name."""
    return etree.fromstring(etree.tostring(node))


def packed(xml: bytes) -> str:
    """As the HTTP-Redirect binding wants it."""
    return base64.b64encode(zlib.compress(xml)[2:-4]).decode()


def assertion_of(answer: Element) -> Element:
    return answer.find(SAML + "Assertion")


def without_signature(node: Element) -> Element:
    """A copy of `node` that was never signed."""
    copied = copy.deepcopy(node)
    for signature in list(copied.iter(DS + "Signature")):
        signature.getparent().remove(signature)
    return copied


def as_somebody_else(node: Element) -> Element:
    """The same message about the admin, under another ID."""
    for name in node.iter(SAML + "NameID"):
        name.text = "tomas-1"
    node.set("ID", "_evil" + uuid4().hex)
    for assertion in node.iter(SAML + "Assertion"):
        assertion.set("ID", "_evil" + uuid4().hex)
    return node


def encoded(message: Element | bytes) -> str:
    raw = message if isinstance(message, bytes) else etree.tostring(message)
    return base64.b64encode(raw).decode()


def _given(**attributes: str | None) -> dict[str, str]:
    return {name: value for name, value in attributes.items() if value is not None}


def _add(parent: Element, tag: str, text: str | None = None, **attributes: str | None) -> Element:
    """A child; none at all when it should say nothing."""
    node = etree.SubElement(parent, tag, **_given(**attributes))
    if text:
        node.text = text
    return node
