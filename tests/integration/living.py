"""The life of some readings, from being stored to being dropped: for two engines to be compared by all that is seen."""

import asyncio
from typing import Any

import asyncpg

from alerts import replay
from query import packing
from query.packer import Packer
from query.partitions import name_of
from query.purge import Purge
from query.retention import Retention
from query.stored import Span, chunks
from schemas.times import to_datetime
from tests.integration.rolling import roll_up
from tests.integration.writing import DAY, NOW, Workshop

PATIENCE_S = 60.0
_PLAIN = "SELECT (SELECT count(*) FROM readings) + (SELECT count(*) FROM runs)"


async def pack_all(pool: asyncpg.Pool) -> None:
    """Pack every day there is, in as many turns as that takes here."""
    packer = Packer(pool, None, after_days=-3_650, every_s=1e-9)  # `NOW` is not now
    async with asyncio.timeout(PATIENCE_S):
        while await pool.fetchval(_PLAIN):
            await packer.turn()


async def live(shop: Workshop) -> list[Any]:
    """The life of some readings, from being stored to being dropped; everything that was seen on the way."""
    seen: list[Any] = []
    pool = shop.pool
    noon = to_datetime(NOW)

    async def look() -> None:
        series = [found[0] for found in await pool.fetch("SELECT id FROM series ORDER BY id")]
        for descending in (False, True):
            span = Span(series, NOW - DAY // 2, NOW + DAY // 2, descending)
            found = [
                (int(chunk.series[place]), int(chunk.ts[place]), float(chunk.value[place]))
                async for chunk in chunks(pool.acquire, span, 64)
                for place in range(len(chunk))
            ]
            seen.append(found)
        seen.append(await shop.values())
        seen.append(await shop.newest())
        seen.append(await shop.between("a", -100, 4_000))
        hours = "SELECT ts, count, sum, min, max FROM telemetry_hours('pump-1', 'a', $1, $2)"
        bounds = to_datetime(NOW - DAY), to_datetime(NOW + DAY)
        seen.append([tuple(found) for found in await pool.fetch(hours, *bounds)])
        async with pool.acquire() as connection, connection.transaction():
            seen.append(
                [point async for part in replay.stored(connection, series[0], NOW - DAY, NOW + DAY) for point in part]
            )
            oldest = "SELECT * FROM oldest_between($1, $2, $3)"
            stored = "SELECT * FROM newest_stored($1)"
            seen.append([tuple(each) for each in await connection.fetch(oldest, series[0], noon, bounds[1])])
            seen.append([tuple(each) for each in await connection.fetch(stored, series[0])])

    many = [("a", 7.0 * place, place / 7) for place in range(400)]
    seen.append(await shop.write(*many))
    seen.append([await shop.write(("b", at, at), ("c", at, -at)) for at in (0.0, 3_600.0, 3_600.5)])
    seen.append(await shop.write(("a", 7.0, 1.0), ("a", 8.0, 8.0), ("b", 0.5, 0.5), ("b", 3_600.0, 0.0)))
    seen.append(await shop.write(("a", 14.0, -14.0), ("b", 0.0, -1.0), replace=True))
    await look()
    await roll_up(pool, 3 * 3_600)
    await look()
    await pack_all(pool)
    seen.append([await pool.fetchval(f"SELECT count(*) FROM {form}") for form in ("readings", "runs", "packed")])  # noqa: S608
    await look()
    seen.append(await shop.write(("a", 21.0, 0.0), ("a", 22.0, 22.0), ("b", 0.000_5, 1.0), ("b", 0.5, 0.0)))
    seen.append(await shop.write(("a", 28.0, -28.0), ("c", 3_600.0, 0.25), replace=True))
    await roll_up(pool, 13 * 3_600)
    await pack_all(pool)
    await look()
    # As a version that knows no pieces would: the first value stays.
    await pool.execute("INSERT INTO readings SELECT id, $1, 99 FROM series WHERE metric = 'a'", noon)
    await pack_all(pool)
    seen.append((await shop.values())["a", 0.0])
    await shop.write(*[("busy", place / 8, 1.0) for place in range(64)])
    packing.AT_ONCE, at_once = 7, packing.AT_ONCE
    try:
        await pack_all(pool)
    finally:
        packing.AT_ONCE = at_once
    await look()
    await pool.execute("INSERT INTO retention (metric, days) VALUES ('c', 1)")
    later = to_datetime(NOW + 4 * DAY)
    async with pool.acquire() as connection:
        seen.append(await Retention(pool, days=3_650, every_s=60)._expire(connection, later, float("inf")))
    seen.append(await pool.fetch("SELECT series_id, until_us FROM rollup_final ORDER BY series_id"))
    await look()
    gone: int = await pool.fetchval("SELECT id FROM series WHERE metric = 'b'")
    await pool.execute("INSERT INTO deleted_series VALUES ($1)", gone)
    await pool.execute("DELETE FROM series WHERE id = $1", gone)
    async with asyncio.timeout(PATIENCE_S):
        while await pool.fetchval("SELECT count(*) FROM deleted_series"):
            await Purge(pool).turn()
    seen.append(await pool.fetchval("SELECT count(*) FROM rollup_hours WHERE series_id = $1", gone))
    await look()
    async with pool.acquire() as connection, asyncio.timeout(PATIENCE_S):
        while not await Retention(pool, days=1, every_s=60)._drop(connection, later):
            pass
    seen.append(await pool.fetchval("SELECT to_regclass($1)", name_of("packed", NOW // DAY)))
    seen.append(await pool.fetch("SELECT series_id, until_us FROM rollup_final ORDER BY series_id"))
    return seen
