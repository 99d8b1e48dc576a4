"""Tokens: who may make which, what they reach, when they stop."""

import json
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from authz import people, tokens
from authz.errors import BadRequest, Conflict, Denied
from authz.models import ApiToken
from authz.permissions import Permission as P
from authz.roles import Role
from tenants.models import Membership
from tenants.scope import tenant_scope
from tests.at_browser import JUST_NOW


def _as(company, secret):
    return Client(headers={"host": company.host, "authorization": f"Bearer {secret}"})


def _made(company, name, *scopes, days=30):
    user = company.people[name]
    with tenant_scope(company.scope):
        return tokens.create_token(
            user, "for tests", scopes, days=days, by=user.actor("page", signed_in=JUST_NOW)
        )


def test_a_token_does_what_it_was_made_for_and_nothing_else(acme, entries):
    _, secret = _made(acme, "bo", P.TASK_VIEW)
    bo = _as(acme, secret)

    assert bo.get("/api/v1/me").json()["permissions"] == ["task.view"]
    assert bo.get("/api/v1/recommendations").status_code == 200
    assert bo.get("/api/v1/proposals").json()["count"] == 0
    assert bo.get("/api/v1/members").status_code == 403
    assert entries(acme)[-1] == ("member.view.denied", "denied")


def test_a_token_is_narrower_than_the_roles_of_its_account(acme, entries):
    _, secret = _made(acme, "tomas", P.TASK_VIEW)

    answer = _as(acme, secret).get("/api/v1/log/entries")

    assert answer.status_code == 403
    assert "made without leave" in answer.json()["detail"]
    assert entries(acme)[-1] == ("ledger.view.denied", "denied")


def test_a_token_opens_the_api_but_no_page(acme):
    _, secret = _made(acme, "bo", P.TASK_VIEW)

    assert _as(acme, secret).get("/recommendations/").status_code == 302


def test_a_token_is_worth_nothing_at_another_tenant(acme, globex):
    _, secret = _made(acme, "ada", P.TASK_VIEW)

    assert _as(globex, secret).get("/api/v1/me").status_code == 401


def test_no_token_countersigns_or_runs_people(acme):
    ada, tomas = acme.people["ada"], acme.people["tomas"]

    with tenant_scope(acme.scope):
        for user, scope in ((ada, P.PROPOSAL_COUNTERSIGN), (tomas, P.MEMBER_ADMIT)):
            assert scope not in tokens.scopes_of(user)
            with pytest.raises(BadRequest) as refusal:
                tokens.create_token(
                    user, "x", [scope], days=1, by=user.actor("page", signed_in=JUST_NOW)
                )
            assert "go beyond" in refusal.value.errors["scopes"]


def test_a_role_that_is_taken_away_is_missed_by_the_token_at_once(acme):
    _, secret = _made(acme, "iris", P.LEDGER_VIEW)
    iris = _as(acme, secret)
    assert iris.get("/api/v1/log/entries").status_code == 200

    with tenant_scope(acme.scope):
        by = acme.people["tomas"].actor("page", signed_in=JUST_NOW)
        people.change_roles(acme.people["iris"], [Role.DEVELOPER], project=None, by=by)

    assert iris.get("/api/v1/log/entries").status_code == 403


@pytest.mark.parametrize("end", ["revoked", "expired", "suspended", "removed"])
def test_a_token_stops_at_once(acme, end):
    token, secret = _made(acme, "bo", P.TASK_VIEW)
    bo = acme.people["bo"]
    assert _as(acme, secret).get("/api/v1/me").status_code == 200

    with tenant_scope(acme.scope):
        if end == "revoked":
            tokens.revoke_token(token, by=bo.actor("page", signed_in=JUST_NOW))
        elif end == "expired":
            past = timezone.now() - timedelta(seconds=1)
            ApiToken.objects.filter(pk=token.pk).update(expires_at=past)
        elif end == "suspended":
            Membership.objects.filter(user=bo).update(state="suspended")
        else:
            people.remove(bo, by=acme.people["tomas"].actor("page", signed_in=JUST_NOW))

    if end == "removed":  # somebody who comes back does not find old keys in the lock
        with tenant_scope(acme.scope):
            tomas = acme.people["tomas"].actor("page", signed_in=JUST_NOW)
            tenant = people.AsTenant(acme.scope.tenant_id)
            people.admit(
                bo.email, bo.name, [Role.DEVELOPER], tenant=tenant, project=acme.project, by=tomas
            )
    answer = _as(acme, secret).get("/api/v1/me")
    assert answer.status_code == 401
    assert answer["Content-Type"] == "application/problem+json"


def test_the_secret_is_kept_as_a_digest_and_stays_out_of_the_ledger(acme):
    from evidence.models import StagedEntry

    token, secret = _made(acme, "bo", P.TASK_VIEW)

    with tenant_scope(acme.scope):
        stored = json.dumps(list(ApiToken.objects.filter(pk=token.pk).values()), default=str)
        payloads = b"".join(bytes(one.payload or b"") for one in StagedEntry.objects.all())
    assert secret.startswith("cst_")
    assert secret not in stored
    assert secret[len(token.hint) :].encode() not in payloads
    assert token.hint.encode() in payloads


