"""Teams, sharing, who can see what, in a browser, wide and narrow."""

from pathlib import Path

import pytest

from authz import teams
from tenants.models import Project
from tenants.scope import tenant_scope
from tests.at_browser import JUST_NOW
from tests.portal.standing import pack_of, proposal_of

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "build" / "screenshots"

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
    from playwright.sync_api import expect, sync_playwright

    PICTURES.mkdir(parents=True, exist_ok=True)
    address = f"http://{acme.host}:{portal}"
    complaints = []

    def sign_in(browser, name):
        page = browser.new_context(viewport={"width": 1440, "height": 1000}).new_page()
        page.on(
            "console",
            lambda said: complaints.append(said.text) if said.type in {"error"} else None,
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{address}/signin/")
        page.get_by_role("button", name=name).click()
        page.wait_for_url(f"{address}/")
        return page

    def picture(page, name):
        for width in (1440, 390):
            page.set_viewport_size({"width": width, "height": 1000})
            page.screenshot(path=PICTURES / f"access-{name}-{width}.png", full_page=True)
            wider = page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            assert wider <= 0, f"{name} scrolls sideways at {width} px"
        page.set_viewport_size({"width": 1440, "height": 1000})

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        tomas = sign_in(browser, "Tomas")
        tomas.goto(f"{address}/people/")
        picture(tomas, "people")
        tomas.get_by_role("link", name="Teams").click()
        picture(tomas, "teams")
        tomas.get_by_role("link", name="Payments reviewers").click()
        tomas.get_by_label("A person, by e-mail").fill(acme.people["iris"].email)
        tomas.get_by_role("button", name="Show what it changes").click()
        expect(tomas.get_by_text("Nothing is changed yet")).to_be_visible()
        picture(tomas, "team-preview")
        tomas.get_by_role("button", name="Add", exact=True).click()
        expect(tomas.get_by_text("Iris is in Payments reviewers now")).to_be_visible()

        tomas.goto(f"{address}/access/proposal/{standing.pk}/")
        expect(tomas.get_by_role("img", name="Who may look at proposals")).to_be_visible()
        picture(tomas, "who-may")
        tomas.get_by_role("link", name="Countersign a proposal").click()
        picture(tomas, "who-may-countersign")
        tomas.goto(f"{address}/recommendations/{standing.task_id}/")
        tomas.get_by_role("link", name="Share").click()
        tomas.get_by_label("With a person, by e-mail").fill(acme.people["bo"].email)
        tomas.get_by_role("button", name="Share").click()
        picture(tomas, "sharing")
        tomas.goto(f"{address}/people/projects/{acme.project.pk}/")
        picture(tomas, "project")
        tomas.goto(f"{address}/people/{acme.people['bo'].pk}/access/")
        picture(tomas, "person")
        tomas.goto(f"{address}/people/{acme.people['bo'].pk}/roles/")
        tomas.get_by_label("Auditor").check()
        tomas.get_by_role("button", name="Show what it changes").first.click()
        expect(tomas.get_by_text("Nothing is changed yet")).to_be_visible()
        picture(tomas, "role-preview")
        tomas.goto(f"{address}/help/permissions/")
        picture(tomas, "matrix")
        tomas.goto(f"{address}/people/reviews/")
        picture(tomas, "reviews-empty")
        tomas.get_by_role("button", name="Start").click()
        expect(tomas.get_by_text("Review 1 is open")).to_be_visible()
        tomas.get_by_label("Why it has to end: Developer of the project Platform, Bo").fill("left")
        tomas.get_by_role("button", name="End: Developer of the project Platform, Bo").click()
        expect(tomas.get_by_text("“left”")).to_be_visible()
        picture(tomas, "review")
        tomas.goto(f"{address}/people/reviews/")
        picture(tomas, "reviews")
        bo = sign_in(browser, "Bo")
        bo.goto(f"{address}/audit/")
        expect(bo.get_by_text("Who can help")).to_be_visible()
        picture(bo, "denied")
        bo.get_by_role("link", name="What was decided, and why").click()
        picture(bo, "refusal")
        browser.close()

    # Chromium notes each page that answers with an error; the one refusal is meant.
    assert [said for said in complaints if "403" not in said] == []
