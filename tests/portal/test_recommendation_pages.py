"""Recommendation pages: asking, being helped while asking, watching."""

from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agent import repositories
from agent.models import Action, Draft, Task
from tenants.actor import system_actor
from tenants.scope import tenant_scope
from tests.portal import standing

NEW = "/recommendations/new/"
REQUEST = {
    "title": "Customer portal",
    "building": "A multi-tenant web portal with semantic search.",
    "requests_per_second": "50",
    "data_gb": "200",
    "latency_budget_ms": "300",
    "skills": "python, django",
    "already_run": "postgresql",
    "hosting": "self_hosted",
    "licence_policy": "permissive_only",
    "monthly_budget_usd": "6000",
    "compliance": ["ssdf", "slsa_l3"],
    "must_nots": "MongoDB",
    "rank_cost": "2",
    "rank_features": "1",
    "layers": ["web-api", "vector-search"],
}


@pytest.fixture
def repository(acme):
    with tenant_scope(acme.scope):
        return repositories.register(
            "portal",
            project=acme.project,
            files={"README.md": b"# Portal\n"},
            written=datetime(2026, 1, 5, tzinfo=UTC),
            by=system_actor("test", "cli"),
        )


def task_of(*who_and_where, **also):
    return standing.task_of(*who_and_where, constraints={"title": "Customer portal"}, **also)


def draft_of(company, name):
    with tenant_scope(company.scope):
        return Draft.objects.filter(user=company.people[name]).first()


def test_a_developer_asks_through_the_form_and_sees_the_request(acme, repository, sign_in, entries):
    answer = sign_in(acme, "bo").post(NEW, {**REQUEST, "ask": "1"}, follow=True)

    page = answer.content.decode()
    assert "Customer portal" in page
    assert "Queued" in page
    assert "Verify the pull request" in page
    with tenant_scope(acme.scope):
        task = Task.objects.get()
    assert task.constraints["priorities"] == ["features", "cost"]
    assert task.constraints["compliance"] == ["ssdf", "slsa_l3"]
    assert task.constraints["data_gb"] == 200
    assert entries(acme)[-1] == ("recommendation.create", "ok")
    assert draft_of(acme, "bo") is None


def test_what_cannot_be_used_is_said_beside_the_field_and_everything_typed_stays(
    acme, repository, sign_in
):
    typed = {**REQUEST, "data_gb": "a lot", "must_haves": "rbca", "rank_cost": "first", "ask": "1"}

    answer = sign_in(acme, "bo").post(NEW, typed)

    page = answer.content.decode()
    assert answer.status_code == 422
    assert 'value="a lot"' in page
    assert "Expected a number above 0" in page
    assert "did you mean “rbac”?" in page
    assert "“first” is not a rank" in page
    assert 'value="python, django"' in page
    assert draft_of(acme, "bo").fields["data_gb"] == "a lot"


def test_a_draft_is_kept_as_it_is_typed_and_waits_for_its_writer(acme, repository, sign_in):
    bo = sign_in(acme, "bo")

    bo.post(NEW + "draft/", {"title": "Half a thought", "layers": ["web-api"]})

    assert 'value="Half a thought"' in bo.get(NEW).content.decode()
    assert "Half a thought" not in sign_in(acme, "ada").get(NEW).content.decode()


def test_the_same_words_twice_leave_one_entry(acme, repository, sign_in, entries):
    bo = sign_in(acme, "bo")
    before = len(entries(acme))

    for _ in range(3):
        bo.post(NEW + "draft/", {"title": "Half a thought"})

    assert len(entries(acme)) == before + 1


def test_the_summary_says_what_falls_out_with_the_reason(acme, repository, sign_in):
    summary = sign_in(acme, "bo").post(NEW + "draft/", REQUEST).content.decode()

    assert "<html" not in summary
    assert "<strong>2</strong> layers in scope" in summary
    assert "does not allow" in summary
    assert "6,000 US dollars a month" in summary


def test_a_half_filled_form_is_read_as_far_as_it_makes_sense(acme, repository, sign_in):
    summary = sign_in(acme, "bo").post(NEW + "draft/", {"data_gb": "a lot", "skills": "go"})

    assert "To put right" in summary.content.decode()
    assert "go" in summary.content.decode()


