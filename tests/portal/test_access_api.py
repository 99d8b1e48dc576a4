"""Teams, shares, who may do what, reviews, as programs ask for them."""

import json

from authz import access_reviews
from authz.models import Grant, Share, Team
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

    assert said["task.view"] == ["Ada", "Bo", "Countersign agent", "Iris", "Lin", "Tomas"]
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
    assert sign_in(acme, "bo").get(f"{AT}/reviews").status_code == 403
    assert sign_in(acme, "ada").get(f"{AT}/reviews/{review.pk}/evidence").status_code == 403


def test_a_review_is_started_answered_and_closed_by_a_program(acme, sign_in, entries):
    with tenant_scope(acme.scope):
        access_reviews.remind()
    tomas, bo = sign_in(acme, "tomas"), acme.people["bo"]

    wrong = tomas.post(f"{AT}/reviews", {"days": 91}, **JSON)
    made = tomas.post(f"{AT}/reviews", {"days": 14}, **JSON)
    again = tomas.post(f"{AT}/reviews", {"days": 14}, **JSON)

    assert [one.status_code for one in (wrong, made, again)] == [422, 201, 409]
    review = json.loads(made.content)
    at = f"{AT}/reviews/{review['id']}"
    assert (review["state"], review["closed_at"]) == ("open", None)
    listed = json.loads(tomas.get(f"{at}/items?limit=200").content)
    assert listed["count"] == review["counts"]["items"] == len(listed["items"])
    held = {one["whose"]: one for one in listed["items"] if "Platform" in one["what"]}
    item = held["Bo"]
    assert (item["kind"], item["answer"], item["reason"]) == ("role", "waiting", "")

    unsaid = tomas.put(f"{at}/items/{item['id']}", {"keep": False}, **JSON)
    ended = tomas.put(f"{at}/items/{item['id']}", {"keep": False, "reason": "left"}, **JSON)
    twice = tomas.put(f"{at}/items/{item['id']}", {"keep": True}, **JSON)

    assert [one.status_code for one in (unsaid, ended, twice)] == [422, 200, 409]
    assert json.loads(unsaid.content)["errors"].keys() == {"reason"}
    said = json.loads(ended.content)
    assert (said["answer"], said["reason"], said["answered_by"]) == ("ended", "left", "Tomas")
    with tenant_scope(acme.scope):
        assert not Grant.objects.filter(user=bo).exists()
    assert entries(acme)[-3:] == [
        ("project_role.change", "ok"),
        ("access_review.answer", "ok"),
        ("access_review.answer.refused", "denied"),
    ]
    waiting = json.loads(tomas.get(f"{at}/items?answer=ended").content)
    assert [one["id"] for one in waiting["items"]] == [item["id"]]

    unsaid = tomas.post(f"{at}/close", {}, **JSON)
    closed = tomas.post(f"{at}/close", {"note": "enough"}, **JSON)
    assert (unsaid.status_code, closed.status_code) == (422, 200)
    assert json.loads(closed.content) == json.loads(tomas.get(at).content)
    assert json.loads(closed.content)["state"] == "closed"
    assert entries(acme)[-1] == ("access_review.run", "ok")
    assert tomas.post(f"{at}/close", {"note": "enough"}, **JSON).status_code == 409


def test_a_project_admin_reviews_their_project_and_never_themselves(acme, globex, sign_in):
    by = acme.people["tomas"].actor("page", signed_in=JUST_NOW)
    with tenant_scope(acme.scope):
        review = access_reviews.start(9, by=by)
        own = review.items.get(user=acme.people["ada"])
        wide = review.items.get(user=acme.people["iris"])
        bo = review.items.get(user=acme.people["bo"])
    ada, at = sign_in(acme, "ada"), f"{AT}/reviews/{review.pk}"
    tomas = sign_in(acme, "tomas")

    seen = {one["id"] for one in json.loads(ada.get(f"{at}/items").content)["items"]}
    mine = {one["id"] for one in json.loads(ada.get(f"{at}/items?mine=true").content)["items"]}

    assert str(wide.pk) not in seen
    assert {str(own.pk), str(bo.pk)} <= seen
    assert str(own.pk) not in mine
    assert ada.put(f"{at}/items/{own.pk}", {"keep": True}, **JSON).status_code == 409
    assert ada.put(f"{at}/items/{wide.pk}", {"keep": True}, **JSON).status_code == 404
    lin = {"email": acme.people["lin"].email}
    assert ada.put(f"{at}/items/{bo.pk}/reviewer", lin, **JSON).status_code == 403
    given = tomas.put(f"{at}/items/{bo.pk}/reviewer", lin, **JSON)
    assert json.loads(given.content)["reviewer"]["name"] == "Lin"
    iris = {"email": acme.people["iris"].email}
    assert tomas.put(f"{at}/items/{bo.pk}/reviewer", iris, **JSON).status_code == 409
    assert ada.put(f"{at}/items/{bo.pk}", {"keep": True}, **JSON).status_code == 200
    assert ada.post(f"{at}/close", {"note": "x"}, **JSON).status_code == 403
    assert sign_in(acme, "bo").get(f"{at}/items").status_code == 403
    assert (
        sign_in(acme, "iris").put(f"{at}/items/{own.pk}", {"keep": True}, **JSON).status_code == 403
    )
    assert sign_in(globex, "eve").get(at).status_code in {403, 404}
    with tenant_scope(acme.scope):
        assert set(review.items.exclude(answer="waiting")) == {bo}
