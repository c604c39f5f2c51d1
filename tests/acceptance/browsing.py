"""A real browser before a real server: the fixtures and the habits that the files of tests about the page share.

Import `browser` and `desk` where they are needed; whoever leaves a desk finds that the browser had nothing to complain
of, and went nowhere else.
"""

import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, ConsoleMessage, Page, Request, async_playwright, expect

from tests.conftest import Server

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
ARTIFACTS = Path(__file__).parents[2] / "artifacts"
WIDE = {"width": 1440, "height": 900}
PHONE = {"width": 375, "height": 812}
PATIENCE_MS = 20_000  # of every expectation: a machine may be slow, only a wrong page is wrong

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium")

expect.set_options(timeout=PATIENCE_MS)


@dataclass
class Desk:
    """A browser before a server, and everything the browser complained of or asked for."""

    browser: Browser
    server: Server
    complaints: list[str] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)
    tolerated: tuple[str, ...] = ()

    async def open(
        self, viewport: dict[str, int] = WIDE, scheme: str = "light", path: str = "", **context: Any
    ) -> Page:
        """A new tab, as another person would have it, on the page; `path` such as "#/alerts"."""
        context |= {"viewport": viewport, "color_scheme": scheme, "timezone_id": "Asia/Tokyo", "locale": "en-GB"}
        tab = await self.browser.new_page(**context)
        tab.on("console", self._hear)
        tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        tab.on("request", self._notice)
        tab.on("websocket", lambda socket: self.asked.add(socket.url))
        await tab.goto(f"{self.server.url}/{path}")
        return tab

    async def enter(
        self,
        viewport: dict[str, int] = WIDE,
        scheme: str = "light",
        path: str = "",
        key: str | None = None,
        **context: Any,
    ) -> Page:
        """A new tab in which somebody signed in, by default with the admin key, and the connection is live."""
        tab = await self.open(viewport, scheme, path, **context)
        await paste(tab, key or self.server.admin_key)
        await expect(tab.locator("#connection")).to_have_attribute("data-state", "live")
        return tab

    async def post(self, path: str, body: Any) -> Any:
        """Send JSON as a device or an operator would: beside the page, not from within it. Gives the answer."""
        status, answer = await self.server.call("POST", path, body)
        assert status < 300, answer
        return answer

    async def send(self, device: str, value: float, metric: str = "temperature") -> None:
        """One reading, now."""
        reading = {"ts": time.time_ns() // 1_000_000, "metric": metric, "value": value}
        await self.post("/v1/readings", {"device": device, "readings": [reading]})

    @contextmanager
    def tolerating(self, *words: str) -> Iterator[None]:
        """Let the console say this: a browser reports every refused request there, and nothing can stop it."""
        self.tolerated = words
        yield
        self.tolerated = ()

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not any(word in message.text for word in self.tolerated):
            self.complaints.append(message.text)

    def _notice(self, request: Request) -> None:
        self.asked.add(request.url)


@pytest_asyncio.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    """A browser."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()


@pytest.fixture
async def desk(shared_server: Server, browser: Browser) -> AsyncIterator[Desk]:
    """A desk before the file's server."""
    async for desk in sitting_at(shared_server, browser):
        yield desk


async def sitting_at(server: Server, browser: Browser) -> AsyncIterator[Desk]:
    """A desk before any server; afterwards its tabs are closed, and what they complained of is held against them."""
    ARTIFACTS.mkdir(exist_ok=True)
    desk = Desk(browser, server)
    yield desk
    for context in browser.contexts:
        await context.close()
    host = server.url.removeprefix("http://").rstrip("/")
    elsewhere = {url for url in desk.asked if url.split("/")[2] != host}
    assert (desk.complaints, elsewhere) == ([], set()), f"{desk.complaints}, {elsewhere}"
    assert not [url for url in desk.asked if "slk_" in url], "a key in a URL ends up in logs"


async def paste(tab: Page, key: str) -> None:
    """Sign in, or try to."""
    await tab.get_by_label("API key").fill(key)
    await tab.get_by_role("button", name="Sign in").click()


async def overflow(tab: Page) -> int:
    """By how many pixels the page is wider than the screen."""
    excess: int = await tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return excess


async def barriers(tab: Page, axe: str) -> list[str]:
    """What of the page as it is now keeps people out: each serious finding of axe-core, with where it is."""
    await tab.evaluate(axe)  # by the debugger's protocol, which the page's policy does not bind
    judge = "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']})"
    found = (await tab.evaluate(judge))["violations"]
    serious = [each for each in found if each["impact"] in {"serious", "critical"}]
    return [f"{each['id']}: {node['html'][:200]}" for each in serious for node in each["nodes"][:5]]
