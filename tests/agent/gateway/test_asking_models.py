"""A question on its way to a model: what leaves, what is on record, who answers, what it costs."""

import json
import threading
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.db.models import Q
from django.utils import timezone

from agent import model_setup
from agent.gateway import ModelUnavailable, ask, asking, health, limits
from agent.gateway.asking import routes
from agent.models import ModelAnswer, ModelCall, ModelProvider, ModelRules
from authz.errors import BadRequest
from evidence.models import OpenIntent
from tenants.scope import current, tenant_scope
from tests.agent.gateway.model_servers import KEY, Reply


@pytest.fixture
def waited():
    """Seconds that the gateway would have waited."""
    return []


@pytest.mark.parametrize("protocol", ["compatible", "openai", "anthropic"])
def test_an_answer_comes_back_over_each_protocol_and_its_cost_is_counted(
    protocol, server, set_up, asker, question
):
    set_up(server.address, protocol=protocol, region="eu")

    answer = ask(question(), asker)

    assert answer.document == {"word": "yes"}
    assert (answer.provider, answer.model, answer.tokens) == ("House", "little", 120)
    assert answer.usd == Decimal("0.00014")  # 100 in at 1 USD, 20 out at 2 USD a million
    sent = server.asked[0]
    if protocol == "anthropic":
        assert sent.path == "/v1/messages"
        assert sent.headers["x-api-key"] == KEY
        assert sent.headers["anthropic-version"] == "2023-06-01"
    else:
        assert sent.path == "/v1/chat/completions"
        assert sent.headers["Authorization"] == f"Bearer {KEY}"
        assert sent.body["response_format"]["json_schema"]["schema"]["required"] == ["word"]
        most = "max_tokens" if protocol == "compatible" else "max_completion_tokens"
        assert sent.body[most] == 100
    call = ModelCall.objects.get()
    assert (call.state, call.tokens_in, call.tokens_out, call.usd) == (
        "answered", 100, 20, Decimal("0.00014"),
    )  # fmt: skip


def test_the_ledger_has_what_was_intended_and_what_came_of_it_and_no_key(
    server, set_up, asker, question, facts_of, acme
):
    set_up(server.address)

    ask(question("call me at ada@acme.example"), asker)

    intent, result = [said for action, said in facts_of(acme) if action == "model.ask"]
    call = ModelCall.objects.get()
    assert intent["call"] == result["call"] == str(call.pk)
    assert intent["question_sha256"] == call.question_sha256
    assert intent["redacted"] == {"EMAIL": 1}
    assert Decimal(intent["reserved_usd"]) == call.reserved_usd > call.usd
    assert result["answer_sha256"] == call.answer_sha256
    assert (result["tokens_in"], result["tokens_out"], result["model"]) == (100, 20, "little")
    assert KEY not in json.dumps([said for _, said in facts_of(acme)])
    assert not OpenIntent.objects.filter(action="model.ask").exists()


def test_what_must_not_leave_does_not_and_stands_in_the_answer_again(
    server, set_up, asker, question
):
    set_up(server.address)
    text = (
        "Ada wrote from ada@corp.example, +49 30 901820: pay DE89 3704 0044 0532 0130 00 or"
        " 4111 1111 1111 1111, with password = 'correct-horse-battery'"
    )
    server.speaker = lambda asked: Reply(json.dumps({"word": asked.turns[0]}))

    answer = ask(question(text), asker)

    sent = server.asked[0].text
    for private in ("Ada", "ada@corp", "901820", "0532 0130", "4111", "correct-horse"):
        assert private not in sent
    assert text in answer.redacted.restored(answer.document["word"])
    assert answer.redacted.counts == {
        "PERSON": 1, "EMAIL": 1, "PHONE": 1, "IBAN": 1, "CARD": 1, "SECRET": 1,
    }  # fmt: skip


def test_a_model_is_told_of_its_mistake_once_then_a_larger_one_is_asked(
    server, set_up, asker, question
):
    set_up(server.address, models={"little": "small", "big": "large"})
    server.says({"wrong": 1}, Reply("not even JSON"), {"word": "from the big one"})

    answer = ask(question(), asker)

    assert answer.document == {"word": "from the big one"}
    assert [asked.body["model"] for asked in server.asked] == ["little", "little", "big"]
    assert "'word' is a required property" in server.asked[1].turns[-1]
    assert sorted(ModelCall.objects.values_list("model", "state")) == [
        ("big", "answered"), ("little", "refused"), ("little", "refused"),
    ]  # fmt: skip
    assert answer.usd == 3 * Decimal("0.00014")  # mistakes are paid for too


