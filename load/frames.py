"""`python -m load.frames`: how smoothly a browser draws a device of 20 series, each updated five times a second.

Starts a server of its own in a temporary folder, and Chromium (Debian's package, driven by Playwright); prints one JSON
object. A frame is what `requestAnimationFrame` gives, a long task what `PerformanceObserver` calls one: 50 ms and more.
"""

import asyncio
import shutil
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from playwright.async_api import CDPSession, Page, async_playwright, expect

from load.audience import say
from load.bench.sluice import Sluice, started
from load.bench.subject import SubjectError

DEVICE = "frames-1"
HISTORY_S = 900  # one reading a second of each series
EVERY_S = 0.2
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
)
WIDTH, HEIGHT = 1_920, 1_700  # so large that all charts are within sight at once: the worst there is
IDLE = """async (ms) => {
    const begun = await new Promise(requestAnimationFrame);
    let [now, frames] = [begun, 0];
    for (; now - begun < ms; frames++) now = await new Promise(requestAnimationFrame);
    return 1000 * frames / (now - begun);
}"""
MEASURE = """async (ms) => {
    const tasks = [];
    const observer = new PerformanceObserver((list) => tasks.push(...list.getEntries().map(({duration}) => duration)));
    observer.observe({type: "longtask"});
    const newest = () => document.querySelector(".chart").series[0].newest.ts;
    const frames = [];
    let [before, updates, last] = [await new Promise(requestAnimationFrame), 0, newest()];
    for (const end = before + ms; before < end;) {
        const now = await new Promise(requestAnimationFrame);
        frames.push(now - before);
        before = now;
        if (newest() !== last) [updates, last] = [updates + 1, newest()];
    }
    observer.disconnect();
    return {frames, tasks, updates};
}"""


async def measure(subject: Sluice, series: int, seconds: float) -> dict[str, Any]:
    """The figures of one run."""
    now = time.time_ns() // 1_000_000
    for number in range(series):
        times = [now - 1_000 * back for back in range(HISTORY_S, 0, -1)]
        values = [50 + 10 * ((at // 60_000) % 2) + at % 7_000 / 1_000 for at in times]
        await _send(subject, {"device": DEVICE, "ts": times, "values": {f"metric_{number:02}": values}})
    feeding = asyncio.create_task(_feed(subject, series))
    try:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
            tab = await browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
            await tab.goto(f"{subject.url}/#/devices/{DEVICE}")
            await asyncio.sleep(1)
            idle = await tab.evaluate(IDLE, 2_000)  # nobody is signed in yet: what this machine's browser can at all
            await _open(tab, subject, series)
            devtools = await tab.context.new_cdp_session(tab)
            await devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
            used = await _cpu_s(devtools)
            found = await tab.evaluate(MEASURE, seconds * 1_000)
            used = await _cpu_s(devtools) - used
            sight = await tab.locator(".chart canvas").count()
            await browser.close()
    finally:
        feeding.cancel()
        await asyncio.wait([feeding])
    frames = sorted(found["frames"])
    return {
        "series": series,
        "charts_drawn": sight,
        "seconds": seconds,
        "updates_per_s": round(found["updates"] / seconds, 1),
        "idle_frames_per_s": round(idle, 1),
        "frames_per_s": round(1_000 * len(frames) / sum(frames), 1),
        "main_thread_cpu_share": round(used / seconds, 3),
        "frame_ms_p95": round(frames[int(len(frames) * 0.95)], 1),
        "frame_ms_worst": round(frames[-1], 1),
        "long_tasks": len(found["tasks"]),
        "long_task_ms_worst": round(max(found["tasks"], default=0)),
    }


async def _open(tab: Page, subject: Sluice, series: int) -> None:
    await tab.get_by_label("API key").fill(subject.admin_key)
    await tab.get_by_role("button", name="Sign in").click()
    await expect(tab.locator(".chart canvas")).to_have_count(series, timeout=60_000)
    await expect(tab.locator("#connection")).to_have_attribute("data-state", "live", timeout=60_000)
    await asyncio.sleep(2)  # until what was loaded is drawn


async def _cpu_s(devtools: CDPSession) -> float:
    """CPU that tasks of the main thread used so far: unlike frames, it depends on nobody else who computes."""
    metrics = (await devtools.send("Performance.getMetrics"))["metrics"]
    return float(next(each["value"] for each in metrics if each["name"] == "TaskDuration"))


async def _feed(subject: Sluice, series: int) -> None:
    while True:
        at = time.time_ns() // 1_000_000
        values = {f"metric_{number:02}": [50 + at % 7_000 / 1_000] for number in range(series)}
        await _send(subject, {"device": DEVICE, "ts": [at], "values": values})
        await asyncio.sleep(EVERY_S)


async def _send(subject: Sluice, batch: dict[str, Any]) -> None:
    headers = {"Authorization": f"Bearer {subject.admin_key}"}
    async with subject.http.post(f"{subject.url}/v1/readings", json=batch, headers=headers) as response:
        if response.status != 200:
            raise SubjectError(await response.text())


def main(
    series: Annotated[int, typer.Option(help="Of the device, each in a chart of its own.")] = 20,
    seconds: Annotated[float, typer.Option(help="How long frames are counted.")] = 5,
) -> None:
    """Draw a device in a browser while it is updated five times a second; print frames and long tasks as JSON."""

    async def run() -> dict[str, Any]:
        with tempfile.TemporaryDirectory(prefix="sluice-frames-") as folder:
            async with started(Path(folder), 1, None, {}, rules=0) as subject:
                return await measure(subject, series, seconds)

    say(asyncio.run(run()))


if __name__ == "__main__":
    typer.run(main)
