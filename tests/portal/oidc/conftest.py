"""A provider that is connected to acme and knows Ada."""

import secrets

import pytest
from evil_provider import SECRET, Server

from tests.at_browser import JUST_NOW

# What needs Django is imported late: this file may be read before the settings are there.

REFUSED: list[str] = []  # names of lies that were refused as they should be
HANDLER = {}  # the one of all browsers


def pytest_terminal_summary(terminalreporter):
    if REFUSED:
        terminalreporter.write_line(
            f"OpenID Connect: {len(REFUSED)} lies, each refused with its reason"
        )


@pytest.fixture
def refused_lie():
    """Counts a lie for the line that the run ends with."""
    return REFUSED.append


@pytest.fixture
def sign_in(sign_in):
    """As everywhere, with one handler for all browsers.

    Each handler looks through all static files once, which takes longer than most tests here.
    """

    def signed_in(company, name=None):
        client = sign_in(company, name)
        client.handler = HANDLER.setdefault("one", client.handler)
        return client

    return signed_in


@pytest.fixture(scope="session")
def evil_server():
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def evil(evil_server):
    """A provider of this test alone, honest until the test says otherwise."""
    return evil_server.provider(secrets.token_hex(8))


@pytest.fixture
def connect():
    """Connects a provider to a company and switches it on, without the test sign-in."""
    from authz import providers
    from tenants.models import IdentityProvider
    from tenants.scope import tenant_scope

    def connected(company, issuer, client_id="countersign", secret=SECRET, **values):
        with tenant_scope(company.scope):
            provider = providers.draft_provider(
                "oidc",
                {
                    "name": "Acme ID",
                    "discovery_url": f"{issuer}/.well-known/openid-configuration",
                    "client_id": client_id,
                    "client_secret": secret,
                    "groups_claim": "groups",
                    **values,
                },
                by=company.people["tomas"].actor("page", signed_in=JUST_NOW),
            )
            IdentityProvider.objects.filter(pk=provider.pk).update(state="on")
            provider.refresh_from_db()
        return provider

    return connected


@pytest.fixture
def link():
    """Tells a company by which name a provider knows a person."""
    from tenants.models import Identity
    from tenants.scope import tenant_scope

    def linked(company, person, issuer, subject="ada-at-acme"):
        with tenant_scope(company.scope):
            return Identity.objects.create(
                user=company.people[person], issuer=issuer, subject=subject
            )

    return linked


@pytest.fixture
def connected(acme, evil, connect, link):
    """acme signs in with `evil`, which knows Ada."""
    provider = connect(acme, evil.issuer)
    link(acme, "ada", evil.issuer)
    return provider
