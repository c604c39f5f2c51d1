"""The partitions of the rollups: minutes by month, hours and days by year; made when needed, dropped when expired."""

from datetime import UTC, datetime
from typing import Any

import asyncpg

from query.emptying import WAIT_MS
from query.partitions import ENSURE, Connection
from query.rollups import DAY_US, DAYS, HOURS, LEVELS, MINUTES, Level
from schemas.times import to_datetime, to_micros

_LIST = """
SELECT i.inhrelid::regclass::text AS name
FROM pg_inherits i
WHERE i.inhparent = $1::text::regclass
ORDER BY 1
"""

_SIZE = """
SELECT count(*) AS partitions, coalesce(sum(pg_total_relation_size(i.inhrelid)), 0)::bigint AS bytes
FROM pg_inherits i
WHERE i.inhparent = $1::text::regclass
"""
_PROGRESS = "SELECT rolled_us, (SELECT count(*) FROM rollup_dirty) AS marks FROM rollup_progress"


def name_of(level: Level, moment: int) -> str:
    """Of the partition for tuples that begin at this moment: `rollup_minutes_202611`. Safe in a statement."""
    return f"{level.table}_{to_datetime(moment):{'%Y%m' if level is MINUTES else '%Y'}}"


def bounds_of(level: Level, moment: int) -> tuple[datetime, datetime]:
    """When that partition begins, and when it ends."""
    at = to_datetime(moment)
    if level is MINUTES:
        return datetime(at.year, at.month, 1, tzinfo=UTC), datetime(
            at.year + at.month // 12, at.month % 12 + 1, 1, tzinfo=UTC
        )
    return datetime(at.year, 1, 1, tzinfo=UTC), datetime(at.year + 1, 1, 1, tzinfo=UTC)


def kept_since(level: Level, now: int, days: int) -> int:
    """Where the first partition begins of which something is not older than so many days. Microseconds."""
    return to_micros(bounds_of(level, now - days * DAY_US)[0])


async def make(connection: Connection, day: int) -> None:
    """Make what the rollups of a day (that begins there, microseconds) need."""
    for level, moment in ((MINUTES, day), (HOURS, day), (DAYS, day // DAYS.tuple_us * DAYS.tuple_us)):
        await connection.execute(ENSURE, level.table, name_of(level, moment), *bounds_of(level, moment))


async def drop_expired(connection: Connection, level: Level, since: int) -> bool:
    """Drop the partitions before the one that begins at `since`; whether none is left. Nobody queues behind us."""
    first = name_of(level, since)
    for record in await connection.fetch(_LIST, level.table):
        if record["name"] >= first:
            break
        try:
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = '{WAIT_MS}ms'")
                await connection.execute(f"LOCK TABLE {level.table} IN ACCESS EXCLUSIVE MODE")  # DROP changes its list
                await connection.execute(f"DROP TABLE IF EXISTS {record['name']}")
        except asyncpg.LockNotAvailableError:
            return False
    return True


async def tell(connection: Connection) -> dict[str, Any]:
    """Until when all is rolled up (None: not begun), how many marks are open, partitions and bytes by table."""
    found: Any = await connection.fetchrow(_PROGRESS)
    told: dict[str, Any] = {
        "until": to_datetime(found["rolled_us"]) if found["rolled_us"] else None,
        "marks": found["marks"],
    }
    for level in LEVELS:
        told[level.table] = dict(await connection.fetchrow(_SIZE, level.table) or {})
    return told
