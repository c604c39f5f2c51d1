"""Redis goes away under load: nobody who writes notices, and who watches is served within two seconds.

In the ordinary run it is away for a minute, killed for half of it and frozen for the other half, under a load so
light that other tests can run beside it (and make it late); in the long one for ten minutes under much more.
"""

import asyncio
import itertools
import json
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from load.device import Device
from server.local import LocalValkey
from tests.acceptance.dashboard import Dashboard, dashboards
from tests.acceptance.traffic import DAY_US, Fleet, batches
from tests.conftest import Server, StartServer
from tests.faults.posters import Poster, last_offset, posters

SERVED_S, LATE_S = 2.0, 6.0
"""From COMMIT to every subscriber (contract §7); and where others use the machine, too."""
PAUSE_S = 0.2
"""Between two transitions."""
TURN_S = 5.0
"""So long transitions are made on one worker; longer than any may take to be served on the other."""
EACH = 5
"""Dashboards on each worker."""
DEVICES = 20
LIGHT_S, HEAVY_S = 0.4, 0.04
"""Between two batches of a device: of all, 50 requests and 1,000 readings a second, or ten times as many."""


@pytest.mark.parametrize("how", ["killed", "frozen"])
@pytest.mark.parametrize(
    ("away_s", "pause_s"),
    [(30, LIGHT_S), pytest.param(300, HEAVY_S, marks=[pytest.mark.alone, pytest.mark.long, pytest.mark.timeout(900)])],
)
async def test_redis_is_away(
    start_server: StartServer, valkey: LocalValkey, how: str, away_s: float, pause_s: float
) -> None:
    server = await start_server(redis_url=valkey.url)
    key = await server.key("read")
    async with (
        posters(server) as devices,
        dashboards(server.url, key, server.supervisor.pids, EACH) as watching,
        fleet_at_work(server, pause_s) as fleet,
    ):
        before = await last_offset(server)
        if how == "killed":
            valkey.kill()
        else:
            valkey.freeze()
        until = time.monotonic() + away_s
        # In turns: a worker that makes events itself notices sooner that it lacks others.
        for device in itertools.cycle(devices):
            await cross_until(device, min(until, time.monotonic() + TURN_S))
            if time.monotonic() >= until:
                break
        crossings = sum(len(device.statuses) for device in devices)
        events = await last_offset(server) - before  # with those that tell of flapping
        assert events >= crossings
        await asyncio.gather(*(dashboard.has(events) for dashboard in watching))
        lags = sorted(lag for dashboard in watching for lag in delays(dashboard, devices))
        valkey.thaw()
    assert {status for device in devices for status in device.statuses} == {200}
    assert set(fleet.answers) == {200}, fleet.answers
    fleet.check_answers()
    findings = await fleet.findings(server.database_url)
    assert findings.exact, findings
    for dashboard in watching:
        assert dashboard.offsets == list(range(before + 1, before + events + 1))
    figures = {
        "away_s": away_s,
        "requests": sum(fleet.answers.values()),
        "transitions": crossings,
        "lag_median_s": round(statistics.median(lags), 3),
        "lag_most_s": round(lags[-1], 3),
    }
    sys.stdout.write(json.dumps({f"redis {how}": figures}) + "\n")
    assert statistics.median(lags) <= SERVED_S, figures
    assert lags[-1] <= (SERVED_S if pause_s == HEAVY_S else LATE_S), figures


@asynccontextmanager
async def fleet_at_work(server: Server, pause_s: float) -> AsyncIterator[Fleet]:
    """Devices that send every so many seconds, each awaiting its answers; in the end they finish what they are at."""
    stopping = asyncio.Event()

    async def send(device: Device, number: int) -> None:
        # Two days back, so that times stay in the past.
        for batch in batches(number, time.time_ns() // 1_000 - 2 * DAY_US):
            if stopping.is_set():
                return
            await device.send([batch])
            await asyncio.sleep(pause_s)

    async with Fleet(server.url, server.admin_key) as fleet, asyncio.TaskGroup() as group:
        for number in range(DEVICES):
            group.create_task(send(fleet.device(number), number))
        yield fleet
        stopping.set()


async def cross_until(device: Poster, until: float) -> None:
    """Make transitions until the monotonic clock says so."""
    while time.monotonic() < until:
        await device.cross()
        await asyncio.sleep(PAUSE_S)


def delays(dashboard: Dashboard, devices: list[Poster]) -> list[float]:
    """Seconds from each answer to the publication; less than none where that was sooner."""
    answered = {(device.device, value): at for device in devices for value, at in device.answered.items()}
    return [
        publication.at - answered[publication.data["alert"]["device"], publication.data["alert"]["value"]]
        for publication in dashboard.publications
    ]