def test_an_answer_that_was_cut_off_or_refused_by_the_model_is_not_used(
    server, set_up, asker, question
):
    set_up(server.address)
    server.says(Reply('{"word": "ye', stop="length"), Reply("", stop="content_filter"))

    with pytest.raises(ModelUnavailable, match="would not answer"):
        ask(question(), asker)

    assert "was cut off" in server.asked[1].turns[-1]


def test_a_busy_server_is_asked_again_after_as_long_as_it_says(
    server, set_up, asker, question, waited
):
    set_up(server.address)
    busy = Reply("slow down", status=429, headers={"Retry-After": "7"})
    server.says(busy, Reply("broken", status=503), {"word": "there"})

    answer = ask(question(), asker, sleep=waited.append)

    assert answer.document == {"word": "there"}
    assert waited[0] == 7
    assert 0 <= waited[1] <= 1.0  # by chance, up to a limit that grows
    assert ModelCall.objects.filter(state="unsent", usd=0).count() == 2


def test_a_server_that_wants_too_long_a_wait_is_passed_over_for_the_next(
    server, set_up, asker, question, waited
):
    set_up(server.address, name="First", models={"a": "small"})
    set_up(server.address, name="Second", models={"b": "small"}, position=2)
    server.speaker = lambda asked: (
        Reply("later", status=429, headers={"Retry-After": "3600"})
        if asked.body["model"] == "a"
        else Reply('{"word": "b"}')
    )

    answer = ask(question(), asker, sleep=waited.append)

    assert (answer.provider, waited) == ("Second", [])


def test_a_provider_that_fails_again_and_again_is_left_alone_then_one_may_try(
    server, set_up, asker, question, waited
):
    provider = set_up(server.address).provider
    server.says(Reply("broken", status=500))

    with pytest.raises(ModelUnavailable, match="status 500"):
        ask(question(), asker, sleep=waited.append)
    assert len(server.asked) == 3
    with pytest.raises(ModelUnavailable, match="left alone for a while"):
        ask(question(), asker, sleep=waited.append)
    assert len(server.asked) == 3  # nobody asked it

    ModelProvider.objects.update(open_until=timezone.now() - timedelta(seconds=1))
    assert [health.admits(provider), health.admits(provider)] == [True, False]  # half-open
    health.failed(provider, "still broken")
    provider.refresh_from_db()
    assert provider.open_until > timezone.now() + timedelta(seconds=50)  # longer than before

    ModelProvider.objects.update(open_until=timezone.now() - timedelta(seconds=1))
    server.says({"word": "back"})
    assert ask(question(), asker).document == {"word": "back"}
    provider.refresh_from_db()
    assert (provider.failures, provider.open_until, provider.problem) == (0, None, "")


def test_a_mistake_of_ours_does_not_count_against_the_provider(server, set_up, asker, question):
    provider = set_up(server.address).provider
    server.says(Reply("no such model", status=404))

    with pytest.raises(ModelUnavailable, match="no such model"):
        ask(question(), asker)

    provider.refresh_from_db()
    assert provider.failures == 0


def test_when_nobody_can_be_reached_nothing_is_counted(set_up, asker, question, waited):
    set_up("http://127.0.0.1:9/v1")  # nobody listens there

    with pytest.raises(ModelUnavailable):
        ask(question(), asker, sleep=waited.append)

    assert limits.spent(Q()) == {"usd": 0, "tokens": 0}
    assert set(ModelCall.objects.values_list("state", flat=True)) == {"unsent"}


def test_when_no_answer_comes_the_worst_case_stays_counted(server, set_up, asker, question):
    set_up(server.address)
    server.says(Reply(document={"nothing": "of a chat"}))

    with pytest.raises(ModelUnavailable, match="none that the protocol describes"):
        ask(question(), asker)

    call = ModelCall.objects.get()
    assert call.state == "failed"
    assert (call.usd, call.tokens) == (call.reserved_usd, call.reserved_tokens)


def test_where_the_server_does_not_count_tokens_the_worst_case_is_kept(
    server, set_up, asker, question
):
    set_up(server.address)
    server.says(Reply('{"word": "x"}', tokens=None))

    ask(question(), asker)

    call = ModelCall.objects.get()
    assert (call.is_counted, call.usd) == (False, call.reserved_usd)


