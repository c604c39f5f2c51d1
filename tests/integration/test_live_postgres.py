"""The live side while PostgreSQL is away, frozen or restored, and how little it asks of it."""

import asyncio
import json
import time
from typing import Any

import asyncpg
import pytest

from alerts.live.feed import FeedTimes
from alerts.live.tail import BLOCK
from tests.integration.faults import pair, subscribers
from tests.integration.live import PATIENCE_S, Client, Node, offsets, running
from tests.proxy import Proxy, through

NEVER_LOOKS = FeedTimes(check_s=60)
"""The look at the head every second would be counted among the reads."""


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
    earlier = Node(database, redis_url, database)
    async with running(earlier):
        await earlier.commit("pump-1", "pump-1", "pump-1")
    async with Proxy.to(database) as proxy:
        node = Node(through(database, proxy), redis_url, database)
        async with running(node):
            client, live = await Client.connected(node), await Client.connected(node)
            await live.subscribe()
            wanted = {"channel": "alerts", "recover": True, "epoch": node.feed.epoch, "offset": 1}
            async with proxy.stalled():
                began = time.monotonic()
                errors = [await client.error("subscribe", wanted) for _ in range(10)]
                assert errors == [100] * 10
                assert time.monotonic() - began < 8, "one deadline, not ten"
                assert (await client.subscribe("alerts:pump-1"))["offset"] == 3, "nothing to read for this"
            async with asyncio.timeout(PATIENCE_S):
                while "error" in (reply := await client.ask("subscribe", wanted)):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            assert offsets(reply["subscribe"]["publications"]) == [2, 3]
            await node.commit("pump-2")
            assert await live.offsets(1) == await client.offsets(1) == [4]


async def test_what_is_in_memory_is_not_served_while_postgresql_is_away(database: str, redis_url: str) -> None:
    """Nobody could tell whether the sequence still is the same one."""
    async with Proxy.to(database) as proxy:
        node = Node(through(database, proxy), redis_url, database)
        async with running(node):
            await node.commit("pump-1")
            client, reads = await Client.connected(node), node.feed.reads
            wanted: dict[str, Any] = {"channel": "alerts", "recover": True, "epoch": node.feed.epoch, "offset": 0}
            assert offsets((await client.subscribe(**wanted))["publications"]) == [1]
            assert node.feed.reads - reads <= 1, "the look at the head every second"
            await client.ask("unsubscribe", {"channel": "alerts"})
            async with proxy.stalled(), asyncio.timeout(PATIENCE_S):
                while "error" not in (reply := await client.ask("subscribe", wanted)):
                    await client.ask("unsubscribe", {"channel": "alerts"})
                    await asyncio.sleep(0.1)
            assert (reply["error"]["code"], reply["error"]["temporary"]) == (100, True)


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
        row = "UPDATE alert_offset SET epoch = coalesce($1, epoch), last_offset = $2"
        await one.pool.execute(row, restored, offset)
        assert {(await client.closed())[0] for client in clients} == {3010}
        client = await Client.connected(two)
        result = await client.subscribe(recover=True, epoch=epoch, offset=2)
        assert (result["recovered"], result["offset"]) == (False, offset)
        assert result["epoch"] == (epoch if restored is None else f"{restored}-{epoch.partition('-')[2]}")
        await one.commit("pump-1")
        assert await client.offsets(1) == [offset + 1]


async def test_many_who_come_back_soon_cost_no_read(database: str, redis_url: str) -> None:
    node = Node(database, redis_url, database, times=NEVER_LOOKS)
    async with running(node):
        await node.commit(*["pump-1", "pump-2"] * 500)
        reads = node.feed.reads
        await all_recover(node, [offset % 1_000 for offset in range(500, 3_500, 20)], 1_000)
        client = await Client.connected(node)
        device = await client.subscribe("alerts:pump-2", recover=True, epoch=node.feed.epoch, offset=900)
        assert offsets(device["publications"]) == list(range(902, 1_001, 2))
        assert node.feed.reads == reads


async def test_many_who_come_back_from_everywhere_share_the_reads(database: str, redis_url: str) -> None:
    """To a worker that was started after all of it happened, at 150 different offsets, while it goes on happening."""
    early = Node(database, redis_url, database)
    async with running(early):
        for _ in range(3):
            await early.commit(*["pump-1"] * 400)
    node = Node(database, redis_url, database, times=NEVER_LOOKS)
    async with running(node):

        async def commit() -> None:
            for _ in range(50):
                await node.commit("pump-1")
                await asyncio.sleep(0.01)

        reads = node.feed.reads
        await asyncio.gather(commit(), all_recover(node, list(range(0, 1_200, 8)), 1_250))
        assert node.feed.reads - reads <= -(-1_200 // BLOCK), "each block once"


async def all_recover(node: Node, places: list[int], last: int) -> None:
    """Clients that come back at once to these offsets get all up to the last one, each once and in order."""

    async def recover(client: Client, place: int) -> None:
        wanted = {"channel": "alerts", "recover": True, "epoch": node.feed.epoch, "offset": place}
        reply: dict[str, Any] = {"error": {"temporary": True}}
        while "error" in reply:  # PostgreSQL may be late on a busy machine
            assert reply["error"]["temporary"], reply
            await client.socket.send(json.dumps({"id": 2, "subscribe": wanted}))
            reply = await client.next()
        result = reply["subscribe"]
        assert result["recovered"]
        got = offsets(result.get("publications", []))
        got += await client.offsets(last - place - len(got))
        assert got == list(range(place + 1, last + 1))

    clients = await asyncio.gather(*(Client.connected(node) for _ in places))
    await asyncio.gather(*map(recover, clients, places))
    for client in clients:
        client.socket.transport.abort()


async def test_a_restored_database_empties_the_memory(database: str, redis_url: str) -> None:
    node = Node(database, redis_url, database)
    async with running(node):
        await node.commit("pump-1", "pump-1")
        await node.pool.execute("TRUNCATE alert_events")
        await node.pool.execute("UPDATE alert_offset SET epoch = 'new', last_offset = 0")
        async with asyncio.timeout(PATIENCE_S):
            while not node.feed.epoch.startswith("new-"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await node.commit("pump-9")
        client = await Client.connected(node)
        result = await client.subscribe(recover=True, epoch=node.feed.epoch, offset=0)
        assert offsets(result["publications"]) == [1]
        assert (await client.subscribe("alerts:pump-1", recover=True, epoch=node.feed.epoch, offset=0)).get(
            "publications"
        ) is None
