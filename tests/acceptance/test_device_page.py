"""A device's page, in a browser: every reading once, live on from history, finer when zoomed, whole after a loss."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from playwright.async_api import Browser, Route, expect

from tests.acceptance.browsing import ARTIFACTS, PHONE, Desk, browser, desk, needs_chromium, overflow, paste, sitting_at
from tests.conftest import Server
from tests.proxy import Proxy

pytestmark = needs_chromium
__all__ = ["browser", "desk"]

POINTS = """(metric) => document.querySelector(`.chart[data-metric="${metric}"]`)?.series
    .flatMap((series) => series.points().map(({ts, avg}) => [Math.round(ts * 1000), avg]))"""
LEVELS = """() => [...document.querySelectorAll('.chart')].map(({series}) => series[0].level)"""
TRANSLUCENT = """() => {
    const {width, height} = document.querySelector('.chart canvas');
    const {data} = document.querySelector('.chart canvas').getContext('2d').getImageData(0, 0, width, height);
    return data.filter((value, place) => place % 4 === 3 && value > 0 && value < 64).length / (width * height);
}"""
PAINTED = """(name) => {
    const probe = document.body.appendChild(document.createElement('i'));
    probe.style.color = `var(--${name})`;
    const wanted = getComputedStyle(probe).color.match(/\\d+/g).map(Number);
    const canvas = document.querySelector('.chart canvas');
    const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    let found = 0;
    for (let at = 0; at < data.length; at += 4)
        if (data[at + 3] === 255 && wanted.every((value, place) => data[at + place] === value)) found += 1;
    return found;
}"""


class Sender:
    """A device, and what it has sent: (milliseconds, value)."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.name = desk, f"kiln {uuid4().hex[:6]}/é"
        self.path = f"#/devices/{self.name.replace(' ', '%20').replace('/', '%2F').replace('é', '%C3%A9')}"
        self.sent: list[list[float]] = []

    async def send(self, *values: float, back_ms: int = 0, step_ms: int = 10) -> None:
        """Post readings in one batch, the last of them so long before now."""
        last = max(
            time.time_ns() // 1_000_000 - back_ms, int(self.sent[-1][0]) + step_ms * len(values) if self.sent else 0
        )
        ts = [last - step_ms * (len(values) - 1 - place) for place in range(len(values))]
        readings = [{"ts": at, "metric": "m", "value": value} for at, value in zip(ts, values, strict=True)]
        await self.desk.post("/v1/readings", {"device": self.name, "readings": readings})
        self.sent += [[at, value] for at, value in zip(ts, values, strict=True)]


@pytest.fixture
def sender(desk: Desk) -> Sender:
    return Sender(desk)


@pytest.fixture
async def lost(shared_server: Server, browser: Browser) -> AsyncIterator[tuple[Desk, Proxy]]:
    """A desk that sees the server through a proxy."""
    async with Proxy.to(shared_server.url) as proxy:
        there = replace(shared_server, url=f"http://127.0.0.1:{proxy.port}")
        async for desk in sitting_at(there, browser):
            yield desk, proxy


async def eventually(ask: Callable[[], Any], wanted: Any, within_s: float = 30.0) -> None:
    """Ask until the answer is right."""
    deadline = time.monotonic() + within_s
    while (found := await ask()) != wanted:
        assert time.monotonic() < deadline, f"{found}\n instead of\n{wanted}"
        await asyncio.sleep(0.1)


async def test_every_reading_is_drawn_once_from_history_on_to_live(desk: Desk, sender: Sender) -> None:
    await sender.send(*range(50), back_ms=60_000, step_ms=1_000)
    tab = await desk.enter(path=sender.path)
    await eventually(lambda: tab.evaluate(POINTS, "m"), sender.sent)
    for value in (100.5, 101.5, 102.5):
        await sender.send(value)
        await expect(tab.locator(".chart .newest")).to_have_text(str(value))
    await sender.send(*range(200, 230))  # of a batch only the newest is told live
    await sender.send(7)
    await eventually(lambda: tab.evaluate(POINTS, "m"), sender.sent)
    await expect(tab.get_by_role("heading", level=1)).to_have_text(sender.name)
    await expect(tab.locator(".state")).to_contain_text("last reading")


async def test_what_comes_between_history_and_subscription_is_not_missed(desk: Desk, sender: Sender) -> None:
    await sender.send(1, 2, 3, back_ms=5_000)
    tab = await desk.open(path=sender.path)
    may_subscribe = asyncio.Event()

    async def hold(route: Route) -> None:
        await may_subscribe.wait()
        await route.continue_()

    await tab.route("**/v1/tokens", hold)
    await paste(tab, desk.server.admin_key)
    await eventually(lambda: tab.evaluate(POINTS, "m"), sender.sent)
    await sender.send(4)
    may_subscribe.set()
    await eventually(lambda: tab.evaluate(POINTS, "m"), sender.sent)


