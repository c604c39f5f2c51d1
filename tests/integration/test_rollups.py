"""Rollups: whatever was written when, and however far it was rolled up, buckets are those of the raw readings."""

import json
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alerts.ending import Endings
from query.deletion import Deletion
from query.purge import Purge
from query.rolled import Rolled
from tests.integration.reading import Library, folded, key, library
from tests.integration.rolling import HOUR, marked, roll_up, rolled_until
from tests.integration.test_packing import pack
from tests.integration.writing import NOW, SECOND

DAY = 24 * HOUR


@pytest.fixture
async def shelf(database: str) -> AsyncIterator[Library]:
    """A library of this test's own."""
    async with library(database) as made:
        yield made


KNOWN = [(site, -4.0 * DAY, 0.5) for site in range(3)]
"""So that every label set is known."""


async def delete(shelf: Library) -> None:
    """Delete the device with all it has, and remove what is left of it in the tables."""
    await Deletion(shelf.shop.pool, Endings(lambda: NOW, shelf.shop.published.extend)).delete("pump-1")
    shelf.shop.series.forget([key(site) for site in shelf.ids], np.array(list(shelf.ids.values()), np.int32))
    shelf.stored.clear()
    shelf.ids.clear()
    for _ in range(100):
        if not await shelf.shop.pool.fetchval("SELECT count(*) FROM deleted_series"):
            return
        await Purge(shelf.shop.pool).turn()


async def tuples(shelf: Library) -> tuple[int, ...]:
    """Of minutes, hours and days."""
    names = ("rollup_minutes", "rollup_hours", "rollup_days")
    return tuple([await shelf.shop.pool.fetchval(f"SELECT count(*) FROM {name}") for name in names])  # noqa: S608


async def both(shelf: Library, since: float, until: float, bucket_s: int, labels: dict[str, str]) -> tuple[str, str]:
    """The answer by rollups, and what it has to be; as text, which tells -0.0 from 0.0."""
    found = await shelf.buckets(since, until, bucket_s, labels, Rolled())
    sites = ["ABC".index(labels["site"])] if labels else ()
    wanted = folded(shelf.expected(since, until, sites), bucket_s)
    names = ("count", "sum", "avg", "min", "max", "first", "last")
    return repr([[b[n] for n in names] for b in found]), repr([[b[n] for n in names] for b in wanted])


async def test_an_hour_is_answered_from_its_rollup_alone(shelf: Library) -> None:
    await shelf.write([(site, -7_200 + 10.25 * at, 0.1 * at) for site in (0, 1) for at in range(700)])
    await roll_up(shelf.shop.pool, 0)
    assert await rolled_until(shelf.shop.pool) == 0
    before = await shelf.buckets(-7_200, 0, 60, source=Rolled())
    found, wanted = await both(shelf, -7_200, 0, 3_600, {})
    assert found == wanted
    await shelf.shop.pool.execute("TRUNCATE readings, runs")  # so it was not read from there
    assert await shelf.buckets(-7_200, 0, 60, source=Rolled()) == before
    assert (await both(shelf, -7_200, 0, 3_600, {}))[0] == wanted
    assert await shelf.buckets(-7_200, 0, 60) == []


async def test_only_late_readings_leave_marks(shelf: Library) -> None:
    await shelf.write([(0, -7_200 + at, 1.0) for at in range(50)])
    await roll_up(shelf.shop.pool, -HOUR)
    pool = shelf.shop.pool
    await shelf.write([(0, -HOUR, 1.0), (0, -HOUR + 1, 1.0)])
    assert await marked(pool) == []
    await shelf.write([(0, -7_150, 1.0), (0, -HOUR - 1, 2.0), (0, -4 * HOUR, 1.0), (0, 5, 1.0)])
    assert await marked(pool) == [-4 * HOUR, -2 * HOUR]
    await shelf.write([(0, -7_150, 3.0)])  # a duplicate changes nothing
    assert len(await marked(pool)) == 2
    await shelf.write([(0, -7_150, 3.0)], replace=True)
    assert len(await marked(pool)) == 3
    assert (await shelf.buckets(-7_200, 60, 3_600, source=Rolled()))[0]["max"] == 3.0
    await roll_up(pool, -HOUR)
    assert await marked(pool) == []
    assert (await shelf.buckets(-7_200, 60, 3_600, source=Rolled()))[0]["max"] == 3.0