def test_the_last_use_of_a_token_is_shown(acme):
    token, secret = _made(acme, "bo", P.TASK_VIEW)

    _as(acme, secret).get("/api/v1/me")

    with tenant_scope(acme.scope):
        assert ApiToken.objects.get(pk=token.pk).used_at is not None
        assert Membership.objects.get(user=acme.people["bo"]).seen_at is not None


def test_people_make_tokens_of_their_own_only(acme, entries):
    bo, tomas = acme.people["bo"], acme.people["tomas"]

    with tenant_scope(acme.scope):
        with pytest.raises(BadRequest):
            tokens.create_token(
                bo, "x", [P.TASK_VIEW], days=1, by=tomas.actor("page", signed_in=JUST_NOW)
            )
        service = tokens.add_service(
            "CI runner",
            [Role.DEVELOPER],
            project=acme.project,
            by=tomas.actor("page", signed_in=JUST_NOW),
        )
        with pytest.raises(Denied):
            tokens.create_token(
                service, "x", [P.TASK_VIEW], days=1, by=bo.actor("page", signed_in=JUST_NOW)
            )
        token, secret = tokens.create_token(
            service,
            "x",
            [P.RECOMMENDATION_CREATE],
            days=1,
            by=tomas.actor("page", signed_in=JUST_NOW),
        )
        with pytest.raises(Denied):
            tokens.revoke_token(token, by=bo.actor("page", signed_in=JUST_NOW))

    assert _as(acme, secret).get("/api/v1/me").json()["name"] == "CI runner"
    assert entries(acme)[-4:] == [
        ("service.create", "ok"),
        ("token.create.denied", "denied"),
        ("token.create", "ok"),
        ("token.revoke.denied", "denied"),
    ]


def test_a_service_is_a_robot_in_the_ledger_and_cannot_manage_people(acme):
    tomas = acme.people["tomas"]
    with tenant_scope(acme.scope):
        service = tokens.add_service(
            "Provisioner",
            [Role.TENANT_ADMIN],
            project=None,
            by=tomas.actor("page", signed_in=JUST_NOW),
        )
        robot = service.actor("api")

        assert robot.type == "robot"
        with pytest.raises(Denied) as refusal:
            people.remove(acme.people["bo"], by=robot)
    assert refusal.value.reasons == ["only a person may remove a member"]


def test_an_agent_may_hold_a_token_within_its_own_few_rights(acme):
    from tenants.models import User

    with tenant_scope(acme.scope):
        agent = User.objects.get(kind=User.Kind.AGENT)
        by = acme.people["tomas"].actor("page", signed_in=JUST_NOW)
        _, secret = tokens.create_token(agent, "worker", [P.TASK_VIEW], days=1, by=by)
        with pytest.raises(BadRequest):
            tokens.create_token(agent, "worker", [P.LEDGER_VIEW], days=1, by=by)

    assert _as(acme, secret).get("/api/v1/recommendations").status_code == 200


@pytest.mark.parametrize(
    ("name", "days", "scopes", "field"),
    [
        ("", 1, [P.TASK_VIEW], "name"),
        ("x" * 101, 1, [P.TASK_VIEW], "name"),
        ("x", 0, [P.TASK_VIEW], "days"),
        ("x", 366, [P.TASK_VIEW], "days"),
        ("x", 1, [], "scopes"),
    ],
)
def test_a_token_that_makes_no_sense_is_refused_with_the_field(in_acme, name, days, scopes, field):
    bo = in_acme.people["bo"]

    with pytest.raises(BadRequest) as refusal:
        tokens.create_token(bo, name, scopes, days=days, by=bo.actor("page", signed_in=JUST_NOW))

    assert list(refusal.value.errors) == [field]
    assert not ApiToken.objects.exists()


def test_two_services_need_two_names(in_acme):
    by = in_acme.people["tomas"].actor("page", signed_in=JUST_NOW)
    tokens.add_service("CI", [Role.DEVELOPER], project=None, by=by)

    with pytest.raises(Conflict):
        tokens.add_service("ci", [Role.DEVELOPER], project=None, by=by)


def test_guessing_tokens_is_slowed_down_and_good_ones_still_work(acme, monkeypatch):
    from limits import parse

    from portal import limits

    monkeypatch.setitem(limits.ALLOWED, "token", parse("3/minute"))
    _, secret = _made(acme, "bo", P.TASK_VIEW)

    answers = [_as(acme, f"cst_{n}").get("/api/v1/me") for n in range(5)]

    assert [answer.status_code for answer in answers] == [401, 401, 401, 429, 429]
    assert 0 < int(answers[-1]["Retry-After"]) <= 60
    assert _as(acme, secret).get("/api/v1/me").status_code == 200


def test_when_attempts_cannot_be_counted_people_still_get_in(acme, monkeypatch):
    from limits.errors import StorageError

    from portal import limits

    def away(kind, who):
        raise StorageError(ConnectionError("no store"))

    monkeypatch.setattr(limits, "_count", away)

    assert _as(acme, "cst_wrong").get("/api/v1/me").status_code == 401
