"""Connecting, signing in and out with a provider that nobody here wrote: npm's samlp."""

import html
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests
from saml_forge import EMAIL, PERSISTENT, KeyPair

from authz import providers
from authz.metadata import read_metadata
from tenants.models import IdentityProvider, Session
from tenants.scope import tenant_scope
from tests.at_browser import JUST_NOW
from tests.browsing import chromium

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
PATIENCE = 60  # seconds
MAIL = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress"


def _node():
    """The installer's own Node.js where the machine has none."""
    return shutil.which("node", path=f"{os.environ['PATH']}{os.pathsep}{ROOT / '.tools' / 'bin'}")


class Provider:
    """The provider as a process; it knows one service and signs in one person at a time."""

    def __init__(self, folder):
        pair = KeyPair.new()
        settings = folder / "provider.json"
        settings.write_text(
            json.dumps({"issuer": "urn:samlp", "key": pair.key, "cert": pair.certificate})
        )
        if _node() is None or not (HERE / "node_modules").is_dir():
            pytest.fail("the provider is not installed: make setup-tests")
        self.process = subprocess.Popen(
            [_node(), "--no-deprecation", "identity_provider.mjs", str(settings)],
            cwd=HERE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.address = f"http://127.0.0.1:{int(self.process.stdout.readline())}"
        self.session = requests.Session()
        self.session.trust_env = False
        self.service = {}

    def stop(self):
        self.session.close()
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()

    def get(self, address):
        return self.session.get(address, allow_redirects=False, timeout=PATIENCE)

    def metadata(self):
        return self.get(f"{self.address}/metadata").text

    def know(self, **service):
        self.service |= service
        self.session.post(f"{self.address}/service", json=self.service, timeout=PATIENCE)

    def form(self, address):
        """What its page would make a browser post to us."""
        page = self.get(address)
        assert page.status_code == 200, page.text
        fields = re.findall(r'name="(\w+)"\s+value="([^"]*)"', page.text)
        return {name: html.unescape(value) for name, value in fields}


def _person(company, name, name_id, format=PERSISTENT):
    return {
        "name_id": name_id,
        "format": format,
        "attributes": {MAIL: company.people[name].email, "groups": ["builders", "readers"]},
    }


@pytest.fixture
def samlp(tmp_path):
    started = Provider(tmp_path)
    yield started
    started.stop()


class Connected:
    """acme's workspace and the provider, introduced to each other as an admin would."""

    def __init__(self, company, samlp, base):
        self.company, self.samlp = company, samlp
        with tenant_scope(company.scope):
            self.provider = providers.draft_provider(
                "saml",
                {
                    "name": "Example Login",
                    "email_claim": MAIL,
                    "groups_claim": "groups",
                    "link_by_email": True,
                    **read_metadata(samlp.metadata()),
                },
                by=company.people["tomas"].actor("page", signed_in=JUST_NOW),
            )
        here = f"{base}/signin/saml/{self.provider.pk}"
        samlp.know(
            acs=f"{here}/acs/",
            logout=f"{here}/logout/",
            entity_id=f"{here}/metadata/",
            cert=self.provider.signing_certificate,
        )

    def sign_in(self, browser, name, name_id, start="/signin/start/", **person):
        """Through the provider, by the page that sends its answer on."""
        self.samlp.know(person=_person(self.company, name, name_id, **person))
        form = self.samlp.form(browser.get(start)["Location"])
        acs = f"/signin/saml/{self.provider.pk}/acs/"
        cookies, browser.cookies = browser.cookies, type(browser.cookies)()
        page = browser.post(acs, **_form(form)).content.decode()
        browser.cookies = cookies
        sent_on = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page)
        return browser.post(acs, **_form(dict(sent_on)))

    def open_sessions(self):
        with tenant_scope(self.company.scope):
            found = Session.objects.filter(way="saml").select_related("user")
            return sorted(session.user.name for session in found)


def _form(fields):
    from urllib.parse import urlencode

    return {"data": urlencode(fields), "content_type": "application/x-www-form-urlencoded"}


@pytest.fixture
def connected(acme, samlp):
    return Connected(acme, samlp, f"http://{acme.host}")


