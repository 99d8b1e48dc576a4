"""The catalogue in the browser and through the API, tried by ada, bo and eve."""

import json

import pytest

from agent import catalogue_sources, own_catalogue, queue
from agent.models import CatalogueEntry, CatalogueRefresh, CatalogueSource
from tenants.actor import system_actor
from tenants.scope import tenant_scope
from tests.agent.test_own_catalogue import HOUSE, reading_of

STANDARD = {"verdict": "banned", "reason": "contract ended"}


@pytest.fixture
def refresh(acme) -> CatalogueRefresh:
    with tenant_scope(acme.scope):
        return own_catalogue.propose_refresh(
            "endoflife", reading_of(), by=system_actor("operator", "cli")
        )


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("q=postgres", "PostgreSQL"),
        ("q=Apache+Kafka+4.1", "Apache Kafka"),
        ("layer=feature-flags", "LaunchDarkly"),
        ("q=Postgrsql", "Did you mean"),
        ("q=no+such+thing", "Nothing is called"),
    ],
)
def test_people_find_a_technology_as_they_write_it(acme, sign_in, asked, found):
    answer = sign_in(acme, "bo").get(f"/catalogue/?{asked}")

    assert answer.status_code == 200
    assert found in answer.content.decode()


def test_a_technology_shows_each_fact_with_source_grade_and_age(acme, sign_in):
    shown = sign_in(acme, "bo").get("/catalogue/of/postgresql/").content.decode()

    for words in ("postgresql.license", "by hand", "endoflife.date data", "Release lines", "due"):
        assert words in shown, words
    assert "kept is “PostgreSQL”" in shown  # a list says otherwise, and both are shown
    assert "Keep the standard" not in shown
    assert (
        "Keep the standard" in sign_in(acme, "tomas").get("/catalogue/of/vault/").content.decode()
    )
    assert sign_in(acme, "bo").get("/catalogue/of/nothing/").status_code == 404


def test_the_quality_page_shows_the_figures_and_ages(acme, sign_in):
    shown = sign_in(acme, "iris").get("/catalogue/quality/").content.decode()

    for words in ("Within their age limit", "days old", "python 3.8 ended on 2024-10-07"):
        assert words in shown, words


@pytest.mark.parametrize(("name", "status"), [("tomas", 302), ("bo", 403), ("iris", 403)])
def test_only_who_may_sets_a_standard(acme, sign_in, name, status):
    answer = sign_in(acme, name).post("/catalogue/of/mongodb/", STANDARD)

    assert answer.status_code == status
    with tenant_scope(acme.scope):
        assert CatalogueEntry.objects.exists() == (status == 302)


def test_a_standard_is_shown_where_the_technology_is_and_to_nobody_else(acme, globex, sign_in):
    sign_in(acme, "tomas").post("/catalogue/of/mongodb/", STANDARD)

    assert "contract ended" in sign_in(acme, "bo").get("/catalogue/of/mongodb/").content.decode()
    banned = sign_in(acme, "bo").get("/catalogue/?standard=banned").content.decode()
    assert "MongoDB" in banned
    eve = sign_in(globex, "eve").get("/catalogue/of/mongodb/").content.decode()
    assert "contract ended" not in eve


def test_the_form_adds_a_technology_or_says_what_is_wrong(acme, globex, sign_in):
    browser = sign_in(acme, "tomas")

    refused = browser.post("/catalogue/new/", {**HOUSE, "id": "Not An Id"})
    added = browser.post("/catalogue/new/", HOUSE)

    assert "expected 2 to 61 small letters" in refused.content.decode()
    assert "House queue" in refused.content.decode()  # nothing typed is lost
    assert added["Location"] == "/catalogue/of/house-queue/"
    assert browser.get("/catalogue/of/house-queue/").status_code == 200
    assert sign_in(globex, "eve").get("/catalogue/of/house-queue/").status_code == 404
    assert sign_in(acme, "bo").get("/catalogue/new/").status_code == 403


