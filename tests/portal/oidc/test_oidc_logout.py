"""Logging out, both ways: we tell the provider, and the provider tells us."""

import json
import time
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.test import override_settings
from evil_provider import LOGOUT_EVENT, RSA, RSA_OTHER, SECRET, asked_of, encoded, public_pem
from oidc_browser import begin, come_back, last_entry, sessions_of

from portal.signin.sessions import SessionStore
from tenants.models import Replay, Session
from tenants.scope import tenant_scope


def _signed_in(browser, evil, **claims):
    evil.claims.update(claims)
    evil.userinfo["sub"] = evil.claims.get("sub", "ada-at-acme")
    begin(browser, evil)
    assert come_back(browser, evil).status_code == 302
    return browser


def _told(browser, token, **more):
    return browser.post("/signin/oidc/logout/", {"logout_token": token, **more})


@pytest.fixture
def ada(acme, evil, connected, sign_in):
    """Ada's browser, signed in as session-1."""
    return _signed_in(sign_in(acme), evil)


# We tell the provider


def test_signing_out_leads_to_the_provider_with_what_it_needs(acme, evil, ada):
    answer = ada.post("/signout/")

    asked = asked_of(answer["Location"]) if answer.status_code == 302 else _named(answer)
    assert asked["client_id"] == "countersign"
    assert asked["post_logout_redirect_uri"] == f"http://{acme.host}/signin/"
    # The id token that the provider gave, so that it need not ask who logs out.
    assert asked["id_token_hint"].count(".") == 2
    assert sessions_of(acme) == 0
    assert last_entry(acme)[:2] == ("session.end", "ok")


def _named(answer):
    """The address of the provider on the page that signing out shows."""
    address = answer.content.decode().split('href="http://127.0.0.1')[1].split('"')[0]
    return asked_of(address.replace("&amp;", "&"))


def test_the_table_of_sessions_does_not_tell_the_token(acme, evil, ada):
    with tenant_scope(acme.scope):
        row = Session.objects.get(user=acme.people["ada"])
        kept = SessionStore().decode(row.session_data)

    assert kept["oidc"]["hint"].startswith("v1:")  # sealed
    said = json.dumps(kept)
    assert encoded(b'{"alg": "RS256"')[:12] not in said
    assert "ada-at-acme" not in said


def test_a_provider_without_a_place_for_it_is_not_told(acme, evil, connected, sign_in):
    evil.metadata["end_session_endpoint"] = ...
    ada = _signed_in(sign_in(acme), evil)

    answer = ada.post("/signout/")

    assert (answer.status_code, answer["Location"]) == (302, "/signin/")
    assert sessions_of(acme) == 0


def test_without_the_key_the_provider_is_told_less(acme, evil, ada):
    with override_settings(SECRETS_KEYS=(b"k" * 32,)):
        answer = ada.post("/signout/")

    asked = asked_of(answer["Location"]) if answer.status_code == 302 else _named(answer)
    assert "id_token_hint" not in asked
    assert asked["client_id"] == "countersign"
    assert sessions_of(acme) == 0


def test_a_token_too_long_for_an_address_is_left_out(acme, evil, connected, sign_in):
    ada = _signed_in(sign_in(acme), evil, filler="x" * 4096)

    answer = ada.post("/signout/")

    asked = asked_of(answer["Location"]) if answer.status_code == 302 else _named(answer)
    assert "id_token_hint" not in asked


def test_who_did_not_come_from_the_provider_is_not_sent_there(acme, evil, connected, sign_in):
    tomas = sign_in(acme, "tomas")

    answer = tomas.post("/signout/")

    assert (answer.status_code, answer["Location"]) == (302, "/signin/")


# The provider tells us


MEANT = {
    "session and person": ({}, True),
    "the person alone": ({"sid": ...}, True),
    "the session alone": ({"sub": ...}, True),
    "another session of the person": ({"sid": "session-2"}, False),
    "another session": ({"sid": "session-2", "sub": ...}, False),
    "another person": ({"sub": "bo-at-acme", "sid": ...}, False),
    "this session of another person": ({"sub": "bo-at-acme"}, False),
}


@pytest.mark.parametrize("claims, ends", MEANT.values(), ids=MEANT)
def test_the_session_that_is_meant_ends_and_no_other(
    claims, ends, acme, evil, ada, sign_in, entries
):
    tomas = sign_in(acme, "tomas")

    answer = _told(sign_in(acme), evil.logout_token(**claims))

    assert (answer.status_code, answer.content) == (200, b"")
    assert "no-store" in answer["Cache-Control"]
    assert ada.get("/").status_code == (302 if ends else 200)
    assert tomas.get("/").status_code == 200
    assert (("session.end", "ok") in entries(acme)) is ends


