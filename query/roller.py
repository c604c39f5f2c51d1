"""The elected worker's rolling up: hours that have closed, for all series; then hours that were marked since.

An hour is closed by moving the gate (`rollup_gate`), which every group reads when it claims its series: from then on
late readings are marked. Groups that may have read the gate before are waited for; after that an hour is rolled up from
one snapshot, in transactions of some series each, and each takes with it exactly the marks that its snapshot shows.
"""

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from query.deletion import ACQUIRE_S
from query.partitions import partitions
from query.reads import Connection
from query.rolling import roll
from query.rollup_partitions import drop_expired, kept_since, make
from query.rollups import DAY_US, HOUR_US, HOURS, MINUTES
from schemas.times import to_datetime, to_micros

log = structlog.get_logger(__name__)

TURN_S = 0.5  # of work, then others have theirs
LONG_S, SHORT_S = 0.25, 0.1  # of one transaction: more, and the next one takes less; less, and it takes more
MOST_SERIES = 1_000  # of one transaction
MOST_HOURS = 24  # that all series are rolled up for, before the next ones are begun
EASY_SERIES = 8  # of one transaction that is short: more hours at a time will do
MARKS_AT_ONCE = 2_000
GRACE_S = 10.0  # from saying that cells have expired to dropping them: no answer takes as long
YIELDS = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.UniqueViolationError,
    asyncpg.DuplicateTableError,
)
"""Somebody else did the same, or deleted a device: it is tried again."""

_CLOSE = (
    "UPDATE rollup_gate SET closed_us = greatest(closed_us, $1) RETURNING closed_us, pg_current_xact_id()::text AS by"
)
# Who writes reads the gate in the statement that gives his transaction its number, and keeps that snapshot no longer.
# So first those are waited for who look by a snapshot for which the gate's transaction, $1, was not over; when none is
# left, everybody who saw the old gate has his number, and those older than a new one are waited for. Numbers are
# compared by their distance, as `xid` has 32 bits.
_OTHERS = """
SELECT count(*)
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type <> 'autovacuum worker'
"""
_LOOKING = _OTHERS + "AND (backend_xmin::text::bigint - $1 - 1) & 4294967295 >= 2147483648"
_NEXT = "SELECT pg_current_xact_id()::text"  # of its own: a snapshot's xmax only tells what has ended
_WRITING = _OTHERS + "AND (backend_xid::text::bigint - $1) & 4294967295 >= 2147483648"
# A reading's partition is looked for anew each time, and what is wanted in order lies in order in an index.
_SETTINGS = "SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL enable_sort = off"
# The first statement of each transaction, so that its snapshot is not older than the last one's end.
_TAKE = "UPDATE rollup_progress SET turns = turns + 1 RETURNING *"
_PUT = "UPDATE rollup_progress SET rolled_us = $1, until_us = $2, after_series = $3"
_ALIVE = "SELECT series_id FROM newest WHERE series_id > $1 AND ts_us >= $2 ORDER BY series_id LIMIT $3"
# Who deletes them waits for us: what we write is there to be removed with the rest. What is final stays as it is.
_HOLD = """
SELECT s.id
FROM series s
LEFT JOIN rollup_final f ON f.series_id = s.id
WHERE s.id = ANY($1::int[]) AND coalesce(f.until_us, 0) <= $2
ORDER BY s.id
FOR KEY SHARE OF s
"""
_MARKS = "SELECT series_id, hour FROM rollup_dirty WHERE at <= now() - $1::interval LIMIT $2"
_UNMARK = """
WITH seen AS (
    DELETE FROM rollup_dirty WHERE series_id = ANY($1::int[]) AND hour >= $2 AND hour < $3 RETURNING hour
)
SELECT min(hour) AS first, max(hour) AS last FROM seen
"""
_EXPIRE = """
UPDATE rollup_progress
SET minutes_since_us = greatest(minutes_since_us, $1), hours_since_us = greatest(hours_since_us, $2)
"""