def test_what_you_added_is_taken_back_on_its_page_and_through_the_api(acme, globex, sign_in):
    browser = sign_in(acme, "tomas")
    browser.post("/catalogue/new/", HOUSE)
    fact = {"attribute": "capability.rbac", "value": "yes", "source": "wiki"}
    browser.post("/catalogue/of/house-queue/", fact)
    address = "/api/v1/catalogue/technologies/house-queue"

    shown = browser.get("/catalogue/of/house-queue/").content.decode()
    assert "Remove House queue" in shown
    assert "Take back" in shown
    assert sign_in(globex, "eve").delete(address).status_code == 404
    assert sign_in(acme, "bo").delete(address).status_code == 403
    assert "Remove" not in sign_in(acme, "bo").get("/catalogue/of/house-queue/").content.decode()

    fact_gone = browser.delete(f"{address}/facts/capability.rbac")
    gone = browser.post("/catalogue/of/house-queue/", {"remove": ""})

    assert fact_gone.status_code == 204
    assert gone["Location"] == "/catalogue/"
    assert browser.get("/catalogue/of/house-queue/").status_code == 404
    assert browser.delete(address).status_code == 404
    assert browser.post("/catalogue/of/vault/", {"remove": ""}).status_code == 409


def test_a_wrong_fact_is_refused_with_its_field(acme, sign_in):
    answer = sign_in(acme, "tomas").post(
        "/catalogue/of/vault/", {"attribute": "nonsense", "value": "1", "source": "x"}
    )

    assert answer.status_code == 400
    assert "nonsense is not in attributes.yaml" in answer.content.decode()


@pytest.mark.parametrize(
    ("name", "at", "status"), [("tomas", "acme", 302), ("bo", "acme", 403), ("eve", "globex", 404)]
)
def test_only_a_person_who_may_countersigns_a_refresh(
    request, acme, globex, sign_in, refresh, name, at, status
):
    company = acme if at == "acme" else globex
    address = f"/catalogue/refreshes/{refresh.pk}/"

    answer = sign_in(company, name).post(address, {"answer": "accept", "digest": refresh.digest})

    assert answer.status_code == status
    with tenant_scope(acme.scope):
        assert CatalogueRefresh.objects.get().state == ("accepted" if status == 302 else "open")


def test_a_refresh_shows_what_changes_before_it_is_countersigned(acme, sign_in, refresh):
    browser = sign_in(acme, "tomas")

    listed = browser.get("/catalogue/refreshes/").content.decode()
    shown = browser.get(f"/catalogue/refreshes/{refresh.pk}/").content.decode()

    assert "waits for a person" in listed
    for words in ("99.0", "python 3.8 has ended", "Countersign", "would end as they did"):
        assert words in shown, words
    assert "Countersign</button>" not in (
        sign_in(acme, "bo").get(f"/catalogue/refreshes/{refresh.pk}/").content.decode()
    )


def _send(browser, method, address, body):
    return getattr(browser, method)(address, json.dumps(body), content_type="application/json")


def test_programs_read_and_change_the_catalogue(acme, globex, sign_in, refresh):
    api, eve = "/api/v1/catalogue", sign_in(globex, "eve")
    tomas, bo = sign_in(acme, "tomas"), sign_in(acme, "bo")
    body = {**HOUSE, "aliases": ["hq"]}

    assert bo.get(f"{api}/technologies?name=Postgres+17").json()["items"][0]["id"] == "postgresql"
    assert bo.get(f"{api}/technologies?layer=search&limit=5").json()["count"] > 10
    facts = bo.get(f"{api}/technologies/valkey").json()["facts"]
    assert {"known", "unknown"} <= {fact["state"] for fact in facts}
    assert _send(bo, "post", f"{api}/technologies", body).status_code == 403
    assert _send(tomas, "post", f"{api}/technologies", body).status_code == 201
    standard = _send(tomas, "put", f"{api}/technologies/house-queue/standard", STANDARD)
    assert standard.json()["standard"] == "banned"
    said = {"attribute": "capability.rbac", "value": "yes", "source": "wiki"}
    assert _send(tomas, "post", f"{api}/technologies/house-queue/facts", said).status_code == 201
    assert len(bo.get(f"{api}/additions").json()) == 3
    assert eve.get(f"{api}/technologies/house-queue").status_code == 404
    assert eve.get(f"{api}/additions").json() == []
    answer = f"{api}/refreshes/{refresh.pk}/answer"
    assert _send(eve, "post", answer, {"accept": False, "why": "x"}).status_code == 404
    assert _send(tomas, "post", answer, {"accept": False, "why": "old"}).json()["state"] == (
        "rejected"
    )
    assert [row["state"] for row in bo.get(f"{api}/refreshes").json()] == ["rejected"]


