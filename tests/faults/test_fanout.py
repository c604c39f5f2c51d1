"""Subscribers that come and go while Redis is killed and frozen: each gets every offset once, in order."""

import asyncio
import json
import math
import random
import secrets
import sys
import time

import pytest

from alerts.live.eventlog import HEAD
from server.local import LocalValkey
from tests.conftest import StartServer
from tests.faults.posters import last_offset, posters
from tests.faults.subscriber import Subscriber

FROZEN_S = 3.0
SERVED_S = 60.0
"""For a thousand subscribers that keep coming back; how soon one is served is another test's question."""
SETTLE_S = 2.5
"""What comes a second time comes from PostgreSQL, which is looked at within 2 s."""


@pytest.mark.parametrize(
    ("subscribers", "transitions", "stays"),
    [
        (100, 500, (1, 150)),
        pytest.param(1_000, 2_000, (1, 400), marks=[pytest.mark.long, pytest.mark.timeout(900)]),
    ],
)
async def test_every_offset_once_in_order(
    start_server: StartServer, valkey: LocalValkey, subscribers: int, transitions: int, stays: tuple[int, int]
) -> None:
    server = await start_server(redis_url=valkey.url)
    key = await server.key("read")
    seed = secrets.randbits(32)
    async with posters(server) as devices:
        (row,) = await server.fetch(HEAD)
        url = server.url.replace("http", "ws", 1) + "/ws"
        crowd = [Subscriber(url, key, random.Random(seed + n), row["epoch"]) for n in range(subscribers)]
        began = time.monotonic()
        tasks = [asyncio.create_task(each.run(stays)) for each in crowd]
        try:
            # Fifths of the transitions: Redis well, killed, back, frozen for a while, well again.
            for part in range(5):
                await asyncio.gather(
                    breaks(valkey, part),
                    *(device.cross_often(math.ceil(transitions / 5 / len(devices))) for device in devices),
                )
            total = await last_offset(server)
            await everybody_has(total, crowd, tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    assert {status for device in devices for status in device.statuses} == {200}
    moves = await server.fetch("SELECT FROM alert_events WHERE data->>'event' IN ('firing', 'resolved')")
    assert len(moves) >= transitions
    for each in crowd:
        assert each.offsets == list(range(1, total + 1)), f"seed {seed}: {wrong(each.offsets)}"
    figures = {
        "subscribers": subscribers,
        "offsets": total,
        "seconds": round(time.monotonic() - began, 1),
        "connections": sum(each.connections for each in crowd),
        "recoveries": sum(each.recoveries for each in crowd),
        "refusals": sum(each.refusals for each in crowd),
    }
    sys.stdout.write(json.dumps({"fanout under faults": figures}) + "\n")
    assert figures["connections"] > 2 * subscribers


async def breaks(valkey: LocalValkey, part: int) -> None:
    """What happens to Redis while a fifth of the transitions is made."""
    match part:
        case 1:
            valkey.kill()
        case 2:
            await valkey.start()
        case 3:
            valkey.freeze()
            await asyncio.sleep(FROZEN_S)
            valkey.thaw()


async def everybody_has(total: int, crowd: list[Subscriber], tasks: list[asyncio.Task[None]]) -> None:
    """Wait until each subscriber got as far as this, and for what may come again."""
    async with asyncio.timeout(SERVED_S):
        while any(max(each.offsets, default=0) < total for each in crowd):
            for task in tasks:
                assert not task.done(), task
            await asyncio.sleep(0.05)
    await asyncio.sleep(SETTLE_S)


def wrong(offsets: list[int]) -> str:
    """Where the offsets leave their order."""
    for place, offset in enumerate(offsets, 1):
        if offset != place:
            return f"after {offsets[max(0, place - 6) : place - 1]} came {offset}, not {place}"
    return f"ended after {len(offsets)}"
