"""Where the identity products that customers use keep what single sign-on needs of them."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tenants.models import IdentityProvider

OIDC, SAML = IdentityProvider.Protocol.OIDC.value, IdentityProvider.Protocol.SAML.value


@dataclass(frozen=True)
class Guide:
    """How to connect one product by one protocol.

    steps: what to do over there, in order. where: field -> where its value is found. values: what
    a new draft starts from.
    """

    steps: tuple[str, ...]
    where: dict[str, str] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Product:
    """An identity product. signs: parts of host names, and of paths, that give it away."""

    title: str
    guides: dict[str, Guide]
    signs: tuple[str, ...] = ()


_CLAIMS = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims"
_MICROSOFT = "http://schemas.microsoft.com"

ENTRA = Product(
    "Microsoft Entra ID",
    {
        OIDC: Guide(
            (
                "In the Entra admin centre open App registrations, then New registration. Choose"
                " accounts in this organisation only; as redirect URI choose Web and paste ours.",
                "On the Overview of the new app copy the application (client) ID and the"
                " directory (tenant) ID.",
                "Under Certificates & secrets make a new client secret and copy its Value, not its"
                " Secret ID.",
                "Under Token configuration add the optional claim email to the ID token and, if"
                " roles shall follow groups, a groups claim for the groups assigned to the app.",
            ),
            {
                "discovery_url": "https://login.microsoftonline.com/DIRECTORY-ID/v2.0/.well-known/"
                "openid-configuration, with the directory (tenant) ID in it.",
                "client_id": "Overview: Application (client) ID.",
                "client_secret": "Certificates & secrets: the Value, shown there only once.",
                "groups_claim": "Entra sends the object IDs of groups, so those are what you map."
                " With SCIM you get names instead; then leave this empty.",
                "directory_claim": "oid, if provisioning sends objectId as externalId.",
            },
            {"name": "Microsoft", "groups_claim": "groups", "directory_claim": "oid"},
            "Entra does not say whether it verified an address, so people are found by their"
            " directory id or come by invitation, not by e-mail.",
        ),
        SAML: Guide(
            (
                "In the Entra admin centre open Enterprise applications, New application, Create"
                " your own, and choose the one that is not in the gallery.",
                "Open Single sign-on, then SAML. Under Basic SAML configuration paste our entity"
                " ID as Identifier and our ACS URL as Reply URL.",
                "Under SAML certificates download the Federation Metadata XML and paste its text"
                " here.",
                "Under Attributes & claims add a group claim if roles shall follow groups.",
            ),
            {
                "entity_id": "Set up: Microsoft Entra Identifier.",
                "sso_url": "Set up: Login URL.",
                "certificates": "SAML certificates: Certificate (Base64).",
                "groups_claim": "Entra sends the object IDs of groups, so those are what you map.",
            },
            {
                "name": "Microsoft",
                "email_claim": f"{_CLAIMS}/emailaddress",
                "name_claim": f"{_MICROSOFT}/identity/claims/displayname",
                "groups_claim": f"{_MICROSOFT}/ws/2008/06/identity/claims/groups",
                "directory_claim": f"{_MICROSOFT}/identity/claims/objectidentifier",
            },
        ),
    },
    ("login.microsoftonline.com", "sts.windows.net"),
)

OKTA = Product(
    "Okta",
    {
        OIDC: Guide(
            (
                "In the Okta admin console open Applications, Create App Integration, and choose"
                " OIDC with Web Application.",
                "Paste our redirect URI as sign-in redirect URI and our post-log-out redirect URI"
                " as sign-out redirect URI.",
                "On the General tab copy the client ID and the client secret.",
                "If roles shall follow groups: on the Sign On tab set a groups claim for the ID"
                " token, named groups, with a filter such as: matches regex .*",
            ),
            {
                "discovery_url": "https://YOUR-ORG.okta.com/.well-known/openid-configuration",
                "client_id": "General tab: Client ID.",
                "client_secret": "General tab: Client secret.",
                "directory_claim": "sub: Okta's own id of a person, which its SCIM sends as"
                " externalId too.",
            },
            {"name": "Okta", "groups_claim": "groups", "directory_claim": "sub"},
        ),
        SAML: Guide(
            (
                "In the Okta admin console open Applications, Create App Integration, and choose"
                " SAML 2.0.",
                "Paste our ACS URL as Single sign-on URL and our entity ID as Audience URI. Choose"
                " the name ID format Persistent.",
                "Add the attribute statements email (user.email) and name (user.displayName), and"
                " a group attribute statement called groups.",
                "On the Sign On tab open the metadata URL and paste the XML here.",
            ),
            {
                "entity_id": "Sign On tab, More details: Issuer.",
                "sso_url": "Sign On tab, More details: Sign on URL.",
                "certificates": "Sign On tab, More details: Signing certificate.",
            },
            {"name": "Okta", "groups_claim": "groups"},
        ),
    },
    (".okta.com", ".oktapreview.com", ".okta-emea.com"),
)

KEYCLOAK = Product(
    "Keycloak",
    {
        OIDC: Guide(
            (
                "In your realm open Clients, Create client, and choose OpenID Connect. Turn on"
                " Client authentication and Standard flow.",
                "Paste our redirect URI under Valid redirect URIs, our post-log-out redirect URI"
                " under Valid post logout redirect URIs, and our back-channel log-out URI under"
                " Logout settings.",
                "On the Credentials tab copy the client secret.",
                "If roles shall follow groups: under Client scopes open the dedicated scope, add"
                " the mapper Group Membership with the token claim name groups and turn Full"
                " group path off.",
            ),
            {
                "discovery_url": "https://YOUR-HOST/realms/YOUR-REALM/.well-known/"
                "openid-configuration",
                "client_id": "What you called the client.",
                "client_secret": "Credentials tab: Client secret.",
            },
            {"name": "Keycloak", "groups_claim": "groups"},
        ),
        SAML: Guide(
            (
                "In your realm open Clients, Create client, choose SAML and paste our entity ID"
                " as client ID.",
                "Paste our ACS URL under Valid redirect URIs and as Assertion Consumer Service"
                " POST Binding URL. Choose the name ID format persistent and turn Sign assertions"
                " on.",
                "Under Client scopes open the dedicated scope and add mappers for the attributes"
                " email, name and (Group list) groups.",
                "Under Realm settings open SAML 2.0 Identity Provider Metadata and paste the XML"
                " here.",
            ),
            {
                "entity_id": "The address of your realm: https://YOUR-HOST/realms/YOUR-REALM",
                "sso_url": "https://YOUR-HOST/realms/YOUR-REALM/protocol/saml",
                "certificates": "Realm settings, Keys: the RS256 certificate.",
            },
            {"name": "Keycloak", "groups_claim": "groups"},
        ),
    },
    ("/realms/",),
)

OTHER = Product("Another provider", {OIDC: Guide(()), SAML: Guide(())})

PRODUCTS = {"entra": ENTRA, "okta": OKTA, "keycloak": KEYCLOAK, "other": OTHER}


def product_of(provider: IdentityProvider) -> Product:
    """The product that a provider's addresses belong to; without any, the one it is named after."""
    for address in filter(None, (provider.discovery_url, provider.sso_url)):
        parts = urlsplit(address)
        for product in PRODUCTS.values():
            for sign in product.signs:
                where = parts.path if sign.startswith("/") else parts.hostname or ""
                if sign in where:
                    return product
    for product in PRODUCTS.values():
        if product.guides[provider.protocol].values.get("name") == provider.name:
            return product
    return OTHER
