"""An admin connects single sign-on and the directory, in a browser, wide and narrow."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.db import connections

from authz import directory, groups, providers
from authz.identities import Claimed
from authz.roles import Role
from tenants.models import (
    DirectoryClient,
    DirectoryGroup,
    DirectoryMember,
    DirectoryPerson,
    IdentityProvider,
    Membership,
)
from tenants.scope import tenant_scope
from tests.at_browser import JUST_NOW

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "build" / "screenshots"

pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def told(acme):
    """A directory that told a group, went wrong once, switched Iris off."""
    by = acme.people["tomas"].actor("page", signed_in=JUST_NOW)
    with tenant_scope(acme.scope):
        client, _, _ = directory.add_client("Entra ID", by=by)
        directory.remember_request(client, "GET", "/scim/v2/Users?startIndex=1&count=100", 200, "")
        directory.remember_request(
            client, "POST", "/scim/v2/Users", 409, "somebody else has the user name “bo”"
        )
        group = DirectoryGroup.objects.create(
            display_name="Engineering", display_name_key="engineering", resource={}
        )
        for name in ("bo", "lin", "iris"):
            person = DirectoryPerson.objects.create(
                user=acme.people[name], user_name=name, user_name_key=name, resource={}
            )
            DirectoryMember.objects.create(group=group, person=person)
        groups.map_group("Engineering", [Role.DEVELOPER], project=acme.project, by=by)
        Membership.objects.filter(user=acme.people["iris"]).update(state="suspended")
        assert DirectoryClient.objects.exists()
    return acme


def _test_sign_in(company):
    """As if Tomas had come back from the provider."""
    claimed = Claimed(
        "https://login.northwind.example/realms/staff",
        "8f2b4c1e-5d1f-4c0a-9e4e-2f6f0f1f7b11",
        email="tomas.novak@northwind.example",
        email_verified=True,
        name="Tomas Novak",
        groups=("Engineering", "Chess club"),
        claims={
            "sub": "8f2b4c1e-5d1f-4c0a-9e4e-2f6f0f1f7b11",
            "email": "tomas.novak@northwind.example",
            "email_verified": True,
            "name": "Tomas Novak",
            "groups": ["Engineering", "Chess club"],
            "acr": "1",
            "preferred_username": "tomas.novak",
        },
    )
    with tenant_scope(company.scope):
        provider = IdentityProvider.objects.get()
        providers.remember_test(
            provider, claimed, by=company.people["tomas"].actor("page", signed_in=JUST_NOW)
        )
    connections.close_all()


def test_in_a_browser(told, portal):
    from playwright.sync_api import expect, sync_playwright

    PICTURES.mkdir(parents=True, exist_ok=True)
    address = f"http://{told.host}:{portal}"
    complaints = []

    def sign_in(browser, name, **context):
        page = browser.new_context(viewport={"width": 1440, "height": 1000}, **context).new_page()
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
            page.screenshot(path=PICTURES / f"identity-{name}-{width}.png", full_page=True)
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

        # Single sign-on: a draft, our values, theirs, the test, on.
        tomas.goto(f"{address}/settings/")
        picture(tomas, "settings-empty")
        tomas.get_by_role("link", name="Single sign-on").click()
        picture(tomas, "sign-in")
        tomas.get_by_label("Keycloak").check()
        tomas.get_by_role("button", name="Begin a draft").click()
        expect(tomas.get_by_label("Redirect URI", exact=True)).to_have_value(
            f"{address}/signin/oidc/callback/"
        )
        expect(tomas.get_by_role("link", name="Test sign-in")).to_have_count(0)
        picture(tomas, "draft")
        tomas.get_by_label("Discovery URL").fill("nonsense")
        tomas.get_by_label("Client ID").fill("countersign")
        tomas.get_by_role("button", name="Save").click()
        expect(tomas.get_by_text("Nothing was saved")).to_be_visible()
        expect(tomas.get_by_label("Client ID")).to_have_value("countersign")
        picture(tomas, "draft-wrong")
        tomas.get_by_label("Discovery URL").fill(
            "https://login.northwind.example/realms/staff/.well-known/openid-configuration"
        )
        tomas.get_by_label("Client secret").fill("a-secret")
        tomas.get_by_role("button", name="Save").click()
        expect(tomas.get_by_role("link", name="Test sign-in")).to_be_visible()
        assert "a-secret" not in tomas.content()
        # Playwright runs an event loop in this thread, in which Django refuses to wait.
        with ThreadPoolExecutor(1) as aside:
            aside.submit(_test_sign_in, told).result()
        tomas.reload()
        picture(tomas, "tested")
        tomas.get_by_role("button", name="Switch it on").click()
        expect(tomas.get_by_text("From now on everybody signs in with Keycloak")).to_be_visible()
        picture(tomas, "on")
        tomas.goto(f"{address}/settings/sign-in/")
        picture(tomas, "sign-in-on")

        # Directory and groups.
        tomas.goto(f"{address}/settings/directory/")
        picture(tomas, "directory")
        tomas.get_by_label("Name").fill("Okta")
        tomas.get_by_role("button", name="Make its secrets").click()
        assert tomas.get_by_label("Client secret", exact=True).input_value().startswith("cso_")
        picture(tomas, "secrets")
        tomas.goto(f"{address}/settings/groups/")
        picture(tomas, "groups")
        tomas.get_by_role("link", name="Engineering").click()
        tomas.get_by_label("Auditor").check()
        tomas.get_by_role("button", name="Preview").first.click()
        expect(tomas.get_by_text("2 people change at once")).to_be_visible()
        picture(tomas, "group-preview")
        tomas.get_by_role("button", name="Save").click()
        expect(tomas.get_by_text("People whose roles changed: 2")).to_be_visible()
        picture(tomas, "group")

        # People, programs, one's own account.
        tomas.goto(f"{address}/people/")
        picture(tomas, "people")
        tomas.get_by_role("link", name="Change roles of Bo").click()
        picture(tomas, "roles")
        tomas.goto(f"{address}/people/")
        tomas.get_by_role("button", name="Invitation link for Lin").click()
        picture(tomas, "invitation")
        tomas.goto(f"{address}/settings/services/")
        tomas.get_by_label("Name").fill("release-bot")
        tomas.get_by_label("Developer").check()
        tomas.get_by_role("button", name="Add", exact=True).click()
        tomas.get_by_label("Name").fill("nightly")
        tomas.get_by_label("Look at proposals").check()
        picture(tomas, "service")
        tomas.get_by_role("button", name="Make the token").click()
        expect(tomas.get_by_text("shown this once")).to_be_visible()
        picture(tomas, "token")
        tomas.goto(f"{address}/settings/services/")
        picture(tomas, "services")
        tomas.goto(f"{address}/settings/")
        picture(tomas, "settings")
        tomas.goto(f"{address}/account/")
        tomas.get_by_label("Name").fill("my script")
        tomas.get_by_label("Look at proposals").check()
        tomas.get_by_role("button", name="Make the token").click()
        tomas.get_by_role("link", name="I have copied it").click()
        picture(tomas, "account")
        tomas.goto(f"{address}/people/{told.people['tomas'].pk}/sessions/")
        picture(tomas, "sessions")
        browser.close()

    # Chromium notes each page that answers with an error; the one refused form is meant.
    assert [said for said in complaints if "422" not in said] == []


def test_without_scripts_and_by_keyboard_alone(told, portal):
    from playwright.sync_api import expect, sync_playwright

    address = f"http://{told.host}:{portal}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        page = browser.new_context(
            viewport={"width": 390, "height": 900}, java_script_enabled=False
        ).new_page()

        def press_until(wanted, key="Tab"):
            for _ in range(120):
                page.keyboard.press(key)
                if wanted.evaluate("one => one === document.activeElement"):
                    return
            pytest.fail(f"the keyboard never reaches {wanted}")

        page.goto(f"{address}/signin/")
        page.get_by_role("button", name="Tomas").press("Enter")
        page.goto(f"{address}/settings/groups/meaning/?group=Engineering")
        press_until(page.get_by_label("Auditor").first)
        page.keyboard.press("Space")
        press_until(page.get_by_role("button", name="Preview").first)
        page.keyboard.press("Enter")
        expect(page.get_by_text("2 people change at once")).to_be_visible()
        press_until(page.get_by_role("button", name="Save"))
        page.keyboard.press("Enter")
        expect(page.get_by_text("People whose roles changed: 2")).to_be_visible()

        page.goto(f"{address}/account/")
        press_until(page.get_by_label("Name"))
        page.keyboard.type("script")
        press_until(page.get_by_label("Look at proposals"))
        page.keyboard.press("Space")
        press_until(page.get_by_role("button", name="Make the token"))
        page.keyboard.press("Enter")
        expect(page.get_by_label("Token", exact=True)).to_be_visible()
        browser.close()