@pytest.fixture
def asked(monkeypatch):
    """What was queued; nothing is sent anywhere."""
    sent = []
    monkeypatch.setattr(queue, "refresh_source", sent.append)
    return sent


def test_the_sources_page_shows_age_and_canary_and_follows_who_reads(acme, sign_in, asked):
    browser = sign_in(acme, "tomas")

    before = browser.get("/catalogue/sources/").content.decode()
    started = browser.post("/catalogue/sources/endoflife/refresh/")
    while_read = browser.get("/catalogue/sources/", headers={"HX-Request": "true"}).content.decode()

    for words in ("days old", "Python 3.8 has ended", "not asked yet", "only when asked", "Off"):
        assert words in before, words
    assert started.status_code == 302
    assert len(asked) == 1
    assert 'hx-trigger="every 2s"' in while_read
    assert "<progress" in while_read
    assert "Set up" not in while_read  # what somebody is typing stays as it is
    with tenant_scope(acme.scope):
        CatalogueSource.objects.update(
            state="idle", result="canary_failed", said="no", finished_at="2026-11-23T10:00Z"
        )
    after = browser.get("/catalogue/sources/").content.decode()
    assert "it does not read that Python 3.8 has ended" in after
    assert "keeps its age" in after
    assert "every 2s" not in after


def test_a_wrong_address_is_said_beside_its_field_and_nothing_typed_is_lost(acme, sign_in):
    browser = sign_in(acme, "tomas")
    typed = {"is_on": "1", "address": "ftp://nowhere", "every_days": "7"}

    refused = browser.post("/catalogue/sources/osv/", typed)
    kept = browser.post("/catalogue/sources/osv/", {**typed, "address": ""})

    assert refused.status_code == 400
    assert "begins with https" in refused.content.decode()
    assert 'value="ftp://nowhere"' in refused.content.decode()
    assert kept.status_code == 302
    with tenant_scope(acme.scope):
        row = CatalogueSource.objects.get()
        assert (row.connector, row.is_on, row.every_days) == ("osv", True, 7)
    assert browser.post("/catalogue/sources/nothing/", typed).status_code == 404


@pytest.mark.parametrize("name", ["bo", "iris"])
def test_who_may_only_look_sees_the_sources_and_no_buttons(acme, sign_in, asked, name):
    browser = sign_in(acme, name)

    shown = browser.get("/catalogue/sources/").content.decode()

    assert "endoflife.date" in shown
    assert "Refresh now" not in shown
    assert "Set up" not in shown
    assert browser.post("/catalogue/sources/endoflife/refresh/").status_code == 403
    assert browser.post("/catalogue/sources/osv/", {"is_on": "1"}).status_code == 403
    assert asked == []


def test_programs_set_sources_up_and_ask_for_them(acme, globex, sign_in, asked):
    api = "/api/v1/catalogue/sources"
    tomas, bo, eve = sign_in(acme, "tomas"), sign_in(acme, "bo"), sign_in(globex, "eve")
    wanted = {"is_on": True, "address": "https://osv.example/", "every_days": 30}

    assert _send(bo, "put", f"{api}/osv", wanted).status_code == 403
    assert _send(tomas, "put", f"{api}/osv", {**wanted, "every_days": 3}).status_code == 422
    told = _send(tomas, "put", f"{api}/osv", wanted).json()
    assert (told["address"], told["every_days"]) == ("https://osv.example/", 30)
    assert _send(bo, "post", f"{api}/osv/refresh", {}).status_code == 403
    assert _send(tomas, "post", f"{api}/osv/refresh", {}).json()["state"] == "queued"
    assert _send(tomas, "post", f"{api}/scorecard/refresh", {}).status_code == 409
    assert _send(tomas, "post", f"{api}/nothing/refresh", {}).status_code == 404
    rows = {row["connector"]: row for row in eve.get(api).json()}
    assert (rows["osv"]["is_on"], rows["osv"]["state"]) == (False, "idle")
    assert rows["endoflife"]["as_of"] is not None
    with tenant_scope(acme.scope):
        assert asked == [catalogue_sources.source("osv").row.pk]
