"""When each device was last heard of: kept in memory as batches arrive, written down every few seconds."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg

from ingest.series import ACQUIRE_S
from ingest.trouble import AWAY

WRITE_EVERY_S = 2.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# In the order of names, so that two workers that heard of the same devices wait for each other instead of dead-locking.
_WRITE = """
WITH heard AS (
    SELECT d.name, h.at
    FROM unnest($1::text[], $2::timestamptz[]) AS h (name, at)
    JOIN devices d ON d.name = h.name
    ORDER BY d.name
    FOR NO KEY UPDATE OF d  -- a new series' foreign key need not wait
)
UPDATE devices d SET last_seen = heard.at FROM heard WHERE d.name = heard.name AND d.last_seen < heard.at
"""


class Registry:
    """The devices heard of since the last writing, with the time of arrival of their newest batch."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._heard: dict[str, int] = {}

    def heard(self, device: str, arrived_us: int) -> None:
        """A batch of the device was stored."""
        self._heard[device] = arrived_us

    async def run(self) -> None:
        """Write down what was heard. Ends only by being cancelled."""
        while True:
            await asyncio.sleep(WRITE_EVERY_S)
            await self.write()

    async def write(self) -> None:
        """Write down what was heard since the last time; keep it for the next where PostgreSQL is away."""
        heard, self._heard = self._heard, {}
        if not heard:
            return
        names = sorted(heard)
        times = [_EPOCH + timedelta(microseconds=heard[name]) for name in names]
        try:
            async with self._pool.acquire(timeout=ACQUIRE_S) as connection:
                await connection.execute(_WRITE, names, times)
        except AWAY:
            self._heard = heard | self._heard
