"""`readings:<device>`: newest values, as often as was asked for and no oftener, from every worker; no stale one."""

import asyncio
import itertools
import json
import statistics
import time
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from alerts.live import readings as live
from alerts.live.limits import Limits
from schemas.columns import Columns, SeriesKey
from schemas.times import to_datetime, to_text
from tests.integration.live import PATIENCE_S, Client, Node, running
from tests.integration.viewing import T, readings, stored, until

SHORT = Limits(recheck_s=0.2, stall_s=0.5, close_s=1)


@pytest_asyncio.fixture
async def node(database: str, redis_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Node]:
    """A worker with the limits of production, or those a test asks for."""
    node = Node(database, redis_url, request.node.name, getattr(request, "param", None))
    async with running(node):
        yield node


async def test_newest_values_come_at_once(node: Node) -> None:
    client = await Client.connected(node)
    assert await client.subscribe("readings:pump-1") == {}, "neither positioned nor recoverable"
    seldom = await Client.connected(node)
    await seldom.subscribe("readings:pump-1", data={"max_rate": 0.01})  # the first one waits for no interval
    node.readings.stored(stored(1.0, 2.0, 3.0))
    node.readings.stored(stored(9.0, device="pump-2"))
    for each in (client, seldom):
        assert await readings(each) == [
            {"metric": "temperature", "labels": {}, "ts": to_text(to_datetime(T + 2_000)), "value": 3.0}
        ]
    assert await client.silent(), "the older two, and the other device, are not shown"
    assert (node.manager.subscriptions, len(node.readings)) == (2, 1)
    later = await Client.connected(node)
    await later.subscribe("readings:pump-1")
    node.readings.stored(stored(4.0, metric="pressure"))
    for each in (client, later):
        assert [reading["value"] for reading in await readings(each)] == [4.0], "what changed, and nothing of before"


async def test_no_more_frames_than_asked_for_and_the_last_is_the_newest(node: Node) -> None:
    """A thousand readings in a second, for two who want five and twenty frames of it."""
    five, twenty = await Client.connected(node), await Client.connected(node)
    await five.subscribe("readings:pump-1")
    await twenty.subscribe("readings:pump-1", data={"max_rate": 20})

    async def frames(client: Client) -> list[tuple[float, float]]:
        got: list[tuple[float, float]] = []
        while not got or got[-1][1] != 999:
            (reading,) = await readings(client)
            got.append((time.monotonic(), reading["value"]))
        return got

    async def device() -> float:
        began = time.monotonic()
        for number in range(1_000):
            node.readings.stored(stored(float(number), at=T + number))
            await asyncio.sleep(max(0, began + number / 1_000 - time.monotonic()))
        return time.monotonic() - began

    few, many, took = await asyncio.gather(frames(five), frames(twenty), device())
    for got, rate in ((few, 5), (many, 20)):
        assert 0.5 * rate * took < len(got) <= rate * took + 2
        gaps = [after[0] - before[0] for before, after in itertools.pairwise(got)]
        assert statistics.median(gaps) > 0.9 / rate, "spread, not in bursts"
        assert [value for _, value in got] == sorted(value for _, value in got)
    assert await five.silent()


async def test_a_late_reading_never_overwrites_a_newer_one(node: Node) -> None:
    client = await Client.connected(node)
    await client.subscribe("readings:pump-1", data={"max_rate": 20})
    node.readings.stored(stored(1.0))
    assert [each["value"] for each in await readings(client)] == [1.0]
    node.readings.stored(stored(0.5, at=T - 1))
    node.readings.stored(stored(7.0, metric="pressure"))
    node.readings.stored(stored(6.0, metric="pressure", at=T - 1))
    assert [each["value"] for each in await readings(client)] == [7.0]
    assert await client.silent()


async def test_metrics_that_were_not_asked_for_are_not_shown(node: Node) -> None:
    client = await Client.connected(node)
    await client.subscribe("readings:pump-1", data={"max_rate": 20, "metrics": ["pressure"]})
    node.readings.stored(stored(1.0))
    assert await client.silent()
    node.readings.stored(stored(2.0, metric="pressure"))
    node.readings.stored(stored(3.0, at=T + 1))
    assert [(each["metric"], each["value"]) for each in await readings(client)] == [("pressure", 2.0)]
    assert await client.silent()


