"""A key that may make no more series is refused new ones, and nobody beside it is."""

import asyncio

import asyncpg

from ingest.series import BEYOND, SeriesTable
from schemas.columns import SeriesKey


async def test_what_one_key_may_not_make_another_may(database: str) -> None:
    async with asyncpg.create_pool(database, min_size=0) as pool:
        table = SeriesTable(pool, max_cached=1_000, learn=lambda _: None, max_per_key=1)
        first, both = SeriesKey("pump-7", "first"), SeriesKey("pump-7", "both")
        assert (await table.resolve([first], "full"))[0] != BEYOND
        asked_first, asked_second = await asyncio.gather(table.resolve([both], "full"), table.resolve([both], "free"))
        assert asked_first[0] == BEYOND
        assert asked_second[0] != BEYOND
        assert (await table.resolve([both], "full"))[0] == asked_second[0], "it is there now, whoever asks"
