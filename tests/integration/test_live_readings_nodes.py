"""`readings:<device>` of several nodes: what one watches the others know, and forget in time; and Redis may be away."""

import asyncio
import signal
from functools import partial
from pathlib import Path

import pytest

from alerts.live import interest
from tests.integration.faults import Redis, pair
from tests.integration.live import Client, running
from tests.integration.viewing import T, readings, stored, until


async def test_readings_come_from_every_worker(database: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interest, "TELL_S", 600)  # the repetition shall not help
    monkeypatch.setattr(interest, "FORGET_S", 600)
    one, two = pair(database, redis_url, database)
    async with running(one, two):
        await one.until("bus.healthy")
        await two.until("bus.healthy")
        client = await Client.connected(one)
        await client.subscribe("readings:pump-1", data={"max_rate": 20})
        for device in ("pump-1", "pump-2", "pump-3"):
            if device != "pump-1":
                await client.subscribe(f"readings:{device}")
            await until(partial(two.readings.watched.__contains__, device))
        two.readings.stored(stored(2.0))
        assert [each["value"] for each in await readings(client)] == [2.0]
        one.readings.stored(stored(1.0, at=T - 1))
        two.readings.stored(stored(3.0, at=T + 1))
        assert [each["value"] for each in await readings(client)] == [3.0]
        assert await client.silent()
        two.bus.publish(b'{"device":"pump-1","readings":[["t","rubbish",1,1]]}', "readings")
        two.bus.publish(b'{"device":"pump-1","readings":[["t","{}",99999999999999999999,1]]}', "readings")
        two.bus.publish(b'[{"x":1}]', "watching")
        assert await client.silent()


async def test_the_interest_of_a_node_that_is_gone_ends(
    database: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert interest.FORGET_S + interest.SWEEP_S < 12
    assert interest.FORGET_S > 3 * interest.TELL_S, "three lost messages do not end it"
    for name, seconds in (("FORGET_S", 1.0), ("TELL_S", 0.1), ("SWEEP_S", 0.05)):
        monkeypatch.setattr(interest, name, seconds)
    one, two = pair(database, redis_url, database)
    async with running(one):
        await one.until("bus.healthy")
        async with running(two):
            client = await Client.connected(two)
            await client.subscribe("readings:pump-1")
            await two.until("bus.healthy")
            await until(lambda: "pump-1" in one.readings.watched)
            await asyncio.sleep(1.2)
            assert "pump-1" in one.readings.watched, "it goes on being told of"
        await until(lambda: not one.readings.watched)


async def test_redis_away_stops_only_what_comes_from_others(database: str, tmp_path: Path) -> None:
    redis = Redis(tmp_path)
    one, two = pair(database, await redis.start(), database)
    try:
        async with running(one, two):
            await one.until("bus.healthy")
            await two.until("bus.healthy")
            client = await Client.connected(one)
            await client.subscribe("readings:pump-1", data={"max_rate": 20})
            await until(lambda: "pump-1" in two.readings.watched)
            redis.signal(signal.SIGSTOP)
            await two.until("not bus.healthy")
            two.readings.stored(stored(1.0))
            one.readings.stored(stored(2.0, at=T + 1))
            assert [each["value"] for each in await readings(client)] == [2.0]
            redis.signal(signal.SIGCONT)
            await one.until("bus.healthy")
            await two.until("bus.healthy")
            two.readings.stored(stored(3.0, at=T + 2))
            assert [each["value"] for each in await readings(client)] == [3.0]
    finally:
        await redis.stop()
