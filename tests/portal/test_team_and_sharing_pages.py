"""The pages of teams, and of sharing one project or request."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from authz import teams
from authz.models import Share, Team
from tenants.models import Project
from tenants.scope import tenant_scope
from tests.portal.standing import task_of

CONSTRAINTS = {"title": "Customer portal"}


@pytest.fixture
def team(acme):
    with tenant_scope(acme.scope):
        return teams.create_team("payments", "Payments", by=acme.people["tomas"].actor("page"))


@pytest.fixture
def elsewhere(acme):
    """A request in a project where only the tenant's own roles count."""
    with tenant_scope(acme.scope):
        task = task_of(
            acme.people["tomas"], acme.project, goal="Secret plan", constraints=CONSTRAINTS
        )
        other = Project.objects.create(slug="other", name="Other")
        type(task).objects.filter(pk=task.pk).update(project=other)
        return task


def _members(acme, team):
    with tenant_scope(acme.scope):
        rows = team.members.select_related("user", "nested")
        return sorted((row.user or row.nested).name for row in rows)


def test_an_admin_creates_a_team_and_fills_it_with_people_and_teams(acme, sign_in, entries):
    tomas = sign_in(acme, "tomas")
    for slug in ("inner", "outer"):
        tomas.post("/people/teams/", {"slug": slug, "name": slug.capitalize()})
    with tenant_scope(acme.scope):
        inner, outer = Team.objects.get(slug="inner"), Team.objects.get(slug="outer")

    tomas.post(f"/people/teams/{inner.pk}/add/", {"email": acme.people["bo"].email, "team": ""})
    tomas.post(f"/people/teams/{outer.pk}/add/", {"email": "", "team": "inner"})
    page = tomas.get(f"/people/teams/{outer.pk}/").content.decode()

    assert _members(acme, inner) == ["Bo"]
    assert _members(acme, outer) == ["Inner"]
    assert f"/people/teams/{inner.pk}/" in page
    assert "This team is itself in" in tomas.get(f"/people/teams/{inner.pk}/").content.decode()
    assert entries(acme)[-4:] == [("team.change", "ok")] * 4
    listed = tomas.get("/people/teams/").content.decode()
    assert listed.index("Inner") < listed.index("Outer")


@pytest.mark.parametrize(
    ("typed", "status", "said"),
    [
        ({"email": "", "team": ""}, 422, "one of both"),
        ({"email": "nobody@example.com", "team": ""}, 422, "nobody here has the address"),
        ({"email": "", "team": "payments"}, 409, "cannot contain itself"),
        ({"email": "", "team": "ghosts"}, 422, "choose one from the list"),
    ],
)
def test_what_cannot_be_added_is_said_beside_the_field(acme, sign_in, team, typed, status, said):
    answer = sign_in(acme, "tomas").post(f"/people/teams/{team.pk}/add/", typed)

    assert answer.status_code == status
    assert said in answer.content.decode().lower()
    assert _members(acme, team) == []


def test_a_slug_that_will_not_do_keeps_what_was_typed(acme, sign_in, team):
    answer = sign_in(acme, "tomas").post("/people/teams/", {"slug": "payments", "name": "Two"})

    assert answer.status_code == 422
    assert 'value="Two"' in answer.content.decode()
    assert "the short name of another team" in answer.content.decode()


def test_somebody_taken_out_sees_at_once_no_more(acme, sign_in, team, elsewhere):
    by, address = acme.people["tomas"].actor("page"), f"/recommendations/{elsewhere.pk}/"
    with tenant_scope(acme.scope):
        teams.add_member(team, acme.people["bo"], by=by)
        teams.share(elsewhere, team, by=by)
        row = team.members.get()
    bo = sign_in(acme, "bo")
    assert bo.get(address).status_code == 200

    sign_in(acme, "tomas").post(f"/people/teams/{team.pk}/members/{row.pk}/take-out/")

    assert bo.get(address).status_code == 404


def test_dissolving_a_team_says_first_what_its_people_lose(acme, sign_in, team, elsewhere):
    by = acme.people["tomas"].actor("page")
    with tenant_scope(acme.scope):
        teams.add_member(team, acme.people["bo"], by=by)
        teams.share(elsewhere, team, by=by)
    tomas = sign_in(acme, "tomas")

    asked = tomas.get(f"/people/teams/{team.pk}/remove/").content.decode()
    assert "0 instead of 1 requests" in asked
    with tenant_scope(acme.scope):
        assert Team.objects.filter(pk=team.pk).exists()

    assert tomas.post(f"/people/teams/{team.pk}/remove/").status_code == 302
    assert sign_in(acme, "bo").get(f"/recommendations/{elsewhere.pk}/").status_code == 404


