"""The figures of the node: what `/v1/system` counts, and what a person sees of it under load."""

import asyncio
import re
import time
from typing import Any

from playwright.async_api import Locator, expect

from tests.acceptance.browsing import ARTIFACTS, Desk, browser, desk, needs_chromium
from tests.conftest import Server

__all__ = ("browser", "desk")


async def until(server: Server, met: Any) -> dict[str, Any]:
    """The first sample of which `met` is true; a sample may be a second old, and another worker's."""
    async with asyncio.timeout(30):
        while True:
            status, sample = await server.call("GET", "/v1/system")
            assert status == 200
            if met(sample):
                return dict(sample)
            await asyncio.sleep(0.2)


async def test_a_sample_is_of_all_workers_together(shared_server: Server) -> None:
    before = await until(shared_server, lambda sample: len(sample["workers"]) == 2)
    now = time.time_ns() // 1_000_000
    for number in range(10):
        rows = [{"ts": now + row, "metric": "m", "value": row} for row in range(100)]
        assert (await shared_server.write({"device": f"sampled-{number}", "readings": rows}))[0] == 200
    assert (await shared_server.write({"device": "sampled", "readings": "none"}))[0] == 422
    counted = before["written"]["accepted"] + 1_000
    after = await until(shared_server, lambda sample: sample["written"]["accepted"] >= counted and sample["refused"])
    assert after["written"]["accepted"] == counted
    assert {"status": "422", "code": "invalid", "count": 1} in after["refused"]
    assert after["latency"]["stored"]["counts"][-1] > before["latency"]["stored"]["counts"][-1]
    assert after["queue"]["rows_limit"] == 400_000
    assert {worker["pid"] for worker in after["workers"]} == set(shared_server.supervisor.pids)
    assert all(worker["resident_bytes"] > 1 << 20 for worker in after["workers"])
    assert after["asked"]["ready"]
    assert after["redis"]["hearing"] <= 2


async def test_whoever_asks_often_is_told_the_same(shared_server: Server) -> None:
    """A sample reads the files of all workers, on the loop that stores readings: once a second each, at most."""
    started = time.monotonic()
    samples = [(await shared_server.call("GET", "/v1/system"))[1] for _ in range(100)]
    workers = {sample["asked"]["worker"] for sample in samples}
    taken = {(sample["asked"]["worker"], sample["at"]) for sample in samples}
    assert len(taken) <= len(workers) * (2 + (time.monotonic() - started))


async def figure(panel: Locator, name: str) -> float:
    """The number that begins a figure; 0 while there is none."""
    text = await panel.locator(f'[data-figure="{name}"]').inner_text()
    found = re.match(r"[\d,.]+", text)
    return float(found[0].replace(",", "")) if found else 0.0


@needs_chromium
async def test_figures_move_under_load(desk: Desk) -> None:
    tab = await desk.enter(path="#/system")
    view = tab.locator("[data-view=system]")
    await expect(view.locator('[data-service="PostgreSQL"][data-well=true]')).to_be_visible()
    await expect(view.locator('[data-service="Redis"][data-well=true]')).to_be_visible()
    await expect(view.locator("[data-part=source]")).to_contain_text("all 2 of its workers")
    async with asyncio.timeout(40):
        while not (await figure(view, "accepted") and await figure(view, "p99")):
            await desk.send("loaded", 1)
            await asyncio.sleep(0.1)
    total = await figure(view, "total")
    async with asyncio.timeout(40):
        while await figure(view, "total") <= total:
            await desk.send("loaded", 2)
            await asyncio.sleep(0.1)
    assert await view.locator("polyline.line-1").first.get_attribute("points")
    await expect(view.get_by_role("row", name="422 invalid")).to_be_visible()
    await tab.screenshot(path=ARTIFACTS / "page-system.png", full_page=True)