def test_it_is_recorded_as_the_providers_doing(acme, evil, ada, sign_in):
    _told(sign_in(acme), evil.logout_token())

    action, outcome, facts = last_entry(acme)
    assert (action, outcome) == ("session.end", "ok")
    assert facts["why"] == "the identity provider ended it"
    assert facts["of"] == str(acme.people["ada"].pk)


def test_all_browsers_of_a_person_end_at_once(acme, evil, ada, sign_in):
    phone = _signed_in(sign_in(acme), evil, sid="session-2")

    _told(sign_in(acme), evil.logout_token(sid=...))

    assert (ada.get("/").status_code, phone.get("/").status_code) == (302, 302)


def test_a_session_that_the_provider_never_named_counts_as_meant(acme, evil, connected, sign_in):
    ada = _signed_in(sign_in(acme), evil, sid=...)

    _told(sign_in(acme), evil.logout_token())

    assert ada.get("/").status_code == 302


def test_a_log_out_of_nobody_who_is_here_is_fine(acme, evil, connected, sign_in):
    assert _told(sign_in(acme), evil.logout_token()).status_code == 200


def test_sessions_of_a_provider_that_is_off_now_still_end(acme, evil, connected, ada, sign_in):
    with tenant_scope(acme.scope):
        type(connected).objects.update(state="draft")

    _told(sign_in(acme), evil.logout_token())

    assert ada.get("/").status_code == 302


def test_a_token_works_once(acme, evil, connected, sign_in):
    token = evil.logout_token()
    first = _signed_in(sign_in(acme), evil)
    assert _told(sign_in(acme), token).status_code == 200
    assert first.get("/").status_code == 302
    second = _signed_in(sign_in(acme), evil)

    again = _told(sign_in(acme), token)

    assert again.status_code == 400
    assert again.json()["error_description"] == "the token was used already"
    assert second.get("/").status_code == 200
    assert last_entry(acme)[:2] == ("session.end.denied", "denied")
    with tenant_scope(acme.scope):
        assert Replay.objects.filter(kind="logout").count() == 1


def test_a_token_for_one_tenant_does_nothing_at_another(
    acme, globex, evil, ada, connect, link, sign_in
):
    connect(globex, evil.issuer, client_id="countersign-globex")
    link(globex, "eve", evil.issuer)

    answer = _told(sign_in(globex), evil.logout_token())

    assert answer.status_code == 400
    assert ada.get("/").status_code == 200


def test_two_tenants_of_one_provider_do_not_use_up_each_others_tokens(
    acme, globex, evil, ada, connect, link, sign_in
):
    connect(globex, evil.issuer)
    link(globex, "eve", evil.issuer)
    token = evil.logout_token()

    assert [_told(sign_in(company), token).status_code for company in (globex, acme)] == [200, 200]
    assert ada.get("/").status_code == 302


@dataclass
class Forgery:
    """A log-out token that is not one, and what we say to it."""

    name: str
    reason: str
    claims: dict[str, Any] = field(default_factory=dict)
    change: Any = lambda evil: None
    mangle: Any = lambda token: token


def _signs(key, algorithm="RS256"):
    def change(evil):
        evil.key, evil.algorithm = key, algorithm

    return change