async def test_server_lost_and_regained(lost: tuple[Desk, Proxy], shared_server: Server) -> None:
    desk, proxy = lost
    sender = Sender(Desk(desk.browser, shared_server))
    await sender.send(1, 2, 3, back_ms=5_000)
    tab = await desk.enter(path=sender.path)
    await eventually(lambda: tab.evaluate(POINTS, "m"), sender.sent)
    state = tab.locator("#connection")
    with desk.tolerating("ERR_", "WebSocket"):
        proxy.lead_to("127.0.0.1", 9)  # where nobody listens
        proxy.reset()
        await expect(state).not_to_have_attribute("data-state", "live")
        await sender.send(*range(10, 30))
        proxy.lead_to("127.0.0.1", int(shared_server.url.rpartition(":")[2]))
        await expect(state).to_have_attribute("data-state", "live", timeout=60_000)
        await eventually(lambda: tab.evaluate(POINTS, "m"), sender.sent)


async def test_zoom_loads_finer_data_and_is_in_the_address(desk: Desk, sender: Sender) -> None:
    await sender.send(*(number % 60 for number in range(7_200)), back_ms=60_000, step_ms=1_000)
    tab = await desk.enter(path=f"{sender.path}?span=21600")
    await eventually(lambda: tab.evaluate(LEVELS), [30])  # seconds: one chart has the whole width
    (count, spread) = await tab.evaluate(
        "(({count, min, max}) => [count, max - min >= 29])(document.querySelector('.chart').series[0].points()[30])"
    )
    assert (count, spread) == (30, True)
    plot = await tab.locator(".chart .u-over").bounding_box()
    assert plot is not None
    await tab.mouse.move(plot["x"] + plot["width"] * 0.8, plot["y"] + 40)
    await tab.mouse.down()
    await tab.mouse.move(plot["x"] + plot["width"] * 0.82, plot["y"] + 40, steps=4)
    await expect(tab.locator(".tooltip")).to_contain_text("UTC")
    await tab.mouse.up()
    await eventually(lambda: tab.evaluate(LEVELS), [0])
    assert re.search(r"\?from=2\d\d\d-[^&]*Z&to=2[^&]*Z$", tab.url.replace("%3A", ":")), tab.url
    await expect(tab.locator(".timebar").get_by_role("button", name="Live")).to_have_attribute("aria-pressed", "false")
    seen = {int(at) for at, _ in await tab.evaluate(POINTS, "m")}
    assert len(seen) > 300
    assert seen <= {int(at) for at, _ in sender.sent}
    await tab.reload()
    await eventually(lambda: tab.evaluate(LEVELS), [0])
    await tab.keyboard.press("0")
    await expect(tab.locator(".timebar").get_by_role("button", name="Live")).to_have_attribute("aria-pressed", "true")


async def test_limits_are_bands_and_alerts_are_marks(desk: Desk, sender: Sender) -> None:
    desk.tolerated = ("Canvas2D",)  # the browser has advice on reading pixels
    levels = [{"severity": "warning", "above": 70, "clear": 65}, {"severity": "critical", "above": 80, "clear": 75}]
    rule = {"name": "Hot", "device": sender.name, "metric": "?", "condition": {"type": "threshold", "levels": levels}}
    await sender.send(60, 65, 69, back_ms=120_000, step_ms=30_000)
    bare = await desk.enter(path=sender.path)
    await expect(bare.locator(".chart canvas")).to_have_count(1)
    await eventually(lambda: bare.evaluate(POINTS, "m"), sender.sent)
    assert await bare.evaluate(TRANSLUCENT) < 0.02
    await desk.post("/v1/rules", rule)
    tab = await desk.enter(path=sender.path)
    await expect(tab.locator(".chart canvas")).to_have_count(1)
    await expect(tab.locator(".limits")).to_have_text("> 70> 80")
    await tab.wait_for_function(f"() => ({TRANSLUCENT})() > 0.02")
    assert await tab.evaluate(PAINTED, "critical") == 0
    alert = tab.locator("#firing .alert")
    deadline = time.monotonic() + 30
    while not await alert.count() and time.monotonic() < deadline:  # until the rule is known to every worker
        await sender.send(85)
        await asyncio.sleep(0.3)
    await expect(alert).to_have_attribute("data-severity", "critical")
    await expect(tab.locator(".device-head .tag")).to_have_text("critical")
    await tab.wait_for_function(f"() => ({PAINTED})('critical') > 20")
    await tab.screenshot(path=ARTIFACTS / "device-firing.png")


