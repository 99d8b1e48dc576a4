"""Break-glass: asked for with a reason, let in by a second person, over by itself, seen by all."""

import json
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from authz import emergency
from authz.decisions import held_by, may
from authz.errors import BadRequest, Conflict, Denied
from authz.jobs import tidy
from authz.models import Emergency
from authz.people import AsTenant
from authz.permissions import Permission as P
from tenants.models import Membership, Session, User
from tenants.scope import tenant_scope
from tests.at_browser import JUST_NOW

OLGA = emergency.operator_actor("olga@platform.example", "Olga")
OSCAR = emergency.operator_actor("oscar@platform.example", "Oscar")
REASON = "Sign-in is broken since the certificate changed; I will replace it."


def _asked(minutes=30):
    return emergency.request_access("Olga", "olga@platform.example", REASON, minutes, by=OLGA)


def _entered(company):
    """Olga's browser, let in by tomas."""
    with tenant_scope(company.scope):
        one = _asked()
        emergency.approve(one, by=company.people["tomas"].actor("page", signed_in=JUST_NOW))
        secret = emergency.entry_secret(one, by=OLGA)
    browser = Client(headers={"host": company.host})
    assert browser.post(f"/signin/invitation/{secret}/").status_code == 302
    return one, browser, secret


def test_an_operator_comes_in_after_a_tenant_admin_let_them_in(acme, entries):
    one, browser, secret = _entered(acme)

    assert browser.get("/people/").status_code == 200
    assert browser.get("/audit/").status_code == 200
    assert browser.post(f"/signin/invitation/{secret}/").status_code == 403  # once
    steps = [action for action, _ in entries(acme)]
    assert steps[-5:] == [
        "emergency.request",
        "emergency.approve",
        "member.invite",
        "session.open",
        "session.open.denied",
    ]
    with tenant_scope(acme.scope):
        session = Session.objects.get(way="emergency")
        one.refresh_from_db()
        assert session.expire_date == one.expires_at


def test_an_operator_repairs_but_never_decides(acme):
    one, _, _ = _entered(acme)

    with tenant_scope(acme.scope):
        one.refresh_from_db()
        olga = one.user.actor("page", signed_in=JUST_NOW)
        tenant = AsTenant(acme.scope.tenant_id)
        assert may(olga, P.PROVIDER_CHANGE, tenant)
        for denied in (P.PROPOSAL_COUNTERSIGN, P.RECOMMENDATION_CREATE, P.PACK_EXPORT):
            assert not may(olga, denied, tenant)
        assert not may(olga, P.EMERGENCY_APPROVE, tenant)


def test_nobody_lets_themselves_in(in_acme, entries):
    one = _asked()

    with pytest.raises(Denied) as refusal:
        emergency.approve(one, by=OLGA)

    assert "a second person" in refusal.value.reasons[0]
    assert entries(in_acme)[-1] == ("emergency.approve.denied", "denied")
    emergency.approve(one, by=OSCAR)
    one.refresh_from_db()
    assert (one.state, one.decided_by) == ("approved", "Oscar")


@pytest.mark.parametrize("name", ["ada", "bo", "iris"])
def test_only_a_tenant_admin_lets_operators_in(acme, sign_in, name):
    with tenant_scope(acme.scope):
        one = _asked()

    answer = sign_in(acme, name).post(f"/settings/emergency/{one.pk}/", {"answer": "approve"})

    assert answer.status_code == 403
    with tenant_scope(acme.scope):
        one.refresh_from_db()
        assert one.state == "requested"


def test_everybody_sees_that_an_operator_may_come_in(acme, sign_in):
    with tenant_scope(acme.scope):
        one = _asked()
    asked = {name: sign_in(acme, name).get("/").content.decode() for name in ("tomas", "bo")}
    assert "asks to enter" in asked["tomas"]
    assert "Olga" not in asked["bo"]

    tomas = sign_in(acme, "tomas")
    assert REASON[:20] in tomas.get("/settings/emergency/").content.decode()
    tomas.post(f"/settings/emergency/{one.pk}/", {"answer": "approve"})

    for name in ("tomas", "ada", "bo", "iris"):
        assert "may enter this workspace until" in sign_in(acme, name).get("/").content.decode()