async def test_what_cannot_be_had_is_a_bad_request(node: Node) -> None:
    client = await Client.connected(node)
    wishes: list[Any] = [{"max_rate": 0}, {"max_rate": 21}, {"metrics": ["*"]}, {"metrics": ["t"] * 65}, [], "x"]
    for data in wishes:
        assert await client.error("subscribe", {"channel": "readings:pump-1", "data": data}) == 107
    assert len(node.readings) == 0
    await client.subscribe("readings:pump-1")


async def test_too_many_devices_are_a_limit(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MAX_DEVICES", 2)
    client = await Client.connected(node)
    await client.subscribe("readings:pump-1")
    await client.subscribe("readings:pump-2")
    assert await client.error("subscribe", {"channel": "readings:pump-3"}) == 106
    await (await Client.connected(node)).subscribe("readings:pump-1")
    assert node.readings.watched == {"pump-1", "pump-2"}


async def test_the_last_who_leaves_ends_the_watching(node: Node) -> None:
    one, two = await Client.connected(node), await Client.connected(node, "pumps")
    await one.subscribe("readings:pump-1")
    await two.subscribe("readings:pump-1")
    assert (await one.ask("unsubscribe", {"channel": "readings:pump-1"}))["unsubscribe"] == {}
    node.readings.stored(stored(1.0))
    assert [each["value"] for each in await readings(two)] == [1.0]
    assert await one.silent()
    two.socket.transport.abort()
    await until(lambda: not node.readings.watched)
    assert len(node.readings) == 0
    node.readings.stored(stored(2.0, at=T + 1))


async def test_a_slow_client_gets_fewer_and_newer_readings(node: Node) -> None:
    """Stalled for half a second under a load of megabytes: what it reads then is no queue of what was."""
    client = await Client.connected(node)
    await client.subscribe("readings:pump-1", data={"max_rate": 20})
    wide = [SeriesKey("pump-1", f"metric {number}", json.dumps({"x": "y" * 150})) for number in range(1_000)]
    client.socket.transport.pause_reading()
    codes, rounds, before = np.arange(1_000, dtype=np.int32), 0, 0
    (connection,) = node.manager.connections
    async with asyncio.timeout(PATIENCE_S):
        while connection.sending_since is None or time.monotonic() - connection.sending_since < 0.5:
            rounds += 1
            if connection.sending_since is None:
                before = rounds
            node.readings.stored(Columns(wide, codes, np.full(1_000, T + rounds), np.full(1_000, float(rounds))))
            assert connection.waiting_bytes < 1_000, "nothing is queued: frames are made when they can be sent"
            await asyncio.sleep(0.01)
    client.socket.transport.resume_reading()
    values: list[float] = []
    while not values or values[-1] != rounds:
        values += {each["value"] for each in await readings(client)}
    assert values == sorted(set(values)), "each frame is newer than the one before"
    assert values[-1] - values[-2] > (rounds - before) / 2 > 3, (
        "and none of what was stored during the stall was kept for later"
    )


@pytest.mark.parametrize("node", [SHORT], indirect=True)
async def test_one_who_never_reads_is_slow(node: Node) -> None:
    client = await Client.connected(node)
    await client.subscribe("readings:pump-1", data={"max_rate": 20})
    client.socket.transport.pause_reading()
    wide = [SeriesKey("pump-1", f"metric {number}", json.dumps({"x": "y" * 150})) for number in range(1_000)]
    codes, rounds = np.arange(1_000, dtype=np.int32), 0
    async with asyncio.timeout(PATIENCE_S):
        while node.manager.connections:
            rounds += 1
            node.readings.stored(Columns(wide, codes, np.full(1_000, T + rounds), np.full(1_000, float(rounds))))
            await asyncio.sleep(0.01)
    assert node.manager.evictions == 1
    assert not node.readings.watched
    client.socket.transport.abort()
