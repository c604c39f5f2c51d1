"""The keys, in a real browser: one is made, shown once, works, and is revoked."""

import asyncio
import time
from datetime import datetime, timedelta, timezone
from uuid import uuid4

from playwright.async_api import Dialog, Page, expect

from tests.acceptance.browsing import PHONE, Desk, barriers, browser, desk, needs_chromium, overflow

__all__ = ("browser", "desk")

pytestmark = needs_chromium
TOKYO = timezone(timedelta(hours=9))  # where the desk is: a date in the form begins there


async def make(tab: Page, name: str) -> str:
    """Make a key by the form; gives the key that is shown."""
    await tab.get_by_role("button", name="New key").click()
    await tab.locator("input[name=name]").fill(name)
    await tab.locator("input[name=devices]").fill("pump-*")
    await tab.locator("input[name=expires]").fill(f"{datetime.now(TOKYO) + timedelta(days=90):%Y-%m-%d}")
    await tab.get_by_role("button", name="Make key").click()
    secret = tab.locator("[data-part=secret]")
    await expect(secret).to_be_visible()
    return await secret.inner_text()


async def test_a_key_is_made_shown_once_works_and_is_revoked(desk: Desk, axe: str) -> None:
    tab = await desk.enter(PHONE, path="#/keys")
    name = f"line {uuid4().hex[:6]}"
    key = await make(tab, name)
    assert key.startswith("slk_")
    assert await barriers(tab, axe) == []
    assert await overflow(tab) == 0

    await tab.keyboard.press("Escape")
    await expect(tab.locator("[data-part=secret]")).to_have_text(key)
    await tab.get_by_role("button", name="I have stored it").click()
    await expect(tab.get_by_role("button", name="New key")).to_be_focused()
    row = tab.locator("tr[data-key]", has_text=name)
    await expect(row).to_contain_text("pump-*")
    await expect(row).to_contain_text("in 89 d")
    await expect(tab.locator("[data-part=secret]")).to_have_count(0)
    assert key.split("_", 2)[2] not in await tab.content(), "shown once"

    batch = {"device": "pump-1", "readings": []}
    assert (await desk.server.write(batch, key=key))[0] == 200
    reading = {"ts": time.time_ns() // 1_000_000, "metric": "m", "value": 1}
    assert (await desk.server.write({"device": "oven-1", "readings": [reading]}, key=key))[0] == 403

    await expect(row.get_by_role("button", name="Revoke")).to_be_in_viewport(ratio=1)
    await row.get_by_role("button", name="Revoke").click()
    dialog = tab.get_by_role("dialog")
    await expect(dialog).to_contain_text("Whatever uses it (ingest; pump-*) is refused with 401")
    await tab.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)
    assert (await desk.server.write(batch, key=key))[0] == 200, "Escape revokes nothing"
    await row.get_by_role("button", name="Revoke").click()
    await dialog.get_by_role("button", name="Revoke").click()
    await expect(row).to_contain_text("revoked")
    await expect(row.get_by_role("button")).to_have_count(0)
    async with asyncio.timeout(20):
        while (await desk.server.write(batch, key=key))[0] != 401:  # noqa: ASYNC110 - on every worker within 10 s
            await asyncio.sleep(0.2)


async def test_the_form_says_what_is_wrong_where(desk: Desk) -> None:
    tab = await desk.enter(path="#/keys")
    await tab.get_by_role("button", name="New key").click()
    await tab.locator("input[name=name]").fill("guest")
    await tab.get_by_label("ingest –").uncheck()
    await tab.get_by_role("button", name="Make key").click()
    await expect(tab.get_by_role("alert")).to_contain_text("Choose at least one")
    await tab.get_by_label("read –").check()
    await tab.locator("input[name=devices]").fill("a\u200bb")
    with desk.tolerating("422"):
        await tab.get_by_role("button", name="Make key").click()
        await expect(tab.get_by_role("alert")).to_contain_text("device_glob")
    await tab.get_by_role("button", name="Cancel").click()
    await expect(tab.get_by_role("button", name="New key")).to_be_focused()


async def test_a_shown_key_is_not_left_by_accident(desk: Desk) -> None:
    tab = await desk.enter(path="#/keys")
    await make(tab, "fleeting")
    asked: list[str] = []

    async def leave(dialog: Dialog) -> None:
        asked.append(dialog.type)
        await dialog.accept()

    tab.on("dialog", leave)
    await tab.reload()
    assert asked == ["beforeunload"]
    await make(tab, "kept")
    await tab.get_by_role("button", name="I have stored it").click()
    await tab.reload()
    assert asked == ["beforeunload"]


async def test_revoking_ones_own_key_says_so_and_signs_out(desk: Desk) -> None:
    made = await desk.post("/v1/keys", {"name": "second admin", "scopes": ["admin"]})
    tab = await desk.enter(path="#/keys", key=made["key"])
    row = tab.locator(f'tr[data-key="{made["id"]}"]')
    await expect(row).to_contain_text("(yours)")
    await row.get_by_role("button", name="Revoke").click()
    await expect(tab.get_by_role("dialog")).to_contain_text("you will be signed out")
    with desk.tolerating("401", "WebSocket"):
        await tab.get_by_role("dialog").get_by_role("button", name="Revoke").click()
        await expect(tab.get_by_label("API key")).to_be_visible()
