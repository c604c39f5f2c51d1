"""Citus by its stand-in (tests/citus.py): what is called of it, when it is refused, that its words mean the same."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from alerts import replay
from ingest import newest
from ingest.lane import Lane
from query import packing
from query.packer import Packer
from query.packing import LOCK
from query.partitions import name_of
from query.purge import Purge
from query.retention import Retention
from query.stored import Span, chunks
from schemas.columns import Receipt
from schemas.times import to_datetime
from server import citus
from server.engines import Engine, EngineError, engine_gap, node_trouble, prepare
from server.migrations import migrate, schema_gap
from tests.citus import stand_in
from tests.conftest import _cloned
from tests.integration.rolling import roll_up
from tests.integration.writing import DAY, NOW, Workshop, workshop

TABLES = ["readings", "runs", "packed", "rollup_minutes", "rollup_hours", "rollup_days"]
HALF_DAY_S = 43_200  # `NOW` is noon
Words = set[str]


@pytest.fixture
async def distributed(database: str) -> str:
    """The URL of a database that looks as if Citus had its tables."""
    await stand_in(database)
    await migrate(database, Engine.CITUS)
    return database


@asynccontextmanager
async def coordinator(url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection as the server has them."""
    connection = await asyncpg.connect(url, connection_class=citus.CitusConnection, server_settings=citus.SESSION)
    try:
        yield connection
    finally:
        await connection.close()


async def test_large_tables_are_distributed_together_once_and_only_where_that_is_wanted(distributed: str) -> None:
    assert await migrate(distributed, Engine.CITUS) == [], "again, which distributes nothing twice"
    async with coordinator(distributed) as connection:
        called = "SELECT logicalrelid::text, distribution_column, colocate_with FROM pg_dist_partition ORDER BY called"
        assert [tuple(found) for found in await connection.fetch(called)] == [
            (table, "series_id", "readings" if place else "none") for place, table in enumerate(TABLES)
        ]
        assert await schema_gap(connection) is None
        language = "SELECT l.lanname FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang WHERE proname = $1"
        assert await connection.fetchval(language, "readings_between") == "plpgsql"
    plain = await asyncpg.connect(distributed)
    try:
        assert "SLUICE_ENGINE=citus" in (await schema_gap(plain) or "")
    finally:
        await plain.close()
    with pytest.raises(EngineError, match="SLUICE_ENGINE=citus"):
        await migrate(distributed)


async def test_what_is_not_there_or_not_durable_is_refused(database: str) -> None:
    for engine in (Engine.CITUS, Engine.TIMESCALEDB):
        with pytest.raises(EngineError, match=f"CREATE EXTENSION {engine}"):
            await migrate(database, engine)
    await stand_in(database)
    assert await migrate(database) == [], "the extension alone changes nothing"
    async with coordinator(database) as connection:
        assert "sluice migrate" in (await engine_gap(connection) or "")
        await connection.execute("ALTER FUNCTION run_command_on_all_nodes RENAME TO honest")
        await connection.execute("""
            CREATE FUNCTION run_command_on_all_nodes(command text)
            RETURNS TABLE (nodeid integer, success boolean, result text) LANGUAGE sql
            AS $$ VALUES (1, true, ''), (2, true, 'fsync is off'), (3, false, 'gone') $$
            """)
        assert await node_trouble(connection) == ["on node 2 fsync is off", "node 3 does not answer: gone"]
        with pytest.raises(EngineError, match="on node 2 fsync is off"):
            await prepare(connection, Engine.CITUS)
        assert await engine_gap(connection), "nothing was distributed"
        await connection.execute("SET allow_system_table_mods = on")
        await connection.execute("UPDATE pg_extension SET extversion = '12.0-1' WHERE extname = 'citus'")
        with pytest.raises(EngineError, match=r"12\.1 at least"):
            await prepare(connection, Engine.CITUS)


async def test_who_looks_for_late_readings_keeps_the_packer_away(distributed: str) -> None:
    async with coordinator(distributed) as lane, coordinator(distributed) as packer:
        async with lane.transaction():
            await lane.execute(newest._PLAN_EACH)
            assert not await packer.fetchval("SELECT pg_try_advisory_xact_lock($1)", LOCK)
        assert await packer.fetchval("SELECT pg_try_advisory_xact_lock($1)", LOCK)


async def _live(shop: Workshop) -> list[Any]:
    """The life of some readings, from being stored to being dropped; everything that was seen on the way."""
    seen: list[Any] = []
    pool = shop.pool
    packer = Packer(pool, None, after_days=-3_650, every_s=1e-9)  # `NOW` is not now
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
    for _ in range(3):
        await packer.turn()
    seen.append([await pool.fetchval(f"SELECT count(*) FROM {form}") for form in ("readings", "runs", "packed")])  # noqa: S608
    await look()
    seen.append(await shop.write(("a", 21.0, 0.0), ("a", 22.0, 22.0), ("b", 0.000_5, 1.0), ("b", 0.5, 0.0)))
    seen.append(await shop.write(("a", 28.0, -28.0), ("c", 3_600.0, 0.25), replace=True))
    await roll_up(pool, 13 * 3_600)
    for _ in range(3):
        await packer.turn()
    await look()
    await shop.write(*[("busy", place / 8, 1.0) for place in range(64)])
    packing.AT_ONCE, at_once = 7, packing.AT_ONCE
    try:
        for _ in range(3):
            await packer.turn()
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
    for _ in range(2):
        await Purge(pool).turn()
    seen.append(await pool.fetchval("SELECT count(*) FROM deleted_series"))
    seen.append(await pool.fetchval("SELECT count(*) FROM rollup_hours WHERE series_id = $1", gone))
    await look()
    async with pool.acquire() as connection:
        seen.append(await Retention(pool, days=1, every_s=60)._drop(connection, later))
    seen.append(await pool.fetchval("SELECT to_regclass($1)", name_of("packed", NOW // DAY)))
    seen.append(await pool.fetch("SELECT series_id, until_us FROM rollup_final ORDER BY series_id"))
    return seen


async def test_all_that_is_said_in_other_words_means_the_same(
    services: Any, template: str, distributed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with _cloned(services, template) as plain, workshop(plain) as shop:
        wanted = await _live(shop)
    said: Words = set()

    class Hearing(dict[str, str]):
        """Remembers which words were wanted."""

        def get(self, key: str, default: Any = None) -> Any:
            if key in self:
                said.add(key)
            return super().get(key, default)

    monkeypatch.setattr(citus, "WORDS", Hearing(citus.WORDS))
    citus.translated.cache_clear()
    async with asyncpg.create_pool(
        distributed, min_size=0, max_size=12, connection_class=citus.CitusConnection, server_settings=citus.SESSION
    ) as pool:
        shop = Workshop(pool)
        found = await _live(shop)
        for lane in shop.lanes:
            assert isinstance(lane, Lane)
            await lane.close()
    citus.translated.cache_clear()
    for place, (one, other) in enumerate(zip(found, wanted, strict=True)):
        assert one == other, f"look {place}"
    assert found[0] == Receipt(400, 0)
    assert said == set(citus.WORDS), "every word was said"
