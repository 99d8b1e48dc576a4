"""Settings, health, sign-in, hosts: what stands before any page."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.test import Client, override_settings

from tenants.models import Session
from tenants.scope import tenant_scope
from tests.at_browser import JUST_NOW

ROOT = Path(__file__).parents[2]


def _start(**changes):
    values = {key: value for key, value in os.environ.items() if key != "DJANGO_SETTINGS_MODULE"}
    for name, value in changes.items():
        if value is None:
            values.pop(name, None)
        else:
            values[name] = value
    return subprocess.run(
        [sys.executable, "-c", "import portal.settings"],
        cwd=ROOT,
        env=values,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"SECRET_KEY": None}, "SECRET_KEY is not set"),
        ({"DATABASE_URL": "mysql://x"}, "DATABASE_URL must look like postgresql://"),
        ({"DEBUG": "yes"}, "DEBUG must be 0 or 1, not 'yes'"),
        ({"DATABASE_ROLE": "root"}, "DATABASE_ROLE must be one of app, owner, auditor"),
        ({"DATABASE_POOL_SIZE": "-1"}, "DATABASE_POOL_SIZE must be a whole number"),
        ({"DEMO": "1", "HTTPS": "1"}, "DEMO=1 signs anybody in"),
        ({"REDIS_URL": None, "REDIS_URL_FILE": "/does/not/exist"}, "REDIS_URL_FILE: cannot read"),
    ],
)
def test_a_wrong_setting_stops_the_start_and_is_named(changes, said):
    started = _start(**changes)

    assert started.returncode != 0
    assert said in started.stderr


def test_a_secret_may_come_from_a_file(tmp_path):
    secret = tmp_path / "key"
    secret.write_text("from a file\n")

    assert _start(SECRET_KEY=None, SECRET_KEY_FILE=str(secret)).returncode == 0


def test_health_is_answered_by_address_to_anybody():
    anybody = Client(headers={"host": "127.0.0.1"})

    assert anybody.get("/healthz").json() == {"status": "alive"}
    assert anybody.get("/readyz").json() == {"status": "ready", "problems": {}}


def test_readiness_names_what_is_missing_and_nothing_more(tmp_path):
    with override_settings(DATA_DIR=tmp_path / "gone"):
        answer = Client(headers={"host": "127.0.0.1"}).get("/readyz")

    assert answer.status_code == 503
    assert answer.json()["problems"] == {"store": "the data folder is missing"}


def test_an_unknown_host_says_nothing_about_known_ones(acme):
    answer = Client(headers={"host": "nobody.localhost"}).get("/")

    assert answer.status_code == 404
    assert acme.slug not in answer.content.decode()


def test_the_demo_page_signs_in_people_of_this_tenant_only(acme, globex, entries):
    client = Client(headers={"host": acme.host})
    page = client.get("/signin/").content.decode()
    assert "Ada" in page
    assert str(globex.people["eve"].pk) not in page

    stranger = client.post("/signin/", {"person": str(globex.people["eve"].pk)})
    own = client.post("/signin/", {"person": str(acme.people["ada"].pk)})

    assert (stranger.status_code, own.status_code) == (404, 302)
    assert client.get("/").status_code == 200
    assert entries(acme)[-1] == ("session.open", "ok")


def test_without_demo_nobody_is_signed_in_by_picking_a_name(acme):
    client = Client(headers={"host": acme.host})

    with override_settings(DEMO=False):
        answer = client.post("/signin/", {"person": str(acme.people["ada"].pk)})

    assert answer.status_code == 503
    assert client.get("/").status_code == 302


def test_a_session_is_worth_nothing_at_another_tenant(acme, globex, sign_in):
    ada = sign_in(acme, "ada")
    cookie = ada.cookies["sessionid"].value
    elsewhere = Client(headers={"host": globex.host})
    elsewhere.cookies["sessionid"] = cookie

    assert ada.get("/").status_code == 200
    assert elsewhere.get("/").status_code == 302
    with tenant_scope(globex.scope):
        assert not Session.objects.filter(session_key=cookie).exists()


def test_whoever_is_removed_is_signed_out_at_once(acme, sign_in):
    from authz import people

    bo = sign_in(acme, "bo")
    assert bo.get("/").status_code == 200

    with tenant_scope(acme.scope):
        people.remove(acme.people["bo"], by=acme.people["tomas"].actor("page", signed_in=JUST_NOW))

    assert bo.get("/").status_code == 302


def test_signing_out_ends_the_session_and_is_recorded(acme, sign_in, entries):
    ada = sign_in(acme, "ada")

    ada.post("/signout/")

    assert ada.get("/").status_code == 302
    assert entries(acme)[-1] == ("session.end", "ok")


def test_pages_forbid_inline_scripts_and_other_origins(acme, sign_in):
    policy = sign_in(acme, "ada").get("/").headers["Content-Security-Policy"]

    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy


def test_an_address_that_leads_nowhere_is_a_page_or_a_problem(acme, sign_in):
    ada = sign_in(acme, "ada")

    page, problem = ada.get("/nowhere/"), ada.get("/api/nowhere")

    assert (page.status_code, problem.status_code) == (404, 404)
    assert problem.headers["Content-Type"] == "application/problem+json"
    assert page.headers["X-Request-Id"] in page.content.decode()


def test_a_character_that_cannot_be_stored_is_an_error_of_the_input(acme, sign_in):
    tomas = sign_in(acme, "tomas")

    answer = tomas.post(
        "/people/", {"name": "Nul\x00", "email": "nul@example.com", "roles": "auditor"}
    )

    assert answer.status_code == 422
