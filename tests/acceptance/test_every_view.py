"""What holds of every view there is, and of each that comes: found by the list that the page itself goes by."""

import asyncio
import re
import time
from dataclasses import dataclass
from urllib.parse import quote

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from server.pages import read_pages
from tests.acceptance.browsing import (
    PHONE,
    WIDE,
    Desk,
    barriers,
    browser,
    desk,
    needs_chromium,
    overflow,
)
from tests.conftest import Server

__all__ = ("browser", "desk")

pytestmark = needs_chromium

DEVICE = "boiler/7 é"
FORMS = {"wide light": (WIDE, "light"), "phone dark": (PHONE, "dark")}
MODULES = "import('/dashboard/views/index.js').then(({VIEWS}) => VIEWS.map(({name, path}) => ({name, path})))"
TITLE = re.compile(r"^\(1\) [^…]+ · Sluice$")  # with how many alerts are firing; "…" while a view is loaded
SETTLED = "#view > .view:not([aria-busy])"


@dataclass
class Site:
    """A server with something to show, and the ids that addresses need."""

    server: Server
    ids: dict[str, str]


@pytest_asyncio.fixture(scope="module")
async def site(shared_server: Server) -> Site:
    """A device with readings, a rule, an alert that fires, and a silence."""
    levels = [{"severity": "critical", "above": 70, "clear": 65}]
    condition = {"type": "threshold", "levels": levels}
    rule = {"name": "Overheating", "device": "*", "metric": "temperature", "condition": condition}
    _, made = await shared_server.call("POST", "/v1/rules", rule)
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3_600))
    await shared_server.call("POST", "/v1/silences", {"device": "pump-*", "metric": "*", "until": until})
    deadline = time.monotonic() + 30
    firing: list[dict[str, str]] = []
    while not firing and time.monotonic() < deadline:  # until the rule is known to every worker
        reading = {"ts": time.time_ns() // 1_000_000, "metric": "temperature", "value": 80.5}
        status, answer = await shared_server.write({"device": DEVICE, "readings": [reading]})
        assert status == 200, answer
        await asyncio.sleep(0.2)
        firing = (await shared_server.call("GET", "/v1/alerts?state=firing"))[1]["items"]
    ids = {"/devices/:name": quote(DEVICE, safe=""), "/alerts/:id": str(firing[0]["id"]), "/rules/:id": str(made["id"])}
    return Site(shared_server, ids)


def address(path: str, ids: dict[str, str]) -> str:
    """Where a view of something that is there is, by its pattern in the list of views."""
    fixed, placeholder, _ = path.partition(":")
    assert not placeholder or path in ids, f"say in `site` what {path} is of"
    return fixed + ids.get(path, "")


async def addresses(tab: Page, site: Site) -> list[str]:
    """Every address of the page."""
    views = await tab.evaluate(MODULES)
    assert {"fleet", "alerts", "keys", "system"} <= {view["name"] for view in views}
    return [address(view["path"], site.ids) for view in views]


@pytest.mark.parametrize("form", FORMS)
async def test_every_view_is_open_to_everybody_and_fits(desk: Desk, site: Site, axe: str, form: str) -> None:
    viewport, scheme = FORMS[form]
    tab = await desk.enter(viewport, scheme, reduced_motion="reduce")
    for path in await addresses(tab, site):
        await tab.goto(f"{desk.server.url}/#{path}")
        await expect(tab.locator(SETTLED)).to_be_visible()
        await expect(tab.locator("#view h1")).to_have_count(1)
        await expect(tab).to_have_title(TITLE)
        for here in await tab.locator("#navigation [aria-current=page]").all():
            await expect(here).to_be_in_viewport(ratio=0.95)
        assert await barriers(tab, axe) == [], f"#{path}, {form}"
        assert await overflow(tab) == 0, f"#{path}, {form}"


async def test_the_form_and_the_menus_are_open_to_everybody(desk: Desk, axe: str) -> None:
    for scheme in ("light", "dark"):
        tab = await desk.open(scheme=scheme, reduced_motion="reduce")
        await expect(tab.get_by_label("API key")).to_be_visible()
        assert await barriers(tab, axe) == []
        await tab.close()
        tab = await desk.enter(scheme=scheme, path="#/alerts", reduced_motion="reduce")
        for menu in ("#connection", "#account"):
            await tab.locator(menu).click()
            await expect(tab.locator(f"{menu}-details")).to_be_visible()
            assert await barriers(tab, axe) == []
            await tab.keyboard.press("Escape")


async def test_every_module_of_the_page_is_read_by_a_browser(desk: Desk) -> None:
    """A module that does not parse would be found only by whoever opens its view."""
    tab = await desk.open()
    modules = [name for name in read_pages() if name.endswith(".js") and name != "main.js"]
    await tab.evaluate("(names) => Promise.all(names.map((name) => import(`/dashboard/${name}`)))", modules)


async def test_a_key_sees_only_the_views_it_may(desk: Desk) -> None:
    tab = await desk.enter(path="#/keys", key=await desk.server.key("read"))
    await expect(tab.get_by_role("heading", name="Not with this key")).to_be_visible()
    await expect(tab.locator(".view")).to_contain_text("“admin”")
    await expect(tab.get_by_role("link", name="Keys")).to_have_count(0)
    await tab.get_by_role("link", name="Go to the fleet").click()
    await expect(tab.locator("[data-view=fleet]")).to_be_visible()


async def test_a_key_that_is_bound_to_devices_is_live_on_what_it_may_see(desk: Desk, site: Site) -> None:
    """The channel of all alerts is refused it: they are read now and then, and the page does not call that broken."""
    tab = await desk.enter(path="#/fleet", key=await desk.server.key("read", device_glob="boiler*"))
    await expect(tab.locator(f'.device[data-device="{DEVICE}"]')).to_be_visible()
    await expect(tab.locator(".badge")).to_have_text("1")
    await expect(tab.get_by_role("link", name=re.compile(r"Alerts\s*1\s*firing"))).to_be_visible()
    await expect(tab.get_by_role("link", name="Keys")).to_have_count(0)
