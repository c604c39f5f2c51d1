"""Retention, by the elected worker: days past it are dropped as whole partitions, readings of metrics that are kept for
a shorter time are taken out of the packed days, piece by piece."""

import asyncio
from datetime import UTC, datetime

import asyncpg
import structlog

from query.deletion import ACQUIRE_S
from query.emptying import drop
from query.partitions import Connection, name_of, partitions, start_of

log = structlog.get_logger(__name__)

MARGIN_DAYS = 1  # a day is dropped when no reading of it has been accepted for so long
TURN_S = 0.5
PIECES_AT_ONCE = 1_000  # of one statement
CLOCKS_APART_S = 3_600  # PostgreSQL's and ours: with more, one of them is wrong, and nothing is dropped

_RULES = "SELECT metric, days FROM retention ORDER BY metric"
# Pieces of a day whose metrics are kept for no longer than the $1 days since it ended; the most literal glob counts.
_EXPIRE = """
DELETE FROM {packed} WHERE ctid = ANY(ARRAY(
    SELECT p.ctid
    FROM {packed} p
    JOIN series s ON s.id = p.series_id
    JOIN LATERAL (
        SELECT days FROM retention WHERE s.metric LIKE metric_like ORDER BY literals DESC, metric LIMIT 1
    ) k ON k.days <= $1
    LIMIT $2))
"""


class Retention:
    """A job of the elected worker; two of them at once do the same twice."""

    def __init__(self, pool: asyncpg.Pool, *, days: int, every_s: float) -> None:
        self._pool, self._days, self._every_s = pool, days, every_s
        self._look_at = 0.0
        self._done: dict[int, object] = {}
        """By which rules each packed day has been gone through."""

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
        """Drop the partitions that are past retention; whether all of them."""
        for each in await partitions(connection):
            if (now - start_of(each.day + 1)).days < self._days + MARGIN_DAYS:
                break  # they come by day
            if not await drop(connection, each.form, each.day):
                log.info("a partition in use is dropped later", partition=each.name)
                self._look_at = asyncio.get_running_loop().time() + min(5.0, self._every_s)
                return False
            log.info("partition dropped", partition=each.name)
        return True

    async def _expire(self, connection: Connection, now: datetime, until: float) -> bool:
        """Take out of packed days what is kept for a shorter time; whether all of it."""
        rules = [tuple(record) for record in await connection.fetch(_RULES)]
        for each in await partitions(connection):
            age_days = (now - start_of(each.day + 1)).days
            # A rule that does not apply yet may still outweigh one that does.
            signature = tuple((metric, days <= age_days) for metric, days in rules)
            if each.form != "packed" or self._done.get(each.day) == signature:
                continue
            if any(days <= age_days for _, days in rules):
                query = _EXPIRE.format(packed=name_of("packed", each.day))
                while (await connection.execute(query, age_days, PIECES_AT_ONCE)) != "DELETE 0":
                    if asyncio.get_running_loop().time() > until:
                        return False
            self._done[each.day] = signature
        return True
