"""Repairs in the browser: filed, read, let through, talked to, stopped, taken back."""

import html
import re

import pytest

from agent.live import LiveLog
from agent.models import Action, Message, Plan, Proposal, Task
from portal.pages import tasks
from tenants.scope import tenant_scope
from tests.portal.standing import proposal_of, repository_in, task_of

BUG = {"title": "Totals are wrong", "what_is_wrong": "An empty order costs 1.", "how": "find"}
REPORT = {**BUG, "code": "", "names": [], "compliance": []}
DIGEST = "d" * 64


def repair_of(company, who, state, **also):
    task = task_of(
        company.people[who],
        company.project,
        state,
        constraints=REPORT,
        budgets={"wall_s": 600, "steps": 60},
        **also,
    )
    Task.objects.filter(pk=task.pk).update(kind=Task.Kind.BUGFIX)
    Plan.objects.create(
        task=task,
        steps=[{"tool": "run_tests", "why": "see them fail"}],
        digest=DIGEST,
        waits_because="every plan of this project waits" if state == "waiting_for_user" else "",
    )
    return task


def test_a_developer_files_a_bug_and_finds_it_in_the_list(acme, sign_in, entries):
    with tenant_scope(acme.scope):
        repository = repository_in(acme.project)
    bo = sign_in(acme, "bo")
    assert "File it" in bo.get("/tasks/new/").content.decode()

    answer = bo.post("/tasks/new/", {**BUG, "repository": str(repository.pk), "wall_s": "90"})

    assert answer.status_code == 302
    page = bo.get(answer["Location"]).content.decode()
    assert "An empty order costs 1." in page
    assert "90 s" in page
    assert "Totals are wrong" in bo.get("/tasks/").content.decode()
    assert entries(acme)[-1] == ("task.create", "ok")


def test_what_models_may_cost_is_asked_with_the_defaults_shown(acme, sign_in):
    with tenant_scope(acme.scope):
        repository = repository_in(acme.project)
    bo = sign_in(acme, "bo")
    form = bo.get("/tasks/new/").content.decode()
    assert 'placeholder="200000"' in form
    assert 'name="usd"' in form

    bug = {**BUG, "repository": str(repository.pk)}
    answer = bo.post("/tasks/new/", {**bug, "tokens": "5000", "usd": "0"})

    with tenant_scope(acme.scope):
        task = Task.objects.get(pk=answer["Location"].strip("/").rpartition("/")[2])
        assert task.budgets == {"wall_s": 600, "steps": 60, "tokens": 5000, "usd": 0}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"title": ""}, "must have 1 to 120 characters"),
        ({"how": "named", "names": "not a test"}, "a test is named like"),
        ({"how": "pasted", "code": "x = 1"}, "holds no test"),
        ({"wall_s": "never"}, "must be 1 to 3,600 seconds"),
        ({"tokens": "-1"}, "must be 0 to 2,000,000 tokens"),
        ({"usd": "a lot"}, "must be 0 to 100 US dollars"),
        ({"repository": "00000000-0000-4000-8000-000000000000"}, "choose one of these"),
    ],
)
def test_what_is_wrong_stands_by_its_field_and_nothing_typed_is_lost(acme, sign_in, wrong, said):
    with tenant_scope(acme.scope):
        repository = repository_in(acme.project)
    answer = sign_in(acme, "bo").post(
        "/tasks/new/", {**BUG, "repository": str(repository.pk), **wrong}
    )

    page = answer.content.decode()
    assert answer.status_code == 422
    assert said in page
    assert BUG["what_is_wrong"] in page
    with tenant_scope(acme.scope):
        assert not Task.objects.exists()


def test_an_auditor_files_nothing(acme, sign_in, entries):
    with tenant_scope(acme.scope):
        repository_in(acme.project)
    assert sign_in(acme, "iris").get("/tasks/new/").status_code == 403
    assert entries(acme)[-1] == ("task.create.denied", "denied")


