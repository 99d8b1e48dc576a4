"""An admin connects single sign-on and the directory, in a browser, wide and narrow."""

from concurrent.futures import ThreadPoolExecutor

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
from tests.browsing import Visitors, chromium

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
    from playwright.sync_api import expect

    address = f"http://{told.host}:{portal}"

    with chromium() as browser:
        visitors = Visitors(browser, address, "identity")
        tomas = visitors.sign_in("Tomas")

        # Single sign-on: a draft, our values, theirs, the test, on.
        tomas.goto(f"{address}/settings/")
        visitors.picture(tomas, "settings-empty")
        tomas.get_by_role("link", name="Single sign-on").click()
        visitors.picture(tomas, "sign-in")
        tomas.get_by_label("Keycloak").check()
        tomas.get_by_role("button", name="Begin a draft").click()
        expect(tomas.get_by_label("Redirect URI", exact=True)).to_have_value(
            f"{address}/signin/oidc/callback/"
        )
        expect(tomas.get_by_role("link", name="Test sign-in")).to_have_count(0)
        visitors.picture(tomas, "draft")
        tomas.get_by_label("Discovery URL").fill("nonsense")
        tomas.get_by_label("Client ID").fill("countersign")
        tomas.get_by_role("button", name="Save").click()
        expect(tomas.get_by_text("Nothing was saved")).to_be_visible()
        expect(tomas.get_by_label("Client ID")).to_have_value("countersign")
        visitors.picture(tomas, "draft-wrong")
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
        visitors.picture(tomas, "tested")
        tomas.get_by_role("button", name="Switch it on").click()
        expect(tomas.get_by_text("From now on everybody signs in with Keycloak")).to_be_visible()
        visitors.picture(tomas, "on")
        tomas.goto(f"{address}/settings/sign-in/")
        visitors.picture(tomas, "sign-in-on")

        # Directory and groups.
        tomas.goto(f"{address}/settings/directory/")
        visitors.picture(tomas, "directory")
        tomas.get_by_label("Name").fill("Okta")
        tomas.get_by_role("button", name="Make its secrets").click()
        assert tomas.get_by_label("Client secret", exact=True).input_value().startswith("cso_")
        visitors.picture(tomas, "secrets")
        tomas.goto(f"{address}/settings/groups/")
        visitors.picture(tomas, "groups")
        tomas.get_by_role("link", name="Engineering").click()
        tomas.get_by_label("Auditor").check()
        tomas.get_by_role("button", name="Preview").first.click()
        expect(tomas.get_by_text("2 people change at once")).to_be_visible()
        visitors.picture(tomas, "group-preview")
        tomas.get_by_role("button", name="Save").click()
        expect(tomas.get_by_text("People whose roles changed: 2")).to_be_visible()
        visitors.picture(tomas, "group")

        # People, programs, one's own account.
        tomas.goto(f"{address}/people/")
        visitors.picture(tomas, "people")
        tomas.get_by_role("link", name="Change roles of Bo").click()
        visitors.picture(tomas, "roles")
        tomas.goto(f"{address}/people/")
        tomas.get_by_role("button", name="Invitation link for Lin").click()
        visitors.picture(tomas, "invitation")
        tomas.goto(f"{address}/settings/services/")
        tomas.get_by_label("Name").fill("release-bot")
        tomas.get_by_label("Developer").check()
        tomas.get_by_role("button", name="Add", exact=True).click()
        tomas.get_by_label("Name").fill("nightly")
        tomas.get_by_label("Look at proposals").check()
        visitors.picture(tomas, "service")
        tomas.get_by_role("button", name="Make the token").click()
        expect(tomas.get_by_text("shown this once")).to_be_visible()
        visitors.picture(tomas, "token")
        tomas.goto(f"{address}/settings/services/")
        visitors.picture(tomas, "services")
        tomas.goto(f"{address}/settings/")
        visitors.picture(tomas, "settings")
        tomas.goto(f"{address}/account/")
        tomas.get_by_label("Name").fill("my script")
        tomas.get_by_label("Look at proposals").check()
        tomas.get_by_role("button", name="Make the token").click()
        tomas.get_by_role("link", name="I have copied it").click()
        visitors.picture(tomas, "account")
        tomas.goto(f"{address}/people/{told.people['tomas'].pk}/sessions/")
        visitors.picture(tomas, "sessions")

    # Chromium notes each page that answers with an error; the one refused form is meant.
    assert [said for said in visitors.complaints if "422" not in said] == []


def test_without_scripts_and_by_keyboard_alone(told, portal):
    from playwright.sync_api import expect

    address = f"http://{told.host}:{portal}"
    with chromium() as browser:
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
