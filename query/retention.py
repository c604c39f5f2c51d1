"""Retention, by the elected worker: days past it are dropped as whole partitions, readings of metrics that are kept for
a shorter time are taken out of the packed days, piece by piece."""

import asyncio
from bisect import bisect_right
from datetime import UTC, datetime

import asyncpg
import structlog

from query.deletion import ACQUIRE_S
from query.emptying import drop
from query.final import put
from query.partitions import Connection, name_of, partitions, start_of
from query.rollups import DAY_US

log = structlog.get_logger(__name__)

MARGIN_DAYS = 1  # a day is dropped when no reading of it has been accepted for so long
TURN_S = 0.5
PIECES_AT_ONCE = 1_000  # of one statement
SERIES_AT_ONCE = 200  # that are looked for
CLOCKS_APART_S = 3_600  # PostgreSQL's and ours: with more, one of them is wrong, and nothing is dropped

_RULES = "SELECT metric, days FROM retention ORDER BY metric"
# Series whose metrics are kept for no longer than $1 days; the most literal glob counts.
_EXPIRING = """
SELECT s.id, k.days
FROM series s
JOIN LATERAL (
    SELECT days FROM retention WHERE s.metric LIKE metric_like ORDER BY literals DESC, metric LIMIT 1
) k ON k.days <= $1
ORDER BY s.id
"""
# Pieces of series $1, so many at a time; what is rolled up of them is final until $3.
_EXPIRE = """
WITH gone AS (
    DELETE FROM {packed}
    WHERE ctid = ANY(ARRAY(SELECT ctid FROM {packed} WHERE series_id = ANY($1::int[]) LIMIT $2))
    RETURNING series_id
), final AS (
    {finish}
)
SELECT count(*) FROM gone
"""
_FINISH = put("SELECT DISTINCT series_id, $3::bigint FROM gone ORDER BY series_id")


class Retention:
    """A job of the elected worker; two of them at once do the same twice."""

    def __init__(self, pool: asyncpg.Pool, *, days: int, every_s: float) -> None:
        self._pool, self._days, self._every_s = pool, days, every_s
        self._look_at = 0.0
        self._done: dict[int, object] = {}
        """By which rules each packed day has been gone through."""
        self._begun: tuple[int, object] | None = None
        """The day, and by which rules, that has been gone through in part …"""
        self._after = 0
        """… up to this series."""

    async def turn(self) -> None:
        """Drop what is past its time. Raises what the driver raises."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._look_at:
            return
        until = loop.time() + TURN_S
        async with self._pool.acquire(timeout=ACQUIRE_S) as connection:
            now: datetime = await connection.fetchval("SELECT now()")
            if abs((datetime.now(UTC) - now).total_seconds()) > CLOCKS_APART_S:
                log.error("nothing is dropped: our clock and PostgreSQL's are more than an hour apart", theirs=str(now))
            elif await self._drop(connection, now) and await self._expire(connection, now, until):
                self._look_at = loop.time() + self._every_s

    async def _drop(self, connection: Connection, now: datetime) -> bool:
        """Drop the days that are past retention; whether all of them."""
        for day in sorted({each.day for each in await partitions(connection)}):
            if (now - start_of(day + 1)).days < self._days + MARGIN_DAYS:
                break
            if not await _drop(connection, day):
                log.info("a day in use is dropped later", day=f"{start_of(day):%F}")
                self._look_at = asyncio.get_running_loop().time() + min(5.0, self._every_s)
                return False
            log.info("day dropped", day=f"{start_of(day):%F}")
        return True

    async def _expire(self, connection: Connection, now: datetime, until: float) -> bool:
        """Take out of packed days what is kept for a shorter time; whether all of it."""
        rules = [tuple(record) for record in await connection.fetch(_RULES)]
        rolled_us = await connection.fetchval("SELECT rolled_us FROM rollup_progress")
        expiring: list[tuple[int, int]] | None = None
        for day in sorted({each.day for each in await partitions(connection) if each.form == "packed"}):
            age_days = (now - start_of(day + 1)).days
            # A rule that does not apply yet may still outweigh one that does.
            signature = tuple((metric, days <= age_days) for metric, days in rules)
            # What goes before it is rolled up is nowhere afterwards.
            if self._done.get(day) == signature or (day + 1) * DAY_US > rolled_us:
                continue
            if any(days <= age_days for _, days in rules):
                if expiring is None:  # of this, the oldest day that is left
                    expiring = [tuple(record) for record in await connection.fetch(_EXPIRING, age_days)]
                series = [series_id for series_id, days in expiring if days <= age_days]
                if self._begun != (day, signature):
                    self._begun, self._after = (day, signature), 0
                if not await self._take_out(connection, day, series, until):
                    return False
            self._done[day] = signature
        return True

    async def _take_out(self, connection: Connection, day: int, series: list[int], until: float) -> bool:
        """Of a packed day what it has of these series; whether all of it."""
        query, end_us = _EXPIRE.format(packed=name_of("packed", day), finish=_FINISH), (day + 1) * DAY_US
        for start in range(bisect_right(series, self._after), len(series), SERIES_AT_ONCE):
            part = series[start : start + SERIES_AT_ONCE]
            while await connection.fetchval(query, part, PIECES_AT_ONCE, end_us):
                if asyncio.get_running_loop().time() > until:
                    return False
            self._after = part[-1]
        return True


async def _drop(connection: Connection, day: int) -> bool:
    try:
        return await drop(connection, day)
    except asyncpg.LockNotAvailableError:  # somebody is rolling up
        return False
