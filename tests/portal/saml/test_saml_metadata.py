"""What an admin pastes from their provider becomes a set-up, or an error that says what to do."""

import pytest
from saml_forge import KeyPair, moment

from authz import certificates
from authz.errors import BadRequest
from authz.metadata import LONGEST, read_metadata

NAMES = 'xmlns="urn:oasis:names:tc:SAML:2.0:metadata" xmlns:ds="http://www.w3.org/2000/09/xmldsig#"'
REDIRECT = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
POST = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
SIGNING, ENCRYPTION, OLD = KeyPair.new(), KeyPair.new(), KeyPair.new(1024)


def _key(pair, use='use="signing"'):
    body = "".join(pair.certificate.splitlines()[1:-1])
    return (
        f"<KeyDescriptor {use}><ds:KeyInfo><ds:X509Data><ds:X509Certificate>\n  {body[:60]}\n"
        f"{body[60:]}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></KeyDescriptor>"
    )


def _service(kind, binding=REDIRECT, where="https://idp.example/sso?a=1&amp;b=2"):
    return f'<{kind} Binding="{binding}" Location="{where}"/>'


SSO = _service("SingleSignOnService")


def _role(*parts, name="IDPSSODescriptor", **attributes):
    said = " ".join(f'{key}="{value}"' for key, value in attributes.items())
    inside = "".join(parts)
    return (
        f'<{name} {said} protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">'
        f"{inside}</{name}>"
    )


def _entity(*roles, entity_id="https://idp.example/metadata", more=""):
    inside = "".join(roles)
    return f'<EntityDescriptor {NAMES} {more} entityID="{entity_id}">{inside}</EntityDescriptor>'


def test_metadata_becomes_the_values_of_a_draft():
    read = read_metadata(
        "\ufeff<?xml version='1.0' encoding='utf-16'?>\n<!-- from the provider -->"
        + _entity(
            _role(
                _key(SIGNING),
                _key(ENCRYPTION, 'use="encryption"'),
                _service("SingleLogoutService", POST, "https://idp.example/post"),
                _service("SingleLogoutService", REDIRECT, "https://idp.example/slo"),
                _service("SingleSignOnService", POST, "https://idp.example/post"),
                SSO,
            ),
            _role(name="SPSSODescriptor"),
        )
    )

    assert read == {
        "entity_id": "https://idp.example/metadata",
        "sso_url": "https://idp.example/sso?a=1&b=2",
        "slo_url": "https://idp.example/slo",
        "certificates": certificates.read(SIGNING.certificate)[0],
    }


def test_certificates_that_replace_each_other_are_all_kept_once():
    other = KeyPair.new()
    read = read_metadata(
        _entity(_role(_key(SIGNING, ""), _key(other), _key(SIGNING), SSO), more='ID="_1"')
    )

    assert certificates.read(read["certificates"]) == [
        *certificates.read(SIGNING.certificate),
        *certificates.read(other.certificate),
    ]
    assert read["slo_url"] == ""


def test_one_provider_among_services_is_found():
    service = _entity(_role(name="SPSSODescriptor"), entity_id="https://sp.example")
    provider = _entity(_role(_key(SIGNING), SSO))

    read = read_metadata(f"<EntitiesDescriptor {NAMES}>{service}{provider}</EntitiesDescriptor>")

    assert read["entity_id"] == "https://idp.example/metadata"


@pytest.mark.parametrize(
    ("pasted", "said"),
    [
        ("", "is not XML"),
        ("https://idp.example/metadata", "is not XML"),
        ("\ud800", "is not XML"),
        ("<html/>", "describes no SAML identity provider"),
        ("<a>" + " " * LONGEST + "</a>", "is too long"),
        (
            '<!DOCTYPE x [<!ENTITY y SYSTEM "file:///etc/hostname">]>' + _entity("&y;"),
            "defines a document type",
        ),
        (_entity(_role(name="SPSSODescriptor")), "describes no SAML identity provider"),
        (_entity(_role(_key(SIGNING), SSO), entity_id=" "), "has no entityID"),
        (_entity(_role(_key(SIGNING))), "names no sign-in address for the HTTP-Redirect binding"),
        (
            _entity(_role(_key(SIGNING), _service("SingleSignOnService", POST))),
            "names no sign-in address for the HTTP-Redirect binding",
        ),
        (_entity(_role(SSO)), "holds no certificate"),
        (_entity(_role(_key(ENCRYPTION, 'use="encryption"'), SSO)), "holds no certificate"),
        (_entity(_role(_key(OLD), SSO)), "one of its certificates has an RSA key of 1024 bits"),
        (
            _entity(_role(_key(SIGNING).replace("MII", "xxx", 1), SSO)),
            "one of its certificates is not a certificate",
        ),
        (
            _entity(_role(_key(SIGNING), _service("SingleSignOnService", where="javascript:a()"))),
            "has an address that is no web address",
        ),
        (
            _entity(_role(_key(SIGNING), SSO), more=f'validUntil="{moment(days=-1)}"'),
            "fetch it again from the provider",
        ),
        (_entity(_role(_key(SIGNING), SSO, validUntil="never")), "which is no time"),
        (
            f"<EntitiesDescriptor {NAMES}>"
            + _entity(_role(_key(SIGNING), SSO), entity_id="a")
            + _entity(_role(_key(SIGNING), SSO), entity_id="b")
            + "</EntitiesDescriptor>",
            "describes 2 identity providers",
        ),
    ],
)
def test_what_cannot_be_used_is_said_to(pasted, said):
    with pytest.raises(BadRequest) as refusal:
        read_metadata(pasted)

    assert said in refusal.value.errors["metadata"]
