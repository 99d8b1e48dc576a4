"""Teams, sharing, who can see what, in a browser, wide and narrow."""

import pytest

from authz import teams
from tenants.models import Project
from tenants.scope import tenant_scope
from tests.at_browser import JUST_NOW
from tests.browsing import Visitors, chromium
from tests.portal.standing import pack_of, proposal_of

pytestmark = [pytest.mark.timeout(400), pytest.mark.slow]


@pytest.fixture
def standing(acme):
    """Work of Ada's, a second project, teams in teams."""
    by = acme.people["tomas"].actor("page", signed_in=JUST_NOW)
    with tenant_scope(acme.scope):
        proposal = proposal_of(acme.people["ada"], acme.project)
        type(proposal.task).objects.filter(pk=proposal.task_id).update(
            constraints={"title": "Customer portal"}
        )
        pack_of(proposal)
        Project.objects.create(slug="payroll", name="Payroll")
        inner = teams.create_team("reviewers", "Payments reviewers", by=by)
        outer = teams.create_team("guests", "Guests of the platform group", by=by)
        teams.add_member(inner, acme.people["bo"], by=by)
        teams.nest(inner, outer, by=by)
        teams.share(proposal.task, outer, by=by)
        teams.share(acme.project, acme.people["iris"], by=by)
        teams.share(acme.project, outer, by=by)
    return proposal


def test_in_a_browser(acme, standing, portal):
    from playwright.sync_api import expect

    address = f"http://{acme.host}:{portal}"

    with chromium() as browser:
        visitors = Visitors(browser, address, "access")
        tomas = visitors.sign_in("Tomas")
        tomas.goto(f"{address}/people/")
        visitors.picture(tomas, "people")
        tomas.get_by_role("link", name="Teams").click()
        visitors.picture(tomas, "teams")
        tomas.get_by_role("link", name="Payments reviewers").click()
        tomas.get_by_label("A person, by e-mail").fill(acme.people["iris"].email)
        tomas.get_by_role("button", name="Show what it changes").click()
        expect(tomas.get_by_text("Nothing is changed yet")).to_be_visible()
        visitors.picture(tomas, "team-preview")
        tomas.get_by_role("button", name="Add", exact=True).click()
        expect(tomas.get_by_text("Iris is in Payments reviewers now")).to_be_visible()

        tomas.goto(f"{address}/access/proposal/{standing.pk}/")
        expect(tomas.get_by_role("img", name="Who may look at proposals")).to_be_visible()
        visitors.picture(tomas, "who-may")
        tomas.get_by_role("link", name="Countersign a proposal").click()
        visitors.picture(tomas, "who-may-countersign")
        tomas.goto(f"{address}/recommendations/{standing.task_id}/")
        tomas.get_by_role("link", name="Share").click()
        tomas.get_by_label("With a person, by e-mail").fill(acme.people["bo"].email)
        tomas.get_by_role("button", name="Share").click()
        visitors.picture(tomas, "sharing")
        tomas.goto(f"{address}/people/projects/{acme.project.pk}/")
        visitors.picture(tomas, "project")
        tomas.goto(f"{address}/people/{acme.people['bo'].pk}/access/")
        visitors.picture(tomas, "person")
        tomas.goto(f"{address}/people/{acme.people['bo'].pk}/roles/")
        tomas.get_by_label("Auditor").check()
        tomas.get_by_role("button", name="Show what it changes").first.click()
        expect(tomas.get_by_text("Nothing is changed yet")).to_be_visible()
        visitors.picture(tomas, "role-preview")
        tomas.goto(f"{address}/help/permissions/")
        visitors.picture(tomas, "matrix")
        tomas.goto(f"{address}/people/reviews/")
        visitors.picture(tomas, "reviews-empty")
        tomas.get_by_role("button", name="Start").click()
        expect(tomas.get_by_text("Review 1 is open")).to_be_visible()
        tomas.get_by_label("Why it has to end: Developer of the project Platform, Bo").fill("left")
        tomas.get_by_role("button", name="End: Developer of the project Platform, Bo").click()
        expect(tomas.get_by_text("“left”")).to_be_visible()
        visitors.picture(tomas, "review")
        tomas.goto(f"{address}/people/reviews/")
        visitors.picture(tomas, "reviews")
        bo = visitors.sign_in("Bo")
        bo.goto(f"{address}/audit/")
        expect(bo.get_by_text("Who can help")).to_be_visible()
        visitors.picture(bo, "denied")
        bo.get_by_role("link", name="What was decided, and why").click()
        visitors.picture(bo, "refusal")

    # Chromium notes each page that answers with an error; the one refusal is meant.
    assert [said for said in visitors.complaints if "403" not in said] == []
