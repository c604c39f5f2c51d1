"""Daily partitions of `readings` and `runs`: made ahead of time, and on demand before a group that needs one."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import asyncpg

from ingest.group import DAY_US
from ingest.series import ACQUIRE_S
from ingest.trouble import AWAY

DAYS_AHEAD = 2  # made before they are needed, so that midnight costs no request anything
_IS_ATTACHED = """
SELECT EXISTS (SELECT FROM pg_inherits WHERE inhparent = to_regclass($1) AND inhrelid = to_regclass($2))
"""
_LOCK = 0x51_1C_E0_01  # advisory: one maker at a time


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
    """Attach, never PARTITION OF: that would lock the parent against every writer."""
    start = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)
    until = start + timedelta(days=1)
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        for table in ("readings", "runs"):
            name = f"{table}_{start:%Y%m%d}"
            if await connection.fetchval(_IS_ATTACHED, table, name):
                continue
            # Names and bounds cannot be parameters of DDL; both are made here from constants and an integer.
            await connection.execute(f"CREATE TABLE IF NOT EXISTS {name} (LIKE {table} INCLUDING ALL)")
            bounds = f"FROM ('{start:%F} 00:00+00') TO ('{until:%F} 00:00+00')"
            await connection.execute(f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES {bounds}")
