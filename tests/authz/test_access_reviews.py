"""Access reviews: what is looked at, by whom, what an answer does, what is left behind."""

import json
from datetime import timedelta

import jsonschema
import pytest
from django.utils import timezone

from authz import access_reviews, jobs, people, teams
from authz.access_reviews import evidence_of, progress
from authz.errors import BadRequest, Conflict, Denied, OwnAccess
from authz.models import AccessReview, AccessReviewItem, Grant, Share, TeamMember
from authz.roles import Role
from tenants.models import Project
from tenants.scope import tenants_with_review_due
from tests.at_browser import JUST_NOW
from tests.conftest import ROOT
from tests.portal.standing import task_of

QUARTER = timedelta(days=92)


def by(company, name="tomas"):
    return company.people[name].actor("page", signed_in=JUST_NOW)


@pytest.fixture
def held(in_acme):
    """A share of a project, a share of a request with a team, a team in a team, a group's role."""
    inner = teams.create_team("inner", "Inner", by=by(in_acme))
    outer = teams.create_team("outer", "Outer", by=by(in_acme))
    teams.add_member(inner, in_acme.people["lin"], by=by(in_acme))
    teams.nest(inner, outer, by=by(in_acme))
    task = task_of(in_acme.people["ada"], in_acme.project)
    teams.share(in_acme.project, in_acme.people["iris"], by=by(in_acme))
    teams.share(task, outer, until=timezone.now() + timedelta(days=9), by=by(in_acme))
    Grant.objects.create(user=in_acme.people["bo"], role=Role.AUDITOR, source="directory")
    return in_acme


@pytest.fixture
def review(held):
    return access_reviews.start(21, by=by(held))


def item(review, **where):
    return review.items.get(**where)


def test_everything_that_is_held_is_an_item(held, review):
    rows = {
        *Grant.objects.values_list("pk", flat=True),
        *Share.objects.values_list("pk", flat=True),
    }
    rows |= set(TeamMember.objects.values_list("pk", flat=True))

    assert set(review.items.values_list("row_id", flat=True)) == rows
    assert progress(review)["waiting"] == len(rows)
    assert (
        item(review, user=held.people["iris"], kind="share").what
        == "May look at the project Platform"
    )
    shared = item(review, holder="Team Outer")
    assert shared.what.startswith("May look at the request T-")
    assert shared.project == held.project


def test_what_counts_for_nothing_or_was_let_in_for_an_emergency_is_left_out(held):
    bo, past = held.people["bo"], timezone.now() - timedelta(hours=1)
    Grant.objects.create(user=bo, role=Role.PROJECT_ADMIN, expires_at=past)
    Grant.objects.create(user=bo, role=Role.PLATFORM_ADMIN, source="emergency")
    Share.objects.update(expires_at=past)

    review = access_reviews.start(21, by=by(held))

    roles = set(review.items.filter(user=bo).values_list("role", flat=True))
    assert roles == {"developer", "auditor"}
    assert not review.items.filter(kind="share").exists()


def test_project_admins_review_their_project_and_nobody_their_own(held, review):
    reviewers = {one.pk: one.reviewer for one in review.items.select_related("reviewer")}
    admins = {held.people["ada"], held.people["lin"]}

    for one in review.items.select_related("user"):
        reviewer = reviewers[one.pk]
        if one.project_id:
            assert reviewer in admins
        assert reviewer != one.user
    assert item(review, user=held.people["ada"], kind="role").reviewer == held.people["lin"]
    # Lin is in Inner, hence in Outer: what is shared with it is hers too.
    assert item(review, holder="Team Outer").reviewer == held.people["ada"]
    # The only tenant admin's own role has nobody else to look at it.
    assert item(review, user=held.people["tomas"]).reviewer is None


def test_confirming_keeps_it_and_says_so_in_the_ledger(held, review, entries):
    one = item(review, user=held.people["bo"], role="developer")

    access_reviews.answer(one, True, "", by=by(held, "ada"))

    one.refresh_from_db()
    assert (one.answer, one.answered_by_name) == ("confirmed", "Ada")
    assert Grant.objects.filter(pk=one.row_id).exists()
    assert entries(held)[-1] == ("access_review.answer", "ok")