def test_the_admin_ends_it_and_the_operator_is_out_at_once(acme, sign_in):
    one, browser, _ = _entered(acme)

    sign_in(acme, "tomas").post(f"/settings/emergency/{one.pk}/", {"answer": "end"})

    assert browser.get("/people/").status_code == 302
    with tenant_scope(acme.scope):
        one.refresh_from_db()
        assert one.state == "ended"
        assert Membership.objects.get(user=one.user).state == "removed"


def test_when_the_time_is_over_nothing_is_left_of_it(acme, entries):
    one, browser, _ = _entered(acme)
    past = timezone.now() - timedelta(seconds=1)
    with tenant_scope(acme.scope):
        one.refresh_from_db()
        one.user.grants.update(expires_at=past)
        Emergency.objects.filter(pk=one.pk).update(expires_at=past)
        assert held_by(one.user.actor("page", signed_in=JUST_NOW)) == []  # before any schedule ran
        with pytest.raises(Conflict):
            emergency.entry_secret(one, by=OLGA)

    tidy()

    assert browser.get("/people/").status_code == 302
    assert entries(acme)[-1] == ("emergency.end", "ok")
    with tenant_scope(acme.scope):
        assert not Session.objects.filter(user=one.user).exists()


def test_a_request_that_nobody_answers_lapses(acme):
    with tenant_scope(acme.scope):
        one = _asked()
        old = timezone.now() - timedelta(hours=25)
        Emergency.objects.filter(pk=one.pk).update(requested_at=old)
        with pytest.raises(Conflict):
            emergency.approve(one, by=OSCAR)

    tidy()

    with tenant_scope(acme.scope):
        one.refresh_from_db()
        assert one.state == "ended"
        assert not User.objects.filter(email__startswith="emergency.").exists()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"operator": " "}, "operator"),
        ({"email": "olga"}, "email"),
        ({"reason": "broken"}, "reason"),
        ({"minutes": 4}, "minutes"),
        ({"minutes": 241}, "minutes"),
    ],
)
def test_a_request_needs_a_name_a_reason_and_an_end(in_acme, change, field):
    good = {"operator": "Olga", "email": "o@p.example", "reason": REASON, "minutes": 30}

    with pytest.raises(BadRequest) as refusal:
        emergency.request_access(**good | change, by=OLGA)

    assert list(refusal.value.errors) == [field]


def test_one_emergency_at_a_time(in_acme):
    _asked()

    with pytest.raises(Conflict):
        _asked()


def test_refused_is_refused(acme, sign_in):
    with tenant_scope(acme.scope):
        one = _asked()

    sign_in(acme, "tomas").post(f"/settings/emergency/{one.pk}/", {"answer": "refuse"})

    with tenant_scope(acme.scope):
        with pytest.raises(Conflict):
            emergency.approve(one, by=OSCAR)
        with pytest.raises(Conflict):
            emergency.entry_secret(one, by=OLGA)


def test_the_reason_is_in_the_ledger(in_acme):
    from evidence.models import StagedEntry

    _asked()

    newest = StagedEntry.objects.order_by("-id").first()
    assert json.loads(bytes(newest.payload))["reason"] == REASON


def test_the_command_walks_an_operator_through(acme, capsys):
    from django.core.management import CommandError, call_command

    def run(step, who="Olga", **more):
        call_command(
            "break_glass",
            acme.host,
            step,
            operator=who,
            email=f"{who.lower()}@platform.example",
            **more,
        )
        return capsys.readouterr().out

    assert "sees your request" in run("request", reason=REASON, minutes=15)
    with pytest.raises(CommandError, match="second person"):
        run("approve")
    assert "may enter" in run("approve", who="Oscar")
    with pytest.raises(CommandError, match="only the operator who asked"):
        run("enter", who="Oscar")
    link = run("enter").split()[-1]
    assert link.startswith(f"http://{acme.host}")
    assert "/signin/invitation/" in link
    assert "is out" in run("end")
