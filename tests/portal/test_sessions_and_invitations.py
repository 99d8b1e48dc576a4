"""Sessions end when they should; invitations let the right person in, once."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.test import Client, override_settings
from django.utils import timezone

from authz import invitations, sessions
from authz.errors import Conflict, Denied
from authz.models import Grant
from portal.signin.sessions import digest_of
from tenants.models import IdentityProvider, Invitation, Membership, Session
from tenants.scope import tenant_scope
from tests.at_browser import JUST_NOW


def _session(company, name):
    return Session.objects.get(user=company.people[name])


def _invited(company, name, **more):
    with tenant_scope(company.scope):
        by = company.people["tomas"].actor("page", signed_in=JUST_NOW)
        return invitations.invite(company.people[name], by=by, **more)


def test_the_table_knows_digests_of_cookies_only(acme, sign_in):
    cookie = sign_in(acme, "ada").cookies["sessionid"].value

    with tenant_scope(acme.scope):
        row = _session(acme, "ada")

    assert row.session_key == digest_of(cookie) != cookie
    stolen = Client(headers={"host": acme.host})
    stolen.cookies["sessionid"] = row.session_key
    assert stolen.get("/").status_code == 302


def test_signing_in_changes_the_cookie(acme):
    browser = Client(headers={"host": acme.host})
    with tenant_scope(acme.scope):
        store = browser.session
        store["before"] = 1
        store.save()
    before = browser.cookies["sessionid"].value

    browser.post("/signin/", {"person": str(acme.people["ada"].pk)})

    after = browser.cookies["sessionid"].value
    assert before != after
    with tenant_scope(acme.scope):
        assert not Session.objects.filter(session_key=digest_of(before)).exists()


def test_a_session_that_nobody_uses_ends(acme, sign_in):
    ada = sign_in(acme, "ada")
    idle = timezone.now() - timedelta(minutes=61)
    with tenant_scope(acme.scope):
        Session.objects.filter(user=acme.people["ada"]).update(seen_at=idle)

    assert ada.get("/").status_code == 302


def test_a_session_ends_however_much_it_is_used(acme, sign_in):
    ada = sign_in(acme, "ada")
    assert ada.get("/").status_code == 200
    with tenant_scope(acme.scope):
        Session.objects.filter(user=acme.people["ada"]).update(expire_date=timezone.now())

    assert ada.get("/").status_code == 302


def test_using_a_session_does_not_lengthen_it(acme, sign_in):
    ada = sign_in(acme, "ada")
    with tenant_scope(acme.scope):
        before = _session(acme, "ada")
        Session.objects.filter(pk=before.pk).update(seen_at=timezone.now() - timedelta(minutes=5))

    ada.get("/")
    store = ada.session
    with tenant_scope(acme.scope):
        store["more"] = "data"
        store.save()
        after = _session(acme, "ada")
        member = Membership.objects.get(user=acme.people["ada"])

    assert after.expire_date == before.expire_date
    assert after.handle == before.handle
    assert after.seen_at > before.opened_at
    assert member.seen_at is not None


def test_one_ends_ones_own_sessions_but_nobody_elses(acme, sign_in, entries):
    ada, bo = sign_in(acme, "ada"), sign_in(acme, "bo")

    with tenant_scope(acme.scope):
        with pytest.raises(Denied):
            sessions.end_session(
                _session(acme, "ada"),
                by=acme.people["bo"].actor("page", signed_in=JUST_NOW),
                why="x",
            )
        own = _session(acme, "bo")
        sessions.end_session(own, by=acme.people["bo"].actor("page", signed_in=JUST_NOW), why="x")

    assert ada.get("/").status_code == 200
    assert bo.get("/").status_code == 302
    assert entries(acme)[-2:] == [("session.end.denied", "denied"), ("session.end", "ok")]


def test_an_admin_ends_all_sessions_of_somebody(acme, sign_in):
    first, second = sign_in(acme, "bo"), sign_in(acme, "bo")

    with tenant_scope(acme.scope):
        tomas = acme.people["tomas"].actor("page", signed_in=JUST_NOW)
        assert sessions.end_sessions_of(acme.people["bo"], by=tomas, why="lost laptop") == 2

    assert first.get("/").status_code == second.get("/").status_code == 302


def test_whoever_is_suspended_is_out_at_the_next_request(acme, sign_in):
    bo = sign_in(acme, "bo")
    with tenant_scope(acme.scope):
        Membership.objects.filter(user=acme.people["bo"]).update(state="suspended")

    assert bo.get("/").status_code == 302


def test_an_invitation_lets_its_person_in_once(acme, entries):
    secret = _invited(acme, "bo")
    browser, other = Client(headers={"host": acme.host}), Client(headers={"host": acme.host})
    address = f"/signin/invitation/{secret}/"

    page = browser.get(address)
    assert "You are invited as Bo" in page.content.decode()
    assert browser.get("/").status_code == 302  # looking is not using
    with override_settings(DEMO=False):
        assert browser.post(address).status_code == 302
    assert "Bo" in browser.get("/").content.decode()

    assert other.get(address).status_code == other.post(address).status_code == 403
    assert entries(acme)[-3:] == [("session.open", "ok")] + [("session.open.denied", "denied")] * 2


def test_the_secret_of_an_invitation_stays_out_of_the_log(acme):
    from portal import middleware

    secret, lines = _invited(acme, "bo"), []
    with pytest.MonkeyPatch.context() as patch:
        told = SimpleNamespace(info=lambda event, **more: lines.append(more))
        patch.setattr(middleware, "log", told)
        Client(headers={"host": acme.host}).get(f"/signin/invitation/{secret}/")

    assert [line["path"] for line in lines] == ["/signin/invitation/.../"]
    assert secret not in str(lines)


@pytest.mark.parametrize("end", ["expired", "replaced", "removed", "elsewhere", "made up"])
def test_an_invitation_that_is_no_good_lets_nobody_in(acme, globex, end):
    secret = _invited(acme, "bo")
    host = acme.host
    with tenant_scope(acme.scope):
        if end == "expired":
            Invitation.objects.update(expires_at=timezone.now())
        elif end == "removed":
            Membership.objects.filter(user=acme.people["bo"]).update(state="removed")
    if end == "replaced":
        _invited(acme, "bo")
    if end == "elsewhere":
        host = globex.host
    if end == "made up":
        secret = "x" * 43

    browser = Client(headers={"host": host})

    assert browser.get(f"/signin/invitation/{secret}/").status_code == 403
    assert browser.post(f"/signin/invitation/{secret}/").status_code == 403
    assert browser.get("/").status_code == 302


def test_with_a_provider_an_invitation_only_leads_to_it(acme):
    secret = _invited(acme, "bo")
    with tenant_scope(acme.scope):
        IdentityProvider.objects.create(protocol="oidc", name="Corporate", state="on")
    browser = Client(headers={"host": acme.host})

    assert browser.post(f"/signin/invitation/{secret}/", follow=False)["Location"] == "/signin/"

    page = browser.get("/signin/").content.decode()
    assert "Continue with Corporate" in page
    assert "You were invited as <strong>Bo</strong>" in page
    assert browser.get("/").status_code == 302


def test_invitations_are_for_admins_to_make_and_for_people(acme, entries):
    from tenants.models import User

    with tenant_scope(acme.scope):
        bo, tomas = acme.people["bo"], acme.people["tomas"].actor("page", signed_in=JUST_NOW)
        with pytest.raises(Denied):
            invitations.invite(acme.people["ada"], by=bo.actor("page", signed_in=JUST_NOW))
        with pytest.raises(Conflict):
            invitations.invite(User.objects.get(kind="agent"), by=tomas)
        Membership.objects.filter(user=bo).update(state="suspended")
        with pytest.raises(Conflict):
            invitations.invite(bo, by=tomas)

    assert [action for action, _ in entries(acme)[-3:]] == [
        "member.invite.denied",
        "member.invite.refused",
        "member.invite.refused",
    ]


def test_too_many_attempts_to_sign_in_are_told_to_wait(acme, monkeypatch):
    from limits import parse

    from portal import limits

    monkeypatch.setitem(limits.ALLOWED, "signin", parse("2/minute"))
    browser = Client(headers={"host": acme.host})

    answers = [browser.get("/signin/invitation/guess/") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [403, 403, 429]
    assert "Retry-After" in answers[-1]


def test_a_suspended_tenant_is_closed_at_every_door(acme, sign_in):
    from dataclasses import replace

    from portal import middleware

    tomas = sign_in(acme, "tomas")
    closed = replace(acme.scope, suspended=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(middleware, "scope_of_host", lambda host: closed)
        answers = [tomas.get(path) for path in ("/", "/signin/", "/api/v1/me", "/people/")]

    assert {answer.status_code for answer in answers} == {503}
    assert tomas.get("/").status_code == 200


def test_roles_that_have_run_out_count_for_nothing(in_acme, sign_in):
    from authz.decisions import held_by

    bo = in_acme.people["bo"]
    Grant.objects.filter(user=bo).update(expires_at=timezone.now() - timedelta(seconds=1))

    assert held_by(bo.actor("page", signed_in=JUST_NOW)) == []
