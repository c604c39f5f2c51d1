"""`/readyz` on a machine so busy that to connect takes longer than one question may."""

import asyncio
from typing import Any, cast

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from server import health
from server.health import Health
from server.tasks import Tasks

ASKED_S, CONNECT_S = 0.1, 0.5


async def test_a_look_that_takes_long_is_shared_and_ends(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "CHECK_S", ASKED_S)
    connects = 0

    async def slowly(*arguments: Any, **named: Any) -> asyncpg.Connection:
        nonlocal connects
        connects += 1
        await asyncio.sleep(CONNECT_S)
        return await asyncpg.connect(*arguments, **named)

    async with asyncpg.create_pool(database, min_size=0, max_size=4, connect=slowly) as pool:
        asked = Health(pool, Tasks(), cast(Any, None), CollectorRegistry(), cast(Any, None), lambda: True)
        first = await asyncio.gather(*(asked.trouble() for _ in range(20)))
        assert set(first) == {"PostgreSQL has not answered yet"}
        async with asyncio.timeout(20):
            while await asked.trouble() is not None:
                pass
        assert connects == 1


async def test_whoever_waited_for_one_look_is_told_of_that_one(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = asyncio.Event()

    async def look(_: Health) -> str:
        await seen.wait()
        return "away"

    monkeypatch.setattr(Health, "_look_at_database", look)
    asked = Health(cast(Any, None), Tasks(), cast(Any, None), CollectorRegistry(), cast(Any, None), lambda: True)
    asking = [asyncio.create_task(asked.trouble())]
    await asyncio.sleep(0)
    seen.set()
    for _ in range(10):  # at every moment from its end on somebody else begins the next one
        await asyncio.sleep(0)
        asking.append(asyncio.create_task(asked.trouble()))
    assert set(await asyncio.gather(*asking)) == {"away"}