NOBODY = "no identity provider that is connected here"
FORGERIES = [
    Forgery("another issuer", NOBODY, {"iss": "https://other.example"}),
    Forgery("no issuer", NOBODY, {"iss": ...}),
    Forgery("another program", NOBODY, {"aud": "another"}),
    Forgery("other programs too", NOBODY, {"aud": ["countersign", "another"]}),
    Forgery("no audience", NOBODY, {"aud": ...}),
    Forgery("given to another program", "given to another", {"azp": "another"}),
    Forgery("no event", "does not speak of a log-out", {"events": ...}),
    Forgery("another event", "does not speak of a log-out", {"events": {"x": {}}}),
    Forgery("an event that is a list", "does not speak", {"events": [LOGOUT_EVENT]}),
    Forgery("an event that is true", "does not speak", {"events": {LOGOUT_EVENT: True}}),
    Forgery("a nonce", "one for signing in", {"nonce": "x"}),
    Forgery("an empty nonce", "one for signing in", {"nonce": None}),
    Forgery("no number", "no number of its own", {"jti": ...}),
    Forgery("an odd number", "no number of its own", {"jti": 7}),
    Forgery("neither person nor session", "who logs out", {"sub": ..., "sid": ...}),
    Forgery("an empty person", "name a person", {"sub": ""}),
    Forgery("an odd session", "name its session", {"sid": ["session-1"]}),
    Forgery("an empty session", "name its session", {"sid": "", "sub": ...}),
    Forgery("no beginning", "(iat)", {"iat": ...}),
    Forgery("no end", "(exp)", {"exp": ...}),
    Forgery("an end beyond time", "(exp)", {"exp": 10**12}),
    Forgery("from the future", "from the future", {"iat": 4_000_000_000, "exp": 4_000_000_100}),
    Forgery("expired", "has expired", {"exp": 1_700_000_000}),
    Forgery("alg none", "not signed in a way", {}, _signs(None, "none")),
    Forgery(
        "the public key as a secret", "not signed in a way", {}, _signs(public_pem(RSA), "HS256")
    ),
    Forgery("the client secret", "not signed in a way", {}, _signs(SECRET.encode(), "HS256")),
    Forgery("somebody else's key", "keys signed the token", {}, _signs(RSA_OTHER)),
    Forgery("another typ", "something else", {}, lambda evil: evil.header.update(typ="at+jwt")),
    Forgery("no signature", "keys signed", {}, mangle=lambda token: token.rsplit(".", 1)[0] + "."),
    Forgery("no token", "not a signed token", {}, mangle=lambda token: "x"),
    Forgery("an endless token", "not a signed token", {}, mangle=lambda token: token * 40),
    Forgery("bytes", "cannot be read", {}, mangle=lambda token: "AAAA.A.AAAA"),
    Forgery("bytes for claims", "sound JSON", {}, mangle=lambda token: "AAAA.AAAA.AAAA"),
    Forgery(
        "the provider is gone",
        "cannot be asked",
        {},
        lambda evil: evil.answers.update(jwks=(500, {}, b"")),
    ),
]


@pytest.mark.parametrize("forgery", FORGERIES, ids=lambda forgery: forgery.name)
def test_a_forged_token_ends_nothing_and_is_recorded(
    forgery, acme, evil, connected, sign_in, refused_lie
):
    tomas = sign_in(acme, "tomas")
    forgery.change(evil)

    answer = _told(sign_in(acme), forgery.mangle(evil.logout_token(**forgery.claims)))

    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_request"
    assert forgery.reason in answer.json()["error_description"]
    assert "no-store" in answer["Cache-Control"]
    action, outcome, facts = last_entry(acme)
    assert (action, outcome) == ("session.end.denied", "denied")
    assert forgery.reason in facts["reasons"][0]
    assert tomas.get("/").status_code == 200
    with tenant_scope(acme.scope):
        assert not Replay.objects.exists()
    refused_lie(f"log-out: {forgery.name}")


def test_a_token_from_signing_in_does_not_log_out(acme, evil, ada, sign_in):
    token = evil.signed(evil.id_token_claims())

    answer = _told(sign_in(acme), token)

    assert answer.status_code == 400
    assert ada.get("/").status_code == 200


def test_a_token_of_a_stranger_makes_us_ask_nobody(acme, evil, connected, sign_in):
    _told(sign_in(acme), evil.logout_token(iss="https://other.example"))
    _told(sign_in(acme), "AAAA.AAAA.AAAA")

    assert evil.hits.total() == 0


@pytest.mark.parametrize("sent", [{}, {"logout_token": ["a", "b"]}, {"logout_token": ""}])
def test_a_request_without_one_token_is_refused(sent, acme, evil, connected, sign_in):
    assert sign_in(acme).post("/signin/oidc/logout/", sent).status_code == 400


def test_it_is_a_door_for_providers_and_not_for_browsers(acme, evil, connected, sign_in):
    from django.test import Client

    strict = Client(headers={"host": acme.host}, enforce_csrf_checks=True)

    assert strict.get("/signin/oidc/logout/").status_code == 405
    assert _told(strict, evil.logout_token()).status_code == 200


def test_forged_tokens_are_limited_and_good_ones_are_not(acme, evil, connected, sign_in):
    browser = sign_in(acme)
    where = {"REMOTE_ADDR": "192.0.2.9"}

    bad = [
        browser.post("/signin/oidc/logout/", {"logout_token": "x"}, **where).status_code
        for _ in range(61)
    ]
    good = browser.post("/signin/oidc/logout/", {"logout_token": evil.logout_token()}, **where)

    assert bad == [400] * 60 + [429]
    assert good.status_code == 200


def test_the_time_of_a_used_token_is_kept_until_it_expires(acme, evil, connected, sign_in):
    until = int(time.time()) + 120
    _told(sign_in(acme), evil.logout_token(exp=until))

    with tenant_scope(acme.scope):
        assert Replay.objects.get().expires_at.timestamp() == until + 60
