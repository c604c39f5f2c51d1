"""The alerts and the silences, in a real browser: what fires is acknowledged and silenced, what is over is found."""

from uuid import uuid4

from playwright.async_api import Page, expect

from tests.acceptance.browsing import ARTIFACTS, PHONE, Desk, browser, desk, needs_chromium, overflow

__all__ = ("browser", "desk")

pytestmark = needs_chromium


async def fire(desk: Desk, device: str, tab: Page, severity: str = "warning") -> None:
    """Make a rule, and readings until the alert is on the page: the rule has to be known to every worker first."""
    condition = {"type": "threshold", "levels": [{"severity": severity, "above": 70}]}
    rule = {"name": f"Hot {device}", "device": device, "metric": "temperature", "condition": condition}
    await desk.post("/v1/rules", rule)
    firing = tab.locator(f'#firing .alert[data-device="{device}"]')
    for step in range(60):
        if await firing.count():
            break
        await desk.send(device, 71 + step / 8)
        await tab.wait_for_timeout(300)
    await expect(firing).to_be_visible()


async def test_an_alert_is_acknowledged_and_silenced(desk: Desk) -> None:
    tab = await desk.enter(path="#/alerts")
    device = f"oven-{uuid4().hex[:8]}"
    await fire(desk, device, tab)
    row = tab.locator(f'#firing .alert[data-device="{device}"]')
    await row.get_by_role("button", name="Acknowledge").click()
    dialog = tab.get_by_role("dialog")
    await tab.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)
    await expect(row.get_by_role("button", name="Acknowledge")).to_be_focused()
    await tab.keyboard.press("Enter")
    await dialog.get_by_label("Comment").fill("<b>fan</b> replaced")
    await dialog.get_by_role("button", name="Acknowledge").click()
    await expect(row.locator("[data-part=said]")).to_contain_text(": “<b>fan</b> replaced”")
    await expect(row.get_by_role("button", name="Acknowledge")).to_be_hidden()
    await row.get_by_role("button", name="Silence").click()
    await tab.screenshot(path=ARTIFACTS / "page-silence.png")
    await dialog.get_by_label("For").select_option("4 hours")
    await dialog.get_by_role("button", name="Silence").click()
    await expect(row.locator("[data-part=said]")).to_contain_text("Silenced")
    await desk.send(device, 90)  # an event that says nothing of silences must not lift it on the page
    await tab.get_by_role("link", name="Silences").click()
    silence = tab.locator(".silence").filter(has_text=device)
    await expect(silence).to_contain_text("3 h left")
    await silence.get_by_role("button", name="End now").click()
    await dialog.get_by_role("button", name="End it").click()
    await expect(silence.get_by_role("button")).to_have_count(0)
    await tab.go_back()
    await expect(row.locator("[data-part=said]")).not_to_contain_text("Silenced")


async def test_alerts_are_chosen_by_an_address_and_older_ones_are_read(desk: Desk) -> None:
    tab = await desk.enter(path="#/alerts")
    hot, warm = f"kiln-{uuid4().hex[:8]}", f"belt-{uuid4().hex[:8]}"
    await fire(desk, hot, tab, "critical")
    await fire(desk, warm, tab)
    firing, resolved = tab.locator("#firing .alert"), tab.locator("#resolved .alert")
    await expect(firing.first).to_have_attribute("data-device", hot)
    await tab.get_by_label("Device").fill(f"{warm[:8]}*")
    await expect(firing).to_have_count(1)
    await expect(firing).to_have_attribute("data-device", warm)
    await tab.get_by_label("Severity").select_option("critical")
    await expect(tab.get_by_text("Nothing that you chose is firing.")).to_be_visible()
    assert tab.url.endswith(f"#/alerts?severity=critical&device={warm[:8]}*")
    await tab.reload()
    await expect(tab.get_by_label("Device")).to_have_value(f"{warm[:8]}*")
    await tab.get_by_label("Device").fill(hot)
    await expect(firing).to_have_attribute("data-device", hot)
    await desk.send(hot, 20)
    await expect(firing).to_have_count(0)
    await expect(resolved).to_have_attribute("data-device", hot)


async def test_who_may_only_read_is_offered_nothing_to_press(desk: Desk) -> None:
    tab = await desk.enter(viewport=PHONE, path="#/alerts", key=await desk.server.key("read"))
    device = f"mill-{uuid4().hex[:8]}"
    await fire(desk, device, tab)
    row = tab.locator(f'#firing .alert[data-device="{device}"]')
    await expect(row.get_by_role("button")).to_have_count(0)
    assert await overflow(tab) == 0
    await tab.get_by_role("link", name="Silences").click()
    await expect(tab.get_by_role("button", name="New silence")).to_have_count(0)


