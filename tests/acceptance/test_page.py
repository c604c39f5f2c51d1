"""The page, in a real browser against a real server: what a person sees, and what a browser must not be asked to do."""

import re
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import pytest
import pytest_asyncio
from playwright.async_api import Browser, ConsoleMessage, Page, Request, async_playwright, expect

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
WRONG_KEY = "slk_00000000_0000000000000000000000000000000000000000000"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium")


class Server(Protocol):
    """What `shared_server` gives: a server with two workers, and a key for it."""

    url: str
    admin_key: str


@dataclass
class Desk:
    """A browser before a server, and everything the browser complained of or asked for."""

    browser: Browser
    server: Server
    complaints: list[str] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)
    tolerated: tuple[str, ...] = ()

    async def open(self, viewport: dict[str, int] = WIDE, scheme: str = "light") -> Page:
        """A new tab, as another person would have it, on the page."""
        context: Any = {"viewport": viewport, "color_scheme": scheme, "timezone_id": "Asia/Tokyo", "locale": "en-GB"}
        tab = await self.browser.new_page(**context)
        tab.on("console", self._hear)
        tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        tab.on("request", self._notice)
        tab.on("websocket", lambda socket: self.asked.add(socket.url))
        await tab.goto(self.server.url)
        return tab

    async def enter(self, viewport: dict[str, int] = WIDE, scheme: str = "light") -> Page:
        """A new tab in which the key was pasted in, and alerts are live."""
        tab = await self.open(viewport, scheme)
        await paste(tab, self.server.admin_key)
        await expect(tab.locator("#connection")).to_have_attribute("data-state", "live")
        return tab

    async def post(self, tab: Page, path: str, body: dict[str, Any]) -> None:
        """Send JSON as a device or an operator would: beside the page, not from within it."""
        headers = {"Authorization": f"Bearer {self.server.admin_key}"}
        answer = await tab.request.post(f"{self.server.url}{path}", data=body, headers=headers)
        assert answer.ok, await answer.text()

    async def send(self, tab: Page, device: str, value: float) -> None:
        """One reading of a temperature, now."""
        reading = {"ts": time.time_ns() // 1_000_000, "metric": "temperature", "value": value}
        await self.post(tab, "/v1/readings", {"device": device, "readings": [reading]})

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
    """A desk; whoever leaves it finds that the browser had nothing to complain of, and went nowhere else."""
    ARTIFACTS.mkdir(exist_ok=True)
    desk = Desk(browser, shared_server)
    yield desk
    for context in browser.contexts:
        await context.close()
    host = shared_server.url.removeprefix("http://").rstrip("/")
    elsewhere = {url for url in desk.asked if url.split("/")[2] != host}
    assert (desk.complaints, elsewhere) == ([], set())
    assert not [url for url in desk.asked if "slk_" in url], "a key in a URL ends up in logs"


async def paste(tab: Page, key: str) -> None:
    await tab.get_by_label("API key").fill(key)
    await tab.get_by_role("button", name="Connect").click()


async def test_wrong_key_says_so_and_what_to_do(desk: Desk) -> None:
    tab = await desk.open()
    await paste(tab, "hunter2")
    await expect(tab.get_by_role("alert")).to_contain_text("they begin with “slk_”")
    with desk.tolerating("401"):
        await paste(tab, WRONG_KEY)
        await expect(tab.get_by_role("alert")).to_contain_text("This key is not accepted")
    await expect(tab.get_by_role("alert")).to_contain_text("sluice key create")
    await expect(tab.locator("#dashboard")).to_be_hidden()
    await tab.screenshot(path=ARTIFACTS / "page-wrong-key.png")
    await paste(tab, desk.server.admin_key)
    await expect(tab.locator("#dashboard")).to_be_visible()


async def test_values_appear_and_move_without_a_reload(desk: Desk) -> None:
    tab = await desk.enter()
    device = f"press/{uuid4().hex[:8]} é"  # a name that has to be encoded in a path
    await desk.send(tab, device, 21.5)
    card = tab.locator(f'.card[data-device="{device}"]')
    await card.scroll_into_view_if_needed(timeout=10_000)
    await expect(card.locator("[data-part=value]")).to_have_text("21.5")
    await expect(card.locator("[data-part=age]")).to_have_text(re.compile("^[1-9] s$"))
    await desk.send(tab, device, 22.25)
    await expect(card.locator("[data-part=value]")).to_have_text("22.25")
    assert "UTC" in str(await card.locator("[data-part=age]").get_attribute("title"))


async def test_search_and_tiles_choose_devices(desk: Desk) -> None:
    tab = await desk.enter()
    device = f"kiln-{uuid4().hex[:8]}"
    await desk.send(tab, device, 900)
    card = tab.locator(f'.card[data-device="{device}"]')
    await expect(card).to_be_visible(timeout=10_000)
    await tab.get_by_label("Find a device").fill(device.upper())
    await expect(tab.locator(".card:visible")).to_have_count(1)
    await tab.get_by_role("button", name="stale").click()
    await expect(tab.get_by_text("No device matches.")).to_be_visible()
    await tab.get_by_role("button", name="Show all").click()
    await expect(card).to_be_visible()


async def test_alert_fires_escalates_and_resolves_without_a_reload(desk: Desk) -> None:
    tab = await desk.enter()
    device = f"oven-{uuid4().hex[:8]}"
    levels = [
        {"severity": "warning", "above": 70, "clear": 65},
        {"severity": "critical", "above": 80, "clear": 75},
    ]
    condition = {"type": "threshold", "levels": levels}
    rule = {"name": f"Hot {device}", "device": device, "metric": "temperature", "condition": condition}
    await desk.post(tab, "/v1/rules", rule)
    firing = tab.locator(f'#firing .alert[data-device="{device}"]')
    deadline = time.monotonic() + 10
    value = 71.0
    while not await firing.count() and time.monotonic() < deadline:  # until the rule is known to every worker
        await desk.send(tab, device, value)
        await tab.wait_for_timeout(300)
        value += 0.25
    await expect(firing).to_have_attribute("data-severity", "warning")
    await expect(firing).to_contain_text("> 70")
    assert (await tab.title()).startswith("(")
    await desk.send(tab, device, 85)
    await expect(firing).to_have_attribute("data-severity", "critical")
    await expect(tab.locator(f'.card[data-device="{device}"] .tag')).to_have_text("critical")
    await tab.screenshot(path=ARTIFACTS / "page-firing.png")
    await desk.send(tab, device, 20)
    await expect(firing).to_have_count(0)
    await expect(tab.locator(f'#resolved .alert[data-device="{device}"]')).to_be_visible()


async def test_key_is_forgotten_on_request_and_on_reload(desk: Desk) -> None:
    tab = await desk.enter()
    await tab.get_by_role("button", name="Forget key").click()
    await expect(tab.get_by_label("API key")).to_have_value("")
    await expect(tab.locator(".card")).to_have_count(0)
    await paste(tab, desk.server.admin_key)
    await expect(tab.locator("#dashboard")).to_be_visible()
    assert await tab.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
    await tab.reload()
    await expect(tab.get_by_label("API key")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("form", "viewport"), [("wide", WIDE), ("phone", PHONE)])
async def test_nothing_is_wider_than_the_screen(desk: Desk, scheme: str, form: str, viewport: dict[str, int]) -> None:
    tab = await desk.open(viewport, scheme)
    width = "document.documentElement.scrollWidth"
    assert await tab.evaluate(width) == viewport["width"]
    await desk.send(tab, f"a-device-with-a-name-longer-than-any-phone-is-wide-{'x' * 60}", 1)
    await paste(tab, desk.server.admin_key)
    await expect(tab.locator(".value").first).to_be_visible()
    assert await tab.evaluate(width) == viewport["width"]
    await tab.screenshot(path=ARTIFACTS / f"page-{form}-{scheme}.png")


async def test_shell_is_open_strict_and_revalidated(desk: Desk) -> None:
    tab = await desk.open()
    first = await tab.request.get(desk.server.url)
    assert first.ok
    assert first.headers["content-type"] == "text/html; charset=utf-8"
    assert first.headers["content-security-policy"].startswith(
        "default-src 'none'; script-src 'self'; style-src 'self'"
    )
    assert first.headers["x-content-type-options"] == "nosniff"
    again = await tab.request.get(desk.server.url, headers={"If-None-Match": f'"other", W/{first.headers["etag"]}'})
    assert (again.status, await again.body()) == (304, b"")
    for path in ("nothing.js", "..%2fpages.py", "%2e%2e%2f__init__.py", "..%5cpages.py", "%00"):
        assert (await tab.request.get(f"{desk.server.url}/dashboard/{path}")).status == 404