def test_a_second_person_countersigns_the_plan_and_the_requester_cannot(acme, sign_in, entries):
    with tenant_scope(acme.scope):
        task = repair_of(acme, "ada", Task.State.WAITING_FOR_USER)
    address = f"/tasks/{task.pk}/"
    own = sign_in(acme, "ada")
    assert "Countersign the plan" not in own.get(address).content.decode()
    assert own.post(f"{address}approve/", {"digest": DIGEST}).status_code == 403
    lin = sign_in(acme, "lin")
    assert "Countersign the plan" in lin.get(address).content.decode()
    assert lin.post(f"{address}approve/", {"digest": "e" * 64}).status_code == 409

    assert lin.post(f"{address}approve/", {"digest": DIGEST}).status_code == 302

    with tenant_scope(acme.scope):
        task.refresh_from_db()
        assert task.state == Task.State.IN_PROGRESS
    assert "Lin let it run" in lin.get(address).content.decode()
    assert ("plan.approve", "ok") in entries(acme)


def test_a_plan_is_refused_with_a_reason(acme, sign_in):
    with tenant_scope(acme.scope):
        task = repair_of(acme, "ada", Task.State.WAITING_FOR_USER)
    lin = sign_in(acme, "lin")
    silent = lin.post(f"/tasks/{task.pk}/refuse/", {"digest": DIGEST, "comment": " "})
    assert silent.status_code == 422
    assert "say why" in silent.content.decode()

    lin.post(f"/tasks/{task.pk}/refuse/", {"digest": DIGEST, "comment": "too broad"})

    page = lin.get(f"/tasks/{task.pk}/").content.decode()
    assert "too broad" in page
    assert "Cancelled" in page


def test_a_running_task_is_told_something_and_stopped(acme, sign_in):
    with tenant_scope(acme.scope):
        task = repair_of(acme, "bo", Task.State.IN_PROGRESS)
    bo = sign_in(acme, "bo")
    assert bo.post(f"/tasks/{task.pk}/say/", {"text": ""}).status_code == 422
    bo.post(f"/tasks/{task.pk}/say/", {"text": "look at orders.py"})
    assert "look at orders.py" in bo.get(f"/tasks/{task.pk}/").content.decode()
    bo.post(f"/tasks/{task.pk}/cancel/")

    page = bo.get(f"/tasks/{task.pk}/").content.decode()
    assert "asked to cancel" in page
    part = bo.get(f"/tasks/{task.pk}/", headers={"HX-Request": "true"}).content.decode()
    assert part.lstrip().startswith('<div id="progress"')
    with tenant_scope(acme.scope):
        assert Message.objects.get(task=task).author == acme.people["bo"]


def test_a_finished_repair_is_taken_back_once(acme, sign_in, entries):
    with tenant_scope(acme.scope):
        proposal = proposal_of(acme.people["bo"], acme.project)
        Task.objects.filter(pk=proposal.task_id).update(kind=Task.Kind.BUGFIX, constraints=REPORT)
    bo = sign_in(acme, "bo")
    assert "Take it back" in bo.get(f"/tasks/{proposal.task_id}/").content.decode()

    assert bo.post(f"/tasks/{proposal.task_id}/undo/").status_code == 302

    with tenant_scope(acme.scope):
        assert Proposal.objects.get().state == Proposal.State.WITHDRAWN
    assert "Take it back" not in bo.get(f"/tasks/{proposal.task_id}/").content.decode()
    assert bo.post(f"/tasks/{proposal.task_id}/undo/").status_code == 409
    assert ("task.undo", "ok") in entries(acme)


def test_a_failed_task_goes_on(acme, sign_in):
    with tenant_scope(acme.scope):
        task = repair_of(acme, "bo", Task.State.FAILED, reason="nothing left to try")
    bo = sign_in(acme, "bo")
    assert "nothing left to try" in bo.get(f"/tasks/{task.pk}/").content.decode()
    bo.post(f"/tasks/{task.pk}/resume/")
    with tenant_scope(acme.scope):
        task.refresh_from_db()
        assert task.state == Task.State.QUEUED


