"""Removing what deleted series left behind: a few tuples at a time, by the elected worker, until nothing is left."""

import asyncio

import asyncpg

from query.deletion import ACQUIRE_S
from query.packing import LOCK
from query.partitions import FORMS, Connection
from query.rollups import LEVELS

SERIES_AT_ONCE = 100
TUPLES_AT_ONCE = 2_000  # of one statement, which is a transaction: bounds what it locks and what it writes at once
TURN_S = 0.5  # of work, then others have their turn

_DELETED = "SELECT series_id FROM deleted_series ORDER BY deleted_at, series_id LIMIT $1"
_PARTITIONS = """
SELECT i.inhrelid::regclass::text
FROM pg_inherits i
WHERE i.inhparent = ANY($1::text[]::regclass[])
ORDER BY i.inhrelid
"""
# In a partition itself: through its parent each of the others would be planned and locked as well.
_DELETE = """
DELETE FROM {partition} WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM {partition} WHERE series_id = ANY($1::int[]) LIMIT $2))
"""
_DONE = """
WITH final AS (DELETE FROM rollup_final WHERE series_id = ANY($1::int[]))
DELETE FROM deleted_series WHERE series_id = ANY($1::int[])
"""


class Purge:
    """A job of the elected worker. Two of them at once would only do the same twice."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def turn(self) -> None:
        """Remove some. Raises what the driver raises."""
        loop = asyncio.get_running_loop()
        until = loop.time() + TURN_S
        async with self._pool.acquire(timeout=ACQUIRE_S) as connection:
            series = [found[0] for found in await connection.fetch(_DELETED, SERIES_AT_ONCE)]
            if not series:
                return
            if not await _sweep(connection, series, until):
                return
            # The packer may have moved some from a partition that was still to come to one that was swept already. So
            # once more, while it moves nothing.
            async with connection.transaction():
                if await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", LOCK) and await _sweep(
                    connection, series, until
                ):
                    await connection.execute(_DONE, series)


async def _sweep(connection: Connection, series: list[int], until: float) -> bool:
    """Remove what every partition has of these series; whether that was done in time."""
    for (partition,) in await connection.fetch(_PARTITIONS, [*FORMS, *(level.table for level in LEVELS)]):
        query = _DELETE.format(partition=partition)
        while not (await connection.execute(query, series, TUPLES_AT_ONCE)).endswith(" 0"):
            if asyncio.get_running_loop().time() > until:
                return False
    return True
