"""What somebody may do, asked through the API."""

import json

import pytest

from authz import teams
from tenants.models import Project
from tenants.scope import tenant_scope
from tests.portal.standing import proposal_of, task_of


def ask(client, *questions):
    body = {
        "questions": [
            dict(zip(("permission", "type", "id"), one, strict=False)) for one in questions
        ]
    }
    return client.post("/api/v1/decisions", json.dumps(body), content_type="application/json")


@pytest.fixture
def work(acme):
    with tenant_scope(acme.scope):
        proposal = proposal_of(acme.people["ada"], acme.project)
        other = Project.objects.create(slug="other", name="Other")
        hidden = task_of(acme.people["ada"], acme.project)
        type(hidden).objects.filter(pk=hidden.pk).update(project=other)
        return proposal, hidden


def test_each_question_gets_its_answer(acme, work, sign_in):
    proposal, hidden = work
    said = ask(
        sign_in(acme, "bo"),
        ("proposal.view", "proposal", str(proposal.pk)),
        ("proposal.countersign", "proposal", str(proposal.pk)),
        ("task.view", "task", str(hidden.pk)),
        ("task.view", "task", "00000000-0000-4000-8000-000000000000"),
        ("member.admit", "tenant"),
    ).json()

    assert [one["allowed"] for one in said] == [True, False, False, False, False]
    assert said[0]["reasons"] == ["Developer of this project may view a proposal"]
    assert said[2] == said[3]  # what one may not know is as what is not there
    assert said[0]["revision"]


def test_whoever_asked_for_it_may_not_let_it_through_here_either(acme, work, sign_in):
    [own] = ask(sign_in(acme, "ada"), ("proposal.countersign", "proposal", str(work[0].pk))).json()
    [other] = ask(
        sign_in(acme, "lin"), ("proposal.countersign", "proposal", str(work[0].pk))
    ).json()

    assert not own["allowed"]
    assert "a second person" in own["reasons"][0]
    assert other["allowed"]


def test_an_answer_follows_what_was_shared(acme, work, sign_in):
    _, hidden = work
    bo = sign_in(acme, "bo")
    with tenant_scope(acme.scope):
        hidden.refresh_from_db()
        teams.share(hidden, acme.people["bo"], by=acme.people["tomas"].actor("page"))

    [said] = ask(bo, ("task.view", "task", str(hidden.pk))).json()

    assert said["allowed"]


@pytest.mark.parametrize(
    ("question", "field"),
    [
        (("fly", "task", None), "permission"),
        (("task.view", "spaceship", None), "type"),
        (("task.view", "task", "x"), "id"),
    ],
)
def test_bad_questions_name_the_field(acme, sign_in, question, field):
    answer = ask(sign_in(acme, "bo"), question)

    assert answer.status_code == 422
    assert any(field in name for name in answer.json()["errors"])


def test_none_and_too_many_are_refused(acme, sign_in):
    bo = sign_in(acme, "bo")
    assert ask(bo).status_code == 422
    assert ask(bo, *[("task.view", "tenant")] * 101).status_code == 422
