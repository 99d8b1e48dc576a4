"""Signing in and out with a certified provider that nobody here wrote: npm's oidc-provider."""

import html
import json
import os
import re
import shutil
import socket
import subprocess
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urljoin, urlsplit

import pytest
import requests
from django.db import connections
from django.test import Client
from oidc_browser import last_entry, sessions_of

from authz import providers
from portal.signin import oidc_provider
from tenants.models import Identity, IdentityProvider, Session
from tenants.scope import tenant_scope
from tests.at_browser import JUST_NOW

HERE = Path(__file__).parent
ROOT = HERE.parents[2]


def _free_port():
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


def _node():
    """The installer's own Node.js if it had to bring one, otherwise the machine's."""
    return shutil.which("node", path=f"{ROOT / '.tools' / 'bin'}{os.pathsep}{os.environ['PATH']}")


class Certified:
    """The provider as a process, with one client: the company's workspace."""

    def __init__(self, company, told_at):
        self.port = _free_port()
        self.issuer = f"http://127.0.0.1:{self.port}"
        self.asked = {
            "port": self.port,
            "domain": f"{company.slug}.example",
            "clients": [
                {
                    "client_id": "countersign",
                    "client_secret": "a secret: with a colon",
                    "redirect_uris": [f"http://{company.host}/signin/oidc/callback/"],
                    "post_logout_redirect_uris": [f"http://{company.host}/signin/"],
                    "backchannel_logout_uri": told_at,
                    "backchannel_logout_session_required": True,
                }
            ],
        }
        self.process = None

    def start(self, kid="first"):
        node = _node()
        if node is None or not (HERE / "node_modules").is_dir():
            pytest.fail("the certified provider is not installed: make setup-tests")
        self.process = subprocess.Popen(
            [node, "provider.mjs", json.dumps({**self.asked, "kid": kid})],
            cwd=HERE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout.readline() == "ready\n"

    def stop(self):
        self.process.terminate()
        self.process.wait(10)
        self.process.stdout.close()


class PersonAtProvider:
    """A browser's part at the provider: fills in its forms, until it is sent back to us."""

    def __init__(self, name):
        self.name = name
        self.session = requests.Session()
        self.session.trust_env = False

    def follow(self, address):
        """The address, outside of the provider, that all this ends at; or the page it ends on."""
        answer = self.session.get(address, allow_redirects=False)
        for _ in range(12):
            if answer.is_redirect:
                to = urljoin(answer.url, answer.headers["Location"])
                if urlsplit(to).netloc != urlsplit(address).netloc:
                    return to
                answer = self.session.get(to, allow_redirects=False)
            elif form := re.search(
                r'<form[^>]*action="([^"]+)"[^>]*>(.*?)</form>', answer.text, re.S
            ):
                where = urljoin(answer.url, html.unescape(form[1]))
                answer = self.session.post(where, self.filled(form[2]), allow_redirects=False)
            else:
                return answer.text
        raise AssertionError("the provider leads nowhere")

    def filled(self, form):
        hidden = re.findall(r'name="(\w+)"[^>]*value="([^"]*)"', form)
        said = {"login": self.name, "password": "any", "logout": "yes"}
        return {**said, **{name: html.unescape(value) for name, value in hidden}}


@pytest.fixture
def told_at(acme):
    """An address of this machine that hands what it is told on to acme's workspace."""
    answers = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = Client(headers={"host": acme.host}).post(
                "/signin/oidc/logout/", body, content_type=self.headers["Content-Type"]
            )
            answers.append(answer.status_code)
            connections.close_all()
            self.send_response(answer.status_code)
            self.end_headers()

        def log_message(self, *said):
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", answers
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def certified(acme, told_at, connect, link):
    """acme signs in with the certified provider, which knows Ada as `ada`."""
    provider = Certified(acme, told_at[0])
    provider.start()
    connect(acme, provider.issuer, secret="a secret: with a colon")
    link(acme, "ada", provider.issuer, "ada")
    yield provider
    provider.stop()


def _local(address, company):
    return address.partition(company.host)[2]


def _sign_in(browser, person, company, start="/signin/start/?next=/people/"):
    return browser.get(_local(person.follow(browser.get(start)["Location"]), company))


def test_ada_signs_in_and_out_with_a_provider_that_is_certified(
    acme, certified, sign_in, told_at, entries
):
    browser, person = sign_in(acme), PersonAtProvider("ada")

    answer = _sign_in(browser, person, acme)

    assert (answer.status_code, answer["Location"]) == (302, "/people/")
    assert browser.get("/people/").wsgi_request.user == acme.people["ada"]
    with tenant_scope(acme.scope):
        session = Session.objects.get(user=acme.people["ada"])
        assert (session.way, bool(session.provider_session)) == ("oidc", True)
        assert Identity.objects.get().groups == ["everybody", "reviewers"]

    page = browser.post("/signout/").content.decode()
    there = html.unescape(re.search(r'href="(http://127[^"]+)"', page)[1])
    back = person.follow(there)

    assert back == f"http://{acme.host}/signin/"
    assert sessions_of(acme) == 0
    assert told_at[1] == [200]  # the provider told us as well; there was nothing left to end
    assert ("session.end", "ok") in entries(acme)
    # The provider has forgotten her: it asks for a name again.
    assert "password" in person.session.get(browser.get("/signin/start/")["Location"]).text


def test_who_logs_out_at_the_provider_is_signed_out_here(acme, certified, sign_in, told_at):
    browser, tomas, person = sign_in(acme), sign_in(acme, "tomas"), PersonAtProvider("ada")
    _sign_in(browser, person, acme)
    assert browser.get("/").status_code == 200

    person.follow(f"{certified.issuer}/session/end")

    assert told_at[1] == [200]
    assert browser.get("/").status_code == 302
    assert tomas.get("/").status_code == 200
    action, outcome, facts = last_entry(acme)
    assert (action, outcome) == ("session.end", "ok")
    assert facts["why"] == "the identity provider ended it"


def test_somebody_the_company_does_not_know_is_refused(acme, certified, sign_in):
    browser = sign_in(acme)

    answer = _sign_in(browser, PersonAtProvider("mallory"), acme)

    assert answer.status_code == 403
    assert "you have no account here" in answer.context["reason"]
    assert sessions_of(acme) == 0


def test_somebody_new_is_let_in_when_the_company_wants_that(acme, certified, sign_in):
    with tenant_scope(acme.scope):
        IdentityProvider.objects.update(create_people=True)
    browser = sign_in(acme)

    answer = _sign_in(browser, PersonAtProvider("nina"), acme)

    assert answer.status_code == 302
    user = browser.get("/").wsgi_request.user
    assert (user.email, user.name) == (f"nina@{acme.slug}.example", "Nina")


def test_a_new_key_of_the_provider_is_taken_up(acme, certified, sign_in):
    first, second = sign_in(acme), sign_in(acme)
    assert _sign_in(first, PersonAtProvider("ada"), acme).status_code == 302
    certified.stop()
    certified.start(kid="second")

    answer = _sign_in(second, PersonAtProvider("ada"), acme)

    assert answer.status_code == 302
    assert second.get("/").status_code == 200


def test_a_wrong_secret_is_refused_by_the_provider_and_named(acme, certified, sign_in):
    with tenant_scope(acme.scope):
        IdentityProvider.objects.update(state="draft")
        provider = IdentityProvider.objects.get()
        providers.change_provider(
            provider,
            {"client_secret": "wrong"},
            by=acme.people["tomas"].actor("page", signed_in=JUST_NOW),
        )
        IdentityProvider.objects.update(state="on")

    answer = _sign_in(sign_in(acme), PersonAtProvider("ada"), acme)

    assert answer.status_code == 403
    assert "does not accept the client id and secret" in answer.context["reason"]


def test_an_admin_tests_a_draft_and_switches_it_on(acme, certified, sign_in):
    with tenant_scope(acme.scope):
        IdentityProvider.objects.update(state="draft")
        provider = IdentityProvider.objects.get()
    tomas = sign_in(acme, "tomas")

    answer = _sign_in(
        tomas, PersonAtProvider("tomas"), acme, f"/settings/sign-in/{provider.pk}/test/"
    )

    assert answer.status_code == 302
    with tenant_scope(acme.scope):
        provider.refresh_from_db()
        assert provider.tested_claims["email"] == f"tomas@{acme.slug}.example"
        providers.switch_on(provider, by=acme.people["tomas"].actor("page", signed_in=JUST_NOW))
    again = sign_in(acme)
    assert _sign_in(again, PersonAtProvider("tomas"), acme).status_code == 302
    assert again.get("/").wsgi_request.user == acme.people["tomas"]


def test_the_person_who_stops_at_the_provider_is_told_so(acme, certified, sign_in):
    browser, person = sign_in(acme), PersonAtProvider("ada")
    page = person.session.get(browser.get("/signin/start/")["Location"])
    cancel = re.search(r'href="([^"]*/abort)"', page.text)

    answer = person.session.get(urljoin(page.url, cancel[1]), allow_redirects=False)
    while urlsplit(answer.headers["Location"]).netloc != acme.host:
        answer = person.session.get(
            urljoin(answer.url, answer.headers["Location"]), allow_redirects=False
        )
    answer = browser.get(_local(answer.headers["Location"], acme))

    assert answer.status_code == 403
    assert "did not let you in, or you stopped there" in answer.context["reason"]
    assert last_entry(acme)[2]["error"] == "access_denied"


def test_its_metadata_is_understood_whole(acme, certified):
    with tenant_scope(acme.scope):
        metadata = oidc_provider.metadata_of(IdentityProvider.objects.get())

    assert metadata.issuer == certified.issuer
    assert metadata.names_itself
    assert metadata.secret_in_header
    assert metadata.algorithms == {"RS256"}
    assert metadata.end_session_endpoint == f"{certified.issuer}/session/end"


def test_its_lock_file_names_no_server_and_pins_everything():
    asked = json.loads((HERE / "package.json").read_text())
    lock = json.loads((HERE / "package-lock.json").read_text())
    installed = {name: found for name, found in lock["packages"].items() if name}

    assert lock["packages"][""]["dependencies"] == asked["dependencies"]
    assert installed["node_modules/oidc-provider"]["version"] == "9.13.3"
    assert all("integrity" in found and "resolved" not in found for found in installed.values())
