"""A crowd of series, made through the door of the server: one reading each, a thousand series a request."""

import asyncio
import time

import aiohttp

from load.batch import Batch, Layout, encode
from load.bench.plan import METRICS, device_name
from load.bench.runner import Runner
from load.bench.sluice import PATH, Sluice
from load.bench.subject import SubjectError, say

DEVICES_AT_ONCE = 200  # in one request: the thousand series that the server makes in one statement
REQUESTS_AT_ONCE = 2
TRIES = 20  # of one request: a server that is busy making series may refuse others
AGAIN_S = 0.5
SAY_EVERY_S = 15.0
REST_S = 5.0  # then the server has also written down which devices it heard of


async def make(subject: Sluice, running: Runner) -> float:
    """Make every series of the runner's devices; returns how long it took, seconds."""
    began = told = time.monotonic()
    ts = running.ticks.take(1) * 1_000
    running.held[subject.name] = await subject.stored() + running.devices * len(METRICS)
    starts = list(range(0, running.devices, DEVICES_AT_ONCE))[::-1]

    async def send() -> None:
        nonlocal told
        while starts:
            first = starts.pop()
            await _send(subject, range(first, min(first + DEVICES_AT_ONCE, running.devices)), ts)
            if time.monotonic() - told > SAY_EVERY_S:
                told = time.monotonic()
                say(f"made {first * len(METRICS):,} of {running.devices * len(METRICS):,} series")

    await asyncio.gather(*(send() for _ in range(REQUESTS_AT_ONCE)))
    took = time.monotonic() - began
    await asyncio.sleep(REST_S)
    await subject.database.execute("VACUUM (ANALYZE) devices, series, newest")
    return took


async def _send(subject: Sluice, devices: range, ts: int) -> None:
    batches = [Batch(device_name(device), [ts], {metric: [0.0] for metric in METRICS}) for device in devices]
    body = encode(batches, Layout.COLUMNS)
    headers = {"Authorization": f"Bearer {subject.key}", "Content-Type": "application/json"}
    said = ""
    for _ in range(TRIES):
        try:
            async with subject.http.post(subject.url + PATH, data=body, headers=headers) as response:
                if response.status == 200:
                    return
                said = f"{response.status}: {await response.text()}"
        except (aiohttp.ClientError, TimeoutError) as error:
            said = repr(error)
        await asyncio.sleep(AGAIN_S)
    raise SubjectError(f"the series could not be made: {said}")