async def test_a_new_series_that_begins_in_the_past_is_marked(shelf: Library) -> None:
    await shelf.write([(0, -7_200, 1.0)])
    await roll_up(shelf.shop.pool, 0)
    await shelf.write([(1, -7_100, 5.0)])
    assert await marked(shelf.shop.pool) == [-7_200]


async def test_rollups_of_a_deleted_device_are_removed(shelf: Library) -> None:
    await shelf.write([(0, -7_200 + at, 1.0) for at in range(50)])
    await roll_up(shelf.shop.pool, 0)
    await shelf.write([(0, -7_100, 1.0)])
    assert await tuples(shelf) == (1, 1, 1)
    await delete(shelf)
    assert await tuples(shelf) == (0, 0, 0)
    await roll_up(shelf.shop.pool, 0)  # the mark that is left makes none again
    assert await tuples(shelf) == (0, 0, 0)
    await shelf.write([(0, -3_600, 1.0)])
    assert [bucket["count"] for bucket in await shelf.buckets(-7_200, 0, 3_600, source=Rolled())] == [1]


moments = st.one_of(
    st.integers(-2 * HOUR, HOUR).map(float),
    st.integers(0, 40).map(lambda tick: -HOUR + tick * 0.000_25),
    st.integers(-60, 30).map(lambda hours: hours * HOUR + 0.5),
    st.sampled_from([-3 * DAY, -DAY, -DAY - 1e-6, -12 * HOUR, -60, -59.999_999, 0, 60, DAY]).map(float),
)
values = st.one_of(st.integers(-9, 9).map(float), st.floats(-1e6, 1e6), st.sampled_from([-0.0, 5e-324, 0.1]))
writes = st.tuples(st.just("write"), st.lists(st.tuples(st.integers(0, 2), moments, values), min_size=1, max_size=30))
replaces = st.tuples(
    st.just("replace"), st.lists(st.tuples(st.integers(0, 2), moments, values), min_size=1, max_size=9)
)
rolls = st.tuples(st.just("roll"), st.integers(-3, 30).map(lambda hours: hours * HOUR))
others = st.sampled_from([("pack", None), ("delete", None)])
acts = st.one_of(writes, writes, replaces, rolls, rolls, others)
edges = st.one_of(moments, st.integers(-72, 48).map(lambda hours: float(hours * HOUR)))
spans = st.tuples(edges, edges).map(lambda pair: (min(pair), max(pair)))
widths = st.sampled_from([60, 60, 300, 3_600, 7_200, DAY, 7 * DAY, 7])
questions = st.tuples(spans, widths, st.sampled_from([{}, {"site": "B"}]))


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    steps=st.lists(st.one_of(writes, writes, replaces, rolls, rolls, others), min_size=1, max_size=8), data=st.data()
)
async def test_buckets_are_those_of_the_raw_readings(shelf: Library, steps: list[Any], data: st.DataObject) -> None:
    await shelf.clear()
    await shelf.write(KNOWN)
    for number, (act, what) in enumerate(steps):
        if act == "roll":
            await roll_up(shelf.shop.pool, what)
        elif act == "pack":
            await pack(shelf.shop)
        elif act == "delete":
            await delete(shelf)
            await shelf.write(KNOWN)
        else:
            await shelf.write(what, replace=act == "replace", lane=number % 2)
        (since, until), width, labels = data.draw(questions)
        if width == 7 and until - since > 69_000:
            until = since + 69_000
        if width == 60 and until - since > 500_000:
            until = since + 500_000
        found, wanted = await both(shelf, since, until, width, labels)
        assert json.dumps(found) == json.dumps(wanted), (since, until, width, labels)


def test_the_clock_of_these_tests_begins_an_hour() -> None:
    assert NOW % (HOUR * SECOND) == 0
