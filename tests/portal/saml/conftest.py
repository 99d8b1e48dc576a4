"""A company whose people sign in with a SAML provider that the test itself plays."""

import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from itertools import count
from typing import Any
from urllib.parse import urlencode

import pytest
from saml_forge import Asked, Forge, encoded

from tests.at_browser import JUST_NOW

ATTACKS: list[str] = []  # names of attacks that were refused as they should be


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if ATTACKS:
        terminalreporter.write_line(f"SAML: {len(ATTACKS)} attacks, each refused with its reason")


@pytest.fixture
def refused_attack() -> Callable[[str], None]:
    """Counts an attack for the line that the run ends with."""
    return ATTACKS.append


class Sign:
    """One tenant's sign-in with one provider; `browser` is where somebody tries it."""

    addresses = count(1)
    handler: Any = None

    def __init__(self, company: Any, forge: Forge) -> None:
        from authz import providers
        from tenants.models import Identity, IdentityProvider

        self.company, self.forge = company, forge
        values = {
            "name": "Example Login",
            "entity_id": forge.entity_id,
            "sso_url": "https://idp.example/sso?tenant=1&from=here",
            "slo_url": "https://idp.example/slo",
            "certificates": forge.pair.certificate,
            "groups_claim": "groups",
        }
        admin = company.people["tomas"].actor("page", signed_in=JUST_NOW)
        with self.pinned():
            self.provider = providers.draft_provider("saml", values, by=admin)
            IdentityProvider.objects.filter(pk=self.provider.pk).update(state="on")
            for name, subject in {"ada": "ada-7", "tomas": "tomas-1"}.items():
                Identity.objects.create(
                    user=company.people[name], issuer=forge.entity_id, subject=subject
                )
        self.browser = self.new_browser()

    def pinned(self) -> Any:
        from tenants.scope import pinned, tenant_scope

        return nullcontext() if pinned() else tenant_scope(self.company.scope)

    def new_browser(self) -> Any:
        """At an address of its own, so that rate limits do not add up."""
        from django.test import Client

        number = next(self.addresses)
        browser = Client(
            headers={"host": self.company.host},
            REMOTE_ADDR=f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}",
        )
        # Each handler looks through all static files once, which takes longer than most tests.
        Sign.handler = browser.handler = Sign.handler or browser.handler
        return browser

    def change(self, **fields: Any) -> None:
        from tenants.models import IdentityProvider

        with self.pinned():
            IdentityProvider.objects.filter(pk=self.provider.pk).update(**fields)

    def address(self, what: str) -> str:
        return f"/signin/saml/{self.provider.pk}/{what}/"

    def ask(self, browser: Any = None, next: str = "/") -> Asked:
        """Begin a sign-in, as far as the provider's door."""
        answer = (browser or self.browser).get("/signin/start/", {"next": next})
        assert answer.status_code == 302, answer.content.decode()
        asked = Asked.by(answer["Location"])
        asked.logout = f"http://{self.company.host}{self.address('logout')}"
        return asked

    def unasked(self) -> Asked:
        """What a provider knows that sends an answer to no question; the browser has been here."""
        self.browser.get("/signin/start/")
        here = f"http://{self.company.host}"
        return Asked(here + self.address("acs"), here + self.address("metadata"))

    def hand_in(self, message: Any, relay_state: str = "", browser: Any = None) -> Any:
        """Post an answer as our own page does, with the browser's cookie."""
        form = {
            "SAMLResponse": message if isinstance(message, str) else encoded(message),
            "RelayState": relay_state,
            "again": "1",
        }
        return self.post(form, browser)

    def post(self, form: dict[str, str], browser: Any = None) -> Any:
        return (browser or self.browser).post(
            self.address("acs"), urlencode(form), content_type=FORM
        )

    def signed_in(self, browser: Any = None) -> str | None:
        """Who, if anybody, is signed in with the browser."""
        from tenants.models import User

        browser = browser or self.browser
        with self.pinned():
            user_id = browser.session.get("_auth_user_id") if browser.cookies else None
            return User.objects.get(pk=user_id).name if user_id else None

    def last_entry(self) -> dict[str, Any]:
        """The newest entry of the ledger, with its facts."""
        from evidence.models import StagedEntry

        with self.pinned():
            staged = StagedEntry.objects.order_by("id").last()
        return {**json.loads(bytes(staged.leaf)), "facts": json.loads(bytes(staged.payload))}


FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="session")
def forge() -> Forge:
    """Its key is made once: that takes a while."""
    return Forge()


@pytest.fixture
def sign(acme: Any, forge: Forge) -> Iterator[Sign]:
    """acme's sign-in."""
    return Sign(acme, forge)
