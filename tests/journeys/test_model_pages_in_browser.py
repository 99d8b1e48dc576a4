"""Language models in a browser, wide and narrow: set up, tried, read a brief, paid for."""

import pytest

from tenants.scope import tenant_scope
from tests.agent.gateway.model_servers import KEY, model_server
from tests.browsing import Visitors, chromium
from tests.portal.standing import repository_in

BRIEF = "We are five people. We must not use MongoDB."

pytestmark = [pytest.mark.timeout(400), pytest.mark.slow]


def _until(page, words):
    """Look again until a worker has done its part."""
    for _ in range(90):
        if page.get_by_text(words).count():
            return
        page.wait_for_timeout(1000)
        page.reload()
    raise AssertionError(f"nobody did it: {words!r} is not on the page")


def test_in_a_browser(acme, portal):
    from playwright.sync_api import expect

    address = f"http://{acme.host}:{portal}"
    with tenant_scope(acme.scope):
        repository_in(acme.project)

    with chromium() as browser, model_server() as server:
        visitors = Visitors(browser, address, "models")
        page = visitors.sign_in("Tomas")
        page.goto(f"{address}/settings/models/")
        visitors.picture(page, "empty")
        page.get_by_label("Name", exact=False).first.fill("House")
        page.get_by_label("It speaks like").select_option("compatible")
        page.get_by_label("Address").fill("http://inside")
        page.get_by_label("Key").fill(KEY)
        page.get_by_label("Where it computes").select_option("own")
        page.get_by_label("What may go there at most").select_option("confidential")
        page.get_by_label("On: the agent may ask it").check()
        page.get_by_role("button", name="Add", exact=True).click()
        expect(page.get_by_text("must be an address that begins with https")).to_be_visible()
        visitors.picture(page, "wrong-address")
        page.get_by_label("Address").fill(server.address)
        page.get_by_label("Key").fill(KEY)
        page.get_by_role("button", name="Add", exact=True).click()
        page.locator("#model-name").fill("little")
        page.get_by_label("Price of what is sent").fill("150")
        page.get_by_label("Price of what comes back").fill("600")
        page.get_by_label("Where the prices stand").fill("https://models.example/prices")
        page.get_by_role("button", name="Add the model").click()
        server.says({"word": "countersign"})
        page.get_by_role("button", name="Test").click()
        expect(page.get_by_text("The models are being asked")).to_be_visible()
        _until(page, "little answered as asked")
        visitors.picture(page, "provider")
        page.goto(f"{address}/settings/models/")
        page.get_by_role("button", name="Save the rules").click()
        expect(page.get_by_text("The rules are changed")).to_be_visible()
        visitors.picture(page, "list")

        server.says(
            {"readings": [{"field": "must_nots", "value": "MongoDB", "words": "not use MongoDB"}]}
        )
        page.goto(f"{address}/recommendations/new/")
        page.get_by_label("Paste a brief").fill(BRIEF)
        page.get_by_role("button", name="Have a language model read it").click()
        expect(page.get_by_text("A language model reads your brief").first).to_be_visible()
        _until(page, "because of “not use MongoDB”")
        visitors.picture(page, "brief")
        page.goto(f"{address}/spend/")
        expect(page.get_by_role("img", name="US dollars a day")).to_be_visible()
        visitors.picture(page, "spend")

    # Chromium notes each page that answers with an error; the one refusal is meant.
    assert [said for said in visitors.complaints if "422" not in said] == []
