"""The table of series: made once whoever asks first, adopted, made anew, for nobody who has gone."""

import asyncio
import time

import asyncpg
import numpy as np
import pytest

from ingest import leaving
from ingest.lane import HinderedError
from ingest.series import MAX_WANTED
from schemas.columns import Receipt, SeriesKey
from schemas.errors import Overloaded
from schemas.hindrances import SeriesGone
from tests.integration.writing import PLAIN, Workshop, workshop


async def test_a_series_that_an_older_version_made_is_adopted(shop: Workshop) -> None:
    await shop.write(*[("a", float(place), 1.0) for place in range(10)])
    await shop.pool.execute("DELETE FROM newest")
    assert await shop.write(("a", 5, 2.0), ("a", 9, 2.0), ("a", 10, 2.0)) == Receipt(1, 2)
    assert await shop.newest() == {"a": (10, 2.0)}


async def test_a_series_that_was_deleted_is_made_anew(shop: Workshop) -> None:
    batch = await shop.batch(("a", 1, 1.0))
    await shop.pool.execute("DELETE FROM series")
    with pytest.raises(HinderedError) as caught:
        await shop.flush(batch)
    assert (caught.value.batches, type(caught.value.refusal)) == ({0}, SeriesGone)
    shop.series.forget([SeriesKey("pump-1", "a")], batch.series_id)
    assert await shop.write(("a", 1, 1.0)) == Receipt(1, 0)
    assert await shop.values() == {("a", 1): 1.0}


async def test_series_are_the_same_whoever_makes_them_first(shop: Workshop, database: str) -> None:
    points = [(f"m{number}", 0.0, 1.0) for number in range(50)]
    async with workshop(database) as other:
        mine, theirs = await asyncio.gather(shop.batch(*points), other.batch(*reversed(points)))
    assert np.array_equal(np.sort(mine.series_id), np.sort(theirs.series_id))
    assert await shop.pool.fetchval("SELECT count(*) FROM series") == 50


async def test_series_that_nobody_waits_for_any_more_delay_nobody(shop: Workshop) -> None:
    async with shop.pool.acquire() as other, other.transaction():
        await other.execute("LOCK TABLE series IN ACCESS EXCLUSIVE MODE")
        asking = [
            asyncio.create_task(shop.series.resolve([SeriesKey(f"d{number}", f"m{n}") for n in range(2_000)]))
            for number in range(20)
        ]
        await asyncio.sleep(0.1)
        with pytest.raises(Overloaded):
            await shop.series.resolve([SeriesKey("e", f"m{n}") for n in range(MAX_WANTED)])
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
    assert len(await shop.series.resolve([SeriesKey("f", "m")])) == 1
    assert await shop.pool.fetchval("SELECT count(*) FROM series") <= 1_001, "made for nobody"


async def test_whom_the_search_fails_is_told_and_the_next_one_is_served(shop: Workshop) -> None:
    await shop.pool.execute("ALTER TABLE series RENAME TO elsewhere")
    with pytest.raises(asyncpg.UndefinedTableError):
        await asyncio.wait_for(shop.series.resolve([SeriesKey("a", "m")]), 5)
    await shop.pool.execute("ALTER TABLE elsewhere RENAME TO series")
    assert len(await shop.series.resolve([SeriesKey("a", "m"), SeriesKey("a", "m")])) == 2


async def test_what_leaves_the_cache_leaves_the_screen_once_nobody_writes_it_any_more(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.rule(**PLAIN, metric="m*")
    monkeypatch.setattr(shop.series, "_max_cached", 20)
    held = await shop.batch(("m-held", 0, 71))  # resolved, and on its way while its series leaves
    for number in range(100):
        await shop.batch((f"m{number}", 0, 1.0))
    assert len(shop.series) <= 20
    await shop.pool.execute("UPDATE rules_version SET version = version + 1")
    await shop.loader.refresh()
    await shop.flush(held)
    assert await shop.told() == ["firing warning"]
    monkeypatch.setattr(leaving, "LEFT_S", 0.0)
    for number in range(100, 200):
        await shop.batch((f"m{number}", 0, 1.0))
    assert shop.engine.watched <= 20 + 2, "and those that left with the last one"
    await shop.write(("m0", 1, 72))  # forgotten, and met again
    assert (await shop.told())[1:] == ["firing warning"]


async def test_a_series_that_came_back_and_left_again_is_not_unlearned_for_having_left_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, gone = 0.0, list[int]()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    left = leaving.Leaving(gone.extend)
    key = SeriesKey("pump-1", "m")
    left.add(key, 1)
    now = leaving.LEFT_S - 1  # it was met again meanwhile, a batch was given its id, and now it leaves once more
    left.add(key, 1)
    now = leaving.LEFT_S + 1
    left.let_go({})
    assert gone == [], "while that batch is under way"
    assert list(left.items()) == [(key, 1)]
    now = 2 * leaving.LEFT_S
    left.let_go({})
    assert gone == [1]


async def test_no_new_series_come_while_too_many_have_just_left(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shop.series, "_max_cached", 10)
    monkeypatch.setattr(leaving, "MAX_LEFT", 10)

    async def go_on() -> None:
        for number in range(100):
            await shop.batch((f"m{number}", 0, 1.0))

    with pytest.raises(Overloaded, match="left the cache"):
        await go_on()
    assert await shop.batch(("m19", 0, 1.0)) is not None, "what is known flows on"
    monkeypatch.setattr(leaving, "LEFT_S", 0.0)
    assert await shop.batch(("new", 0, 1.0)) is not None
