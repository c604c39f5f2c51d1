"""Giving back the room of what was packed or has expired: at once, and without anybody queueing behind us.

TRUNCATE and DROP want their table to themselves. While such a request waits, everybody else waits behind it; so they
are tried for a moment, and again later.
"""

import asyncio

import asyncpg

from query.final import finish_day, take_turn
from query.partitions import FORMS, Connection, name_of, start_of

TRIES = 20  # of one table, without waiting
PAUSE_S = 0.02
WAIT_MS = 50  # then once more, for so long: a table in steady use is never free without being waited for

# Who had a snapshot before the last readings moved would find them neither here nor in their pieces. Sessions of other
# databases see none of them. An xid is compared by its distance from the next one: `age` knows only 32 bits.
_MAY_TRUNCATE = """
SELECT NOT EXISTS (SELECT FROM {readings}) AND NOT EXISTS (SELECT FROM {runs})
   AND pg_snapshot_xmax(pg_current_snapshot())::text::bigint
       - coalesce((SELECT moved_by::text::bigint FROM packing WHERE day = $1::date), 0)
     > (SELECT coalesce(max(age(backend_xmin)), 0) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid())
"""


async def empty(connection: Connection, day: int) -> bool:
    """Truncate a day's plain rows and runs, if nothing is left of them for anybody; whether that was done."""
    names = {form: name_of(form, day) for form in ("readings", "runs")}
    query, date = _MAY_TRUNCATE.format(**names), start_of(day).date()
    if not await connection.fetchval(query, date):
        return False
    tables = ", ".join(names.values())
    for attempt in range(TRIES + 1):
        try:
            async with connection.transaction():
                await _lock(connection, tables, patient=attempt == TRIES)
                # Once more, now that nobody writes there.
                if await connection.fetchval(query, date):
                    await connection.execute(f"TRUNCATE {tables}")
                    return True
                return False
        except asyncpg.LockNotAvailableError:
            await asyncio.sleep(PAUSE_S)
    return False


async def drop(connection: Connection, day: int) -> bool:
    """Drop a day, all its forms at once, and say that its rollups are final; whether that was done."""
    names = ", ".join(name_of(form, day) for form in FORMS)
    # Of many series that takes seconds: what is said by now need not be said again where the tables are in use.
    await finish_day(connection, day)
    async with connection.transaction():
        await connection.execute(f"SET LOCAL lock_timeout = '{WAIT_MS}ms'")
        await take_turn(connection)
        await finish_day(connection, day)  # before the tables are ours: it may take a while
        for attempt in range(TRIES + 1):
            try:
                async with connection.transaction():
                    # The parents, as DROP changes their lists.
                    await _lock(connection, ", ".join(FORMS), patient=attempt == TRIES)
                    await connection.execute(f"DROP TABLE IF EXISTS {names}")
                    await connection.execute("DELETE FROM packing WHERE day = $1", start_of(day).date())
                    return True
            except asyncpg.LockNotAvailableError:
                await asyncio.sleep(PAUSE_S)
    return False


async def _lock(connection: Connection, tables: str, *, patient: bool) -> None:
    await connection.execute(f"SET LOCAL lock_timeout = '{WAIT_MS}ms'")
    await connection.execute(f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE{'' if patient else ' NOWAIT'}")
