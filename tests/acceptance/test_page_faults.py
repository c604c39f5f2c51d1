"""What the page once did wrong, in a real browser: answers that do not come, others' changes, odd names."""

import json
import re
import time
from uuid import uuid4

from playwright.async_api import Route, WebSocketRoute, expect

from tests.acceptance.browsing import Desk, browser, desk, needs_chromium, paste

__all__ = ("browser", "desk")

pytestmark = needs_chromium

SECRET = "[data-part=secret]"
LEAVE = "dispatchEvent(new Event('beforeunload', {cancelable: true}))"  # False: the page asks whether to go


async def test_a_key_that_is_being_made_is_shown_whatever_is_pressed(desk: Desk) -> None:
    tab = await desk.enter(path="#/fleet")
    await tab.get_by_role("link", name="Keys").click()
    await tab.get_by_role("button", name="New key").click()
    await tab.locator("input[name=name]").fill(f"hasty {uuid4().hex[:6]}")
    held: list[Route] = []

    async def hold(route: Route) -> None:
        held.append(route)

    await tab.route("**/v1/keys", hold)
    await tab.get_by_role("button", name="Make key").click()
    await expect(tab.get_by_role("button", name="Make key")).to_be_disabled()
    await expect(tab.get_by_role("button", name="Cancel")).to_be_disabled()
    for _ in range(3):
        await tab.keyboard.press("Escape")
    for route in held:
        await route.continue_()
    await tab.unroute("**/v1/keys")
    await expect(tab.locator(SECRET)).to_have_text(re.compile("^slk_"))
    for _ in range(3):
        await tab.keyboard.press("Escape")
    await tab.go_back()
    await expect(tab.locator("[data-view=fleet]")).to_be_attached()
    await expect(tab.locator(SECRET)).to_be_visible()
    assert not await tab.evaluate(LEAVE)
    await tab.get_by_role("button", name="I have stored it").click()
    await expect(tab.locator(SECRET)).to_have_count(0)
    assert await tab.evaluate(LEAVE)


async def test_what_cannot_be_read_is_said_and_tried_again(desk: Desk) -> None:
    tab = await desk.enter(path="#/alerts")
    await expect(tab.locator("#view > .view:not([aria-busy])")).to_be_visible()
    notice = tab.locator("#view .notice")
    for address, refused, view in (
        ("#/alerts", "**/v1/alerts?*state=resolved*", "alerts"),
        ("#/silences", "**/v1/silences?*", "silences"),
    ):
        with desk.tolerating("503"):
            await tab.route(refused, lambda route: route.fulfill(status=503, json={"detail": "away"}))
            await tab.goto(f"{desk.server.url}/{address}")
            await expect(tab.locator(f"[data-view={view}]")).to_be_visible()
            if view == "alerts":
                await tab.get_by_label("Severity").select_option("critical")
            await expect(notice).to_contain_text("The page keeps trying")
            await tab.unroute(refused)
            await expect(notice).to_be_hidden()


async def test_lists_follow_what_others_change(desk: Desk) -> None:
    name = f"other-{uuid4().hex[:8]}"
    rules, silences = await desk.enter(path="#/rules?q=what?is"), await desk.enter(path="#/silences")
    await expect(rules.get_by_label("Find a rule")).to_have_value("what?is")
    await rules.get_by_label("Find a rule").fill(name)
    condition = {"type": "threshold", "levels": [{"severity": "info", "above": 70}]}
    annotations = {"a=b": "one\ntwo", "path": "C:\\new", " ": "", "quoted": '"x"'}
    rule = {"name": name, "device": name, "metric": "m", "condition": condition, "annotations": annotations}
    await desk.post("/v1/rules", rule)
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3_600))
    await desk.post("/v1/silences", {"device": name, "metric": "*", "until": until})
    await expect(rules.locator(".rule").filter(has_text=name)).to_be_visible()
    await expect(silences.locator(".silence").filter(has_text=name)).to_be_visible()
    await rules.get_by_role("link", name=name).click()
    await rules.get_by_role("button", name="Save").click()
    await expect(rules.get_by_role("heading", level=1, name="Rules")).to_be_visible()
    _, stored = await desk.server.call("GET", "/v1/rules")
    assert [each["annotations"] for each in stored["items"] if each["name"] == name] == [annotations]


async def test_a_query_says_what_is_empty_and_a_slow_answer_teaches_no_time(desk: Desk) -> None:
    tab = await desk.open()
    said, slow, quick = await tab.evaluate(
        """async () => {
            const {withQuery} = await import('/dashboard/api.js');
            const {Clock} = await import('/dashboard/clock.js');
            const clock = new Clock();
            const hour = new Date(Date.now() + 3600e3).toUTCString();
            const ahead = () => Math.round((clock.now() - Date.now()) / 3600e3);
            clock.learn(hour, Date.now() - 8000);
            const slow = ahead();
            clock.learn(hour, Date.now() - 100);
            return [withQuery('/x', {'labels.site': '', none: null, each: ['a', 'b']}), slow, ahead()];
        }"""
    )
    assert (said, slow, quick) == ("/x?labels.site=&each=a&each=b", 0, 1)


async def test_more_than_a_thousand_alerts_are_counted(desk: Desk) -> None:
    tab = await desk.open()
    counts = await tab.evaluate(
        """async () => {
            const {Alerts} = await import('/dashboard/alerts.js');
            const count = async (most) => {
                const api = {get: async (path, {state, limit, cursor = 0}) => {
                    const length = state === 'firing' ? Math.min(limit, most - cursor) : 0;
                    const ids = Array.from({length}, (_, place) => cursor + place);
                    const next = cursor + ids.length < most && ids.length ? cursor + ids.length : null;
                    return {items: ids.map((id) => ({id, state, severity: 'info', device: 'd', rule: {id: 1}})), next};
                }};
                const alerts = new Alerts(api, {hold: () => () => {}, subscribe: () => {}});
                alerts.start({tick: () => {}}, new AbortController().signal);
                await new Promise((resolve) => alerts.addEventListener('change', resolve));
                return alerts.count;
            };
            return [await count(0), await count(2500), await count(20000)];
        }"""
    )
    assert counts == ["0", "2500", "10000+"]