def test_a_provider_is_connected_tested_and_switched_on(acme, connected, sign_in, entries):
    tomas, ada = sign_in(acme, "tomas"), sign_in(acme)
    test = f"/settings/sign-in/{connected.provider.pk}/test/"

    tested = connected.sign_in(tomas, "tomas", "t-1", test)
    assert tested.status_code == 302, tested.content.decode()
    with tenant_scope(acme.scope):
        provider = IdentityProvider.objects.get(pk=connected.provider.pk)
        assert provider.tested_claims["groups"] == ["builders", "readers"]
        assert provider.tested_claims["email"] == acme.people["tomas"].email
        providers.switch_on(provider, by=acme.people["tomas"].actor("page", signed_in=JUST_NOW))
    answer = connected.sign_in(ada, "ada", "a-1")

    assert (answer.status_code, answer["Location"]) == (302, "/"), answer.content.decode()
    assert ada.get("/").status_code == 200
    assert connected.open_sessions() == ["Ada"]
    assert ("identity.link", "ok") in entries(acme)
    # The second time the name is enough, whatever the address says by then.
    again = sign_in(acme)
    assert connected.sign_in(again, "lin", "a-1").status_code == 302
    assert connected.open_sessions() == ["Ada", "Ada"]


def test_signing_out_at_the_provider_signs_out_here(acme, connected, sign_in):
    with tenant_scope(acme.scope):
        IdentityProvider.objects.update(state="on")
    ada, lin = sign_in(acme), sign_in(acme)
    connected.sign_in(ada, "ada", "ada@idp.example", format=EMAIL)
    connected.sign_in(lin, "lin", "lin@idp.example", format=EMAIL)
    assert connected.open_sessions() == ["Ada", "Lin"]

    # The provider asks each session's service in turn, and verifies the signature of each answer.
    answer, asked = connected.samlp.get(f"{connected.samlp.address}/slo"), []
    while answer.status_code == 302:
        address = answer.headers["Location"]
        if address.startswith(connected.samlp.address):
            answer = connected.samlp.get(address)
        else:
            asked.append(address)
            answer = sign_in(acme).get(address)

    assert answer.status_code == 200, answer.text
    assert len(asked) == 2
    assert connected.open_sessions() == []
    assert (ada.get("/").status_code, lin.get("/").status_code) == (302, 302)


def test_the_provider_refuses_a_question_that_was_altered(acme, connected, sign_in):
    with tenant_scope(acme.scope):
        IdentityProvider.objects.update(state="on")
    connected.samlp.know(person=_person(acme, "ada", "a-1"))
    address = sign_in(acme).get("/signin/start/")["Location"]

    altered = connected.samlp.get(address.replace("RelayState=", "RelayState=x"))
    unsigned = connected.samlp.get(re.sub("&SigAlg=.*", "", address))

    assert (altered.status_code, unsigned.status_code) == (400, 400)
    assert connected.samlp.get(address).status_code == 200


@pytest.fixture
def portal(tmp_path):
    """The portal as a process of its own; returns its port."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    values = {key: value for key, value in os.environ.items() if key != "KEYS_DIR"}
    command = [sys.executable, "-m", "uvicorn", "portal.asgi:application"]
    with (tmp_path / "web.log").open("wb") as log:
        web = subprocess.Popen(
            [*command, "--lifespan", "off", "--host", "127.0.0.1", "--port", str(port)],
            cwd=ROOT,
            env={**values, "DATABASE_POOL_SIZE": "4"},
            stdout=log,
            stderr=log,
        )
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            if requests.get(f"http://127.0.0.1:{port}/readyz", timeout=PATIENCE).ok:
                break
        except requests.ConnectionError:
            time.sleep(0.1)
        if time.monotonic() > deadline:
            pytest.fail(f"the portal did not answer\n{(tmp_path / 'web.log').read_text()[-4000:]}")
    yield port
    web.terminate()
    web.wait(20)


def test_in_a_browser_with_and_without_javascript(acme, samlp, portal):
    """Where cookies are kept back as browsers do: the provider is another site."""
    base = f"http://{acme.host}:{portal}"
    connected = Connected(acme, samlp, base)
    with tenant_scope(acme.scope):
        IdentityProvider.objects.update(state="on")
    samlp.know(person=_person(acme, "ada", "a-1"))
    complaints, posts = [], []

    def complain(said):
        if said.location["url"].startswith(base):
            complaints.append(said.text)

    with chromium() as browser:
        for scripts in (True, False):
            page = browser.new_context(java_script_enabled=scripts).new_page()
            page.on("console", complain)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on(
                "request",
                lambda sent: posts.append(sent.url) if sent.method == "POST" else None,
            )
            page.goto(f"{base}/people/")
            page.get_by_role("link", name="Continue with Example Login").click()
            if not scripts:
                page.get_by_role("button", name="Submit").click()
                page.get_by_role("button", name="Continue").click()
            page.wait_for_url(f"{base}/people/")
            assert page.get_by_text("Ada", exact=True).first.is_visible()
            page.context.close()

    # Once from the provider's page, once from ours.
    assert posts == [f"{base}/signin/saml/{connected.provider.pk}/acs/"] * 4
    assert complaints == []
    assert connected.open_sessions() == ["Ada", "Ada"]
