"""The rules, in a real browser: made, tried on what is stored, changed, deleted."""

import time
from uuid import uuid4

from playwright.async_api import Page, expect

from tests.acceptance.browsing import ARTIFACTS, PHONE, Desk, browser, desk, needs_chromium, overflow

__all__ = ("browser", "desk")

pytestmark = needs_chromium


async def store(desk: Desk, device: str, *values: float) -> None:
    """Readings a minute apart, the last one a minute ago."""
    now = time.time_ns() // 1_000_000
    readings = [
        {"ts": now - 60_000 * (len(values) - place), "metric": "temperature", "value": value}
        for place, value in enumerate(values)
    ]
    await desk.post("/v1/readings", {"device": device, "readings": readings})


async def name(tab: Page, text: str, device: str) -> None:
    await tab.get_by_label("Name", exact=True).fill(text)
    await tab.get_by_label("Device", exact=True).fill(device)
    await tab.get_by_label("Metric", exact=True).fill("temperature")


async def test_a_rule_is_tried_made_changed_and_deleted(desk: Desk) -> None:
    device = f"oven-{uuid4().hex[:8]}"
    await store(desk, device, 60, 71, 90, 60, 75, 60)
    tab = await desk.enter(path="#/rules")
    await tab.get_by_role("link", name="New rule").click()
    await name(tab, f"Hot {device}", device)
    await tab.get_by_role("button", name="Add a level").click()
    await tab.get_by_label("Limit", exact=True).nth(1).fill("80")
    await tab.get_by_role("button", name="Try it").click()
    story = tab.locator(".preview li")
    await expect(story).to_have_count(5)  # fires, escalates, is resolved, fires, is resolved
    await expect(story.nth(3)).to_contain_text("escalated at 90 (limit 80)")
    await expect(tab.get_by_text("It would have fired 2 times, on 1 device.")).to_be_visible()
    await tab.screenshot(path=ARTIFACTS / "page-rule.png", full_page=True)
    await tab.get_by_role("button", name="Make the rule").click()
    row = tab.locator(".rule").filter(has_text=f"Hot {device}")
    await expect(row).to_contain_text("> 70 warning, > 80 critical")
    await row.get_by_role("link", name=f"Hot {device}").click()
    await expect(tab.get_by_label("Limit", exact=True).nth(1)).to_have_value("80")
    await tab.get_by_role("button", name="Remove the level").nth(1).click()
    await tab.get_by_label("For at least").fill("300")
    await expect(tab.get_by_text("seconds, that is 5 min", exact=True).nth(0)).to_be_visible()
    await tab.get_by_role("button", name="Save").click()
    await expect(row).not_to_contain_text("critical")
    _, stored = await desk.server.call("GET", "/v1/rules")
    rule = next(each for each in stored["items"] if each["device"] == device)
    assert (rule["for_s"], rule["condition"]["levels"]) == (
        300,
        [{"severity": "warning", "above": 70, "below": None, "clear": 65}],
    )
    await row.get_by_role("link", name=f"Hot {device}").click()
    await tab.get_by_role("button", name="Delete").click()
    await tab.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(tab.get_by_role("heading", level=1, name="Rules")).to_be_visible()
    await expect(row).to_have_count(0)


async def test_what_a_rule_lacks_is_said_where_it_is_made(desk: Desk) -> None:
    tab = await desk.enter(viewport=PHONE, scheme="dark", path="#/rules/new?device=pump-*&metric=temperature")
    problem = tab.locator(".rule-form > .problem")
    await tab.get_by_role("button", name="Make the rule").click()
    await expect(tab.get_by_label("Name", exact=True)).to_be_focused()  # where the browser says what is missing
    await expect(tab.get_by_label("Device", exact=True)).to_have_value("pump-*")
    await tab.get_by_label("Name", exact=True).fill("Upside down")
    await tab.get_by_label("Clear", exact=True).fill("99")
    with desk.tolerating("422"):
        await tab.get_by_role("button", name="Make the rule").click()
        await expect(problem).to_contain_text("must not be greater than its limit")
    await tab.get_by_role("radio", name="Range").check()
    await tab.get_by_role("button", name="Make the rule").click()
    await expect(tab.get_by_label("Lowest", exact=True)).to_be_focused()
    await expect(tab.locator(":invalid:not(form)")).to_have_count(2)
    await tab.get_by_role("radio", name="Silence").check()
    await expect(tab.get_by_label("After", exact=True)).to_have_value("300")
    await expect(tab.get_by_text("seconds, that is 5 min")).to_be_visible()
    assert await overflow(tab) == 0
    await tab.screenshot(path=ARTIFACTS / "page-rule-phone-dark.png", full_page=True)


async def test_whoever_types_into_the_form_of_a_rule_keeps_the_focus(desk: Desk) -> None:
    tab = await desk.enter(path="#/rules/new")
    for kind, label in (
        ("Rate of change", "Window"),
        ("Range", "Lowest"),
        ("Silence", "After"),
        ("Value", "For at least"),
    ):
        await tab.get_by_role("radio", name=kind, exact=True).check()
        typed = tab.get_by_label(label, exact=True)
        await typed.fill("")
        await typed.press_sequentially("12.5")
        await expect(typed).to_be_focused()
        await expect(typed).to_have_value("12.5")
