"""What is rolled up outlives its readings, and expires in its own time."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from query import emptying, final
from query import roller as roller_module
from query.emptying import drop
from query.packer import Packer
from query.partitions import Connection, partitions, start_of
from query.retention import Retention
from query.rolled import Rolled
from schemas.times import to_datetime
from tests.integration.reading import Library, library
from tests.integration.rolling import HOUR, marked, roll_up, roller
from tests.integration.writing import NOW, SECOND

DAY = 24 * HOUR
OLD = -400 * DAY
OLD_DAY = (NOW // SECOND + OLD) // DAY


@pytest.fixture
async def shelf(database: str) -> AsyncIterator[Library]:
    """A library of this test's own, with two old hours rolled up."""
    async with library(database) as made:
        await made.write([(0, OLD + 60 * at, 0.1 * at) for at in range(120)])
        await roll_up(made.shop.pool, 0)
        yield made


async def by(shelf: Library, width: int) -> list[dict[str, Any]]:
    since, until = (OLD, OLD + 2 * HOUR) if width < DAY else (OLD_DAY * DAY - NOW // SECOND, OLD + DAY)
    return await shelf.buckets(since, until, width, source=Rolled())


async def tables(shelf: Library, level: str) -> set[str]:
    found = await shelf.shop.pool.fetch(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = $1::text::regclass", f"rollup_{level}"
    )
    return {record[0] for record in found}


async def forms(shelf: Library) -> list[str]:
    async with shelf.shop.pool.acquire() as connection:
        return [each.name for each in await partitions(connection)]


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


async def test_late_readings_change_no_rollup_of_a_dropped_day(shelf: Library) -> None:
    before = [await by(shelf, width) for width in (HOUR, DAY)]
    async with shelf.shop.pool.acquire() as connection:
        assert await drop(connection, OLD_DAY)
    assert [each for each in await forms(shelf) if each.endswith(f"{start_of(OLD_DAY):%Y%m%d}")] == []
    shelf.shop.partitions.forget()
    await shelf.write([(0, OLD + 1, 9.0), (0, OLD + DAY / 4, 9.0)])  # the retention was raised
    assert [await by(shelf, width) for width in (HOUR, DAY)] == before, "neither while it is marked"
    await roll_up(shelf.shop.pool, 0)
    assert [await by(shelf, width) for width in (HOUR, DAY)] == before, "nor once it is rolled up"
    assert await shelf.buckets(OLD, OLD + 2 * HOUR, 60) != []  # though it is stored


async def test_a_dropped_day_of_many_series_is_final_for_each(shelf: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(final, "AT_ONCE", 1)  # of them in one statement, which has three seconds
    await shelf.write([(site, OLD + 1, 1.0) for site in (1, 2)])
    await roll_up(shelf.shop.pool, 0)
    async with shelf.shop.pool.acquire() as connection:
        assert await drop(connection, OLD_DAY)
    found = await shelf.shop.pool.fetch("SELECT series_id, until_us FROM rollup_final ORDER BY series_id")
    assert [tuple(record) for record in found] == [(each, (OLD_DAY + 1) * DAY * SECOND) for each in (1, 2, 3)]


async def test_what_is_rolled_up_while_a_day_is_about_to_go_is_final_with_it(
    shelf: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = final.finish_day

    async def late(connection: Connection, day: int) -> None:
        await finish(connection, day)
        if not connection.is_in_transaction():
            await shelf.write([(1, OLD + 1, 1.0)])
            await roll_up(shelf.shop.pool, 0)

    monkeypatch.setattr(emptying, "finish_day", late)
    async with shelf.shop.pool.acquire() as connection:
        assert await drop(connection, OLD_DAY)
    assert await shelf.shop.pool.fetchval("SELECT count(*) FROM rollup_final") == 2


async def test_what_others_lost_keeps_nobody_from_coming_late(shelf: Library) -> None:
    async with shelf.shop.pool.acquire() as connection:
        await drop(connection, OLD_DAY)
    shelf.shop.partitions.forget()
    await shelf.write([(1, OLD + at, 1.0) for at in range(5)])
    await roll_up(shelf.shop.pool, 0)
    found = await shelf.buckets(OLD, OLD + HOUR, HOUR, {"site": "B"}, source=Rolled())
    assert [bucket["count"] for bucket in found] == [5]


async def test_a_day_goes_whole_or_not_at_all(shelf: Library) -> None:
    before = await forms(shelf)
    assert len(before) >= 2
    async with shelf.shop.pool.acquire() as reader, reader.transaction():
        await reader.fetchval("SELECT count(*) FROM runs")
        async with shelf.shop.pool.acquire() as connection:
            assert not await drop(connection, OLD_DAY)
    assert await forms(shelf) == before


async def test_nobody_rolls_up_what_is_dropped_meanwhile(shelf: Library) -> None:
    pool = shelf.shop.pool
    async with pool.acquire() as rolling, rolling.transaction(isolation="repeatable_read"):
        await rolling.execute("UPDATE rollup_progress SET turns = turns + 1")
        await Retention(pool, days=1, every_s=60).turn()
    assert f"runs_{start_of(OLD_DAY):%Y%m%d}" in await forms(shelf)


@pytest.mark.parametrize("packed_before", [False, True])
async def test_late_readings_change_no_rollup_of_what_a_metric_lost(shelf: Library, packed_before: bool) -> None:
    """Left out when the day was packed, or taken out of it later; and whether the rule is still there or not."""
    shop = shelf.shop
    before = [await by(shelf, width) for width in (HOUR, DAY)]
    for keep, packing in ((300, not packed_before), (None, packed_before)):
        if packing:
            await Packer(shop.pool, None, after_days=0, every_s=60).turn()
        if keep:
            await shop.pool.execute("INSERT INTO retention (metric, days) VALUES ('temp*', $1)", keep)
    await Packer(shop.pool, None, after_days=0, every_s=60).turn()
    await Retention(shop.pool, days=3_650, every_s=60).turn()
    assert await shelf.buckets(OLD, OLD + 2 * HOUR, 60) == []
    await shelf.write([(0, OLD + 1, 9.0)])
    assert [await by(shelf, width) for width in (HOUR, DAY)] == before, "neither while it is marked"
    await shop.pool.execute("DELETE FROM retention")
    await roll_up(shop.pool, 0)
    assert [await by(shelf, width) for width in (HOUR, DAY)] == before, "nor once it is rolled up"


async def test_a_metric_kept_for_less_than_packing_takes_is_rolled_up_while_its_readings_are_there(
    shelf: Library,
) -> None:
    await shelf.shop.pool.execute("INSERT INTO retention (metric, days) VALUES ('temp*', 1)")
    await shelf.write([(0, OLD + 1, 9.0), (0, OLD + 2 * HOUR, 9.0)])
    await roll_up(shelf.shop.pool, 0)
    assert await by(shelf, HOUR) == await shelf.buckets(OLD, OLD + 2 * HOUR, HOUR)
    assert (await by(shelf, HOUR))[0]["max"] == 9.0
