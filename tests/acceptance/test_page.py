"""The page's frame, in a real browser against a real server: signing in, finding one's way, the connection."""

import time
from dataclasses import replace
from uuid import uuid4

import pytest
from playwright.async_api import Browser, Page, expect

from tests.acceptance.browsing import (
    ARTIFACTS,
    PHONE,
    WIDE,
    Desk,
    browser,
    desk,
    needs_chromium,
    overflow,
    paste,
    sitting_at,
)
from tests.conftest import Server
from tests.proxy import Proxy

__all__ = ("browser", "desk")

NOBODY = 9  # a port on which nobody listens
WRONG_KEY = "slk_00000000_0000000000000000000000000000000000000000000"

pytestmark = needs_chromium


async def test_wrong_key_says_so_and_what_to_do(desk: Desk) -> None:
    tab = await desk.open()
    await paste(tab, "hunter2")
    await expect(tab.get_by_role("alert")).to_contain_text("they begin with “slk_”")
    with desk.tolerating("401"):
        await paste(tab, WRONG_KEY)
        await expect(tab.get_by_role("alert")).to_contain_text("This key is not accepted")
    await expect(tab.get_by_role("alert")).to_contain_text("sluice key create")
    await expect(tab.locator("#view")).to_be_hidden()
    await tab.screenshot(path=ARTIFACTS / "page-wrong-key.png")
    await paste(tab, await desk.server.key("ingest"))
    await expect(tab.get_by_role("alert")).to_contain_text("may not read")
    await paste(tab, desk.server.admin_key)
    await expect(tab.locator("#view")).to_be_visible()


async def test_session_outlives_a_reload_and_ends_by_logging_out(desk: Desk) -> None:
    tab = await desk.enter(path="#/alerts?severity=critical")
    await tab.reload()
    await expect(tab.locator("#connection")).to_have_attribute("data-state", "live")
    assert tab.url.endswith("#/alerts?severity=critical")
    kept = "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, document.body.innerText])"
    assert "slk_" not in await tab.evaluate(kept)
    await tab.locator("#account").click()
    await expect(tab.locator("#account-details")).to_contain_text("all")
    await tab.get_by_role("button", name="Log out").click()
    await expect(tab.get_by_label("API key")).to_have_value("")
    await expect(tab.get_by_label("API key")).to_be_focused()
    await tab.reload()
    await expect(tab.get_by_label("API key")).to_be_visible()
    assert tab.url.endswith("#/alerts?severity=critical"), "whoever signs in next goes on there"


async def fire(desk: Desk, tab: Page, device: str) -> None:
    """Make a rule, and readings until it fires: it has to be known to every worker first."""
    levels = [
        {"severity": "warning", "above": 70, "clear": 65},
        {"severity": "critical", "above": 80, "clear": 75},
    ]
    condition = {"type": "threshold", "levels": levels}
    rule = {"name": f"Hot {device}", "device": device, "metric": "temperature", "condition": condition}
    await desk.post("/v1/rules", rule)
    badge = tab.locator(".badge")
    deadline = time.monotonic() + 20
    value = 71.0
    while not await badge.is_visible() and time.monotonic() < deadline:
        await desk.send(device, value)
        await tab.wait_for_timeout(300)
        value += 0.25


async def test_alert_fires_escalates_and_resolves_without_a_reload(desk: Desk) -> None:
    tab = await desk.enter(path="#/alerts")
    device = f"oven-{uuid4().hex[:8]}"
    await fire(desk, tab, device)
    firing = tab.locator(f'#firing .alert[data-device="{device}"]')
    await expect(firing).to_have_attribute("data-severity", "warning")
    await expect(firing).to_contain_text("> 70")
    await expect(tab).to_have_title("(1) Alerts · Sluice")
    await desk.send(device, 85)
    await expect(firing).to_have_attribute("data-severity", "critical")
    await expect(tab.locator("#announcer")).to_contain_text(f"Hot {device} on {device} escalated")
    await tab.screenshot(path=ARTIFACTS / "page-firing.png")
    await tab.get_by_role("link", name="Fleet", exact=True).click()
    await expect(tab.locator(f'.device[data-device="{device}"] .tag')).to_have_text("Critical")
    await tab.go_back()
    await desk.send(device, 20)
    await expect(firing).to_have_count(0)
    await expect(tab.locator(f'#resolved .alert[data-device="{device}"]')).to_be_visible()
    await expect(tab.locator(".badge")).to_be_hidden()


async def test_views_are_reached_by_keyboard_back_and_forward(desk: Desk) -> None:
    tab = await desk.enter()
    await expect(tab).to_have_title("Fleet · Sluice")
    await tab.get_by_role("link", name="Alerts").focus()
    await tab.keyboard.press("Enter")
    heading = tab.get_by_role("heading", level=1, name="Alerts")
    await expect(heading).to_be_focused()
    await expect(tab).to_have_title("Alerts · Sluice")
    await expect(tab.locator("nav [aria-current=page]")).to_have_text("Alerts")
    await tab.go_back()
    await expect(tab.locator("[data-view=fleet]")).to_be_visible()
    await tab.go_forward()
    await expect(tab.locator("[data-view=alerts]")).to_be_visible()
    assert await tab.locator(".view").count() == 1
    await tab.evaluate("location.hash = '#/nowhere'")
    await expect(tab.get_by_role("heading", name="No such page")).to_be_focused()
    await tab.keyboard.press("Tab")
    await tab.keyboard.press("Enter")
    await expect(tab).to_have_title("Fleet · Sluice")