def test_the_preview_of_a_new_member_changes_nothing(acme, sign_in, team, elsewhere, entries):
    with tenant_scope(acme.scope):
        teams.share(elsewhere, team, by=acme.people["tomas"].actor("page"))
    before = entries(acme)

    answer = sign_in(acme, "tomas").post(
        f"/people/teams/{team.pk}/add/",
        {"email": acme.people["bo"].email, "team": "", "preview": "1"},
    )

    assert "1 instead of 0 requests" in answer.content.decode()
    assert _members(acme, team) == []
    assert entries(acme) == before


@pytest.mark.parametrize(("name", "status"), [("iris", 403), ("bo", 403), ("ada", 403)])
def test_only_who_runs_the_tenant_changes_teams_on_pages(acme, sign_in, team, name, status):
    client = sign_in(acme, name)

    for path, typed in (
        ("/people/teams/", {"slug": "x", "name": "X"}),
        (f"/people/teams/{team.pk}/add/", {"email": acme.people["bo"].email}),
        (f"/people/teams/{team.pk}/add/", {"email": acme.people["bo"].email, "preview": "1"}),
        (f"/people/teams/{team.pk}/remove/", {}),
    ):
        assert client.post(path, typed).status_code == status, path
    page = client.get(f"/people/teams/{team.pk}/")
    # Ada and Bo hold roles in one project alone, so the tenant's teams are not shown to them.
    assert page.status_code == (200 if name == "iris" else 403)
    assert "Show what it changes" not in page.content.decode()


def test_a_team_of_another_tenant_is_not_there(acme, globex, sign_in, team):
    assert sign_in(globex, "tomas").get(f"/people/teams/{team.pk}/").status_code == 404


def test_a_request_is_shared_until_the_end_of_a_day_and_taken_back(
    acme, sign_in, elsewhere, entries
):
    tomas, address = sign_in(acme, "tomas"), f"/sharing/task/{elsewhere.pk}/"
    day = (timezone.now() + timedelta(days=3)).date()
    bo = acme.people["bo"]

    answer = tomas.post(address, {"email": bo.email, "team": "", "until": day.isoformat()})

    assert answer.status_code == 302
    with tenant_scope(acme.scope):
        share = Share.objects.get()
    next_day = day + timedelta(days=1)
    assert share.expires_at == datetime(next_day.year, next_day.month, next_day.day, tzinfo=UTC)
    page = sign_in(acme, "bo").get(f"/recommendations/{elsewhere.pk}/").content.decode()
    assert "Secret plan" in page
    assert address not in page
    assert address in tomas.get(f"/recommendations/{elsewhere.pk}/").content.decode()
    assert "Bo" in tomas.get(address).content.decode()

    tomas.post(f"{address}{share.pk}/end/")
    assert sign_in(acme, "bo").get(f"/recommendations/{elsewhere.pk}/").status_code == 404
    assert entries(acme)[-2:] == [("share.change", "ok")] * 2


@pytest.mark.parametrize("until", ["2020-01-01", "tomorrow", "9999-12-31"])
def test_a_day_that_will_not_do_is_refused_with_what_to_do(acme, sign_in, elsewhere, until):
    typed = {"email": acme.people["bo"].email, "team": "", "until": until}
    answer = sign_in(acme, "tomas").post(f"/sharing/task/{elsewhere.pk}/", typed)

    assert answer.status_code == 422
    assert 'id="until-said"' in answer.content.decode()
    with tenant_scope(acme.scope):
        assert not Share.objects.exists()


def test_a_project_is_shared_with_a_team_by_its_admin(acme, sign_in, team):
    ada, address = sign_in(acme, "ada"), f"/sharing/project/{acme.project.pk}/"

    assert ada.post(address, {"email": "", "team": "payments", "until": ""}).status_code == 302
    assert "Stop sharing with Payments" in ada.get(address).content.decode()
    page = ada.get(f"/people/projects/{acme.project.pk}/").content.decode()

    assert "Payments" in page.split('id="shares"')[1]


def test_who_may_not_share_gets_no_button_and_no_page(acme, globex, sign_in, elsewhere):
    with tenant_scope(acme.scope):
        task = task_of(acme.people["ada"], acme.project, constraints=CONSTRAINTS)
    typed = {"email": acme.people["iris"].email, "team": "", "until": ""}

    bo = sign_in(acme, "bo")
    assert "/sharing/" not in bo.get(f"/recommendations/{task.pk}/").content.decode()
    assert bo.get(f"/sharing/task/{task.pk}/").status_code == 403
    assert bo.post(f"/sharing/task/{task.pk}/", typed).status_code == 403
    assert bo.post(f"/sharing/task/{elsewhere.pk}/", typed).status_code == 404
    assert sign_in(globex, "eve").get(f"/sharing/task/{task.pk}/").status_code == 404
    assert bo.get(f"/sharing/proposal/{task.pk}/").status_code == 404
    with tenant_scope(acme.scope):
        assert not Share.objects.exists()
