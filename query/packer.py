"""The elected worker's packing: day by day, a few statements a turn, until only pieces are left of what is old.

What has to be done is read from what is stored, so a worker that takes over goes on where the last one ended.
"""

import asyncio
from collections import deque
from datetime import datetime, timedelta

import asyncpg
import structlog
from prometheus_client import CollectorRegistry, Counter

from query import packing
from query.deletion import ACQUIRE_S
from query.emptying import empty
from query.packing import Chunk
from query.partitions import Connection, Partition, make, partitions, start_of
from query.rollups import DAY_US

log = structlog.get_logger(__name__)

TURN_S = 0.5  # of work, then others have theirs


def due(found: list[Partition], now: datetime, after_days: float) -> list[int]:
    """Days that ended at least `after_days` ago and have plain rows or runs, or room that these left behind."""
    until = now - timedelta(days=after_days)
    left = [each.day for each in found if each.form != "packed" and each.heap]
    return sorted({day for day in left if start_of(day + 1) <= until})


class Packer:
    """A job of the elected worker, which looks every so often for old days; late readings come together meanwhile.

    Two of them at once do no harm: one packs, the other waits for its next look.
    """

    def __init__(
        self, pool: asyncpg.Pool, registry: CollectorRegistry | None, *, after_days: float, every_s: float
    ) -> None:
        self._pool, self._after_days, self._every_s = pool, after_days, every_s
        self._days: deque[int] = deque()
        self._last: Chunk | None = None  # of the first day of these
        self._look_at = 0.0
        self._now = start_of(0)
        self._packed = Counter("sluice_readings_packed", "Readings put into pieces.", registry=registry)

    async def turn(self) -> None:
        """Pack some. Raises what the driver raises."""
        loop = asyncio.get_running_loop()
        until = loop.time() + TURN_S
        if not self._days and loop.time() < self._look_at:
            return
        async with self._pool.acquire(timeout=ACQUIRE_S) as connection:
            if not self._days:
                await self._look(connection)
                self._look_at = loop.time() + self._every_s
            try:
                while self._days and loop.time() < until:
                    if not await self._step(connection, self._days[0]):
                        self._days.popleft()
                        self._last = None
            except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError, asyncpg.UndefinedTableError) as error:
                log.info("packing waits", error=str(error))  # or somebody dropped the day
                self._days.clear()
                self._last = None

    async def _look(self, connection: Connection) -> None:
        self._now = await connection.fetchval("SELECT now()")
        self._days.extend(due(await partitions(connection), self._now, self._after_days))

    async def _step(self, connection: Connection, day: int) -> bool:
        """Pack one chunk of a day; False where that day is done for now."""
        if self._last is None:
            for form in ("readings", "runs", "packed"):
                await make(connection, form, day)
        # What is not rolled up yet goes later (`query/retention.py`): of what went before, nothing would be left.
        rolled_us: int = await connection.fetchval("SELECT rolled_us FROM rollup_progress")
        age_days = (self._now - start_of(day + 1)).days if (day + 1) * DAY_US <= rolled_us else -1
        chunk = await packing.find(connection, day, self._last, age_days)
        if chunk is None:
            await empty(connection, day)
            return False
        packed = await packing.pack(connection, day, chunk)
        if packed is None:
            return False
        self._packed.inc(packed)
        self._last = chunk
        return True
