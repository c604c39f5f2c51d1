"""A cluster, and sentinels: alerts cross, quotas hold, and the primary that carries both dies; no event is lost."""

import asyncio
import contextlib
import itertools
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisAway

from ingest import exchange
from ingest.exchange import Exchange
from ingest.quota import Quota, QuotaLimits
from schemas.errors import QuotaExceeded
from schemas.keys import Principal
from server.local import LocalValkey
from server.redis_doctor import redis_findings
from server.redis_places import RedisPlaces
from server.redis_url import Address, RedisUrl
from tests.conftest import HOST
from tests.integration.faults import carried, pair, served, subscribers
from tests.integration.live import PATIENCE_S, Node, running
from tests.integration.test_live_faults import NEVER_LOOKS
from tests.valkeys import Member, Valkeys, valkey_cluster, valkey_sentinels

RATE = 40
"""Readings a second of each key."""
KEYS = [Principal(f"key{number}", "", frozenset(), None, None, RATE) for number in range(12)]
"""So many that each server of the cluster has some."""

Many = Callable[[Path], AbstractAsyncContextManager[Valkeys]]


@pytest.mark.parametrize(
    ("many", "told"),
    [
        (valkey_cluster, "a cluster of 3 primaries; 16384 of 16384 slots have one"),
        (valkey_sentinels, "says of mymaster: OK 3 usable Sentinels"),
    ],
)
async def test_the_one_that_carries_alerts_is_killed(database: str, tmp_path: Path, many: Many, told: str) -> None:
    name = database.rpartition("/")[2]
    async with many(tmp_path / "many") as valkeys:
        url = RedisUrl.parse(valkeys.url)
        await doctor_says(url, told)
        # They do not look into the table by themselves: what comes was carried, or missed by its number.
        one, two = pair(database, valkeys.url, name, NEVER_LOOKS)
        async with running(one, two), askers(url, name) as asking:
            await hear_each_other(one, two)
            clients = await subscribers(one, two, each=2)
            await carried(one, clients, after=0)
            if not valkeys.sentinels:
                await valkeys.move(one.bus.channel)
            victim = await carrier(valkeys, one.bus.channel)
            victim.kill()
            at = time.monotonic()
            await one.until("not bus.healthy")
            offset = 12
            while not (one.bus.healthy and two.bus.healthy):
                await (one, two)[offset % 2].commit("pump-1")
                offset += 1
                await asyncio.sleep(0.02)
                assert time.monotonic() - at < PATIENCE_S
            back_s = time.monotonic() - at
            await hear_each_other(one, two)
            await one.commit("pump-1")
            await served(clients, list(range(13, offset + 2)))
            await carried(two, clients, after=offset + 1)
            assert await clients[0].silent()
            assert await valkeys.owner(one.bus.channel) is not victim
        sys.stdout.write(f"{many.__name__}: {offset - 12} events meanwhile, back after {back_s:.2f} s\n")
        asking.check()


async def doctor_says(url: RedisUrl, told: str) -> None:
    """Wait until it finds nothing wrong: on a busy machine one of many may be slow to answer."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            findings = [finding async for finding in redis_findings(url)]
            assert findings
            if all(finding.good for finding in findings) and any(told in finding.text for finding in findings):
                return


async def carrier(valkeys: Valkeys, channel: str) -> Member:
    """Wait until both workers listen where the channel is; gives whom that is."""
    counted = "NUMSUB" if valkeys.sentinels else "SHARDNUMSUB"
    async with asyncio.timeout(PATIENCE_S):
        while True:
            owner = await valkeys.owner(channel)
            if await owner.ask("PUBSUB", counted, channel) == [channel, 2]:
                return owner
            await asyncio.sleep(0.01)


async def test_what_one_server_did_not_take_is_told_again_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "DEADLINE_S", PATIENCE_S)
    quota = Quota(QuotaLimits(readings_per_s=100), time.monotonic)
    async with LocalValkey(tmp_path / "one") as one, LocalValkey(tmp_path / "two") as two:
        here, there = (RedisPlaces(RedisUrl.parse(valkey.url), PATIENCE_S) for valkey in (one, two))
        worker = Exchange(quota, here.look, "x")
        async with here.look() as found, there.look() as lost:

            def server_of(key: str) -> Redis:
                return (lost if key.endswith("lost") else found)(key)

            for key_id in ("found", "lost"):
                quota.take_readings(Principal(key_id, "", frozenset()), 60)
            two.kill()
            assert not await worker.step(server_of)
            told = quota.hand_in(9)
            assert told == [(("lost", "readings"), 100, 60)]
            quota.take_back(told)
            await two.start()  # which has forgotten the scripts
            assert await worker.step(server_of)
            assert not quota.hand_in(9)
            assert await lost("lost").exists("x:quota:readings:lost")


class Misled(RedisPlaces):
    """Believes a sentinel that has not heard of what happened."""

    named: Address

    async def master(self) -> Address:
        """Whom that sentinel names."""
        return self.named


async def test_a_master_that_was_demoted_is_not_taken_for_one(tmp_path: Path) -> None:
    async with LocalValkey(tmp_path / "one") as valkey:
        places = Misled(RedisUrl.parse(f"redis+sentinel://:{valkey.memory.password}@sentinel/main"), PATIENCE_S)
        places.named = HOST, valkey.memory.port
        async with places.look() as server_of:
            await server_of("x").execute_command("REPLICAOF", HOST, 9)  # type: ignore[no-untyped-call]
        with pytest.raises(RedisAway, match="says it is a slave"):
            async with places.look():
                pass


class Asking:
    """Two workers that give out of the same quotas as much as they may."""

    def __init__(self) -> None:
        self.taken = Counter[str]()
        self.began = self.ended = time.monotonic()

    async def ask(self, quotas: Sequence[Quota]) -> None:
        """Every key takes of every worker what it gets, all the time."""
        while True:
            for key, quota in itertools.product(KEYS, quotas):
                with contextlib.suppress(QuotaExceeded):
                    while True:
                        quota.take_readings(key, 1)
                        self.taken[key.key_id] += 1
            self.ended = time.monotonic()
            await asyncio.sleep(0.01)

    def check(self) -> None:
        """Each key had its rate: a second's worth more for each worker at most, and not a fraction of it."""
        seconds = self.ended - self.began
        most, least = RATE * (seconds + len(("one", "two")) + 1), RATE * seconds * 0.3
        assert set(self.taken) == {key.key_id for key in KEYS}
        assert all(least < taken < most for taken in self.taken.values()), (least, self.taken, most)


@asynccontextmanager
async def askers(url: RedisUrl, name: str) -> AsyncIterator[Asking]:
    """Have them at it, each with its own connections."""
    asking = Asking()
    quotas = [Quota(QuotaLimits(), time.monotonic) for _ in range(2)]
    works = [Exchange(quota, RedisPlaces(url).look, name).run() for quota in quotas]
    tasks = [asyncio.create_task(work) for work in (*works, asking.ask(quotas))]
    try:
        yield asking
        assert [quota.workers for quota in quotas] == [2, 2]
    finally:
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(end, asyncio.CancelledError) for end in ends), ends


async def hear_each_other(*nodes: Node) -> None:
    """Wait until each hears itself by Redis."""
    for node in nodes:
        await node.until("bus.healthy")