async def test_a_silence_is_begun_for_what_is_known_and_refused_for_nonsense(desk: Desk) -> None:
    tab = await desk.enter(viewport=PHONE, scheme="dark", path="#/silences")
    device = f"pump-{uuid4().hex[:8]}-*"
    await tab.get_by_role("button", name="New silence").click()
    dialog = tab.get_by_role("dialog")
    await dialog.get_by_label("Device").fill(" no name ")
    with desk.tolerating("422"):
        await dialog.get_by_role("button", name="Silence").click()
        await expect(dialog.get_by_role("alert")).to_contain_text("device")
    await dialog.get_by_label("Device").fill(device)
    await dialog.get_by_label("Comment").fill("maintenance")
    await dialog.get_by_role("button", name="Silence").click()
    await expect(tab.locator(".silence").filter(has_text=device)).to_contain_text("maintenance")
    assert await overflow(tab) == 0
    await tab.screenshot(path=ARTIFACTS / "page-silences-phone-dark.png")


async def test_a_storm_is_drawn_together_and_a_load_asked_for_meanwhile_is_made_up_for(desk: Desk) -> None:
    tab = await desk.open()
    drawn, asked = await tab.evaluate(
        """async () => {
            const {Alerts} = await import('/dashboard/alerts.js');
            let [drawn, asked, hear] = [0, 0, null];
            const answer = {items: [], next: null};
            const api = {get: async () => (asked++, await new Promise((resolve) => setTimeout(resolve, 100)), answer)};
            const live = {hold: () => () => {}, state: {name: 'live'}, subscribe: (name, told) => (hear = told)};
            const alerts = new Alerts(api, live);
            alerts.start({tick: () => {}}, new AbortController().signal);
            hear.onSubscribed(false); // what the load under way read may be from before
            alerts.addEventListener('change', () => drawn++);
            for (let id = 1; id <= 1000; id++)
                hear.onData({event: 'firing', alert: {id, state: 'firing', severity: 'info', device: 'd', rule: {}}});
            while (drawn < 2) await new Promise((resolve) => setTimeout(resolve, 20));
            return [drawn, asked];
        }"""
    )
    assert (drawn, asked) == (2, 4)  # twice the two lists; a change for what the second said, and one for the thousand


async def test_a_storm_that_is_over_leaves_no_hole_in_what_is_resolved(desk: Desk) -> None:
    """Events keep the newest 50; 70 come, and in between is what nobody told."""
    tab = await desk.open()
    shown = await tab.evaluate(
        """async () => {
            const {Alerts} = await import('/dashboard/alerts.js');
            const {mount} = await import('/dashboard/views/alerts.js');
            const alert = (id) => ({
                id, state: 'resolved', severity: 'info', device: `${id}`,
                metric: 'm', labels: {}, rule: {id: 1, name: 'r'},
                fired_at: new Date(id * 1e3).toISOString(), resolved_at: new Date(id * 1e3).toISOString(),
            });
            const server = Array.from({length: 60}, (_, id) => alert(id)).reverse();
            const answer = (state, limit) => ({items: state === 'resolved' ? server.slice(0, limit) : [], next: null});
            const api = {get: async (path, {state, limit} = {}) => answer(state, limit)};
            let hear;
            const live = {hold: () => () => {}, subscribe: (name, told) => (hear = told)};
            const clock = {now: () => Date.now(), tick: (callback) => setInterval(callback, 100)};
            const {signal} = new AbortController();
            const alerts = new Alerts(api, live);
            alerts.start(clock, signal);
            const session = {has: () => false, key: {device_glob: null}};
            const root = document.createElement('div');
            await mount(root, {alerts, api, clock, session, signal, query: new URLSearchParams(), navigate: () => {}});
            const now = performance.now.bind(performance);
            performance.now = () => now() + 11e3;
            for (let id = 60; id < 130; id++) {
                server.unshift(alert(id));
                hear.onData({event: 'resolved', alert: alert(id)});
            }
            const ids = () => [...root.querySelectorAll('#resolved .alert')].map(({dataset}) => Number(dataset.device));
            const whole = () => ids()[0] === 129 && ids().every((id, place) => id === 129 - place);
            for (let turn = 0; turn < 100 && !whole(); turn++) await new Promise((resolve) => setTimeout(resolve, 100));
            return [whole(), ids().length];
        }"""
    )
    assert shown == [True, 50]