@dataclass(frozen=True, slots=True)
class RollupSettings:
    """When what is done. Tests shorten the seconds."""

    close_after_s: float = 3_900.0
    """An hour is closed so long after its end: devices that send once an hour are not late."""
    settle_s: float = 300.0
    """A marked hour is rolled up again so long after its first mark: it is read raw until then."""
    every_s: float = 10.0
    """Between two looks for marks, once there are none."""
    minutes_days: int = 90
    hours_days: int = 1_830


class Roller:
    """A job of the elected worker. Of two at once, one fails and tries again."""

    def __init__(self, pool: asyncpg.Pool, registry: CollectorRegistry | None, settings: RollupSettings) -> None:
        self._pool, self._settings = pool, settings
        self._closed, self._closed_by = 0, 0
        self._before: int | None = None
        self._settled = False
        self._series_at_once = self._hours_at_once = 1  # nobody knows yet how dense they are
        self._look_at = self._expire_at = self._drop_at = 0.0
        self._behind = Gauge(
            "sluice_rollups_behind_seconds",
            "Age of the end of what is rolled up.",
            registry=registry,
            multiprocess_mode="livemostrecent",
        )
        self._rolled = Counter("sluice_rollups", "Transactions of rolling up, by cause.", ["cause"], registry=registry)

    async def turn(self) -> None:
        """Roll up some. Raises what the driver raises."""
        until = asyncio.get_running_loop().time() + TURN_S
        async with self._pool.acquire(timeout=ACQUIRE_S) as connection:
            try:
                now = to_micros(await connection.fetchval("SELECT clock_timestamp()"))
                if await self._close(connection, now):
                    await self._work(connection, now, until)
            except YIELDS as error:
                log.info("rolling up waits", error=repr(error))

    async def _close(self, connection: Connection, now: int) -> bool:
        """Move the gate, if it is time to; whether everybody who writes has seen where it is."""
        target = (now - round(self._settings.close_after_s * 1_000_000)) // HOUR_US * HOUR_US
        if target > self._closed:
            found: Any = await connection.fetchrow(_CLOSE, target)
            self._closed, self._closed_by = found["closed_us"], int(found["by"])
            self._before, self._settled = None, False
        if self._before is None and await connection.fetchval(_LOOKING, self._closed_by & 0xFFFF_FFFF) == 0:
            self._before = int(await connection.fetchval(_NEXT))
        if self._before is not None and not self._settled:
            self._settled = await connection.fetchval(_WRITING, self._before & 0xFFFF_FFFF) == 0
        return self._settled

    async def _work(self, connection: Connection, now: int, until: float) -> None:
        clock = asyncio.get_running_loop().time
        while await self._forward(connection, now):
            if clock() > until:
                return
        if clock() >= self._look_at:
            if await self._again(connection, until):
                return
            self._look_at = clock() + self._settings.every_s
        await self._expire(connection, now)

    async def _forward(self, connection: Connection, now: int) -> bool:
        """Roll up what comes next, for some series; whether there is more."""
        rolled = await connection.fetchval("SELECT rolled_us FROM rollup_progress")
        first = rolled or await self._beginning(connection)
        self._behind.set((now - first) / 1_000_000)
        if first >= self._closed:
            return False
        await make(connection, first // DAY_US * DAY_US)
        began = asyncio.get_running_loop().time()
        async with connection.transaction(isolation="repeatable_read"):
            await connection.execute(_SETTINGS)
            progress: Any = await connection.fetchrow(_TAKE)
            if progress["rolled_us"] != rolled:
                return True
            until, after = progress["until_us"], progress["after_series"]
            if until <= first:
                until, after = self._next(first), 0
            series = [found[0] for found in await connection.fetch(_ALIVE, after, first, self._series_at_once)]
            await self._roll(connection, series, first, until, progress)
            if len(series) < self._series_at_once:
                await connection.execute(_PUT, until, 0, 0)
            else:
                await connection.execute(_PUT, first, until, series[-1])
        self._pace(asyncio.get_running_loop().time() - began)
        self._rolled.labels("closed").inc()
        return True

    def _next(self, first: int) -> int:
        """Until when all series are rolled up now."""
        return min(
            self._closed, first // DAY_US * DAY_US + DAY_US, first // HOUR_US * HOUR_US + self._hours_at_once * HOUR_US
        )

    async def _beginning(self, connection: Connection) -> int:
        """Where there may be a first reading."""
        found = await partitions(connection)
        return min([self._closed, *(each.day * DAY_US for each in found)])

    async def _roll(self, connection: Connection, series: list[int], since: int, until: int, progress: Any) -> None:
        held = [found[0] for found in await connection.fetch(_HOLD, series, since // DAY_US * DAY_US)] if series else []
        if held:
            await roll(connection, held, since, until, progress["minutes_since_us"], progress["hours_since_us"])

    def _pace(self, took_s: float) -> None:
        """Series first, hours where one series alone is too much: a dense one has millions of readings a day."""
        if took_s > LONG_S and self._series_at_once > 1:
            self._series_at_once //= 2
        elif took_s > LONG_S:
            self._hours_at_once = max(1, self._hours_at_once // 2)
        elif took_s < SHORT_S:
            self._series_at_once = min(MOST_SERIES, self._series_at_once * 2)
            if self._series_at_once >= EASY_SERIES:
                self._hours_at_once = min(MOST_HOURS, self._hours_at_once * 2)

    async def _again(self, connection: Connection, until: float) -> bool:
        """Roll up again what is marked, a day at a time; whether there is more."""
        settled = timedelta(seconds=self._settings.settle_s)
        found = await connection.fetch(_MARKS, settled, MARKS_AT_ONCE)
        days = defaultdict(set)
        for record in found:
            days[to_micros(record["hour"]) // DAY_US * DAY_US].add(record["series_id"])
        for day, members in days.items():
            series = sorted(members)
            await make(connection, day)
            while series:
                if asyncio.get_running_loop().time() > until:
                    return True
                chosen, series = series[: self._series_at_once], series[self._series_at_once :]
                await self._mend(connection, day, chosen)
        return len(found) == MARKS_AT_ONCE

    async def _mend(self, connection: Connection, day: int, series: list[int]) -> None:
        """Roll up the marked hours of a day again, and those between them."""
        began = asyncio.get_running_loop().time()
        async with connection.transaction(isolation="repeatable_read"):
            await connection.execute(_SETTINGS)
            progress: Any = await connection.fetchrow(_TAKE)
            marked: Any = await connection.fetchrow(_UNMARK, series, to_datetime(day), to_datetime(day + DAY_US))
            if marked["first"] is not None:
                until = min(to_micros(marked["last"]) + HOUR_US, progress["rolled_us"])
                if to_micros(marked["first"]) < until:  # else it will be rolled up in its turn
                    await self._roll(connection, series, to_micros(marked["first"]), until, progress)
        self._pace(asyncio.get_running_loop().time() - began)
        self._rolled.labels("marked").inc()

    async def _expire(self, connection: Connection, now: int) -> None:
        """Say what has expired; drop it once every answer has heard."""
        clock = asyncio.get_running_loop().time()
        if clock >= self._expire_at:
            minutes = kept_since(MINUTES, now, self._settings.minutes_days)
            hours = kept_since(HOURS, now, self._settings.hours_days)
            await connection.execute(_EXPIRE, minutes, hours)
            self._expire_at, self._drop_at = clock + HOUR_US / 1e6, clock + GRACE_S
        elif self._drop_at and clock >= self._drop_at:
            found: Any = await connection.fetchrow("SELECT minutes_since_us, hours_since_us FROM rollup_progress")
            done = [
                await drop_expired(connection, level, found[since])
                for level, since in ((MINUTES, "minutes_since_us"), (HOURS, "hours_since_us"))
            ]
            self._drop_at = 0.0 if all(done) else clock + GRACE_S
