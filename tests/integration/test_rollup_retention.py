"""What is rolled up outlives its readings, and expires in its own time."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from query import roller as roller_module
from query.rolled import Rolled
from schemas.times import to_datetime
from tests.integration.reading import Library, library
from tests.integration.rolling import HOUR, marked, roll_up, roller
from tests.integration.writing import NOW, SECOND

DAY = 24 * HOUR
OLD = -400 * DAY


@pytest.fixture
async def shelf(database: str) -> AsyncIterator[Library]:
    """A library of this test's own, with two old hours rolled up."""
    async with library(database) as made:
        await made.write([(0, OLD + 60 * at, 0.1 * at) for at in range(120)])
        await roll_up(made.shop.pool, 0)
        yield made


async def by(shelf: Library, width: int) -> list[dict[str, Any]]:
    return await shelf.buckets(OLD, OLD + 2 * HOUR, width, source=Rolled())


async def tables(shelf: Library, level: str) -> set[str]:
    found = await shelf.shop.pool.fetch(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = $1::text::regclass", f"rollup_{level}"
    )
    return {record[0] for record in found}


async def drop_readings(shelf: Library) -> None:
    for form in ("readings", "runs"):
        await shelf.shop.pool.execute(f"DROP TABLE {form}_{to_datetime(NOW + OLD * SECOND):%Y%m%d}")


async def test_minutes_expire_as_whole_partitions_and_are_read_raw_then(
    shelf: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roller_module, "GRACE_S", 0)
    before = [await by(shelf, width) for width in (60, HOUR)]
    month = f"rollup_minutes_{to_datetime(NOW + OLD * SECOND):%Y%m}"
    worker = roller(shelf.shop.pool, 0, minutes_days=1)
    assert month in await tables(shelf, "minutes")
    await worker.turn()  # says so
    assert month in await tables(shelf, "minutes")
    assert [await by(shelf, width) for width in (60, HOUR)] == before
    await worker.turn()  # drops it
    assert month not in await tables(shelf, "minutes")
    assert [await by(shelf, width) for width in (60, HOUR)] == before
    await shelf.write([(0, OLD + 1, 9.0)])
    await roll_up(shelf.shop.pool, 0)
    assert (await by(shelf, HOUR))[0]["max"] == 9.0
    await drop_readings(shelf)
    assert await by(shelf, 60) == []
    assert [bucket["count"] for bucket in await by(shelf, HOUR)] == [61, 60]


async def test_a_mark_on_a_day_without_readings_wipes_nothing(shelf: Library) -> None:
    before = await by(shelf, HOUR)
    assert len(before) == 2
    await drop_readings(shelf)
    mark = "INSERT INTO rollup_dirty (series_id, hour) VALUES ($1, $2)"
    await shelf.shop.pool.execute(mark, shelf.ids[0], to_datetime(NOW + OLD * SECOND))
    await roll_up(shelf.shop.pool, 0)
    assert await marked(shelf.shop.pool) == []
    assert await by(shelf, HOUR) == before


async def test_a_late_reading_of_an_expired_metric_does_not_wipe_what_is_left(shelf: Library) -> None:
    pool = shelf.shop.pool
    await pool.execute("INSERT INTO retention (metric, days) VALUES ('temp*', 300)")
    await pool.execute("DELETE FROM readings; DELETE FROM runs")  # as packing does
    await shelf.write([(0, OLD + 1, 9.0)])
    await roll_up(pool, 0)
    assert [bucket["count"] for bucket in await by(shelf, HOUR)] == [60, 60]
