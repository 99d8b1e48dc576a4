"""Language models on pages and in the API: set up by admins, their keys never shown again."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from agent import model_setup
from agent.models import ModelCall, ModelProvider, ModelRules, OfferedModel, Task
from tenants.scope import tenant_scope
from tests.agent.gateway.model_servers import KEY, model_server
from tests.portal.standing import task_of

PROVIDER = {
    "name": "House", "protocol": "compatible", "address": "https://models.example/v1", "key": KEY,
    "region": "own", "data_class": "internal", "position": "1", "is_on": "1",
}  # fmt: skip
MODEL = {
    "name": "little", "size": "small", "usd_in": "0.25", "usd_out": "2", "price_on": "2026-11-20",
    "price_source": "https://models.example/prices", "most_in": "32000", "most_out": "4000",
}  # fmt: skip
REPORT = {"title": "Totals", "what_is_wrong": "x", "how": "find"}
LIMITS = {
    "code_class": "confidential", "brief_class": "public", "for_repairs": "1", "regions": ["eu"],
    "keep_hours": "2", "tenant_month_usd": "50", "person_day_usd": "5", "task_usd": "1",
    "tenant_month_tokens": "1,000,000", "person_day_tokens": "100000", "task_tokens": "50000",
}  # fmt: skip


@pytest.fixture
def tomas(acme, sign_in):
    return sign_in(acme, "tomas")


def _added(tomas, acme):
    tomas.post("/settings/models/", PROVIDER)
    with tenant_scope(acme.scope):
        provider = ModelProvider.objects.get()
    tomas.post(f"/settings/models/{provider.pk}/model/", MODEL)
    return provider


def test_an_admin_adds_a_provider_and_a_model_and_the_key_is_shown_nowhere(tomas, acme):
    provider = _added(tomas, acme)

    listing = tomas.get("/settings/models/").content.decode()
    page = tomas.get(f"/settings/models/{provider.pk}/").content.decode()
    api = tomas.get("/api/v1/models/providers").json()

    with tenant_scope(acme.scope):
        model = OfferedModel.objects.get()
        assert (model.usd_in, model.usd_out) == (Decimal("0.25"), Decimal("2"))
    for shown in (listing, page, str(api)):
        assert KEY not in shown
        assert "little" in shown
    assert "There is one. Leave this empty to keep it." in page
    assert "as of 2026-11-20" in listing
    assert api[0]["has_key"] is True
    assert "key" not in api[0]
    assert "1 provider" in tomas.get("/settings/").content.decode()


def test_what_cannot_be_used_stays_in_the_form_with_a_sentence_at_the_field_without_the_key(tomas):
    answer = tomas.post("/settings/models/", PROVIDER | {"address": "http://inside"})

    said = answer.content.decode()
    assert answer.status_code == 422
    assert "must be an address that begins with https" in said
    assert 'value="http://inside"' in said
    assert KEY not in said


def test_a_model_is_changed_and_removed(tomas, acme):
    provider = _added(tomas, acme)
    with tenant_scope(acme.scope):
        model = OfferedModel.objects.get()

    wrong = tomas.post(f"/settings/models/{provider.pk}/model/", MODEL | {"price_on": "2999-01-01"})
    changed = tomas.post(
        f"/settings/models/{provider.pk}/model/",
        MODEL | {"model": str(model.pk), "usd_in": "0.5"},
    )

    assert wrong.status_code == 422
    assert "must be a day that has been" in wrong.content.decode()
    assert changed.status_code == 302
    with tenant_scope(acme.scope):
        assert OfferedModel.objects.get().usd_in == Decimal("0.5")
    tomas.post(f"/settings/models/{provider.pk}/model/{model.pk}/remove/")
    tomas.post(f"/settings/models/{provider.pk}/remove/")
    with tenant_scope(acme.scope):
        assert not ModelProvider.objects.exists()


def test_rules_and_limits_are_set_on_the_page_and_by_the_api(tomas, acme):
    assert "Nobody has changed these yet" in tomas.get("/settings/models/").content.decode()

    tomas.post("/settings/models/rules/", LIMITS)

    with tenant_scope(acme.scope):
        rules = ModelRules.objects.get()
        assert (rules.code_class, rules.for_repairs, rules.for_briefs) == (
            "confidential", True, False,
        )  # fmt: skip
        assert (rules.regions, rules.tenant_month_tokens) == (["eu"], 1_000_000)
    wrong = tomas.post("/settings/models/rules/", LIMITS | {"task_usd": "much"})
    assert wrong.status_code == 422
    assert "must be a number from 0" in wrong.content.decode()
    patched = tomas.patch(
        "/api/v1/models/rules", {"task_usd": "3"}, content_type="application/json"
    )
    assert patched.json()["task_usd"] == "3.00"
    assert patched.json()["keep_hours"] == 2


@pytest.mark.parametrize("person", ["ada", "bo", "iris"])
def test_nobody_but_a_tenant_admin_sees_or_changes_providers(person, acme, tomas, sign_in, entries):
    provider = _added(tomas, acme)
    other = sign_in(acme, person)

    assert other.get("/settings/models/").status_code == 403
    assert other.get(f"/settings/models/{provider.pk}/").status_code == 403
    assert other.post("/settings/models/", PROVIDER | {"name": "Mine"}).status_code == 403
    assert other.post("/settings/models/rules/", LIMITS).status_code == 403
    assert other.get("/api/v1/models/providers").status_code == 403
    assert ("models.change.denied", "denied") in entries(acme)
    with tenant_scope(acme.scope):
        assert ModelProvider.objects.count() == 1


def test_another_tenant_does_not_know_of_it(acme, globex, tomas, sign_in):
    provider = _added(tomas, acme)
    stranger = sign_in(globex, "tomas")

    assert stranger.get(f"/settings/models/{provider.pk}/").status_code == 404
    assert stranger.post(f"/settings/models/{provider.pk}/remove/").status_code == 404
    assert "House" not in stranger.get("/settings/models/").content.decode()


def test_a_test_is_done_by_a_job_and_shown(acme, tomas):
    with model_server() as server:
        server.says({"word": "countersign"})
        provider = _added(tomas, acme)
        tomas.post(f"/settings/models/{provider.pk}/", PROVIDER | {"address": server.address})
        with tenant_scope(acme.scope):
            # With another address the key is asked for again; PROVIDER has it.
            assert ModelProvider.objects.get().address == server.address
        tomas.post(f"/settings/models/{provider.pk}/test/")
        waiting = tomas.get(f"/settings/models/{provider.pk}/").content.decode()
        with tenant_scope(acme.scope):
            model_setup.try_out(provider.pk)

    assert "A test was asked for" in waiting
    said = tomas.get(f"/settings/models/{provider.pk}/").content.decode()
    assert "little answered as asked: 120 tokens, 0.000065 USD" in said


@pytest.fixture
def spent(acme):
    """Calls of bo's task and of one of ada's, today and a week ago."""
    with tenant_scope(acme.scope):
        bo, ada = acme.people["bo"], acme.people["ada"]
        task = task_of(bo, acme.project, Task.State.IN_PROGRESS, goal="Totals are wrong")
        rows = [
            (bo, task, "repair", "0.5", 0, "answered"),
            (bo, task, "repair", "0", 0, "kept"),
            (ada, None, "brief", "0.25", 7, "answered"),
        ]
        for person, on, purpose, usd, days, state in rows:
            ModelCall.objects.create(
                person=person, task=on, project=acme.project, purpose=purpose, state=state,
                provider="House", model="little", question_sha256="0" * 64, usd=usd, tokens=1000,
                created_at=timezone.now() - timedelta(days=days),
            )  # fmt: skip
    return task


@pytest.mark.parametrize("person", ["tomas", "ada", "iris"])
def test_spending_is_shown_by_project_task_person_with_a_picture_and_its_table(
    person, acme, spent, sign_in
):
    client = sign_in(acme, person)

    page = client.get("/spend/").content.decode()
    week = client.get("/api/v1/models/spending?days=7").json()
    month = client.get("/api/v1/models/spending").json()

    assert "0.7500 US dollars" in page
    assert "3 questions, 1 of them answered from memory" in page
    for words in ("Totals are wrong", "Platform", "Bo", "Ada", "Repairs", "Reading briefs"):
        assert words in page
    assert page.count("<rect") == 30
    assert "The same as a table" in page
    assert ("Of your projects only" in page) == (person == "ada")
    assert ("count against the limit" in page) == (person != "ada")
    assert Decimal(week["total"]["usd"]) == Decimal("0.5")
    assert [row["name"] for row in month["by_person"]] == ["Bo", "Ada"]
    assert len(month["days"]) == 30


def test_what_is_seen_can_be_taken_away_as_csv_without_formulas(acme, spent, sign_in):
    with tenant_scope(acme.scope):
        Task.objects.filter(pk=spent.pk).update(goal="=HYPERLINK(evil)")

    lines = sign_in(acme, "iris").get("/spend/costs.csv").content.decode().splitlines()

    assert lines[0] == "by,id,name,questions,from_memory,tokens,usd"
    assert f"task,{spent.pk},'=HYPERLINK(evil),2,1,2000,0.50000000" in lines


def test_a_task_shows_what_it_asked_of_models(acme, spent, sign_in):
    with tenant_scope(acme.scope):
        Task.objects.filter(pk=spent.pk).update(kind=Task.Kind.BUGFIX, constraints=REPORT)

    page = sign_in(acme, "bo").get(f"/tasks/{spent.pk}/").content.decode()

    assert "2 questions, 2,000 tokens, 0.5000 USD" in page


def test_who_may_not_see_spending_is_told_so(acme, spent, sign_in, entries):
    assert sign_in(acme, "bo").get("/spend/").status_code == 403
    assert ("spend.view.denied", "denied") in entries(acme)


def test_an_empty_page_says_what_to_do(acme, tomas):
    page = tomas.get("/spend/").content.decode()

    assert "Nothing was spent in these days" in page
    assert "Connect a language model" in page
