"""Rolling up on a real database: by the clock of the test, as far as it wants."""

import time
from typing import Any

import asyncpg
from prometheus_client import CollectorRegistry

from query.roller import Roller, RollupSettings
from schemas.times import to_micros
from tests.integration.writing import NOW, SECOND

HOUR = 3_600


def roller(pool: asyncpg.Pool, until: float, **settings: Any) -> Roller:
    """One that closes the hours that end at most `until` seconds after `NOW`."""
    close_after_s = time.time() - (NOW / SECOND + until) - 1
    return Roller(pool, CollectorRegistry(), RollupSettings(close_after_s, **{"settle_s": 0, "every_s": 0} | settings))


async def roll_up(pool: asyncpg.Pool, until: float) -> None:
    """Roll up all there is to `until`, and all marked hours."""
    worker = roller(pool, until)
    for _ in range(200):
        await worker.turn()
        found: Any = await pool.fetchrow(
            """SELECT rolled_us, closed_us, (SELECT count(*) FROM rollup_dirty) AS marks
               FROM rollup_progress, rollup_gate"""
        )
        if found["rolled_us"] == found["closed_us"] and not found["marks"]:
            return
    raise AssertionError("rolling up comes to no end")


async def rolled_until(pool: asyncpg.Pool) -> float:
    """Until when all is rolled up: seconds after `NOW`."""
    rolled_us: int = await pool.fetchval("SELECT rolled_us FROM rollup_progress")
    return (rolled_us - NOW) / SECOND


async def marked(pool: asyncpg.Pool) -> list[float]:
    """The marked hours, in order: seconds after `NOW`."""
    found = await pool.fetch("SELECT hour FROM rollup_dirty ORDER BY hour")
    return [(to_micros(record["hour"]) - NOW) / SECOND for record in found]
