"""How repairs run in a project, in the browser and over the API; what a repair shows of itself."""

import json

import pytest

from agent.models import Action, Artifact, Fix, FlakyTest, PlanRule, Proposal, Task
from agent.outputs import PATCH
from agent.places import artifact_store
from tenants.scope import tenant_scope
from tests.agent.proofs import proof_of
from tests.portal.standing import proposal_of, task_of
from tests.portal.test_task_pages import REPORT, repair_of

JSON = {"content_type": "application/json"}
DIFF = "--- a/shop.py\n+++ b/shop.py\n@@ -1 +1 @@\n-total = 1\n+total = 0\n"
GIT_DIFF = f"diff --git a/shop.py b/shop.py\n{DIFF}".encode()


def rules_of(company):
    return f"/people/projects/{company.project.pk}/repairs/"


@pytest.fixture
def flaky(acme):
    with tenant_scope(acme.scope):
        task = task_of(acme.people["bo"], acme.project, Task.State.FAILED)
        return FlakyTest.objects.create(
            repository=task.repository, test="tests/test_shop.py::test_sometimes", seen_by=task
        )


def test_a_project_admin_changes_which_plans_wait(acme, sign_in, entries):
    ada = sign_in(acme, "ada")
    assert "plans from a risk of 0.5 on wait" in ada.get(rules_of(acme)).content.decode()

    answer = ada.post(rules_of(acme), {"ask": "risky", "risk_from": "0.3"}, follow=True)

    assert "plans from a risk of 0.3 on wait" in answer.content.decode()
    assert entries(acme)[-1] == ("plan_rule.change", "ok")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"ask": "risky", "risk_from": "much"}, "is not a number from 0 to 1"),
        ({"ask": "risky", "risk_from": "7"}, "must be 0 to 1"),
        ({"ask": "sometimes", "risk_from": "0.4"}, "must be one of always, risky, never"),
    ],
)
def test_a_rule_that_makes_no_sense_is_told_by_its_field(acme, sign_in, typed, said):
    answer = sign_in(acme, "ada").post(rules_of(acme), typed)

    assert answer.status_code == 422
    assert said in answer.content.decode()
    assert f'value="{typed["risk_from"]}"' in answer.content.decode()
    with tenant_scope(acme.scope):
        assert not PlanRule.objects.exists()


def test_a_developer_reads_the_rule_and_cannot_change_it_and_a_stranger_finds_nothing(
    acme, globex, sign_in, entries
):
    bo, eve = sign_in(acme, "bo"), sign_in(globex, "eve")

    assert "Change the rule" not in bo.get(rules_of(acme)).content.decode()
    assert bo.post(rules_of(acme), {"ask": "never"}).status_code == 403
    assert entries(acme)[-1] == ("plan_rule.change.denied", "denied")
    assert eve.get(rules_of(acme)).status_code == 404
    assert eve.post(rules_of(acme), {"ask": "never"}).status_code == 404


def test_a_flaky_test_is_let_to_count_again(acme, globex, sign_in, entries, flaky):
    release = f"{rules_of(acme)}flaky/{flaky.pk}/release/"
    assert sign_in(globex, "eve").post(release).status_code == 404
    iris = sign_in(acme, "iris")
    assert "Count again" not in iris.get(rules_of(acme)).content.decode()
    assert iris.post(release).status_code == 403
    bo = sign_in(acme, "bo")
    assert flaky.test in bo.get(rules_of(acme)).content.decode()

    answer = bo.post(release, follow=True)

    assert "counts again from the next run on" in answer.content.decode()
    assert entries(acme)[-1] == ("flaky_test.release", "ok")
    assert bo.post(release).status_code == 404


def test_programs_change_the_rule_and_release_tests_too(acme, globex, sign_in, flaky):
    rule, tests = f"/api/v1/repair-rules/{acme.project.pk}", "/api/v1/flaky-tests"
    ada, bo, eve = sign_in(acme, "ada"), sign_in(acme, "bo"), sign_in(globex, "eve")
    wanted = json.dumps({"ask": "always", "risk_from": 0.2})

    assert bo.put(rule, wanted, **JSON).status_code == 403
    assert eve.put(rule, wanted, **JSON).status_code == 404
    assert ada.put(rule, wanted, **JSON).json()["ask"] == "always"
    assert bo.get(rule).json()["said"] == "every plan of this project waits for a second person"
    assert [row["test"] for row in bo.get(tests).json()["items"]] == [flaky.test]
    assert eve.get(tests).json()["count"] == 0
    assert eve.post(f"{tests}/{flaky.pk}/release").status_code == 404
    assert sign_in(acme, "iris").post(f"{tests}/{flaky.pk}/release").status_code == 403
    assert bo.post(f"{tests}/{flaky.pk}/release").status_code == 204
    assert bo.get(tests).json()["count"] == 0


