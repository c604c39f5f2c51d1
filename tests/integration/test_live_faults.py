"""Every subscriber of every node gets each offset once, in order, while Redis comes and goes."""

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from alerts.live.feed import FeedTimes
from tests.integration.faults import Redis, carried, pair, served, subscribers
from tests.integration.live import Client, Node, offsets, running
from tests.proxy import Proxy, through

SERVED_S = 2.0
"""From COMMIT to every subscriber while Redis is away (contract §7)."""

LATE_S = 3 * SERVED_S
"""What it may take beside other tests; `dev.py faults` holds the median of many to the promise."""

NEVER_LOOKS = FeedTimes(check_s=60)
"""For what must work without the look at the head every second."""


@pytest_asyncio.fixture
async def redis(tmp_path: Path) -> AsyncIterator[Redis]:
    """A Valkey, not started yet."""
    redis = Redis(tmp_path)
    yield redis
    await redis.stop()


async def test_an_event_reaches_the_subscribers_of_all_workers(database: str, redis_url: str) -> None:
    one, two = pair(database, redis_url, database, NEVER_LOOKS)
    async with running(one, two):
        await one.until("bus.healthy")
        await two.until("bus.healthy")
        clients = await subscribers(one, two, each=20)
        reads = one.feed.reads + two.feed.reads
        for number in range(1, 101):
            await (one, two)[number % 2].commit("pump-1")
        await served(clients, list(range(1, 101)))
        assert one.feed.reads + two.feed.reads - reads < 25, "Redis carried them"
        # Both at once: messages overtake each other on the way, events do not.
        await asyncio.gather(*((one, two)[number % 2].commit("pump-1", "pump-2") for number in range(100)))
        await served(clients, list(range(101, 301)))
        assert await clients[0].silent()


async def test_redis_killed_and_back_empty(database: str, redis: Redis) -> None:
    one, two = pair(database, await redis.start(), database)
    async with running(one, two):
        await two.until("bus.healthy")
        clients = await subscribers(one, two)
        redis.signal(signal.SIGKILL)
        await one.commit("pump-1")
        assert await served(clients, [1]) < LATE_S
        await two.commit("pump-1", "pump-2")
        assert await served(clients, [2, 3]) < LATE_S
        await redis.start()
        await one.until("bus.healthy")
        await two.until("bus.healthy")
        await carried(one, clients, after=3)
        assert await clients[-1].silent()


async def test_redis_frozen(database: str, redis: Redis) -> None:
    one, two = pair(database, await redis.start(), database)
    async with running(one, two):
        await one.until("bus.healthy")
        await two.until("bus.healthy")
        clients = await subscribers(one, two)
        redis.signal(signal.SIGSTOP)
        for number in range(1, 4):  # the first before anybody noticed
            events = await one.insert("pump-1")
            began = time.monotonic()
            one.feed.committed(events)
            assert time.monotonic() - began < 0.4, "the write path waits for nobody"
            assert await served(clients, [number]) < LATE_S
        redis.signal(signal.SIGCONT)
        await one.until("bus.healthy")
        await two.until("bus.healthy")
        await carried(two, clients, after=3)


async def test_redis_half_open(database: str, redis_url: str) -> None:
    async with Proxy.to(redis_url) as proxy:
        one, two = Node(database, redis_url, database), Node(database, through(redis_url, proxy), database)
        async with running(one, two):
            await two.until("bus.healthy")
            clients = await subscribers(one, two)
            async with proxy.stalled():
                await one.commit("pump-1")
                assert await served(clients, [1]) < LATE_S
                await two.until("not bus.healthy")
                await two.commit("pump-1")
                assert await served(clients, [2]) < LATE_S, "the other one's Redis is well, yet says nothing of it"
            await two.until("bus.healthy")
            await carried(two, clients, after=2)


async def test_a_subscription_that_went_deaf_is_made_anew(database: str, redis_url: str) -> None:
    """The worse half of half-open: what is published arrives, so no command ever fails."""
    async with Proxy.to(redis_url) as proxy:
        one, two = Node(database, redis_url, database), Node(database, through(redis_url, proxy), database)
        async with running(one, two):
            await two.until("bus.healthy")
            async with proxy.stalled(first=1):
                await two.until("not bus.healthy")
                await two.until("bus.healthy")  # over a new connection, the old one still being deaf
            assert two.bus.reconnects == 1


async def test_redis_away_at_the_start(database: str, redis: Redis) -> None:
    url = await redis.start()
    redis.signal(signal.SIGKILL)
    one, two = pair(database, url, database)
    async with running(one, two):
        clients = await subscribers(one, two)
        await one.commit("pump-1")
        assert await served(clients, [1]) < LATE_S
        assert one.bus.dropped > 0
        await redis.start()
        await two.until("bus.healthy")


async def test_a_lost_message_is_found_by_the_next(database: str, redis_url: str) -> None:
    one, two = pair(database, redis_url, database, NEVER_LOOKS)
    async with running(one, two):
        await one.until("bus.healthy")
        await two.until("bus.healthy")
        clients = await subscribers(one, two)
        await one.insert("pump-1", "pump-2")  # and nobody is told
        await one.commit("pump-1")
        await served(clients, [1, 2, 3])


async def test_a_client_from_a_node_that_is_ahead_is_recovered(database: str, redis_url: str) -> None:
    # Two buses, so that they never hear each other; and the second does not look by itself.
    one, two = Node(database, redis_url, "one"), Node(database, redis_url, "two", times=NEVER_LOOKS)
    async with running(one, two):
        await two.until("bus.healthy")
        await one.commit("pump-1", "pump-1")
        client = await Client.connected(two)
        result = await client.subscribe(recover=True, epoch=one.feed.epoch, offset=2)
        assert (result["recovered"], result["offset"]) == (True, 2)


async def test_exactly_once_for_clients_that_come_and_go(database: str, redis: Redis) -> None:
    """100 subscribers on two workers, 500 transitions, Redis killed and frozen in between, reconnects at random."""
    total, seed = 500, 20261121
    nodes = pair(database, await redis.start(), database)
    async with running(*nodes):
        await nodes[1].until("bus.healthy")
        epoch, dice = nodes[0].feed.epoch, random.Random(seed)

        async def subscriber(own: random.Random) -> list[int]:
            got: list[int] = []
            while len(got) < total:
                client = await Client.connected(own.choice(nodes))
                known = {"channel": "alerts", "recover": True, "epoch": epoch, "offset": got[-1] if got else 0}
                reply = await client.ask("subscribe", known)
                if reply.get("error", {}).get("code") == 100:  # we cannot tell now: PostgreSQL was late
                    client.socket.transport.abort()
                    continue
                result = reply["subscribe"]
                assert result["recovered"]
                got += offsets(result.get("publications", []))
                stays = own.randint(1, 200)
                while len(got) < total and (stays := stays - 1):
                    got += await client.offsets(1)
                client.socket.transport.abort()
            return got

        async def commits() -> None:
            for number in range(total // 2):
                if number in (60, 160):
                    redis.signal(signal.SIGKILL if number == 60 else signal.SIGSTOP)
                if number in (110, 210):
                    await redis.start() if number == 110 else redis.signal(signal.SIGCONT)
                await dice.choice(nodes).commit("pump-1", "pump-2")
                await asyncio.sleep(0.02)

        *got, _ = await asyncio.gather(*(subscriber(random.Random(seed + n)) for n in range(100)), commits())
        assert all(each == list(range(1, total + 1)) for each in got)