@pytest.mark.parametrize(
    ("where", "who", "left"),
    [
        ({"role": "developer", "project__isnull": False}, "ada", "project_role.change"),
        ({"kind": "share", "user__isnull": False}, "ada", "share.change"),
        ({"kind": "share", "user": None}, "ada", "share.change"),
        ({"kind": "membership", "user__isnull": False}, "tomas", "team.change"),
        ({"kind": "membership", "user": None}, "tomas", "team.change"),
        ({"role": "auditor", "source": "test"}, "tomas", "role.change"),
    ],
)
def test_ending_takes_it_away_at_once_and_both_are_in_the_ledger(
    held, review, entries, where, who, left
):
    one = item(review, **where)

    access_reviews.answer(one, False, "left the team", by=by(held, who))

    one.refresh_from_db()
    assert (one.answer, one.reason) == ("ended", "left the team")
    assert not access_reviews.stands(one)
    said = "access_review.answer" if one.project_id else "access_review.run"
    assert entries(held)[-2:] == [(left, "ok"), (said, "ok")]


def test_what_a_group_gives_is_reported_and_left_to_the_directory(held, review):
    one = item(review, source="directory")

    access_reviews.answer(one, False, "not an auditor", by=by(held))

    one.refresh_from_db()
    assert one.answer == "reported"
    assert Grant.objects.filter(pk=one.row_id).exists()


@pytest.mark.parametrize("keep", [True, False])
def test_nobody_answers_about_their_own_even_as_an_admin(held, review, entries, keep):
    mine = item(review, user=held.people["ada"], kind="role")
    my_teams = item(review, holder="Team Outer")

    for one, who in ((mine, "ada"), (my_teams, "lin")):
        with pytest.raises(OwnAccess, match="somebody else"):
            access_reviews.answer(one, keep, "because", by=by(held, who))
        assert entries(held)[-1] == ("access_review.answer.refused", "denied")
        one.refresh_from_db()
        assert one.answer == "waiting"
        assert access_reviews.stands(one)


@pytest.mark.parametrize("who", ["bo", "iris"])
def test_only_who_decides_about_the_place_answers(held, review, entries, who):
    here, wide = item(review, role="agent"), item(review, role="auditor", source="directory")

    for one in (here, wide):
        with pytest.raises(Denied):
            access_reviews.answer(one, True, "", by=by(held, who))
    with pytest.raises(Denied):
        access_reviews.answer(wide, True, "", by=by(held, "ada"))
    with pytest.raises(Denied):
        access_reviews.start(21, by=by(held, who))
    with pytest.raises(Denied):
        access_reviews.close(review, "x", by=by(held, "ada"))
    assert progress(review)["waiting"] == review.items.count()


def test_a_project_admin_cannot_end_a_role_of_another_project(held):
    other = Project.objects.create(slug="other", name="Other")
    Grant.objects.create(user=held.people["bo"], role=Role.DEVELOPER, project=other)
    review = access_reviews.start(21, by=by(held))
    one = item(review, project=other)

    with pytest.raises(Denied):
        access_reviews.answer(one, False, "x", by=by(held, "ada"))

    assert Grant.objects.filter(pk=one.row_id).exists()
    assert one.reviewer == held.people["tomas"]


def test_an_ending_needs_a_reason_and_an_answer_is_final(held, review):
    one = item(review, user=held.people["bo"], role="developer")

    with pytest.raises(BadRequest, match="say why"):
        access_reviews.answer(one, False, " ", by=by(held, "ada"))
    with pytest.raises(BadRequest, match="comes and goes"):
        access_reviews.answer(item(review, role="agent"), False, "x", by=by(held, "ada"))
    access_reviews.answer(one, True, "", by=by(held, "ada"))
    with pytest.raises(Conflict, match="answered already"):
        access_reviews.answer(one, False, "changed my mind", by=by(held, "ada"))

    assert Grant.objects.filter(pk=one.row_id).exists()


def test_what_is_gone_cannot_be_confirmed(held, review):
    one = item(review, kind="share", user__isnull=False)
    teams.unshare(held.project, held.people["iris"], by=by(held))

    with pytest.raises(Conflict, match="gone already"):
        access_reviews.answer(one, True, "", by=by(held, "ada"))
    access_reviews.close(review, "enough seen", by=by(held))

    one.refresh_from_db()
    assert one.answer == "gone"


