"""The catalogue in the browser and through the API, tried by ada, bo and eve."""

import json

import pytest

from agent import own_catalogue
from agent.models import CatalogueEntry, CatalogueRefresh
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