DOORS = {
    "approval": {"digest": "d" * 64},
    "refusal": {"digest": "d" * 64, "comment": "no"},
    "messages": {"text": "look again"},
    "cancellation": None,
    "resumption": {},
    "undoing": None,
}
# What the one who may is told: the task at hand only fits some of the doors.
FITTING = {"approval": 202, "refusal": 202, "messages": 201, "cancellation": 202}


@pytest.mark.parametrize("door", DOORS)
def test_three_people_at_each_door_of_a_task(acme, globex, sign_in, entries, door):
    with tenant_scope(acme.scope):
        task = repair_of(acme, "bo", Task.State.WAITING_FOR_USER)
        project = acme.project
    assert project is not None
    address = f"/api/v1/tasks/{task.pk}/{door}"
    # A plan is let run by a second person; everything else is the requester's to do as well.
    owner = "ada" if door in {"approval", "refusal"} else "bo"
    body = json.dumps(DOORS[door]) if DOORS[door] is not None else ""

    assert sign_in(globex, "eve").post(address, body, **JSON).status_code == 404
    assert sign_in(acme, "iris").post(address, body, **JSON).status_code == 403
    action, outcome = entries(acme)[-1]
    assert (action.endswith(".denied"), outcome) == (True, "denied")
    with tenant_scope(acme.scope):
        task.refresh_from_db()
        assert task.state == Task.State.WAITING_FOR_USER

    assert sign_in(acme, owner).post(address, body, **JSON).status_code == FITTING.get(door, 409)


def test_the_requester_cannot_let_the_own_plan_run_over_the_api(acme, sign_in, entries):
    with tenant_scope(acme.scope):
        task = repair_of(acme, "ada", Task.State.WAITING_FOR_USER)
    body = json.dumps({"digest": "d" * 64})

    answer = sign_in(acme, "ada").post(f"/api/v1/tasks/{task.pk}/approval", body, **JSON)

    assert answer.status_code == 403
    assert entries(acme)[-1] == ("plan.approve.denied", "denied")


def test_a_running_repair_shows_what_it_spent_and_the_change_that_stands(acme, sign_in):
    with tenant_scope(acme.scope):
        task = repair_of(acme, "bo", Task.State.IN_PROGRESS)
        search = {"patches": [{"parts": [{"unified_diff": DIFF}], "confidence": 0.81}]}
        for number, tool, result in ((2, "propose_repair", search), (3, "code_patch", {})):
            Action.objects.create(
                task=task,
                number=number,
                tool=tool,
                status=Action.Status.DONE,
                result=result,
                cost_tokens=700,
                cost_usd="0.0125",
            )
        patch = {"parts": [{"file_path": "shop.py", "unified_diff": DIFF, "rationale": "x"}]}
        kept = artifact_store().put(task.tenant_id, json.dumps(patch).encode())
        Artifact.objects.create(
            task=task, kind="STEP", name=PATCH, sha256=kept.sha256, size=kept.size
        )

    page = sign_in(acme, "bo").get(f"/tasks/{task.pk}/").content.decode()

    assert "3 of 60 steps" in page
    assert "0.0250 US dollars, 1400 tokens" in page
    assert "0.81 of 1 (high)" in page
    assert "+total = 0" in page


def test_the_proposal_of_a_repair_begins_with_why_and_the_proof(acme, sign_in):
    with tenant_scope(acme.scope):
        kept = artifact_store().put(acme.scope.tenant_id, GIT_DIFF).sha256
        proposal = proposal_of(acme.people["bo"], acme.project)
        Proposal.objects.update(diff_sha256=kept)
        Task.objects.filter(pk=proposal.task_id).update(kind=Task.Kind.BUGFIX, constraints=REPORT)
        Fix.objects.create(
            task=proposal.task,
            explanation={
                "what_was_wrong": "The total began at one.",
                "why_this_change": "It begins at nothing now.",
                "considered": ["another constant in shop.py, line 1 (behaves the same)"],
                "cannot_tell": ["Orders above a million were not tried."],
                "confidence": 0.6,
                "confidence_because": "all answers agree on 12 inputs",
            },
            proof=proof_of({"shop.py": "1" * 64}),
            proof_sha256="f" * 64,
            confidence=0.6,
        )
    bo = sign_in(acme, "bo")

    page = bo.get(f"/proposals/{proposal.pk}/").content.decode()

    for said in (
        "The total began at one.",
        "another constant in shop.py",
        "Orders above a million were not tried.",
        "0.60 of 1 (fair): all answers agree on 12 inputs",
        "Reverting the merge takes everything back",
        "The failing tests with the change taken back",
        "red: the tests fail without the repair, the same way each time",
    ):
        assert said in page
    assert "?tab=options" not in page
    assert "Diff" in bo.get(f"/proposals/{proposal.pk}/?tab=diff").content.decode()
    with tenant_scope(acme.scope):
        other = proposal_of(acme.people["bo"], acme.project)
        Proposal.objects.update(diff_sha256=kept)
        assert Proposal.objects.count() == 2
    assert "?tab=repair" not in bo.get(f"/proposals/{other.pk}/?tab=checks").content.decode()
