"""A browser for the tests: pages opened without a network, looked at on several screens and on paper."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.loads import PATIENCE_S

# From recipes that were tried: no sandbox as root, no GPU, and no name resolves.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND",
]
DESK, PHONE, A4 = (1200, 900), (390, 844), (718, 1040)
# screen -> its size, and what the page is told of it
SCREENS: dict[str, tuple[tuple[int, int], dict[str, str]]] = {
    "light": (DESK, {"media": "screen", "color_scheme": "light"}),
    "dark": (DESK, {"media": "screen", "color_scheme": "dark"}),
    "phone": (PHONE, {"media": "screen", "color_scheme": "light"}),
    "paper": (A4, {"media": "print"}),
}


@dataclass
class Seen:
    """A page as one visitor saw it."""

    page: Any
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    printed: bool = False

    def value(self, script: str) -> Any:
        return self.page.evaluate(script)

    def becomes(self, script: str) -> bool:
        """Returns whether it comes true within a minute; pages forbid the eval of the driver's waiting."""
        for _ in range(1200):
            if self.value(script):
                return True
            self.page.wait_for_timeout(50)
        return False

    def on(self, screen: str) -> "Seen":
        """Returns the page on another screen, from its top, its figures in their place."""
        (width, height), told = SCREENS[screen]
        self.page.set_viewport_size({"width": width, "height": height})
        self.value("scrollTo(0, 0)")
        was_printed, self.printed = self.printed, screen == "paper"
        if self.printed:  # the event comes before the colours of the page change
            self.value("dispatchEvent(new Event('beforeprint'))")
        self.page.emulate_media(**told)
        if was_printed:
            self.value("dispatchEvent(new Event('afterprint'))")
        self.becomes("document.documentElement.scrollWidth <= innerWidth")
        return self

    def violations(self) -> list[str]:
        """Returns what axe-core finds, with the first element that shows it."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page).response["violations"]
        return [f"{each['id']}: {each['help']}: {each['nodes'][0]['html'][:200]}" for each in found]

    def picture(self, name: str) -> bytes:
        """Returns the whole page as PNG or PDF, and keeps it in the folder that SCREENSHOTS names, if any."""
        path = Path(os.environ["SCREENSHOTS"], name) if "SCREENSHOTS" in os.environ else None
        if name.endswith(".pdf"):
            return self.page.pdf(path=path, format="A4")
        return self.page.screenshot(path=path, full_page=True)


def opened(browser: Any, path: Path, **more: Any) -> Seen:
    """Returns a page's file as a visitor sees it at first; `more` describes the visitor."""
    size = {"viewport": {"width": DESK[0], "height": DESK[1]}}
    seen = Seen(browser.new_context(**(size | more)).new_page())
    seen.page.set_default_timeout(PATIENCE_S * 1000)
    seen.page.on("request", lambda request: seen.requests.append(request.url))
    seen.page.on("console", lambda message: seen.complaints.append(message.text))
    seen.page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    seen.page.goto(path.as_uri())
    if 'id="plotly"' in path.read_text("utf-8") and more.get("java_script_enabled", True):
        seen.page.wait_for_selector("html[data-figures]")
    return seen