def test_closing_with_items_left_needs_a_note_and_ends_all_answers(held, review, entries):
    one = item(review, user=held.people["bo"], role="developer")

    with pytest.raises(BadRequest, match="wait for an answer"):
        access_reviews.close(review, "", by=by(held))
    with pytest.raises(Conflict, match="open already"):
        access_reviews.start(21, by=by(held))
    access_reviews.close(review, "half is enough", by=by(held))

    assert entries(held)[-1] == ("access_review.run", "ok")
    with pytest.raises(Conflict):
        access_reviews.answer(one, False, "late", by=by(held, "ada"))
    assert Grant.objects.filter(pk=one.row_id).exists()
    with pytest.raises(Conflict, match="not open"):
        access_reviews.close(review, "x", by=by(held))
    assert access_reviews.start(21, by=by(held)).number == 2


def test_another_reviewer_is_one_who_may_answer(held, review):
    one = item(review, user=held.people["bo"], role="developer")

    access_reviews.assign(one, held.people["tomas"], by=by(held))
    for nobody in ("bo", "iris"):
        with pytest.raises(Conflict, match="cannot review"):
            access_reviews.assign(one, held.people[nobody], by=by(held))

    one.refresh_from_db()
    assert one.reviewer == held.people["tomas"]


def test_overdue_is_what_waits_in_an_open_review_whose_time_is_over(held, review):
    one = item(review, user=held.people["bo"], role="developer")
    access_reviews.answer(one, True, "", by=by(held, "ada"))
    assert not access_reviews.overdue(review.items.all()).exists()

    AccessReview.objects.update(due_at=timezone.now() - timedelta(minutes=1))

    late = access_reviews.overdue(review.items.all())
    assert late.count() == review.items.count() - 1
    assert one not in late


def test_the_schedule_notes_once_a_quarter_that_a_review_is_due(in_acme, entries):
    tenant = in_acme.scope.tenant_id
    assert tenant not in tenants_with_review_due()
    Grant.objects.update(created_at=timezone.now() - QUARTER)
    assert tenant in tenants_with_review_due()

    jobs.access_reviews.remind()
    jobs.access_reviews.remind()

    assert entries(in_acme).count(("access_review.remind", "ok")) == 1
    assert tenant not in tenants_with_review_due()
    assert access_reviews.is_waiting_for_start()
    review = access_reviews.start(21, by=by(in_acme))
    assert (review.number, AccessReview.objects.count()) == (1, 1)
    access_reviews.close(review, "done", by=by(in_acme))
    assert not access_reviews.is_due()
    AccessReview.objects.update(started_at=timezone.now() - QUARTER)
    assert tenant in tenants_with_review_due()


def test_evidence_says_of_each_item_who_said_what_and_where_the_entries_are(held, review):
    one = item(review, user=held.people["bo"], role="developer")
    access_reviews.answer(one, False, "left", by=by(held, "ada"))
    access_reviews.close(review, "rest next time", by=by(held))
    review.refresh_from_db()

    said = evidence_of(review)

    schema = json.loads((ROOT / "schemas" / "access-review.schema.json").read_text())
    jsonschema.validate(said, schema, format_checker=jsonschema.FormatChecker())
    assert said["counts"]["ended"] == 1
    assert len(said["items"]) == said["counts"]["items"] == AccessReviewItem.objects.count()
    (found,) = [each for each in said["items"] if each["id"] == str(one.pk)]
    assert found["answer"] == "ended"
    assert found["answered_by"]["name"] == "Ada"
    assert found["entries"] == {"object_type": "accessreviewitem", "object_id": str(one.pk)}
    assert said["closed_by"]["name"] == "Tomas"


def test_the_last_admin_cannot_be_reviewed_away(held):
    people.admit(
        "kim@example.com",
        "Kim",
        [Role.DEVELOPER],
        tenant=people.AsTenant(held.scope.tenant_id),
        project=held.project,
        by=by(held),
    )
    review = access_reviews.start(21, by=by(held))
    last = item(review, role="tenant_admin")

    with pytest.raises(OwnAccess):
        access_reviews.answer(last, False, "x", by=by(held))

    assert access_reviews.stands(last)


def test_a_project_admin_of_the_whole_tenant_answers_for_no_role_of_the_tenant(held):
    Grant.objects.create(user=held.people["lin"], role=Role.PROJECT_ADMIN)
    review = access_reviews.start(21, by=by(held))
    one = item(review, role="auditor", source="directory")

    with pytest.raises(Denied):
        access_reviews.answer(one, True, "", by=by(held, "lin"))

    one.refresh_from_db()
    assert one.answer == "waiting"
