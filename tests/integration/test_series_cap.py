"""A key that may make no more series is refused new ones, and nobody beside it is."""

import asyncio

import asyncpg
import pytest

from ingest import series
from ingest.series import BEYOND, SeriesTable
from schemas.columns import SeriesKey


async def test_what_one_key_may_not_make_another_may(database: str) -> None:
    async with asyncpg.create_pool(database, min_size=0) as pool:
        table = SeriesTable(pool, max_cached=1_000, learn=lambda _: None, unlearn=lambda _: None, max_per_key=1)
        first, both = SeriesKey("pump-7", "first"), SeriesKey("pump-7", "both")
        assert (await table.resolve([first], "full"))[0] != BEYOND
        asked_first, asked_second = await asyncio.gather(table.resolve([both], "full"), table.resolve([both], "free"))
        assert asked_first[0] == BEYOND
        assert asked_second[0] != BEYOND
        assert (await table.resolve([both], "full"))[0] == asked_second[0], "it is there now, whoever asks"


async def test_a_key_at_its_cap_costs_no_write(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is counted once and remembered for a while; what it had deleted is room again after that."""
    counted = "SELECT ctid::text FROM series_made WHERE key_id = 'full'"
    async with asyncpg.create_pool(database, min_size=0) as pool:
        table = SeriesTable(pool, max_cached=1_000, learn=lambda _: None, unlearn=lambda _: None, max_per_key=1)
        first, second, third = (SeriesKey("pump-7", name) for name in ("first", "second", "third"))
        assert (await table.resolve([first], "full"))[0] != BEYOND
        assert (await table.resolve([second], "full"))[0] == BEYOND
        before = await pool.fetchval(counted)
        for _ in range(3):
            assert (await table.resolve([second, third], "full")).tolist() == [BEYOND, BEYOND]
        assert await pool.fetchval(counted) == before, "its count was written again"
        made = await table.resolve([second], "free")
        assert (await table.resolve([second, third], "full")).tolist() == [made[0], BEYOND], "it is there now"
        monkeypatch.setattr(series, "FULL_S", 0.05)
        table._full.clear()
        assert (await table.resolve([third], "full"))[0] == BEYOND
        await pool.execute("DELETE FROM series WHERE metric = 'first'")
        await asyncio.sleep(0.1)
        assert (await table.resolve([third], "full"))[0] != BEYOND
