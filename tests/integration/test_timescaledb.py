"""TimescaleDB beside Sluice's own partitions: the copy of packed days, and that nothing of ours meets its hooks."""

from typing import Any

import asyncpg
import pytest

from schemas.times import to_datetime
from server.engines import Engine
from server.migrations import migrate
from tests import timescaledb
from tests.citus import pretend
from tests.conftest import _cloned
from tests.integration.living import live, pack_all
from tests.integration.writing import NOW, Workshop, workshop

TODAY = to_datetime(NOW).date()


async def copying(shop: Workshop) -> None:
    """A day is copied when it is packed, again when it was packed again, and not otherwise."""
    pool = shop.pool

    async def copied() -> list[tuple[str, float]]:
        query = "SELECT metric, extract(epoch FROM ts)::float8 - $1 AS at, value FROM telemetry_history ORDER BY 1, 2"
        return [(found["metric"], round(found["at"], 6)) for found in await pool.fetch(query, NOW / 1e6)]

    await shop.write(*[("a", float(place), 1.0) for place in range(200)], ("b", 0.000_5, 1.0))
    with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError, match="not been packed"):
        await pool.fetchval("SELECT copy_day($1)", TODAY)
    await pack_all(pool)
    assert await pool.fetchval("SELECT copy_day($1)", TODAY) == 201
    assert await pool.fetchval("SELECT copy_day($1)", TODAY) == 0
    assert await copied() == [*(("a", float(place)) for place in range(200)), ("b", 0.000_5)]
    await shop.write(("b", 7.0, 7.0))
    await pack_all(pool)
    assert await pool.fetchval("SELECT copy_day($1)", TODAY) == 202
    assert await copied() == sorted((await shop.values()).keys())


async def test_days_are_copied_into_a_table_that_would_be_a_hypertable(database: str) -> None:
    await pretend(database, timescaledb.STAND_IN)
    assert await migrate(database, Engine.TIMESCALEDB) == []
    assert await migrate(database, Engine.TIMESCALEDB) == [], "again"
    assert await migrate(database) == [], "and without the setting nothing is undone or refused"
    async with workshop(database) as shop:
        found = await shop.pool.fetch("SELECT relation::text, dimension FROM hypertables")
        assert [tuple(each) for each in found] == [("history", "ts by 1 day")]
        await copying(shop)


@pytest.mark.long
@pytest.mark.skipif(not timescaledb.REAL, reason="SLUICE_TEST_TIMESCALEDB is not set")
async def test_all_is_as_without_it_on_a_real_one(services: Any, template: str) -> None:
    async with _cloned(services, template) as plain, workshop(plain) as shop:
        wanted = await live(shop)
    async with timescaledb.database("sluice_live") as url:
        assert await migrate(url, Engine.TIMESCALEDB)
        async with workshop(url) as shop:
            assert await live(shop) == wanted
            assert await shop.pool.fetchval("SELECT count(*) FROM timescaledb_information.hypertables") == 1
    async with timescaledb.database("sluice_copy") as url:
        assert await migrate(url, Engine.TIMESCALEDB)
        async with workshop(url) as shop:
            await copying(shop)
            chunks = "SELECT count(*) FROM timescaledb_information.chunks WHERE hypertable_name = 'history'"
            assert await shop.pool.fetchval(chunks) == 1
            gone = "SELECT drop_chunks('history', older_than => $1::timestamptz)"
            assert len(await shop.pool.fetch(gone, to_datetime(NOW + 2 * 86_400_000_000))) == 1
            assert await shop.pool.fetchval("SELECT count(*) FROM history") == 0
            assert len(await shop.values()) == 202, "ours are not concerned"
