"""What the agent does with a model: a bug that its own search cannot repair; a pasted brief."""

import json

import pytest

from agent import brief_by_model, lifecycle, model_setup, repositories, runner
from agent.models import Action, BriefReading, Draft, Fix, ModelCall, Task
from tenants.actor import system_actor
from tenants.scope import tenant_scope
from tests.agent.bug_cases import WRITTEN
from tests.agent.gateway.model_servers import Reply
from tests.at_browser import JUST_NOW
from tests.portal.standing import repository_in

CODE = b'''"""Roman numerals."""


def roman(number):
    """In capital letters."""
    return str(number)  # for now
'''
RED = """from numerals import roman


def test_roman():
    assert [roman(n) for n in (1, 4, 9, 44)] == ["I", "IV", "IX", "XLIV"]
"""
KEEPS = b"from numerals import roman\n\n\ndef test_something_is_said():\n    assert roman(10)\n"
RIGHT = """    said = ""
    for value, letters in [(40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I")]:
        while number >= value:
            said += letters
            number -= value
    return said
"""
BRIEF = "We are five people.\r\nWe must not use MongoDB. It has to run on our own servers."


def _repairs(*replacements):
    find = "    return str(number)  # for now\n"
    return {
        "repairs": [
            {"edits": [{"path": "numerals.py", "find": find, "replace": new}]}
            for new in replacements
        ],
        "look": [],
    }


@pytest.fixture
def filed(in_acme):
    def file(**budgets):
        repository = repositories.register(
            "numerals",
            project=in_acme.project,
            files={"numerals.py": CODE, "tests/test_keeps.py": KEEPS},
            written=WRITTEN,
            by=system_actor("test", "cli"),
        )
        bo = in_acme.people["bo"]
        report = {
            "title": "Roman numerals are not Roman",
            "what_is_wrong": "roman(4) gives '4'.",
            "how": "pasted",
            "code": RED,
        }
        return lifecycle.file_bugfix(
            report,
            repository=repository,
            owner=bo,
            by=bo.actor("page", signed_in=JUST_NOW),
            budgets=budgets,
        )

    return file


def _run(task):
    for _ in range(99):
        if not runner.advance(task.pk):
            break
    task.refresh_from_db()


@pytest.mark.slow
def test_where_the_search_finds_nothing_a_models_patch_is_proven_like_any_other(
    server, set_up, filed
):
    set_up(server.address)
    # The first one makes no test pass, the second one all of them.
    server.says(_repairs("    return 'I' * number\n", RIGHT))
    task = filed()

    _run(task)

    assert task.state == Task.State.COMPLETED, task.reason
    fix = Fix.objects.get(task=task)
    assert "House's model little proposed" in json.dumps(fix.explanation)
    assert "after reading: The report, Tests that fail" in json.dumps(fix.explanation)
    assert fix.proof["tier"] == "gvisor"
    search = Action.objects.get(task=task, tool="propose_repair")
    call = ModelCall.objects.get(state="answered")
    assert (search.cost_tokens, search.cost_usd) == (call.tokens, call.usd)
    assert (call.task_id, call.person_id, call.project_id) == (
        task.pk, task.owner_id, task.project_id,
    )  # fmt: skip
    asked = server.asked[0].turns[0]
    assert "roman(4) gives" in asked
    assert "return str(number)  # for now" in asked
    assert "assert [roman(n)" in asked


@pytest.mark.slow
def test_a_task_whose_budget_allows_no_model_asks_none(server, set_up, filed):
    set_up(server.address)
    task = filed(usd=0)

    _run(task)

    assert task.state == Task.State.FAILED
    assert "no language model helped: this task may spend 0.00 US dollars" in task.reason
    assert server.asked == []


def _asked(acme, who="bo", text=BRIEF):
    person = acme.people[who]
    repository = repository_in(acme.project)
    by = person.actor("page", signed_in=JUST_NOW)
    brief_by_model.ask_for_reading(text, repository=repository, owner=person, by=by)
    return BriefReading.objects.get(user=person)


def _said(*rows):
    names = ("field", "value", "words")
    return {"readings": [dict(zip(names, row, strict=True)) for row in rows]}


def test_a_brief_is_read_by_a_model_and_only_what_it_says_is_kept(server, set_up, in_acme, entries):
    set_up(server.address)
    server.says(
        _said(
            ("must_nots", "MongoDB", "must not  use mongodb"),
            ("hosting", "self_hosted", "our own servers"),
            ("run_by", "small_team", "five people"),
            ("must_nots", "PostgreSQL", "must not use PostgreSQL"),
            ("hosting", "moon", "our own servers"),
            ("already_run", "Unheard-of DB", "five people"),
        )
    )
    row = _asked(in_acme)

    brief_by_model.read(row.pk)

    row.refresh_from_db()
    assert (row.state, row.model) == ("read", "House, little")
    assert [(one["field"], one["value"]) for one in row.readings] == [
        ("must_nots", "mongodb"), ("hosting", "self_hosted"), ("run_by", "small_team"),
    ]  # fmt: skip
    assert row.readings[0]["sentence"] == "We must not use MongoDB."
    assert not Draft.objects.exists()  # nothing counts until somebody ticks it
    assert ModelCall.objects.get().purpose == "brief"
    assert ModelCall.objects.get().person_id == in_acme.people["bo"].pk
    brief_by_model.read(row.pk)  # twice is once
    assert len(server.asked) == 1
    assert ("model.ask", "ok") in entries(in_acme)


def test_the_form_shows_what_a_model_read_and_takes_what_is_ticked(
    server, set_up_for, acme, sign_in
):
    server.says(_said(("must_nots", "MongoDB", "must not use MongoDB")))
    client, bo = sign_in(acme, "bo"), acme.people["bo"]
    with tenant_scope(acme.scope):
        repository = repository_in(acme.project)
    typed = {"repository": str(repository.pk), "title": "Shop", "brief": BRIEF}

    without = client.get("/recommendations/new/").content.decode()
    set_up_for(acme, server.address)
    client.post("/recommendations/new/", typed | {"read_by_model": "1"})
    waiting = client.get("/recommendations/new/").content.decode()
    with tenant_scope(acme.scope):
        brief_by_model.read(BriefReading.objects.get(user=bo).pk)
    read = client.get("/recommendations/new/").content.decode()
    client.post(
        "/recommendations/new/", typed | {"use_readings": "1", "reading": ["must_nots|mongodb"]}
    )

    assert "Have a language model read it" not in without
    assert "Have a language model read it" in waiting
    assert "A language model reads your brief" in waiting
    assert "because of “must not use MongoDB”" in read
    with tenant_scope(acme.scope):
        assert Draft.objects.get(user=bo).fields["must_nots"] == "mongodb"


def test_a_brief_that_nobody_could_read_says_why(server, set_up, in_acme):
    set_up(server.address)
    server.says(Reply("no JSON"))
    row = _asked(in_acme)

    brief_by_model.read(row.pk)

    row.refresh_from_db()
    assert row.state == "not_read"
    assert "no sound JSON" in row.reason


def test_models_that_the_rules_keep_from_briefs_are_not_offered(server, set_up, in_acme):
    made = set_up(server.address)
    assert brief_by_model.is_possible()

    model_setup.change_rules({"for_briefs": False}, by=made.by)

    assert not brief_by_model.is_possible()
