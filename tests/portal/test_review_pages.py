"""The pages of access reviews."""

import csv
import io
import json

import pytest

from authz import access_reviews, teams
from authz.models import AccessReview, Grant
from tenants.models import Project
from tenants.scope import tenant_scope
from tests.at_browser import JUST_NOW


@pytest.fixture
def review(acme):
    by = acme.people["tomas"].actor("page", signed_in=JUST_NOW)
    with tenant_scope(acme.scope):
        team = teams.create_team("guests", "Guests", by=by)
        teams.add_member(team, acme.people["bo"], by=by)
        teams.share(acme.project, acme.people["iris"], by=by)
        return access_reviews.start(21, by=by)


def _item(acme, review, **where):
    with tenant_scope(acme.scope):
        return review.items.get(**where)


def test_an_admin_starts_a_review_and_sees_how_far_it_is(acme, sign_in, entries):
    tomas = sign_in(acme, "tomas")

    wrong = tomas.post("/people/reviews/", {"days": "1000"})
    answer = tomas.post("/people/reviews/", {"days": "14"}, follow=True)

    assert wrong.status_code == 422
    assert 'value="1000"' in wrong.content.decode()
    page = answer.content.decode()
    assert "Review 1 is open" in page
    assert "Developer of the project Platform" in page
    assert entries(acme)[-1] == ("access_review.run", "ok")
    assert "Start a review" not in tomas.get("/people/reviews/").content.decode()


def test_a_project_admin_sees_and_answers_what_is_in_their_project(acme, sign_in, review):
    ada, address = sign_in(acme, "ada"), f"/people/reviews/{review.pk}/"
    bo = _item(acme, review, user=acme.people["bo"], role="developer")
    own = _item(acme, review, user=acme.people["ada"])

    page = ada.get(address).content.decode()
    assert str(bo.pk) in page
    assert "In the team Guests" not in page
    assert "Tenant admin of the whole tenant" not in page
    assert f'value="{own.pk}"' not in page
    assert "Your own: somebody else looks at it" in page
    assert 'href="/people/reviews/' in ada.get("/people/reviews/").content.decode()

    ended = ada.post(f"{address}answer/", {"end": str(bo.pk), f"reason-{bo.pk}": ""})
    assert ended.status_code == 422
    assert "Say why" in ended.content.decode().replace("say why", "Say why")
    ended = ada.post(f"{address}answer/", {"end": str(bo.pk), f"reason-{bo.pk}": "left"})
    assert ended.status_code == 302
    with tenant_scope(acme.scope):
        assert not Grant.objects.filter(pk=bo.row_id).exists()
    assert sign_in(acme, "bo").get("/recommendations/new/").status_code in {200, 403}
    assert "“left”" in ada.get(address).content.decode()


def test_many_are_kept_at_once_each_with_its_entry(acme, sign_in, review, entries):
    with tenant_scope(acme.scope):
        items = list(review.items.exclude(user=acme.people["tomas"]))
    before = len(entries(acme))

    answer = sign_in(acme, "tomas").post(
        f"/people/reviews/{review.pk}/answer/", {"items": [str(one.pk) for one in items]}
    )

    assert answer.status_code == 302
    assert len(entries(acme)) == before + len(items)
    with tenant_scope(acme.scope):
        assert review.items.filter(answer="confirmed").count() == len(items)


def test_enter_without_a_tick_answers_nothing(acme, sign_in, review):
    bo = _item(acme, review, user=acme.people["bo"], role="developer")

    answer = sign_in(acme, "tomas").post(
        f"/people/reviews/{review.pk}/answer/", {f"reason-{bo.pk}": "typed and pressed Enter"}
    )

    assert answer.status_code == 422
    with tenant_scope(acme.scope):
        assert not review.items.exclude(answer="waiting").exists()


def test_one_cannot_answer_about_oneself_or_elsewhere_by_hand_made_forms(acme, sign_in, review):
    address = f"/people/reviews/{review.pk}/answer/"
    own = _item(acme, review, user=acme.people["ada"])
    wide = _item(acme, review, kind="membership")
    ada = sign_in(acme, "ada")

    assert ada.post(address, {"items": [str(own.pk)]}).status_code == 409
    assert ada.post(address, {"items": [str(wide.pk)]}).status_code == 422
    assert ada.post(address, {"items": ["x"]}).status_code == 422
    with tenant_scope(acme.scope):
        assert not review.items.exclude(answer="waiting").exists()


def test_another_reviewer_and_closing_are_the_admins(acme, sign_in, review):
    bo = _item(acme, review, user=acme.people["bo"], role="developer")
    address = f"/people/reviews/{review.pk}/"
    typed = {f"reviewer-{bo.pk}": acme.people["lin"].email}

    assert sign_in(acme, "ada").post(f"{address}items/{bo.pk}/assign/", typed).status_code == 403
    tomas = sign_in(acme, "tomas")
    assert tomas.post(f"{address}items/{bo.pk}/assign/", typed).status_code == 302
    assert _item(acme, review, pk=bo.pk).reviewer_id == acme.people["lin"].pk
    typed = {f"reviewer-{bo.pk}": acme.people["iris"].email}
    assert tomas.post(f"{address}items/{bo.pk}/assign/", typed).status_code == 409

    assert sign_in(acme, "ada").post(f"{address}close/", {"note": "x"}).status_code == 403
    assert tomas.post(f"{address}close/", {"note": ""}).status_code == 422
    assert tomas.post(f"{address}close/", {"note": "enough"}).status_code == 302
    assert "enough" in tomas.get(address).content.decode()
    with tenant_scope(acme.scope):
        assert AccessReview.objects.get().state == "closed"


def test_auditors_take_it_away_as_csv_and_as_evidence(acme, sign_in, review):
    iris, address = sign_in(acme, "iris"), f"/people/reviews/{review.pk}/"

    rows = list(csv.DictReader(io.StringIO(iris.get(f"{address}items.csv").content.decode())))
    said = json.loads(iris.get(f"{address}evidence.json").content)

    assert len(rows) == len(said["items"]) == said["counts"]["items"]
    assert {row["whose"] for row in rows} >= {"Bo", "Ada", "Iris"}
    page = iris.get(address).content.decode()
    assert "Tenant admin of the whole tenant" in page
    assert 'name="keep"' not in page
    for name in ("ada", "bo"):
        assert sign_in(acme, name).get(f"{address}evidence.json").status_code == 403
        assert sign_in(acme, name).get(f"{address}items.csv").status_code == 403


def test_cells_that_a_spreadsheet_would_run_are_quoted(acme, sign_in):
    by = acme.people["tomas"].actor("page", signed_in=JUST_NOW)
    with tenant_scope(acme.scope):
        Project.objects.filter(pk=acme.project.pk).update(slug="=cmd")
        review = access_reviews.start(21, by=by)

    said = sign_in(acme, "tomas").get(f"/people/reviews/{review.pk}/items.csv").content.decode()

    assert "'=cmd" in said
    assert ",=cmd" not in said


def test_a_review_is_not_there_for_others(acme, globex, sign_in, review):
    address = f"/people/reviews/{review.pk}/"

    assert sign_in(acme, "bo").get(address).status_code == 403
    assert sign_in(acme, "bo").get("/people/reviews/").status_code == 403
    assert "Access reviews" not in sign_in(acme, "bo").get("/people/").content.decode()
    assert sign_in(globex, "tomas").get(address).status_code == 404
    assert sign_in(globex, "eve").post(f"{address}answer/", {}).status_code == 404
