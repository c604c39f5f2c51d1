"""`python -m load.fanout`: one alert to thousands of dashboards on one worker: what each costs and waits.

Starts a server of its own in a temporary folder and prints one JSON object. `last_ms` is from the moment the reading is
sent, COMMIT included, to the moment the last of the subscribers has the event.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from load.audience import PATIENCE_S, TOKEN, raise_file_limit, say
from load.bench import proc
from load.bench.sluice import Sluice, rule, started
from load.bench.subject import SubjectError

DEVICES, METRIC, LIMIT = "fanout-*", "temperature", 80.0
REST_S = 1.0  # until the server has done what it does after connecting
BETWEEN_S = 0.2  # two alerts


async def measure(subject: Sluice, subscribers: int, rounds: int) -> dict[str, Any]:
    """The figures of one run."""
    (worker,) = subject.workers()
    await subject.post("/v1/rules", rule("fanout", METRIC, LIMIT) | {"device": DEVICES})
    token = (await subject.post("/v1/keys", {"name": "fanout", "scopes": ["read"]}))["key"]
    await asyncio.sleep(REST_S)
    for number in range(rounds):  # each round is another device's first alert: one that comes and goes is flapping
        await _post(subject, number, LIMIT - 1)
    before = proc.memory(worker)["rss"]
    crowd = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "load.audience", subject.url, str(subscribers)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {TOKEN: token},
    )
    try:
        await _heard(crowd)
        await asyncio.sleep(REST_S)
        kb = (proc.memory(worker)["rss"] - before) * 1_024 / subscribers
        cpu_us, told = [], []
        for number in range(rounds):
            began, used = time.perf_counter(), _cpu_ns(worker)
            await _post(subject, number, LIMIT + 1)
            heard = await _heard(crowd)
            if heard["at"][0] < began:
                raise SystemExit(f"an event that nobody sent: {heard}")
            told.append([(at - began) * 1e3 for at in heard["at"]])
            cpu_us.append((_cpu_ns(worker) - used) / 1e3 / subscribers)
            await asyncio.sleep(BETWEEN_S)
    finally:
        if crowd.stdin is not None:
            crowd.stdin.close()
        await crowd.wait()
    first, half, last = (round(statistics.median(times), 1) for times in zip(*told, strict=True))
    return {
        "subscribers": subscribers,
        "rounds": rounds,
        "cpu_us_a_subscriber": round(statistics.median(cpu_us), 2),
        "first_ms": first,
        "half_ms": half,
        "last_ms": last,
        "worst_last_ms": round(max(times[2] for times in told), 1),
        "kb_a_connection": round(kb, 1),
    }


async def _heard(crowd: asyncio.subprocess.Process) -> dict[str, Any]:
    async with asyncio.timeout(PATIENCE_S):
        text = await crowd.stdout.readline() if crowd.stdout else b""
    line: dict[str, Any] = json.loads(text or "{}")
    if line.get("lost", 1) or line["skipped"]:
        raise SystemExit(f"the crowd is not whole: {line}")
    return line


async def _post(subject: Sluice, number: int, value: float) -> None:
    reading = {"ts": time.time_ns() // 1_000_000, "metric": METRIC, "value": value}
    headers = {"Authorization": f"Bearer {subject.key}"}
    body = {"device": DEVICES.replace("*", str(number)), "readings": [reading]}
    async with subject.http.post(f"{subject.url}/v1/readings", json=body, headers=headers) as response:
        if response.status != 200:
            raise SubjectError(await response.text())


def _cpu_ns(pid: int) -> int:
    """CPU its threads used so far; `schedstat` counts nanoseconds where `stat` counts hundredths of a second."""
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat"))


def main(
    subscribers: Annotated[int, typer.Option(help="Dashboards, all on one worker.")] = 5_000,
    rounds: Annotated[int, typer.Option(help="Alerts, one after the other; the figures are medians.")] = 20,
) -> None:
    """Fan one alert out to many idle subscribers of one worker; print CPU, latency and memory as JSON."""
    raise_file_limit()

    async def run() -> dict[str, Any]:
        with tempfile.TemporaryDirectory(prefix="sluice-fanout-") as folder:
            async with started(Path(folder), 1, None, {}, rules=0) as subject:
                return await measure(subject, subscribers, rounds)

    say(asyncio.run(run()))


if __name__ == "__main__":
    typer.run(main)