async def test_unknown_device_says_what_to_do_and_appears_with_its_first_reading(desk: Desk, sender: Sender) -> None:
    with desk.tolerating("404"):
        tab = await desk.enter(viewport=PHONE, scheme="dark", path=sender.path)
        await expect(tab.get_by_text("This device has not sent anything.")).to_be_visible()
        await sender.send(21.5)
        await expect(tab.locator(".chart .newest")).to_have_text("21.5")
    await expect(tab.get_by_text("This device has not sent anything.")).to_be_hidden()
    await eventually(lambda: tab.evaluate(POINTS, "m"), sender.sent)
    assert await overflow(tab) == 0
    await tab.screenshot(path=ARTIFACTS / "device-phone.png")
    await tab.get_by_role("link", name="CSV").focus()
    link = await tab.get_by_role("link", name="CSV").get_attribute("href")
    answer: Any = await tab.request.get(f"{desk.server.url}{link}")
    assert (await answer.text()).splitlines()[1].endswith(",21.5")


async def test_moving_a_chart_does_not_wear_out_the_address(desk: Desk, sender: Sender) -> None:
    """A browser refuses, or throws at, more than a hundred or two changes of the address in ten seconds."""
    await sender.send(1, 2, 3)
    tab = await desk.enter(path=sender.path)
    await eventually(lambda: tab.evaluate(POINTS, "m"), sender.sent)
    changes = await tab.evaluate(
        """async () => {
            let changes = 0;
            const replace = history.replaceState;
            history.replaceState = (...details) => (changes++, replace.apply(history, details));
            for (let step = 0; step < 300; step++)
                document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowLeft', bubbles: true}));
            return changes;
        }"""
    )
    assert changes == 0
    await tab.wait_for_function("() => location.hash.includes('from=')")
    await tab.get_by_role("link", name="System").click()  # a change that waits must not come to another view's address
    await expect(tab).to_have_url(re.compile("#/system$"))


async def test_a_chart_is_read_by_the_keyboard(desk: Desk, sender: Sender) -> None:
    await sender.send(11, 22, 33, back_ms=60_000, step_ms=60_000)
    tab = await desk.enter(path=sender.path)
    await eventually(lambda: tab.evaluate(POINTS, "m"), sender.sent)
    said = tab.locator(".chart [aria-live]")
    await tab.get_by_role("application", name="m over time").focus()
    await expect(tab.locator(".chart .note")).to_have_text("")  # once it is drawn
    for key, value in (("ArrowLeft", 33), ("ArrowLeft", 22), ("Home", 11), ("ArrowRight", 22), ("End", 33)):
        await tab.keyboard.press(key)
        await expect(said).to_contain_text(re.compile(rf"UTC, {value}$"))
    await expect(tab.locator(".tooltip")).to_be_visible()
    live = tab.get_by_title("Go on with what comes now")
    await expect(live).to_have_attribute("aria-pressed", "true")  # elsewhere these keys move the time, not here
    await tab.keyboard.press("Escape")
    await expect(tab.locator(".tooltip")).to_have_count(0)


async def test_every_alert_that_fires_is_there(desk: Desk, sender: Sender) -> None:
    levels = [{"severity": "info", "above": 1}]
    rule = {"name": "Many", "device": sender.name, "metric": "*", "condition": {"type": "threshold", "levels": levels}}
    await desk.post("/v1/rules", rule)
    await sender.send(0)
    values = {f"m{number:03}": [2] for number in range(120)}  # the server gives 100 alerts at a time
    tab = await desk.enter(path=f"{sender.path}?metric=m000")
    rows = tab.locator("#firing .alert")
    deadline = time.monotonic() + 30
    while await rows.count() < 120 and time.monotonic() < deadline:  # until the rule is known to every worker
        batch = {"device": sender.name, "ts": [time.time_ns() // 1_000_000], "values": values}
        await desk.post("/v1/readings", batch)
        await asyncio.sleep(0.3)
    await tab.reload()
    await expect(rows).to_have_count(120)


async def test_a_device_whose_clock_is_wrong_is_not_silent(desk: Desk, sender: Sender) -> None:
    await sender.send(1, back_ms=600_000)
    tab = await desk.enter(path=sender.path)
    await expect(tab.locator(".chart .age")).to_have_text("10 min")
    await expect(tab.locator(".device-head .tag")).to_have_text("nothing fires")
