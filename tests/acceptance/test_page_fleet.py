"""The overview of the fleet, in a real browser: what needs somebody, found among 5,000 devices."""

import asyncio
import json
import math
import re
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
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
    sitting_at,
)
from tests.conftest import Server
from tests.proxy import Proxy

__all__ = ("browser", "desk")

pytestmark = needs_chromium

DEVICES = 5_000
SILENT = 25  # of them, the last ones
FINE = DEVICES - SILENT - 1  # the others, but for the one on fire; they are numbered up to this
METRICS = ("humidity", "pressure", "temperature", "vibration")
LIVELY = 60  # of the first is known how they did in the last hour
PAINT_MS = 15_000  # of a machine that does ten other things; what it took is in artifacts/
MARK = """new MutationObserver((changes, observer) => {
    if (!document.querySelector('.device b')) return;
    observer.disconnect();
    requestAnimationFrame(() => setTimeout(() => performance.mark('fleet-values')));
}).observe(document, {childList: true, subtree: true})"""
PAINT = """new Promise((resolve) => new PerformanceObserver((list) => {
    const mark = list.getEntriesByName('fleet-values')[0];
    if (mark) resolve(mark.startTime);
}).observe({type: 'mark', buffered: true}))"""
SCROLL = """async () => {
    let most = 0;
    for (let place = 0; place <= 20; place++) {
        scrollTo(0, place / 20 * document.body.scrollHeight);
        await new Promise(requestAnimationFrame);
        await new Promise(requestAnimationFrame);
        most = Math.max(most, document.querySelectorAll(".device").length);
    }
    return most;
}"""
NOBODY = 9  # a port on which nobody listens


