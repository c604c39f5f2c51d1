"""Marks on hours that may be rolled up already: a reading that is stored there later makes their rollups wrong.

A mark is committed with its reading, so whoever sees the one sees the other. Readings in order cost no mark.
"""

import asyncpg
import numpy as np

from schemas.columns import Int64s, Rows

Connection = asyncpg.pool.PoolConnectionProxy

HOUR_US = 3_600_000_000

_MARK = """
INSERT INTO rollup_dirty (series_id, hour)
SELECT series_id, timestamptz 'epoch' + hour * interval '1 hour'
FROM unnest($1::integer[], $2::bigint[]) AS n (series_id, hour)
"""


def hours_of(rows: Rows, closed_us: int) -> tuple[Int64s, Int64s]:
    """Series and hours since the Unix epoch, each pair once, of the readings before a moment (microseconds)."""
    late = rows.take(rows.ts < closed_us)
    pairs = np.unique(late.series_id.astype(np.int64) << 32 | late.ts // HOUR_US)
    return pairs >> 32, pairs & 0xFFFF_FFFF


async def mark(connection: Connection, rows: Rows, closed_us: int) -> None:
    """Mark the hours of those of these rows that lie before `closed_us`, in the transaction that stores them."""
    series, hours = hours_of(rows, closed_us)
    if len(series):
        await connection.execute(_MARK, series.tolist(), hours.tolist())