def test_a_budget_is_raised_on_the_page_by_whoever_may(acme, sign_in, entries):
    with tenant_scope(acme.scope):
        task = repair_of(acme, "bo", Task.State.TIMED_OUT, reason="the budget is spent")
    ada, bo, iris = (sign_in(acme, name) for name in ("ada", "bo", "iris"))
    page, resume = f"/tasks/{task.pk}/", f"/tasks/{task.pk}/resume/"
    assert "Go on with another budget" in ada.get(page).content.decode()
    assert "Go on with another budget" not in bo.get(page).content.decode()
    assert "Go on with another budget" not in iris.get(page).content.decode()

    wrong = ada.post(resume, {"wall_s": "600", "steps": "9999"})
    refused = bo.post(resume, {"wall_s": "600", "steps": "61"})
    api = bo.post(
        f"/api/v1/tasks/{task.pk}/resumption",
        {"budgets": {"steps": 61}},
        content_type="application/json",
    )

    assert wrong.status_code == 422
    assert "must be 1 to 200 steps" in wrong.content.decode()
    assert 'value="9999"' in wrong.content.decode()
    assert refused.status_code == 403
    assert "raise a budget" in refused.content.decode()
    assert api.status_code == 403
    assert "raise a budget" in api.json()["detail"]
    assert ada.post(resume, {"wall_s": "600", "steps": "61"}).status_code == 302
    assert entries(acme)[-1] == ("budget.raise", "ok")
    with tenant_scope(acme.scope):
        task.refresh_from_db()
        assert (task.state, task.budgets["steps"]) == (Task.State.QUEUED, 61)


def test_somebody_of_another_project_finds_no_such_task(acme, globex, sign_in):
    with tenant_scope(acme.scope):
        task = repair_of(acme, "bo", Task.State.IN_PROGRESS)
    assert sign_in(globex, "ada").get(f"/tasks/{task.pk}/").status_code == 404


def test_a_developer_asks_for_an_upgrade_on_the_page_and_a_program_through_the_api(acme, sign_in):
    with tenant_scope(acme.scope):
        repository = repository_in(acme.project)
    bo = sign_in(acme, "bo")
    assert "the newest that is allowed" in bo.get("/tasks/upgrade/").content.decode()
    asked = {"repository": str(repository.pk), "package": "Requests", "why": "It is old."}

    wrong = bo.post("/tasks/upgrade/", {**asked, "package": "../x", "version": "newest"})
    answer = bo.post("/tasks/upgrade/", asked)
    other = bo.post(
        "/api/v1/tasks/upgrades", {**asked, "version": "2.0"}, content_type="application/json"
    )

    assert wrong.status_code == 422
    assert "must be the name of a package" in wrong.content.decode()
    assert "must be a version such as" in wrong.content.decode()
    page = bo.get(answer["Location"]).content.decode()
    assert "Upgrade requests to the newest version allowed" in page
    assert "It is old." in page
    assert (other.status_code, other.json()["kind"]) == (201, "upgrade")
    assert other.json()["report"] == {
        "packages": [{"package": "requests", "version": "2.0"}],
        "why": "It is old.",
    }
    listed = bo.get("/tasks/", {"kind": "upgrade"}).content.decode()
    assert "Upgrade requests to 2.0" in listed
    assert "Upgrade requests" not in bo.get("/tasks/", {"kind": "bugfix"}).content.decode()


def test_a_page_that_has_seen_everything_gets_no_content_until_something_happens(
    acme, sign_in, monkeypatch
):
    now = [1_000.0]
    monkeypatch.setattr(tasks, "_clock", lambda: now[0])
    with tenant_scope(acme.scope):
        task = repair_of(acme, "bo", Task.State.IN_PROGRESS)
    bo = sign_in(acme, "bo")

    def asked_again(page):
        again = re.search(r'hx-get="([^"]+)" hx-trigger="every 2s"', page)
        return bo.get(html.unescape(again[1]), headers={"HX-Request": "true"})

    page = bo.get(f"/tasks/{task.pk}/").content.decode()
    assert (asked_again(page).status_code, asked_again(page).content) == (204, b"")

    with tenant_scope(acme.scope):
        Action.objects.create(task=task, number=7, tool="run_tests", status="running")
    changed = asked_again(page)
    assert changed.status_code == 200
    page = changed.content.decode()
    assert asked_again(page).status_code == 204
    with tenant_scope(acme.scope):
        live = LiveLog(task.pk)
        live.say(b"collected 3 tests")
        live._keep()
    printed = asked_again(page)
    assert "collected 3 tests" in printed.content.decode()
    # The time that is spent goes on though nothing happens.
    now[0] += 11
    assert asked_again(printed.content.decode()).status_code == 200