@pytest_asyncio.fixture(scope="module")
async def fleet(shared_server: Server) -> Server:
    """A server with 5,000 devices, of which some are silent and one is on fire."""
    now = time.time_ns() // 1_000_000
    level = {"severity": "critical", "above": 90, "clear": 85}
    condition = {"type": "threshold", "levels": [level]}
    rule = {"name": "Hot", "device": "unit-4000", "metric": "temperature", "condition": condition}
    await shared_server.call("POST", "/v1/rules", rule)
    for first in range(0, DEVICES, 2_500):
        batch = [course(number, now) for number in range(first, first + 2_500)]
        for part in (batch[:1_250], batch[1_250:]):
            status, answer = await shared_server.write(part)
            assert status == 200, answer
    deadline = time.monotonic() + 60
    while not (await shared_server.call("GET", "/v1/alerts?state=firing"))[1]["items"]:
        assert time.monotonic() < deadline
        hot = {"device": "unit-4000", "ts": [time.time_ns() // 1_000_000], "values": {"temperature": [95]}}
        await shared_server.write(hot)
        await asyncio.sleep(0.2)
    await age(shared_server)
    return shared_server


def course(number: int, now: int) -> dict[str, Any]:
    """What a device sends: the last minute, or the hour up to now with a gap in it."""
    back = 600_000 if number >= DEVICES - SILENT else 0
    steps = [step for step in range(30) if not 12 <= step < 16] if number < LIVELY else [29]
    values = {
        metric: [round(20 + 10 * place + 3 * math.sin(number + step / (3 + place)), 2) for step in steps]
        for place, metric in enumerate(METRICS[: 1 + number % 4])
    }
    return {
        "device": f"unit-{number:04}",
        "ts": [now - back - (29 - step) * 120_000 for step in steps],
        "values": values,
    }


async def age(server: Server) -> None:
    """Let the silent ones have been heard of some time ago, which no test can wait for."""
    neighbour = f"unit-{DEVICES - SILENT - 1:04}"  # of the same request: it is written down with them
    deadline = time.monotonic() + 30
    while await server.fetch("SELECT FROM devices WHERE name = $1 AND live_at IS NULL", neighbour):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
    age = "UPDATE devices SET last_seen = now() - $1::interval WHERE name ^@ 'unit-' AND (name > $2) = $3"
    await server.fetch(age, timedelta(minutes=10), neighbour, True)
    await server.fetch(age, timedelta(hours=-1), neighbour, False)  # these stay fine


def row(tab: Page, device: str) -> Any:
    """The row of a device."""
    return tab.locator(f'.device[data-device="{device}"]')


async def test_who_has_no_device_yet_is_told_a_command_that_works(desk: Desk, tmp_path: Path) -> None:
    tab = await desk.enter(key=await desk.server.key("read", device_glob="pump-7"))
    await expect(tab.get_by_text("No device has sent anything yet.")).to_be_visible()
    await tab.screenshot(path=ARTIFACTS / "fleet-empty.png")
    command = await tab.locator(".empty pre").inner_text()
    (tmp_path / ".sluice").mkdir()
    (tmp_path / ".sluice" / "admin.key").write_text(desk.server.admin_key)
    shell = await asyncio.create_subprocess_exec("sh", "-c", command, cwd=tmp_path, stdout=asyncio.subprocess.PIPE)
    assert json.loads((await shell.communicate())[0]) == {"accepted": 1, "duplicates": 0}
    await expect(row(tab, "pump-7").locator("b").first).to_have_text("21.5")


async def test_values_appear_and_move_without_a_reload(desk: Desk) -> None:
    device = "press/<b>7</b> é"  # a name that has to be encoded in a path, and is no HTML
    tab = await desk.enter(key=await desk.server.key("read", device_glob="press*"))
    await desk.send(device, 21.5)
    await expect(row(tab, device).locator("b").first).to_have_text("21.5")
    await expect(row(tab, device).locator("time")).to_have_text(re.compile(r"^\d+ s$"))
    await desk.send(device, 22.5)
    await expect(row(tab, device).locator("b").first).to_have_text("22.5")
    spark = row(tab, device).locator(".spark").first
    await expect(spark).to_have_attribute("aria-label", re.compile(r"^temperature, the last hour: 2[12]"))
    await expect(spark.locator("path")).to_have_attribute("d", re.compile("^M"))
    assert "UTC" in str(await row(tab, device).locator("time").get_attribute("title"))


async def test_search_tiles_and_order_are_in_the_address(desk: Desk, fleet: Server) -> None:
    tab = await desk.enter(path="#/fleet?state=silent&q=UNIT-49")
    shown = tab.locator(".device")
    await expect(shown.first).to_have_attribute("data-device", f"unit-{DEVICES - SILENT}")
    await expect(tab.get_by_role("grid")).to_have_attribute("aria-rowcount", str(SILENT + 1))
    await expect(tab.get_by_label("Find a device")).to_have_value("UNIT-49")
    await expect(tab.get_by_role("button", name="silent")).to_have_attribute("aria-pressed", "true")
    await tab.get_by_role("button", name="alerting").click()
    await expect(tab.get_by_text("No device matches.")).to_be_visible()
    assert tab.url.endswith("#/fleet?state=alerting&q=UNIT-49")
    await tab.go_back()
    await expect(shown.first).to_have_attribute("data-device", f"unit-{DEVICES - SILENT}")
    await tab.get_by_role("button", name="devices").click()
    await tab.get_by_label("Find a device").fill("unit-0012")
    await expect(shown).to_have_count(1)
    await tab.get_by_label("Find a device").fill("")
    await tab.get_by_role("button", name="fine").click()
    await expect(row(tab, "unit-0000")).to_be_visible()
    await row(tab, "unit-0003").locator("b").first.click()
    await expect(tab).to_have_title(re.compile("unit-0003 · Sluice$"))
    await tab.go_back()
    await expect(tab.get_by_role("button", name="fine")).to_have_attribute("aria-pressed", "true")


async def test_what_fires_stands_first_and_what_is_silent_next(desk: Desk, fleet: Server) -> None:
    tab = await desk.enter(path="#/fleet?q=unit")  # others fall silent where the machine is slow
    await expect(row(tab, "unit-4000")).to_have_attribute("aria-rowindex", "2")
    await expect(row(tab, "unit-4000").locator(".tag")).to_have_text("Critical")
    await expect(row(tab, "unit-4000").locator("use").first).to_have_attribute("href", "#shape-critical")
    silent = row(tab, f"unit-{DEVICES - SILENT}")
    await expect(silent).to_have_attribute("aria-rowindex", "3")
    await expect(silent.locator(".tag")).to_have_text("Silent")
    await expect(tab.get_by_role("button", name="alerting").locator("b")).to_have_text("1")


async def test_5000_devices_are_there_at_once_and_scroll(desk: Desk, fleet: Server) -> None:
    tab = await desk.enter(path="#/fleet?state=fine&q=unit")
    await tab.add_init_script(MARK)
    took = []
    for _ in range(3):
        await tab.reload()
        took.append(round(await tab.evaluate(PAINT)))
    (ARTIFACTS / "fleet-paint.json").write_text(json.dumps({"devices": DEVICES, "first_values_ms": took}) + "\n")
    assert min(took) < PAINT_MS
    await expect(tab.get_by_role("grid")).to_have_attribute("aria-rowcount", str(FINE + 1))
    most = await tab.evaluate(SCROLL)
    assert 10 < most < 200
    await expect(row(tab, f"unit-{FINE}")).to_be_in_viewport()
    spark = row(tab, f"unit-{FINE - 5}").locator(".spark").first
    await expect(spark.locator("path")).to_have_attribute("d", re.compile("^M"))
    await tab.get_by_label("Find a device").focus()
    await expect(tab.get_by_label("Find a device")).to_be_in_viewport()
    await tab.keyboard.press("Tab")
    for key, place in (("ArrowDown", 1), ("End", FINE), ("ArrowUp", FINE - 1), ("Home", 0)):
        device = f"unit-{place:04}"
        await tab.keyboard.press(key)
        await expect(row(tab, device).get_by_role("link")).to_be_focused()
        await expect(row(tab, device)).to_be_in_viewport()
    await tab.keyboard.press("PageDown")
    await expect(row(tab, "unit-0000").get_by_role("link")).not_to_be_focused()
    await expect(row(tab, "unit-0001").get_by_role("link")).not_to_be_focused()
    await tab.keyboard.press("PageUp")
    await expect(row(tab, "unit-0000").get_by_role("link")).to_be_focused()
    await tab.keyboard.press("Enter")
    await expect(tab).to_have_title(re.compile("unit-0000 · Sluice$"))


async def test_what_is_old_is_called_old(shared_server: Server, browser: Browser) -> None:
    async with Proxy.to(shared_server.url) as proxy:
        async for desk in sitting_at(replace(shared_server, url=f"http://127.0.0.1:{proxy.port}"), browser):
            await Desk(browser, shared_server).send("far-1", 1)
            tab = await desk.enter(path="#/fleet?q=far")
            await expect(row(tab, "far-1")).to_be_visible()
            notice = tab.locator("#view .notice")
            await expect(notice).to_be_hidden()
            with desk.tolerating("ERR_", "WebSocket"):
                proxy.lead_to("127.0.0.1", NOBODY)
                proxy.reset()
                await expect(notice).to_contain_text(re.compile(r"What you see is \d+ s old"))
                await expect(row(tab, "far-1")).to_be_visible()
                proxy.lead_to("127.0.0.1", int(shared_server.url.rpartition(":")[2]))
                await expect(notice).to_be_hidden(timeout=60_000)
                await expect(tab.locator("#connection")).to_have_attribute("data-state", "live", timeout=60_000)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("form", "viewport"), [("wide", WIDE), ("phone", PHONE)])
async def test_nothing_is_wider_than_the_screen(
    desk: Desk, fleet: Server, scheme: str, form: str, viewport: dict[str, int]
) -> None:
    await desk.send(f"a-device-with-a-name-longer-than-any-phone-is-wide-{'x' * 60}", 1)
    tab = await desk.enter(viewport, scheme)
    await expect(row(tab, "unit-4000").locator(".spark path").first).to_have_attribute("d", re.compile("^M"))
    assert await overflow(tab) == 0
    await tab.screenshot(path=ARTIFACTS / f"fleet-{form}-{scheme}.png")
    await tab.get_by_role("button", name="fine").click()
    await tab.wait_for_timeout(1)
    await expect(row(tab, "unit-0001").locator(".spark path").first).to_have_attribute("d", re.compile("^M"))
    assert await overflow(tab) == 0
    await tab.screenshot(path=ARTIFACTS / f"fleet-{form}-{scheme}-names.png")
