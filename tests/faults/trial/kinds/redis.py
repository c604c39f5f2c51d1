"""F9 to F12: Redis is killed, frozen, half-open, out of memory, read-only. Nobody who writes notices."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from redis.asyncio import Redis

from tests.faults.trial.measures import delivery_s, p99_ms
from tests.faults.trial.traffic import Load
from tests.faults.trial.trial import Kind, Stage

SERVED_S = 2.0
"""From COMMIT to every subscriber, whatever Redis does."""
NOTICED_S = 6.0
BACK_S = 5.0
GAUGE_S = 1.0
"""The gauges are copied once a second."""
UNREACHABLE = 9
"""A port on which nobody listens."""
LOAD = Load(devices=10, dashboards=8)


async def away(stage: Stage) -> None:
    """F9: stopped, or frozen."""
    valkey, how = stage.cluster.valkey, stage.chance.choice(("killed", "frozen"))
    async with as_if_nothing_were(stage, f"Redis is {how}"):
        if how == "killed":
            valkey.kill()
        else:
            valkey.freeze()
        await asyncio.sleep(20.0 if stage.long else 3.0)
    if how == "killed":
        await valkey.start()
    else:
        valkey.thaw()
    await rings_again(stage)


async def back_empty(stage: Stage) -> None:
    """F10: killed, and back with nothing in it."""
    valkey = stage.cluster.valkey
    async with as_if_nothing_were(stage, "Redis is killed, and back empty"):
        for _ in range(4 if stage.long else 2):
            valkey.kill()
            await asyncio.sleep(stage.chance.uniform(0.0, 0.7))
            await valkey.start()
            await asyncio.sleep(stage.chance.uniform(0.2, 0.7))
    await rings_again(stage)


async def half_open(stage: Stage) -> None:
    """F11: connections stay open, and nothing comes, or nothing arrives."""
    proxy, how = stage.cluster.to_redis, stage.chance.choice(("stall", "answers", "requests"))
    async with as_if_nothing_were(stage, f"the connections to Redis are half-open: {how}"):
        at = time.monotonic()
        match how:
            case "stall":
                proxy.stall()
            case "answers":
                proxy.drop(answers=True)
            case _:
                proxy.drop(requests=True)
        await healthy(stage, 0)
        stage.measured("noticed", time.monotonic() - at, NOTICED_S)
    proxy.go_on()
    await rings_again(stage)


async def refuses(stage: Stage) -> None:
    """F12: out of memory, or become a read-only replica of nobody."""
    how = stage.chance.choice(("out of memory", "a read-only replica"))
    async with (
        Redis.from_url(stage.cluster.valkey.url) as redis,
        as_if_nothing_were(stage, f"Redis is {how}"),
    ):
        if how == "out of memory":
            await redis.config_set("maxmemory-policy", "noeviction")
            await redis.config_set("maxmemory", 1)
        else:
            await redis.execute_command("REPLICAOF", "127.0.0.1", UNREACHABLE)  # type: ignore[no-untyped-call]
        await asyncio.sleep(10.0 if stage.long else 2.5)
        await redis.config_set("maxmemory", 64 << 20)
        await redis.config_set("maxmemory-policy", "allkeys-lru")
        await redis.execute_command("REPLICAOF", "NO", "ONE")  # type: ignore[no-untyped-call]
    await rings_again(stage)


@contextlib.asynccontextmanager
async def as_if_nothing_were(stage: Stage, text: str) -> AsyncIterator[None]:
    """Measure writing and delivery, before and while Redis is broken."""
    began = time.monotonic()
    await asyncio.sleep(0.5)
    at = stage.note(text)
    yield
    until = time.monotonic()
    stage.measured("p99 before, ms", p99_ms(stage.account, began, at))
    stage.measured("p99 meanwhile, ms", p99_ms(stage.account, at, until))
    stage.measured("delivery", await delivery_s(stage, at, until), SERVED_S)


async def rings_again(stage: Stage) -> None:
    """Wait until every worker hears itself through Redis."""
    at = stage.note("Redis is well")
    await healthy(stage, len(stage.cluster.supervisor.pids))
    stage.measured("bus back", max(0.0, time.monotonic() - at - GAUGE_S), BACK_S)


async def healthy(stage: Stage, count: int, patience_s: float = 20.0) -> None:
    """Wait until so many workers hear themselves."""
    deadline = time.monotonic() + patience_s
    while await stage.cluster.metric("sluice_bus_healthy") != count:
        if time.monotonic() > deadline:
            stage.promise(False, f"after {patience_s} s not {count} workers hear themselves through Redis")
            return
        await asyncio.sleep(0.1)


KINDS = (
    Kind("F9", "Redis stopped or frozen", away, frozenset(), load=LOAD),
    Kind("F10", "Redis killed and back empty", back_empty, frozenset(), load=LOAD),
    Kind("F11", "Redis half-open", half_open, frozenset(), load=LOAD),
    Kind("F12", "Redis out of memory, or a read-only replica", refuses, frozenset(), load=LOAD),
)