def test_the_same_question_is_answered_from_memory_for_the_same_tenant_until_it_is_old(
    server, set_up, asker, question
):
    set_up(server.address)

    first, again = ask(question(), asker), ask(question(), asker)

    assert (first.is_kept, again.is_kept) == (False, True)
    assert again.document == first.document
    assert (again.tokens, again.usd, len(server.asked)) == (0, 0, 1)
    assert ModelCall.objects.get(state="kept").usd == 0
    ask(question("another"), asker)
    assert len(server.asked) == 2
    ModelAnswer.objects.update(good_until=timezone.now() - timedelta(seconds=1))
    assert not ask(question(), asker).is_kept
    assert ModelAnswer.objects.count() == 1  # what was too old is gone
    ModelRules.objects.update(keep_hours=0)
    assert not ask(question(), asker).is_kept


def test_memory_holds_no_personal_data(server, set_up, asker, question):
    set_up(server.address)
    server.speaker = lambda asked: Reply(json.dumps({"word": asked.turns[0]}))

    ask(question("write to ada@corp.example"), asker)
    again = ask(question("write to ada@corp.example"), asker)

    assert "ada@corp" not in ModelAnswer.objects.get().text
    assert "ada@corp.example" in again.redacted.restored(again.document["word"])


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"tenant_month_usd": "0.0005"}, "the tenant may spend"),
        ({"person_day_usd": "0"}, "one person may spend"),
        ({"task_usd": "0"}, "this task may spend"),
        ({"tenant_month_tokens": "100"}, "the tenant may use 100 tokens"),
        ({"person_day_tokens": "100"}, "one person may use"),
        ({"task_tokens": "100"}, "this task may use"),
    ],
)
def test_what_could_cost_more_than_a_limit_is_not_sent(
    rule, words, server, set_up, asker, question, entries, acme
):
    by = set_up(server.address).by
    model_setup.change_rules(rule, by=by)

    with pytest.raises(ModelUnavailable, match=words):
        ask(question(), asker)

    assert server.asked == []
    assert not ModelCall.objects.exists()
    assert ("model.ask.refused", "denied") in entries(acme)


def test_a_task_may_not_take_more_than_its_own_budget(server, set_up, asker, question):
    set_up(server.address)
    asker.on.budgets = {"wall_s": 300, "usd": 0, "tokens": 0}
    asker.on.save()

    with pytest.raises(ModelUnavailable, match="this task may spend 0"):
        ask(question(), asker)


