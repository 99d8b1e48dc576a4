"""Reads what a SAML identity provider publishes about itself."""

import re
from datetime import UTC, datetime
from typing import Any, NoReturn

from lxml import etree

from authz import certificates
from authz.errors import BadRequest

LONGEST = 1024 * 1024  # characters; a large provider's own metadata has a tenth of this
REDIRECT = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
NAMES = {
    "md": "urn:oasis:names:tc:SAML:2.0:metadata",
    "ds": "http://www.w3.org/2000/09/xmldsig#",
}


def read_metadata(xml: str) -> dict[str, Any]:
    """The values for draft_provider() that `xml` holds: entity_id, sso_url, slo_url, certificates.

    Raises BadRequest when something is missing or malformed. A signature on it is not looked at:
    the admin who pastes it vouches for where it came from.
    """
    entity, role = _provider_in(_parsed(xml))
    entity_id = entity.get("entityID", "").strip()
    if not entity_id:
        _refuse("has no entityID, the provider's name for itself")
    sso_url = _address(role, "SingleSignOnService")
    if not sso_url:
        _refuse(
            "names no sign-in address for the HTTP-Redirect binding; switch that on at the provider"
        )
    return {
        "entity_id": entity_id,
        "sso_url": sso_url,
        "slo_url": _address(role, "SingleLogoutService"),
        "certificates": _certificates(role),
    }


def _refuse(problem: str) -> NoReturn:
    raise BadRequest({"metadata": problem})


def _parsed(xml: str) -> Any:
    if len(xml) > LONGEST:
        _refuse(f"is too long; expected at most {LONGEST // 1024} KiB")
    # Nothing is fetched and nothing is expanded, whatever the text asks for.
    parser = etree.XMLParser(
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    # What was pasted is text by now, so the encoding it declares does not hold any more.
    text = re.sub(r"^<\?xml[^>]*\?>", "", xml.strip().lstrip("\ufeff"))
    try:
        root = etree.fromstring(text.encode(), parser)
    except (etree.XMLSyntaxError, ValueError):
        _refuse("is not XML; paste the whole file, or what the provider's metadata address shows")
    if root.getroottree().docinfo.doctype:
        _refuse("defines a document type, which metadata has no use for")
    return root


def _provider_in(root: Any) -> tuple[Any, Any]:
    roles = root.xpath("//md:EntityDescriptor/md:IDPSSODescriptor", namespaces=NAMES)
    if not roles:
        _refuse("describes no SAML identity provider; is it the metadata of a service?")
    if len(roles) > 1:
        _refuse(f"describes {len(roles)} identity providers; expected the one of your company")
    entity = roles[0].getparent()
    for part in (roles[0], entity, root):
        _check_validity(part.get("validUntil"))
    return entity, roles[0]


def _check_validity(until: str | None) -> None:
    if until is None:
        return
    try:
        ends = datetime.fromisoformat(until)
    except ValueError:
        _refuse(f"says it is valid until {until[:40]!r}, which is no time")
    if (ends if ends.tzinfo else ends.replace(tzinfo=UTC)) <= datetime.now(UTC):
        _refuse(f"was valid until {until} only; fetch it again from the provider")


def _address(role: Any, service: str) -> str:
    offered = role.xpath(f"md:{service}[@Binding='{REDIRECT}']/@Location", namespaces=NAMES)
    address: str = offered[0].strip() if offered else ""
    if address and not address.lower().startswith(("https://", "http://")):
        _refuse(f"has an address that is no web address: {address[:80]!r}")
    return address


def _certificates(role: Any) -> str:
    texts = role.xpath(
        "md:KeyDescriptor[not(@use) or @use='signing']/ds:KeyInfo/ds:X509Data/ds:X509Certificate",
        namespaces=NAMES,
    )
    bodies = dict.fromkeys("".join((text.text or "").split()) for text in texts)
    pem = "\n".join(
        f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----" for body in bodies
    )
    if not pem:
        _refuse("holds no certificate for checking signatures")
    try:
        return "".join(certificates.read(pem))
    except ValueError as error:
        raise BadRequest({"metadata": f"one of its certificates {error}"}) from None
