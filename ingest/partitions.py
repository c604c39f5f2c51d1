"""Daily partitions of `readings` and `runs`: made ahead of time, and on demand before a group that needs one."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import asyncpg

from ingest.group import DAY_US
from ingest.series import ACQUIRE_S
from ingest.trouble import AWAY

DAYS_AHEAD = 2  # made before they are needed, so that midnight costs no request anything
_ENSURE = "SELECT ensure_partition($1::text::regclass, $2, $3, $4)"


class Partitions:
    """Knows which days have a partition, and makes the others."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._known: set[int] = set()
        self._making = asyncio.Lock()

    def forget(self) -> None:
        """Trust nothing: somebody dropped a partition that was thought to be there."""
        self._known.clear()

    async def ensure(self, days: Iterable[int]) -> None:
        """Make the partitions of these days (since the Unix epoch), in a transaction of its own, if they are not."""
        missing = [day for day in days if day not in self._known]
        if not missing:
            return
        async with self._making, self._pool.acquire(timeout=ACQUIRE_S) as connection:
            for day in missing:
                await _make(connection, day)
                self._known.add(day)

    async def run(self) -> None:
        """Keep the days ahead made. Ends only by being cancelled."""
        while True:
            today = int(datetime.now(UTC).timestamp() * 1e6) // DAY_US
            try:
                await self.ensure(range(today, today + DAYS_AHEAD + 1))
            except AWAY:
                await asyncio.sleep(1)  # made on demand in the meantime, once the database is back
            else:
                await asyncio.sleep(600)


async def _make(connection: asyncpg.pool.PoolConnectionProxy, day: int) -> None:
    start = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)
    async with connection.transaction():
        for table in ("readings", "runs"):
            name, until = f"{table}_{start:%Y%m%d}", start + timedelta(days=1)
            await connection.execute(_ENSURE, table, name, start, until)
