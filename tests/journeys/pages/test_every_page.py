"""Every page there is, in a browser, wide and narrow: usable by people who use it differently.

The pages come from the URL conf, as the doors of the attack do, so a new one is looked at without
anybody having to think of it. axe-core finds what a program can find of WCAG 2.2 A and AA; people
have to find the rest.
"""

from pathlib import Path
from urllib.parse import quote

import pytest
import urllib3
from django.conf import settings

from tests.attack.doors import PARAMETER, addresses
from tests.attack.recipes import PARAMETERS, RECIPES
from tests.attack.two_companies import stocked
from tests.browsing import chromium

HERE = Path(__file__).resolve().parent
PICTURES = HERE.parents[2] / "build" / "screenshots" / "every-page"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
NO_PAGES = ("api/", "scim/", "static/", "healthz", "readyz")
WIDTHS = (1440, 390, 320)  # WCAG 1.4.10: no reading from side to side at 320 px

pytestmark = [pytest.mark.timeout(900), pytest.mark.slow]


@pytest.fixture
def acme(open_company):
    return stocked(open_company("acme"), "zanzibar", 40)


def _pages(ids):
    """(address, person who may look) of each page that somebody may look at here."""
    for door in addresses():
        if door.method != "GET" or door.route.startswith(NO_PAGES):
            continue
        found = RECIPES.get(f"GET {door.route}", ())
        for recipe in found if isinstance(found, tuple) else (found,):
            if recipe.works is not None:
                yield _address(door, recipe, ids), recipe.works


def _address(door, recipe, ids):
    stands = {name: recipe.at.get(name, PARAMETERS[name]) for name in door.parameters}
    path = PARAMETER.sub(lambda part: quote(stands[part[1]].format(**ids)), door.route)
    query = quote(recipe.query.format(**ids), safe="=&")
    return f"/{path}" + (f"?{query}" if query else "")


def _wrong(page, address, rules):
    """What is wrong with a page, a line each."""
    found = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 1000})
        wider = page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        if wider > 0:
            found.append(f"{address}: {wider} px wider than {width} px")
        name = address.strip("/").replace("/", "-").replace("?", "-") or "start"
        if width != WIDTHS[-1]:
            page.screenshot(path=PICTURES / f"{name[:80]}-{width}.png", full_page=True)
    page.set_viewport_size({"width": WIDTHS[0], "height": 1000})
    page.evaluate(rules)
    for broken in page.evaluate("tags => axe.run({runOnly: tags})", RULES)["violations"]:
        for node in broken["nodes"][:3]:
            found.append(f"{address}: {broken['id']}: {node['html'][:160]}")
    return found


def test_every_page_is_accessible_and_fits(acme, portal):
    PICTURES.mkdir(parents=True, exist_ok=True)
    rules = (HERE / "node_modules" / "axe-core" / "axe.min.js").read_text()
    base = f"http://{acme.host}:{portal}"
    wrong, looked_at = [], 0

    def complain(error):
        wrong.append(str(error))

    with chromium() as browser:
        pages = {}
        for address, person in _pages(acme.ids):
            if person not in pages:
                context = browser.new_context(viewport={"width": WIDTHS[0], "height": 1000})
                if person in acme.cookies:
                    cookie = {"name": settings.SESSION_COOKIE_NAME, "url": base}
                    context.add_cookies([{**cookie, "value": acme.cookies[person]}])
                pages[person] = context.new_page()
                pages[person].on("pageerror", complain)
            page = pages[person]
            # A file to be saved is no page; Chromium starts a download and goes nowhere.
            if _kind_of_document(acme, portal, address, person) != "text/html":
                continue
            page.goto(base + address)
            page.wait_for_load_state("networkidle")
            wrong += _wrong(page, address, rules)
            looked_at += 1
    assert looked_at > 40
    assert not wrong, "\n".join(wrong)


def _kind_of_document(acme, port, address, person):
    """What stands at an address; "" where it only leads elsewhere."""
    headers = {"host": acme.host, "accept": "text/html"}
    if person in acme.cookies:
        headers["cookie"] = f"{settings.SESSION_COOKIE_NAME}={acme.cookies[person]}"
    answer = urllib3.request(
        "GET", f"http://127.0.0.1:{port}{address}", headers=headers, redirect=False
    )
    if answer.status != 200:
        return ""
    return answer.headers["content-type"].partition(";")[0]