def test_an_example_fills_the_form_and_takes_nothing_away(acme, repository, sign_in):
    bo = sign_in(acme, "bo")
    bo.post(NEW + "draft/", {"title": "My own words"})

    example = bo.get(NEW + "?example=0").content.decode()
    bo.post(NEW + "draft/", {"title": "Changed example", "example": "0"})

    assert "GitHub-first" in example
    assert "Changed example" in bo.get(NEW).content.decode()
    assert "My own words" in bo.get(NEW + "?previous").content.decode()


def test_priorities_move_without_a_script(acme, repository, sign_in):
    bo = sign_in(acme, "bo")

    bo.post(NEW, {**REQUEST, "move": "cost:up"}, follow=True)
    assert draft_of(acme, "bo").fields["ranks"] == {"cost": "1", "features": "2"}

    bo.post(NEW, {"rank_cost": "1", "rank_features": "2", "move": "features:down"})
    assert draft_of(acme, "bo").fields["ranks"] == {"cost": "1"}


def test_an_auditor_is_refused_the_form_and_that_is_on_record(acme, repository, sign_in, entries):
    answer = sign_in(acme, "iris").get(NEW)

    assert answer.status_code == 403
    assert entries(acme)[-1] == ("recommendation.create.denied", "denied")
    assert (
        "New recommendation" not in sign_in(acme, "iris").get("/recommendations/").content.decode()
    )


def test_without_a_repository_the_form_says_what_is_missing(acme, sign_in):
    assert "no repository to propose to" in sign_in(acme, "bo").get(NEW).content.decode()


@pytest.mark.parametrize("path", ["", "cancel/", "resume/"])
def test_another_tenants_request_does_not_exist(acme, globex, sign_in, path):
    with tenant_scope(acme.scope):
        task = task_of(acme.people["bo"], acme.project)
    eve = sign_in(globex, "eve")

    send = eve.post if path else eve.get

    assert send(f"/recommendations/{task.pk}/{path}").status_code == 404


def test_a_running_request_is_asked_for_again_every_second_and_an_ended_one_is_not(acme, sign_in):
    with tenant_scope(acme.scope):
        task = task_of(acme.people["bo"], acme.project, Task.State.IN_PROGRESS, phase="act")
        Action.objects.create(task=task, number=2, tool="eliminate_options")
    headers = {"HX-Request": "true", "HX-Target": "progress"}
    bo = sign_in(acme, "bo")

    running = bo.get(f"/recommendations/{task.pk}/", headers=headers).content.decode()
    with tenant_scope(acme.scope):
        Task.objects.update(state=Task.State.COMPLETED, finished_at=timezone.now())
    ended = bo.get(f"/recommendations/{task.pk}/", headers=headers).content.decode()

    assert "<html" not in running
    assert 'hx-trigger="every 1s"' in running
    assert "40 candidates for 14 layers" in running
    assert "120 ms" in running
    assert "To come" in running
    assert "hx-trigger" not in ended
    assert "Cancel" not in ended


def test_a_request_that_failed_says_why_and_can_be_resumed(acme, sign_in, entries):
    with tenant_scope(acme.scope):
        task = task_of(
            acme.people["bo"], acme.project, Task.State.FAILED, reason="the store has no room left"
        )
    address = f"/recommendations/{task.pk}/"

    auditors = sign_in(acme, "iris").get(address).content.decode()
    page = sign_in(acme, "bo").get(address).content.decode()
    after = sign_in(acme, "bo").post(address + "resume/", follow=True).content.decode()

    assert "the store has no room left" in page
    assert "Resume" in page
    assert "Resume" not in auditors
    assert "Queued" in after
    assert entries(acme)[-1] == ("recommendation.create", "ok")


def test_a_running_request_can_be_cancelled(acme, sign_in, entries):
    with tenant_scope(acme.scope):
        task = task_of(acme.people["bo"], acme.project, Task.State.IN_PROGRESS)

    page = sign_in(acme, "ada").post(f"/recommendations/{task.pk}/cancel/", follow=True)

    assert "Ada asked to cancel" in page.content.decode()
    assert entries(acme)[-1] == ("task.cancel", "ok")


