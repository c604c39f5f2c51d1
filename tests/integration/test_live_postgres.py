"""The live side while PostgreSQL is away, frozen or restored, and how little it asks of it."""

import asyncio
import time

import asyncpg
import pytest

from tests.integration.faults import Proxy, pair, subscribers
from tests.integration.live import Client, Node, offsets, running


async def test_postgresql_away_at_the_start(database: str, redis_url: str) -> None:
    server, _, name = database.rpartition("/")
    node = Node(f"{server}/{name}_later", redis_url, name)
    await node.start()
    postgres = await asyncpg.connect(f"{server}/postgres")
    try:
        client = await Client.connected(node)
        reply = await client.ask("subscribe", {"channel": "alerts"})
        assert (reply["error"]["code"], reply["error"]["temporary"]) == (100, True)
        assert not node.feed.ready
        await postgres.execute(f'CREATE DATABASE "{name}_later" TEMPLATE "{name}"')
        await node.until("feed.ready")
        assert (await client.subscribe())["offset"] == 0
    finally:
        await node.stop()
        await postgres.execute(f'DROP DATABASE IF EXISTS "{name}_later" WITH (FORCE)')
        await postgres.close()


async def test_postgresql_frozen(database: str, redis_url: str) -> None:
    async with Proxy(database) as proxy:
        node = Node(proxy.url, redis_url, database)
        async with running(node):
            await node.commit("pump-1", "pump-1", "pump-1")
            client, live = await Client.connected(node), await Client.connected(node)
            await live.subscribe()
            wanted = {"channel": "alerts", "recover": True, "epoch": node.feed.epoch, "offset": 1}
            async with proxy.deaf():
                began = time.monotonic()
                errors = [await client.error("subscribe", wanted) for _ in range(10)]
                assert errors == [100] * 10
                assert time.monotonic() - began < 4, "one deadline, not ten"
                assert (await client.subscribe("alerts:pump-1"))["offset"] == 3, "nothing to read for this"
            async with asyncio.timeout(5):
                while "error" in (reply := await client.ask("subscribe", wanted)):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            assert offsets(reply["subscribe"]["publications"]) == [2, 3]
            await node.commit("pump-2")
            assert await live.offsets(1) == await client.offsets(1) == [4]


@pytest.mark.parametrize(("restored", "offset"), [("new", 1), ("new", 2), ("new", 7), (None, 1)])
async def test_a_restored_database_makes_everybody_start_over(
    database: str, redis_url: str, restored: str | None, offset: int
) -> None:
    """Under a new epoch as it should be, or (the end was lost in a failover) with offsets that go back."""
    one, two = pair(database, redis_url, database)
    async with running(one, two):
        await one.commit("pump-1", "pump-1")
        clients, epoch = await subscribers(one, two), one.feed.epoch
        await one.pool.execute("TRUNCATE alert_events")
        await one.pool.execute("UPDATE alert_offset SET epoch = $1, last_offset = $2", restored or epoch, offset)
        assert {(await client.closed(3))[0] for client in clients} == {3010}
        client = await Client.connected(two)
        result = await client.subscribe(recover=True, epoch=epoch, offset=2)
        assert (result["recovered"], result["epoch"], result["offset"]) == (False, restored or epoch, offset)
        await one.commit("pump-1")
        assert await client.offsets(1) == [offset + 1]


async def test_many_who_come_back_at_once_share_the_reads(database: str, redis_url: str) -> None:
    node = Node(database, redis_url, database)
    async with running(node):
        await node.commit(*["pump-1"] * 100)
        clients = await asyncio.gather(*(Client.connected(node) for _ in range(200)))
        reads = node.feed.reads
        results = await asyncio.gather(
            *(client.subscribe(recover=True, epoch=node.feed.epoch, offset=10) for client in clients)
        )
        assert all(offsets(result["publications"]) == list(range(11, 101)) for result in results)
        assert node.feed.reads - reads < 40
