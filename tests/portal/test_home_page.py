"""The first page: what waits for whom, what runs, what changed."""

from datetime import timedelta

from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agent import lifecycle
from agent.models import Proposal, Repository, Task
from authz.models import Grant
from tenants.scope import tenant_scope
from tests.at_browser import JUST_NOW
from tests.portal.standing import proposal_of, task_of


def figure(page: str, name: str) -> str:
    return page.split(f">{name}</dt>")[1].split("</dd>")[0].split(">")[-1].strip()


def waiting(page: str) -> str:
    return page.split('id="waiting"')[1].split("</section>")[0]


def running(page: str) -> str:
    return page.split('id="running"')[1].split("</section>")[0]


def test_a_proposal_waits_for_those_who_may_countersign_it(acme, sign_in):
    with tenant_scope(acme.scope):
        proposal = proposal_of(acme.people["ada"], acme.project)

    def seen(name):
        page = sign_in(acme, name).get("/").content.decode()
        return f"/proposals/{proposal.pk}/" in waiting(page)

    # Ada asked for it herself; bo and iris have no say.
    assert {name: seen(name) for name in ("lin", "tomas", "ada", "bo", "iris")} == {
        "lin": True,
        "tomas": True,
        "ada": False,
        "bo": False,
        "iris": False,
    }


def test_what_was_decided_does_not_wait_any_more_but_has_changed(acme, sign_in):
    with tenant_scope(acme.scope):
        proposal = proposal_of(acme.people["bo"], acme.project)
        ada = acme.people["ada"]
        lifecycle.countersign(
            proposal, proposal.digest, reviewer=ada, by=ada.actor("page", signed_in=JUST_NOW)
        )

    page = sign_in(acme, "lin").get("/").content.decode()

    assert str(proposal.pk) not in waiting(page)
    assert "Ada countersigned" in page.split('id="changed"')[1]


def test_running_work_is_one_s_own(acme, sign_in):
    with tenant_scope(acme.scope):
        own = task_of(acme.people["bo"], acme.project, Task.State.IN_PROGRESS)
        other = task_of(acme.people["ada"], acme.project, Task.State.IN_PROGRESS)

    page = sign_in(acme, "bo").get("/").content.decode()

    assert f"/recommendations/{own.pk}/" in running(page)
    assert f"/recommendations/{other.pk}/" not in running(page)


def test_figures_count_the_last_month(acme, sign_in):
    bo, now = acme.people["bo"], timezone.now()
    with tenant_scope(acme.scope):
        for seconds in (1, 2, 3):
            task_of(
                bo,
                acme.project,
                Task.State.COMPLETED,
                started_at=now,
                finished_at=now + timedelta(seconds=seconds),
            )
        old = task_of(bo, acme.project, Task.State.COMPLETED, started_at=now)
        Task.objects.filter(pk=old.pk).update(created_at=now - timedelta(days=40))
        proposal_of(bo, acme.project, state=Proposal.State.REJECTED)

    page = sign_in(acme, "iris").get("/").content.decode()

    assert figure(page, "Requests, 30 days") == "4"
    assert figure(page, "Open proposals") == "0"
    # 1, 2, 3 and about 4 seconds: the 95th percentile lies between the last two.
    assert figure(page, "p95 to pull request").startswith("3.")


def test_an_empty_page_shows_where_to_start(acme, sign_in):
    with tenant_scope(acme.scope):
        Repository.objects.create(project=acme.project, name="shop")

    asking = sign_in(acme, "bo").get("/").content.decode()
    reading = sign_in(acme, "iris").get("/").content.decode()

    assert "Start from an example" in asking
    assert "Start from an example" not in reading
    assert "A quiet day" in reading
    assert figure(reading, "p95 to pull request") == "–"


def test_nothing_of_another_tenant_or_without_a_role_is_shown(acme, globex, sign_in):
    with tenant_scope(acme.scope):
        proposal = proposal_of(acme.people["bo"], acme.project)
        Grant.objects.filter(user=acme.people["lin"]).delete()

    for client in (sign_in(globex, "eve"), sign_in(acme, "lin")):
        page = client.get("/").content.decode()
        assert str(proposal.pk) not in page
        assert figure(page, "Open proposals") == "0"
        assert figure(page, "Requests, 30 days") == "0"
    assert sign_in(acme).get("/").status_code == 302


def test_more_work_does_not_mean_more_queries(acme, sign_in):
    with tenant_scope(acme.scope):
        proposal_of(acme.people["bo"], acme.project)
        task_of(acme.people["ada"], acme.project)
    ada = sign_in(acme, "ada")
    ada.get("/")

    with CaptureQueriesContext(connection) as few:
        ada.get("/")
    with tenant_scope(acme.scope):
        for _ in range(3):
            proposal_of(acme.people["bo"], acme.project)
            task_of(acme.people["ada"], acme.project)
    with CaptureQueriesContext(connection) as many:
        ada.get("/")

    assert len(many) == len(few) > 3
