"""Teams, shares, who may do what, reviews, as programs ask for them."""

import json

from authz import access_reviews
from authz.models import Share, Team
from tenants.scope import tenant_scope
from tests.at_browser import JUST_NOW
from tests.portal.standing import task_of

AT = "/api/v1/access"
JSON = {"content_type": "application/json"}


def test_a_team_is_made_and_a_request_shared_with_it(acme, sign_in, entries):
    tomas, bo = sign_in(acme, "tomas"), acme.people["bo"]
    with tenant_scope(acme.scope):
        task = task_of(acme.people["ada"], acme.project)

    made = tomas.post(f"{AT}/teams", {"slug": "guests", "name": "Guests"}, **JSON)
    team = json.loads(made.content)["id"]
    put = tomas.put(f"{AT}/teams/{team}/people", {"email": bo.email}, **JSON)
    shared = tomas.put(f"{AT}/shares/task/{task.pk}", {"team": "guests"}, **JSON)

    assert (made.status_code, put.status_code, shared.status_code) == (201, 200, 200)
    assert json.loads(put.content)["people"] == [{"id": str(bo.pk), "name": "Bo"}]
    assert json.loads(tomas.get(f"{AT}/teams").content)["count"] == 1
    said = json.loads(shared.content)
    assert said["team"]["name"] == "Guests"
    assert json.loads(tomas.get(f"{AT}/shares/task/{task.pk}").content) == [said]
    assert tomas.delete(f"{AT}/shares/task/{task.pk}/{said['id']}").status_code == 204
    assert tomas.delete(f"{AT}/teams/{team}/people/{bo.pk}").status_code == 204
    assert tomas.delete(f"{AT}/teams/{team}").status_code == 204
    with tenant_scope(acme.scope):
        assert not Team.objects.exists()
        assert not Share.objects.exists()
    assert entries(acme)[-6:] == [
        *[("team.change", "ok")] * 2,
        *[("share.change", "ok")] * 2,
        *[("team.change", "ok")] * 2,
    ]


def test_who_may_do_what_is_the_same_as_on_the_page(acme, globex, sign_in):
    with tenant_scope(acme.scope):
        task = task_of(acme.people["ada"], acme.project)
    address = f"{AT}/holders/task/{task.pk}"

    said = {
        one["permission"]: [who["name"] for who in one["accounts"]]
        for one in json.loads(sign_in(acme, "bo").get(address).content)
    }

    assert said["task.view"] == ["Ada", "Agent", "Bo", "Iris", "Lin", "Tomas"]
    assert said["share.change"] == ["Ada", "Lin", "Tomas"]
    assert sign_in(globex, "eve").get(address).status_code == 404
    assert sign_in(acme, "bo").put(f"{AT}/shares/task/{task.pk}", {}, **JSON).status_code == 422
    denied = sign_in(acme, "bo").put(
        f"{AT}/shares/task/{task.pk}", {"email": acme.people["iris"].email}, **JSON
    )
    assert denied.status_code == 403
    assert {one["name"] for one in json.loads(denied.content)["help"]} == {"Ada", "Lin", "Tomas"}


def test_a_review_is_taken_away_by_auditors(acme, sign_in):
    by = acme.people["tomas"].actor("page", signed_in=JUST_NOW)
    with tenant_scope(acme.scope):
        review = access_reviews.start(9, by=by)
    iris = sign_in(acme, "iris")

    (listed,) = json.loads(iris.get(f"{AT}/reviews").content)
    said = json.loads(iris.get(f"{AT}/reviews/{review.pk}/evidence").content)

    assert listed["counts"]["waiting"] == len(said["items"]) > 0
    assert sign_in(acme, "ada").get(f"{AT}/reviews").status_code == 403
