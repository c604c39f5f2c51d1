"""When each device was last heard of: kept in memory as batches arrive, written down every few seconds.

Live is a batch with a reading that was not late: backfill says that somebody sends for the device, not that it speaks.
"""

import asyncio

import asyncpg

from ingest.series import ACQUIRE_S
from ingest.trouble import AWAY
from schemas.times import to_datetime

WRITE_EVERY_S = 2.0

# In the order of names, so that two workers that heard of the same devices wait for each other instead of dead-locking.
_WRITE = """
WITH heard AS (
    SELECT d.name, h.at, h.live_at
    FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[]) AS h (name, at, live_at)
    JOIN devices d ON d.name = h.name
    ORDER BY d.name
    FOR NO KEY UPDATE OF d  -- a new series' foreign key need not wait
)
UPDATE devices d
SET last_seen = greatest(d.last_seen, heard.at), live_at = greatest(d.live_at, heard.live_at)
FROM heard
WHERE d.name = heard.name
"""


class Registry:
    """The devices heard of since the last writing, with the time of arrival of their newest batch."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._heard: dict[str, int] = {}
        self._live: dict[str, int] = {}

    def heard(self, device: str, arrived_us: int, *, live: bool) -> None:
        """A batch of the device was stored."""
        self._heard[device] = arrived_us
        if live:
            self._live[device] = arrived_us

    async def run(self) -> None:
        """Write down what was heard. Ends only by being cancelled."""
        while True:
            await asyncio.sleep(WRITE_EVERY_S)
            await self.write()

    async def write(self) -> None:
        """Write down what was heard since the last time; keep it for the next where PostgreSQL is away."""
        (heard, live), self._heard, self._live = (self._heard, self._live), {}, {}
        if not heard:
            return
        names = sorted(heard)
        times = [to_datetime(heard[name]) for name in names]
        live_times = [to_datetime(live[name]) if name in live else None for name in names]
        try:
            async with self._pool.acquire(timeout=ACQUIRE_S) as connection:
                await connection.execute(_WRITE, names, times, live_times)
        except AWAY:
            self._heard, self._live = heard | self._heard, live | self._live
