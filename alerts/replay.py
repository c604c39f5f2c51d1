"""The stored readings of a series once more: in order of time, a few at a time, whatever their number.

No cursor: asyncpg closes the portal of none that it fetches from, and each would keep what PostgreSQL has sorted until
the transaction ends. Instead the end of every chunk is looked up by index: PostgreSQL never sorts more than one chunk.
"""

from collections.abc import AsyncIterator, Sequence

from alerts.rate import Point
from alerts.record import Connection
from schemas.times import to_datetime, to_micros

CHUNK = 1_000  # readings, of each form: bounds how long one chunk holds the event loop

# Where a chunk that begins at $2 ends: before the reading, the run or the piece that would be too much for it. All are
# found by primary key; runs and pieces are counted without being unpacked.
_CHUNK_END = """
SELECT least($3::timestamptz,
    (SELECT ts FROM readings WHERE series_id = $1 AND ts >= $2 AND ts < $3 ORDER BY ts OFFSET $4 LIMIT 1),
    (SELECT ts FROM (
        SELECT ts, sum(cardinality(offsets)) OVER (ORDER BY ts ROWS UNBOUNDED PRECEDING) AS count
        FROM runs
        WHERE series_id = $1 AND ts >= $2 AND ts < $3
     ) counted
     WHERE count > $4 AND ts > $2 ORDER BY ts LIMIT 1),
    (SELECT min(ts) FROM (VALUES (1000), (1)) AS u (us) CROSS JOIN LATERAL (
        SELECT ts FROM (
            SELECT ts, sum(cardinality(offsets)) OVER (ORDER BY ts ROWS UNBOUNDED PRECEDING) AS count
            FROM packed
            WHERE series_id = $1 AND unit_us = u.us AND ts >= $2 AND ts < $3
        ) counted
        WHERE count > $4 AND ts > $2 ORDER BY ts LIMIT 1
     ) ended))
"""
_CHUNK = "SELECT ts, value FROM readings_between($1, $2, $3) ORDER BY ts"


async def stored(connection: Connection, series_id: int, since: int, until: int) -> AsyncIterator[list[Point]]:
    """The readings with since <= ts < until, microseconds, ascending; a chunk may be empty.

    Wants a transaction that sees one state of the database throughout.
    """
    while since < until:
        bounds = to_datetime(since), to_datetime(until)
        end = await connection.fetchval(_CHUNK_END, series_id, *bounds, CHUNK)
        found = await connection.fetch(_CHUNK, series_id, bounds[0], end)
        yield [(to_micros(ts), value) for ts, value in found]
        since = to_micros(end)


class Trail:
    """The same readings a window behind: of what is long past, it gives what a rate needs and keeps nothing else."""

    def __init__(self, chunks: AsyncIterator[list[Point]], window_us: int) -> None:
        self._chunks, self._window_us = chunks, window_us
        self._ahead: list[Point] = []
        self._place = 0

    async def before(self, points: Sequence[Point]) -> list[Point]:
        """Of the readings older than these points, the oldest one in the window of each."""
        found: list[Point] = []
        first = points[0][0]
        for ts, _ in points:
            oldest = await self._first_since(ts - self._window_us)
            if oldest is None or oldest[0] >= first:
                break  # from here on it is one of the points themselves
            if not found or found[-1] != oldest:
                found.append(oldest)
        return found

    async def _first_since(self, since: int) -> Point | None:
        """The first reading at or after a moment, which must not go back from one call to the next."""
        while True:
            while self._place < len(self._ahead):
                if self._ahead[self._place][0] >= since:
                    return self._ahead[self._place]
                self._place += 1
            chunk = await anext(self._chunks, None)
            if chunk is None:
                return None
            self._ahead, self._place = chunk, 0