def test_the_list_is_filtered_sorted_and_cut_into_pages_by_its_address(acme, sign_in):
    with tenant_scope(acme.scope):
        for number in range(30):
            task_of(acme.people["bo"], acme.project, goal=f"Portal {number:02}")
        task_of(acme.people["ada"], acme.project, Task.State.FAILED, goal="Broken one")
    bo = sign_in(acme, "bo")

    first = bo.get("/recommendations/?sort=title").content.decode()
    second = bo.get("/recommendations/?sort=-title&page=2").content.decode()
    failed = bo.get("/recommendations/?state=failed&q=ada").content.decode()

    assert first.index("Broken one") < first.index("Portal 00") < first.index("Portal 23")
    assert "Portal 24" not in first
    assert "26–31 of 31" in second
    assert "Broken one" in second
    assert "Broken one" in failed
    assert "Portal 00" not in failed


def test_a_longer_list_asks_the_database_no_more_often(acme, sign_in):
    with tenant_scope(acme.scope):
        task_of(acme.people["bo"], acme.project)
    bo = sign_in(acme, "bo")
    with CaptureQueriesContext(connection) as one:
        bo.get("/recommendations/")
    with tenant_scope(acme.scope):
        for _ in range(9):
            task_of(acme.people["bo"], acme.project)

    with CaptureQueriesContext(connection) as ten:
        bo.get("/recommendations/")

    assert len(ten) == len(one)


def test_a_pasted_brief_is_shown_as_read_and_counts_only_when_it_is_ticked(
    acme, repository, sign_in
):
    browser = sign_in(acme, "bo")
    brief = "We are a small team on AWS. The team knows Python. It must be self-hosted."

    shown = browser.post(NEW, {"brief": brief, "read_brief": "1"}).content.decode()

    assert 'value="skills|python" checked' in shown
    assert 'value="hosting|self_hosted" checked' in shown
    assert "because of “self-hosted”" in shown
    assert draft_of(acme, "bo").fields["skills"] == ""

    browser.post(
        NEW,
        {"brief": brief, "use_readings": "1", "reading": ["skills|python", "run_by|small_team"]},
    )

    kept = draft_of(acme, "bo").fields
    assert (kept["skills"], kept["run_by"]) == ("python", "small_team")
    assert kept["hosting"] == "", "what was not ticked does not count"
    assert kept["building"] == brief


def test_a_repository_fills_the_form_in_with_what_its_files_say(acme, sign_in):
    with tenant_scope(acme.scope):
        found = repositories.register(
            "shop",
            project=acme.project,
            files={
                "requirements.txt": b"Django==5.2\n",
                "compose.yaml": b"services:\n  db:\n    image: postgres:18\n",
            },
            written=datetime(2026, 1, 5, tzinfo=UTC),
            by=system_actor("test", "cli"),
        )

    shown = sign_in(acme, "bo").post(NEW, {"scan": "1", "repository": str(found.pk)})

    page = shown.content.decode()
    assert 'value="skills|django" checked' in page
    assert 'value="already_run|postgresql" checked' in page
    assert "in compose.yaml" in page


def test_an_old_request_can_be_asked_again_with_changes(acme, repository, sign_in):
    with tenant_scope(acme.scope):
        old = task_of(acme.people["bo"], acme.project)
    browser = sign_in(acme, "bo")

    page = browser.get(f"{NEW}?copy={old.pk}").content.decode()

    assert 'value="Customer portal"' in page
    assert browser.get(f"{NEW}?copy=not-an-id").status_code == 404


def test_a_request_of_another_company_cannot_be_copied(acme, globex, repository, sign_in):
    with tenant_scope(acme.scope):
        old = task_of(acme.people["bo"], acme.project)
    with tenant_scope(globex.scope):
        repositories.register(
            "portal",
            project=globex.project,
            files={"README.md": b"# Portal\n"},
            written=datetime(2026, 1, 5, tzinfo=UTC),
            by=system_actor("test", "cli"),
        )

    assert sign_in(globex, "eve").get(f"{NEW}?copy={old.pk}").status_code == 404