def test_many_who_ask_at_once_never_spend_more_than_the_limit(server, set_up, asker, question):
    by = set_up(server.address).by
    ask(question("the first"), asker)
    one = ModelCall.objects.get()
    ModelCall.objects.all().delete()
    # Room for three worst cases at a time; each costs far less once it is settled.
    room = 3 * one.reserved_tokens + 10
    model_setup.change_rules({"tenant_month_tokens": str(room)}, by=by)
    here = current()
    most, seen, came = [0], threading.Lock(), []

    def speak(asked):
        with seen:
            most[0] += 1
        return Reply('{"word": "x"}', tokens=(one.reserved_tokens - 100, 100))

    server.speaker = speak

    def work(number: int) -> None:
        with tenant_scope(here):
            try:
                came.append(ask(question(f"the no. {number:02d}"), asker))
            except ModelUnavailable as full:
                came.append(full)
        connection.close()

    threads = [threading.Thread(target=work, args=[n]) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(came) == 12
    answered = [one for one in came if not isinstance(one, Exception)]
    assert len(answered) == most[0] == 3
    assert limits.spent(Q())["tokens"] <= room


def test_texts_go_only_where_their_class_and_the_regions_allow(server, set_up):
    by = set_up(server.address, name="House", models={"own": "small"}).by
    set_up(
        server.address, name="Far", models={"far": "small"}, region="us", data_class="public",
        position=2,
    )  # fmt: skip

    def open_to(purpose, **rules):
        held = model_setup.change_rules(rules, by=by)
        return [model.name for model in routes(purpose, held)]

    assert open_to("repair", code_class="internal") == ["own"]
    assert open_to("repair", code_class="public") == ["own", "far"]
    assert open_to("brief", brief_class="confidential") == ["own"]
    assert open_to("repair", regions=["us"]) == ["far"]
    assert open_to("repair", regions=[], for_repairs=False) == []
    ModelProvider.objects.update(is_on=False)
    assert open_to("brief", brief_class="public") == []


def test_whoever_may_not_ask_models_sends_nothing(server, set_up, asker, question, acme, entries):
    set_up(server.address)
    asker = type(asker)(acme.people["iris"].actor("page"), asker.on, acme.people["iris"].pk)

    with pytest.raises(ModelUnavailable):
        ask(question(), asker)

    assert server.asked == []
    assert ("model.ask.denied", "denied") in entries(acme)


def test_a_server_inside_the_operators_network_is_not_asked(
    set_up, asker, question, settings, waited
):
    set_up("http://127.0.0.1:9/v1")
    settings.IDENTITY_ALLOW_LOOPBACK = False

    with pytest.raises(ModelUnavailable, match="no address that this portal may ask"):
        ask(question(), asker, sleep=waited.append)


def test_a_key_is_stored_sealed_and_goes_nowhere_else(server, set_up):
    made = set_up(server.address)

    stored = ModelProvider.objects.get()
    assert KEY not in stored.key
    with pytest.raises(BadRequest, match="give it again"):
        model_setup.alter_provider(
            made.provider, {"address": "https://elsewhere.example/v1"}, by=made.by
        )
    model_setup.alter_provider(made.provider, {"name": "Renamed", "key": ""}, by=made.by)
    assert ModelProvider.objects.get().key == stored.key


def test_a_test_asks_every_model_and_says_what_came(server, set_up):
    made = set_up(server.address, models={"little": "small", "big": "large"}, is_on=False)
    server.says({"word": "countersign"}, {"word": "else"})

    model_setup.ask_for_test(made.provider, by=made.by)
    tried = model_setup.try_out(made.provider.pk)

    assert tried.ok
    assert "answered as asked: 120 tokens" in tried.said
    assert "another word than asked ('else')" in tried.said
    made.provider.refresh_from_db()
    assert (made.provider.test_ok, made.provider.test_asked_at) == (True, None)
    assert model_setup.try_out(made.provider.pk) is None  # once is enough
    assert set(ModelCall.objects.values_list("purpose", flat=True)) == {"test"}


def test_an_error_that_quotes_the_key_does_not_bring_it_to_light(server, set_up, facts_of, acme):
    made = set_up(server.address)
    server.says(Reply(f"the key {KEY} is no good", status=401))

    model_setup.ask_for_test(made.provider, by=made.by)
    tried = model_setup.try_out(made.provider.pk)

    assert not tried.ok
    assert KEY not in tried.said
    assert "status 401: the key (the key) is no good" in tried.said
    assert KEY not in json.dumps([said for _, said in facts_of(acme)])
    assert KEY not in ModelProvider.objects.get().problem


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"address": "ftp://x"}, "address"),
        ({"address": "http://models.example/v1"}, "address"),
        ({"protocol": "gopher"}, "protocol"),
        ({"region": "moon"}, "region"),
        ({"data_class": "secret"}, "data_class"),
        ({"key": "two words"}, "key"),
        ({"key": "", "region": "eu"}, "key"),
        ({"name": ""}, "name"),
        ({"trusted": "no certificate"}, "trusted"),
        ({"position": "0"}, "position"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_field(fields, field, server, set_up):
    with pytest.raises(BadRequest) as refused:
        set_up(**{"address": server.address, **fields})

    assert field in refused.value.errors
    assert not ModelProvider.objects.exists()


def test_a_question_whose_worker_died_stays_counted_and_on_record(
    server, set_up, asker, question, monkeypatch
):
    set_up(server.address)

    def dies(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(asking, "post_json", dies)
    with pytest.raises(KeyboardInterrupt):
        ask(question(), asker)

    call = ModelCall.objects.get()
    assert call.state == "reserved"
    assert limits.spent(Q())["usd"] == call.reserved_usd > 0
    # The sweep of lost intents tells of it in the log.
    assert OpenIntent.objects.filter(action="model.ask").exists()


def test_a_cancelled_task_asks_nobody(server, set_up, asker, question):
    set_up(server.address)
    asker = replace(asker, cancelled=lambda: True)

    with pytest.raises(ModelUnavailable, match="no time left"):
        ask(question(), asker)

    assert server.asked == []
    assert not ModelCall.objects.exists()