def test_an_upgrade_may_be_about_several_packages(acme, sign_in):
    with tenant_scope(acme.scope):
        repository = repository_in(acme.project)
    bo = sign_in(acme, "bo")
    asked = {"repository": str(repository.pk), "package": "requests"}

    twice = bo.post("/tasks/upgrade/", {**asked, "also": "idna\nRequests==2.0"})
    wrong = bo.post("/tasks/upgrade/", {**asked, "also": "idna newest"})
    many = bo.post("/tasks/upgrade/", {**asked, "also": "\n".join(f"p{n}" for n in range(10))})
    answer = bo.post("/tasks/upgrade/", {**asked, "also": " idna==3.7 \r\n\r\nUrllib3\r\n"})
    other = bo.post(
        "/api/v1/tasks/upgrades",
        {**asked, "version": "2.0", "also": ["idna"]},
        content_type="application/json",
    )

    assert (twice.status_code, wrong.status_code, many.status_code) == (422, 422, 422)
    assert "must not name a package twice" in twice.content.decode()
    assert "must be a package such as idna, or idna==3.7" in wrong.content.decode()
    assert "must name at most 9 packages" in many.content.decode()
    page = bo.get(answer["Location"]).content.decode()
    assert "Upgrade requests to the newest version allowed and 2 others" in page
    assert other.json()["title"] == "Upgrade requests to 2.0 and idna to the newest version allowed"
    assert other.json()["report"]["packages"][1] == {"package": "idna", "version": ""}


def test_the_form_says_where_packages_come_from_and_the_task_keeps_to_it(acme, sign_in, settings):
    with tenant_scope(acme.scope):
        repository = repository_in(acme.project)
    bo = sign_in(acme, "bo")
    asked = {"repository": str(repository.pk), "package": "requests"}
    assert "allows no registry of packages" in bo.get("/tasks/upgrade/").content.decode()

    settings.PACKAGE_REGISTRY = "https://packages.example.com/simple/"
    settings.PACKAGE_REGISTRY_HOSTS = ["files.example.com"]
    form = bo.get("/tasks/upgrade/").content.decode()
    filed = bo.post("/api/v1/tasks/upgrades", asked, content_type="application/json").json()

    assert '<strong class="text-break">packages.example.com</strong>' in form
    assert "which may send on to files.example.com" in form
    assert filed["report"]["registry"] == settings.PACKAGE_REGISTRY
    page = bo.get(f"/tasks/{filed['id']}/").content.decode()
    assert "https://packages.example.com/simple/" in page


@pytest.mark.parametrize("who", ["iris", "eve"])
def test_who_may_not_ask_for_changes_files_no_upgrade(acme, globex, sign_in, who):
    with tenant_scope(acme.scope):
        repository = repository_in(acme.project)
    company = globex if who == "eve" else acme
    asked = {"repository": str(repository.pk), "package": "requests"}

    page = sign_in(company, who).post("/tasks/upgrade/", asked)
    answer = sign_in(company, who).post(
        "/api/v1/tasks/upgrades", asked, content_type="application/json"
    )

    assert page.status_code in {200, 403, 404, 422}
    assert answer.status_code == (404 if who == "eve" else 403)
    with tenant_scope(acme.scope):
        assert not Task.objects.exists()


def test_a_developer_asks_for_a_refactoring_on_the_page_and_a_program_through_the_api(
    acme, sign_in
):
    with tenant_scope(acme.scope):
        repository = repository_in(acme.project)
    bo = sign_in(acme, "bo")
    assert (
        "Give a function, class or method another name"
        in bo.get("/tasks/refactor/").content.decode()
    )
    asked = {"repository": str(repository.pk), "how": "rename"}
    names = {"name": "shop.pricing.total", "new_name": "shop.pricing.order_total"}

    wrong = bo.post("/tasks/refactor/", {**asked, "name": "total", "new_name": "x"})
    answer = bo.post("/tasks/refactor/", {**asked, **names})
    other = bo.post(
        "/api/v1/tasks/refactorings", {**asked, **names}, content_type="application/json"
    )

    assert wrong.status_code == 422
    assert "must be package, module and name" in wrong.content.decode()
    page = bo.get(answer["Location"]).content.decode()
    assert "Rename shop.pricing.total to order_total" in page
    assert (other.status_code, other.json()["kind"]) == (201, "refactoring")