async def test_menus_open_and_close_by_keyboard_and_the_theme_is_kept(desk: Desk) -> None:
    tab = await desk.enter(scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = await tab.evaluate(ground)
    await tab.locator("#account").press("Enter")
    await tab.get_by_label("Light", exact=True).check()
    assert await tab.evaluate(ground) != dark
    await tab.keyboard.press("Escape")
    await expect(tab.locator("#account-details")).to_be_hidden()
    await tab.reload()
    await expect(tab.locator("#connection")).to_have_attribute("data-state", "live")
    assert await tab.evaluate(ground) != dark, "the choice is kept"
    await tab.locator("#account").press("Enter")
    await tab.get_by_label("System").check()
    assert await tab.evaluate(ground) == dark


async def test_skip_link_leads_past_the_navigation(desk: Desk) -> None:
    tab = await desk.enter(path="#/alerts")
    await expect(tab.get_by_role("heading", level=1)).to_be_focused()
    await tab.reload()
    await expect(tab.locator("#connection")).to_have_attribute("data-state", "live")
    await tab.keyboard.press("Tab")
    await expect(tab.get_by_text("Skip to the content")).to_be_focused()
    await tab.keyboard.press("Enter")
    await expect(tab.locator("#view")).to_be_focused()
    assert tab.url.endswith("#/alerts")


async def test_revoked_key_ends_the_page_and_keeps_the_address(desk: Desk) -> None:
    made = await desk.post("/v1/keys", {"name": "guest", "scopes": ["read"]})
    tab = await desk.enter(path="#/alerts", key=made["key"])
    await expect(tab.locator("#account")).to_contain_text("guest")
    with desk.tolerating("401", "WebSocket"):
        await desk.server.call("DELETE", f"/v1/keys/{made['id']}")
        await expect(tab.get_by_role("alert")).to_contain_text("revoked")
    await expect(tab.locator(".alert")).to_have_count(0)
    assert tab.url.endswith("#/alerts")


LISTEN = """window.heard = []; new MutationObserver((changes) => changes.forEach(({addedNodes}) =>
    addedNodes.forEach((node) => heard.push(node.textContent)))).observe(announcer, {childList: true});"""


async def test_losing_the_server_is_said_and_nothing_is_missed(shared_server: Server, browser: Browser) -> None:
    """The network fails, an alert ends meanwhile; it comes back, and the page hears of every event, in order."""
    device = f"far-{uuid4().hex[:8]}"
    async with Proxy.to(shared_server.url) as proxy:
        async for desk in sitting_at(replace(shared_server, url=f"http://127.0.0.1:{proxy.port}"), browser):
            tab = await desk.enter(path="#/alerts")
            await fire(desk, tab, device)
            await tab.evaluate(LISTEN)
            server = Desk(browser, shared_server)
            with desk.tolerating("ERR_", "WebSocket"):
                proxy.lead_to("127.0.0.1", NOBODY)
                proxy.reset()
                await expect(tab.locator("#connection")).to_have_attribute("data-state", "reconnecting")
                await tab.locator("#connection").click()
                await expect(tab.locator("#connection-details")).to_contain_text("What you see was known before")
                await server.send(device, 85)
                await server.send(device, 20)
                retry = await tab.get_by_role("button", name="Try now").element_handle()
                proxy.lead_to("127.0.0.1", int(shared_server.url.rpartition(":")[2]))
                await retry.evaluate("(button) => button.click()")  # the page may have connected by itself before
                await expect(tab.locator("#connection")).to_have_attribute("data-state", "live")
            await expect(tab.locator(f'#firing .alert[data-device="{device}"]')).to_have_count(0)
            heard = [text for text in await tab.evaluate("heard") if device in text]
            assert [text.rpartition(device)[2] for text in heard] == [" escalated.", " resolved."]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("form", "viewport"), [("wide", WIDE), ("phone", PHONE)])
async def test_signing_in_fits_the_screen(desk: Desk, scheme: str, form: str, viewport: dict[str, int]) -> None:
    tab = await desk.open(viewport, scheme)
    assert await overflow(tab) == 0
    await tab.screenshot(path=ARTIFACTS / f"page-{form}-{scheme}.png")


async def test_shell_is_open_strict_and_revalidated(desk: Desk) -> None:
    tab = await desk.open()
    first = await tab.request.get(desk.server.url)
    assert first.ok
    assert first.headers["content-type"] == "text/html; charset=utf-8"
    assert first.headers["content-encoding"] == "gzip"
    assert first.headers["content-security-policy"].startswith(
        "default-src 'none'; script-src 'self'; style-src 'self'"
    )
    assert first.headers["x-content-type-options"] == "nosniff"
    again = await tab.request.get(desk.server.url, headers={"If-None-Match": f'"other", {first.headers["etag"]}'})
    assert (again.status, await again.body()) == (304, b"")
    plain = await tab.request.get(desk.server.url, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert await plain.body() == await first.body()
    outside = (
        "nothing.js",
        "views",
        "views/",
        "vendor/centrifuge/LICENSE",
        "views/..%2f..%2fpages.py",
        "..%2fpages.py",
    )
    for path in (*outside, "views%2f..%2f..%2f__init__.py", "%2e%2e%2f__init__.py", "..%5cpages.py", "%00"):
        assert (await tab.request.get(f"{desk.server.url}/dashboard/{path}")).status == 404