async def test_a_chart_on_a_very_wide_screen_is_loaded(desk: Desk) -> None:
    device = f"wall-{uuid4().hex[:8]}"
    await desk.send(device, 21.5)
    tab = await desk.enter(viewport={"width": 3_000, "height": 700}, path=f"#/devices/{device}")
    series = "document.querySelector('.chart')?.series[0]"
    await tab.wait_for_function(f"() => {series}?.pixels > 2500 && {series}.level === 0")
    assert await tab.evaluate(f"[{series}.problem, {series}.size]") == ["", 1]


async def test_a_device_whose_live_values_do_not_come_is_read_now_and_then(desk: Desk) -> None:
    """As while Redis is away; here because the subscription is refused, which is told."""
    device = f"mute-{uuid4().hex[:8]}"
    await desk.send(device, 1)
    tab = await desk.open(path=f"#/devices/{device}")

    def refuse(socket: WebSocketRoute) -> None:
        there = socket.connect_to_server()

        def pass_on(message: str | bytes) -> None:
            for line in str(message).splitlines():
                command = json.loads(line)
                if command.get("subscribe", {}).get("channel", "").startswith("readings:"):
                    socket.send(
                        json.dumps({"id": command["id"], "error": {"code": 103, "message": "permission denied"}})
                    )
                else:
                    there.send(line)

        socket.on_message(pass_on)

    await tab.route_web_socket(re.compile("/ws"), refuse)
    await paste(tab, desk.server.admin_key)
    values = "() => document.querySelector('.chart')?.series[0].points().map(({avg}) => avg).join()"
    await tab.wait_for_function(f"() => ({values})() === '1'")
    await expect(tab.locator(".notice").filter(has_text="Live values were refused")).to_be_visible()
    await desk.send(device, 2)
    await tab.evaluate("const now = performance.now.bind(performance); performance.now = () => now() + 11e3")
    await expect(tab.locator(".chart .newest")).to_have_text("2")
    await tab.wait_for_function(f"() => ({values})() === '1,2'")


async def test_only_frames_that_came_late_are_followed_by_rest_and_none_by_the_end(desk: Desk) -> None:
    tab = await desk.open()
    drawn = await tab.evaluate(
        """async () => {
            const {frames} = await import('/dashboard/charts/frames.js');
            let [now, run, drawn] = [5e3, null, 0];
            globalThis.requestAnimationFrame = (next) => (run = next, 1);
            performance.now = () => now;
            const ending = new AbortController();
            const want = frames(ending.signal);
            const after = (ms) => {
                const due = run;
                [run, now] = [null, now + ms];
                due?.(now);
                return drawn;
            };
            const wanted = (ms) => (want(() => drawn++), after(ms));
            const first = wanted(16);
            now += 200; // nothing to draw
            const seen = [first, wanted(16), wanted(100), after(16)];
            for (let frame = 0; frame < 8; frame++) after(16);
            seen.push(drawn);
            const again = () => drawn++;
            for (let frame = 0; frame < 8; frame++) { // where all frames come late, every other one is drawn in
                want(again);
                after(40);
            }
            seen.push(drawn);
            ending.abort();
            return [...seen, wanted(16)];
        }"""
    )
    assert drawn == [1, 2, 2, 2, 3, 7, 7]


async def test_nobody_says_that_nothing_fires_who_does_not_know(desk: Desk) -> None:
    device = f"dim-{uuid4().hex[:8]}"
    await desk.send(device, 1)
    tab = await desk.enter(path="#/fleet")
    away = re.compile("/v1/(alerts|rules)[?]|/v1/rules$")
    with desk.tolerating("503"):
        await tab.route(away, lambda route: route.fulfill(status=503, json={"detail": "away"}))
        await tab.goto(f"{desk.server.url}/#/devices/{device}")
        await expect(tab.locator(".device-head .tag")).to_have_text("alerts not known")
        await expect(tab.get_by_role("region", name="Alerts")).to_contain_text(
            re.compile("Alerts –.*Alerts not known[.]")
        )
        await expect(tab.locator("#view .notice")).to_contain_text("The page keeps trying")
        await tab.unroute(away)
        await expect(tab.locator(".device-head .tag")).to_have_text("nothing fires")
        await expect(tab.locator("#view .notice")).to_be_hidden()


async def test_a_device_that_falls_silent_as_its_row_moves_looks_silent(desk: Desk) -> None:
    """Chromium forgets what an attribute's change means for what is below an element that is moved at once."""
    name = f"hush-{uuid4().hex[:6]}"
    for number in (1, 2):
        await desk.send(f"{name}-{number}", 1)
    tab = await desk.enter(path=f"#/fleet?q={name}")
    await expect(tab.locator(".device")).to_have_count(2)
    before, after = await tab.evaluate(
        """() => {
            const [above, row] = document.querySelectorAll(".device");
            const look = () => [".tag", ".shape", "b"].map((part) => getComputedStyle(row.querySelector(part)).color);
            const fine = look();
            row.dataset.kind = "silent";
            row.parentNode.moveBefore?.(row, above); // as the library of trees does it, where there is such a thing
            return [fine, look()];
        }"""
    )
    assert before[1] != before[0]
    assert set(after) == {before[0]}
