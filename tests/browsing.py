"""Debian's Chromium for tests: people sign in, pages are photographed wide and narrow."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page

PICTURES = Path(__file__).resolve().parents[1] / "build" / "screenshots"
WIDE, NARROW, HEIGHT = 1440, 390, 1000


@contextmanager
def chromium() -> Iterator["Browser"]:
    """A browser without a window, closed at the end."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        try:
            yield browser
        finally:
            browser.close()


class Visitors:
    """People of one company at one browser; what their consoles complain of is kept."""

    def __init__(self, browser: "Browser", address: str, story: str) -> None:
        self.browser = browser
        self.address = address
        self.story = story
        self.complaints: list[str] = []
        PICTURES.mkdir(parents=True, exist_ok=True)

    def sign_in(self, name: str, **context: Any) -> "Page":
        """A window of its own in which this person of the demonstration is signed in."""
        size = {"width": WIDE, "height": HEIGHT}
        page = self.browser.new_context(viewport=size, **context).new_page()  # type: ignore[arg-type]
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(f"{self.address}/signin/")
        page.get_by_role("button", name=name).click()
        page.wait_for_url(f"{self.address}/")
        return page

    def picture(self, page: "Page", name: str) -> None:
        """Photograph the page at both widths; it may not scroll sideways at either."""
        for width in (WIDE, NARROW):
            page.set_viewport_size({"width": width, "height": HEIGHT})
            page.screenshot(path=PICTURES / f"{self.story}-{name}-{width}.png", full_page=True)
            wider = page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            assert wider <= 0, f"{name} scrolls sideways at {width} px"
        page.set_viewport_size({"width": WIDE, "height": HEIGHT})

    def _hear(self, said: "ConsoleMessage") -> None:
        if said.type == "error":
            self.complaints.append(said.text)
